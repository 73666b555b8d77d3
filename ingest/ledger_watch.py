"""The ledger watched: what was received against what is spooled and booked, all the time.

Two checks, and what they find is an alarm with site and hour: the hours of the last day against the
entries that they count (in the records alone), and what this process has received, counted in
memory, against spool and records together.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from core.clock import Clock
from core.errors import StoreError
from core.ledger import HOUR_MS, Imbalance
from core.periods import Period
from core.ports import IngestRecords
from ingest.ledger import read_received
from ingest.tally import Tally

_LOG = logging.getLogger(__name__)
WATCHED_HOURS = 24


def watched_period(now_ms: int) -> Period:
    """The last hours of receipt that began by now."""
    end_ms = now_ms - now_ms % HOUR_MS + HOUR_MS
    return Period.of_ms(end_ms - WATCHED_HOURS * HOUR_MS, end_ms)


class LedgerWatch:
    """Checks on request of one thread; `found` may be read from any.

    Args:
        source: Under which the records keep what is found here; one for each process.
        tallies: Of the partitions of this process.
    """

    def __init__(
        self,
        records: IngestRecords,
        spool_dir: Path,
        clock: Clock,
        *,
        source: str,
        tallies: Iterable[Tally],
    ) -> None:
        self._records = records
        self._spool_dir = spool_dir
        self._clock = clock
        self._source = source
        self._tallies = list(tallies)
        self._written: tuple[Imbalance, ...] | None = None
        self.found: tuple[Imbalance, ...] = ()
        self.checked_ms = 0
        # What was there before this life; its hours are counted on top of that.
        now_ms = clock.now_ms()
        self._first_hour_ms = now_ms - now_ms % HOUR_MS
        try:
            self._before = read_received(records, spool_dir, watched_period(now_ms))
        except StoreError:
            # Without it the hour that runs cannot be checked; those that follow can.
            self._before = {}
            self._first_hour_ms += HOUR_MS

    def run_once(self) -> tuple[Imbalance, ...]:
        """Check, and keep what was found in the records.

        Raises:
            StoreError: The records do not answer; what was found before still stands.
        """
        now_ms = self._clock.now_ms()
        period = watched_period(now_ms)
        found = (*self._records.find_imbalances(period), *self._compare(period))
        for one in found:
            if one not in self.found:
                _LOG.error("the ledger does not balance: %s", one)
        if self.found and not found:
            _LOG.warning("the ledger balances again")
        self.found = found
        if found != self._written:
            self._records.write_imbalances(self._source, list(dict.fromkeys(found)))
            self._written = found
        for tally in self._tallies:
            tally.forget_before(now_ms)
        self.checked_ms = now_ms
        return found

    def _compare(self, period: Period) -> list[Imbalance]:
        """Received in memory against spool and records, between what was durable and begun."""
        durable = self._sum(tally.durable() for tally in self._tallies)
        booked = read_received(self._records, self._spool_dir, period)
        begun = self._sum(tally.begun() for tally in self._tallies)
        found = []
        for key, most in sorted(begun.items()):
            site, hour_ms = key
            if hour_ms < max(self._first_hour_ms, period.start_ms) or hour_ms >= period.end_ms:
                continue
            before, least = self._before.get(key, 0), durable.get(key, 0)
            held = booked.get(key, 0)
            if not before + least <= held <= before + most:
                counted = before + (least if held < before + least else most)
                found.append(Imbalance(site, hour_ms, "received", held, counted))
        return found

    @staticmethod
    def _sum(counts: Iterable[dict[tuple[str, int], int]]) -> dict[tuple[str, int], int]:
        sums: dict[tuple[str, int], int] = {}
        for of_one in counts:
            for key, count in of_one.items():
                sums[key] = sums.get(key, 0) + count
        return sums
