"""Quarantine entries: reading, counting, closing them; with `ingest_book`.

An entry that is closed stays: its counts are part of the ledger. Its bytes may be given up.
"""

from __future__ import annotations

import json
import logging
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    bindparam,
    case,
    func,
    literal_column,
    select,
    update,
)

from core.errors import NotFoundError, StoreRejectedError
from core.ledger import (
    HOUR_MS,
    QuarantineCount,
    QuarantineEntry,
)
from core.periods import INTERVAL_MS, Period
from storage.records import tables as t
from storage.records.database import RecordsDatabase, to_us

_IDS_PER_STATEMENT = 500
_IDS_NAMED = 20
_QUARTER: ColumnElement[int] = literal_column(f"received_ms - received_ms % {INTERVAL_MS}")

_log = logging.getLogger(__name__)
_ENTRY_ID = re.compile(r"\Aq(\d{8,18})\Z", re.ASCII)


def entry_id(number: int) -> str:
    """Id of a quarantine entry: short, never given twice, and in the order of booking."""
    return f"q{number:08d}"


def entry_number(text: str) -> int | None:
    """The number inside an id; None where it is none."""
    match = _ENTRY_ID.match(text)
    return int(match.group(1)) if match else None


class QuarantineBook:
    """The quarantine's part of `core.ports.IngestRecords` in SQL."""

    _database: RecordsDatabase

    # ------------------------------------------------------------ entries

    def read_quarantine(
        self,
        *,
        sites: Sequence[str] | None = None,
        reason: str | None = None,
        state: str | None = "open",
        limit: int | None = None,
    ) -> list[QuarantineEntry]:
        """Entries, newest first."""
        table = t.quarantine_entry
        query = select(table).order_by(table.c.received_ms.desc(), table.c.number.desc())
        if sites is not None:
            query = query.where(table.c.site.in_(list(sites)))
        if reason is not None:
            query = query.where(table.c.reason == reason)
        if state is not None:
            query = query.where(table.c.state == state)
        if limit is not None:
            query = query.limit(limit)
        with self._database.reading() as connection:
            return [_entry_of(row) for row in connection.execute(query)]

    def read_quarantine_entry(self, entry_id: str) -> QuarantineEntry:
        """One entry, in any state.

        Raises:
            NotFoundError: No such entry.
        """
        number = entry_number(entry_id)
        if number is not None:
            table = t.quarantine_entry
            with self._database.reading() as connection:
                row = connection.execute(select(table).where(table.c.number == number)).first()
            if row is not None:
                return _entry_of(row)
        raise NotFoundError(
            f"no quarantine entry {entry_id!r}; `greendc quarantine list` shows those that exist"
        )

    def read_quarantine_ids(
        self,
        *,
        sites: Sequence[str] | None = None,
        reason: str | None = None,
        limit: int | None = None,
    ) -> list[str]:
        """Ids of open entries, oldest first, without their payloads."""
        table = t.quarantine_entry
        query = select(table.c.number).where(table.c.state == "open").order_by(table.c.number)
        if sites is not None:
            query = query.where(table.c.site.in_(list(sites)))
        if reason is not None:
            query = query.where(table.c.reason == reason)
        if limit is not None:
            query = query.limit(limit)
        with self._database.reading() as connection:
            return [entry_id(number) for number in connection.execute(query).scalars()]

    def read_quarantine_sites(self) -> list[str]:
        """Sites that have open entries, by name."""
        table = t.quarantine_entry
        query = select(table.c.site).where(table.c.state == "open").distinct()
        with self._database.reading() as connection:
            return sorted(connection.execute(query).scalars())

    def read_quarantine_entries(self, entry_ids: Sequence[str]) -> dict[str, QuarantineEntry]:
        """Entries by id, in any state; those that do not exist are absent."""
        numbers = [number for text in entry_ids if (number := entry_number(text)) is not None]
        table = t.quarantine_entry
        found: dict[str, QuarantineEntry] = {}
        with self._database.reading() as connection:
            for some in portions(numbers):
                rows = connection.execute(select(table).where(table.c.number.in_(some)))
                found.update((entry_id(row.number), _entry_of(row)) for row in rows)
        return found

    def count_open_quarantine(self) -> dict[str, tuple[int, int]]:
        """Open entries and their readings, by site."""
        table = t.quarantine_entry
        query = (
            select(table.c.site, func.count(), func.sum(table.c.readings))
            .where(table.c.state == "open")
            .group_by(table.c.site)
        )
        with self._database.reading() as connection:
            return {site: (int(n), int(sum_)) for site, n, sum_ in connection.execute(query)}

    def count_open_reasons(self, site: str) -> dict[str, tuple[int, int]]:
        """Open entries of a site and their readings, by reason."""
        table = t.quarantine_entry
        query = (
            select(table.c.reason, func.count(), func.sum(table.c.readings))
            .where(table.c.site == site, table.c.state == "open")
            .group_by(table.c.reason)
        )
        with self._database.reading() as connection:
            return {
                reason: (int(entries), int(readings))
                for reason, entries, readings in connection.execute(query)
            }

    def count_quarantine(self, site: str, period: Period) -> list[QuarantineCount]:
        """What was refused by quarter-hour of receipt and reason, and what became of it."""
        table = t.quarantine_entry
        quarter = _QUARTER.label("quarter")
        left = table.c.readings

        def of_state(state: str) -> Any:
            return func.sum(case((table.c.state == state, left), else_=0))

        query = (
            select(
                quarter,
                table.c.reason,
                func.count(),
                func.sum(table.c.refused),
                of_state("open"),
                of_state("discarded"),
            )
            .where(
                table.c.site == site,
                table.c.received_ms >= period.start_ms,
                table.c.received_ms < period.end_ms,
            )
            .group_by(_QUARTER, table.c.reason)
            .order_by(_QUARTER, table.c.reason)
        )
        counts = []
        with self._database.reading() as connection:
            for start, reason, entries, *sums in connection.execute(query):
                refused, still_open, discarded = map(int, sums)
                # What a replay took, whole or in part.
                replayed = refused - still_open - discarded
                start_ms = int(start)
                counts.append(
                    QuarantineCount(
                        start_ms,
                        start_ms + INTERVAL_MS,
                        reason,
                        int(entries),
                        refused,
                        still_open,
                        replayed,
                        discarded,
                    )
                )
        return counts

    # ------------------------------------------------------------ giving up

    def discard_quarantine(self, entry_id: str, *, by: str, note: str, now: datetime) -> bool:
        """Mark an open entry discarded and show its count as discarded in the ledger hour.

        Returns:
            False when there is no such open entry.
        """
        return bool(self.discard_quarantine_entries([entry_id], by=by, note=note, now=now))

    def discard_quarantine_entries(
        self, entry_ids: Sequence[str], *, by: str, note: str, now: datetime
    ) -> set[str]:
        """As `discard_quarantine` for many, in one transaction; the ids that were open till now."""
        numbers = [number for text in entry_ids if (number := entry_number(text)) is not None]
        table = t.quarantine_entry
        done: set[str] = set()
        with self._database.writing() as connection:
            for some in portions(numbers):
                rows = connection.execute(
                    select(table.c.number, table.c.site, table.c.received_ms, table.c.readings)
                    .where(table.c.number.in_(some), table.c.state == "open")
                    .with_for_update()
                ).all()
                close_discarded(connection, rows, by=by, note=note, now=now)
                done.update(entry_id(row.number) for row in rows)
        return done


