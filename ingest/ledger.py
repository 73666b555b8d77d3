"""The ledger's answer: what the records have booked and what still lies in the spool, together."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from core.ledger import LedgerCounts, LedgerHour
from core.periods import Period
from core.ports import IngestRecords
from ingest.spool_files import book_of, read_spool_ledger, spool_paths


def read_ledger(
    records: IngestRecords, spool_dir: Path, site: str, period: Period
) -> list[LedgerHour]:
    """Hours of receipt of a site, balanced at all times, from any process.

    The spool is read before the records. A commit leaves the spool only after it is booked, so what
    is in neither reading does not exist; what is in both has a number that the records have booked,
    and is not counted twice. So the answer is one moment, without a lock between the two.

    Raises:
        StoreError: The records do not answer.
    """
    sums = _read_sums(records, spool_dir, site, period)
    return [LedgerHour(site, hour_ms, counts) for (_, hour_ms), counts in sorted(sums.items())]


def read_received(
    records: IngestRecords, spool_dir: Path, period: Period
) -> dict[tuple[str, int], int]:
    """Readings received by site and hour of receipt, of every site, also unknown ones.

    Raises:
        StoreError: The records do not answer.
    """
    sums = _read_sums(records, spool_dir, None, period)
    return {key: counts.received for key, counts in sums.items()}


def _read_sums(
    records: IngestRecords, spool_dir: Path, site: str | None, period: Period
) -> dict[tuple[str, int], LedgerCounts]:
    waiting = {
        number: read_spool_ledger(path, site, period.start_ms, period.end_ms)
        for number, path in spool_paths(spool_dir)
    }
    booked_until, booked = records.read_ledger_snapshot(site, period)
    sums: dict[tuple[str, int], LedgerCounts] = defaultdict(LedgerCounts)
    for hour in booked:
        sums[hour.site, hour.hour_ms] += hour.counts
    for partition, commits in waiting.items():
        for commit in commits:
            booked_number = booked_until.get(book_of(partition, commit.kind), 0)
            if commit.set_aside or commit.number > booked_number:
                for hour in commit.hours:
                    sums[hour.site, hour.hour_ms] += hour.counts
    return sums
