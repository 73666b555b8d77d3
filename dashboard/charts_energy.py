"""The charts of a site's energy page."""

from __future__ import annotations

from dashboard.chart_spec import ChartSpec
from dashboard.electric_charts import (
    POWER_HEIGHT,
    PUE_HEIGHT,
    has_both_sides,
    power_chart,
    pue_chart,
)

ENERGY_CHARTS: tuple[ChartSpec, ...] = (
    ChartSpec("energy-pue", "energy.pue_title", "c12", PUE_HEIGHT, pue_chart, has_both_sides),
    ChartSpec("energy-power", "power.title", "c12", POWER_HEIGHT, power_chart, has_both_sides),
)
