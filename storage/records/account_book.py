"""Accounts, sessions and failed sign-ins: `core.ports.AccountRecords`, with `audit_book`."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update

from core.errors import NotFoundError
from core.ports import Account, Session
from storage.records import tables as t
from storage.records.database import RecordsDatabase, from_us, to_us

# Failed sign-ins are looked at over minutes; older ones are of no use.
_FAILURES_KEPT = timedelta(days=1)


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
