"""Samples around a span of time, widened until what they mean inside the span is certain."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from analytics.spans import LONGEST_COUNTER_SPAN_MS
from core.periods import Period
from core.ports import TimeSeriesStore
from core.samples import Ints, Quality, Sample, SampleSeries, SeriesKey


@dataclass(slots=True, eq=False)
class LoadedSeries:
    """One series of which every stored sample in [start_ms, end_ms) is here.

    Attributes:
        is_first: No sample lies in the 35 days before `start_ms`.
        is_last: No sample lies in the 35 days from `end_ms`.
    """

    samples: SampleSeries
    start_ms: int
    end_ms: int
    is_first: bool = False
    is_last: bool = False

    @property
    def key(self) -> SeriesKey:
        """The series."""
        return self.samples.key

    def certain_times(self) -> Ints:
        """Times of the readings that a counter's increases rest on."""
        certain = self.samples.quality != Quality.UNCERTAIN
        return np.asarray(self.samples.time_ms[certain], dtype=np.int64)


class SampleWindow:
    """Reads samples of one site and family, and reaches out from what it has read."""

    def __init__(self, store: TimeSeriesStore, site: str, family: str, margin_ms: int) -> None:
        """`margin_ms` is read beyond every reading that is reached."""
        self._store = store
        self._site = site
        self._family = family
        self._margin_ms = margin_ms

    def load(self, devices: Sequence[str], start_ms: int, end_ms: int) -> list[LoadedSeries]:
        """Every series of these devices with a sample in [start_ms, end_ms)."""
        return [
            LoadedSeries(samples, start_ms, end_ms)
            for samples in self._store.read_samples(
                self._site, self._family, Period.of_ms(start_ms, end_ms), devices=devices
            )
        ]

    def load_between(self, series: LoadedSeries, start_ms: int, end_ms: int) -> None:
        """Widen one series to hold all of [start_ms, end_ms)."""
        if start_ms < series.start_ms:
            self._read([series], start_ms, series.start_ms)
            series.start_ms, series.is_first = start_ms, False
        if end_ms > series.end_ms:
            self._read([series], series.end_ms, end_ms)
            series.end_ms, series.is_last = end_ms, False

    def reach_back(self, lacking: Iterable[LoadedSeries]) -> None:
        """Widen each series to its newest earlier sample within 35 days, and a margin more."""
        for edge_ms, group in _by(lacking, lambda series: series.start_ms).items():
            found = self._store.read_last_before(
                self._site,
                self._family,
                edge_ms,
                not_before_ms=edge_ms - LONGEST_COUNTER_SPAN_MS,
                devices=sorted({series.key.device for series in group}),
            )
            for time_ms, reached in self._reached(group, found, "is_first").items():
                start_ms = time_ms - self._margin_ms
                self._read(reached, start_ms, time_ms + 1)
                for series in reached:
                    series.start_ms = start_ms

    def reach_ahead(self, lacking: Iterable[LoadedSeries]) -> None:
        """Widen each series to its oldest later sample within 35 days, and a margin more."""
        for edge_ms, group in _by(lacking, lambda series: series.end_ms).items():
            found = self._store.read_first_from(
                self._site,
                self._family,
                edge_ms,
                not_after_ms=edge_ms + LONGEST_COUNTER_SPAN_MS,
                devices=sorted({series.key.device for series in group}),
            )
            for time_ms, reached in self._reached(group, found, "is_last").items():
                end_ms = time_ms + self._margin_ms
                self._read(reached, time_ms, end_ms)
                for series in reached:
                    series.end_ms = end_ms

    def _reached(
        self, group: Sequence[LoadedSeries], found: Sequence[Sample], nothing: str
    ) -> dict[int, list[LoadedSeries]]:
        """Series of the group by the time reached; those that reach nothing are marked."""
        times = {sample.key: sample.time_ms for sample in found}
        for series in group:
            if series.key not in times:
                setattr(series, nothing, True)
        return _by(
            (series for series in group if series.key in times), lambda series: times[series.key]
        )

    def _read(self, group: Sequence[LoadedSeries], start_ms: int, end_ms: int) -> None:
        """Add the samples of [start_ms, end_ms), which lies outside what the group has loaded."""
        read = self._store.read_samples(
            self._site,
            self._family,
            Period.of_ms(start_ms, end_ms),
            devices=sorted({series.key.device for series in group}),
            metrics=sorted({series.key.metric for series in group}),
        )
        by_key = {samples.key: samples for samples in read}
        for series in group:
            more = by_key.get(series.key)
            if more is not None and len(more):
                is_earlier = end_ms <= series.start_ms
                parts = (more, series.samples) if is_earlier else (series.samples, more)
                series.samples = _join(*parts)


def _join(earlier: SampleSeries, later: SampleSeries) -> SampleSeries:
    return SampleSeries(
        earlier.key,
        np.concatenate([earlier.time_ms, later.time_ms]),
        np.concatenate([earlier.value, later.value]),
        np.concatenate([earlier.quality, later.quality]),
    )


def _by(
    series: Iterable[LoadedSeries], time_of: Callable[[LoadedSeries], int]
) -> dict[int, list[LoadedSeries]]:
    grouped: defaultdict[int, list[LoadedSeries]] = defaultdict(list)
    for one in series:
        grouped[time_of(one)].append(one)
    return grouped
