"""Intervals and results of the embedded store, as rows keyed for range scans."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.intervals import FLOAT_COLUMNS, IntervalBlock
from core.periods import from_ms
from core.ports import ResultRow
from core.samples import Ints, SeriesKey
from storage.embedded.codec import row_sums
from storage.embedded.files import CorruptBlockError, Database
from storage.embedded.series import SERIES_SCHEMA, SeriesTable
from storage.schema import check_intervals, check_results, interval_floats

DERIVED_VERSION = 1
DERIVED_SCHEMA = f"""
{SERIES_SCHEMA}
CREATE TABLE interval (
    series INTEGER NOT NULL,
    start_ms INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (series, start_ms)
) WITHOUT ROWID;
CREATE TABLE result (
    site TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    subject TEXT NOT NULL,
    resolution TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    value REAL,
    document BLOB NOT NULL,
    crc INTEGER NOT NULL,
    PRIMARY KEY (site, kind, name, subject, resolution, start_ms)
) WITHOUT ROWID
"""

# One interval: its columns side by side. A row of twelve SQL numbers reads three times slower, and
# SQLite has no NaN. A checksum stands at the end.
_RECORD = np.dtype(
    [("count", "<i8"), *[(name, "<f8") for name in FLOAT_COLUMNS], ("checksum", "<i8")]
)
_SUMMED_WORDS = _RECORD.itemsize // 8 - 1

_RESULT_COLUMNS = "name, subject, resolution, start_ms, value, document, crc"
# By whether a subject and a resolution are named. They stand before the start in the key: with both
# of them a period is one range of it, however much lies around.
_RESULTS = {
    (by_subject, by_resolution): f"SELECT {_RESULT_COLUMNS} FROM result "  # noqa: S608
    "WHERE site = ?1 AND kind = ?2 AND name = ?3 "
    f"AND {'subject = ?7' if by_subject else '?7 IS NULL'} "
    f"AND {'resolution = ?6' if by_resolution else '?6 IS NULL'} "
    "AND start_ms >= ?4 AND start_ms < ?5"
    for by_subject in (False, True)
    for by_resolution in (False, True)
}


class DerivedFile:
    """Intervals and results in one SQLite file."""

    def __init__(self, folder: Path, *, writable: bool) -> None:
        path = folder / "derived.sqlite"
        self._series = SeriesTable(path)
        self._file = Database(path, DERIVED_SCHEMA, DERIVED_VERSION, writable=writable)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def write_intervals(self, blocks: Sequence[IntervalBlock]) -> None:
        """Write intervals in one transaction; what is there is replaced."""
        for block in blocks:
            check_intervals(block)
        with self._file.writing() as connection:
            try:
                self._series.load(connection)
                for block in blocks:
                    number = self._series.number(connection, block.key)
                    connection.executemany(
                        "INSERT OR REPLACE INTO interval (series, start_ms, data) VALUES (?, ?, ?)",
                        _interval_rows(number, block),
                    )
            except BaseException:
                self._series.forget()
                raise

    def read_intervals(
        self,
        site: str,
        start_ms: int,
        end_ms: int,
        family: str | None,
        devices: Sequence[str] | None,
        metrics: Sequence[str] | None,
    ) -> list[IntervalBlock]:
        """Intervals that start in [start_ms, end_ms), one block per series, sorted by key."""
        found = []
        with self._file.reading() as connection:
            if connection is None:
                return []
            self._series.load(connection)
            for number, key in self._series.find(site, family, devices, metrics).items():
                rows = connection.execute(
                    "SELECT start_ms, data FROM interval "
                    "WHERE series = ? AND start_ms >= ? AND start_ms < ?",
                    (number, start_ms, end_ms),
                ).fetchall()
                if rows:
                    found.append(self._interval_block(number, key, rows))
        return sorted(found, key=lambda block: block.key)

    def _interval_block(
        self, number: int, key: SeriesKey, rows: Sequence[tuple[int, bytes]]
    ) -> IntervalBlock:
        start = np.array([start_ms for start_ms, _ in rows], np.int64)
        raw = b"".join([data for _, data in rows])
        whole = len(raw) == len(rows) * _RECORD.itemsize
        records: NDArray[Any] = np.frombuffer(raw if whole else b"", _RECORD)
        wrong = np.array([0])
        if whole:
            wrong = np.flatnonzero(_sums_of(number, start, records) != records["checksum"])
        if len(wrong):
            hour = from_ms(int(start[wrong[0]])) if whole else None
            problem = "its checksum is wrong" if whole else "a row has another length"
            raise CorruptBlockError(self._file.path, "an interval", problem, key=key, hour=hour)
        columns: dict[str, Any] = {
            name: np.ascontiguousarray(records[name], np.float64) for name in FLOAT_COLUMNS
        }
        return IntervalBlock(key, start, records["count"].astype(np.int32), **columns)

    def write_results(self, rows: Sequence[ResultRow]) -> None:
        """Write figures in one transaction; a row of the same key is replaced."""
        check_results(rows)
        with self._file.writing() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO result VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        row.site,
                        row.kind,
                        row.name,
                        row.subject,
                        row.resolution,
                        row.start_ms,
                        None if row.value is None else float(row.value),
                        row.document,
                        _crc_of(row),
                    )
                    for row in rows
                ],
            )

    def read_results(
        self,
        site: str,
        kind: str,
        start_ms: int,
        end_ms: int,
        names: Sequence[str] | None,
        resolution: str | None,
        subject: str | None,
    ) -> list[ResultRow]:
        """Figures whose start lies in [start_ms, end_ms), by key."""
        wanted = None if names is None else sorted(set(names))
        with self._file.reading() as connection:
            if connection is None:
                return []
            if wanted is None:
                wanted = [
                    name
                    for (name,) in connection.execute(
                        "SELECT DISTINCT name FROM result WHERE site = ? AND kind = ?",
                        (site, kind),
                    )
                ]
            rows = [
                row
                for name in wanted
                for row in connection.execute(
                    _RESULTS[(subject is not None, resolution is not None)],
                    (site, kind, name, start_ms, end_ms, resolution, subject),
                )
            ]
        found = []
        for *fields, crc in sorted(rows, key=lambda row: row[:4]):
            result = ResultRow(site, kind, *fields)
            if crc != _crc_of(result):
                what = f"a result ({kind} {result.name} of {site})"
                raise CorruptBlockError(
                    self._file.path, what, "its checksum is wrong", hour=from_ms(result.start_ms)
                )
            found.append(result)
        return found

    def describe(self) -> str:
        """What the file holds, for people."""
        with self._file.reading() as connection:
            if connection is None:
                return f"no intervals yet in {self._file.path}"
            connection.execute("SELECT 1 FROM interval LIMIT 1").fetchone()
        return str(self._file.path)


def _interval_rows(number: int, block: IntervalBlock) -> Iterable[tuple[int, int, bytes]]:
    records = np.empty(len(block), _RECORD)
    records["count"] = block.count
    for name, values in interval_floats(block).items():
        records[name] = values
    records["checksum"] = _sums_of(number, block.start_ms, records)
    raw, size = records.tobytes(), _RECORD.itemsize
    for position, start_ms in enumerate(block.start_ms.tolist()):
        yield number, start_ms, raw[position * size : (position + 1) * size]


def _sums_of(number: int, start_ms: Ints, records: NDArray[Any]) -> Ints:
    words = records.view("<u8").reshape(len(records), -1)[:, :_SUMMED_WORDS]
    return row_sums(np.full(len(records), number, np.int64), start_ms, words)


def _crc_of(row: ResultRow) -> int:
    value = math.nan if row.value is None else float(row.value)
    head = json.dumps(
        [row.site, row.kind, row.name, row.subject, row.resolution, row.start_ms, value.hex()]
    )
    return zlib.crc32(row.document, zlib.crc32(head.encode()))
