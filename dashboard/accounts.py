"""Accounts and passwords: the first account, argon2id, equal effort for every answer."""

from __future__ import annotations

import secrets

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from core.clock import Clock
from core.ports import Account, AccountRecords
from dashboard.permissions import ALL_SITES, ROLES

FIRST_USERNAME = "admin"
LONGEST_PASSWORD = 1024
_PASSWORD_BYTES = 15

# argon2id with the library's defaults (RFC 9106, low-memory profile).
_HASHER = PasswordHasher()
# Verified where there is no account, so that both answers take the same time.
_NOBODY = _HASHER.hash(secrets.token_urlsafe(32))


def hash_password(password: str) -> str:
    """The argon2id hash, with its parameters and salt inside."""
    return _HASHER.hash(password)


def is_password_of(account: Account | None, password: str) -> bool:
    """Whether the password opens the account; takes the same time without an account."""
    stored = _NOBODY if account is None else account.password_hash
    try:
        _HASHER.verify(stored, password[:LONGEST_PASSWORD])
    except (Argon2Error, InvalidHashError):
        return False
    fits = len(password) <= LONGEST_PASSWORD
    return fits and account is not None and not account.disabled


def ensure_first_account(records: AccountRecords, clock: Clock) -> str | None:
    """Make the account `admin` with every role at every site, if there is no account at all.

    Returns:
        Its random password, given out this once; None where there are accounts already.
    """
    if records.read_accounts():
        return None
    password = secrets.token_urlsafe(_PASSWORD_BYTES)
    account = Account(FIRST_USERNAME, hash_password(password), dict.fromkeys(ROLES, (ALL_SITES,)))
    # Of two processes that start at once, one makes the account and prints its password.
    if not records.create_account(account):
        return None
    records.append_audit(
        clock.now(), "system", "", "account.create", FIRST_USERNAME, "first account"
    )
    return password
