"""Connections to the records: transactions, errors, and the schema brought up to date.

SQLite by default (WAL, `synchronous=FULL`: a commit is on the disk when it returns), PostgreSQL by
URL. A reading transaction is one snapshot; a writing one takes its lock at its beginning, so that
it never fails half-way because another wrote first.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.schema import Table

from core.errors import (
    ConfigurationError,
    Problem,
    StoreError,
    StoreMisconfiguredError,
    StoreRejectedError,
    StoreUnavailableError,
)

# The newest step of the schema, and all before it that can be brought up to it.
HEAD = "0004"
KNOWN_STEPS = ("0001", "0002", "0003", "0004")

BUSY_S = 30.0
_BUSY_CODES = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL)
_UNREADABLE_CODES = (
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_AUTH,
    sqlite3.SQLITE_ERROR,
)
# Any number will do, as long as every process of ours takes the same.
_MIGRATION_LOCK = 7_305_001
AUDIT_LOCK = 7_305_002


def to_us(moment: datetime) -> int:
    """UTC epoch microseconds of an aware datetime."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def from_us(time_us: int) -> datetime:
    """Aware UTC datetime of epoch microseconds."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)


class RecordsDatabase:
    """One database of records.

    Args:
        url: SQLAlchemy URL.

    Raises:
        ConfigurationError: The URL names no database that can be used.
    """

    def __init__(self, url: str) -> None:
        self._url = _parse_url(url)
        self._engine = _make_engine(self._url)

    @property
    def name(self) -> str:
        """The address without a password, for messages."""
        if self._url.get_backend_name() == "sqlite":
            return str(self._url.database)
        return self._url.render_as_string(hide_password=True)

    @property
    def version(self) -> str:
        """Kind and version of the database, for people."""
        with self.reading() as connection:
            numbers = connection.dialect.server_version_info or ()
            return f"{connection.dialect.name} {'.'.join(map(str, numbers))}"

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection in one snapshot."""
        with self._translated(), self._engine.connect() as connection:
            if connection.dialect.name != "sqlite":
                connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection in one transaction that is durable at the end, or never happened."""
        with self._translated(), self._engine.connect() as connection:
            connection.execution_options(writes=True)
            with connection.begin():
                yield connection

    def insert(self, table: Table) -> Any:
        """An INSERT of this dialect, which knows ON CONFLICT."""
        if self._engine.dialect.name == "postgresql":
            return postgresql.insert(table)
        return sqlite.insert(table)

    def lock(self, connection: Connection, number: int) -> None:
        """Wait until no other transaction holds this lock; it falls with the transaction.

        SQLite needs none: a writing transaction is alone.
        """
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    # ------------------------------------------------------------ schema

    def migrate(self) -> None:
        """Bring the schema up to date; safe for several processes that start at once.

        All steps happen in one transaction: whoever is killed in between has changed nothing.

        Raises:
            ConfigurationError: A newer version of greendc has written it.
        """
        with self.reading() as connection:
            if self._step(connection) == HEAD:
                return
        with self.writing() as connection:
            self.lock(connection, _MIGRATION_LOCK)
            if self._step(connection) == HEAD:
                return
            _upgrade(connection)

    def _step(self, connection: Connection) -> str | None:
        """The step that the schema is at; None for an empty database."""
        if not inspect(connection).has_table("alembic_version"):
            return None
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        if found is not None and found not in KNOWN_STEPS:
            problem = f"has schema {found}, this version of greendc knows {HEAD}"
            hint = "install the newer version that wrote it, or name other records"
            raise ConfigurationError([Problem(self.name, "records.url", problem, hint)])
        return None if found is None else str(found)

    # ------------------------------------------------------------ errors

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            raise self._error_of(error) from error

    def _error_of(self, error: SQLAlchemyError) -> StoreError:
        words = str(getattr(error, "orig", None) or error).strip().splitlines()[0][:300]
        where = f"records {self.name}"
        if isinstance(error, (IntegrityError, DataError)):
            return StoreRejectedError(f"{where}: refused: {words}")
        if isinstance(error, PoolTimeoutError):
            return StoreUnavailableError(f"{where}: every connection is in use: {words}")
        if isinstance(error, DBAPIError):
            code = getattr(error.orig, "sqlite_errorcode", None)
            primary = code & 0xFF if isinstance(code, int) else None
            unreadable = primary in _UNREADABLE_CODES
            if isinstance(error, (OperationalError, InterfaceError)) and not unreadable:
                wait = f" after {BUSY_S:g} s" if primary in _BUSY_CODES else ""
                return StoreUnavailableError(f"{where}: no answer{wait}: {words}")
        return StoreMisconfiguredError(
            f"{where}: {words}; check GREENDC_RECORDS__URL and the permissions there"
        )


def _parse_url(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise _refusal(url, f"is no database URL: {error}") from None
    backend = parsed.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise _refusal(parsed.render_as_string(), f"{backend} is not supported")
    if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise _refusal(url, "several processes share the records: they need a file")
    return parsed


def _refusal(url: str, problem: str) -> ConfigurationError:
    hint = "use sqlite:////path/to/records.sqlite or postgresql+psycopg://user:password@host/name"
    return ConfigurationError([Problem(url, "records.url", problem, hint)])


def _make_engine(url: URL) -> Engine:
    try:
        if url.get_backend_name() == "sqlite":
            Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
            engine = create_engine(url, connect_args={"timeout": BUSY_S})
        else:
            engine = create_engine(url, pool_pre_ping=True)
    except (ImportError, NoSuchModuleError) as error:
        raise _refusal(url.render_as_string(), f"its driver is not installed: {error}") from None
    except OSError as error:
        raise _refusal(url.render_as_string(), f"cannot be made: {error.strerror}") from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # Transactions are begun by us: the module would begin one at the first write only, and a
    # reading one would not be a snapshot.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _upgrade(connection: Connection) -> None:
    """Run the missing steps inside the transaction of this connection."""
    # Only where there is something to do: a command that asks a question starts without it.
    from alembic import command
    from alembic.config import Config

    from storage import migrations

    folder = str(Path(str(migrations.__file__)).parent)
    config = Config()
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