def move_replayed(connection: Connection, replayed: Mapping[str, tuple[int, int, int]]) -> None:
    """Move the readings of replayed entries, each in its hour of receipt.

    A replay may find more or fewer readings than the entry stands for (a message that could not be
    parsed counts as one): the entry's own count is what moves, less what is refused again. Then
    the entry stays open for the rest.

    Args:
        replayed: Entry id -> readings (stored, duplicate, still refused).
    """
    table = t.quarantine_entry
    by_number = {entry_number(name): counts for name, counts in replayed.items()}
    numbers = [number for number in by_number if number is not None]
    rests: list[dict[str, int]] = []
    done: list[int] = []
    hours: dict[tuple[str, int], Counter[str]] = defaultdict(Counter)
    found = 0
    for some in portions(numbers):
        rows = connection.execute(
            select(table.c.number, table.c.site, table.c.received_ms, table.c.readings)
            .where(table.c.number.in_(some), table.c.state == "open")
            .with_for_update()
        )
        for number, site, received_ms, count in rows:
            found += 1
            stored, duplicate, refused = by_number[number]
            moved = max(count - refused, 0) if stored or duplicate else 0
            if moved < count:
                rests.append({"entry": number, "rest": count - moved})
            else:
                done.append(number)
            if moved:
                as_stored = min(stored, moved)
                hours[site, received_ms - received_ms % HOUR_MS].update(
                    quarantined=-moved, stored=as_stored, duplicate=moved - as_stored
                )
    if found < len(replayed):
        _log.warning(
            "%d quarantine entries were replayed but are not open; their counts stay",
            len(replayed) - found,
        )
    for some in portions(done):
        connection.execute(update(table).where(table.c.number.in_(some)).values(state="replayed"))
    if rests:
        connection.execute(
            update(table)
            .where(table.c.number == bindparam("entry"))
            .values(readings=bindparam("rest")),
            rests,
        )
    for (site, hour_ms), changes in hours.items():
        change_hour(connection, site, hour_ms, changes)


