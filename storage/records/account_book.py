"""Accounts, sessions, failed sign-ins and the audit chain: `core.ports.AccountRecords`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update

from core.errors import NotFoundError
from core.ports import Account, Session
from storage.records import tables as t
from storage.records.database import AUDIT_LOCK, RecordsDatabase, from_us, to_us

# Failed sign-ins are looked at over minutes; older ones are of no use.
_FAILURES_KEPT = timedelta(days=1)
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


class AccountBook:
    """`core.ports.AccountRecords` in SQL."""

    _database: RecordsDatabase

    # ------------------------------------------------------------ accounts

    def create_account(self, account: Account) -> bool:
        """Add an account; False when the name is taken."""
        statement = self._database.insert(t.account).values(
            username=account.username, **_account_values(account)
        )
        with self._database.writing() as connection:
            # The row itself: how many rows an INSERT made is not told by every driver.
            made = statement.on_conflict_do_nothing().returning(t.account.c.username)
            return connection.execute(made).first() is not None

    def read_account(self, username: str) -> Account | None:
        """The account of this name, or None."""
        with self._database.reading() as connection:
            row = connection.execute(
                select(t.account).where(t.account.c.username == username)
            ).first()
        return None if row is None else _account_of(row)

    def read_accounts(self) -> list[Account]:
        """All accounts, by name."""
        with self._database.reading() as connection:
            rows = connection.execute(select(t.account)).all()
        return sorted(map(_account_of, rows), key=lambda account: account.username)

    def write_account(self, account: Account) -> None:
        """Replace an account's hash, roles, language and state.

        Raises:
            NotFoundError: There is no account of this name.
        """
        with self._database.writing() as connection:
            done = connection.execute(
                update(t.account)
                .where(t.account.c.username == account.username)
                .values(**_account_values(account))
            )
            if done.rowcount != 1:
                raise NotFoundError(f"no account {account.username!r}")

    # ------------------------------------------------------------ sessions

    def create_session(self, session: Session) -> None:
        """Add a session; those that have ended by then are forgotten."""
        with self._database.writing() as connection:
            created_us = to_us(session.created_at)
            connection.execute(delete(t.session).where(t.session.c.expires_us < created_us))
            connection.execute(
                insert(t.session).values(
                    token_sha256=session.token_sha256,
                    username=session.username,
                    csrf=session.csrf,
                    created_us=created_us,
                    last_seen_us=to_us(session.last_seen_at),
                    expires_us=to_us(session.expires_at),
                )
            )

    def read_session(self, token_sha256: str) -> Session | None:
        """The session of this token hash, expired or not; None when there is none."""
        with self._database.reading() as connection:
            row = connection.execute(
                select(t.session).where(t.session.c.token_sha256 == token_sha256)
            ).first()
        if row is None:
            return None
        times = map(from_us, (row.created_us, row.last_seen_us, row.expires_us))
        return Session(row.token_sha256, row.username, row.csrf, *times)

    def touch_session(self, token_sha256: str, last_seen_at: datetime) -> None:
        """Move a session's last-seen time."""
        with self._database.writing() as connection:
            connection.execute(
                update(t.session)
                .where(t.session.c.token_sha256 == token_sha256)
                .values(last_seen_us=to_us(last_seen_at))
            )

    def end_session(self, token_sha256: str) -> None:
        """Delete a session."""
        with self._database.writing() as connection:
            connection.execute(delete(t.session).where(t.session.c.token_sha256 == token_sha256))

    def end_sessions_of(self, username: str) -> None:
        """Delete every session of a person."""
        with self._database.writing() as connection:
            connection.execute(delete(t.session).where(t.session.c.username == username))

    # ------------------------------------------------------------ failed sign-ins

    def record_failure(self, key: str, at: datetime) -> None:
        """Note a failed sign-in under a key (account or address)."""
        table = t.sign_in_failure
        with self._database.writing() as connection:
            connection.execute(delete(table).where(table.c.at_us < to_us(at - _FAILURES_KEPT)))
            connection.execute(insert(table).values(key=key, at_us=to_us(at)))

    def count_failures(self, key: str, since: datetime) -> int:
        """Failed sign-ins under a key since a time."""
        table = t.sign_in_failure
        with self._database.reading() as connection:
            found = connection.execute(
                select(func.count()).where(table.c.key == key, table.c.at_us >= to_us(since))
            ).scalar()
        return int(found or 0)

    # ------------------------------------------------------------ audit

    def append_audit(
        self, at: datetime, actor: str, address: str, action: str, target: str, outcome: str
    ) -> None:
        """Append to the audit chain (each row carries the hash of the one before)."""
        table = t.audit_entry
        with self._database.writing() as connection:
            self._database.lock(connection, AUDIT_LOCK)
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
                insert(table).values(
                    **entry, previous_sha256=previous, sha256=_chained(previous, entry)
                )
            )

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


def _account_values(account: Account) -> dict[str, Any]:
    roles = {role: list(sites) for role, sites in account.roles.items()}
    return {
        "password_hash": account.password_hash,
        "roles": json.dumps(roles, sort_keys=True),
        "language": account.language,
        "disabled": account.disabled,
    }


def _account_of(row: Row[Any]) -> Account:
    roles = {role: tuple(sites) for role, sites in json.loads(row.roles).items()}
    return Account(row.username, row.password_hash, roles, row.language, bool(row.disabled))


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
