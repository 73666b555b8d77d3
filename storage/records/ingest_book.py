"""Ledger, quarantine and the work on it: what `core.ports.IngestRecords` promises.

The law of the ledger (received = stored + duplicate + quarantined + rejected) is a constraint of
the table, so a transaction that would break it does not happen.
"""

from __future__ import annotations

import json
import logging
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, case, func, insert, select, update

from core.errors import NotFoundError, StoreRejectedError
from core.ledger import (
    HOUR_MS,
    CommitOutcome,
    LedgerCounts,
    LedgerHour,
    QuarantineEntry,
    QuarantineRequest,
)
from core.periods import Period
from storage.records import tables as t
from storage.records.database import RecordsDatabase, from_us, to_us
from storage.records.dirty_spans import merge_dirty
from storage.records.silence_book import SilenceBook

_log = logging.getLogger(__name__)

_ENTRY_ID = re.compile(r"\Aq(\d{8,18})\Z", re.ASCII)


def entry_id(number: int) -> str:
    """Id of a quarantine entry: short, never given twice, and in the order of booking."""
    return f"q{number:08d}"


def entry_number(text: str) -> int | None:
    """The number inside an id; None where it is none."""
    match = _ENTRY_ID.match(text)
    return int(match.group(1)) if match else None


class IngestBook(SilenceBook):
    """`core.ports.IngestRecords` in SQL."""

    _database: RecordsDatabase

    def apply_commit(self, outcome: CommitOutcome) -> bool:
        """Book one commit in one transaction; False when this number was booked before.

        Commits of a partition are booked in ascending order, so the highest number says it all.

        Raises:
            StoreRejectedError: The counts do not add up.
        """
        with self._database.writing() as connection:
            held = connection.execute(
                select(t.applied_commit.c.number)
                .where(t.applied_commit.c.partition == outcome.partition)
                .with_for_update()
            ).scalar()
            if held is not None and outcome.number <= held:
                return False
            row = {"partition": outcome.partition, "number": outcome.number}
            statement = self._database.insert(t.applied_commit).values(row)
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["partition"], set_={"number": statement.excluded.number}
                )
            )
            self._add_hours(connection, outcome.hours)
            self._add_entries(connection, outcome)
            merge_dirty(connection, outcome.dirty)
            self._add_seen(connection, outcome)
            self._add_silences(connection, outcome)
            for name, counts in outcome.replayed.items():
                _move_replayed(connection, name, *counts)
        return True

    def applied_commit(self, partition: int) -> int:
        """Highest commit number booked for a partition; 0 when none."""
        with self._database.reading() as connection:
            held = connection.execute(
                select(t.applied_commit.c.number).where(t.applied_commit.c.partition == partition)
            ).scalar()
        return int(held or 0)

    # ------------------------------------------------------------ ledger

    def read_ledger(self, site: str, period: Period) -> list[LedgerHour]:
        """Booked hours of receipt that start in the period, ascending."""
        with self._database.reading() as connection:
            return _read_hours(connection, site, period)

    def read_ledger_snapshot(
        self, site: str, period: Period
    ) -> tuple[dict[int, int], list[LedgerHour]]:
        """In one snapshot: applied commit number per partition, and the booked hours."""
        with self._database.reading() as connection:
            hours = _read_hours(connection, site, period)
            rows = connection.execute(
                select(t.applied_commit.c.partition, t.applied_commit.c.number)
            )
            return {row.partition: row.number for row in rows}, hours

    def _add_hours(self, connection: Connection, hours: Sequence[LedgerHour]) -> None:
        sums: dict[tuple[str, int], LedgerCounts] = defaultdict(LedgerCounts)
        for hour in hours:
            if hour.counts.spooled or hour.hour_ms % HOUR_MS:
                raise StoreRejectedError(
                    f"ledger of {hour.site}: a booked change starts on the hour and has nothing "
                    f"spooled, not {hour}"
                )
            sums[hour.site, hour.hour_ms] += hour.counts
        if not sums:
            return
        names = (*t.LEDGER_COUNTS, *t.LEDGER_NOTES)
        rows = [
            {"site": site, "hour_ms": hour_ms, **{n: getattr(counts, n) for n in names}}
            for (site, hour_ms), counts in sums.items()
        ]
        statement = self._database.insert(t.ledger_hour)
        added = {n: t.ledger_hour.c[n] + statement.excluded[n] for n in names}
        connection.execute(
            statement.on_conflict_do_update(index_elements=["site", "hour_ms"], set_=added), rows
        )

    # ------------------------------------------------------------ quarantine

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

    def discard_quarantine(self, entry_id: str, *, by: str, note: str, now: datetime) -> bool:
        """Mark an open entry discarded and show its count as discarded in the ledger hour.

        Returns:
            False when there is no such open entry.
        """
        number = entry_number(entry_id)
        table = t.quarantine_entry
        with self._database.writing() as connection:
            row = connection.execute(
                select(table.c.site, table.c.received_ms, table.c.readings)
                .where(table.c.number == number, table.c.state == "open")
                .with_for_update()
            ).first()
            if row is None:
                return False
            site, received_ms, count = row
            closed = {"state": "discarded", "closed_us": to_us(now), "closed_by": by}
            connection.execute(
                update(table).where(table.c.number == number).values(**closed, closed_note=note)
            )
            _change_hour(connection, site, received_ms, {"discarded": count})
        return True

    def _add_entries(self, connection: Connection, outcome: CommitOutcome) -> None:
        if outcome.quarantined:
            connection.execute(
                insert(t.quarantine_entry),
                [
                    {
                        "received_ms": entry.received_ms,
                        "site": entry.site,
                        "topic": entry.topic,
                        "reason": entry.reason,
                        "detail": entry.detail,
                        "readings": entry.count,
                        "rows": json.dumps(entry.rows, separators=(",", ":")),
                        "payload": entry.payload,
                        "state": "open",
                    }
                    for entry in outcome.quarantined
                ],
            )
        if outcome.rejected:
            connection.execute(
                insert(t.rejected_entry),
                [
                    {
                        "received_ms": entry.received_ms,
                        "site": entry.site,
                        "topic": entry.topic,
                        "reason": entry.reason,
                        "detail": entry.detail,
                        "readings": entry.count,
                        "sha256": entry.sha256,
                        "head": entry.head,
                    }
                    for entry in outcome.rejected
                ],
            )

    # ------------------------------------------------------------ requests

    def request_quarantine_work(
        self,
        action: str,
        entry_ids: Sequence[str],
        *,
        as_correction: bool,
        requested_by: str,
        note: str,
        now: datetime,
    ) -> int:
        """File a replay or discard; returns the request's id."""
        with self._database.writing() as connection:
            done = connection.execute(
                insert(t.quarantine_request).values(
                    action=action,
                    entry_ids=json.dumps(list(entry_ids)),
                    as_correction=as_correction,
                    requested_by=requested_by,
                    note=note,
                    requested_us=to_us(now),
                    state="waiting",
                    outcome="{}",
                )
            )
            key = done.inserted_primary_key
            assert key is not None
            return int(key[0])

    def read_quarantine_requests(self, *, state: str = "waiting") -> list[QuarantineRequest]:
        """Requests, oldest first."""
        table = t.quarantine_request
        with self._database.reading() as connection:
            rows = connection.execute(
                select(table).where(table.c.state == state).order_by(table.c.id)
            )
            return [_request_of(row) for row in rows]

    def read_quarantine_request(self, request_id: int) -> QuarantineRequest:
        """One request.

        Raises:
            NotFoundError: No such request.
        """
        table = t.quarantine_request
        with self._database.reading() as connection:
            row = connection.execute(select(table).where(table.c.id == request_id)).first()
        if row is None:
            raise NotFoundError(f"no request {request_id} for work on the quarantine")
        return _request_of(row)

    def finish_quarantine_request(self, request_id: int, outcome: Mapping[str, str]) -> None:
        """Mark a request done with its outcome per entry."""
        table = t.quarantine_request
        with self._database.writing() as connection:
            connection.execute(
                update(table)
                .where(table.c.id == request_id)
                .values(state="done", outcome=json.dumps(dict(outcome)))
            )

    # ------------------------------------------------------------ what was seen

    def read_ignored_members(self) -> dict[str, int]:
        """Names of ignored JSON members and how often each was seen."""
        table = t.ignored_member
        with self._database.reading() as connection:
            rows = connection.execute(select(table.c.name, table.c.seen).order_by(table.c.name))
            return {row.name: row.seen for row in rows}

    def read_last_messages(self) -> dict[str, int]:
        """Receipt time of the newest message per site, UTC epoch milliseconds."""
        table = t.last_message
        with self._database.reading() as connection:
            rows = connection.execute(select(table.c.site, table.c.received_ms))
            return {row.site: row.received_ms for row in rows}

    def _add_seen(self, connection: Connection, outcome: CommitOutcome) -> None:
        members: dict[str, int] = defaultdict(int)
        for name, seen in outcome.ignored_members.items():
            members[t.clean_words(name)] += seen
        if members:
            statement = self._database.insert(t.ignored_member)
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["name"],
                    set_={"seen": t.ignored_member.c.seen + statement.excluded.seen},
                ),
                [{"name": name, "seen": seen} for name, seen in members.items()],
            )
        if outcome.last_message_ms:
            statement = self._database.insert(t.last_message)
            held, new = t.last_message.c.received_ms, statement.excluded.received_ms
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["site"],
                    set_={"received_ms": case((new > held, new), else_=held)},
                ),
                [
                    {"site": site, "received_ms": received_ms}
                    for site, received_ms in outcome.last_message_ms.items()
                ],
            )


