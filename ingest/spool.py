"""The durable spool: one SQLite file per partition, one row a group commit.

WAL with synchronous FULL: when `append` returns, the commit is on disk and its messages may be
acknowledged. A row leaves only after its readings are in the store and its counts in the records.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from core.clock import Clock, SystemClock
from core.errors import ConfigurationError, Problem, SpoolFullError
from ingest.birth_book import read_edges, read_spans, write_births
from ingest.commits import Commit, pack_commit, unpack_commit
from ingest.limits import MIB
from ingest.sparkplug_births import BirthSpan, Edge
from ingest.spool_files import (
    INDEXES,
    READINGS,
    REFUSALS,
    SCHEMA,
    TABLES,
    SchemaDamageError,
    check_schema,
    digest_of,
    hold_file,
    lenient_text,
    pack_verdicts,
    parse_ledger,
    render_ledger,
    seal_schema,
    spool_path,
    sync_folder,
    unpack_verdicts,
)
from ingest.spool_log import mend_log
from ingest.spool_salvage import is_whole, rescue

_LOG = logging.getLogger(__name__)
_Births = TypeVar("_Births")
# What is left free where little is there at all.
_LEAST_RESERVE = MIB // 2
_SHRINK_PAGES = 4_096
_FEW_PAGES = 64
_REMOVED_AT_ONCE = 500
# A larger number of a schema is damage.
_ANY_SCHEMA = 1_000
_INSERT = (
    "INSERT INTO commits (number, kind, readings, received_ms, ledger, digest, packed) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_OLDEST = (
    "SELECT number, readings, length(packed) FROM commits WHERE kind = {} ORDER BY number LIMIT"
)
# The kind stands in the text: refusals have an index of their own, for behind the readings of a
# long outage they would be searched for in all of these, each round.
_CHOOSE = {kind: f"{_OLDEST.format(kind)} ?" for kind in (READINGS, REFUSALS)}
_SIZES = "SELECT length(packed), readings FROM commits WHERE number = ?"
_SELECT = "SELECT kind, received_ms, ledger, digest, verdicts, packed FROM commits WHERE number = ?"


@dataclass(frozen=True, slots=True)
class SpooledCommit:
    """A commit waiting to be forwarded.

    Attributes:
        verdicts: Per block one code a row, once classified; None before.
        received_ms: Receipt of its newest message, UTC epoch milliseconds.
    """

    number: int
    commit: Commit
    verdicts: list[bytes] | None
    received_ms: int = 0


class Spool:
    """One partition's spool; this process is its only writer. Thread-safe.

    Args:
        max_bytes: Largest size of what waits, in pages of the file; 0 = only the disk bounds it.
        reserve_bytes: Free space left on the disk, at most a sixteenth of it: without room the
            spool could not even be emptied.
        max_pages: Largest file in pages; for tests.

    Raises:
        ConfigurationError: Another process holds it, it cannot be written, or its schema is newer.
        SpoolFullError: The disk is so full that it cannot even be opened.
    """

    def __init__(
        self,
        folder: Path,
        partition: int,
        *,
        max_bytes: int = 0,
        reserve_bytes: int = 64 * MIB,
        max_pages: int = 0,
        clock: Clock | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = spool_path(folder, partition)
        self.partition = partition
        self._clock = clock or SystemClock()
        self._max_bytes = max_bytes
        self._max_pages = max_pages
        disk = os.statvfs(folder)
        share = disk.f_blocks * disk.f_frsize // 16
        self._reserve = min(reserve_bytes, max(_LEAST_RESERVE, share))
        self._log_path = Path(f"{self.path}-wal")
        self._lock_file = hold_file(self.path.with_suffix(".lock"), self.path)
        # One lock for the connection that writes, one for the forwarder's that reads.
        self._writing = threading.Lock()
        self._reading = threading.Lock()
        try:
            self._open()
        except sqlite3.OperationalError as error:
            self._lock_file.close()
            if "full" in str(error):
                raise SpoolFullError(f"{self.path}: {error}: free space on the disk") from None
            hint = "free space, or make the folder and its files writable for this account"
            raise ConfigurationError(
                [Problem(str(self.path), "", f"cannot be opened: {error}", hint)]
            ) from None
        except BaseException:
            self._lock_file.close()
            raise

    def _open(self) -> None:
        try:
            mend_log(self._log_path, self._aside("-wal"))
        except OSError as error:
            raise SpoolFullError(
                f"{self._log_path} is damaged and cannot be mended: {error.strerror}: see to the "
                "disk"
            ) from None
        try:
            self._connect()
        except sqlite3.DatabaseError as error:
            if not self._is_damage(error):
                raise
            self._rescue(error)
        except UnicodeDecodeError as error:
            # SQLite's own message quotes a damaged name.
            self._rescue(error)
        sync_folder(self.path.parent)

    def _is_damage(self, error: sqlite3.DatabaseError) -> bool:
        """Whether opening failed for what the file holds, not for the disk or its permissions."""
        if not isinstance(error, sqlite3.OperationalError):
            return True
        elsewhere = any(word in str(error) for word in ("locked", "full", "disk I/O", "unable"))
        # A damaged header may claim to be read-only or of an unknown format.
        return not elsewhere and self.path.exists() and os.access(self.path, os.R_OK | os.W_OK)

    def _connect(self) -> None:
        self._writer = sqlite3.connect(
            self.path, timeout=30, isolation_level=None, check_same_thread=False
        )
        try:
            self._prepare(self._writer)
            # Every row is looked at once: a damaged tree shows itself here and not in the middle.
            if not is_whole(self._writer):
                raise sqlite3.DatabaseError("rows that cannot be")
            newest = self._tally()
            self._page_bytes = int(self._writer.execute("PRAGMA page_size").fetchone()[0])
            sequence = self._writer.execute(
                "SELECT max(seq) FROM sqlite_sequence WHERE name = 'commits'"
            ).fetchone()[0]
        except BaseException:
            self._writer.close()
            raise
        # A spool that was lost and made anew goes on above every number it ever gave: numbers
        # begin at the milliseconds since 1970, and there are fewer commits than milliseconds.
        self._last = max(int(sequence or 0), newest) or self._clock.now_ms()
        self._reader = sqlite3.connect(
            self.path, timeout=30, isolation_level=None, check_same_thread=False
        )
        self._reader.execute("PRAGMA query_only=ON")
        self._reader.text_factory = lenient_text

    def _tally(self) -> int:
        """Count what waits; returns its highest number."""
        size, readings, commits, newest = self._writer.execute(
            "SELECT coalesce(sum(length(packed)), 0), coalesce(sum(readings), 0), count(*), "
            "max(number) FROM commits"
        ).fetchone()
        self._bytes, self._readings, self._commits = int(size), int(readings), int(commits)
        return int(newest or 0)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA journal_size_limit={64 * MIB}")
        if self._max_pages:
            connection.execute(f"PRAGMA max_page_count={int(self._max_pages)}")
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        if found == SCHEMA:
            check_schema(connection)
            self._make(connection, INDEXES)
            return
        if not 0 <= found <= _ANY_SCHEMA:
            raise sqlite3.DatabaseError(f"schema {found} cannot be")
        if found > SCHEMA:
            hint = "start the version of greendc that wrote it, or a newer one"
            problem = f"its schema {found} is newer than this program's {SCHEMA}"
            raise ConfigurationError([Problem(str(self.path), "", problem, hint)])
        self._make(connection, f"{TABLES}{INDEXES}")

    def _make(self, connection: sqlite3.Connection, statements: str) -> None:
        connection.executescript(f"BEGIN IMMEDIATE;{statements}")
        seal_schema(connection)
        connection.execute("COMMIT")

    def _aside(self, end: str) -> Path:
        """Where a damaged file is kept."""
        stem = f"damaged-{self.path.stem}-{self._clock.now_ms()}"
        return self.path.with_name(f"{stem}.sqlite{end}")

    def _rescue(self, error: Exception) -> None:
        """Begin a new file with every row of the damaged one that can still be read."""
        _LOG.error("%s is damaged (%s): saving what can be read", self.path, error)
        with suppress(AttributeError, sqlite3.Error):
            self._writer.close()
        with suppress(AttributeError, sqlite3.Error):
            self._reader.close()
        now_ms = self._clock.now_ms()
        aside = self._aside("")
        for end in ("", "-wal", "-shm"):
            old = Path(f"{self.path}{end}")
            if old.exists():
                old.rename(f"{aside}{end}")
        self._connect()
        by_name = not isinstance(error, SchemaDamageError)
        salvage = rescue(aside, self._writer, by_name=by_name)
        found = self._writer.execute("SELECT max(number) FROM commits").fetchone()[0]
        self._last = max(self._last, int(found or 0), now_ms)
        _LOG.error("%s: %s; the file is kept as %s", self.path, salvage, aside)
        self._tally()

    # ------------------------------------------------------------ receiving

    def append(self, commit: Commit, received_ms: int) -> int:
        """Make a commit durable; returns the number of its readings (of its refusals without any).

        Raises:
            SpoolFullError: There is no room on disk; nothing was kept, nothing may be acknowledged.
        """
        parts = [
            (kind, part, render_ledger(part.hours), pack_commit(part))
            for kind, part in zip((READINGS, REFUSALS), commit.split(), strict=True)
            if part is not None
        ]
        size = sum(len(packed) for *_, packed in parts)
        self._check_room(size)
        rows = []
        try:
            with self._writing:
                with self._transaction():
                    for number, (kind, part, ledger, packed) in enumerate(parts, self._last + 1):
                        digest = digest_of(number, kind, received_ms, ledger, packed)
                        rows.append(
                            (number, kind, part.readings, received_ms, ledger, digest, packed)
                        )
                    self._writer.executemany(_INSERT, rows)
                    write_births(self._writer, commit.sparkplug)
                # Only now: a transaction that did not hold gives its numbers again.
                self._last += len(rows)
                self._bytes += size
                self._commits += len(rows)
                self._readings += commit.readings
        except sqlite3.DatabaseError as error:
            with self._reading, self._writing:
                self._rescue(error)
            raise SpoolFullError(f"{self.path} was damaged ({error}); trying again") from None
        return rows[0][0] if rows else 0

    def _check_room(self, size: int) -> None:
        if self._max_bytes and (used := self.used_bytes()) + size > self._max_bytes:
            raise SpoolFullError(
                f"{self.path}: {used} bytes wait, {self._max_bytes} are allowed: bring the store "
                "back or allow more (GREENDC_INGEST__SPOOL_BYTES); until then nothing is "
                "acknowledged"
            )
        if self._free_bytes() - size < self._reserve:
            # The log may be carried over into the file, and what was forwarded has left holes in
            # it: these are given back first.
            with self._writing:
                self._empty_log()
            self._shrink(_FEW_PAGES, lambda: self._free_bytes() - size < self._reserve)
        if self._free_bytes() - size < self._reserve:
            raise SpoolFullError(
                f"{self.path}: less than {self._reserve} bytes are free: free space on the disk; "
                "until then nothing is acknowledged"
            )

    def _free_bytes(self) -> int:
        """Free space, less what carrying the log over into the file may still take."""
        disk = os.statvfs(self.path.parent)
        try:
            log = self._log_path.stat().st_size
        except FileNotFoundError:
            log = 0
        return disk.f_bavail * disk.f_frsize - log

    def _empty_log(self) -> None:
        with suppress(sqlite3.OperationalError):
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """A write transaction; what SQLite cannot write is a full spool.

        Full disk, I/O error, read-only: SQLite rolls back, and the caller waits and tries again.
        """
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            yield
            self._writer.execute("COMMIT")
        except sqlite3.OperationalError as error:
            with suppress(sqlite3.Error):
                self._writer.execute("ROLLBACK")
            remedy = "free space on" if "full" in str(error) else "see to"
            raise SpoolFullError(
                f"{self.path}: {error}: {remedy} the disk; until then nothing is acknowledged"
            ) from None
        except BaseException:
            with suppress(sqlite3.Error):
                self._writer.execute("ROLLBACK")
            raise

    # ------------------------------------------------------------ forwarding

    def pending(
        self,
        *,
        kind: int = READINGS,
        readings: int,
        commits: int = 500,
        packed_bytes: int | None = None,
    ) -> list[SpooledCommit]:
        """The oldest commits of a kind, of at most so many readings together (one at least).

        Refusals have no readings: there the packed bytes say how much it is.

        A damaged row is set aside, named in the log, and the others are served.
        """
        with self._reading:
            try:
                return self._choose(kind, readings, commits, packed_bytes)
            except sqlite3.OperationalError:
                raise
            except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
                with self._writing:
                    self._rescue(error)
            return self._choose(kind, readings, commits, packed_bytes)

    def _choose(
        self, kind: int, readings: int, commits: int, packed_bytes: int | None
    ) -> list[SpooledCommit]:
        chosen: list[SpooledCommit] = []
        total = packed = 0
        numbers = self._reader.execute(_CHOOSE[kind], (commits,)).fetchall()
        if any(later[0] <= before[0] for before, later in pairwise(numbers)):
            raise sqlite3.DatabaseError("the tree is out of order")
        for number, size, length in numbers:
            if chosen and total + size > readings:
                break
            packed += length
            if chosen and packed_bytes is not None and packed > packed_bytes:
                break
            try:
                chosen.append(self._read(number))
            except (ValueError, TypeError) as error:
                self._set_aside(number, str(error))
                continue
            total += size
        return chosen

    def holds_more_than(self, packed_bytes: int, *, kind: int) -> bool:
        """Whether more than so many packed bytes of a kind wait in its oldest 500 commits."""
        with self._reading:
            oldest = self._reader.execute(_CHOOSE[kind], (500,)).fetchall()
        return sum(int(size) for _, _, size in oldest) > packed_bytes

    def _read(self, number: int) -> SpooledCommit:
        row = self._reader.execute(_SELECT, (number,)).fetchone()
        if row is None:
            raise sqlite3.DatabaseError(f"commit {number} stands in the tree and is not there")
        kind, received_ms, ledger, digest, verdicts, packed = row
        if digest_of(number, kind, received_ms, ledger, packed) != digest:
            raise ValueError("the checksum differs")
        commit = unpack_commit(packed, parse_ledger(ledger))
        sizes = [len(part.block) for part in commit.blocks]
        try:
            codes = unpack_verdicts(verdicts, sizes)
        except ValueError:
            _LOG.error("%s: the verdicts of commit %d are damaged; judged again", self.path, number)
            codes = None
        return SpooledCommit(number, commit, codes, received_ms)

    def _set_aside(self, number: int, reason: str) -> None:
        _LOG.error("%s: commit %d is damaged (%s) and set aside", self.path, number, reason)
        with self._writing, self._transaction():
            self._count_out(self._writer.execute(_SIZES, (number,)).fetchall())
            self._writer.execute(
                "INSERT OR REPLACE INTO set_aside SELECT number, kind, readings, received_ms, "
                "ledger, digest, ?, packed FROM commits WHERE number = ?",
                (reason, number),
            )
            self._writer.execute("DELETE FROM commits WHERE number = ?", (number,))

    def classify(
        self, verdicts: Mapping[int, Sequence[bytes]], newest: Mapping[tuple[str, str], int]
    ) -> None:
        """Keep the verdicts of commits and the newest time of devices, in one transaction."""
        with self._writing, self._transaction():
            self._writer.executemany(
                "UPDATE commits SET verdicts = ? WHERE number = ?",
                [(pack_verdicts(codes), number) for number, codes in verdicts.items()],
            )
            self._writer.executemany(
                "INSERT INTO newest VALUES (?, ?, ?) ON CONFLICT (site, device) "
                "DO UPDATE SET time_ms = max(time_ms, excluded.time_ms)",
                [(site, device, time_ms) for (site, device), time_ms in newest.items()],
            )

    def remove(self, numbers: Iterable[int]) -> None:
        """Forget commits that are in the store and in the records."""
        left = list(numbers)
        size = _REMOVED_AT_ONCE
        while left:
            try:
                with self._writing:
                    self._remove(left[:size])
                del left[:size]
            except SpoolFullError:
                if size == 1:
                    raise
                size = max(1, size // 10)
            if size < _REMOVED_AT_ONCE:
                # Forgetting needs room in the log: on a full disk it goes in small steps.
                with self._writing:
                    self._empty_log()

    def _remove(self, numbers: Sequence[int]) -> None:
        gone: list[tuple[int, int]] = []
        with self._transaction():
            for number in numbers:
                gone += self._writer.execute(_SIZES, (number,))
                self._writer.execute("DELETE FROM commits WHERE number = ?", (number,))
        self._count_out(gone)

    def _count_out(self, gone: Sequence[tuple[int, int]]) -> None:
        self._bytes = max(0, self._bytes - sum(size for size, _ in gone))
        self._readings = max(0, self._readings - sum(readings for _, readings in gone))
        self._commits = max(0, self._commits - len(gone))

    def shrink(self) -> None:
        """Give room back to the disk after a long outage of the store; cheap when there is none."""
        with self._writing, suppress(sqlite3.OperationalError):
            free = self._writer.execute("PRAGMA freelist_count").fetchone()[0]
        if free > _SHRINK_PAGES:
            again = iter((True, False))
            self._shrink(_SHRINK_PAGES, lambda: next(again))

    def _shrink(self, pages: int, is_needed: Callable[[], bool]) -> None:
        """Cut free pages off the file, so many at a time: moving them needs room itself."""
        with self._writing, suppress(sqlite3.OperationalError):
            while is_needed():
                before = self._writer.execute("PRAGMA freelist_count").fetchone()[0]
                # As a script: by `execute` it would stop after one page.
                self._writer.executescript(f"PRAGMA incremental_vacuum({pages});")
                self._empty_log()
                after = self._writer.execute("PRAGMA freelist_count").fetchone()[0]
                if after >= before:
                    break

    def exchange_filters(self, filters: Sequence[str]) -> list[str]:
        """Keep what the session subscribes to from now on; returns what it did before.

        A session outlives the process: a filter that is no longer wanted has to be taken out of it.
        """
        with self._writing:
            before = [row[0] for row in self._writer.execute("SELECT filter FROM filters")]
            if set(before) != set(filters):
                with self._transaction():
                    # Old ones stay: whether the broker has heard of the change is not known.
                    self._writer.executemany(
                        "INSERT OR IGNORE INTO filters VALUES (?)", [(text,) for text in filters]
                    )
        return before

    def begin_above(self, number: int) -> None:
        """Give no number up to this one: the records have booked it already."""
        with self._writing:
            if number > self._last:
                _LOG.error(
                    "%s is older than the records (%d < %d); going on above", self.path,
                    self._last, number,
                )  # fmt: skip
                self._last = number

    # ------------------------------------------------------------ answers

    @property
    def last_number(self) -> int:
        """The number that was given last."""
        return self._last

    def newest(self) -> dict[tuple[str, str], int]:
        """A time of every device that was ever forwarded from here; none of its is newer."""
        with self._reading:
            rows = self._reader.execute("SELECT site, device, time_ms FROM newest").fetchall()
        return {(site, device): time_ms for site, device, time_ms in rows}

    def edges(self) -> dict[str, Edge]:
        """Where every Sparkplug edge node stood at the last commit, with its births in force."""
        return self._read_births(lambda: read_edges(self._reader))

    def past_births(self, edge: str, device: str) -> list[BirthSpan]:
        """Births of an edge node ("") or one of its devices, also those no longer in force."""
        return self._read_births(lambda: read_spans(self._reader, edge, device))

    def _read_births(self, read: Callable[[], _Births]) -> _Births:
        with self._reading:
            try:
                return read()
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError as error:
                with self._writing:
                    self._rescue(error)
            return read()

    def backlog(self) -> tuple[int, int | None]:
        """Readings that wait, and the receipt of the oldest commit."""
        with self._reading:
            row = self._reader.execute(
                "SELECT received_ms FROM commits ORDER BY number LIMIT 1"
            ).fetchone()
        return (self._readings, int(row[0])) if row else (0, None)

    def used_bytes(self) -> int:
        """Size of what waits on disk: the pages of the file that are in use."""
        with self._writing:
            pages = int(self._writer.execute("PRAGMA page_count").fetchone()[0])
            free = int(self._writer.execute("PRAGMA freelist_count").fetchone()[0])
        return (pages - free) * self._page_bytes

    @property
    def waiting_bytes(self) -> int:
        """Bytes of the commits that wait, packed."""
        return self._bytes

    def waiting_commits(self) -> int:
        """Commits that wait."""
        return self._commits

    def set_aside(self) -> list[tuple[int, int, str]]:
        """Number, readings and reason of damaged commits that wait for a person."""
        with self._reading:
            return self._reader.execute(
                "SELECT number, readings, reason FROM set_aside ORDER BY number"
            ).fetchall()

    def close(self) -> None:
        """Release the file and the lock."""
        with self._reading, self._writing:
            self._reader.close()
            self._writer.close()
        self._lock_file.close()
