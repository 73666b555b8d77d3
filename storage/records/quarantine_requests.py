"""Requests of people for work on the quarantine, and what became of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, select, update

from core.errors import NotFoundError
from core.ledger import QuarantineRequest
from storage.records import tables as t
from storage.records.audit_book import append_entry
from storage.records.database import RecordsDatabase, from_us, to_us
from storage.records.quarantine_book import entry_number, name_ids


class QuarantineRequestBook:
    """Files requests, hands them out and closes them."""

    _database: RecordsDatabase

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

    def finish_quarantine_request(
        self, request_id: int, outcome: Mapping[str, str], now: datetime | None = None
    ) -> None:
        """Mark a request done with its outcome per entry, and say it in the audit.

        Args:
            now: Time of the entry in the audit; the time of the request without it.
        """
        table = t.quarantine_request
        with self._database.writing() as connection:
            row = connection.execute(
                select(table).where(table.c.id == request_id, table.c.state == "waiting")
            ).first()
            if row is None:
                return
            connection.execute(
                update(table)
                .where(table.c.id == request_id)
                .values(state="done", outcome=json.dumps(dict(outcome)))
            )
            request = _request_of(row)
            words = Counter(text.partition(":")[0].partition(";")[0] for text in outcome.values())
            told = ", ".join(f"{count} {word}" for word, count in sorted(words.items()))
            correction = "_as_correction" if request.as_correction else ""
            append_entry(
                self._database,
                connection,
                now or request.requested_at,
                request.requested_by,
                "",
                f"quarantine.{request.action}{correction}",
                name_ids(entry_number(text) or 0 for text in request.entry_ids),
                f"{told}: {request.note}" if request.note else told,
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
