"""Water: WUE of total and potable water, rain reuse, and the balance of the rain system.

Conventions of the meters: `mains_supply` is the boundary meter of potable water and has counted the
tank's top-up already; `rain_used` is what the rain system delivers, top-up included. So

    total water = mains + reclaimed + groundwater + (rain used - top-up)
    potable water = mains
"""

from __future__ import annotations

from analytics import formulas
from analytics.boundary import WATER_SUPPLIES, devices_that, has_role
from analytics.electricity import it_side
from analytics.energy import RAIN, VOLUME
from analytics.figures import (
    Question,
    Subject,
    ratio_figures,
    refused_figures,
    sum_figures,
)
from analytics.sides import Side, Term, term_of
from analytics.tank import stored_volumes
from core.errors import InsufficientDataError
from core.kpis import KpiValue
from core.samples import Floats
from core.sites import Site

_NO_SUPPLY = "no water supply is metered (roles mains_supply, reclaimed_supply, groundwater_supply)"
_NO_RAIN_USE = "no meter of role rain_used is declared"


def volume_terms(question: Question, *roles: str, weight: float = 1.0) -> list[Term]:
    """Volumes of the devices with one of these roles."""
    belongs = has_role(*roles)
    flows = question.reader.flows(devices_that(question.site, belongs), VOLUME)
    return [term_of(flow, belongs, weight=weight) for flow in flows]


def rain_terms(question: Question) -> list[Term]:
    """Rain reused: delivered less top-up."""
    return [
        *volume_terms(question, "rain_used"),
        *volume_terms(question, "tank_top_up", weight=-1.0),
    ]


def total_water_side(question: Question) -> Side:
    """All water that was taken, rain reused with it."""
    terms = [*volume_terms(question, *WATER_SUPPLIES), *rain_terms(question)]
    return Side("total_water_m3", question.tiling, terms)


def has_supply(site: Site) -> bool:
    """Whether the site meters a water supply."""
    return bool(devices_that(site, has_role(*WATER_SUPPLIES)))


def wue(question: Question) -> list[KpiValue]:
    """Total water (category 2) per IT energy."""
    subject = Subject("wue", "site", "wue/1", question.category)
    if not has_supply(question.site):
        return refused_figures(question, subject, _NO_SUPPLY)
    return ratio_figures(
        question,
        subject,
        total_water_side(question),
        it_side(question),
        formulas.wue,
        scale=1000.0,
        parts=_by_source(question),
    )


def total_water(question: Question) -> list[KpiValue]:
    """All water that was taken, by its source; rain reused with it."""
    subject = Subject("total_water", "site", "total_water/1")
    if not has_supply(question.site):
        return refused_figures(question, subject, _NO_SUPPLY)
    return sum_figures(question, subject, total_water_side(question), parts=_by_source(question))


def _by_source(question: Question) -> dict[str, Floats]:
    return {
        "mains_m3": _sum(question, "mains_supply"),
        "reclaimed_m3": _sum(question, "reclaimed_supply"),
        "groundwater_m3": _sum(question, "groundwater_supply"),
        "rain_reused_m3": Side("rain", question.tiling, rain_terms(question)).sums(),
    }


def wue_potable(question: Question) -> list[KpiValue]:
    """Potable water (category 1) per IT energy; the tank's top-up is part of the mains meter."""
    subject = Subject("wue_potable", "site", "wue_potable/1", question.category)
    if not devices_that(question.site, has_role("mains_supply")):
        return refused_figures(question, subject, "no meter of role mains_supply is declared")
    potable = Side("potable_water_m3", question.tiling, volume_terms(question, "mains_supply"))
    return ratio_figures(question, subject, potable, it_side(question), formulas.wue, scale=1000.0)


def wue_source(question: Question) -> list[KpiValue]:
    """Refused: nothing is known of the water that the Korean grid takes per kWh."""
    subject = Subject("wue_source", "site", "wue_source/1", question.category)
    reason = "no water-intensity factor of the grid is known (L per kWh of grid electricity)"
    return refused_figures(question, subject, reason)


