"""The columns of intervals while they are computed: one array per column over a whole grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analytics.spans import Flags, Grid, Pieces, sum_pieces
from core.intervals import Counts, IntervalBlock
from core.periods import INTERVAL_MS
from core.samples import Codes, Floats, Ints, Quality, SampleSeries


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Columns of one series over a grid, as in `core.intervals`."""

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

    def block(self, samples: SampleSeries, grid: Grid, first: int, last: int) -> IntervalBlock:
        """The intervals `first` to `last` (exclusive) of the grid as a block of the series."""
        rows = slice(first, last)
        return IntervalBlock(
            samples.key,
            grid.starts_ms()[rows],
            self.count[rows],
            self.low[rows],
            self.high[rows],
            self.mean[rows],
            self.amount[rows],
            self.covered_s[rows],
            self.estimated_s[rows],
            self.estimated_amount[rows],
            self.estimated_quality_s[rows],
            self.manual_s[rows],
        )


def count_readings(time_ms: Ints, grid: Grid) -> Counts:
    """(count,) readings with start <= time < end of each interval, of any quality."""
    inside = _inside(time_ms, grid)
    position = (time_ms[inside] - grid.start_ms) // INTERVAL_MS
    return np.bincount(position, minlength=grid.count).astype(np.int32)


def extremes(time_ms: Ints, value: Floats, grid: Grid) -> tuple[Floats, Floats]:
    """(count,) least and largest of these values in each interval, NaN without one."""
    low, high = np.full(grid.count, np.nan), np.full(grid.count, np.nan)
    inside = _inside(time_ms, grid)
    values = value[inside]
    if len(values):
        position = (time_ms[inside] - grid.start_ms) // INTERVAL_MS
        begins = np.flatnonzero(np.diff(position, prepend=-1))
        low[position[begins]] = np.minimum.reduceat(values, begins)
        high[position[begins]] = np.maximum.reduceat(values, begins)
    return low, high


def worse_quality(before: Codes, after: Codes) -> Codes:
    """(n,) quality of spans from the qualities at their ends.

    Estimated is weaker than read by hand, which is weaker than good.
    """
    if not (before.any() or after.any()):
        return np.zeros(len(before), dtype=np.int8)
    estimated = (before == Quality.ESTIMATED) | (after == Quality.ESTIMATED)
    manual = (before == Quality.MANUAL) | (after == Quality.MANUAL)
    return np.where(
        estimated, Quality.ESTIMATED, np.where(manual, Quality.MANUAL, Quality.GOOD)
    ).astype(np.int8)


def quality_seconds(
    pieces: Pieces, quality: Codes, covered: Flags, grid: Grid
) -> tuple[Floats, Floats]:
    """(count,) seconds that rest on readings sent as estimated, and by hand.

    Args:
        quality: (spans,) from `worse_quality`.
        covered: (spans,) whether the span is covered.
    """
    if not quality.any():
        return np.zeros(grid.count), np.zeros(grid.count)
    seconds = np.where(covered[pieces.span], pieces.seconds, 0.0)
    of_piece = quality[pieces.span]
    estimated = sum_pieces(pieces, np.where(of_piece == Quality.ESTIMATED, seconds, 0.0), grid)
    manual = sum_pieces(pieces, np.where(of_piece == Quality.MANUAL, seconds, 0.0), grid)
    return estimated, manual


def _inside(time_ms: Ints, grid: Grid) -> slice:
    first, last = np.searchsorted(time_ms, [grid.start_ms, grid.end_ms])
    return slice(int(first), int(last))
