"""The charts of the water page: rain over the tank's volume, and water by its source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from core.kpis import KpiValue
from core.sites import Site
from dashboard import formats
from dashboard.chart_spec import Chart, ChartAsk, ChartSpec
from dashboard.figures.line_data import Line, Series
from dashboard.figures.lines import joined, shifted
from dashboard.figures.panels import Bars, Panel
from dashboard.kpi_charts import compare_words
from dashboard.resource_charts import RESOLUTION_WORDS, Told, held_chart, panel_chart
from dashboard.resource_series import (
    bar_resolution,
    computed_rows,
    first_device,
    gauge_series,
    series_of,
    summed_series,
)
from dashboard.water_views import SOURCE_SHADES, has_water

TANK_HEIGHT = 300
SOURCE_HEIGHT = 260
_SOURCES = (
    ("mains_m3", "part.mains_m3", "mains_supply"),
    ("reclaimed_m3", "part.reclaimed_m3", "reclaimed_supply"),
    ("groundwater_m3", "part.groundwater_m3", "groundwater_supply"),
    ("rain_reused_m3", "part.rain_reused_m3", "rain_used"),
)


def has_tank(site: Site) -> bool:
    """Whether the volume of a rain tank can be told from its level."""
    level = first_device(site, "rain_tank", "tank_level_m")
    return bool(level) and site.rain is not None and bool(site.rain.tank_table)


def tank_chart(ask: ChartAsk) -> Chart:
    """Rain above, the volume of the tank below, over the same days."""
    site, words = ask.site, ask.words
    rain = site.rain
    assert rain is not None  # `has_tank`
    resolution = ask.history.resolution
    tank = first_device(site, "rain_tank", "tank_level_m")
    level = gauge_series(ask, "water", tank, "tank_level_m", resolution)
    volume = _volumes(level, site)
    full = rain.tank_volume_m3
    stored = Line(
        name=words("water.chart_volume"),
        series=volume,
        csv_name="tank_volume_m3",
        label=_last(volume, "m³"),
    )
    lines, told = [stored], [Told(stored, "m³", 1)]
    if ask.history.compares:
        before = _before(ask, tank)
        lines.append(before)
        told.append(Told(before, "m³", 1))
    panels = [
        Panel(
            words("water.chart_volume_unit"),
            "m³",
            1,
            lines=tuple(lines),
            share=2.2,
            marks=((full, words("water.chart_full", full=formats.format_number(full, 0))),),
            from_zero=True,
        )
    ]
    station = first_device(site, "station", "rain_mm")
    if station:
        bars = summed_series(ask, "weather", station, "rain_mm", bar_resolution(ask.history))
        name = words("water.chart_rain")
        unit = words("water.rain_a_day" if bars.step_ms > 3_600_000 else "water.rain_an_hour")
        panels.insert(0, Panel(unit, "mm", 1, bars=(Bars(name, bars, "g2"),), most_lines=3))
        fallen = summed_series(ask, "weather", station, "rain_mm", resolution)
        told.append(Told(Line(name, fallen, "rain_mm", averages=False), "mm", 1))
    return panel_chart(
        ask,
        panels,
        told,
        height=TANK_HEIGHT,
        subtitle=joined(
            words("water.chart_tank_subtitle", resolution=words(RESOLUTION_WORDS[resolution])),
            compare_words(ask.history, words),
        ),
    )


def _before(ask: ChartAsk, tank: str) -> Line:
    """The volume of the earlier stretch, drawn on the days that it is compared with."""
    history = ask.history
    earlier = replace(ask, history=replace(history, period=history.before, name="custom"))
    level = gauge_series(earlier, "water", tank, "tank_level_m", history.resolution)
    return Line(
        name=ask.words("chart.compared_line", name=ask.words("water.chart_volume")),
        series=shifted(_volumes(level, ask.site), history.later_ms),
        csv_name="tank_volume_m3_before",
        style="compare",
    )


def _volumes(level: Series, site: Site) -> Series:
    rain = site.rain
    assert rain is not None  # `has_tank`
    return replace(
        level,
        values=tuple(None if value is None else rain.volume_m3(value) for value in level.values),
    )


def _last(series: Series, unit: str) -> str:
    value = series.last()
    return "" if value is None else f"{formats.format_number(value, 1)} {unit}"


def source_chart(ask: ChartAsk) -> Chart:
    """Mains, reclaimed, ground and rain water of each day or hour, one upon the other."""
    site, words = ask.site, ask.words
    resolution = bar_resolution(ask.history)
    rows = computed_rows(ask, ("total_water",), resolution)
    bars, told = [], []
    for part, word, role in _SOURCES:
        if not site.with_role(role):
            continue
        series = series_of(rows, ask, resolution, _part(part))
        bars.append(Bars(words(word), series, SOURCE_SHADES[part]))
        told.append(Told(Line(words(word), series, part, averages=False), "m³", 1))
    panel = Panel(words("water.chart_source_unit"), "m³", 1, bars=tuple(bars))
    below = any(value < 0.0 for one in bars for value in one.series.values if value is not None)
    subtitle = words(RESOLUTION_WORDS[resolution])
    if below:
        subtitle = f"{subtitle} · {words('water.chart_below')}"
    return panel_chart(ask, [panel], told, height=SOURCE_HEIGHT, subtitle=subtitle)


def _part(name: str) -> Callable[[KpiValue], float | None]:
    return lambda row: row.parts.get(name)


WATER_CHARTS: tuple[ChartSpec, ...] = (
    ChartSpec(
        "water-tank",
        "water.chart_tank",
        "c12",
        TANK_HEIGHT,
        held_chart("water-tank", tank_chart),
        has_tank,
    ),
    ChartSpec(
        "water-sources",
        "water.chart_sources",
        "c8",
        SOURCE_HEIGHT,
        held_chart("water-sources", source_chart),
        has_water,
    ),
)
