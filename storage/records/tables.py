"""Tables of the records. A change here is a new step in `storage/migrations/versions`.

Times are integers: milliseconds for messages and data, microseconds for what people do (sessions,
audit), both UTC since 1970. Texts that come from outside may hold anything; see `Words`.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Dialect,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeDecorator

METADATA = MetaData(
    naming_convention={
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)

# SQLite numbers rows by itself only in a column of exactly the type INTEGER.
Number = BigInteger().with_variant(Integer(), "sqlite")


def clean_words(words: str) -> str:
    r"""Text that every database takes: lone surrogates and NUL become `\ud800` and `\x00`."""
    if words.isascii() and "\0" not in words:
        return words
    return words.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")


class Words(TypeDecorator[str]):
    """Text from outside, such as a topic or a name somebody typed."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Clean the text on its way in, also where it is searched for."""
        return None if value is None else clean_words(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        """As it is stored."""
        return None if value is None else str(value)


LEDGER_COUNTS = ("received", "stored", "duplicate", "quarantined", "rejected")
# Shown beside the sum, no part of it.
LEDGER_NOTES = ("late", "discarded")

ledger_hour = Table(
    "ledger_hour",
    METADATA,
    Column("site", Words, primary_key=True),
    Column("hour_ms", BigInteger, primary_key=True, autoincrement=False),
    *[
        Column(name, BigInteger, nullable=False, server_default="0")
        for name in (*LEDGER_COUNTS, *LEDGER_NOTES)
    ],
    CheckConstraint(
        "received = stored + duplicate + quarantined + rejected", name="every_reading_once"
    ),
    CheckConstraint(
        "stored >= 0 AND duplicate >= 0 AND quarantined >= 0 AND rejected >= 0 AND late >= 0",
        name="not_negative",
    ),
    CheckConstraint("discarded >= 0 AND discarded <= quarantined", name="discarded"),
)

# Alarms: hours that disagree with what they count, as each checker last found them.
ledger_imbalance = Table(
    "ledger_imbalance",
    METADATA,
    Column("source", Text, primary_key=True),
    Column("site", Words, primary_key=True),
    Column("hour_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("name", Text, primary_key=True),
    Column("booked", BigInteger, nullable=False),
    Column("found", BigInteger, nullable=False),
)

applied_commit = Table(
    "applied_commit",
    METADATA,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
)

quarantine_entry = Table(
    "quarantine_entry",
    METADATA,
    Column("number", Number, primary_key=True),
    Column("received_ms", BigInteger, nullable=False),
    Column("site", Words, nullable=False),
    Column("topic", Words, nullable=False),
    Column("reason", Words, nullable=False),
    Column("detail", Words, nullable=False),
    Column("readings", BigInteger, nullable=False),
    Column("rows", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),
    Column("closed_us", BigInteger),
    Column("closed_by", Words),
    Column("closed_note", Words),
    # Readings at the beginning: a replay in parts takes from `readings`, never from this.
    Column("refused", BigInteger, nullable=False, server_default="0"),
    # Of payload, topic and detail; zero once the payload was given up: then it is empty.
    Column("held_bytes", BigInteger, nullable=False, server_default="0"),
    CheckConstraint("state IN ('open', 'replayed', 'discarded')", name="state"),
    CheckConstraint("readings >= 0", name="readings"),
    Index(None, "state", "received_ms"),
    Index(None, "site", "received_ms"),
    # The oldest that hold bytes, and the sum of all, without a look at the rows.
    Index(
        None,
        "received_ms",
        "held_bytes",
        sqlite_where=text("held_bytes > 0"),
        postgresql_where=text("held_bytes > 0"),
    ),
    sqlite_autoincrement=True,
)

rejected_entry = Table(
    "rejected_entry",
    METADATA,
    Column("number", Number, primary_key=True),
    Column("received_ms", BigInteger, nullable=False),
    Column("site", Words, nullable=False),
    Column("topic", Words, nullable=False),
    Column("reason", Words, nullable=False),
    Column("detail", Words, nullable=False),
    Column("readings", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("head", LargeBinary, nullable=False),
    Index(None, "received_ms"),
    sqlite_autoincrement=True,
)

quarantine_request = Table(
    "quarantine_request",
    METADATA,
    Column("id", Number, primary_key=True),
    Column("action", Text, nullable=False),
    Column("entry_ids", Text, nullable=False),
    Column("as_correction", Boolean, nullable=False),
    Column("requested_by", Words, nullable=False),
    Column("note", Words, nullable=False),
    Column("requested_us", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    CheckConstraint("action IN ('replay', 'discard')", name="action"),
    CheckConstraint("state IN ('waiting', 'done')", name="state"),
    Index(None, "state"),
    sqlite_autoincrement=True,
)

ignored_member = Table(
    "ignored_member",
    METADATA,
    Column("name", Words, primary_key=True),
    Column("seen", BigInteger, nullable=False),
)

last_message = Table(
    "last_message",
    METADATA,
    Column("site", Words, primary_key=True),
    Column("received_ms", BigInteger, nullable=False),
)

silent_device = Table(
    "silent_device",
    METADATA,
    Column("site", Words, primary_key=True),
    Column("device", Words, primary_key=True),
    Column("since_ms", BigInteger, nullable=False),
)

dirty_span = Table(
    "dirty_span",
    METADATA,
    Column("id", Number, primary_key=True),
    Column("site", Words, nullable=False),
    Column("family", Words, nullable=False),
    Column("device", Words, nullable=False),
    Column("start_ms", BigInteger, nullable=False),
    Column("end_ms", BigInteger, nullable=False),
    # Handed out to be computed: what arrives later must not be merged into it.
    Column("taken", Boolean, nullable=False),
    Index(None, "site", "family", "device"),
    sqlite_autoincrement=True,
)

series_event = Table(
    "series_event",
    METADATA,
    Column("number", Number, primary_key=True),
    Column("site", Words, nullable=False),
    Column("family", Words, nullable=False),
    Column("device", Words, nullable=False),
    Column("metric", Words, nullable=False),
    Column("kind", Text, nullable=False),
    Column("start_ms", BigInteger, nullable=False),
    Column("end_ms", BigInteger, nullable=False),
    Column("before", Double, nullable=False),
    Column("after", Double, nullable=False),
    Column("amount", Double, nullable=False),
    Index(None, "site", "family", "device", "end_ms"),
    Index(None, "site", "end_ms"),
)

account = Table(
    "account",
    METADATA,
    Column("username", Words, primary_key=True),
    Column("password_hash", Text, nullable=False),
    Column("roles", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("disabled", Boolean, nullable=False),
)

session = Table(
    "session",
    METADATA,
    Column("token_sha256", Text, primary_key=True),
    Column("username", Words, nullable=False),
    Column("csrf", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("last_seen_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Index(None, "username"),
)

sign_in_failure = Table(
    "sign_in_failure",
    METADATA,
    Column("number", Number, primary_key=True),
    Column("key", Words, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Index(None, "key", "at_us"),
    Index(None, "at_us"),
)

audit_entry = Table(
    "audit_entry",
    METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at_us", BigInteger, nullable=False),
    Column("actor", Words, nullable=False),
    Column("address", Words, nullable=False),
    Column("action", Words, nullable=False),
    Column("target", Words, nullable=False),
    Column("outcome", Words, nullable=False),
    Column("previous_sha256", Text, nullable=False),
    Column("sha256", Text, nullable=False),
)

report_revision = Table(
    "report_revision",
    METADATA,
    Column("id", Words, primary_key=True),
    Column("site", Words, nullable=False),
    Column("month", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("author", Words, nullable=False),
    Column("content_sha256", Text, nullable=False),
    Column("files", Text, nullable=False),
    Column("summary", Text, nullable=False),
    CheckConstraint(
        "state IN ('draft', 'review', 'signed', 'submitted', 'published')", name="state"
    ),
    CheckConstraint("revision >= 1", name="revision"),
    UniqueConstraint("site", "month", "revision"),
)
