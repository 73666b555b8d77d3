"""How wrong the rules have been: which of them is best at a lead, and how wide its errors spread.

Everything is measured on outcomes that had matured before a given moment. Nothing is assumed about
the shape of the errors.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from analytics.forecasting.history import History
from analytics.forecasting.rules import predict_all
from analytics.spans import Flags
from core.forecasts import (
    HORIZON_BANDS,
    LEARNING_DAYS,
    MODELS,
    QUANTILES,
    ForecastTarget,
    HorizonBand,
)
from core.samples import Floats, Ints

_HOUR_S = 3600
_DAY_S = 86_400
# Errors are pooled between these leads, in hours; a horizon band is never crossed.
_LEAD_BORDERS_H = (0.25, 0.5, 1, 2, 4, 6, 12, 24, 36, 48, 72, 96, 120, 144, 168)
# A 5 % quantile of fewer errors would be their least one.
_LEAST_ERRORS = 24
# A rule takes part in the choice, and its errors make a band, when it has answered at as many
# origins: a day of hours. Many leads of few origins tell of one day's weather only.
_LEAST_ORIGINS = 24
# Errors by the hour of the day need some days of each hour.
_LEAST_ORIGINS_BY_HOUR = 5 * 24
# The choice looks at every third of the origins; the spread at all of them.
_RANK_EVERY = 3
# Errors of neighbouring leads say nearly the same: of later leads only some are looked at.
_EVERY_LEAD_TO_S = {900: 6 * _HOUR_S, _HOUR_S: _DAY_S}
_LEAD_EVERY_S = {900: _HOUR_S, _HOUR_S: 3 * _HOUR_S}
_RULES = tuple(MODELS)


@dataclass(frozen=True, slots=True)
class LeadBand:
    """A horizon band as positions of points: leads [first, last)."""

    band: HorizonBand
    first: int
    last: int


def lead_bands(step_s: int, count: int) -> tuple[LeadBand, ...]:
    """The horizon bands that `count` points of a step reach."""
    cut = [
        LeadBand(band, band.after_s // step_s, min(band.until_s // step_s, count))
        for band in HORIZON_BANDS
    ]
    return tuple(one for one in cut if one.last > one.first)


@dataclass(slots=True, eq=False)
class PastErrors:
    """What each rule would have said at past origins, and what came.

    Attributes:
        history: What is known.
        origins: (p,) ascending, every full hour.
        predicted: (rules, p, m).
        actual: (p, m), NaN where not known (yet).
        weight: (p, m) of each point in a mean: the denominator of a ratio, else 1.
    """

    history: History
    origins: Ints
    predicted: Floats
    actual: Floats
    weight: Floats

    @classmethod
    def measure(cls, history: History, first: int, last: int, count: int) -> PastErrors:
        """Errors of the full hours in [first, last) of the history, `count` points each."""
        per = max(_HOUR_S // history.step_s, 1)
        skip = -(history.start_ms // (history.step_s * 1000)) % per
        first = max(first, 0)
        origins = np.arange(first + (skip - first) % per, last, per, dtype=np.int64)
        return cls.at(history, origins, count)

    @classmethod
    def at(cls, history: History, origins: Ints, count: int) -> PastErrors:
        """Errors of given origins."""
        valid = origins[:, None] + np.arange(count)
        inside = valid < len(history)
        place = np.minimum(valid, max(len(history) - 1, 0))
        actual = np.where(inside, history.values[place], np.nan)
        weight = np.where(inside, history.weights[place], np.nan)
        return cls(history, origins, predict_all(history, origins, count), actual, weight)

    def rows(self, first: int, last: int) -> slice:
        """Rows of the origins in [first, last)."""
        low, high = np.searchsorted(self.origins, [first, last])
        return slice(int(low), int(high))

    @property
    def count(self) -> int:
        """Points of each origin."""
        return int(self.actual.shape[1])


@dataclass(slots=True, eq=False)
class Assessment:
    """The choice of rules and the spread of their errors, as known at one moment.

    Attributes:
        target: What is forecast.
        bands: Horizon bands that the points reach.
        order: For each of them the rules, best first; those never scored last.
        errors: None while nothing can be measured.
        rows: Origins of the window.
        at: Position in the history of the moment; only outcomes before it are looked at.
    """

    target: ForecastTarget
    step_s: int
    bands: tuple[LeadBand, ...]
    order: tuple[tuple[int, ...], ...]
    errors: PastErrors | None
    rows: slice
    at: int
    _spread: dict[tuple[int, int], Floats] = field(default_factory=dict)

    def models(self) -> dict[str, str]:
        """Horizon band -> best rule."""
        return {
            lead.band.name: _RULES[order[0]]
            for lead, order in zip(self.bands, self.order, strict=True)
        }

    def settle(self) -> None:
        """Measure every spread now and let go of the errors, which are a hundred times larger."""
        for place in range(len(self.bands)):
            for rule in range(len(_RULES)):
                self.spread(rule, place)
        self.errors = None

    def spread(self, rule: int, place: int) -> Floats:
        """(5, leads, hours) quantiles of actual less predicted of a rule in one band.

        NaN where too few errors were measured. The median is zero: a rule is served as it is. There
        is one column for all hours of the day, or 24 where the target's errors depend on the hour.
        """
        if (rule, place) not in self._spread:
            self._spread[(rule, place)] = self._measure_spread(rule, self.bands[place])
        return self._spread[(rule, place)]

    def _measure_spread(self, rule: int, lead: LeadBand) -> Floats:
        hours = 24 if self.target.by_hour else 1
        table = np.full((len(QUANTILES), lead.last - lead.first, hours), np.nan)
        table[2] = 0.0
        errors = self.errors
        if errors is None:
            return table
        cut = _sampled(lead, self.step_s)
        valid, usable = _mature(errors, self.rows, cut, self.at)
        found = errors.actual[self.rows, cut] - errors.predicted[rule, self.rows, cut]
        usable &= np.isfinite(found)
        if hours == 24:
            if usable.any(axis=1).sum() < _LEAST_ORIGINS_BY_HOUR:
                return table
            clock = errors.history.clock_hours(valid)[usable].astype(np.uint8)
            order = np.argsort(clock, kind="stable")
            borders = np.searchsorted(clock[order], np.arange(1, 24))
            for hour, values in enumerate(np.split(found[usable][order], borders)):
                table[:, :, hour] = _quantiles(values)[:, None]
            return table
        leads = np.arange(cut.start, cut.stop, cut.step)
        for first, last in _buckets(lead, self.step_s):
            here = slice(*np.searchsorted(leads, [first, last]).tolist())
            if usable[:, here].any(axis=1).sum() >= _LEAST_ORIGINS:
                values = _quantiles(found[:, here][usable[:, here]])
                table[:, first - lead.first : last - lead.first, 0] = values[:, None]
        return table


def assess(target: ForecastTarget, errors: PastErrors, at: int) -> Assessment:
    """Judge the rules by outcomes before the step `at` of the history.

    The window are the origins of the `LEARNING_DAYS` before.
    """
    step_s = errors.history.step_s
    rows = errors.rows(at - LEARNING_DAYS * _DAY_S // step_s, at)
    bands = lead_bands(step_s, errors.count)
    order = tuple(_rank(errors, rows, lead, at) for lead in bands)
    return Assessment(target, step_s, bands, order, errors, rows, at)


def unassessed(target: ForecastTarget, step_s: int, count: int) -> Assessment:
    """What is said before anything could be measured: the rules in their order, no bands."""
    bands = lead_bands(step_s, count)
    order = tuple(tuple(range(len(_RULES))) for _ in bands)
    return Assessment(target, step_s, bands, order, None, slice(0, 0), 0)


def serve(assessment: Assessment, history: History, origins: Ints, predicted: Floats) -> Floats:
    """(5, p, m) quantiles from origins: the best rule of each band with its own measured errors.

    Where it has no answer the next best one speaks, with its own errors.
    """
    table = np.full((len(QUANTILES), *predicted.shape[1:]), np.nan)
    hours_matter = assessment.target.by_hour
    for place, lead in enumerate(assessment.bands):
        cut = slice(lead.first, lead.last)
        part = table[:, :, cut]
        for rule in assessment.order[place]:
            said = predicted[rule, :, cut]
            fills = np.isnan(part[2]) & np.isfinite(said)
            if not fills.any():
                continue
            spread = assessment.spread(rule, place)
            if hours_matter:
                valid = origins[:, None] + np.arange(lead.first, lead.last)
                hour = history.clock_hours(valid)
                around = spread[:, np.arange(lead.last - lead.first), hour]
            else:
                around = np.broadcast_to(spread[:, None, :, 0], part.shape)
            part[:] = np.where(fills, said + around, part)
    return table


def _rank(errors: PastErrors, rows: slice, lead: LeadBand, at: int) -> tuple[int, ...]:
    """Rules by their error over the points that all of the eligible ones answered."""
    everybody = range(len(_RULES))
    rows = slice(rows.start, rows.stop, _RANK_EVERY)
    cut = _sampled(lead, errors.history.step_s)
    _, usable = _mature(errors, rows, cut, at)
    missed = np.abs(errors.predicted[:, rows, cut] - errors.actual[rows, cut])
    answered = np.isfinite(missed) & usable
    counts = answered.sum(axis=(1, 2))
    if not counts.any():
        return tuple(everybody)
    wanted = _LEAST_ORIGINS // _RANK_EVERY * missed.shape[2]
    eligible = [rule for rule in everybody if counts[rule] >= min(wanted, int(counts.max()))]
    common = answered[eligible].all(axis=0)
    weight = errors.weight[rows, cut][common]
    costs = np.array([missed[rule][common] @ weight for rule in eligible])
    ranked = [eligible[place] for place in np.argsort(costs, kind="stable")]
    return (*ranked, *(rule for rule in everybody if rule not in eligible))


def _sampled(lead: LeadBand, step_s: int) -> slice:
    """Leads of a band whose errors are looked at."""
    if lead.first < _EVERY_LEAD_TO_S[step_s] // step_s:
        return slice(lead.first, lead.last, 1)
    every = _LEAD_EVERY_S[step_s] // step_s
    return slice(lead.first + every - 1, lead.last, every)


def _mature(errors: PastErrors, rows: slice, leads: slice, at: int) -> tuple[Ints, Flags]:
    """(p, leads) positions of points, and whether they had ended before `at`."""
    ahead = np.arange(leads.start, leads.stop, leads.step, dtype=np.int64)
    valid: Ints = errors.origins[rows, None] + ahead
    return valid, valid < at


def _buckets(lead: LeadBand, step_s: int) -> list[tuple[int, int]]:
    borders = sorted(
        {lead.first, lead.last}
        | {
            round(hours * _HOUR_S / step_s)
            for hours in _LEAD_BORDERS_H
            if hours * _HOUR_S % step_s == 0 and lead.first < hours * _HOUR_S / step_s < lead.last
        }
    )
    return list(pairwise(borders))


def _quantiles(errors: Floats) -> Floats:
    """(5,) quantiles of measured errors around a median of zero; NaN of too few."""
    found = np.full(len(QUANTILES), np.nan)
    found[2] = 0.0
    if len(errors) >= _LEAST_ERRORS:
        outer = [0, 1, 3, 4]
        found[outer] = np.quantile(errors, [QUANTILES[place] for place in outer])
        # A rule that errs to one side only has a band on that side only.
        found[:2] = np.minimum(found[:2], 0.0)
        found[3:] = np.maximum(found[3:], 0.0)
    return found
