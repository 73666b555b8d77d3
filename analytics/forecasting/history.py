"""What is known of a target on a grid of steps, and nothing that would have to be guessed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np

from analytics.spans import Flags
from core.periods import from_ms
from core.samples import Floats, Ints

_DAY_MS = 86_400_000
_HOUR_MS = 3_600_000
# Steps behind the last known one for which clock times are still needed: the longest horizon.
_AHEAD_S = 8 * 86_400


@dataclass(slots=True, eq=False)
class History:
    """A target's past: a sum, or a ratio of two sums, on consecutive steps.

    Forecasts of a ratio are made of its two parts and divided last: ratios are never averaged.

    Attributes:
        start_ms: Start of the first step.
        step_s: Length of a step; a quarter of an hour or an hour.
        numerator: (n,) mean power of each step in kW, NaN where it is not known.
        denominator: (n,) of a ratio, of the same steps; None where the target is no ratio.
        zone: The site's zone: seasons repeat by its clock.
    """

    start_ms: int
    step_s: int
    numerator: Floats
    denominator: Floats | None
    zone: ZoneInfo
    values: Floats = field(init=False)
    weights: Floats = field(init=False)
    known: Flags = field(init=False)
    offset_ms: Ints = field(init=False)
    clock_changes: bool = field(init=False)
    _last_known: Ints = field(init=False)
    _sums: Floats = field(init=False)
    _filled: dict[int, Floats] = field(init=False)

    def __post_init__(self) -> None:
        count = len(self.numerator)
        below = np.ones(count) if self.denominator is None else self.denominator
        with np.errstate(divide="ignore", invalid="ignore"):
            self.values = np.where(below > 0.0, self.numerator / below, np.nan)
        self.known = np.isfinite(self.values)
        self.weights = below
        at = np.where(self.known, np.arange(count), -1)
        self._last_known = np.concatenate([[-1], np.maximum.accumulate(at)]).astype(np.int64)
        table = np.where(self.known, [self.numerator, below, np.ones(count)], 0.0)
        self._sums = np.concatenate([np.zeros((3, 1)), np.cumsum(table, axis=1)], axis=1)
        steps = count + _AHEAD_S // self.step_s
        self.offset_ms = zone_offsets_ms(self.zone, self.start_ms, self.step_s, steps)
        self.clock_changes = bool((self.offset_ms != self.offset_ms[0]).any())
        self._filled = {}

    def __len__(self) -> int:
        return len(self.numerator)

    @property
    def end_ms(self) -> int:
        """End of the last step."""
        return self.start_ms + len(self) * self.step_s * 1000

    def index_of(self, time_ms: int) -> int:
        """Position of the step that begins at a time; may lie outside."""
        return (time_ms - self.start_ms) // (self.step_s * 1000)

    def until(self, end_ms: int) -> History:
        """The history as far as it ends at `end_ms`."""
        count = max(min(self.index_of(end_ms), len(self)), 0)
        below = None if self.denominator is None else self.denominator[:count]
        return History(self.start_ms, self.step_s, self.numerator[:count], below, self.zone)

    def by_hour(self) -> History:
        """Whole hours, each known where all of its steps are."""
        per = 3600 // self.step_s
        skip = -(self.start_ms // (self.step_s * 1000)) % per
        count = (len(self) - skip) // per
        known = self.known[skip : skip + count * per].reshape(count, per).all(axis=1)

        def mean(column: Floats) -> Floats:
            parts = column[skip : skip + count * per].reshape(count, per)
            return np.where(known, parts.sum(axis=1) / per, np.nan)

        return History(
            self.start_ms + skip * self.step_s * 1000,
            3600,
            mean(self.numerator),
            None if self.denominator is None else mean(self.denominator),
            self.zone,
        )

    def last_known(self, origins: Ints) -> Ints:
        """Position of the newest known step before each origin, -1 without one."""
        return self._last_known[np.clip(origins, 0, len(self))]

    def sums(self, first: Ints, last: Ints) -> tuple[Floats, Floats, Floats]:
        """Numerator, denominator and count of the known steps in [first, last)."""
        low, high = np.clip(first, 0, len(self)), np.clip(last, 0, len(self))
        above, below, count = self._sums[:, high] - self._sums[:, low]
        return above, below, count

    def filled(self, season: int, more: int) -> Floats:
        """(n,) values; where one is not known, the newest known one of the same clock time.

        Args:
            season: Steps between two of them.
            more: How many seasons back are looked at.
        """
        if season not in self._filled:
            found = self.values.copy()
            for number in range(1, more + 1):
                missing = np.flatnonzero(np.isnan(found))
                source = self.same_clock(missing, np.full(len(missing), number * season))
                usable = source >= 0
                found[missing[usable]] = self.values[source[usable]]
            self._filled[season] = found
        return self._filled[season]

    def same_clock(self, steps: Ints, back: Ints) -> Ints:
        """Positions so many steps before others, moved by what the clock on the wall was changed.

        Negative where they lie before the history.
        """
        source = steps - back
        moved = self.offset_ms[steps] - self.offset_ms[np.maximum(source, 0)]
        return np.asarray(source + moved // (self.step_s * 1000), dtype=np.int64)

    def clock_hours(self, steps: Ints) -> Ints:
        """Hour of the local day, 0..23, of each step."""
        times = self.start_ms + steps * (self.step_s * 1000) + self.offset_ms[steps]
        return (times // _HOUR_MS % 24).astype(np.int64)


def zone_offsets_ms(zone: ZoneInfo, start_ms: int, step_s: int, count: int) -> Ints:
    """(count,) offset of the zone from UTC at the start of each step, in milliseconds."""
    step_ms = step_s * 1000
    first_day, last_day = start_ms // _DAY_MS, (start_ms + count * step_ms) // _DAY_MS + 1
    skip = (start_ms - first_day * _DAY_MS) // step_ms
    return _offsets_of_days(zone, first_day, last_day, step_ms)[skip : skip + count]


@lru_cache(maxsize=64)
def _offsets_of_days(zone: ZoneInfo, first_day: int, last_day: int, step_ms: int) -> Ints:
    """Offsets of all steps of the UTC days [first_day, last_day)."""
    at_border = [_offset_ms(zone, day * _DAY_MS) for day in range(first_day, last_day + 1)]
    per_day = _DAY_MS // step_ms
    found = np.repeat(np.array(at_border[:-1], dtype=np.int64), per_day)
    for at, (before, after) in enumerate(pairwise(at_border)):
        if before != after:
            # The clock is changed on this day: ask for each of its steps.
            begin_ms = (first_day + at) * _DAY_MS
            found[at * per_day : (at + 1) * per_day] = [
                _offset_ms(zone, begin_ms + step * step_ms) for step in range(per_day)
            ]
    found.flags.writeable = False
    return found


@lru_cache(maxsize=4096)
def _offset_ms(zone: ZoneInfo, time_ms: int) -> int:
    offset = from_ms(time_ms).astimezone(zone).utcoffset() or timedelta(0)
    return offset // timedelta(milliseconds=1)
