"""What happened to a series: resets, rollovers, dips, meter changes, gaps of counters."""

from __future__ import annotations

from dataclasses import dataclass

from core.samples import SeriesKey

EVENT_KINDS = (
    "counter_reset",
    "counter_rollover",
    "counter_dip",
    "meter_change",
    "counter_gap",
)


@dataclass(frozen=True, slots=True)
class SeriesEvent:
    """One event of one series.

    Attributes:
        key: The series.
        kind: One of `EVENT_KINDS`. `counter_gap` is a span longer than three cadences whose total
            is known because both ends were read.
        start_ms: Time of the last reading before it, UTC epoch milliseconds.
        end_ms: Time of the first reading after it.
        before: Value at `start_ms`, as stored.
        after: Value at `end_ms`, as stored.
        amount: Increase credited to the span; 0 for a dip or where it is unknown, never NaN.
    """

    key: SeriesKey
    kind: str
    start_ms: int
    end_ms: int
    before: float
    after: float
    amount: float
