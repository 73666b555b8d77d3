"""The audit: an append-only chain in which every entry carries the hash of the one before.

A change of an entry, or one taken out, breaks the chain from there on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from storage.records import tables as t
from storage.records.database import AUDIT_LOCK, RecordsDatabase, from_us, to_us

_CHAIN_START = "0" * 64
_CHAINED_COLUMNS = ("number", "at_us", "actor", "address", "action", "target", "outcome")
_AUDIT_PAGE = 1000


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One row of the audit chain.

    Attributes:
        number: Position, from 1.
        previous_sha256: Hash of the entry before; 64 zeros for the first.
        sha256: SHA-256 of `previous_sha256` and this entry's canonical JSON.
    """

    number: int
    at: datetime
    actor: str
    address: str
    action: str
    target: str
    outcome: str
    previous_sha256: str
    sha256: str


def append_entry(
    database: RecordsDatabase,
    connection: Connection,
    at: datetime,
    actor: str,
    address: str,
    action: str,
    target: str,
    outcome: str,
) -> None:
    """Append to the chain inside a transaction: what it tells of and the entry happen together."""
    table = t.audit_entry
    database.lock(connection, AUDIT_LOCK)
    last = connection.execute(
        select(table.c.number, table.c.sha256).order_by(table.c.number.desc()).limit(1)
    ).first()
    number, previous = (1, _CHAIN_START) if last is None else (last[0] + 1, last[1])
    entry = {
        "number": number,
        "at_us": to_us(at),
        "actor": t.clean_words(actor),
        "address": t.clean_words(address),
        "action": t.clean_words(action),
        "target": t.clean_words(target),
        "outcome": t.clean_words(outcome),
    }
    connection.execute(
        insert(table).values(**entry, previous_sha256=previous, sha256=_chained(previous, entry))
    )


class AuditBook:
    """Appends to the chain, reads it and computes it again."""

    _database: RecordsDatabase

    def append_audit(
        self, at: datetime, actor: str, address: str, action: str, target: str, outcome: str
    ) -> None:
        """Append to the audit chain (each row carries the hash of the one before)."""
        with self._database.writing() as connection:
            append_entry(self._database, connection, at, actor, address, action, target, outcome)

    def read_audit(self, *, limit: int, before: int | None = None) -> list[AuditEntry]:
        """Entries of the audit chain, newest first.

        Args:
            before: Only entries with a smaller number, to page on.
        """
        table = t.audit_entry
        query = select(table).order_by(table.c.number.desc()).limit(limit)
        if before is not None:
            query = query.where(table.c.number < before)
        with self._database.reading() as connection:
            return [_audit_of(row) for row in connection.execute(query)]

    def verify_audit(self) -> int | None:
        """Compute the whole chain again.

        Returns:
            Number of the first entry that is missing or has been changed; None when all is well.
            A chain that was cut at its end looks well: compare its last hash with one kept
            elsewhere.
        """
        previous, wanted = _CHAIN_START, 1
        table = t.audit_entry
        query = select(table).order_by(table.c.number).limit(_AUDIT_PAGE)
        reached = -(2**62)
        with self._database.reading() as connection:
            while rows := connection.execute(query.where(table.c.number > reached)).all():
                for row in rows:
                    entry = {name: getattr(row, name) for name in _CHAINED_COLUMNS}
                    fits = row.number == wanted and row.previous_sha256 == previous
                    if not fits or row.sha256 != _chained(previous, entry):
                        return wanted
                    previous, wanted = row.sha256, wanted + 1
                reached = rows[-1].number
        return None


def _chained(previous: str, entry: Mapping[str, Any]) -> str:
    canonical = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256((previous + canonical).encode("utf-8")).hexdigest()


def _audit_of(row: Row[Any]) -> AuditEntry:
    return AuditEntry(
        row.number,
        from_us(row.at_us),
        row.actor,
        row.address,
        row.action,
        row.target,
        row.outcome,
        row.previous_sha256,
        row.sha256,
    )
