"""Electricity: facility and IT energy, PUE, renewable energy, heat reuse, use of own solar power.

E_DC = grid imports - grid exports + generators + on-site PV (AC). Batteries stand inside the
boundary and count through their losses, which the supply side already holds.
"""

from __future__ import annotations

import numpy as np

from analytics import formulas
from analytics.boundary import (
    devices_that,
    generators,
    grid_feeds,
    has_role,
    it_meters,
    meters_it,
    pv_arrays,
)
from analytics.energy import ENERGY, EXPORT, HEAT, NET_ENERGY, PV
from analytics.figures import Question, Subject, ratio_figures, refused_figures, sum_figures
from analytics.sides import Side, StatePredicate, Term, term_of
from analytics.suspects import likely_meter
from analytics.tiling import local_days
from core.kpis import KpiValue
from core.periods import INTERVAL_S, local_midnight
from core.samples import Floats
from core.sites import DeviceState
from core.supply_contracts import SupplyContract


def facility_side(question: Question) -> Side:
    """E_DC from the supply side; solar power alone is no supply of a data centre."""
    terms = [*feed_terms(question), *generator_terms(question), *pv_terms(question, _is_pv)]
    return Side("facility_energy_kwh", question.tiling, terms)


def it_side(question: Question) -> Side:
    """E_IT at the category point of the question."""
    belongs = meters_it(question.category)
    flows = question.reader.flows(it_meters(question.site, question.category), ENERGY)
    return Side("it_energy_kwh", question.tiling, [term_of(flow, belongs) for flow in flows])


def feed_terms(question: Question) -> list[Term]:
    """Imports less exports of each grid feed."""
    feeds = grid_feeds(question.site)
    exporting = [feed for feed in feeds if EXPORT.counter in feed.metrics()]
    importing = [feed for feed in feeds if feed not in exporting]
    flows = [
        *question.reader.flows(exporting, NET_ENERGY),
        *question.reader.flows(importing, ENERGY),
    ]
    return [term_of(flow, has_role("grid_feed")) for flow in flows]


def generator_terms(question: Question) -> list[Term]:
    """Energy of each generator; beside a grid feed it is no supply that stands for itself."""
    flows = question.reader.flows(generators(question.site), ENERGY)
    alone = not grid_feeds(question.site)
    return [term_of(flow, has_role("generator"), is_anchor=alone) for flow in flows]


def pv_terms(
    question: Question, belongs: StatePredicate, *, weight: Floats | float = 1.0
) -> list[Term]:
    """AC energy of the arrays whose state belongs."""
    arrays = [a for a in pv_arrays(question.site) if any(belongs(state) for state in a.states)]
    flows = question.reader.flows(arrays, PV)
    return [term_of(flow, belongs, weight=weight, is_anchor=False) for flow in flows]


def exported_kwh(question: Question) -> Floats:
    """(n,) energy given to the grid: by its counter, else by what the power shows going out."""
    exported = np.zeros(question.tiling.grid.count)
    for term in feed_terms(question):
        device = term.flow.device
        if term.flow.quantity is not NET_ENERGY:
            exported += np.where(term.expected, np.maximum(-term.flow.amount, 0.0), 0.0)
            continue
        (counted,) = question.reader.flows([device], EXPORT)
        out = np.where(term.flow.by_rate, np.maximum(-term.flow.amount, 0.0), counted.amount)
        exported += np.where(term.expected, out, 0.0)
    return exported


def imported_kwh(question: Question) -> Floats:
    """(n,) energy that the feeds took from the grid; exports are no negative import."""
    imported = np.zeros(question.tiling.grid.count)
    for flow in question.reader.flows(grid_feeds(question.site), ENERGY):
        term = term_of(flow, has_role("grid_feed"))
        imported += np.maximum(term.amount, 0.0)
    return imported


def procured_share(question: Question, contract: SupplyContract) -> Floats:
    """(n,) share of the imported electricity that a contract gives.

    A volume is spread evenly over its contract's days and counts in the quarter of an hour in which
    it is used: what is procured beyond the imports of a quarter is not moved to another one. A
    share above 1 is possible then.
    """
    zone = question.site.zone
    days, place = local_days(question.tiling.grid, zone)
    in_force = np.array([contract.covers(day) for day in days], dtype=np.bool_)[place]
    if contract.share is not None:
        return np.where(in_force, contract.share, 0.0)
    assert contract.volume_mwh is not None
    assert contract.valid_to is not None
    whole = local_midnight(contract.valid_to, zone) - local_midnight(contract.valid_from, zone)
    procured_kwh = contract.volume_mwh * 1000.0 * INTERVAL_S / whole.total_seconds()
    imported = imported_kwh(question)
    share = np.zeros(len(imported))
    np.divide(procured_kwh, imported, out=share, where=in_force & (imported > 0.0))
    return share


def used_share_of_pv(question: Question) -> Floats:
    """(n,) share of the solar energy that stayed on site; exports are taken to come from it."""
    generated = Side("pv", question.tiling, pv_terms(question, _is_pv)).amounts()
    kept = np.ones_like(generated)
    np.divide(generated - exported_kwh(question), generated, out=kept, where=generated > 0.0)
    return np.clip(kept, 0.0, 1.0)


def facility_energy(question: Question) -> list[KpiValue]:
    """Facility energy with its supplies."""
    side = facility_side(question)
    subject = Subject("facility_energy", "site", "facility_energy/1")
    return sum_figures(question, subject, side, parts=_supplies(question))


