"""Which meter is the likely cause of an impossible PUE; reasons in the order of their weight."""

from __future__ import annotations

import numpy as np

from analytics.energy import ENERGY
from analytics.figures import Question
from analytics.sides import Side, Term
from core.periods import INTERVAL_MS, INTERVAL_S
from core.samples import Floats

# Counter and power of one meter, or a meter and its sub-meters, may differ by so much.
_AGREEMENT = 0.05
_RATING_MARGIN = 1.1


def likely_meter(question: Question, facility: Side, it: Side, at: int) -> str:
    """One sentence naming the meter that most likely makes IT energy exceed facility energy.

    In this order: a meter whose counter and power disagree; an IT meter above its rating; an IT
    meter that shows more than the meter above it; a supply meter that stands still; the largest IT
    meter, beside the largest supply meter.
    """
    period = _slice(question, at)
    terms = [*facility.terms, *it.terms]
    for term in sorted(terms, key=lambda term: -abs(_sum(term.amount, period))):
        said = _self_contradiction(question, term)
        if said:
            return said
    for term in it.terms:
        said = _above_rating(term, period) or _above_parent(question, term, period)
        if said:
            return said
    feeds = [term for term in facility.terms if term.is_anchor]
    still = [term for term in feeds if _sum(np.abs(term.amount), period) == 0.0]
    largest_it = max(it.terms, key=lambda term: _sum(term.amount, period))
    if still and len(still) < len(feeds):
        names = ", ".join(term.flow.main_series() for term in still)
        return f"the likely meter is {names}, which stands still while IT energy flows"
    supply = max(facility.terms, key=lambda term: _sum(term.amount, period))
    return (
        f"look at {largest_it.flow.main_series()} ({_sum(largest_it.amount, period):,.1f} kWh, the "
        f"largest IT meter) and at {supply.flow.main_series()} "
        f"({_sum(supply.amount, period):,.1f} kWh, the largest supply)"
    )


def _slice(question: Question, at: int) -> slice:
    period, grid = question.tiling.periods[at], question.tiling.grid
    first = (period.start_ms - grid.start_ms) // INTERVAL_MS
    return slice(first, first + round(period.seconds) // INTERVAL_S)


def _sum(values: Floats, period: slice) -> float:
    return float(values[period].sum())


def _self_contradiction(question: Question, term: Term) -> str:
    quantity = term.flow.quantity
    check = question.reader.cross_check(term.flow.device, quantity)
    if check.seconds == 0.0 or not abs(check.measured) > 0.0:
        return ""
    if abs(check.ratio - 1.0) <= _AGREEMENT:
        return ""
    return (
        f"the likely meter is {term.flow.device.id}: its counter shows {check.ratio:.3g} times "
        "the energy of its power"
    )


def _above_rating(term: Term, period: slice) -> str:
    rated = [state.rated_kw for state in term.flow.device.states if state.rated_kw]
    hours = float(term.flow.usable_s[period].sum()) / 3600.0
    if not rated or hours == 0.0:
        return ""
    mean_kw = _sum(term.amount, period) / hours
    if mean_kw <= max(rated) * _RATING_MARGIN:
        return ""
    return (
        f"the likely meter is {term.flow.main_series()}: a mean of {mean_kw:,.0f} kW against a "
        f"rating of {max(rated):,.0f} kW"
    )


def _above_parent(question: Question, term: Term, period: slice) -> str:
    parent = question.site.devices.get(term.flow.device.latest.parent)
    if parent is None or parent.family != "energy":
        return ""
    (above,) = question.reader.flows([parent], ENERGY)
    both = (above.usable_s > 0.0) & (term.flow.usable_s > 0.0)
    child = _sum(np.where(both, term.amount, 0.0), period)
    whole = _sum(np.where(both, above.amount, 0.0), period)
    if child <= whole * (1.0 + _AGREEMENT) or child == 0.0:
        return ""
    return (
        f"the likely meter is {term.flow.main_series()}: {child:,.1f} kWh against {whole:,.1f} kWh "
        f"of {parent.id} above it"
    )
