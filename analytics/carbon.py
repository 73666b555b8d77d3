"""CUE by location and by market: CO2 of imported electricity and of generator fuel over IT energy.

Exports earn no credit. Factors are dated; every interval takes the one in force on its local day,
and the figure says which were used. By market, what contracts cover has their factor; the rest has
the residual mix of the grid and, where none is known, the grid's own factor (GHG Protocol Scope 2
Guidance, order of preference), and the figure says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analytics import formulas
from analytics.boundary import grid_feeds, has_role
from analytics.electricity import generator_terms, imported_kwh, it_side, procured_share
from analytics.energy import ENERGY
from analytics.factors import GENERATOR_FUEL, GRID_LOCATION, GRID_RESIDUAL, Factor
from analytics.figures import Question, Subject, ratio_figures
from analytics.sides import Side, Term, term_of
from analytics.spans import Flags
from analytics.tiling import local_days
from core.kpis import KpiValue
from core.samples import Floats
from core.supply_contracts import SupplyContract

_FILE = "config/factors.toml"


@dataclass(slots=True)
class _Dated:
    """A dated factor over the grid.

    Attributes:
        kg: (n,) NaN where none is in force.
        used: Each factor with the intervals, (n,), that it gave.
    """

    kg: Floats
    used: list[tuple[Factor, Flags]]

    def known(self) -> Flags:
        return ~np.isnan(self.kg)

    def only(self, where: Flags) -> _Dated:
        return _Dated(self.kg, [(factor, given & where) for factor, given in self.used])


def cue_location(question: Question) -> list[KpiValue]:
    """CUE with the grid's own factor."""
    grid = _dated(question, GRID_LOCATION)
    return _cue(question, "cue_location", grid.kg, {GRID_LOCATION: grid}, _no_contract)


def cue_market(question: Question) -> list[KpiValue]:
    """CUE with the factors of the contracts by which electricity is bought."""
    location, residual = _dated(question, GRID_LOCATION), _dated(question, GRID_RESIDUAL)
    rest = np.where(residual.known(), residual.kg, location.kg)
    shares = [
        (contract, procured_share(question, contract))
        for contract in question.site.supply_contracts
        if contract.counts
    ]
    total = np.sum([share for _, share in shares], axis=0) if shares else np.zeros(len(rest))
    # More procured than imported in an interval: the rest of it is nobody's here.
    fitting = np.where(total > 1.0, 1.0 / np.maximum(total, 1.0), 1.0)
    contracted = np.zeros(len(rest))
    for contract, share in shares:
        contracted += share * fitting * contract.kgco2eq_per_kwh
    left = np.clip(1.0 - total, 0.0, 1.0)
    kg = np.where(left > 0.0, contracted + left * rest, contracted)
    uses_location = ~residual.known() & (left > 0.0)

    def told(at: int) -> dict[str, Any]:
        in_force = question.tiling.any
        said: dict[str, Any] = {
            "supply_contracts": [
                _contract_json(contract) for contract, share in shares if in_force(share > 0.0)[at]
            ]
        }
        if in_force(uses_location)[at]:
            # No residual mix of the grid is known: what no contract covers has the grid's own.
            said["fallback"] = GRID_LOCATION
        return said

    return _cue(
        question,
        "cue_market",
        kg,
        {GRID_RESIDUAL: residual.only(left > 0.0), GRID_LOCATION: location.only(uses_location)},
        told,
    )


def _no_contract(_at: int) -> dict[str, Any]:
    return {}


