"""The time-series and roll-up ports in dictionaries: what analytics asks of them, nothing more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields

import numpy as np

from core.errors import StoreRejectedError
from core.events import SeriesEvent
from core.intervals import IntervalBlock
from core.ledger import DirtySpan
from core.periods import Period
from core.ports import ResultRow
from core.samples import Quality, Sample, SampleSeries, SeriesKey


class MemoryStore:
    """Samples, intervals and results; counts what is read and written."""

    def __init__(self) -> None:
        self.samples: dict[SeriesKey, dict[int, tuple[float, int]]] = {}
        self.intervals: dict[SeriesKey, dict[int, tuple[float, ...]]] = {}
        self.results: dict[tuple[str, str, str, str, str, int], ResultRow] = {}
        self.intervals_written = 0
        self.sample_reads = 0
        self.error: Exception | None = None
        self.damaged: set[str] = set()
        self._in_order: dict[SeriesKey, SampleSeries] = {}

    def add(
        self, key: SeriesKey, rows: Iterable[tuple[int, float] | tuple[int, float, int]]
    ) -> None:
        held = self.samples.setdefault(key, {})
        self._in_order.pop(key, None)
        for row in rows:
            held[int(row[0])] = (float(row[1]), int(row[2]) if len(row) > 2 else 0)

    def _series(
        self, site: str, family: str, devices: Sequence[str] | None, metrics: Sequence[str] | None
    ) -> list[SampleSeries]:
        found = []
        for key in sorted(self.samples):
            if (key.site, key.family) != (site, family):
                continue
            if devices is not None and key.device not in devices:
                continue
            if metrics is not None and key.metric not in metrics:
                continue
            found.append(self._ordered(key))
        return found

    def _ordered(self, key: SeriesKey) -> SampleSeries:
        if key not in self._in_order:
            rows = sorted(self.samples[key].items())
            self._in_order[key] = SampleSeries(
                key,
                np.array([time for time, _ in rows], dtype=np.int64),
                np.array([value for _, (value, _) in rows]),
                np.array([quality for _, (_, quality) in rows], dtype=np.int8),
            )
        return self._in_order[key]

    def read_samples(
        self,
        site: str,
        family: str,
        period: Period,
        *,
        devices: Sequence[str] | None = None,
        metrics: Sequence[str] | None = None,
    ) -> list[SampleSeries]:
        if self.error is not None:
            raise self.error
        self.sample_reads += 1
        for device in sorted(self.damaged.intersection(devices or ())):
            raise StoreRejectedError(f"a block of {device} is damaged")
        cut = []
        for series in self._series(site, family, devices, metrics):
            a, b = np.searchsorted(series.time_ms, [period.start_ms, period.end_ms])
            if a < b:
                cut.append(
                    SampleSeries(
                        series.key, series.time_ms[a:b], series.value[a:b], series.quality[a:b]
                    )
                )
        return cut

    def _edge(self, series: SampleSeries, at: int) -> Sample:
        return Sample(
            series.key,
            int(series.time_ms[at]),
            float(series.value[at]),
            Quality(int(series.quality[at])),
        )

    def read_last_before(
        self,
        site: str,
        family: str,
        time_ms: int,
        *,
        not_before_ms: int,
        devices: Sequence[str] | None = None,
    ) -> list[Sample]:
        found = []
        for series in self._series(site, family, devices, None):
            at = int(np.searchsorted(series.time_ms, time_ms)) - 1
            if at >= 0 and series.time_ms[at] >= not_before_ms:
                found.append(self._edge(series, at))
        return found

    def read_first_from(
        self,
        site: str,
        family: str,
        time_ms: int,
        *,
        not_after_ms: int,
        devices: Sequence[str] | None = None,
    ) -> list[Sample]:
        found = []
        for series in self._series(site, family, devices, None):
            at = int(np.searchsorted(series.time_ms, time_ms))
            if at < len(series) and series.time_ms[at] <= not_after_ms:
                found.append(self._edge(series, at))
        return found

    def write_intervals(self, blocks: Sequence[IntervalBlock]) -> None:
        for block in blocks:
            held = self.intervals.setdefault(block.key, {})
            columns = [getattr(block, field.name) for field in fields(block)[1:]]
            for row in zip(*columns, strict=True):
                held[int(row[0])] = tuple(float(value) for value in row[1:])
            self.intervals_written += len(block)

    def read_intervals(
        self,
        site: str,
        period: Period,
        *,
        family: str | None = None,
        devices: Sequence[str] | None = None,
        metrics: Sequence[str] | None = None,
    ) -> list[IntervalBlock]:
        found = []
        for key in sorted(self.intervals):
            if key.site != site or (family is not None and key.family != family):
                continue
            if devices is not None and key.device not in devices:
                continue
            if metrics is not None and key.metric not in metrics:
                continue
            rows = [
                (start, *values)
                for start, values in sorted(self.intervals[key].items())
                if period.start_ms <= start < period.end_ms
            ]
            if rows:
                found.append(block_of(key, rows))
        return found

    def write_results(self, rows: Sequence[ResultRow]) -> None:
        for row in rows:
            key = (row.site, row.kind, row.name, row.subject, row.resolution, row.start_ms)
            self.results[key] = row


def block_of(key: SeriesKey, rows: Sequence[Sequence[float]]) -> IntervalBlock:
    table = np.array(rows, dtype=np.float64)
    return IntervalBlock(
        key,
        table[:, 0].astype(np.int64),
        table[:, 1].astype(np.int32),
        *(np.ascontiguousarray(table[:, column]) for column in range(2, table.shape[1])),
    )


class MemoryRecords:
    """Events and dirty spans."""

    def __init__(self) -> None:
        self.events: list[SeriesEvent] = []
        self.dirty: dict[int, DirtySpan] = {}
        self._next = 1

    def add_dirty(self, *spans: DirtySpan) -> None:
        for span in spans:
            self.dirty[self._next] = span
            self._next += 1

    def read_dirty(self, limit: int) -> list[tuple[int, DirtySpan]]:
        return sorted(self.dirty.items())[:limit]

    def clear_dirty(self, ids: Sequence[int]) -> None:
        for one in ids:
            self.dirty.pop(one, None)

    def replace_events(
        self, site: str, family: str, device: str, period: Period, events: Sequence[SeriesEvent]
    ) -> None:
        self.events = [
            e
            for e in self.events
            if (e.key.site, e.key.family, e.key.device) != (site, family, device)
            or not period.start_ms <= e.end_ms < period.end_ms
        ]
        self.events.extend(events)

    def read_events(
        self, site: str, period: Period, *, device: str | None = None
    ) -> list[SeriesEvent]:
        found = [
            e
            for e in self.events
            if e.key.site == site
            and (device is None or e.key.device == device)
            and e.start_ms < period.end_ms
            and e.end_ms > period.start_ms
        ]
        return sorted(found, key=lambda e: (e.start_ms, e.end_ms, e.kind))