def _read_hours(connection: Connection, site: str, period: Period) -> list[LedgerHour]:
    table = t.ledger_hour
    rows = connection.execute(
        select(table)
        .where(
            table.c.site == site,
            table.c.hour_ms >= period.start_ms,
            table.c.hour_ms < period.end_ms,
        )
        .order_by(table.c.hour_ms)
    )
    names = (*t.LEDGER_COUNTS, *t.LEDGER_NOTES)
    return [
        LedgerHour(row.site, row.hour_ms, LedgerCounts(**{n: getattr(row, n) for n in names}))
        for row in rows
    ]


def _move_replayed(
    connection: Connection, name: str, stored: int, duplicate: int, refused: int
) -> None:
    """Move the readings of a replayed entry, in its hour of receipt.

    A replay may find more or fewer readings than the entry stands for (a message that could not be
    parsed counts as one): the entry's own count is what moves, less what is refused again. Then
    the entry stays open for the rest.
    """
    table = t.quarantine_entry
    row = connection.execute(
        select(table.c.site, table.c.received_ms, table.c.readings)
        .where(table.c.number == entry_number(name), table.c.state == "open")
        .with_for_update()
    ).first()
    if row is None:
        _log.warning("quarantine entry %s was replayed but is not open; its counts stay", name)
        return
    site, received_ms, count = row
    moved = max(count - refused, 0) if stored or duplicate else 0
    as_stored = min(stored, moved)
    rest = count - moved
    changes = {"readings": rest} if rest else {"state": "replayed"}
    connection.execute(update(table).where(table.c.number == entry_number(name)).values(**changes))
    if moved:
        changed = {
            "quarantined": -moved,
            "stored": as_stored,
            "duplicate": moved - as_stored,
        }
        _change_hour(connection, site, received_ms, changed)


def _change_hour(
    connection: Connection, site: str, received_ms: int, changes: Mapping[str, int]
) -> None:
    table = t.ledger_hour
    hour_ms = received_ms - received_ms % HOUR_MS
    done = connection.execute(
        update(table)
        .where(table.c.site == site, table.c.hour_ms == hour_ms)
        .values({name: table.c[name] + change for name, change in changes.items()})
    )
    if done.rowcount != 1:
        raise StoreRejectedError(f"the ledger of {site} has no hour {hour_ms} for this entry")


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


def _request_of(row: Row[Any]) -> QuarantineRequest:
    return QuarantineRequest(
        id=row.id,
        action=row.action,
        entry_ids=tuple(json.loads(row.entry_ids)),
        as_correction=bool(row.as_correction),
        requested_by=row.requested_by,
        note=row.note,
        requested_at=from_us(row.requested_us),
        state=row.state,
        outcome=json.loads(row.outcome),
    )
