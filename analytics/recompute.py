"""Computing intervals anew from stored samples: what a changed reading touches, and no less.

The result of a recomputation does not depend on how the work was cut: an interval comes out the
same whether it is computed alone or within months.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from analytics.counters import LONGEST_DIP, REACH_READINGS
from analytics.rollup import roll_up_series
from analytics.sample_window import LoadedSeries, SampleWindow
from analytics.spans import COVERED_CADENCES, Grid, Timeline
from core.events import SeriesEvent
from core.intervals import IntervalBlock
from core.metrics import CATALOGUE, MetricKind
from core.periods import INTERVAL_MS, Period
from core.ports import RollupRecords, TimeSeriesStore
from core.samples import SeriesKey
from core.sites import Device, Site

# Read beyond what is touched, so that a few lost readings need no second question.
_MARGIN_CADENCES = 20
_NEAR_CADENCES = 12
# Readings of a counter that have to be known before and after what is written.
_CONTEXT_READINGS = 2 * LONGEST_DIP + 2
_MOST_ROUNDS = 12
# Samples read at once: a second's work, so that a process can be told to end.
_SAMPLES_AT_ONCE = 300_000
_LONGEST_CHUNK_MS = 31 * 86_400_000
_SHORTEST_CHUNK_MS = 4 * INTERVAL_MS


@dataclass(slots=True)
class Recomputed:
    """What was written.

    Attributes:
        start_ms, end_ms: Borders of everything written; equal where nothing was.
    """

    intervals: int = 0
    samples: int = 0
    start_ms: int = 0
    end_ms: int = 0

    def add(self, other: Recomputed) -> None:
        """Take another result in."""
        if other.end_ms > other.start_ms:
            empty = self.end_ms <= self.start_ms
            self.start_ms = other.start_ms if empty else min(self.start_ms, other.start_ms)
            self.end_ms = other.end_ms if empty else max(self.end_ms, other.end_ms)
        self.intervals += other.intervals
        self.samples += other.samples


def recompute_period(
    store: TimeSeriesStore, records: RollupRecords, site: Site, period: Period
) -> Recomputed:
    """Compute every interval and event of a site in a period anew from its samples.

    Idempotent. Intervals beside the period that share a span with it are written, too.
    """
    done = Recomputed()
    for family in dict.fromkeys(device.family for device in site.devices.values()):
        for devices in by_cadence(site.in_family(family)):
            job = Recomputation(store, records, site, family, devices)
            for start_ms, end_ms in job.chunks(period.start_ms, period.end_ms):
                done.add(job.run(start_ms, end_ms - 1))
    return done


def by_cadence(devices: Sequence[Device]) -> list[list[Device]]:
    """Devices of like cadence together: they are read with one look-back."""
    groups: defaultdict[int, list[Device]] = defaultdict(list)
    for device in devices:
        longest_s = max(state.cadence_s for state in device.states)
        # A factor of eight between two groups: with less, groups would only multiply the reads.
        groups[int(np.floor(np.log2(max(longest_s, 1.0)) / 3))].append(device)
    return [groups[power] for power in sorted(groups)]


@dataclass(slots=True)
class _Work:
    """One device while it is computed."""

    timeline: Timeline
    gauges: list[LoadedSeries] = field(default_factory=list)
    counters: list[LoadedSeries] = field(default_factory=list)
    start_ms: int = 0
    end_ms: int = 0


@dataclass(frozen=True, slots=True)
class _FoundEvents:
    """Events of one device that end inside a grid, and the counters that were looked at."""

    device: str
    grid: Grid
    counters: frozenset[SeriesKey]
    events: list[SeriesEvent]


class Recomputation:
    """Computes intervals of some devices of one site and family."""

    def __init__(
        self,
        store: TimeSeriesStore,
        records: RollupRecords,
        site: Site,
        family: str,
        devices: Sequence[Device],
        *,
        floor_ms: int = 0,
    ) -> None:
        """`floor_ms`: no interval before it is written, because its samples may have expired."""
        self._store = store
        self._records = records
        self._site = site
        self._family = family
        self._timelines = {device.id: Timeline.of(device) for device in devices}
        self._floor_ms = -(-floor_ms // INTERVAL_MS) * INTERVAL_MS

    def chunks(self, start_ms: int, end_ms: int) -> Iterator[tuple[int, int]]:
        """Cut [start_ms, end_ms) so that a piece fits into memory.

        A piece is as long as the cadences in force at its start allow, and ends where a device's
        next state begins: years at a slow cadence are not cut as if they had been fast.
        """
        while start_ms < end_ms:
            first = start_ms // INTERVAL_MS * INTERVAL_MS
            border = first + self._longest_piece_ms(start_ms)
            changes = [
                int(moment)
                for timeline in self._timelines.values()
                for moment in timeline.valid_from_ms[1:]
                if start_ms < moment < border
            ]
            if changes:
                border = max(min(changes) // INTERVAL_MS * INTERVAL_MS, first + INTERVAL_MS)
            yield start_ms, min(border, end_ms)
            start_ms = border

    def _longest_piece_ms(self, start_ms: int) -> int:
        at = np.array([start_ms], dtype=np.int64)
        per_ms = sum(
            len(timeline.device.metrics()) / float(timeline.cadence_ms[timeline.state_index(at)[0]])
            for timeline in self._timelines.values()
        )
        length = int(_SAMPLES_AT_ONCE / per_ms) // INTERVAL_MS * INTERVAL_MS
        return min(max(length, _SHORTEST_CHUNK_MS), _LONGEST_CHUNK_MS)

    def run(
        self,
        first_ms: int,
        last_ms: int,
    ) -> Recomputed:
        """Compute what readings in [first_ms, last_ms] touch, and write it.

        Devices without a reading there are left as they are.
        """
        cadence_ms = self._longest_cadence_ms(first_ms, last_ms)
        margin_ms = _MARGIN_CADENCES * cadence_ms
        near = Grid.around(
            first_ms - _NEAR_CADENCES * cadence_ms, last_ms + 1 + _NEAR_CADENCES * cadence_ms
        )
        window = SampleWindow(self._store, self._site.id, self._family, margin_ms)
        loaded = window.load(
            sorted(self._timelines), near.start_ms - margin_ms, near.end_ms + margin_ms
        )
        works = self._sort(loaded, first_ms, last_ms)
        _widen(window, list(works.values()), first_ms, last_ms)
        reach_ms = COVERED_CADENCES * cadence_ms
        done = Recomputed(samples=sum(len(series.samples) for series in loaded))
        blocks: list[IntervalBlock] = []
        found: list[_FoundEvents] = []
        for device_id, work in works.items():
            grid = self._above_floor(Grid.around(first_ms - reach_ms, last_ms + 1 + reach_ms))
            for series in work.gauges:
                block, _ = roll_up_series(series.samples, work.timeline, grid)
                if block is not None:
                    blocks.append(block)
            if not work.counters:
                continue
            grid = self._above_floor(Grid.around(work.start_ms, work.end_ms))
            events: list[SeriesEvent] = []
            for series in work.counters:
                block, of_series = roll_up_series(series.samples, work.timeline, grid)
                if block is not None:
                    blocks.append(block)
                events.extend(of_series)
            if grid.count:
                keys = frozenset(series.key for series in work.counters)
                found.append(_FoundEvents(device_id, grid, keys, events))
        if blocks:
            self._store.write_intervals(blocks)
            done.intervals = sum(len(block) for block in blocks)
            done.start_ms = min(int(block.start_ms[0]) for block in blocks)
            done.end_ms = max(int(block.start_ms[-1]) for block in blocks) + INTERVAL_MS
        self._write_events(found)
        return done

    def _sort(
        self, loaded: Sequence[LoadedSeries], first_ms: int, last_ms: int
    ) -> dict[str, _Work]:
        """The devices with a reading in the span, their series by kind."""
        works: dict[str, _Work] = {}
        for series in loaded:
            time_ms = series.samples.time_ms
            first, last = np.searchsorted(time_ms, [first_ms, last_ms + 1])
            if first < last and series.key.device not in works:
                works[series.key.device] = _Work(self._timelines[series.key.device])
        for series in loaded:
            work = works.get(series.key.device)
            metric = CATALOGUE.get((series.key.family, series.key.metric))
            if work is None or metric is None:
                continue
            is_counter = metric.kind is MetricKind.COUNTER
            (work.counters if is_counter else work.gauges).append(series)
        return works

    def _longest_cadence_ms(self, first_ms: int, last_ms: int) -> int:
        """Longest cadence in force in the span, or so shortly beside it that its spans reach in."""
        longest = 1
        for timeline in self._timelines.values():
            reach_ms = (COVERED_CADENCES * timeline.cadence_ms).astype(np.int64) + INTERVAL_MS
            ends = np.append(timeline.valid_from_ms[1:], np.iinfo(np.int64).max)
            begins = timeline.valid_from_ms.copy()
            begins[0] = 0  # a time before the first state has the first
            in_force = (begins <= last_ms + reach_ms) & (ends > first_ms - reach_ms)
            longest = max(longest, int(np.ceil(timeline.cadence_ms[in_force].max())))
        return longest

    def _above_floor(self, grid: Grid) -> Grid:
        start_ms = max(grid.start_ms, self._floor_ms)
        return Grid(start_ms, max((grid.end_ms - start_ms) // INTERVAL_MS, 0))

    def _write_events(self, found: Sequence[_FoundEvents]) -> None:
        """Replace the events of a device where they are not already as found."""
        if not found:
            return
        # An event that ends at the very border belongs to the interval that begins there.
        start_ms = min(one.grid.start_ms for one in found) - INTERVAL_MS
        end_ms = max(one.grid.end_ms for one in found)
        held: defaultdict[str, set[SeriesEvent]] = defaultdict(set)
        for event in self._records.read_events(self._site.id, Period.of_ms(start_ms, end_ms)):
            if event.key.family == self._family:
                held[event.key.device].add(event)
        for one in found:
            grid = one.grid
            old = {e for e in held[one.device] if grid.start_ms <= e.end_ms < grid.end_ms}
            # A counter of which nothing was read has not changed, and neither have its events.
            new = {*one.events, *(e for e in old if e.key not in one.counters)}
            if old != new:
                self._records.replace_events(
                    self._site.id,
                    self._family,
                    one.device,
                    Period.of_ms(grid.start_ms, grid.end_ms),
                    sorted(new, key=lambda e: (e.key, e.end_ms, e.kind)),
                )


def _touched(counters: Sequence[LoadedSeries], first_ms: int, last_ms: int) -> tuple[int, int]:
    """Borders of what may mean something else once readings in [first_ms, last_ms] have changed."""
    start_ms, end_ms = first_ms, last_ms + 1
    for series in counters:
        times = series.certain_times()
        if not len(times):
            continue
        first = int(np.searchsorted(times, first_ms))
        last = int(np.searchsorted(times, last_ms, side="right"))
        start_ms = min(start_ms, int(times[max(first - REACH_READINGS, 0)]))
        end_ms = max(end_ms, int(times[min(last + REACH_READINGS, len(times)) - 1]) + 1)
    return start_ms, end_ms


def _widen(
    window: SampleWindow,
    works: Sequence[_Work],
    first_ms: int,
    last_ms: int,
) -> None:
    """Read on until every counter's readings around the touched span are known."""
    for _ in range(_MOST_ROUNDS):
        back: list[LoadedSeries] = []
        ahead: list[LoadedSeries] = []
        partly: list[tuple[LoadedSeries, int, int]] = []
        for work in works:
            work.start_ms, work.end_ms = _touched(work.counters, first_ms, last_ms)
            for series in work.counters:
                times = series.certain_times()
                start_ms = work.start_ms // INTERVAL_MS * INTERVAL_MS
                end_ms = -(-work.end_ms // INTERVAL_MS) * INTERVAL_MS
                if start_ms < series.start_ms or end_ms > series.end_ms:
                    partly.append((series, start_ms, end_ms))
                    continue
                before = int(np.searchsorted(times, start_ms))
                touched = int(np.searchsorted(times, first_ms))
                is_short = before < _CONTEXT_READINGS or touched < REACH_READINGS
                if is_short and not series.is_first:
                    back.append(series)
                after = len(times) - int(np.searchsorted(times, end_ms))
                touched = len(times) - int(np.searchsorted(times, last_ms + 1))
                is_short = after < _CONTEXT_READINGS or touched < REACH_READINGS
                if is_short and not series.is_last:
                    ahead.append(series)
        if not (back or ahead or partly):
            return
        for series, start_ms, end_ms in partly:
            window.load_between(series, min(start_ms, series.start_ms), max(end_ms, series.end_ms))
        window.reach_back(back)
        window.reach_ahead(ahead)