def it_energy(question: Question) -> list[KpiValue]:
    """IT energy at the category point."""
    subject = Subject("it_energy", "site", "it_energy/1", question.category)
    return sum_figures(question, subject, it_side(question))


def pue(question: Question) -> list[KpiValue]:
    """Facility energy over IT energy; an impossible value names the likely meter."""
    facility, it = facility_side(question), it_side(question)
    return ratio_figures(
        question,
        Subject("pue", "site", "pue/1", question.category),
        facility,
        it,
        formulas.pue,
        suspect=lambda at: likely_meter(question, facility, it, at),
    )


def ref(question: Question) -> list[KpiValue]:
    """Renewable energy used here with its certificates kept over facility energy.

    On-site solar energy that stays, and what contracts procure whose certificates are cancelled for
    the site (or were never issued).
    """
    subject = Subject("ref", "site", "ref/2")
    contracts = [c for c in question.site.supply_contracts if c.renewable and c.counts]
    if not pv_arrays(question.site) and not contracts:
        return refused_figures(question, subject, "no renewable supply is declared")
    # An array whose certificates are sold or not declared adds nothing, but it is a renewable
    # supply all the same: the figure then is a known zero.
    terms = [
        *pv_terms(question, _keeps_certificates, weight=used_share_of_pv(question)),
        *pv_terms(question, _gives_certificates, weight=0.0),
    ]
    on_site = Side("on_site", question.tiling, terms).sums()
    bought: dict[str, Floats] = {}
    procured = np.zeros(question.tiling.grid.count)
    for contract in contracts:
        # Two contracts never count for the same kWh.
        share = np.clip(procured_share(question, contract), 0.0, 1.0 - procured)
        procured += share
        kwh = question.tiling.sums(share * imported_kwh(question))
        name = f"{'ppa' if contract.kind == 'ppa' else 'certificates'}_kwh"
        bought[name] = bought.get(name, np.zeros_like(kwh)) + kwh
    if contracts:
        flows = question.reader.flows(grid_feeds(question.site), ENERGY)
        terms += [
            term_of(flow, has_role("grid_feed"), weight=np.where(flow.amount > 0.0, procured, 0.0))
            for flow in flows
        ]
    renewable = Side("renewable_energy_kwh", question.tiling, [_anchored(term) for term in terms])
    return ratio_figures(
        question,
        subject,
        renewable,
        facility_side(question),
        formulas.ref,
        parts={"on_site_kwh": on_site, **bought},
    )


def self_consumption(question: Question) -> list[KpiValue]:
    """Share of the solar energy that was used on site."""
    subject = Subject("self_consumption", "site", "self_consumption/1")
    used, generated = _used_and_generated(question)
    return ratio_figures(
        question, subject, used, generated, lambda a, b: formulas.divide(a, b, "PV energy")
    )


def self_sufficiency(question: Question) -> list[KpiValue]:
    """Share of the facility energy that on-site solar power gave."""
    subject = Subject("self_sufficiency", "site", "self_sufficiency/1")
    used, _ = _used_and_generated(question)
    return ratio_figures(
        question,
        subject,
        used,
        facility_side(question),
        lambda a, b: formulas.divide(a, b, "facility energy"),
    )


def erf(question: Question) -> list[KpiValue]:
    """Heat reused outside the boundary over facility energy."""
    subject = Subject("erf", "site", "erf/1")
    return ratio_figures(
        question, subject, _reuse_side(question), facility_side(question), formulas.erf
    )


def ere(question: Question) -> list[KpiValue]:
    """Facility energy less reused heat, over IT energy."""
    subject = Subject("ere", "site", "ere/1", question.category)
    reuse = [
        term_of(term.flow, has_role("heat_reuse"), weight=-1.0, is_anchor=False)
        for term in _reuse_side(question).terms
    ]
    facility = facility_side(question)
    remaining = Side("energy_less_reuse_kwh", question.tiling, [*facility.terms, *reuse])
    return ratio_figures(
        question,
        subject,
        remaining,
        it_side(question),
        lambda a, b: formulas.ere(a, 0.0, b),
    )


def _is_pv(state: DeviceState) -> bool:
    return state.role == "pv_array"


def _keeps_certificates(state: DeviceState) -> bool:
    return _is_pv(state) and state.certificates == "retained"


def _gives_certificates(state: DeviceState) -> bool:
    return _is_pv(state) and state.certificates != "retained"


def _anchored(term: Term) -> Term:
    return Term(term.flow, term.weight, term.expected)


def _used_and_generated(question: Question) -> tuple[Side, Side]:
    share = used_share_of_pv(question)
    used = [_anchored(term) for term in pv_terms(question, _is_pv, weight=share)]
    generated = [_anchored(term) for term in pv_terms(question, _is_pv)]
    return (
        Side("pv_used_kwh", question.tiling, used),
        Side("pv_energy_kwh", question.tiling, generated),
    )


def _reuse_side(question: Question) -> Side:
    devices = devices_that(question.site, has_role("heat_reuse"))
    flows = question.reader.flows(devices, HEAT)
    terms = [term_of(flow, has_role("heat_reuse")) for flow in flows]
    return Side("reused_heat_kwh", question.tiling, terms)


def _supplies(question: Question) -> dict[str, Floats]:
    tiling = question.tiling
    net = Side("grid", tiling, feed_terms(question)).sums()
    exported = tiling.sums(exported_kwh(question))
    return {
        "grid_import_kwh": net + exported,
        "grid_export_kwh": exported,
        "generator_kwh": Side("generators", tiling, generator_terms(question)).sums(),
        "pv_kwh": Side("pv", tiling, pv_terms(question, _is_pv)).sums(),
    }
