"""Sparkplug births in the spool's file: in force after a restart, and the past for replays.

Written in the transaction of the commit whose messages they came with, so what is acknowledged and
what is known of its sender are one. What many births declare alike is kept once. Every row has a
checksum: a damaged one is left out, and its edge node is asked to be born again.
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

import msgspec

from ingest.sparkplug_births import (
    Birth,
    BirthChange,
    BirthMetric,
    BirthSpan,
    Edge,
    SparkplugNews,
)

_LOG = logging.getLogger(__name__)

BIRTH_TABLES = """
CREATE TABLE IF NOT EXISTS edges (
    edge TEXT PRIMARY KEY, bd_seq INTEGER, seq INTEGER, time_ms INTEGER, checksum INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS births (
    number INTEGER PRIMARY KEY, edge TEXT NOT NULL, device TEXT NOT NULL,
    from_ms INTEGER NOT NULL, until_ms INTEGER, ended TEXT NOT NULL, doubted_ms INTEGER,
    time_ms INTEGER NOT NULL, seq INTEGER NOT NULL, digest BLOB NOT NULL, checksum INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS births_of ON births (edge, device, number);
CREATE TABLE IF NOT EXISTS birth_metrics (digest BLOB PRIMARY KEY, packed BLOB NOT NULL)
    WITHOUT ROWID;
"""
_WIDTHS = {"edges": 5, "births": 11, "birth_metrics": 2}
# Spans of one device that are kept: what is older cannot be replayed by alias any more.
_MOST_SPANS = 200


class _Row(NamedTuple):
    """One birth as the table holds it; a checksum stands behind."""

    number: int
    edge: str
    device: str
    from_ms: int
    until_ms: int | None
    ended: str
    doubted_ms: int | None
    time_ms: int
    seq: int
    digest: bytes


_COLUMNS = ", ".join(_Row._fields)
_LATEST = (
    f"SELECT {_COLUMNS} FROM births WHERE edge = ? AND device = ? "  # noqa: S608 - our own names
    "ORDER BY number DESC LIMIT 1"
)
_KEEP = f"INSERT OR REPLACE INTO births VALUES ({', '.join('?' * _WIDTHS['births'])})"  # noqa: S608


def write_births(connection: sqlite3.Connection, news: SparkplugNews) -> None:
    """Keep what a commit's messages changed; inside the commit's transaction."""
    for change in news.changes:
        found = connection.execute(_LATEST, (change.edge, change.device)).fetchone()
        latest = None if found is None else _Row(*found)
        if change.what == "born":
            _write_born(connection, change, latest)
        elif latest is None or latest.until_ms is not None:
            continue  # lost with a damaged file
        elif change.what == "doubted":
            if latest.doubted_ms is None:
                _keep(connection, latest._replace(doubted_ms=change.at_ms))
        else:
            _keep(connection, latest._replace(until_ms=change.at_ms, ended=change.what))
    rows = [
        (key, _clipped(edge.bd_seq), edge.seq, _clipped(edge.time_ms))
        for key, edge in news.edges.items()
    ]
    connection.executemany(
        "INSERT OR REPLACE INTO edges VALUES (?, ?, ?, ?, ?)",
        [(*row, _checksum(row)) for row in rows],
    )


def _write_born(connection: sqlite3.Connection, change: BirthChange, latest: _Row | None) -> None:
    birth = change.birth
    assert birth is not None
    packed = msgspec.msgpack.encode(birth.metrics)
    digest = _digest(packed)
    connection.execute("INSERT OR REPLACE INTO birth_metrics VALUES (?, ?)", (digest, packed))
    if latest is not None and latest.until_ms is None:
        # Also where it says the same again: what was in doubt stays so.
        _keep(connection, latest._replace(until_ms=change.at_ms, ended="replaced"))
    last = connection.execute("SELECT max(number) FROM births").fetchone()[0]
    row = _Row(
        number=(last or 0) + 1,
        edge=change.edge,
        device=change.device,
        from_ms=change.at_ms,
        until_ms=None,
        ended="",
        doubted_ms=None,
        time_ms=min(birth.time_ms, 2**63 - 1),
        seq=birth.seq,
        digest=digest,
    )
    _keep(connection, row)
    _forget_oldest(connection, change)


def _keep(connection: sqlite3.Connection, row: _Row) -> None:
    connection.execute(_KEEP, (*row, _checksum(row)))


def _forget_oldest(connection: sqlite3.Connection, change: BirthChange) -> None:
    numbers = connection.execute(
        "SELECT number FROM births WHERE edge = ? AND device = ? ORDER BY number DESC "
        "LIMIT -1 OFFSET ?",
        (change.edge, change.device, _MOST_SPANS),
    ).fetchall()
    if numbers:
        connection.executemany("DELETE FROM births WHERE number = ?", numbers)
        connection.execute(
            "DELETE FROM birth_metrics WHERE digest NOT IN (SELECT digest FROM births)"
        )


def _digest(packed: bytes) -> bytes:
    return hashlib.blake2b(packed, digest_size=16).digest()


def _checksum(row: tuple[object, ...]) -> int:
    return zlib.crc32(repr(tuple(row)).encode("utf-8", "surrogatepass"))


def _clipped(number: int | None) -> int | None:
    """A number that fits SQLite's 64 signed bits; the wire's are unsigned."""
    return None if number is None else min(number, 2**63 - 1)


# ---------------------------------------------------------------- reading


def read_edges(connection: sqlite3.Connection) -> dict[str, Edge]:
    """Where every edge node stands, with the births that are in force."""
    births: dict[str, dict[str, Birth]] = {}
    doubted: dict[str, set[str]] = {}
    for row, birth in _births(connection, "WHERE until_ms IS NULL", ()):
        births.setdefault(row.edge, {})[row.device] = birth
        if row.doubted_ms is not None:
            doubted.setdefault(row.edge, set()).add(row.device)
    edges = {}
    for *row_of, checksum in connection.execute("SELECT * FROM edges").fetchall():
        key, bd_seq, seq, time_ms = row_of
        if _checksum(tuple(row_of)) != checksum:
            _LOG.error("what is known of the edge node %r is damaged and left out", key)
            continue
        edges[key] = Edge(
            bd_seq, seq, time_ms, births.get(key, {}), frozenset(doubted.get(key, ()))
        )
    return edges


def read_spans(connection: sqlite3.Connection, edge: str, device: str) -> list[BirthSpan]:
    """Every birth that is still kept of a device ("" for the edge node), in their order."""
    return [
        BirthSpan(birth, row.from_ms, row.until_ms, row.ended, row.doubted_ms)
        for row, birth in _births(
            connection, "WHERE edge = ? AND device = ? ORDER BY number", (edge, device)
        )
    ]


def _births(
    connection: sqlite3.Connection, where: str, arguments: tuple[str, ...]
) -> Iterator[tuple[_Row, Birth]]:
    held: dict[bytes, tuple[BirthMetric, ...] | None] = {}
    query = f"SELECT {_COLUMNS}, checksum FROM births {where}"  # noqa: S608 - our own words
    for *fields, checksum in connection.execute(query, arguments).fetchall():
        row = _Row(*fields)
        if _checksum(row) != checksum:
            _LOG.error("birth %d of %r is damaged and left out", row.number, row.edge)
            continue
        if row.digest not in held:
            held[row.digest] = _read_metrics(connection, row.digest)
        metrics = held[row.digest]
        if metrics is None:
            _LOG.error("the metrics of birth %d of %r are damaged", row.number, row.edge)
            continue
        yield row, Birth(row.device, metrics, row.time_ms, row.seq)


def _read_metrics(connection: sqlite3.Connection, digest: bytes) -> tuple[BirthMetric, ...] | None:
    found = connection.execute(
        "SELECT packed FROM birth_metrics WHERE digest = ?", (digest,)
    ).fetchone()
    if found is None or _digest(found[0]) != digest:
        return None
    return tuple(BirthMetric(*metric) for metric in msgspec.msgpack.decode(found[0]))


def copy_births(source: sqlite3.Connection, into: sqlite3.Connection) -> None:
    """Copy what can be read of a damaged file; what is wrong in it shows when it is read."""
    for table, width in _WIDTHS.items():
        marks = ", ".join("?" * width)
        with suppress(sqlite3.DatabaseError):
            for row in source.execute(f"SELECT * FROM {table}"):  # noqa: S608 - our own names
                into.execute(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", row)  # noqa: S608
