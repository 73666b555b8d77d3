"""Spans between two consecutive readings, and how they are cut at the borders of the grid.

Every figure rests on spans: a gauge is linear on one, a counter grows evenly on one. Cutting
depends on nothing outside the span, so an interval has the same value whether it is computed alone,
in a day, or in a month.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.periods import INTERVAL_MS
from core.samples import Floats, Ints
from core.sites import Device, DeviceState

Flags: TypeAlias = NDArray[np.bool_]

# A span of at most so many cadences is covered by the readings at its ends.
COVERED_CADENCES = 3
# A counter's total is trusted over at most this much silence: the look-back of a recomputation.
LONGEST_COUNTER_SPAN_MS = 35 * 86_400_000


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """The dated states of one device as arrays, one entry a state.

    Attributes:
        cadence_ms: (k,) float64.
        meter_number: (k,) int64, how many meter changes were declared up to this state.
    """

    device: Device
    valid_from_ms: Ints
    cadence_ms: Floats
    meter_number: Ints

    @classmethod
    def of(cls, device: Device) -> Timeline:
        """The timeline of a device."""
        states = device.states
        number, numbers = 0, [0]
        for before, after in pairwise(states):
            # A serial that is declared for the first time is a change, too: crediting the
            # difference of two registers would invent energy, leaving out one span loses little.
            number += before.meter != after.meter
            numbers.append(number)
        return cls(
            device,
            np.array([state.valid_from_ms for state in states], dtype=np.int64),
            np.array([state.cadence_s * 1000.0 for state in states]),
            np.array(numbers, dtype=np.int64),
        )

    def state_index(self, time_ms: Ints) -> Ints:
        """(n,) position of the state in force; a time before the first state has the first."""
        found = np.searchsorted(self.valid_from_ms, time_ms, side="right") - 1
        return np.maximum(found, 0).astype(np.int64)

    def state_at(self, time_ms: int) -> DeviceState:
        """The state in force at one time; the first state before all of them."""
        return self.device.states[int(self.state_index(np.array([time_ms]))[0])]

    def longest_span_ms(self, start_ms: Ints, end_ms: Ints) -> Floats:
        """(n,) longest covered span between readings at these times.

        Three cadences; where the cadence was changed between the two, three of the longer one,
        because which of the two was already in force on the device is not known.
        """
        if len(self.cadence_ms) == 1:
            return np.full(len(start_ms), COVERED_CADENCES * self.cadence_ms[0])
        before = self.cadence_ms[self.state_index(start_ms)]
        after = self.cadence_ms[self.state_index(end_ms)]
        return np.asarray(COVERED_CADENCES * np.maximum(before, after))


@dataclass(frozen=True, slots=True)
class Grid:
    """Consecutive 15-minute intervals.

    Attributes:
        start_ms: Start of the first one, a multiple of 900,000.
        count: How many.
    """

    start_ms: int
    count: int

    @classmethod
    def around(cls, start_ms: int, end_ms: int) -> Grid:
        """The intervals that [start_ms, end_ms) touches."""
        first = start_ms // INTERVAL_MS
        last = -(-end_ms // INTERVAL_MS)
        return cls(first * INTERVAL_MS, max(last - first, 0))

    @property
    def end_ms(self) -> int:
        """End of the last interval, exclusive."""
        return self.start_ms + self.count * INTERVAL_MS

    def starts_ms(self) -> Ints:
        """(count,) start of each interval."""
        return self.start_ms + INTERVAL_MS * np.arange(self.count, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """Spans cut at the borders of a grid; what lies outside the grid is left out.

    Attributes:
        span: (n,) position of the span that a piece belongs to.
        interval: (n,) position of the interval that it lies in.
        start_ms, end_ms: (n,) its borders.
    """

    span: Ints
    interval: Ints
    start_ms: Ints
    end_ms: Ints

    @property
    def seconds(self) -> Floats:
        """(n,) length of each piece."""
        return (self.end_ms - self.start_ms) / 1000.0


def cut_spans(start_ms: Ints, end_ms: Ints, grid: Grid) -> Pieces:
    """Cut spans [start, end) at the borders of `grid`, in the order of the spans."""
    offset = grid.start_ms // INTERVAL_MS
    first = np.maximum(start_ms // INTERVAL_MS - offset, 0)
    last = np.minimum((end_ms - 1) // INTERVAL_MS - offset, grid.count - 1)
    counts = np.maximum(last - first + 1, 0)
    span = np.repeat(np.arange(len(start_ms), dtype=np.int64), counts)
    # Position of a piece inside its span: a running number less the number at the span's start.
    ahead = np.cumsum(counts) - counts
    interval = first[span] + np.arange(len(span), dtype=np.int64) - ahead[span]
    border_ms = grid.start_ms + interval * INTERVAL_MS
    return Pieces(
        span,
        interval,
        np.maximum(start_ms[span], border_ms),
        np.minimum(end_ms[span], border_ms + INTERVAL_MS),
    )


def sum_pieces(pieces: Pieces, values: Floats, grid: Grid) -> Floats:
    """(count,) sum of a piece's value per interval, added in the order of time."""
    summed: Floats = np.bincount(pieces.interval, weights=values, minlength=grid.count).astype(
        np.float64
    )
    return summed
