"""From sums to figures: gate, reasons, shares, uncertainty, and what a figure is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time
from typing import Any

import numpy as np

from analytics.energy import FlowReader
from analytics.factors import Factors
from analytics.sides import Side, shares_of
from analytics.spans import Flags
from analytics.tiling import Tiling
from core.errors import InsufficientDataError
from core.kpis import KPIS, Coverages, KpiValue
from core.periods import INTERVAL_S, Period
from core.quality import Shares, Verdict
from core.samples import Floats
from core.sites import Site

Parts = Mapping[str, Floats | float]
_ROUNDING = 1e-9


@dataclass(slots=True)
class Question:
    """What one call asks, and the reader that its KPIs share.

    Attributes:
        category: Point at which IT energy is metered: 1, 2 or 3.
        factors: Dated factors by name, for KPIs that need them.
    """

    site: Site
    tiling: Tiling
    now: datetime
    category: int
    reader: FlowReader
    factors: Factors = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Subject:
    """What a list of figures is about.

    Attributes:
        version: Version of the formula, kept with every figure.
        category: PUE category where IT energy takes part.
    """

    kpi: str
    id: str
    version: str
    category: int | None = None


def is_interim(period: Period, site: Site) -> bool:
    """True unless the period is exactly twelve consecutive local months."""
    start, end = period.start.astimezone(site.zone), period.end.astimezone(site.zone)
    borders = all(t.day == 1 and t.time() == time(0) for t in (start, end))
    months = (end.year - start.year) * 12 + end.month - start.month
    return not (borders and months == 12)


def sum_figures(
    question: Question,
    subject: Subject,
    side: Side,
    *,
    parts: Parts | None = None,
    check: Callable[[int, float], str] | None = None,
    less: Floats | None = None,
    less_missing: str = "",
    per: Floats | None = None,
    has_uncertainty: bool = True,
) -> list[KpiValue]:
    """Figures that are one sum: an energy, a volume.

    Args:
        parts: Named sums, (m,) each, for the evidence.
        check: From a period's position and value, why the value is impossible; empty where not.
        less: (m,) what to take off the sum of each period, NaN where it is not known; the figure is
            then refused with `less_missing`.
        per: (m,) what to divide the sum of each period by; refused where it is zero.
        has_uncertainty: False where the meters of the terms are not all that the figure rests on.
    """
    values, coverage = side.sums(), side.coverage()
    summed = values
    if less is not None:
        values = values - less
    if per is not None:
        less_missing = f"none of {side.name} is declared for this period"
        values = np.divide(values, per, out=np.full(values.shape, np.nan), where=per > 0.0)
    sources, meters = side.source_amounts(), side.meter_uncertainty()
    series = side.series()
    found = []
    for at, period in enumerate(question.tiling.periods):
        value = float(values[at])
        verdict = question.site.gate.verdict(float(coverage[at]))
        reason = coverage_reason(question, at, verdict, [side])
        impossible = less_missing if np.isnan(value) else check(at, value) if check else ""
        if impossible and verdict is not Verdict.REFUSED:
            verdict, reason = Verdict.REFUSED, impossible
        found.append(
            _figure(
                question,
                subject,
                period,
                value=value,
                verdict=verdict,
                reason=reason,
                coverage=Coverages(float(coverage[at])),
                sources=[sources[:, at]],
                uncertainty=_combine(
                    [column[at] for column in meters.values()],
                    1.0 if per is None or per[at] <= 0.0 else 1.0 / float(per[at]),
                )
                if has_uncertainty
                else None,
                series=_names(series, at),
                parts={side.name: float(summed[at]), **_at(parts, at)},
            )
        )
    return found


def ratio_figures(
    question: Question,
    subject: Subject,
    numerator: Side,
    denominator: Side,
    formula: Callable[[float, float], float],
    *,
    scale: float = 1.0,
    parts: Parts | None = None,
    suspect: Callable[[int], str] | None = None,
    factors: Callable[[int], Mapping[str, Any]] | None = None,
    impossible: Callable[[int], str] | None = None,
    has_uncertainty: bool = True,
) -> list[KpiValue]:
    """Figures that are a sum over a sum of the same intervals.

    An interval takes part when both sides are covered in it as the gate asks for a provisional
    figure. Where all is covered, that is the whole period; where a side has a hole, leaving the
    interval out of both sides keeps the ratio unbiased.

    Args:
        formula: From numerator and denominator; what it cannot answer it raises as
            `InsufficientDataError`.
        scale: Value of the formula for 1 over 1, to scale the uncertainty.
        suspect: Names the likely meter of a period whose value is impossible.
        factors: From a period's position, what dated factors it rests on.
        impossible: From a period's position, why it has no figure although its meters are covered;
            empty where it has one.
        has_uncertainty: False where a side rests on more than meters of declared accuracy.
    """
    tiling = question.tiling
    both, together = common_intervals(question, [numerator, denominator])
    above, below = numerator.sums(both), denominator.sums(both)
    coverages = numerator.coverage(), denominator.coverage()
    sources = numerator.source_amounts(both), denominator.source_amounts(both)
    meters = _ratio_meters(numerator, denominator, both, above, below)
    series = [*numerator.series(both), *denominator.series(both)]
    found = []
    for at, period in enumerate(tiling.periods):
        covered = [float(coverage[at]) for coverage in coverages]
        verdict = question.site.gate.verdict(*covered, float(together[at]))
        reason = coverage_reason(
            question, at, verdict, [numerator, denominator], together=float(together[at])
        )
        value: float | None = None
        why = impossible(at) if impossible and verdict is not Verdict.REFUSED else ""
        if why:
            verdict, reason = Verdict.REFUSED, why
        if verdict is not Verdict.REFUSED:
            try:
                value = formula(float(above[at]), float(below[at]))
            except InsufficientDataError as error:
                verdict, reason = Verdict.REFUSED, str(error)
                likely = suspect(at) if suspect else ""
                reason = f"{reason}; {likely}" if likely else reason
        found.append(
            _figure(
                question,
                subject,
                period,
                value=value,
                verdict=verdict,
                reason=reason,
                coverage=Coverages(*covered),
                sources=[side[:, at] for side in sources],
                uncertainty=_combine([column[at] for column in meters.values()], scale)
                if has_uncertainty
                else None,
                series=_names(series, at),
                parts={
                    numerator.name: float(above[at]),
                    denominator.name: float(below[at]),
                    "covered_together": float(together[at]),
                    **_at(parts, at),
                },
                factors=factors(at) if factors else None,
            )
        )
    return found


def refused_figures(question: Question, subject: Subject, reason: str) -> list[KpiValue]:
    """One refused figure for each period, all for the same reason."""
    return [
        _figure(
            question,
            subject,
            period,
            value=None,
            verdict=Verdict.REFUSED,
            reason=reason,
            coverage=Coverages(None, None),
            sources=[],
            uncertainty=None,
            series=(),
            parts={},
        )
        for period in question.tiling.periods
    ]


def common_intervals(question: Question, sides: Sequence[Side]) -> tuple[Flags, Floats]:
    """Intervals, (n,), that every side covers, and the share of each period, (m,), in them."""
    least = np.min([side.interval_coverage() for side in sides], axis=0)
    both = least >= question.site.gate.provisional - _ROUNDING
    seconds = question.tiling.sums(np.where(both, least, 0.0) * INTERVAL_S)
    return both, seconds / question.tiling.seconds()


def coverage_reason(
    question: Question,
    at: int,
    verdict: Verdict,
    sides: Sequence[Side],
    *,
    together: float | None = None,
) -> str:
    """Why a figure is provisional or refused for want of coverage, naming the meter."""
    if verdict is Verdict.FINAL:
        return ""
    period = question.tiling.periods[at]
    if period.start >= question.now:
        return "the period has not begun"
    gate = question.site.gate
    needed = gate.final if verdict is Verdict.PROVISIONAL else gate.provisional
    kind = "a final" if verdict is Verdict.PROVISIONAL else "any"
    ending = f"; {kind} figure needs {needed:.0%}"
    if period.end > question.now:
        ending += " (the period has not ended)"
    worst, covered = _worst_meter(sides, at)
    if worst == "":
        return f"no meter of {covered} is declared for this period"
    assert isinstance(covered, float)
    if covered < needed - _ROUNDING:
        return f"{worst} is covered for {_percent(covered)} of the period{ending}"
    if together is not None and together < needed - _ROUNDING:
        share = _percent(together)
        return f"all meters together are covered for {share} of the period{ending}"
    exists = min(float(side.coverage()[at]) for side in sides)
    return f"the meters exist for {_percent(exists)} of the period{ending}"


def _worst_meter(sides: Sequence[Side], at: int) -> tuple[str, float | str]:
    """The least covered series of all sides, or an empty name and the side that has none."""
    worst, least = "", np.inf
    for side in sides:
        table = side.term_coverage()
        column = table[:, at] if len(table) else np.array([])
        if np.isnan(column).all():
            return "", side.name
        place = int(np.nanargmin(column))
        if side.by_members:
            # One of many alike; what counts is the share of all of them.
            mean = float(side.coverage()[at])
            if mean < least:
                lost = int((column < 1.0 - _ROUNDING).sum())
                name = side.terms[place].flow.main_series()
                worst = name if lost == 1 else f"{name} and {lost - 1} more together"
                least = mean
        elif float(column[place]) < least:
            worst, least = side.terms[place].flow.main_series(), float(column[place])
    return worst, float(least)


def _percent(share: float) -> str:
    # Never rounded up to a threshold that was missed.
    return f"{np.floor(share * 1000.0 + 1e-6) / 10.0:.1f} %"


def _ratio_meters(
    numerator: Side, denominator: Side, both: Flags, above: Floats, below: Floats
) -> dict[str, Floats]:
    """Device -> (m,) standard uncertainty that its meter gives the ratio, signed.

    R = N / D, so a meter's part is (dN - R dD) / D: a meter on both sides partly cancels.
    """
    found: dict[str, Floats] = {}
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(below > 0.0, above / below, 0.0)
        inverse = np.where(below > 0.0, 1.0 / below, 0.0)
    for device, part in numerator.meter_uncertainty(both).items():
        found[device] = part * inverse
    for device, part in denominator.meter_uncertainty(both).items():
        found[device] = found.get(device, np.zeros_like(part)) - ratio * part * inverse
    return found


def _combine(parts: Sequence[float], scale: float = 1.0) -> float | None:
    """Expanded uncertainty (k = 2) of independent meters; None where a class is not declared."""
    combined = float(np.sqrt(np.sum(np.square(parts)))) if len(parts) else float("nan")
    return None if np.isnan(combined) else 2.0 * combined * scale


def _names(series: Sequence[tuple[str, Flags]], at: int) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name, used in series if used[at]))


def _at(parts: Parts | None, at: int) -> dict[str, float]:
    return {
        name: float(column if isinstance(column, float | int) else column[at])
        for name, column in (parts or {}).items()
    }


def _figure(
    question: Question,
    subject: Subject,
    period: Period,
    *,
    value: float | None,
    verdict: Verdict,
    reason: str,
    coverage: Coverages,
    sources: Sequence[Floats],
    uncertainty: float | None,
    series: tuple[str, ...],
    parts: Mapping[str, float],
    factors: Mapping[str, Any] | None = None,
) -> KpiValue:
    site = question.site
    is_shown = verdict is not Verdict.REFUSED
    gate = {"gate_final": site.gate.final, "gate_provisional": site.gate.provisional}
    return KpiValue(
        kpi=subject.kpi,
        subject=subject.id,
        start=period.start,
        end=period.end,
        interim=is_interim(period, site),
        # A sum of nothing and a negative weight is -0.0, which nobody wants to read.
        value=value + 0.0 if is_shown and value is not None else None,
        unit=KPIS[subject.kpi].unit,
        verdict=verdict,
        reason=reason,
        category=subject.category,
        coverage=coverage,
        shares=shares_of(sources, is_simulated=site.is_simulated) if is_shown else Shares(),
        formula_version=subject.version,
        uncertainty=uncertainty if is_shown else None,
        factors=dict(factors or {}) if is_shown else {},
        series=series,
        parts={**(parts if is_shown else {}), **gate},
    )
