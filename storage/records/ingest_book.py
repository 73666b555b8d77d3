"""Commits and the ledger: what `core.ports.IngestRecords` promises, with `quarantine_book`.

The law of the ledger (received = stored + duplicate + quarantined + rejected) is a constraint of
the table, so a transaction that would break it does not happen.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, case, insert, select

from core.errors import StoreRejectedError
from core.ledger import (
    HOUR_MS,
    CommitOutcome,
    LedgerCounts,
    LedgerHour,
)
from core.periods import Period
from storage.records import tables as t
from storage.records.database import RecordsDatabase
from storage.records.dirty_spans import Group, Waiting, merge_dirty
from storage.records.quarantine_book import move_replayed
from storage.records.silence_book import SilenceBook

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BookingStatements:
    """What every booking says to the database, made once.

    A booking comes several times a second, and making these takes longer than running them.
    """

    applied: Any
    apply: Any
    add_hours: Any
    see: Any

    @classmethod
    def of(cls, database: RecordsDatabase) -> BookingStatements:
        """The statements in the dialect of a database."""
        number = database.insert(t.applied_commit)
        hours = database.insert(t.ledger_hour)
        counted = (*t.LEDGER_COUNTS, *t.LEDGER_NOTES)
        last = database.insert(t.last_message)
        before, new = t.last_message.c.received_ms, last.excluded.received_ms
        return cls(
            applied=select(t.applied_commit.c.number)
            .where(t.applied_commit.c.partition == bindparam("partition"))
            .with_for_update(),
            apply=number.on_conflict_do_update(
                index_elements=["partition"], set_={"number": number.excluded.number}
            ),
            add_hours=hours.on_conflict_do_update(
                index_elements=["site", "hour_ms"],
                set_={name: t.ledger_hour.c[name] + hours.excluded[name] for name in counted},
            ),
            see=last.on_conflict_do_update(
                index_elements=["site"],
                set_={"received_ms": case((new > before, new), else_=before)},
            ),
        )


class IngestBook(SilenceBook):
    """`core.ports.IngestRecords` in SQL."""

    _database: RecordsDatabase
    _statements: BookingStatements
    # What this process has seen waiting; each booking compares it with the table.
    _waiting: dict[Group, Waiting]

    def apply_commit(self, outcome: CommitOutcome) -> bool:
        """Book one commit in one transaction; False when this number was booked before.

        Commits of a partition are booked in ascending order, so the highest number says it all.

        Raises:
            StoreRejectedError: The counts do not add up.
        """
        with self._database.writing() as connection:
            statements = self._statements
            place = {"partition": outcome.partition}
            held = connection.execute(statements.applied, place).scalar()
            if held is not None and outcome.number <= held:
                return False
            connection.execute(statements.apply, {**place, "number": outcome.number})
            self._add_hours(connection, outcome.hours)
            self._add_entries(connection, outcome)
            learned = merge_dirty(connection, outcome.dirty, self._waiting)
            self._add_seen(connection, outcome)
            self._add_silences(connection, outcome)
            move_replayed(connection, outcome.replayed)
        # Only now: a transaction that did not hold has changed nothing.
        self._waiting.update(learned)
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
            return read_hours(connection, site, period)

    def read_ledger_snapshot(
        self, site: str | None, period: Period
    ) -> tuple[dict[int, int], list[LedgerHour]]:
        """In one snapshot: applied commit number per partition, and the booked hours.

        Args:
            site: None for every site, also those that are in no registry.
        """
        with self._database.reading() as connection:
            hours = read_hours(connection, site, period)
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
        connection.execute(self._statements.add_hours, rows)

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
                        "refused": entry.count,
                        "held_bytes": len(entry.payload) + len(entry.topic) + len(entry.detail),
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
            connection.execute(
                self._statements.see,
                [
                    {"site": site, "received_ms": received_ms}
                    for site, received_ms in outcome.last_message_ms.items()
                ],
            )


def read_hours(connection: Connection, site: str | None, period: Period) -> list[LedgerHour]:
    """Booked hours of a site, or of all (None), that start in the period, ascending."""
    table = t.ledger_hour
    query = select(table).where(table.c.hour_ms >= period.start_ms, table.c.hour_ms < period.end_ms)
    if site is not None:
        query = query.where(table.c.site == site)
    rows = connection.execute(query.order_by(table.c.hour_ms))
    names = (*t.LEDGER_COUNTS, *t.LEDGER_NOTES)
    return [
        LedgerHour(row.site, row.hour_ms, LedgerCounts(**{n: getattr(row, n) for n in names}))
        for row in rows
    ]
