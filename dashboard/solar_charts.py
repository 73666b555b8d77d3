"""The charts of the solar page: output over the rating's share of irradiance, array by array."""

from __future__ import annotations

from dataclasses import replace

from analytics.boundary import pv_arrays
from core.kpis import KpiValue
from core.sites import Device
from dashboard import formats
from dashboard.card_words import CardWords
from dashboard.chart_spec import Chart, ChartAsk, ChartSpec
from dashboard.figures.line_data import Line
from dashboard.figures.lines import joined, shifted
from dashboard.figures.panels import Panel
from dashboard.kpi_charts import compare_words
from dashboard.resource_charts import RESOLUTION_WORDS, Told, held_chart, panel_chart
from dashboard.resource_series import computed_rows, gauge_series, mean_power, series_of
from dashboard.solar_views import has_solar

HEIGHT = 420
_IRRADIANCE = "poa_irradiance_w_per_m2"


def arrays_chart(ask: ChartAsk) -> Chart:
    """Mean output of each array, and what the irradiance on its plane led to expect.

    What inverters draw at night is below zero and stays there.
    """
    words, resolution = ask.words, ask.history.resolution
    rows = computed_rows(ask, ("pv_energy",), resolution)
    before = _before(ask, rows)
    panels, told = [], []
    for array in pv_arrays(ask.site):
        name = CardWords(ask.site, ask.history.now_ms, words).array_name(array.id, array.latest)
        output = _output(ask, rows, array)
        lines = [output]
        expected = _expected(ask, array)
        if expected is not None:
            lines.append(expected)
        told += [Told(_named(line, name), "kW", 1) for line in lines]
        if (compared := before.get(array.id)) is not None:
            lines.append(compared)
            told.append(Told(_named(compared, name), "kW", 1))
        rated = formats.format_number(array.latest.rated_kwp, 0)
        title = words("solar.chart_panel", name=name, rated=rated)
        panels.append(Panel(title, "kW", 1, lines=tuple(lines), from_zero=True, most_lines=3))
    return panel_chart(
        ask,
        panels,
        told,
        height=HEIGHT,
        subtitle=joined(
            words("solar.chart_subtitle", resolution=words(RESOLUTION_WORDS[resolution])),
            compare_words(ask.history, words),
        ),
    )


def _output(ask: ChartAsk, rows: list[KpiValue], array: Device) -> Line:
    series = series_of(
        [row for row in rows if row.subject == array.id], ask, ask.history.resolution, mean_power
    )
    return Line(
        name=ask.words("solar.chart_output"),
        series=series,
        csv_name=f"{array.id}_output_kw",
        label=ask.words("solar.chart_output"),
    )


def _expected(ask: ChartAsk, array: Device) -> Line | None:
    rated = array.latest.rated_kwp
    if rated is None or _IRRADIANCE not in array.metrics():
        return None
    irradiance = gauge_series(ask, "solar", array.id, _IRRADIANCE, ask.history.resolution)
    return Line(
        name=ask.words("solar.chart_expected"),
        series=irradiance.mapped(lambda w_per_m2: max(0.0, w_per_m2) / 1000.0 * rated),
        csv_name=f"{array.id}_expected_kw",
        style="second",
        label=ask.words("solar.chart_expected"),
    )


def _before(ask: ChartAsk, rows: list[KpiValue]) -> dict[str, Line]:
    """Output of the earlier stretch on the later days, by array; empty without comparison."""
    history = ask.history
    if not history.compares or not rows:
        return {}
    earlier = replace(ask, history=replace(history, period=history.before, name="custom"))
    found = computed_rows(earlier, ("pv_energy",), history.resolution)
    lines = {}
    for array in pv_arrays(ask.site):
        series = series_of(
            [row for row in found if row.subject == array.id],
            earlier,
            history.resolution,
            mean_power,
        )
        lines[array.id] = Line(
            name=ask.words("chart.compared_line", name=ask.words("solar.chart_output")),
            series=shifted(series, history.later_ms),
            csv_name=f"{array.id}_output_kw_before",
            style="compare",
        )
    return lines


def _named(line: Line, array: str) -> Line:
    return replace(line, name=f"{array} {line.name}")


SOLAR_CHARTS: tuple[ChartSpec, ...] = (
    ChartSpec(
        "solar-arrays",
        "solar.chart_arrays",
        "c12",
        HEIGHT,
        held_chart("solar-arrays", arrays_chart),
        has_solar,
    ),
)
