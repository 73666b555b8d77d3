"""Charts of facility and IT power and of PUE, on any page."""

from __future__ import annotations

from dataclasses import replace

from analytics.boundary import generators, grid_feeds, it_meters
from core.sites import Site
from dashboard.chart_spec import Chart, ChartAsk
from dashboard.kpi_charts import KpiLine, kpi_lines_chart, mean_power

POWER_HEIGHT = 280
PUE_HEIGHT = 240
_FACILITY = KpiLine("facility_energy", "power.facility", "facility_power_kw", mean_power)
_IT = KpiLine("it_energy", "power.it", "it_power_kw", mean_power, style="second")
_PUE = KpiLine("pue", "pue.short", "pue", ratio_of=("facility_energy", "it_energy"))


def has_both_sides(site: Site) -> bool:
    """Whether the site has meters of its supply and of its IT."""
    return bool(grid_feeds(site) or generators(site)) and bool(it_meters(site, site.pue_category))


def power_chart(ask: ChartAsk) -> Chart:
    """Facility and IT power as means of the step."""
    return kpi_lines_chart(ask, (_FACILITY, _IT), unit="kW", decimals=0)


def pue_chart(ask: ChartAsk) -> Chart:
    """PUE of each step with its target."""
    return kpi_lines_chart(ask, (_PUE,), unit="", decimals=3, target_kpi="pue")


def facility_chart(ask: ChartAsk) -> Chart:
    """Facility power as means of the step."""
    return kpi_lines_chart(ask, (_FACILITY,), unit="kW", decimals=0)


def it_chart(ask: ChartAsk) -> Chart:
    """IT power as means of the step."""
    return kpi_lines_chart(ask, (replace(_IT, style="measured"),), unit="kW", decimals=0)
