"""Stored intervals laid out over a run of intervals, and the counter gaps that a period knows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from analytics.spans import Grid
from analytics.tiling import Tiling
from core.events import SeriesEvent
from core.intervals import IntervalBlock
from core.periods import INTERVAL_MS
from core.samples import Floats


@dataclass(frozen=True, slots=True, eq=False)
class DenseSeries:
    """Columns of one series over a grid, (n,) each; zero where no interval is stored."""

    amount: Floats
    covered_s: Floats
    estimated_s: Floats
    estimated_amount: Floats
    estimated_quality_s: Floats
    manual_s: Floats

    @classmethod
    def of(cls, block: IntervalBlock | None, grid: Grid) -> DenseSeries:
        """Lay a block out; without one all is zero."""
        return cls(
            lay_out(block, "amount", grid),
            lay_out(block, "covered_s", grid),
            lay_out(block, "estimated_s", grid),
            lay_out(block, "estimated_amount", grid),
            lay_out(block, "estimated_quality_s", grid),
            lay_out(block, "manual_s", grid),
        )


def lay_out(block: IntervalBlock | None, column: str, grid: Grid, missing: float = 0.0) -> Floats:
    """(n,) one column over a grid, `missing` where no interval is stored or it has no value."""
    if block is None or not len(block):
        return np.full(grid.count, missing)
    values = np.asarray(getattr(block, column), dtype=np.float64)
    if np.isnan(values).any():
        values = np.where(np.isnan(values), missing, values)
    # Starts are distinct and ascending: so many of them from the first on are the whole grid.
    if len(block) == grid.count and int(block.start_ms[0]) == grid.start_ms:
        return values
    found = np.full(grid.count, missing)
    place = (block.start_ms - grid.start_ms) // INTERVAL_MS
    inside = (place >= 0) & (place < grid.count)
    found[place[inside]] = values[inside]
    return found


def known_gap_seconds(events: Iterable[SeriesEvent], tiling: Tiling) -> Floats:
    """(n,) seconds of each interval inside a gap of a counter that one of the periods holds whole.

    A period that holds both ends of a gap knows its total, so there the gap's seconds are covered.

    Args:
        events: Events of one series.
    """
    grid = tiling.grid
    found = np.zeros(grid.count)
    for event in events:
        if event.kind != "counter_gap" or tiling.holding(event.start_ms, event.end_ms) is None:
            continue
        first = (event.start_ms - grid.start_ms) // INTERVAL_MS
        last = (event.end_ms - 1 - grid.start_ms) // INTERVAL_MS
        starts = grid.start_ms + INTERVAL_MS * np.arange(first, last + 1, dtype=np.int64)
        seconds = np.minimum(starts + INTERVAL_MS, event.end_ms) - np.maximum(
            starts, event.start_ms
        )
        found[first : last + 1] += seconds / 1000.0
    return found


def member_share(
    reporting: IntervalBlock | None,
    expected: IntervalBlock | None,
    count: int | None,
    grid: Grid,
) -> Floats:
    """(n,) share of a cluster's members that reported, 0..1, from time-weighted means.

    Args:
        reporting, expected: Intervals of `members_reporting` and `members_expected`.
        count: The declared number of members, used where `members_expected` is not sent.

    Returns:
        0 where it is not known how many reported.
    """
    told = lay_out(reporting, "mean", grid)
    wanted = lay_out(expected, "mean", grid, missing=float(count or 0))
    share = np.zeros(grid.count)
    np.divide(told, wanted, out=share, where=wanted > 0.0)
    return np.asarray(np.minimum(share, 1.0))
