"""The quarantine kept within its bounds: the oldest payloads are given up, and that is told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select, update

from core.ledger import HOUR_MS, QuarantineBounds
from core.periods import to_ms
from storage.records import tables as t
from storage.records.audit_book import append_entry
from storage.records.database import RecordsDatabase
from storage.records.quarantine_book import close_discarded, name_ids, portions

# Who discards what is beyond the bounds.
KEEPER = "greendc"
_DAY_MS = 24 * HOUR_MS
# One transaction must not hold the records for long.
_GIVEN_UP_AT_ONCE = 5_000


class QuarantineBoundsBook:
    """Gives up what is beyond the bounds."""

    _database: RecordsDatabase

    def bound_quarantine(self, bounds: QuarantineBounds, now: datetime) -> int:
        """Give up the oldest payloads that are beyond the bounds; returns how many.

        An open entry is discarded by that, which stands in the audit and, as any discard, in the
        ledger. Of a closed one only the bytes go. The oldest rejected messages are forgotten by
        the same age.
        """
        oldest_ms = to_ms(now) - bounds.max_days * _DAY_MS if bounds.max_days else None
        given_up = 0
        while True:
            with self._database.writing() as connection:
                some = self._give_up_some(connection, bounds, oldest_ms, now)
            given_up += some
            if some < _GIVEN_UP_AT_ONCE:
                return given_up

    def _give_up_some(
        self,
        connection: Connection,
        bounds: QuarantineBounds,
        oldest_ms: int | None,
        now: datetime,
    ) -> int:
        table = t.quarantine_entry
        total = connection.execute(
            select(func.sum(table.c.held_bytes)).where(table.c.held_bytes > 0)
        ).scalar()
        held = int(total or 0)
        too_old: list[Row[Any]] = []
        too_many: list[Row[Any]] = []
        names = ("number", "site", "received_ms", "readings", "state", "held_bytes")
        oldest = (
            select(*(table.c[name] for name in names))
            .where(table.c.held_bytes > 0)
            .order_by(table.c.received_ms, table.c.number)
            .limit(_GIVEN_UP_AT_ONCE)
        )
        for row in connection.execute(oldest).all():
            if oldest_ms is not None and row.received_ms < oldest_ms:
                too_old.append(row)
            elif bounds.max_bytes and held > bounds.max_bytes:
                too_many.append(row)
            else:
                break
            held -= row.held_bytes
        for rows, why in (
            (too_old, f"older than {bounds.max_days} days"),
            (too_many, f"the quarantine held more than {bounds.max_bytes} bytes"),
        ):
            self._give_up(connection, rows, why, now)
        if oldest_ms is not None:
            rejected = t.rejected_entry
            connection.execute(delete(rejected).where(rejected.c.received_ms < oldest_ms))
        return len(too_old) + len(too_many)

    def _give_up(
        self, connection: Connection, rows: Sequence[Row[Any]], why: str, now: datetime
    ) -> None:
        by_site: dict[str, list[Row[Any]]] = defaultdict(list)
        for row in rows:
            if row.state == "open":
                by_site[row.site].append(row)
        for site, discarded in by_site.items():
            close_discarded(connection, discarded, by=KEEPER, note=why, now=now)
            readings = sum(row.readings for row in discarded)
            size = sum(row.held_bytes for row in discarded)
            append_entry(
                self._database,
                connection,
                now,
                KEEPER,
                "",
                "quarantine.discard",
                f"{site}: {name_ids(row.number for row in discarded)}",
                f"{len(discarded)} entries, {readings} readings, {size} bytes given up: {why}",
            )
        for some in portions([row.number for row in rows]):
            table = t.quarantine_entry
            connection.execute(
                update(table).where(table.c.number.in_(some)).values(payload=b"", held_bytes=0)
            )
