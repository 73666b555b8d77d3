"""Saving the rows of a damaged spool file: a bad page costs the commits on it, not the others."""

from __future__ import annotations

import logging
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ingest.birth_book import copy_births
from ingest.spool_files import lenient_text
from ingest.spool_pages import scan_commits

_LOG = logging.getLogger(__name__)
# SQLite's own message may quote a damaged name, and then it is no text.
_DAMAGE = (sqlite3.DatabaseError, UnicodeDecodeError)
_TABLES = {"commits": 8, "set_aside": 8}
_COLUMNS = (
    "number, kind, readings, received_ms, ledger, digest, verdicts, packed FROM commits",
    "number, kind, readings, received_ms, ledger, digest, reason, packed FROM set_aside",
    "site, device, time_ms FROM newest",
    "filter FROM filters",
)
# Table, its columns, and its rows. Without `newest` the store is asked, as for a spool that is new.
_NEWEST = ("newest", 3, "SELECT site, device, time_ms FROM newest")
_ASIDE = ("set_aside", 8, "SELECT * FROM set_aside WHERE typeof(reason) = 'text'")
# Numbers that are asked for one by one where the tree can no longer be walked.
_MOST_TRIED = 200_000
_MOST_NAMED = 50


@dataclass(slots=True)
class Salvage:
    """What became of a damaged file.

    Attributes:
        saved: Commits that were copied.
        lost: Numbers of those that cannot be read.
        absent: Numbers between the saved ones that are not there: forwarded before, or lost.
        nameless: Rows whose very number cannot be read.
        is_complete: Whether the tree could be walked from end to end, and no number is absent.
    """

    saved: int = 0
    lost: list[int] = field(default_factory=list)
    absent: list[int] = field(default_factory=list)
    nameless: int = 0
    is_complete: bool = True

    def __str__(self) -> str:
        words = f"{self.saved} commits saved; lost: {_listed(self.lost)}"
        if self.absent:
            words += f"; not there (forwarded before, or lost): {_listed(self.absent)}"
        if self.nameless:
            words += f"; {self.nameless} rows whose number cannot be read"
        return words


def _listed(numbers: Sequence[int]) -> str:
    named = ", ".join(str(number) for number in numbers[:_MOST_NAMED]) or "none by number"
    more = len(numbers) - _MOST_NAMED
    return f"{named} and {more} more" if more > 0 else named


def is_whole(connection: sqlite3.Connection) -> bool:
    """Whether every row looks like one: zeros read as rows without a number or a kind."""
    for names in _COLUMNS:
        # A flipped bit in the schema renames a column.
        connection.execute(f"SELECT {names} LIMIT 0")
    rows, good = connection.execute(
        "SELECT count(*), coalesce(sum(number > 0 AND kind IN (0, 1) AND typeof(packed) = 'blob'), "
        "0) FROM commits"
    ).fetchone()
    return bool(rows == good)


def rescue(damaged: Path, into: sqlite3.Connection, *, by_name: bool = True) -> Salvage:
    """Copy every row that can be read.

    Args:
        damaged: The damaged file, renamed together with its log.
        into: A new spool with its tables.
        by_name: Whether the tables still begin where they were made. If not, their names are no
            guide: commits are taken from the pages, each proved by its checksum, and what was set
            aside before by its reason, which no commit has.
    """
    source = sqlite3.connect(damaged, timeout=5)
    source.text_factory = lenient_text
    # Without this a file that was cut off is not read at all.
    with suppress(*_DAMAGE):
        source.execute("PRAGMA writable_schema=ON")
    salvage = Salvage()
    into.execute("BEGIN IMMEDIATE")
    try:
        if by_name:
            for table, width in _TABLES.items():
                _copy(source, into, table, width, salvage)
        else:
            salvage.is_complete = False
        _scan(damaged, into, salvage)
        rest, width, query = _NEWEST if by_name else _ASIDE
        with suppress(*_DAMAGE):
            for row in source.execute(query):
                _insert(into, rest, width, row)
        copy_births(source, into)
        into.execute("COMMIT")
    finally:
        source.close()
    return salvage


def _copy(
    source: sqlite3.Connection, into: sqlite3.Connection, table: str, width: int, salvage: Salvage
) -> None:
    walked, guessed, last = _numbers(source, table, salvage)
    times = Counter(walked)
    saved = set()
    for number in sorted(guessed.union(walked)):
        if number <= 0:
            salvage.nameless += times[number]
            continue
        # A number that stands twice is one row's own and another's by mistake.
        salvage.nameless += max(0, times[number] - 1)
        try:
            row = source.execute(
                f"SELECT * FROM {table} WHERE number = ?",  # noqa: S608 - our own names
                (number,),
            ).fetchone()
        except _DAMAGE:
            salvage.lost.append(number)
            continue
        if row is not None and _insert(into, table, width, row):
            saved.add(number)
        elif number in times:
            # It stands in the tree where its number does not lead: the number is damaged.
            salvage.nameless += 1
    salvage.saved += len(saved)
    if table == "commits" and saved:
        between = range(min(saved), min(max(last, *saved), min(saved) + _MOST_TRIED) + 1)
        gone = saved.union(salvage.lost)
        salvage.absent = [number for number in between if number not in gone]
    if salvage.absent or salvage.lost or salvage.nameless:
        salvage.is_complete = False


def _scan(damaged: Path, into: sqlite3.Connection, salvage: Salvage) -> None:
    """Add the commits that the tree did not lead to, where it does not lead to all."""
    if salvage.is_complete:
        return
    for number, row in scan_commits(damaged, Path(f"{damaged}-wal")).items():
        if _insert(into, "commits", 8, row):
            salvage.saved += 1
            salvage.lost = [other for other in salvage.lost if other != number]
            salvage.absent = [other for other in salvage.absent if other != number]


def _insert(into: sqlite3.Connection, table: str, width: int, row: Sequence[object]) -> bool:
    marks = ", ".join("?" * width)
    try:
        done = into.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", row)  # noqa: S608
    except sqlite3.Error:
        # Columns of a kind that cannot be.
        return False
    return done.rowcount == 1


def _numbers(
    source: sqlite3.Connection, table: str, salvage: Salvage
) -> tuple[list[int], set[int], int]:
    """Numbers of a table, walked as far as the tree holds; those guessed; and the last given."""
    last = 0
    with suppress(*_DAMAGE, TypeError):
        last = int(source.execute("SELECT max(seq) FROM sqlite_sequence").fetchone()[0])
    found: list[int] = []
    try:
        for (number,) in source.execute(f"SELECT number FROM {table} ORDER BY number"):  # noqa: S608
            found.append(number)
        return found, set(), last
    except _DAMAGE as error:
        salvage.is_complete = False
        _LOG.error("the tree of %s breaks off: %s", table, error)
    above: list[int] = []
    with suppress(*_DAMAGE):
        query = f"SELECT number FROM {table} ORDER BY number DESC"  # noqa: S608
        for (number,) in source.execute(query):
            above.append(number)
    low = max(found, default=min(above, default=last + 1) - 1) + 1
    high = min([*above, last], default=0) if above else last
    between = range(max(low, high - _MOST_TRIED), high + 1)
    return [*found, *(set(above) - set(found))], set(between), last
