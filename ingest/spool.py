"""The durable spool: one SQLite file per partition, one row a group commit.

WAL with synchronous FULL: when `append` returns, the commit is on disk and its messages may be
acknowledged. A row leaves only after its readings are in the store and its counts in the records.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import sqlite3
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from core.errors import ConfigurationError, Problem, SpoolFullError
from core.ledger import LedgerCounts, LedgerHour
from ingest.commits import Commit, pack_commit, unpack_commit

_LOG = logging.getLogger(__name__)
_SCHEMA = 1
_COUNTS = ("received", "quarantined", "rejected", "spooled", "late")


def spool_path(folder: Path, partition: int) -> Path:
    """File of one partition's spool."""
    return folder / f"partition-{partition}.sqlite"


@dataclass(frozen=True, slots=True)
class SpooledCommit:
    """A commit waiting to be forwarded.

    Attributes:
        verdicts: Per block one code a row, once classified; None before.
    """

    number: int
    commit: Commit
    verdicts: list[bytes] | None


class Spool:
    """One partition's spool; this process is its only writer. Thread-safe.

    Raises:
        ConfigurationError: Another process holds it, or its schema is newer.
    """

    def __init__(self, folder: Path, partition: int, *, max_pages: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = spool_path(folder, partition)
        self.partition = partition
        self._lock_file = _hold(self.path.with_suffix(".lock"), self.path)
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(
            self.path, timeout=30, isolation_level=None, check_same_thread=False
        )
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        if max_pages:
            self._connection.execute(f"PRAGMA max_page_count={int(max_pages)}")
        self._prepare()
        _sync_folder(folder)

    def _prepare(self) -> None:
        found = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if found > _SCHEMA:
            self.close()
            hint = "start the version of greendc that wrote it, or a newer one"
            problem = f"its schema {found} is newer than this program's {_SCHEMA}"
            raise ConfigurationError([Problem(str(self.path), "", problem, hint)])
        self._connection.executescript(
            f"""
            BEGIN IMMEDIATE;
            CREATE TABLE IF NOT EXISTS commits (
                number INTEGER PRIMARY KEY AUTOINCREMENT,
                readings INTEGER NOT NULL,
                received_ms INTEGER NOT NULL,
                ledger TEXT NOT NULL,
                packed BLOB NOT NULL,
                digest BLOB NOT NULL,
                verdicts BLOB
            );
            CREATE TABLE IF NOT EXISTS newest (
                site TEXT NOT NULL, device TEXT NOT NULL, time_ms INTEGER NOT NULL,
                PRIMARY KEY (site, device)
            ) WITHOUT ROWID;
            CREATE TABLE IF NOT EXISTS set_aside (
                number INTEGER PRIMARY KEY, reason TEXT NOT NULL,
                ledger TEXT, packed BLOB
            );
            PRAGMA user_version = {_SCHEMA};
            COMMIT;
            """
        )

    def append(self, commit: Commit, received_ms: int) -> int:
        """Make a commit durable; returns its number.

        Raises:
            SpoolFullError: There is no room on disk; nothing was kept, nothing may be acknowledged.
        """
        packed = pack_commit(commit)
        ledger = json.dumps(
            [
                [hour.site, hour.hour_ms, *[getattr(hour.counts, name) for name in _COUNTS]]
                for hour in commit.hours
            ]
        )
        digest = _digest(packed, ledger)
        row = (commit.readings, received_ms, ledger, packed, digest)
        with self._lock:
            try:
                cursor = self._connection.execute(
                    "INSERT INTO commits (readings, received_ms, ledger, packed, digest) "
                    "VALUES (?, ?, ?, ?, ?)",
                    row,
                )
            except sqlite3.OperationalError as error:
                # Full disk, I/O error, read-only: SQLite rolled back; the caller waits and retries.
                raise SpoolFullError(
                    f"{self.path}: {error}: free space on the disk; until then nothing is "
                    "acknowledged"
                ) from None
            return int(cursor.lastrowid or 0)

    def pending(self, *, readings: int, commits: int = 500) -> list[SpooledCommit]:
        """The oldest commits, of at most so many readings together (one at least).

        A damaged row is set aside, named in the log, and the others are served.
        """
        chosen: list[SpooledCommit] = []
        total = 0
        with self._lock:
            rows = self._connection.execute(
                "SELECT number, readings, ledger, packed, digest, verdicts FROM commits "
                "ORDER BY number LIMIT ?",
                (commits,),
            )
            damaged = []
            for number, size, ledger, packed, digest, verdicts in rows:
                if chosen and total + size > readings:
                    break
                try:
                    if _digest(packed, ledger) != digest:
                        raise ValueError("the checksum differs")
                    commit = unpack_commit(packed, _parse_ledger(ledger))
                    codes = _unpack_verdicts(verdicts, commit)
                except (ValueError, TypeError) as error:
                    damaged.append((number, str(error), ledger, packed))
                    continue
                chosen.append(SpooledCommit(number, commit, codes))
                total += size
            for number, reason, ledger, packed in damaged:
                _LOG.error("%s: commit %d is damaged (%s) and set aside", self.path, number, reason)
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.execute(
                    "INSERT OR REPLACE INTO set_aside VALUES (?, ?, ?, ?)",
                    (number, reason, ledger, packed),
                )
                self._connection.execute("DELETE FROM commits WHERE number = ?", (number,))
                self._connection.execute("COMMIT")
        return chosen

    def classify(
        self,
        verdicts: Mapping[int, list[bytes]],
        newest: Mapping[tuple[str, str], int],
    ) -> None:
        """Keep the verdicts of commits and the newest time of devices, in one transaction."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany(
                    "UPDATE commits SET verdicts = ? WHERE number = ?",
                    [(b"".join(codes), number) for number, codes in verdicts.items()],
                )
                self._connection.executemany(
                    "INSERT INTO newest VALUES (?, ?, ?) ON CONFLICT (site, device) "
                    "DO UPDATE SET time_ms = max(time_ms, excluded.time_ms)",
                    [(site, device, time_ms) for (site, device), time_ms in newest.items()],
                )
                self._connection.execute("COMMIT")
            except sqlite3.OperationalError as error:
                self._connection.execute("ROLLBACK")
                raise SpoolFullError(f"{self.path}: {error}") from None

    def remove(self, numbers: Iterable[int]) -> None:
        """Forget commits that are in the store and in the records."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(
                "DELETE FROM commits WHERE number = ?", [(number,) for number in numbers]
            )
            self._connection.execute("COMMIT")

    def newest(self) -> dict[tuple[str, str], int]:
        """Newest stored time of every device that was ever forwarded from here."""
        with self._lock:
            rows = self._connection.execute("SELECT site, device, time_ms FROM newest").fetchall()
        return {(site, device): time_ms for site, device, time_ms in rows}

    def backlog(self) -> tuple[int, int | None]:
        """Readings that wait, and the receipt of the oldest commit."""
        with self._lock:
            row = self._connection.execute(
                "SELECT coalesce(sum(readings), 0), min(received_ms) FROM commits"
            ).fetchone()
        return int(row[0]), row[1]

    def close(self) -> None:
        """Release the file and the lock."""
        with self._lock:
            self._connection.close()
        self._lock_file.close()