def rain_reuse_ratio(question: Question) -> list[KpiValue]:
    """Rain reused over total water."""
    subject = Subject("rain_reuse_ratio", "site", "rain_reuse_ratio/1")
    if not devices_that(question.site, has_role("rain_used")):
        return refused_figures(question, subject, _NO_RAIN_USE)
    if not has_supply(question.site):
        return refused_figures(question, subject, _NO_SUPPLY)
    rain = Side("rain_reused_m3", question.tiling, rain_terms(question))
    return ratio_figures(question, subject, rain, total_water_side(question), _reuse_share)


def _reuse_share(rain_m3: float, total_m3: float) -> float:
    if rain_m3 < 0.0:
        raise InsufficientDataError(
            f"{-rain_m3:.3f} m3 more mains water was put into the tank than the rain system "
            "delivered; the difference is still stored, ask for a longer period"
        )
    return formulas.divide(rain_m3, total_m3, "total water")


def potable_water_avoided(question: Question) -> list[KpiValue]:
    """Rain reused, which took the place of mains water."""
    subject = Subject("potable_water_avoided", "site", "potable_water_avoided/1")
    if not devices_that(question.site, has_role("rain_used")):
        return refused_figures(question, subject, _NO_RAIN_USE)
    parts = {
        "rain_used_m3": _sum(question, "rain_used"),
        "top_up_m3": _sum(question, "tank_top_up"),
    }
    side = Side("rain_reused_m3", question.tiling, rain_terms(question))
    return sum_figures(question, subject, side, parts=parts)


def rain_collection_efficiency(question: Question) -> list[KpiValue]:
    """Collected over rain on the catchment; the run-off coefficient is printed beside it."""
    subject = Subject("rain_collection_efficiency", "site", "rain_collection_efficiency/1")
    site = question.site
    stations = [d for d in site.with_role("station") if "rain_mm" in d.metrics()]
    collected = volume_terms(question, "rain_collected")
    if site.rain is None or not stations or not collected:
        reason = "needs a [rain] system, a meter of role rain_collected and a station with rain_mm"
        return refused_figures(question, subject, reason)
    per_mm = site.rain.catchment_m2 / 1000.0
    flows = question.reader.flows(stations[:1], RAIN)
    fallen = [term_of(flow, has_role("station"), weight=per_mm) for flow in flows]
    return ratio_figures(
        question,
        subject,
        Side("collected_m3", question.tiling, collected),
        Side("rain_on_catchment_m3", question.tiling, fallen),
        _collected_share,
        parts={"runoff_coefficient": site.rain.runoff, "catchment_m2": site.rain.catchment_m2},
    )


def _collected_share(collected_m3: float, fallen_m3: float) -> float:
    share = formulas.divide(collected_m3, fallen_m3, "rain on the catchment")
    if share > 1.0:
        raise InsufficientDataError(
            f"{collected_m3:,.1f} m3 were collected of {fallen_m3:,.1f} m3 that fell on the "
            "catchment: the rain gauge, the catchment area or the meter of role rain_collected "
            "is wrong"
        )
    return share


def rain_unexplained(question: Question) -> list[KpiValue]:
    """What the balance of the rain system leaves open, in m3."""
    subject = Subject("rain_unexplained", "site", "rain_unexplained/1")
    flows = {
        "collected_m3": ("rain_collected", 1.0),
        "top_up_m3": ("tank_top_up", 1.0),
        "used_m3": ("rain_used", -1.0),
        "overflow_m3": ("rain_overflow", -1.0),
        "drained_m3": ("rain_drain", -1.0),
    }
    missing = [role for role in ("rain_collected", "rain_used") if not _metered(question, role)]
    if missing:
        return refused_figures(question, subject, f"no meter of role {missing[0]} is declared")
    stored = stored_volumes(question)
    if isinstance(stored, str):
        return refused_figures(question, subject, stored)
    terms = [
        term
        for role, weight in flows.values()
        for term in volume_terms(question, role, weight=weight)
    ]
    return sum_figures(
        question,
        subject,
        Side("flows_less_storage_m3", question.tiling, terms),
        parts={
            **{name: _sum(question, role) for name, (role, _) in flows.items()},
            "stored_m3": stored,
        },
        less=stored,
        less_missing="the tank's level at the start or the end of the period is not known",
        has_uncertainty=False,
    )


def _metered(question: Question, role: str) -> bool:
    return bool(devices_that(question.site, has_role(role)))


def _sum(question: Question, role: str) -> Floats:
    return Side(role, question.tiling, volume_terms(question, role)).sums()
