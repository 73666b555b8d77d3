"""Sign-in, server-side sessions and the lock after failed sign-ins.

The browser holds a random token, the records its SHA-256. A session ends by sign-out, by idleness,
by age, and at once when its account is disabled.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta

from core.clock import Clock
from core.ports import Account, AccountRecords, Session
from dashboard.accounts import is_password_of
from dashboard.settings import BoardSettings

# The last-seen time is written at most this often: reading pages should not be writing records.
_TOUCH_STEP = timedelta(seconds=30)
_TOKEN_BYTES = 32
_LONGEST_NAME = 128


@dataclass(frozen=True, slots=True)
class Visitor:
    """A signed-in person and the session they came with."""

    account: Account
    session: Session


class Sessions:
    """Sign-in and sessions over the account records; thread-safe as the records are."""

    def __init__(self, records: AccountRecords, settings: BoardSettings, clock: Clock) -> None:
        self._records = records
        self._settings = settings
        self._clock = clock

    def sign_in(self, username: str, password: str, address: str) -> str | None:
        """Check a password and begin a session; the token for the browser, or None.

        A wrong name, a wrong password and a lock give the same answer after the same work.
        """
        now = self._clock.now()
        name = username.strip()[:_LONGEST_NAME]
        account = self._records.read_account(name)
        keys = (f"account:{name.casefold()}", f"address:{address}")
        since = now - self._settings.lock_window
        failures = [self._records.count_failures(key, since) for key in keys]
        locked = max(failures) >= self._settings.lock_failures
        matches = is_password_of(account, password)
        if locked or not matches or account is None:
            if not locked:
                for key in keys:
                    self._records.record_failure(key, now)
            outcome = "locked" if locked else "refused"
            self._records.append_audit(now, name, address, "session.begin", name, outcome)
            return None
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        session = Session(
            token_sha256=_digest(token),
            username=account.username,
            csrf=secrets.token_urlsafe(_TOKEN_BYTES),
            created_at=now,
            last_seen_at=now,
            expires_at=now + self._settings.session_lifetime,
        )
        self._records.create_session(session)
        self._records.append_audit(
            now, account.username, address, "session.begin", account.username, "done"
        )
        return token

    def visitor(self, token: str, *, is_use: bool = True) -> Visitor | None:
        """Whose token this is; None when the session is over or never was.

        Args:
            is_use: Whether this is an act of the person, which keeps the session from idling; the
                live feed of an open page is not.
        """
        now = self._clock.now()
        session = self._records.read_session(_digest(token))
        if session is None:
            return None
        idle = now - session.last_seen_at
        account = self._records.read_account(session.username)
        over = now >= session.expires_at or idle >= self._settings.session_idle
        if over or account is None or account.disabled:
            self._records.end_session(session.token_sha256)
            return None
        if is_use and idle >= _TOUCH_STEP:
            self._records.touch_session(session.token_sha256, now)
        return Visitor(account, session)

    def sign_out(self, visitor: Visitor, address: str) -> None:
        """End the session."""
        self._records.end_session(visitor.session.token_sha256)
        name = visitor.account.username
        self._records.append_audit(self._clock.now(), name, address, "session.end", name, "done")


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