def _cue(
    question: Question,
    kpi: str,
    grid_kg: Floats,
    grid_factors: Mapping[str, _Dated],
    told: Callable[[int], dict[str, Any]],
) -> list[KpiValue]:
    subject = Subject(kpi, "site", f"{kpi}/2", question.category)
    tiling = question.tiling
    fuel = _dated(question, GENERATOR_FUEL)
    imported = imported_kwh(question)
    lacking = {GRID_LOCATION: tiling.any(np.isnan(grid_kg) & (imported != 0.0))}
    emitted = _import_terms(question, np.nan_to_num(grid_kg))
    burning = np.zeros(tiling.grid.count, dtype=np.bool_)
    unrated: list[tuple[str, Flags]] = []
    for term in generator_terms(question):
        ran = (term.amount != 0.0) & term.expected
        litres = _litres_per_kwh(term)
        burning |= ran
        unrated.append((term.flow.device.id, tiling.any(ran & np.isnan(litres))))
        emitted.append(_weighted(term, np.nan_to_num(litres) * np.nan_to_num(fuel.kg)))
    lacking[GENERATOR_FUEL] = tiling.any(burning & np.isnan(fuel.kg))
    fuel = fuel.only(burning)

    def impossible(at: int) -> str:
        for name, missing in lacking.items():
            if missing[at]:
                zone = question.site.zone.key
                return (
                    f"no factor {name!r} for sites in {zone} is in force for all of the period "
                    f"({_FILE})"
                )
        for device, missing in unrated:
            if missing[at]:
                return f"{device} ran and declares no fuel_l_per_kwh: its emissions are not known"
        return ""

    def factors_at(at: int) -> dict[str, Any]:
        dated = {**grid_factors, GENERATOR_FUEL: fuel}
        found: dict[str, Any] = {}
        for name, one in dated.items():
            used = [factor.as_json() for factor, where in one.used if tiling.any(where)[at]]
            if used:
                found[name] = used
        return {**found, **told(at)}

    kg_of = [
        Side("imports", tiling, emitted[: len(grid_feeds(question.site))]).sums(),
        Side("generators", tiling, emitted[len(grid_feeds(question.site)) :]).sums(),
    ]
    return ratio_figures(
        question,
        subject,
        Side("emissions_kg", tiling, emitted),
        it_side(question),
        formulas.cue,
        factors=factors_at,
        impossible=impossible,
        parts={"imported_electricity_kg": kg_of[0], "generator_fuel_kg": kg_of[1]},
    )


def _dated(question: Question, name: str) -> _Dated:
    """The factor of each interval, and those that gave it; a factor of the site's own zone."""
    zone = question.site.zone
    known: Sequence[Factor] = [
        factor
        for factor in question.factors.get(name, ())
        if factor.name == name and factor.counts_in(zone.key)
    ]
    count = question.tiling.grid.count
    found = _Dated(np.full(count, np.nan), [])
    if not known:
        return found
    days, place = local_days(question.tiling.grid, zone)
    by_day = [
        max((f for f in known if f.covers(day)), key=lambda f: f.valid_from, default=None)
        for day in days
    ]
    for factor in known:
        where = np.array([chosen is factor for chosen in by_day], dtype=np.bool_)[place]
        if where.any():
            found.kg[where] = factor.kg
            found.used.append((factor, where))
    return found


def _litres_per_kwh(term: Term) -> Floats:
    rates = [state.fuel_l_per_kwh for state in term.flow.device.states]
    found: Floats = np.array([np.nan if rate is None else rate for rate in [*rates, None]])[
        term.flow.state
    ]
    return found


def _import_terms(question: Question, factor: Floats) -> list[Term]:
    """What each feed imported, times the factor; what goes out earns nothing."""
    flows = question.reader.flows(grid_feeds(question.site), ENERGY)
    return [
        term_of(flow, has_role("grid_feed"), weight=np.where(flow.amount > 0.0, factor, 0.0))
        for flow in flows
    ]


def _weighted(term: Term, factor: Floats) -> Term:
    return Term(term.flow, term.weight * factor, term.expected, term.is_anchor)


def _contract_json(contract: SupplyContract) -> dict[str, Any]:
    return {
        "id": contract.id,
        "kind": contract.kind,
        "share": contract.share,
        "volume_mwh": contract.volume_mwh,
        "value": contract.kgco2eq_per_kwh,
        "unit": "kgCO2eq/kWh",
        "certificates": contract.certificates,
        "source": contract.source,
        "valid_from": contract.valid_from.isoformat(),
        "valid_to": contract.valid_to.isoformat() if contract.valid_to else None,
    }
