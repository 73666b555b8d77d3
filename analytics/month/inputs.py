"""The fingerprint of what a month was computed from: every interval and level that was read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from core.events import SeriesEvent
from core.intervals import FLOAT_COLUMNS, IntervalBlock
from core.periods import Period, format_time
from core.ports import RollupRecords, TimeSeriesStore
from core.samples import SampleSeries


@dataclass(slots=True)
class ReadInputs:
    """Reads for a question and remembers a hash of all that it gave.

    It has the methods of the two ports that questions use, and no others.
    """

    store: TimeSeriesStore
    records: RollupRecords
    _hashes: dict[str, str] = field(default_factory=dict)
    _intervals: dict[str, int] = field(default_factory=dict)

    def read_intervals(
        self,
        site: str,
        period: Period,
        *,
        family: str | None = None,
        devices: Sequence[str] | None = None,
        metrics: Sequence[str] | None = None,
    ) -> list[IntervalBlock]:
        """As the time-series port."""
        blocks = self.store.read_intervals(
            site, period, family=family, devices=devices, metrics=metrics
        )
        for block in blocks:
            name = f"intervals {_series(block)} {_span(period)}"
            self._hashes[name] = _hash_of(block)
            self._intervals[name] = len(block)
        return blocks

    def read_samples(
        self,
        site: str,
        family: str,
        period: Period,
        *,
        devices: Sequence[str] | None = None,
        metrics: Sequence[str] | None = None,
    ) -> list[SampleSeries]:
        """As the time-series port."""
        found = self.store.read_samples(site, family, period, devices=devices, metrics=metrics)
        for series in found:
            digest = hashlib.sha256()
            for column in (series.time_ms, series.value, series.quality):
                digest.update(column.tobytes())
            self._hashes[f"samples {_series(series)} {_span(period)}"] = digest.hexdigest()
        return found

    def read_events(
        self, site: str, period: Period, *, device: str | None = None
    ) -> list[SeriesEvent]:
        """As the port of the roll-up records."""
        events = self.records.read_events(site, period, device=device)
        lines = sorted(repr(event) for event in events)
        digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        self._hashes[f"events {site} {device or ''} {_span(period)}"] = digest
        return events

    def fingerprint(self) -> dict[str, Any]:
        """SHA-256 over the sorted hashes of all that was read, and how much that was."""
        lines = [f"{name} {self._hashes[name]}\n" for name in sorted(self._hashes)]
        return {
            "sha256": hashlib.sha256("".join(lines).encode()).hexdigest(),
            "series": len(self._intervals),
            "intervals": sum(self._intervals.values()),
        }


def _series(block: IntervalBlock | SampleSeries) -> str:
    key = block.key
    return f"{key.site}/{key.family}/{key.device}/{key.metric}"


def _span(period: Period) -> str:
    return f"{format_time(period.start)}/{format_time(period.end)}"


def _hash_of(block: IntervalBlock) -> str:
    digest = hashlib.sha256()
    digest.update(block.start_ms.astype("<i8").tobytes())
    digest.update(block.count.astype("<i4").tobytes())
    for name in FLOAT_COLUMNS:
        # Zero has two signs and not-a-number many: one of each.
        column = getattr(block, name).astype("<f8") + 0.0
        column[column != column] = float("nan")
        digest.update(column.tobytes())
    return digest.hexdigest()
