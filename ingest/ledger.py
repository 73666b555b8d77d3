"""The ledger's answer: what the records have booked and what still lies in the spool, together."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from core.ledger import LedgerCounts, LedgerHour
from core.periods import Period
from core.ports import IngestRecords
from ingest.spool import read_pending_ledger

_TRIES = 50


def read_ledger(
    records: IngestRecords, spool_dir: Path, site: str, period: Period
) -> list[LedgerHour]:
    """Hours of receipt of a site, balanced at all times, from any process.

    One snapshot of the records says which commits are booked; of the spool only commits above those
    are counted. If commits were booked and forgotten between the two reads there is a gap in the
    numbers, and both are read again.
    """
    partitions = sorted(spool_dir.glob("partition-*.sqlite")) if spool_dir.is_dir() else []
    booked: list[LedgerHour] = []
    waiting: list[LedgerHour] = []
    for _ in range(_TRIES):
        applied, booked = records.read_ledger_snapshot(site, period)
        waiting = []
        whole = True
        for path in partitions:
            number = int(path.stem.partition("-")[2])
            above = applied.get(number, 0)
            least, hours = read_pending_ledger(path, above, site, period.start_ms, period.end_ms)
            waiting.extend(hours)
            if least is not None and least > above + 1:
                whole = False
        if whole:
            break
    sums: dict[int, LedgerCounts] = defaultdict(LedgerCounts)
    for hour in [*booked, *waiting]:
        sums[hour.hour_ms] = sums[hour.hour_ms] + hour.counts
    return [LedgerHour(site, hour_ms, sums[hour_ms]) for hour_ms in sorted(sums)]
