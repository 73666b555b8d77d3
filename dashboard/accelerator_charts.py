"""The chart of the accelerators' page: energy by kind over time."""

from __future__ import annotations

from analytics.boundary import accelerators as accelerators_of
from dashboard.accelerator_views import KINDS, has_accelerators
from dashboard.chart_spec import Chart, ChartAsk, ChartSpec
from dashboard.figures.line_data import Line
from dashboard.figures.panels import Bars, Panel
from dashboard.resource_charts import RESOLUTION_WORDS, Told, held_chart, panel_chart
from dashboard.resource_series import bar_resolution, computed_rows, series_of

HEIGHT = 280
_SHADES = {"gpu": "g2", "npu": "g1"}


def energy_chart(ask: ChartAsk) -> Chart:
    """Energy of each hour or day: a panel a kind, as one kind would hide the other."""
    words, resolution = ask.words, bar_resolution(ask.history)
    rows = computed_rows(ask, ("accelerator_energy",), resolution)
    devices = accelerators_of(ask.site)[1]
    panels, told = [], []
    for kind in KINDS:
        if not any(device.latest.kind == kind for device in devices):
            continue
        name = kind.upper()
        series = series_of([row for row in rows if row.subject == kind], ask, resolution)
        panels.append(Panel(f"{name} kWh", "kWh", 1, bars=(Bars(name, series, _SHADES[kind]),)))
        told.append(Told(Line(name, series, f"{kind}_energy_kwh", averages=False), "kWh", 1))
    return panel_chart(
        ask, panels, told, height=HEIGHT, subtitle=words(RESOLUTION_WORDS[resolution])
    )


ACCELERATOR_CHARTS: tuple[ChartSpec, ...] = (
    ChartSpec(
        "accelerator-energy",
        "accelerators.chart_energy",
        "c12",
        HEIGHT,
        held_chart("accelerator-energy", energy_chart),
        has_accelerators,
    ),
)
