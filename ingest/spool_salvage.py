"""Saving the rows of a damaged spool file: a bad page costs the commits on it, not the others."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ingest.birth_book import copy_births
from ingest.spool_files import lenient_text

_LOG = logging.getLogger(__name__)
_TABLES = {"commits": 8, "set_aside": 8}
# Numbers that are asked for one by one where the tree can no longer be walked.
_MOST_TRIED = 200_000


def rescue(damaged: Path, into: sqlite3.Connection) -> tuple[int, list[int]]:
    """Copy every row that can be read.

    Args:
        damaged: The damaged file, renamed together with its log.
        into: A new spool with its tables.

    Returns:
        How many commits were saved, and the numbers of those that were not, as far as known.
    """
    source = sqlite3.connect(damaged, timeout=5)
    source.text_factory = lenient_text
    saved, lost = 0, []
    into.execute("BEGIN IMMEDIATE")
    try:
        for table, width in _TABLES.items():
            for number in _numbers(source, table):
                try:
                    row = source.execute(
                        f"SELECT * FROM {table} WHERE number = ?",  # noqa: S608 - our own names
                        (number,),
                    ).fetchone()
                except sqlite3.DatabaseError:
                    lost.append(number)
                    continue
                if row is not None:
                    _insert(into, table, width, row)
                    saved += 1
        with suppress(sqlite3.DatabaseError):
            # Without it the store is asked, as for a spool that is new.
            for row in source.execute("SELECT site, device, time_ms FROM newest"):
                _insert(into, "newest", 3, row)
        copy_births(source, into)
        into.execute("COMMIT")
    finally:
        source.close()
    return saved, lost


def _insert(into: sqlite3.Connection, table: str, width: int, row: Sequence[object]) -> None:
    marks = ", ".join("?" * width)
    into.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", row)  # noqa: S608


def _numbers(source: sqlite3.Connection, table: str) -> list[int]:
    """Numbers of a table, walked as far as the tree holds, then guessed up to the last given."""
    found: list[int] = []
    try:
        for (number,) in source.execute(f"SELECT number FROM {table} ORDER BY number"):  # noqa: S608
            found.append(number)
        return found
    except sqlite3.DatabaseError as error:
        _LOG.error("the tree of %s breaks off: %s", table, error)
    above: list[int] = []
    with suppress(sqlite3.DatabaseError):
        query = f"SELECT number FROM {table} ORDER BY number DESC"  # noqa: S608
        for (number,) in source.execute(query):
            above.append(number)
    with suppress(sqlite3.DatabaseError):
        last = source.execute("SELECT max(seq) FROM sqlite_sequence").fetchone()[0]
        if last:
            above.append(int(last))
    low = found[-1] + 1 if found else min(above, default=0)
    high = min(above, default=low - 1)
    between = range(max(low, high - _MOST_TRIED), high + 1)
    return sorted({*found, *between, *above})
