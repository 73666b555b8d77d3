"""Scores of forecasts by day of issue, and the record that they add up to.

A day's row holds sums, not means, so days add up exactly. Issued forecasts and hindcast ones have
rows of their own and are counted apart; both are scored by the same lines.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from analytics.forecasting.assessment import PastErrors, lead_bands
from analytics.forecasting.bounds import Bounds
from analytics.forecasting.documents import KIND
from core.forecasts import HORIZON_BANDS, MODELS, BandSkill, ForecastTarget, SkillRecord
from core.periods import from_ms, local_midnight, to_ms
from core.ports import ResultRow
from core.samples import Floats

ISSUED_SCORE, HINDCAST_SCORE = "issued_score", "hindcast_score"
RECORD_DAYS = 90
_WORST_DAYS = 30
_LEAST_ANSWERS = 0.9
# What a day's sums of a band are called, in the order in which they are stored.
_SUMS = ("points", "weight", "missed", "size", "banded", "within_80", "within_90")


@dataclass(slots=True)
class BandSums:
    """Sums over the scored points of a horizon band.

    Attributes:
        points: How many.
        weight: Sum of their weights; the IT power of a PUE, else 1 each.
        missed, size: Weighted sums of the absolute error and of the absolute actual value (of a PUE
            what it has above 1).
        banded, within_80, within_90: Points that had a band, and those within it.
        naive: Rule -> weight of the points it answered, weighted sum of its absolute errors.
    """

    points: float = 0.0
    weight: float = 0.0
    missed: float = 0.0
    size: float = 0.0
    banded: float = 0.0
    within_80: float = 0.0
    within_90: float = 0.0
    naive: dict[str, tuple[float, float]] = field(default_factory=dict)

    def add(self, other: BandSums) -> None:
        """Add another's sums to these."""
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for rule, (weight, missed) in other.naive.items():
            mine = self.naive.get(rule, (0.0, 0.0))
            self.naive[rule] = (mine[0] + weight, mine[1] + missed)

    def skill(self, horizon: str) -> BandSkill:
        """What the sums say."""
        mae = self.missed / self.weight if self.weight else None
        naive = {
            rule: missed / weight
            for rule, (weight, missed) in self.naive.items()
            if weight > _LEAST_ANSWERS * self.weight
        }
        best = min(naive, key=lambda rule: naive[rule]) if naive else None
        skill = None
        if mae is not None and best is not None and naive[best] > 0.0:
            skill = 1.0 - mae / naive[best]
        return BandSkill(
            horizon=horizon,
            points=round(self.points),
            mae=mae,
            wape=self.missed / self.size if self.size else None,
            coverage_80=self.within_80 / self.banded if self.banded else None,
            coverage_90=self.within_90 / self.banded if self.banded else None,
            naive=naive,
            best_naive=best,
            skill=skill,
        )


@dataclass(frozen=True, slots=True)
class DayScore:
    """The scores of the forecasts issued on one local day.

    Attributes:
        day_ms: Local midnight at which the day begins.
        kind: `ISSUED_SCORE` or `HINDCAST_SCORE`.
        origins: Origins of which a point has been scored.
        is_complete: Whether all that can be scored has ended.
        bands: Horizon band -> sums.
    """

    day_ms: int
    kind: str
    origins: int
    is_complete: bool
    bands: dict[str, BandSums]


def score(
    target: ForecastTarget,
    past: PastErrors,
    table: Floats,
    bounds: Bounds,
    until: int,
    day_ms: int,
    kind: str,
) -> DayScore:
    """Score the forecasts of one day against what is known.

    Args:
        past: Actual values and naive answers of their origins.
        table: (5, p, m) what was forecast from each of them.
        until: Position in the history up to which outcomes are looked at: what has not ended is not
            scored.
    """
    history = past.history
    count = past.count
    valid = past.origins[:, None] + np.arange(count)
    scored = np.isfinite(past.actual) & np.isfinite(table[2]) & (valid < until)
    if target.daylight_only:
        starts = history.start_ms + valid * (history.step_s * 1000)
        scored &= ~bounds.is_dark(starts, history.step_s)
    missed = np.abs(table[2] - past.actual)
    size = np.abs(past.actual - target.least)
    found: dict[str, BandSums] = {}
    for lead in lead_bands(history.step_s, count):
        cut = slice(lead.first, lead.last)
        take = scored[:, cut]
        weight = past.weight[:, cut][take]
        actual = past.actual[:, cut][take]
        quantiles = table[:, :, cut][:, take]
        banded = np.isfinite(quantiles[[0, 1, 3, 4]]).all(axis=0)
        sums = BandSums(
            float(take.sum()),
            float(weight.sum()),
            float((missed[:, cut][take] * weight).sum()),
            float((size[:, cut][take] * weight).sum()),
            float(banded.sum()),
            float((banded & (actual >= quantiles[1]) & (actual <= quantiles[3])).sum()),
            float((banded & (actual >= quantiles[0]) & (actual <= quantiles[4])).sum()),
        )
        for rule, said in zip(MODELS, past.predicted, strict=True):
            answers = said[:, cut][take]
            usable = np.isfinite(answers)
            sums.naive[rule] = (
                float(weight[usable].sum()),
                float((np.abs(answers - actual)[usable] * weight[usable]).sum()),
            )
        found[lead.band.name] = sums
    last = int(past.origins[-1]) + count if len(past.origins) else until
    return DayScore(day_ms, kind, int(scored.any(axis=1).sum()), last <= until, found)


