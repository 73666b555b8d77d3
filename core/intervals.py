"""The 15-minute interval: the one base from which hours, days, months and KPIs are summed.

What an interval of a series holds:

- `count`: stored readings with `start <= time < end`.
- `low`, `high`: least and largest reading (gauges), NaN without one.
- `mean`: time-weighted mean over the covered seconds (gauges), NaN when nothing is covered.
- `amount`: what adds up over time. Counter: its increase. Interval metric: its sum. Gauge that is a
  rate (power, flow): the time integral in the metric's `integral_unit` over the covered seconds.
  Other gauges: the integral in unit x hours (so that means of longer periods can be formed).
- `covered_s`: seconds of the interval that rest on readings (measured or counted, 0..900).
- `estimated_s`: seconds inside a counter gap whose total is known; their share of `amount` is
  proportional to time, they do not count as covered (until a longer period holds the whole gap).
- `estimated_amount`: the part of `amount` that comes from such gaps.
- `estimated_quality_s`, `manual_s`: seconds, among `covered_s` and `estimated_s`, that rest on
  readings sent as estimated or by hand.

Gaps of counters, resets and meter changes are `core.events.SeriesEvent`s beside the intervals: a
period that holds both ends of a gap counts the gap's seconds as covered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.samples import Floats, Ints, SeriesKey

Counts: TypeAlias = NDArray[np.int32]

FLOAT_COLUMNS = (
    "low",
    "high",
    "mean",
    "amount",
    "covered_s",
    "estimated_s",
    "estimated_amount",
    "estimated_quality_s",
    "manual_s",
)


@dataclass(frozen=True, slots=True, eq=False)
class IntervalBlock:
    """Intervals of one series in time order; see the module for the columns.

    Attributes:
        key: The series.
        start_ms: (n,) int64, strictly increasing, multiples of 900,000.
        count: (n,) int32.
        (others): (n,) float64.
    """

    key: SeriesKey
    start_ms: Ints
    count: Counts
    low: Floats
    high: Floats
    mean: Floats
    amount: Floats
    covered_s: Floats
    estimated_s: Floats
    estimated_amount: Floats
    estimated_quality_s: Floats
    manual_s: Floats

    def __len__(self) -> int:
        return len(self.start_ms)