def change_hour(
    connection: Connection, site: str, received_ms: int, changes: Mapping[str, int]
) -> None:
    """Add to counts of a site's hour of receipt."""
    table = t.ledger_hour
    hour_ms = received_ms - received_ms % HOUR_MS
    done = connection.execute(
        update(table)
        .where(table.c.site == site, table.c.hour_ms == hour_ms)
        .values({name: table.c[name] + change for name, change in changes.items()})
    )
    if done.rowcount != 1:
        raise StoreRejectedError(f"the ledger of {site} has no hour {hour_ms} for this entry")


def close_discarded(
    connection: Connection, rows: Sequence[Any], *, by: str, note: str, now: datetime
) -> None:
    """Close rows (number, site, received_ms, readings) of open entries, and count them so."""
    table = t.quarantine_entry
    closed = {
        "state": "discarded", "closed_us": to_us(now), "closed_by": by, "closed_note": note,
    }  # fmt: skip
    hours: dict[tuple[str, int], int] = defaultdict(int)
    for row in rows:
        hours[row.site, row.received_ms - row.received_ms % HOUR_MS] += row.readings
    for some in portions([row.number for row in rows]):
        connection.execute(update(table).where(table.c.number.in_(some)).values(**closed))
    for (site, hour_ms), count in hours.items():
        change_hour(connection, site, hour_ms, {"discarded": count})


def portions(numbers: Sequence[int]) -> Iterable[list[int]]:
    """So many numbers as one statement may name."""
    for first in range(0, len(numbers), _IDS_PER_STATEMENT):
        yield list(numbers[first : first + _IDS_PER_STATEMENT])


def name_ids(numbers: Iterable[int]) -> str:
    """Ids for the audit: each, or of many the first and the last."""
    ids = [entry_id(number) for number in sorted(numbers)]
    if len(ids) <= _IDS_NAMED:
        return ", ".join(ids)
    return f"{ids[0]} to {ids[-1]} ({len(ids)})"


def _entry_of(row: Row[Any]) -> QuarantineEntry:
    return QuarantineEntry(
        id=entry_id(row.number),
        received_ms=row.received_ms,
        site=row.site,
        topic=row.topic,
        reason=row.reason,
        detail=row.detail,
        count=row.readings,
        rows=tuple(json.loads(row.rows)),
        payload=bytes(row.payload),
        state=row.state,
    )
