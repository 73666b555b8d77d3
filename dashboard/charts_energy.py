"""The charts of a site's energy page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from zoneinfo import ZoneInfo

from analytics.boundary import devices_that, has_role
from analytics.systems import COOLING_ROLES, LIGHTING_ROLES
from core.periods import Period
from core.sites import Site
from dashboard import formats
from dashboard.anatomy import SYSTEM_WORDS
from dashboard.chart_spec import Chart, ChartAsk, ChartSpec, CsvCell
from dashboard.electric_charts import (
    PUE_HEIGHT,
    facility_chart,
    has_both_sides,
    it_chart,
    pue_chart,
)
from dashboard.figures.line_data import HOUR_MS, Line, Series
from dashboard.figures.line_tables import local_time, moment_text
from dashboard.figures.lines import axis_words, joined, shifted
from dashboard.figures.scatter import Cloud, draw_scatter
from dashboard.gauge_series import read_hourly_means
from dashboard.kpi_charts import lines_chart
from dashboard.kpi_series import read_kpi_series
from dashboard.system_series import power_series, read_system_energies

_SMALL_HEIGHT = 150
_SCATTER_HEIGHT = 240
_WET_BULB = "wet_bulb_c"


def small_multiple(name: str, *roles: str) -> ChartSpec:
    """A small multiple of one system's power."""

    def applies(site: Site) -> bool:
        return has_both_sides(site) and (not roles or bool(devices_that(site, has_role(*roles))))

    def build(ask: ChartAsk) -> Chart:
        return system_chart(ask, name)

    return ChartSpec(
        f"system-{name}", SYSTEM_WORDS[name], "c3", _SMALL_HEIGHT, build, applies=applies
    )


def system_chart(ask: ChartAsk, name: str) -> Chart:
    """Mean power of one system in MW, with the earlier weeks where asked.

    Raises:
        StoreError: The store does not answer.
    """
    history, words = ask.history, ask.words
    resolution = history.resolution
    title = words(SYSTEM_WORDS[name])
    now = power_series(
        ask, read_system_energies(ask, history.period), name, history.period, resolution
    )
    lines = [Line(title, now, f"{name}_power_mw")]
    if history.compares:
        before = power_series(
            ask, read_system_energies(ask, history.before), name, history.before, resolution
        )
        lines.append(
            Line(
                words("chart.compared_line", name=title),
                shifted(before, history.later_ms),
                f"{name}_power_mw_before",
                "compare",
            )
        )
    chart = lines_chart(ask, lines, unit="MW", decimals=3, small=True)
    mean = now.mean()
    if mean is None:
        return chart
    said = words("energy.mean", value=formats.format_number(mean, 2))
    return replace(chart, subtitle=joined(chart.subtitle, said))


def has_wet_bulb(site: Site) -> bool:
    """Whether a weather station of the site tells the wet-bulb temperature."""
    return has_both_sides(site) and any(
        _WET_BULB in device.metrics() for device in site.with_role("station")
    )


def wet_bulb_chart(ask: ChartAsk) -> Chart:
    """Hourly PUE against the wet-bulb temperature of the same hour.

    Raises:
        StoreError: The store does not answer.
    """
    history, words, zone = ask.history, ask.words, ask.site.zone
    hours = _hours(ask, history.period)
    before = _hours(ask, history.before) if history.compares else []
    clouds = [Cloud(words("energy.this_window"), _pairs(hours, zone))]
    if history.compares:
        clouds.insert(0, Cloud(words("chart.compared_label"), _pairs(before, zone), True))
    figure, narrow, axis = draw_scatter(
        clouds, x_words=words("energy.wet_bulb"), x_decimals=0, height=ask.height, words=words
    )
    mine = clouds[-1].points
    summary = words("energy.scatter_none")
    if mine:
        temperatures, values = [x for x, _, _ in mine], [y for _, y, _ in mine]
        summary = words(
            "energy.scatter_summary",
            n=len(mine),
            cold=formats.format_number(min(temperatures), 1),
            warm=formats.format_number(max(temperatures), 1),
            low=formats.format_number(min(values), 3),
            high=formats.format_number(max(values), 3),
        )
    rows = []
    for cloud in reversed(clouds):
        for x, y, hour in cloud.points:
            rows.append(
                (hour.split(" · ")[0], formats.format_number(x, 1), formats.format_number(y, 3))
            )

    def build_csv_rows() -> list[tuple[CsvCell, ...]]:
        return [
            (local_time(start, zone), local_time(start + HOUR_MS, zone), x, y, ask.site.data)
            for start, x, y in (*hours, *before)
        ]

    return Chart(
        figure=figure,
        narrow=narrow,
        subtitle=joined(
            words("energy.scatter_points"),
            words("energy.scatter_hollow") if history.compares else "",
            axis_words(axis, "", words),
        ),
        summary=summary,
        columns=(words("table.time"), words("energy.wet_bulb"), words("pue.short")),
        rows=tuple(rows),
        csv_columns=("start", "end", "wet_bulb_c", "pue", "data"),
        csv_rows=build_csv_rows,
    )


def _hours(ask: ChartAsk, period: Period) -> list[tuple[int, float, float]]:
    station = next(
        device for device in ask.site.with_role("station") if _WET_BULB in device.metrics()
    )
    wet = read_hourly_means(ask, "weather", station.id, _WET_BULB, period)
    kpis = ("pue", "facility_energy", "it_energy")
    pue: Series = read_kpi_series(ask, kpis, period, "hour")["pue"]
    return [
        (start, wet[start], value)
        for start, value in zip(pue.start_ms, pue.values, strict=True)
        if value is not None and start in wet
    ]


def _pairs(
    hours: Sequence[tuple[int, float, float]], zone: ZoneInfo
) -> tuple[tuple[float, float, str], ...]:
    return tuple(
        (
            x,
            y,
            f"{moment_text(start, HOUR_MS, zone)} · {formats.format_number(x, 1)} °C · "
            f"PUE {formats.format_number(y, 3)}",
        )
        for start, x, y in hours
    )


ENERGY_CHARTS: tuple[ChartSpec, ...] = (
    ChartSpec("energy-pue", "energy.pue_title", "c8", PUE_HEIGHT, pue_chart, has_both_sides),
    ChartSpec(
        "pue-wet-bulb",
        "energy.scatter_title",
        "c4",
        _SCATTER_HEIGHT,
        wet_bulb_chart,
        applies=has_wet_bulb,
    ),
    ChartSpec("facility-power", "energy.facility_title", "c6", 200, facility_chart, has_both_sides),
    ChartSpec("it-power", "it.title", "c6", 200, it_chart, has_both_sides),
    small_multiple("it"),
    small_multiple("cooling", *COOLING_ROLES),
    small_multiple("losses", "ups_input"),
    small_multiple("lighting", *LIGHTING_ROLES),
)