def score_row(site: str, target: str, resolution: str, day: DayScore) -> ResultRow:
    """A day's scores as a row of the store; its value is the mean absolute error."""
    total = BandSums()
    for sums in day.bands.values():
        total.add(sums)
    document = {
        "origins": day.origins,
        "complete": day.is_complete,
        "bands": {
            name: [*(getattr(sums, one) for one in _SUMS), sums.naive]
            for name, sums in day.bands.items()
        },
    }
    text = json.dumps(document, separators=(",", ":"))
    value = total.missed / total.weight if total.weight else None
    return ResultRow(site, KIND, target, day.kind, resolution, day.day_ms, value, text.encode())


def parse_score(row: ResultRow) -> DayScore:
    """A day's scores from their row."""
    document: dict[str, Any] = json.loads(row.document)
    bands = {
        name: BandSums(
            **dict(zip(_SUMS, values, strict=False)),
            naive={rule: (weight, missed) for rule, (weight, missed) in values[-1].items()},
        )
        for name, values in document["bands"].items()
    }
    return DayScore(row.start_ms, row.subject, document["origins"], document["complete"], bands)


def build_record(days: Iterable[DayScore], zone: ZoneInfo) -> SkillRecord | None:
    """The record of the days; None where nothing was scored.

    Of a day that has both, the issued forecasts count and the hindcast ones do not.
    """
    by_day: dict[int, DayScore] = {}
    for day in sorted(days, key=lambda one: (one.day_ms, one.kind == ISSUED_SCORE)):
        if day.origins:
            by_day[day.day_ms] = day
    if not by_day:
        return None
    used = [by_day[key] for key in sorted(by_day)]
    totals = {band.name: BandSums() for band in HORIZON_BANDS}
    overall = BandSums()
    for day in used:
        for name, sums in day.bands.items():
            totals[name].add(sums)
            overall.add(sums)
    last = from_ms(used[-1].day_ms).astimezone(zone).date()
    return SkillRecord(
        start_ms=used[0].day_ms,
        end_ms=to_ms(local_midnight(last + timedelta(days=1), zone)),
        days=len(used),
        origins_issued=sum(day.origins for day in used if day.kind == ISSUED_SCORE),
        origins_hindcast=sum(day.origins for day in used if day.kind == HINDCAST_SCORE),
        overall=overall.skill("all"),
        bands=tuple(sums.skill(name) for name, sums in totals.items() if sums.points),
        worst_30d_coverage_80=_worst_coverage(used, zone),
    )


def _worst_coverage(days: Sequence[DayScore], zone: ZoneInfo) -> float | None:
    """Least coverage of the 80 % band over 30 consecutive local days."""
    sums: dict[date, tuple[float, float]] = {}
    for day in days:
        banded = sum(one.banded for one in day.bands.values())
        within = sum(one.within_80 for one in day.bands.values())
        sums[from_ms(day.day_ms).astimezone(zone).date()] = (within, banded)
    if not sums:
        return None
    first = (
        min(day for day, (_, banded) in sums.items() if banded)
        if any(banded for _, banded in sums.values())
        else None
    )
    if first is None:
        return None
    worst: float | None = None
    end = max(sums)
    while first + timedelta(days=_WORST_DAYS - 1) <= end:
        window = [sums.get(first + timedelta(days=n), (0.0, 0.0)) for n in range(_WORST_DAYS)]
        banded = sum(one for _, one in window)
        if banded:
            share = sum(one for one, _ in window) / banded
            worst = share if worst is None else min(worst, share)
        first += timedelta(days=1)
    return worst
