"""Solar KPIs after IEC 61724-1, for each array and for the site."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from analytics import formulas
from analytics.boundary import has_role, pv_arrays
from analytics.energy import IRRADIATION, PV
from analytics.figures import Question, Subject, ratio_figures, refused_figures, sum_figures
from analytics.sides import Side, Term, term_of
from core.kpis import KpiValue
from core.periods import INTERVAL_S
from core.samples import Floats
from core.sites import Device

_IS_PV = has_role("pv_array")
# Below this mean irradiance the inverter's own draw and the sensor's offset decide the ratio.
_LEAST_IRRADIANCE = 20.0
# More than this times the rated power is no solar power, whatever the clouds do.
MOST_OF_RATED = 1.2


def pv_energy(question: Question) -> list[KpiValue]:
    """AC energy; what the inverters draw at night is negative and counts."""
    found: list[KpiValue] = []
    for subject_id, arrays in _subjects(question):
        found += sum_figures(
            question,
            Subject("pv_energy", subject_id, "pv_energy/1"),
            _energy_side(question, arrays),
            check=_above_rated(question, arrays),
        )
    return found


def pv_specific_yield(question: Question) -> list[KpiValue]:
    """AC energy per rated power, in kWh/kWp."""

    def per(rated_kwp: Floats, _seconds: Floats) -> Floats:
        return rated_kwp

    return _per_rating(question, "pv_specific_yield", per)


def pv_capacity_factor(question: Question) -> list[KpiValue]:
    """AC energy over what the rated power would give all the time."""

    def per(rated_kwp: Floats, seconds: Floats) -> Floats:
        return rated_kwp * seconds / 3600.0

    return _per_rating(question, "pv_capacity_factor", per)


def _per_rating(
    question: Question, kpi: str, per: Callable[[Floats, Floats], Floats]
) -> list[KpiValue]:
    found: list[KpiValue] = []
    seconds = question.tiling.seconds()
    for subject_id, arrays in _subjects(question):
        subject = Subject(kpi, subject_id, f"{kpi}/1")
        unrated = [array.id for array in arrays if not _is_rated(array)]
        if unrated:
            found += refused_figures(question, subject, f"{unrated[0]} declares no rated_kwp")
            continue
        # The mean over the period: an array that came in its course counts from then.
        rated_kwp = question.tiling.sums(_rated_kwp(question, arrays) * INTERVAL_S) / seconds
        found += sum_figures(
            question,
            subject,
            _energy_side(question, arrays),
            parts={"rated_kwp": rated_kwp},
            check=_above_rated(question, arrays, per(rated_kwp, seconds)),
            per=per(rated_kwp, seconds),
        )
    return found


def pv_performance_ratio(question: Question) -> list[KpiValue]:
    """Final yield over reference yield, in intervals of at least 20 W/m2 mean irradiance.

    The site's ratio weighs each array's irradiation with its rated power, so that each orientation
    is measured against its own plane.
    """
    found: list[KpiValue] = []
    for subject_id, arrays in _subjects(question):
        subject = Subject("pv_performance_ratio", subject_id, "pv_performance_ratio/1")
        lacking = [a for a in arrays if IRRADIATION.rate not in a.metrics() or not _is_rated(a)]
        if lacking:
            reason = f"{lacking[0].id} needs rated_kwp and its own plane-of-array irradiance"
            found += refused_figures(question, subject, reason)
            continue
        energy: list[Term] = []
        reference: list[Term] = []
        for array in arrays:
            (flow,) = question.reader.flows([array], PV)
            (irradiation,) = question.reader.flows([array], IRRADIATION)
            sunny = irradiation.amount * 3600.0 >= _LEAST_IRRADIANCE * irradiation.usable_s
            kwp = _rated_kwp(question, [array])
            energy.append(term_of(flow, _IS_PV, weight=np.where(sunny, 1.0, 0.0)))
            reference.append(
                term_of(irradiation, _IS_PV, weight=np.where(sunny, kwp / 1000.0, 0.0))
            )
        found += ratio_figures(
            question,
            subject,
            Side("pv_energy_kwh", question.tiling, energy),
            Side("reference_energy_kwh", question.tiling, reference),
            lambda a, b: formulas.divide(a, b, "irradiation on the array"),
            has_uncertainty=False,  # an array declares its meter's accuracy, not its sensor's
        )
    return found


def _subjects(question: Question) -> list[tuple[str, list[Device]]]:
    arrays = pv_arrays(question.site)
    return [("site", arrays), *((array.id, [array]) for array in arrays)]


def _energy_side(question: Question, arrays: Sequence[Device]) -> Side:
    flows = question.reader.flows(arrays, PV)
    return Side("pv_energy_kwh", question.tiling, [term_of(flow, _IS_PV) for flow in flows])


def _is_rated(array: Device) -> bool:
    return all(state.rated_kwp is not None for state in array.states if _IS_PV(state))


def _rated_kwp(question: Question, arrays: Sequence[Device]) -> Floats:
    """(n,) rated power of the arrays that exist in each interval."""
    total = np.zeros(question.tiling.grid.count)
    for flow in question.reader.flows(arrays, PV):
        states = flow.device.states
        rated = [state.rated_kwp or 0.0 if _IS_PV(state) else 0.0 for state in states]
        total += np.array([*rated, 0.0])[flow.state]
    return total


def _above_rated(
    question: Question, arrays: Sequence[Device], per: Floats | None = None
) -> Callable[[int, float], str]:
    """A check that names arrays whose energy their rated power cannot give."""
    most = _rated_kwp(question, arrays) * (MOST_OF_RATED * INTERVAL_S / 3600.0)
    most_kwh = question.tiling.sums(most)
    is_rated = all(_is_rated(array) for array in arrays)
    names = ", ".join(f"{array.id}/{PV.counter}" for array in arrays)

    def check(at: int, value: float) -> str:
        energy_kwh = value if per is None else value * float(per[at])
        if not is_rated or energy_kwh <= most_kwh[at] + 1e-6:
            return ""
        return (
            f"{energy_kwh:,.1f} kWh are more than {MOST_OF_RATED} times the rated power gives in "
            f"this period: {names} or rated_kwp is wrong"
        )

    return check
