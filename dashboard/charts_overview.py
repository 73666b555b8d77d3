"""The charts of a site's overview."""

from __future__ import annotations

from dashboard.chart_spec import ChartSpec
from dashboard.electric_charts import has_both_sides, power_chart

OVERVIEW_CHARTS: tuple[ChartSpec, ...] = (
    ChartSpec("power", "power.title", "c8", 280, power_chart, applies=has_both_sides),
)