def read_pending_ledger(
    path: Path, above: int, site: str, start_ms: int, end_ms: int
) -> tuple[int | None, list[LedgerHour]]:
    """Ledger counts of commits above a number, from any process.

    Returns:
        The least commit number that waits above `above` (None without one), and the counts of the
        site's hours that start in the span.
    """
    if not path.exists():
        return None, []
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
    try:
        rows = connection.execute(
            "SELECT number, ledger FROM commits WHERE number > ? ORDER BY number", (above,)
        ).fetchall()
    finally:
        connection.close()
    hours = [
        hour
        for _, ledger in rows
        for hour in _parse_ledger(ledger)
        if hour.site == site and start_ms <= hour.hour_ms < end_ms
    ]
    return (rows[0][0] if rows else None), hours


def _parse_ledger(text: str) -> list[LedgerHour]:
    return [
        LedgerHour(site, hour_ms, LedgerCounts(**dict(zip(_COUNTS, counts, strict=True))))
        for site, hour_ms, *counts in json.loads(text)
    ]


def _digest(packed: bytes, ledger: str) -> bytes:
    return hashlib.blake2b(packed + ledger.encode(), digest_size=16).digest()


def _unpack_verdicts(packed: bytes | None, commit: Commit) -> list[bytes] | None:
    if packed is None:
        return None
    codes, offset = [], 0
    for part in commit.blocks:
        codes.append(packed[offset : offset + len(part.block)])
        offset += len(part.block)
    if offset != len(packed):
        raise ValueError("the verdicts do not fit the commit")
    return codes


def _hold(lock_path: Path, path: Path) -> TextIO:
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


def _sync_folder(folder: Path) -> None:
    # The file's name has to survive a power failure too, not only its content.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
