"""What the ingester keeps to tell how it is doing: histograms, and counts of what was booked."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from core.ids import PROBE_SITE
from core.ledger import CommitOutcome, QuarantineEntry, RejectedEntry

# Seconds; the first are a group commit on a good disk, the last an outage.
LATENCY_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
VERDICTS = ("stored", "duplicate", "quarantined", "rejected")


@dataclass(frozen=True, slots=True)
class HistogramCounts:
    """What a histogram has counted.

    Attributes:
        bounds: Upper ends of the buckets, ascending; one more bucket lies above the last.
        counts: Observations in each bucket, one more than bounds.
        total: Sum of the observed values.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float

    def __add__(self, other: HistogramCounts) -> HistogramCounts:
        return HistogramCounts(
            self.bounds,
            tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)),
            self.total + other.total,
        )


EMPTY_LATENCIES = HistogramCounts(LATENCY_BOUNDS_S, (0,) * (len(LATENCY_BOUNDS_S) + 1), 0.0)


class Histogram:
    """Counts of seconds by size. Thread-safe."""

    def __init__(self, bounds: Sequence[float] = LATENCY_BOUNDS_S) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._total = 0.0
        self._lock = threading.Lock()

    def observe(self, value: float, times: int = 1) -> None:
        """Count a value; one below zero (a clock that stepped back) counts as zero."""
        value = max(0.0, value)
        with self._lock:
            self._counts[bisect_left(self._bounds, value)] += times
            self._total += value * times

    def read(self) -> HistogramCounts:
        """What was counted so far."""
        with self._lock:
            return HistogramCounts(self._bounds, tuple(self._counts), self._total)


@dataclass(frozen=True, slots=True)
class BookedCounts:
    """Readings whose verdict is in the records, since start; the probe's are left out.

    Attributes:
        verdicts: (site, verdict) -> readings.
        reasons: (site, reason) -> readings that went to quarantine or were rejected.
        late: Site -> readings that came more than 15 minutes after their time.
    """

    verdicts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    reasons: Mapping[tuple[str, str], int] = field(default_factory=dict)
    late: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: BookedCounts) -> BookedCounts:
        return BookedCounts(
            Counter(self.verdicts) + Counter(other.verdicts),
            Counter(self.reasons) + Counter(other.reasons),
            Counter(self.late) + Counter(other.late),
        )


class BookedReadings:
    """Adds up what is booked. One thread adds, any may read.

    Sites that are not in the registry are counted together under an empty name: their number is
    not bounded by anything of ours.
    """

    def __init__(self, known_sites: frozenset[str]) -> None:
        self._known = known_sites
        self._lock = threading.Lock()
        self._verdicts: Counter[tuple[str, str]] = Counter()
        self._reasons: Counter[tuple[str, str]] = Counter()
        self._late: Counter[str] = Counter()

    def know(self, known_sites: frozenset[str]) -> None:
        """Go on with the sites of another registry."""
        with self._lock:
            self._known = known_sites

    def add(self, outcome: CommitOutcome) -> None:
        """Count one booked outcome."""
        with self._lock:
            for hour in outcome.hours:
                if hour.site == PROBE_SITE:
                    continue
                site = self._name(hour.site)
                for verdict in VERDICTS:
                    count = getattr(hour.counts, verdict)
                    if count:
                        self._verdicts[site, verdict] += count
                if hour.counts.late:
                    self._late[site] += hour.counts.late
            refused: list[QuarantineEntry | RejectedEntry] = [
                *outcome.quarantined,
                *outcome.rejected,
            ]
            for entry in refused:
                if entry.site != PROBE_SITE:
                    self._reasons[self._name(entry.site), entry.reason] += entry.count

    def _name(self, site: str) -> str:
        return site if site in self._known else ""

    def read(self) -> BookedCounts:
        """What was booked so far."""
        with self._lock:
            return BookedCounts(dict(self._verdicts), dict(self._reasons), dict(self._late))
