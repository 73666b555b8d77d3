"""Every chart of every page, declared once; a page shows exactly those that it lists."""

from __future__ import annotations

from dashboard.accelerator_charts import ACCELERATOR_CHARTS
from dashboard.chart_spec import ChartPage, ChartSpec
from dashboard.charts_energy import ENERGY_CHARTS
from dashboard.charts_overview import OVERVIEW_CHARTS
from dashboard.intake_charts import INTAKE_CHARTS
from dashboard.solar_charts import SOLAR_CHARTS
from dashboard.water_charts import WATER_CHARTS

PAGES: dict[str, ChartPage] = {
    page.name: page
    for page in (
        ChartPage("overview", OVERVIEW_CHARTS, default="day"),
        ChartPage("energy", ENERGY_CHARTS, default="week"),
        ChartPage("water", WATER_CHARTS, default="month"),
        ChartPage("solar", SOLAR_CHARTS, default="week"),
        ChartPage("accelerators", ACCELERATOR_CHARTS, default="week"),
        ChartPage("intake", INTAKE_CHARTS, default="week"),
    )
}

CHARTS: dict[str, ChartSpec] = {spec.id: spec for page in PAGES.values() for spec in page.charts}


def page_of(chart_id: str) -> str:
    """Name of the page that lists a chart."""
    return next(
        name for name, page in PAGES.items() if any(spec.id == chart_id for spec in page.charts)
    )
