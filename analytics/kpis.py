"""KPIs of a site for a period, or for each calendar period in it, from the stored intervals.

Definitions, boundaries and decisions are in `docs/kpis.md`. A KPI is a list of figures: one for
each period and subject, each with verdict, coverage, shares, uncertainty and what it was made of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from analytics import accelerators, carbon, electricity, solar, water
from analytics.boundary import (
    WATER_SUPPLIES,
    devices_that,
    generators,
    grid_feeds,
    has_role,
    it_meters,
    pv_arrays,
)
from analytics.boundary import accelerators as accelerators_of
from analytics.energy import ENERGY, EXPORT, RAIN, VOLUME, FlowReader
from analytics.factors import Factors
from analytics.figures import Question, Subject, refused_figures
from analytics.tiling import Tiling
from core.errors import NotFoundError
from core.kpis import KPIS, KpiValue
from core.periods import Period, Resolution
from core.ports import RollupRecords, TimeSeriesStore
from core.sites import Device, Site

DevicesOf = Callable[[Site, int], list[Device]]


@dataclass(frozen=True, slots=True)
class KpiFormula:
    """How a KPI is computed.

    Attributes:
        compute: From the question to figures.
        needs: Groups of devices: a site can have the KPI when it has a device of each group.
    """

    compute: Callable[[Question], list[KpiValue]]
    needs: tuple[DevicesOf, ...]


def _supply(site: Site, _category: int) -> list[Device]:
    return [*grid_feeds(site), *generators(site)]


def _feeds(site: Site, _category: int) -> list[Device]:
    return grid_feeds(site)


def _it(site: Site, category: int) -> list[Device]:
    return it_meters(site, category)


def _pv(site: Site, _category: int) -> list[Device]:
    return pv_arrays(site)


def _renewable(site: Site, _category: int) -> list[Device]:
    bought = any(contract.renewable and contract.counts for contract in site.supply_contracts)
    return [*pv_arrays(site), *(grid_feeds(site) if bought else ())]


def _accelerators(site: Site, _category: int) -> list[Device]:
    return accelerators_of(site)[1]


def _role(*roles: str) -> DevicesOf:
    return lambda site, _category: devices_that(site, has_role(*roles))


_WATER = _role(*WATER_SUPPLIES)
_RAIN_USED = _role("rain_used")

FORMULAS: dict[str, KpiFormula] = {
    "facility_energy": KpiFormula(electricity.facility_energy, (_supply,)),
    "it_energy": KpiFormula(electricity.it_energy, (_it,)),
    "pue": KpiFormula(electricity.pue, (_supply, _it)),
    "wue": KpiFormula(water.wue, (_WATER, _it)),
    "wue_potable": KpiFormula(water.wue_potable, (_role("mains_supply"), _it)),
    "wue_source": KpiFormula(water.wue_source, (_WATER, _it)),
    "total_water": KpiFormula(water.total_water, (_WATER,)),
    "ref": KpiFormula(electricity.ref, (_renewable, _supply)),
    "erf": KpiFormula(electricity.erf, (_role("heat_reuse"), _supply)),
    "ere": KpiFormula(electricity.ere, (_role("heat_reuse"), _supply, _it)),
    "cue_location": KpiFormula(carbon.cue_location, (_feeds, _it)),
    "cue_market": KpiFormula(carbon.cue_market, (_feeds, _it)),
    "rain_reuse_ratio": KpiFormula(water.rain_reuse_ratio, (_RAIN_USED, _WATER)),
    "rain_collection_efficiency": KpiFormula(
        water.rain_collection_efficiency, (_role("rain_collected"), _role("station"))
    ),
    "potable_water_avoided": KpiFormula(water.potable_water_avoided, (_RAIN_USED,)),
    "rain_unexplained": KpiFormula(
        water.rain_unexplained, (_role("rain_collected"), _RAIN_USED, _role("rain_tank"))
    ),
    "pv_energy": KpiFormula(solar.pv_energy, (_pv,)),
    "pv_specific_yield": KpiFormula(solar.pv_specific_yield, (_pv,)),
    "pv_performance_ratio": KpiFormula(solar.pv_performance_ratio, (_pv,)),
    "pv_capacity_factor": KpiFormula(solar.pv_capacity_factor, (_pv,)),
    "self_consumption": KpiFormula(electricity.self_consumption, (_pv, _feeds)),
    "self_sufficiency": KpiFormula(electricity.self_sufficiency, (_pv, _feeds)),
    "accelerator_energy": KpiFormula(accelerators.accelerator_energy, (_accelerators,)),
    "accelerator_reconciliation": KpiFormula(
        accelerators.accelerator_reconciliation, (_accelerators, _it)
    ),
}
_ALWAYS_REFUSED = ("wue_source",)
# Named in the catalogue, computed by a later version of these formulas.
_NOT_YET = "this version computes no such figure"


def compute_kpis(
    reader: TimeSeriesStore,
    events: RollupRecords,
    site: Site,
    period: Period,
    *,
    kpis: Sequence[str] | None = None,
    category: int | None = None,
    now: datetime,
    factors: Factors | None = None,
) -> list[KpiValue]:
    """KPIs of one period; see `compute_kpi_rows`."""
    return compute_kpi_rows(
        reader,
        events,
        site,
        period,
        resolution="period",
        kpis=kpis,
        category=category,
        now=now,
        factors=factors,
    )


def compute_kpi_rows(
    reader: TimeSeriesStore,
    events: RollupRecords,
    site: Site,
    period: Period,
    *,
    resolution: Resolution = "period",
    kpis: Sequence[str] | None = None,
    category: int | None = None,
    now: datetime,
    factors: Factors | None = None,
) -> list[KpiValue]:
    """KPIs of the calendar periods of the site's zone, cut to `period`.

    Args:
        reader: Holds the intervals. Series are read in bulk, counters first; powers only of devices
            whose counter leaves something open.
        events: Holds the counter gaps.
        kpis: Ids to compute; without, every KPI that the site can have. One that it cannot have is
            refused with the reason when it is asked for by name.
        category: Point at which IT energy is metered; the site's declared one without.
        now: Periods that begin later are refused as not begun.
        factors: Dated emission factors by name, for CUE.

    Returns:
        In the order of `kpis` (or of the catalogue), then subject, then start.

    Raises:
        ConfigurationError: The period is not on the 15-minute grid.
        NotFoundError: An unknown KPI id.
        StoreError: The store does not answer.
    """
    tiling = Tiling.of(period, site.zone, resolution)
    question = Question(
        site,
        tiling,
        now,
        category or site.pue_category,
        FlowReader(reader, events, site, tiling),
        factors or {},
    )
    return answer(question, kpis)


def answer(question: Question, kpis: Sequence[str] | None = None) -> list[KpiValue]:
    """The figures of a question; raises as `compute_kpi_rows`."""
    unknown = [name for name in kpis or () if name not in KPIS]
    if unknown:
        raise NotFoundError(f"no KPI {unknown[0]!r}; one of {', '.join(KPIS)}")
    if kpis is None:
        kpis = [
            name
            for name in applicable_kpis(question.site, question.category)
            if question.factors or not name.startswith("cue_")
        ]
    _read_ahead(question, kpis)
    found: list[KpiValue] = []
    for name in kpis:
        formula = FORMULAS.get(name)
        missing = _NOT_YET if formula is None else missing_for(question, name)
        if formula is None or missing:
            rests_on_it = formula is not None and _it in formula.needs
            category = question.category if rests_on_it else None
            found += refused_figures(
                question, Subject(name, "site", f"{name}/1", category), missing
            )
        else:
            found += formula.compute(question)
    return found


def applicable_kpis(site: Site, category: int | None = None) -> list[str]:
    """KPIs that a site can have by its declared devices, in the order of the catalogue."""
    point = category or site.pue_category
    return [
        name
        for name in KPIS
        if name in FORMULAS
        and name not in _ALWAYS_REFUSED
        and all(need(site, point) for need in FORMULAS[name].needs)
    ]


def missing_for(question: Question, kpi: str) -> str:
    """Why the site cannot have a KPI, naming what to declare; empty where it can."""
    site, category = question.site, question.category
    for need in FORMULAS[kpi].needs:
        if need(site, category):
            continue
        if need is _it:
            role = {1: "ups_output", 2: "pdu_output", 3: "it_input"}[category]
            return (
                f"no meter of IT energy at category {category} is declared (role {role}, or "
                f"pue_category = {category})"
            )
        words: dict[DevicesOf, str] = {
            _supply: "grid feed or generator",
            _feeds: "grid feed",
            _pv: "solar array",
            _renewable: "solar array and no renewable supply contract",
            _accelerators: "accelerator, node or cluster total",
            _WATER: "water supply",
            _RAIN_USED: "meter of role rain_used",
        }
        return f"the site declares no {words.get(need, 'device of a role that it needs')}"
    return ""


def _read_ahead(question: Question, kpis: Sequence[str]) -> None:
    """One bulk read of the counters that the KPIs need, by family."""
    devices: dict[str, Device] = {}
    for name in kpis:
        formula = FORMULAS.get(name)
        for need in formula.needs if formula else ():
            devices.update((d.id, d) for d in need(question.site, question.category))
        if name in {"facility_energy", "pue", "ref", "self_sufficiency", "erf", "ere"}:
            devices.update((d.id, d) for d in pv_arrays(question.site))
    counters = [ENERGY.counter, EXPORT.counter, VOLUME.counter, RAIN.counter]
    question.reader.load(devices.values(), [*counters, "ac_energy_kwh", "energy_kwh"])
