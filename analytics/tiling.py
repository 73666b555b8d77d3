"""The periods that a question asks for, as cuts of one run of 15-minute intervals."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from analytics.spans import Flags, Grid
from core.errors import ConfigurationError, Problem
from core.periods import (
    INTERVAL_MS,
    INTERVAL_S,
    Period,
    Resolution,
    calendar_periods,
    from_ms,
    local_midnight,
    to_ms,
)
from core.samples import Floats, Ints


@dataclass(frozen=True, slots=True, eq=False)
class Tiling:
    """Consecutive periods that tile a grid without gap or overlap.

    Attributes:
        cuts: (m,) position of the interval at which each period begins.
    """

    grid: Grid
    periods: tuple[Period, ...]
    cuts: Ints

    @classmethod
    def of(cls, period: Period, zone: ZoneInfo, resolution: Resolution) -> Tiling:
        """The calendar periods of `zone` in `period`, the first and last perhaps shorter.

        Raises:
            ConfigurationError: The period is not on the 15-minute grid. A finer answer would have
                to guess how energy lies inside an interval.
        """
        if period.start_ms % INTERVAL_MS or period.end_ms % INTERVAL_MS:
            problem = f"{period.start.isoformat()} to {period.end.isoformat()} is off the grid"
            raise ConfigurationError(
                [Problem("arguments", "period", problem, "use times at :00, :15, :30 or :45")]
            )
        return cls.of_periods(tuple(calendar_periods(period, zone, resolution)))

    @classmethod
    def of_periods(cls, periods: tuple[Period, ...]) -> Tiling:
        """Tile by these consecutive periods, which lie on the grid."""
        start_ms = periods[0].start_ms
        cuts = np.array([(p.start_ms - start_ms) // INTERVAL_MS for p in periods], dtype=np.int64)
        return cls(Grid.around(start_ms, periods[-1].end_ms), periods, cuts)

    @property
    def whole(self) -> Period:
        """From the first period's start to the last one's end."""
        return Period(self.periods[0].start, self.periods[-1].end)

    def seconds(self) -> Floats:
        """(m,) length of each period."""
        lengths = np.diff(self.cuts, append=self.grid.count)
        return lengths.astype(np.float64) * INTERVAL_S

    def sums(self, values: Floats) -> Floats:
        """(…, m) sum per period of values per interval, shape (…, n)."""
        return np.asarray(np.add.reduceat(values, self.cuts, axis=-1), dtype=np.float64)

    def any(self, flags: Flags) -> Flags:
        """(…, m) whether any interval of a period is flagged."""
        return np.asarray(np.logical_or.reduceat(flags, self.cuts, axis=-1), dtype=np.bool_)

    def holding(self, start_ms: int, end_ms: int) -> int | None:
        """Position of the period that holds all of [start_ms, end_ms]; None where none does."""
        first = (start_ms - self.grid.start_ms) // INTERVAL_MS
        if start_ms < self.grid.start_ms or end_ms > self.grid.end_ms:
            return None
        at = int(np.searchsorted(self.cuts, first, side="right")) - 1
        return at if end_ms <= self.periods[at].end_ms else None


def local_days(grid: Grid, zone: ZoneInfo) -> tuple[list[date], Ints]:
    """The local days that a grid touches, and (n,) the position of each interval's own."""
    first = from_ms(grid.start_ms).astimezone(zone).date()
    last = from_ms(max(grid.end_ms - INTERVAL_MS, grid.start_ms)).astimezone(zone).date()
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    begins = np.array([to_ms(local_midnight(day, zone)) for day in days], dtype=np.int64)
    place = np.searchsorted(begins, grid.starts_ms(), side="right") - 1
    return days, place.astype(np.int64)
