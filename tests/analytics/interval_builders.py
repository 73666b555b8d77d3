"""Intervals written straight into a store, for tests of what is computed from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.events import SeriesEvent
from core.intervals import IntervalBlock
from core.kpis import KpiValue
from core.periods import INTERVAL_MS, Period
from core.sites import Device
from tests.analytics.memory_store import MemoryRecords, MemoryStore
from tests.analytics.series_builders import START_MS, key_of


def put(
    store: MemoryStore,
    device: Device,
    metric: str,
    amounts: Sequence[float] | float,
    *,
    count: int = 4,
    first: int = 0,
    covered_s: Sequence[float] | float = 900.0,
    estimated_s: Sequence[float] | float = 0.0,
    mean: Sequence[float] | float | None = None,
    manual_s: float = 0.0,
    estimated_quality_s: float = 0.0,
) -> None:
    """Write `count` intervals of one series from interval `first` after START on.

    Where an interval has estimated seconds, the amount of those is their share of the interval's.
    """
    amount = np.broadcast_to(np.asarray(amounts, dtype=np.float64), (count,)).copy()
    covered = np.broadcast_to(np.asarray(covered_s, dtype=np.float64), (count,)).copy()
    estimated = np.broadcast_to(np.asarray(estimated_s, dtype=np.float64), (count,)).copy()
    whole = np.where(covered + estimated > 0.0, covered + estimated, 1.0)
    nothing = np.full(count, np.nan)
    means = nothing if mean is None else np.broadcast_to(np.asarray(mean, float), (count,)).copy()
    store.write_intervals(
        [
            IntervalBlock(
                key_of(device, metric),
                START_MS + INTERVAL_MS * np.arange(first, first + count, dtype=np.int64),
                np.full(count, 15, dtype=np.int32),
                nothing,
                nothing,
                means,
                amount,
                covered,
                estimated,
                amount * estimated / whole,
                np.full(count, estimated_quality_s),
                np.full(count, manual_s),
            )
        ]
    )


def put_gap(
    records: MemoryRecords, device: Device, metric: str, start: float, end: float, amount: float
) -> None:
    """Note a counter gap from interval `start` to interval `end` (fractions allowed)."""
    key = key_of(device, metric)
    borders = (round(START_MS + start * INTERVAL_MS), round(START_MS + end * INTERVAL_MS))
    records.events.append(SeriesEvent(key, "counter_gap", *borders, 0.0, amount, amount))


def period_of(count: int, first: int = 0) -> Period:
    return Period.of_ms(START_MS + first * INTERVAL_MS, START_MS + (first + count) * INTERVAL_MS)


def only(values: Sequence[KpiValue], kpi: str, subject: str = "site") -> KpiValue:
    (found,) = [value for value in values if value.kpi == kpi and value.subject == subject]
    return found
