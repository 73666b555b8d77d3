"""Hindcasts: what would have been forecast on a past day, from nothing but data before its origins.

A fresh installation with stored history so has a record at once. The days are marked as hindcast
wherever they are counted: the history is as it is known now, late readings included.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from analytics.forecasting.assessment import PastErrors, assess, serve
from analytics.forecasting.bounds import Bounds
from analytics.forecasting.history import History
from analytics.forecasting.naive import first_known_ms
from analytics.forecasting.scores import HINDCAST_SCORE, DayScore, score
from core.forecasts import ForecastTarget
from core.periods import from_ms, local_midnight, to_ms
from core.samples import Ints

# Before a day is hindcast, every rule has been able to answer for a week.
_LEAST_DAYS = 14


@dataclass(slots=True, eq=False)
class Hindcast:
    """The past forecasts of one target and step, day by day.

    Every rule's answers at every full hour are computed once; a day's choice of rules and its bands
    come from outcomes that had matured at its midnight.
    """

    target: ForecastTarget
    bounds: Bounds
    errors: PastErrors

    @classmethod
    def over(cls, target: ForecastTarget, bounds: Bounds, history: History, count: int) -> Hindcast:
        """Hindcasts over a whole history."""
        return cls(target, bounds, PastErrors.measure(history, 0, len(history), count))

    def day(self, day_ms: int, until_ms: int) -> DayScore:
        """Score the origins of the local day that begins at `day_ms`.

        Args:
            until_ms: Outcomes that end later are not known.
        """
        past = self.errors
        history = past.history
        first, last = history.index_of(day_ms), history.index_of(next_midnight_ms(history, day_ms))
        rows = past.rows(first, last)
        assessment = assess(self.target, past, first)
        mine = PastErrors(
            history,
            past.origins[rows],
            past.predicted[:, rows],
            past.actual[rows],
            past.weight[rows],
        )
        table = serve(assessment, history, mine.origins, mine.predicted)
        valid: Ints = mine.origins[:, None] + np.arange(past.count)
        starts = history.start_ms + valid * (history.step_s * 1000)
        table = self.bounds.clip(table, starts, history.step_s)
        until = min(history.index_of(until_ms), len(history))
        return score(self.target, mine, table, self.bounds, until, day_ms, HINDCAST_SCORE)


def hindcast_days(history: History, end_ms: int) -> Iterator[int]:
    """Local midnights of the whole days before `end_ms` that have enough history before them."""
    first_ms = first_known_ms(history)
    if first_ms is None:
        return
    day = from_ms(first_ms).astimezone(history.zone).date() + timedelta(days=_LEAST_DAYS)
    while (after_ms := to_ms(local_midnight(day + timedelta(days=1), history.zone))) <= end_ms:
        yield to_ms(local_midnight(day, history.zone))
        day = from_ms(after_ms).astimezone(history.zone).date()


def next_midnight_ms(history: History, day_ms: int) -> int:
    """The local midnight after the one at `day_ms`."""
    day = from_ms(day_ms).astimezone(history.zone).date() + timedelta(days=1)
    return to_ms(local_midnight(day, history.zone))
