"""The first forecaster behind the port: the naive rule that has been best, with its own errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analytics.forecasting.assessment import (
    Assessment,
    PastErrors,
    assess,
    serve,
    unassessed,
)
from analytics.forecasting.bounds import Bounds
from analytics.forecasting.history import History
from analytics.forecasting.port import Quantiles
from analytics.forecasting.rules import predict_all
from core.forecasts import LEARNING_DAYS, ForecastTarget
from core.periods import from_ms, local_midnight, to_ms

_HOUR_MS = 3_600_000
# While the history is so short, every hour teaches; later the choice is made at local midnight.
_YOUNG_DAYS = 14


@dataclass(slots=True, eq=False)
class NaiveForecaster:
    """Serves the best of the four rules; judges them anew once a day.

    Keeps the judgement of the day; what it says depends on the history alone.
    """

    target: ForecastTarget
    bounds: Bounds
    _judged: tuple[int, int, Assessment] | None = None

    def issue(self, history: History, origin_ms: int, count: int) -> Quantiles:
        """See `ForecasterProtocol`."""
        past = history.until(origin_ms)
        assessment = self._assess(past, origin_ms, count)
        origins = np.array([past.index_of(origin_ms)], dtype=np.int64)
        table = serve(assessment, past, origins, predict_all(past, origins, count))[:, 0]
        step_ms = past.step_s * 1000
        starts = origin_ms + step_ms * np.arange(count, dtype=np.int64)
        return Quantiles(self.bounds.clip(table, starts, past.step_s), assessment.models())

    def forget(self) -> None:
        """Judge anew at the next issue: the past has changed."""
        self._judged = None

    def _assess(self, past: History, origin_ms: int, count: int) -> Assessment:
        at_ms = assessment_time_ms(past, origin_ms)
        if self._judged is None or self._judged[:2] != (at_ms, past.start_ms):
            known = past.until(at_ms)
            assessment = unassessed(self.target, past.step_s, count)
            if known.known.any():
                window = LEARNING_DAYS * 86_400 // past.step_s
                errors = PastErrors.measure(known, len(known) - window, len(known), count)
                assessment = assess(self.target, errors, len(known))
                assessment.settle()
            self._judged = (at_ms, past.start_ms, assessment)
        return self._judged[2]


def first_known_ms(history: History) -> int | None:
    """Start of the first known step; None without any."""
    places = np.flatnonzero(history.known)
    return history.start_ms + int(places[0]) * history.step_s * 1000 if len(places) else None


def assessment_time_ms(history: History, origin_ms: int) -> int:
    """When the rules are judged for an origin.

    The last local midnight, or, while the history is young, the last full hour.
    """
    first_ms = first_known_ms(history)
    if first_ms is None or origin_ms - first_ms < _YOUNG_DAYS * 24 * _HOUR_MS:
        return origin_ms - origin_ms % _HOUR_MS
    day = from_ms(origin_ms).astimezone(history.zone).date()
    return to_ms(local_midnight(day, history.zone))
