"""The time-series port on files of this machine: no server, one writer a file, many readers.

Two SQLite files: `raw.sqlite` (samples, written by the ingester) and `derived.sqlite` (intervals
and results, written by analytics). They are two because these are two processes, and because raw
data expire and the others do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from core.clock import Clock, SystemClock
from core.errors import StoreMisconfiguredError
from core.intervals import IntervalBlock
from core.periods import Period
from core.ports import ResultRow
from core.samples import ReadingBlock, Sample, SampleSeries
from storage.embedded.derived import DerivedFile
from storage.embedded.raw import RawFile
from storage.schema import DAY_MS, lookback_ms

Role = Literal["read", "ingest", "analytics", "all"]

_WRITES_RAW = ("ingest", "all")
_WRITES_DERIVED = ("analytics", "all")


class EmbeddedStore:
    """Samples, intervals and results in a folder.

    Args:
        folder: Made when this process writes; a reader finds it empty until a writer has made it.
        raw_days: Days that raw samples are kept, 0 for ever.
        role: `ingest` writes samples, `analytics` intervals and results, `all` both, `read` none.
            Each file has one writing process at a time.

    Raises:
        ConfigurationError: Another process writes (its id is named), the folder cannot be used, or
            a newer version has written it.
    """

    def __init__(
        self,
        folder: Path,
        raw_days: int,
        *,
        role: Role | str = "read",
        clock: Clock | None = None,
    ) -> None:
        if role not in ("read", "ingest", "analytics", "all"):
            raise ValueError(f"{role!r} is no role of a store: read, ingest, analytics or all")
        self._raw_days = raw_days
        self._clock: Clock = clock or SystemClock()
        self._raw = RawFile(folder, writable=role in _WRITES_RAW)
        try:
            self._derived = DerivedFile(folder, writable=role in _WRITES_DERIVED)
        except BaseException:
            self._raw.close()
            raise

    def write_readings(self, blocks: Sequence[ReadingBlock]) -> None:
        """Write readings; see `core.ports.TimeSeriesStore`."""
        self._raw.write(blocks)

    def read_samples(
        self,
        site: str,
        family: str,
        period: Period,
        *,
        devices: Sequence[str] | None = None,
        metrics: Sequence[str] | None = None,
    ) -> list[SampleSeries]:
        """Samples of a period; see `core.ports.TimeSeriesStore`.

        Raises:
            CorruptBlockError: An hour of a series in the answer is damaged on the disk.
        """
        return self._raw.read_samples(
            site, family, period.start_ms, period.end_ms, devices, metrics
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
        """Newest sample before an instant; see `core.ports.TimeSeriesStore`."""
        return self._raw.read_edge(site, family, not_before_ms, time_ms - 1, devices, newest=True)

    def read_first_from(
        self,
        site: str,
        family: str,
        time_ms: int,
        *,
        not_after_ms: int,
        devices: Sequence[str] | None = None,
    ) -> list[Sample]:
        """Oldest sample from an instant; see `core.ports.TimeSeriesStore`."""
        return self._raw.read_edge(site, family, time_ms, not_after_ms, devices, newest=False)

    def read_latest(self, site: str) -> list[Sample]:
        """Newest sample of every series; see `core.ports.TimeSeriesStore`."""
        oldest_ms = self._clock.now_ms() - lookback_ms(self._raw_days)
        return self._raw.read_latest(site, oldest_ms)

    def read_instants(
        self, site: str, family: str, device: str, times_ms: Sequence[int]
    ) -> dict[int, dict[str, float]]:
        """Values at exact instants; see `core.ports.TimeSeriesStore`."""
        return self._raw.read_instants(site, family, device, times_ms)

    def write_intervals(self, blocks: Sequence[IntervalBlock]) -> None:
        """Write intervals; see `core.ports.TimeSeriesStore`."""
        self._derived.write_intervals(blocks)

    def read_intervals(
        self,
        site: str,
        period: Period,
        *,
        family: str | None = None,
        devices: Sequence[str] | None = None,
        metrics: Sequence[str] | None = None,
    ) -> list[IntervalBlock]:
        """Intervals of a period; see `core.ports.TimeSeriesStore`."""
        return self._derived.read_intervals(
            site, period.start_ms, period.end_ms, family, devices, metrics
        )

    def write_results(self, rows: Sequence[ResultRow]) -> None:
        """Write figures; see `core.ports.TimeSeriesStore`."""
        self._derived.write_results(rows)

    def read_results(
        self,
        site: str,
        kind: str,
        period: Period,
        *,
        names: Sequence[str] | None = None,
        resolution: str | None = None,
        subject: str | None = None,
    ) -> list[ResultRow]:
        """Figures of a period; see `core.ports.TimeSeriesStore`."""
        return self._derived.read_results(
            site, kind, period.start_ms, period.end_ms, names, resolution, subject
        )

    def apply_retention(self, now_ms: int) -> None:
        """Drop hours of raw samples past the retention; nothing where another process writes."""
        if self._raw_days and self._raw.is_writable:
            self._raw.apply_retention(now_ms - self._raw_days * DAY_MS)

    def check(self) -> str:
        """Read from both files; see `core.ports.TimeSeriesStore`."""
        try:
            description = self._raw.describe()
            self._derived.describe()
        except OSError as error:
            raise StoreMisconfiguredError(f"the embedded store cannot be read: {error}") from None
        return f"embedded store, {description}"

    def close(self) -> None:
        """Close both files and let the locks go."""
        self._raw.close()
        self._derived.close()
