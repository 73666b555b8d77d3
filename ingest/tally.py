"""What a partition has received, counted in memory: a second book, to hold the ledger against."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable

from core.ledger import HOUR_MS, LedgerHour

_KEPT_MS = 24 * HOUR_MS


class Tally:
    """Readings received by site and hour of receipt since the start; thread-safe.

    A commit is counted twice: when it is about to be made durable and when it is. What is on disk
    or booked lies between the two at any moment.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun: Counter[tuple[str, int]] = Counter()
        self._durable: Counter[tuple[str, int]] = Counter()

    def begin(self, hours: Iterable[LedgerHour]) -> None:
        """Count a commit that is about to be made durable."""
        self._add(self._begun, hours)

    def finish(self, hours: Iterable[LedgerHour]) -> None:
        """Count it as durable."""
        self._add(self._durable, hours)

    def _add(self, counts: Counter[tuple[str, int]], hours: Iterable[LedgerHour]) -> None:
        with self._lock:
            for hour in hours:
                counts[hour.site, hour.hour_ms] += hour.counts.received

    def durable(self) -> dict[tuple[str, int], int]:
        """At least so much is in the spool or booked."""
        with self._lock:
            return dict(self._durable)

    def begun(self) -> dict[tuple[str, int], int]:
        """At most so much is in the spool or booked."""
        with self._lock:
            return dict(self._begun)

    def forget_before(self, now_ms: int) -> None:
        """Forget hours that ended more than a day ago."""
        with self._lock:
            for counts in (self._begun, self._durable):
                for key in [key for key in counts if key[1] + HOUR_MS < now_ms - _KEPT_MS]:
                    del counts[key]
