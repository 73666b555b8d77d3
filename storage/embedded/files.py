"""The two SQLite files of the embedded store: who may write, how readers get in, what errors mean.

WAL with `synchronous=FULL`: a commit is on the disk when it returns. One process writes a file,
kept by a lock on a file beside it; any number of processes read. Each read sees one snapshot.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO

from core.errors import (
    ConfigurationError,
    Problem,
    StoreMisconfiguredError,
    StoreRejectedError,
    StoreUnavailableError,
)
from core.periods import format_time
from core.samples import SeriesKey

BUSY_S = 10.0
_WRITER_CACHE_KIB = 32_768
_READER_CACHE_KIB = 8_192


@contextmanager
def translated(path: Path, doing: str) -> Iterator[None]:
    """Turn what sqlite3 raises into our errors."""
    try:
        yield
    except sqlite3.Error as error:
        raise _error_of(error, path, doing) from None


def _error_of(error: sqlite3.Error, path: Path, doing: str) -> Exception:
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if isinstance(code, int) else None
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreUnavailableError(f"{path}: {doing} waited {BUSY_S:g} s for another process")
    if primary == sqlite3.SQLITE_FULL:
        return StoreUnavailableError(f"{path}: {doing}: the disk is full; make room there")
    if primary == sqlite3.SQLITE_IOERR:
        return StoreUnavailableError(f"{path}: {doing}: the disk does not answer ({error})")
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreMisconfiguredError(
            f"{path}: {doing}: the file is damaged ({error}); put back a copy of it"
        )
    return StoreMisconfiguredError(
        f"{path}: {doing}: {error}; check that this account may read and write the folder"
    )


class CorruptBlockError(StoreRejectedError):
    """Something on the disk is not what was written; other hours and series are served.

    Attributes:
        key: The series; None where many are concerned.
        hour: Start of the hour (of the interval); None where that is not known.
    """

    def __init__(
        self,
        path: Path,
        what: str,
        problem: str,
        *,
        key: SeriesKey | None = None,
        hour: datetime | None = None,
    ) -> None:
        self.key = key
        self.hour = hour
        place = ""
        if key is not None:
            place = f" of {key.site}/{key.family}/{key.device}/{key.metric}"
        if hour is not None:
            place += f" at {format_time(hour)}"
        super().__init__(
            f"{path}: {what}{place} is damaged: {problem}; put it back from a copy of the file"
        )


class WriterLock:
    """Held by the one process that writes a file; falls with the process.

    Raises:
        ConfigurationError: Another process holds it; the message names its id.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file: IO[str] = path.open("a+", encoding="ascii")
        except OSError as error:
            problem = f"cannot be opened: {error.strerror}"
            raise _refusal(path, problem, "check its permissions") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.seek(0)
            holder = self._file.read(20).strip() or "unknown"
            self._file.close()
            problem = f"is held by process {holder}, which writes this store"
            hint = "end that process first, or give this one another data folder"
            raise _refusal(path, problem, hint) from None
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def release(self) -> None:
        """Let another process write."""
        self._file.close()


def _refusal(path: Path, problem: str, hint: str) -> ConfigurationError:
    return ConfigurationError([Problem(str(path), "", problem, hint)])


class Database:
    """One SQLite file.

    Args:
        schema: Statements that make version `version` of the schema in an empty file.
        writable: Whether this process writes it; then the file is made, and locked.

    Raises:
        ConfigurationError: Held by another writer, or written by a newer version of the program.
    """

    def __init__(self, path: Path, schema: str, version: int, *, writable: bool) -> None:
        self.path = path
        self._version = version
        self._idle: list[sqlite3.Connection] = []
        self._idle_lock = threading.Lock()
        self._writing = threading.Lock()
        self._closed = False
        self._writer: sqlite3.Connection | None = None
        self._writer_lock: WriterLock | None = None
        if writable:
            self._make_folder()
            self._writer_lock = WriterLock(path.with_suffix(".lock"))
            try:
                with translated(path, "opening"):
                    self._writer = self._open_writer(schema)
            except BaseException:
                self._writer_lock.release()
                raise
        elif path.exists():
            with self.reading():
                pass

    @property
    def is_writable(self) -> bool:
        """Whether this process writes the file."""
        return self._writer_lock is not None

    def close(self) -> None:
        """Close every connection and let the lock go."""
        with self._writing, self._idle_lock:
            self._closed = True
            for connection in self._idle:
                connection.close()
            self._idle.clear()
            if self._writer is not None:
                self._writer.close()
                self._writer = None
            if self._writer_lock is not None:
                self._writer_lock.release()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection | None]:
        """A connection inside one read transaction; None while there is nothing to read."""
        self._refuse_closed()
        if not self.path.exists():
            yield None
            return
        with translated(self.path, "reading"):
            with self._idle_lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                connection = self._open_reader()
            if connection is None:
                yield None
                return
            try:
                connection.execute("BEGIN")
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                connection.close()
                raise
            with self._idle_lock:
                if self._closed:
                    connection.close()
                else:
                    self._idle.append(connection)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The writing connection inside one transaction, which is durable at the end."""
        with self._writing, translated(self.path, "writing"):
            self._refuse_closed()
            if self._writer is None:
                raise StoreMisconfiguredError(
                    f"{self.path} is open for reading; the process that holds its lock writes it"
                )
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    def _refuse_closed(self) -> None:
        if self._closed:
            raise StoreMisconfiguredError(f"{self.path} has been closed")

    def _make_folder(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            problem = f"cannot be made: {error.strerror}"
            raise _refusal(self.path.parent, problem, "check the permissions above it") from None

    def _open_writer(self, schema: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
        found = self._check_version(connection)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA cache_size=-{_WRITER_CACHE_KIB}")
        connection.execute("PRAGMA journal_size_limit=67108864")
        if found == 0:
            connection.execute("BEGIN IMMEDIATE")
            for statement in schema.split(";"):
                if statement.strip():
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version={self._version}")
            connection.execute("COMMIT")
        return connection

    def _open_reader(self) -> sqlite3.Connection | None:
        """A read-only connection; None while the writer has not yet made the tables."""
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode=ro",
            uri=True,
            timeout=BUSY_S,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            if not self._check_version(connection):
                connection.close()
                return None
            connection.execute(f"PRAGMA cache_size=-{_READER_CACHE_KIB}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_version(self, connection: sqlite3.Connection) -> int:
        found = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if found > self._version:
            problem = f"has schema {found}, this version of greendc knows {self._version}"
            hint = "install the newer version that wrote it, or name another folder"
            raise _refusal(self.path, problem, hint)
        return found
