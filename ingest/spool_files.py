"""The spool's file: where it lies, its schema, its checksums, and reading it from outside."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from core.errors import ConfigurationError, Problem
from core.ledger import LedgerCounts, LedgerHour
from ingest.birth_book import BIRTH_TABLES

_LOG = logging.getLogger(__name__)
SCHEMA = 2

# Kinds of rows. Refusals do not wait for the store, so they are numbered by a book of their own.
READINGS, REFUSALS = 0, 1
_REFUSALS_BOOK = 1_000

_COUNTS = ("received", "quarantined", "rejected", "spooled", "late")

TABLES = f"""
CREATE TABLE IF NOT EXISTS commits (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    kind INTEGER NOT NULL,
    readings INTEGER NOT NULL,
    received_ms INTEGER NOT NULL,
    ledger TEXT NOT NULL,
    digest BLOB NOT NULL,
    verdicts BLOB,
    packed BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS newest (
    site TEXT NOT NULL, device TEXT NOT NULL, time_ms INTEGER NOT NULL,
    PRIMARY KEY (site, device)
) WITHOUT ROWID;
{BIRTH_TABLES}
CREATE TABLE IF NOT EXISTS filters (filter TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS set_aside (
    number INTEGER PRIMARY KEY, kind INTEGER NOT NULL, readings INTEGER NOT NULL,
    received_ms INTEGER NOT NULL, ledger TEXT, digest BLOB, reason TEXT NOT NULL, packed BLOB
);
PRAGMA user_version = {SCHEMA};
"""

# Made where they are missing; a version that knows them not does without.
INDEXES = """
CREATE INDEX IF NOT EXISTS refusals ON commits (number) WHERE kind = 1;
"""


# Set bits of every fingerprint: none is zero, which says that there is none yet.
_FINGERPRINT = 0x6000_0000
_HALF = 0x1FFF_FFFF


class SchemaDamageError(sqlite3.DatabaseError):
    """The tables do not begin where they were made: what is read by their names is not theirs."""


def check_schema(connection: sqlite3.Connection) -> None:
    """Check that the schema is as it was sealed; an older file may have no seal.

    A flipped bit in the page where a table begins makes it another's, or empty, without an error.

    Raises:
        SchemaDamageError: It is not.
    """
    kept = connection.execute("PRAGMA application_id").fetchone()[0]
    if kept and kept != _fingerprint(connection):
        raise SchemaDamageError("the tables do not begin where they were made")


def seal_schema(connection: sqlite3.Connection) -> None:
    """Keep the fingerprint of the schema in the file's header; within a transaction."""
    found = _fingerprint(connection)
    if connection.execute("PRAGMA application_id").fetchone()[0] != found:
        connection.execute(f"PRAGMA application_id={found}")


def _fingerprint(connection: sqlite3.Connection) -> int:
    rows = connection.execute(
        "SELECT type, name, tbl_name, rootpage, sql FROM sqlite_master ORDER BY type, name"
    ).fetchall()
    return _FINGERPRINT | (zlib.crc32(repr(rows).encode("utf-8", "replace")) & _HALF)


def spool_path(folder: Path, partition: int) -> Path:
    """File of one partition's spool."""
    return folder / f"partition-{partition}.sqlite"


def spool_paths(folder: Path) -> list[tuple[int, Path]]:
    """Partitions that have a spool in a folder, with their files."""
    found = []
    for path in folder.glob("partition-*.sqlite") if folder.is_dir() else ():
        number = path.stem.partition("-")[2]
        if number.isdigit():
            found.append((int(number), path))
    return sorted(found)


def book_of(partition: int, kind: int) -> int:
    """The number under which the records book the commits of a kind."""
    return partition + (_REFUSALS_BOOK if kind == REFUSALS else 0)


def render_ledger(hours: Iterable[LedgerHour]) -> str:
    """Counts of a commit as the spool keeps them."""
    rows = [[h.site, h.hour_ms, *[getattr(h.counts, name) for name in _COUNTS]] for h in hours]
    return json.dumps(rows, separators=(",", ":"))


def parse_ledger(text: str) -> list[LedgerHour]:
    """Counts of a commit.

    Raises:
        ValueError: The text is damaged.
    """
    try:
        return [
            LedgerHour(site, hour_ms, LedgerCounts(**dict(zip(_COUNTS, counts, strict=True))))
            for site, hour_ms, *counts in json.loads(text)
        ]
    except TypeError as error:
        raise ValueError(f"the ledger of a commit is damaged: {error}") from None


def digest_of(number: int, kind: int, received_ms: int, ledger: str, packed: bytes) -> bytes:
    """Checksum of a row: eight bytes for what stands beside the body, sixteen for the body."""
    beside = f"{number}|{kind}|{received_ms}|{ledger}".encode()
    return (
        hashlib.blake2b(beside, digest_size=8).digest()
        + hashlib.blake2b(packed, digest_size=16).digest()
    )


def is_beside_intact(
    number: int, kind: int, received_ms: int, ledger: str | None, digest: bytes | None
) -> bool:
    """Whether what stands beside a row's body is as it was written."""
    if not isinstance(ledger, str) or not isinstance(digest, bytes):
        return False
    return digest_of(number, kind, received_ms, ledger, b"")[:8] == digest[:8]


def pack_verdicts(codes: Sequence[bytes]) -> bytes:
    """Verdicts of a commit's blocks with their checksum; nothing but zeros is left out."""
    joined = b"".join(codes)
    body = joined if joined.strip(b"\0") else b""
    return zlib.crc32(body).to_bytes(4, "big") + body


def unpack_verdicts(packed: bytes | None, sizes: Sequence[int]) -> list[bytes] | None:
    """Verdicts by block; None where there are none yet.

    Raises:
        ValueError: They are damaged.
    """
    if packed is None:
        return None
    body = packed[4:]
    if zlib.crc32(body).to_bytes(4, "big") != packed[:4] or len(body) not in (0, sum(sizes)):
        raise ValueError("the verdicts of a commit are damaged")
    body = body or bytes(sum(sizes))
    codes, offset = [], 0
    for size in sizes:
        codes.append(body[offset : offset + size])
        offset += size
    return codes


@dataclass(frozen=True, slots=True)
class SpoolLedger:
    """Ledger counts of one commit in the spool.

    Attributes:
        set_aside: Whether it is damaged and waits for a person.
    """

    number: int
    kind: int
    hours: tuple[LedgerHour, ...]
    set_aside: bool = False


def read_spool_ledger(
    path: Path, site: str | None, start_ms: int, end_ms: int
) -> list[SpoolLedger]:
    """Counts of a site's hours (None: of all) in a span for every commit, from any process."""
    if not path.exists():
        return []
    query = (
        "SELECT number, kind, received_ms, ledger, digest, 0 FROM commits UNION ALL "
        "SELECT number, kind, received_ms, ledger, digest, 1 FROM set_aside"
    )
    found = []
    try:
        connection = open_for_reading(path)
        try:
            rows = connection.execute(query).fetchall()
        finally:
            connection.close()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return []  # it is being made at this moment
        raise
    for number, kind, received_ms, ledger, digest, aside in rows:
        if not is_beside_intact(number, kind, received_ms, ledger, digest):
            _LOG.error("%s: the counts of commit %d are damaged and not shown", path, number)
            continue
        hours = tuple(
            hour
            for hour in parse_ledger(ledger)
            if site in (None, hour.site) and start_ms <= hour.hour_ms < end_ms
        )
        if hours:
            found.append(SpoolLedger(number, kind, hours, bool(aside)))
    return found


def read_set_aside(path: Path) -> list[tuple[int, int, str]]:
    """Number, readings and reason of damaged commits, from any process."""
    if not path.exists():
        return []
    try:
        connection = open_for_reading(path)
        try:
            query = "SELECT number, readings, reason FROM set_aside ORDER BY number"
            return connection.execute(query).fetchall()
        finally:
            connection.close()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return []  # it is being made at this moment
        raise


def lenient_text(text: bytes) -> str:
    """Text of a file that may be damaged: what is no UTF-8 fails at its checksum, not here."""
    return text.decode("utf-8", "replace")


def open_for_reading(path: Path) -> sqlite3.Connection:
    """A connection that cannot write, beside the ingester that does."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
    connection.text_factory = lenient_text
    return connection


def hold_file(lock_path: Path, path: Path) -> TextIO:
    """Take the lock of a spool for as long as the returned file is open.

    Raises:
        ConfigurationError: Another process has it, named by its id.
    """
    file = lock_path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        hint = "stop that process, or give this one other partitions"
        problem = f"is held by the process {holder}"
        raise ConfigurationError([Problem(str(path), "", problem, hint)]) from None
    file.seek(0)
    file.truncate()
    file.write(str(os.getpid()))
    file.flush()
    return file


def sync_folder(folder: Path) -> None:
    """Make the names of a folder durable."""
    # The file's name has to survive a power failure too, not only its content.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
