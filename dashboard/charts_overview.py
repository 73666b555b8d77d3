"""The charts of a site's overview."""

from __future__ import annotations

from dashboard.chart_spec import ChartSpec
from dashboard.electric_charts import (
    POWER_HEIGHT,
    has_both_sides,
    power_chart,
    pue_chart,
)
from dashboard.outlook_charts import OUTLOOK_HEIGHT, pue_outlook

OVERVIEW_CHARTS: tuple[ChartSpec, ...] = (
    ChartSpec(
        "pue-outlook",
        "outlook.title",
        "c8",
        OUTLOOK_HEIGHT,
        pue_outlook,
        has_both_sides,
        evidence="pue",
        has_facts=True,
    ),
    ChartSpec("power", "power.title", "c6", POWER_HEIGHT, power_chart, has_both_sides),
    ChartSpec("pue", "energy.pue_title", "c6", POWER_HEIGHT, pue_chart, has_both_sides),
)
