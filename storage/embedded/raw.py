"""Raw samples of the embedded store.

A write is one row in `batch` (all samples of the call as they came) and the newest sample of each
series in `latest`. When enough has gathered, the batches are folded into `block`: one compressed
row per series and hour. So a small write costs one small row, and a large backfill is sorted and
packed at once. A reader sees blocks and batches of one snapshot; what a batch says replaces what a
block says.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from core.periods import from_ms
from core.samples import Ints, Quality, ReadingBlock, Sample, SampleSeries, SeriesKey
from storage.embedded.codec import (
    HOUR_MS,
    DamagedBlockError,
    decode_batch,
    decode_blocks,
    encode_batch,
    encode_blocks,
    row_sums,
)
from storage.embedded.files import CorruptBlockError, Database
from storage.embedded.points import NO_POINTS, Points, join_points, sort_points
from storage.embedded.series import SERIES_SCHEMA, SeriesTable
from storage.schema import check_readings

_log = logging.getLogger(__name__)

RAW_VERSION = 1
# Key of a block: series number in the upper bits, hour since 1970 in the lower 24 (until 3883).
_HOUR_BITS = 24
RAW_SCHEMA = f"""
{SERIES_SCHEMA}
CREATE TABLE block (key INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE batch (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    points INTEGER NOT NULL,
    data BLOB NOT NULL
);
CREATE TABLE latest (
    series INTEGER PRIMARY KEY,
    time_ms INTEGER NOT NULL,
    value REAL NOT NULL,
    quality INTEGER NOT NULL,
    checksum INTEGER NOT NULL
);
CREATE TABLE damaged (
    id INTEGER PRIMARY KEY,
    key INTEGER,
    problem TEXT NOT NULL,
    data BLOB NOT NULL
)
"""

# Batches are folded when they hold this much: a read has to look through what is not folded.
FOLD_POINTS = 100_000
FOLD_BATCHES = 256

_OLDEST_BLOCKS = "SELECT key, data FROM block WHERE key BETWEEN ? AND ? ORDER BY key LIMIT 2"
_NEWEST_BLOCKS = "SELECT key, data FROM block WHERE key BETWEEN ? AND ? ORDER BY key DESC LIMIT 2"

_UPSERT_LATEST = """
INSERT INTO latest (series, time_ms, value, quality, checksum) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (series) DO UPDATE
SET time_ms = excluded.time_ms, value = excluded.value, quality = excluded.quality,
    checksum = excluded.checksum
WHERE excluded.time_ms >= latest.time_ms
"""


class RawFile:
    """Samples in one SQLite file."""

    def __init__(self, folder: Path, *, writable: bool) -> None:
        path = folder / "raw.sqlite"
        self._series = SeriesTable(path)
        self._file = Database(path, RAW_SCHEMA, RAW_VERSION, writable=writable)

    @property
    def is_writable(self) -> bool:
        """Whether this process writes samples."""
        return self._file.is_writable

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    # ------------------------------------------------------------ write

    def write(self, blocks: Sequence[ReadingBlock]) -> None:
        """Write readings in one transaction."""
        for block in blocks:
            check_readings(block)
        with self._file.writing() as connection:
            try:
                self._series.load(connection)
                points = join_points(
                    [part for block in blocks for part in self._flatten(connection, block)]
                )
                if len(points):
                    self._store(connection, points)
            except BaseException:
                self._series.forget()
                raise

    def _flatten(self, connection: sqlite3.Connection, block: ReadingBlock) -> Iterator[Points]:
        """The samples of a block, metric by metric, in the order of its rows."""
        for metric, values in block.values.items():
            rows = np.flatnonzero(~np.isnan(values))
            if not len(rows):
                continue
            position = block.device_index[rows].astype(np.int64)
            numbers = self._series.numbers(
                connection, block.site, block.family, block.devices, metric, position
            )
            yield Points(numbers[position], block.time_ms[rows], values[rows], block.quality[rows])

    def _store(self, connection: sqlite3.Connection, points: Points) -> None:
        waiting, batches = connection.execute(
            "SELECT coalesce(sum(points), 0), count(*) FROM batch"
        ).fetchone()
        if waiting + len(points) >= FOLD_POINTS or batches + 1 >= FOLD_BATCHES:
            self._fold(connection, points)
        else:
            span = (int(points.time_ms.min()), int(points.time_ms.max()))
            connection.execute(
                "INSERT INTO batch (first_ms, last_ms, points, data) VALUES (?, ?, ?, ?)",
                (*span, len(points), encode_batch(points)),
            )
        _write_latest(connection, sort_points(points))

    def _fold(self, connection: sqlite3.Connection, more: Points = NO_POINTS) -> None:
        """Pack every batch, and then `more`, into blocks."""
        parts = [NO_POINTS]
        for number, data in connection.execute("SELECT id, data FROM batch ORDER BY id"):
            try:
                parts.append(decode_batch(data))
            except DamagedBlockError as error:
                self._set_aside(connection, None, data, f"batch {number}: {error}")
        new = join_points([*parts, more])
        keys = np.unique(_keys_of(new))
        held = self._blocks_of(connection, keys)
        old: list[Points] = []
        while held:
            numbers = np.array(list(held), np.int64)
            try:
                old.append(
                    decode_blocks(list(held.values()), numbers >> _HOUR_BITS, _hours_of(numbers))
                )
                break
            except DamagedBlockError as error:
                # New samples of this hour must not fail for ever because of what is lost.
                key = int(numbers[error.position])
                self._set_aside(connection, key, held.pop(key), str(error))
        points = sort_points(join_points([*old, new]))
        if len(points):
            block_keys = _keys_of(points)
            starts = np.flatnonzero(np.append(True, np.diff(block_keys) != 0))
            block_keys = block_keys[starts]
            packed = encode_blocks(points, starts, _hours_of(block_keys))
            connection.executemany(
                "INSERT OR REPLACE INTO block (key, data) VALUES (?, ?)",
                zip(block_keys.tolist(), packed, strict=True),
            )
        connection.execute("DELETE FROM batch")

    def _blocks_of(self, connection: sqlite3.Connection, keys: Ints) -> dict[int, bytes]:
        """Blocks that exist of these keys."""
        text = "[" + ",".join(map(str, keys.tolist())) + "]"
        rows = connection.execute(
            "SELECT block.key, block.data FROM json_each(?) AS wanted "
            "JOIN block ON block.key = wanted.value",
            (text,),
        )
        return dict(rows.fetchall())

    def _set_aside(
        self, connection: sqlite3.Connection, key: int | None, data: bytes, problem: str
    ) -> None:
        """Keep damaged bytes for a person, out of the way of what is new."""
        connection.execute(
            "INSERT INTO damaged (key, problem, data) VALUES (?, ?, ?)", (key, problem, data)
        )
        error = self._corrupt(key, problem)
        _log.error("%s; the damaged bytes are kept in the table `damaged`", error)

    def apply_retention(self, oldest_ms: int) -> None:
        """Drop hours that end before `oldest_ms`."""
        hour = oldest_ms // HOUR_MS
        if hour <= 0:
            return
        with self._file.writing() as connection:
            self._series.load(connection)
            stale = connection.execute(
                "SELECT count(*) FROM batch WHERE first_ms < ?", (hour * HOUR_MS,)
            ).fetchone()[0]
            if stale:
                self._fold(connection)
            numbers = connection.execute("SELECT id FROM series").fetchall()
            connection.executemany(
                "DELETE FROM block WHERE key >= ? AND key < ?",
                [(number << _HOUR_BITS, number << _HOUR_BITS | hour) for (number,) in numbers],
            )
            connection.execute("DELETE FROM latest WHERE time_ms < ?", (hour * HOUR_MS,))

    # ------------------------------------------------------------ read

    def read_samples(
        self,
        site: str,
        family: str,
        start_ms: int,
        end_ms: int,
        devices: Sequence[str] | None,
        metrics: Sequence[str] | None,
    ) -> list[SampleSeries]:
        """Samples in [start_ms, end_ms), sorted by key."""
        with self._file.reading() as connection:
            if connection is None or end_ms <= start_ms:
                return []
            self._series.load(connection)
            series = self._series.find(site, family, devices, metrics)
            blocks = _select_spans(connection, series, start_ms, end_ms - 1)
            batches = self._read_batches(connection, series, start_ms, end_ms - 1)
        points = join_points([self._decode(blocks), batches])
        inside = (points.time_ms >= start_ms) & (points.time_ms < end_ms)
        points = sort_points(points if inside.all() else points.take(inside))
        return _split(points, series)

    def read_edge(
        self,
        site: str,
        family: str,
        first_ms: int,
        last_ms: int,
        devices: Sequence[str] | None,
        *,
        newest: bool,
    ) -> list[Sample]:
        """The newest (or oldest) sample of each series in [first_ms, last_ms]."""
        with self._file.reading() as connection:
            if connection is None or last_ms < first_ms:
                return []
            self._series.load(connection)
            series = self._series.find(site, family, devices)
            select = _NEWEST_BLOCKS if newest else _OLDEST_BLOCKS
            rows: list[tuple[int, bytes]] = []
            for number in series:
                # The hour of the bound may hold samples on its far side only: then the next one.
                span = _key_span(number, first_ms, last_ms)
                rows += connection.execute(select, span).fetchall()
            batches = self._read_batches(connection, series, first_ms, last_ms)
        points = join_points([self._decode(rows), batches])
        points = points.take((points.time_ms >= first_ms) & (points.time_ms <= last_ms))
        points = sort_points(points)
        if not len(points):
            return []
        changes = np.diff(points.series) != 0
        edge = np.append(changes, True) if newest else np.append(True, changes)
        return sorted(_samples(points.take(edge), series), key=lambda sample: sample.key)

    def read_latest(self, site: str, oldest_ms: int) -> list[Sample]:
        """The newest sample of every series of a site."""
        with self._file.reading() as connection:
            if connection is None:
                return []
            self._series.load(connection)
            series = self._series.find(site)
            rows = [
                row
                for row in connection.execute(
                    "SELECT latest.series, time_ms, value, quality, checksum FROM latest "
                    "JOIN series ON series.id = latest.series "
                    "WHERE series.site = ? AND time_ms >= ?",
                    (site, oldest_ms),
                )
                if row[0] in series
            ]
        if not rows:
            return []
        numbers, times, values, codes, sums = zip(*rows, strict=True)
        points = Points(
            np.array(numbers, np.int64),
            np.array(times, np.int64),
            np.array(values, np.float64),
            np.array(codes, np.int8),
        )
        wrong = np.flatnonzero(_latest_sums(points) != np.array(sums, np.int64))
        if len(wrong):
            raise CorruptBlockError(
                self._file.path,
                "the newest sample",
                "its checksum is wrong",
                key=series[int(points.series[wrong[0]])],
            )
        return sorted(_samples(points, series), key=lambda sample: sample.key)

    def read_instants(
        self, site: str, family: str, device: str, times_ms: Sequence[int]
    ) -> dict[int, dict[str, float]]:
        """What is held of a device at these instants."""
        wanted = np.unique(np.asarray(times_ms, np.int64))
        wanted = wanted[wanted >= 0]
        with self._file.reading() as connection:
            if connection is None or not len(wanted):
                return {}
            self._series.load(connection)
            series = self._series.find(site, family, [device])
            hours = np.unique(wanted // HOUR_MS)
            numbers = np.array(list(series), np.int64)
            keys = ((numbers[:, None] << _HOUR_BITS) | hours[None, :]).ravel()
            blocks = list(self._blocks_of(connection, keys).items())
            first_ms, last_ms = int(wanted[0]), int(wanted[-1])
            batches = self._read_batches(connection, series, first_ms, last_ms)
        points = join_points([self._decode(blocks), batches])
        points = sort_points(points.take(np.isin(points.time_ms, wanted)))
        held: dict[int, dict[str, float]] = {}
        columns = (points.series.tolist(), points.time_ms.tolist(), points.value.tolist())
        for number, time_ms, value in zip(*columns, strict=True):
            held.setdefault(time_ms, {})[series[number].metric] = value
        return held

    def describe(self) -> str:
        """What the file holds, for people."""
        with self._file.reading() as connection:
            if connection is None:
                return f"no samples yet in {self._file.path}"
            (damaged,) = connection.execute("SELECT count(*) FROM damaged").fetchone()
        note = f", {damaged} damaged blocks set aside" if damaged else ""
        return f"SQLite {sqlite3.sqlite_version} in {self._file.path}{note}"

    def _decode(self, rows: Sequence[tuple[int, bytes]]) -> Points:
        keys = np.array([key for key, _ in rows], np.int64)
        try:
            return decode_blocks([data for _, data in rows], keys >> _HOUR_BITS, _hours_of(keys))
        except DamagedBlockError as error:
            raise self._corrupt(int(keys[error.position]), str(error)) from None

    def _read_batches(
        self,
        connection: sqlite3.Connection,
        series: Mapping[int, SeriesKey],
        first_ms: int,
        last_ms: int,
    ) -> Points:
        """Samples of these series that wait in batches, in order of arrival."""
        numbers = np.array(list(series), np.int64)
        parts = []
        for (data,) in connection.execute(
            "SELECT data FROM batch WHERE last_ms >= ? AND first_ms <= ? ORDER BY id",
            (first_ms, last_ms),
        ):
            try:
                points = decode_batch(data)
            except DamagedBlockError as error:
                raise self._corrupt(None, str(error)) from None
            parts.append(points.take(np.isin(points.series, numbers)))
        return join_points(parts)

    def _corrupt(self, key: int | None, problem: str) -> CorruptBlockError:
        if key is None:
            return CorruptBlockError(self._file.path, "a batch of samples", problem)
        return CorruptBlockError(
            self._file.path,
            "the hour",
            problem,
            key=self._series.key(key >> _HOUR_BITS),
            hour=from_ms((key & ((1 << _HOUR_BITS) - 1)) * HOUR_MS),
        )


def _keys_of(points: Points) -> Ints:
    return (points.series << _HOUR_BITS) | (points.time_ms // HOUR_MS)


def _hours_of(keys: Ints) -> Ints:
    return keys & ((1 << _HOUR_BITS) - 1)


def _key_span(number: int, first_ms: int, last_ms: int) -> tuple[int, int]:
    most = (1 << _HOUR_BITS) - 1
    first, last = max(first_ms // HOUR_MS, 0), min(last_ms // HOUR_MS, most)
    return number << _HOUR_BITS | first, number << _HOUR_BITS | max(last, 0)


def _select_spans(
    connection: sqlite3.Connection, series: Mapping[int, SeriesKey], first_ms: int, last_ms: int
) -> list[tuple[int, bytes]]:
    """Blocks of each series whose hour lies between two instants."""
    rows: list[tuple[int, bytes]] = []
    for number in series:
        rows += connection.execute(
            "SELECT key, data FROM block WHERE key BETWEEN ? AND ?",
            _key_span(number, first_ms, last_ms),
        ).fetchall()
    return rows


def _write_latest(connection: sqlite3.Connection, points: Points) -> None:
    """Move `latest` on; `points` are sorted."""
    last = points.take(np.append(np.diff(points.series) != 0, True))
    connection.executemany(
        _UPSERT_LATEST,
        zip(
            last.series.tolist(),
            last.time_ms.tolist(),
            last.value.tolist(),
            last.quality.tolist(),
            _latest_sums(last).tolist(),
            strict=True,
        ),
    )


def _latest_sums(points: Points) -> Ints:
    # SQLite keeps a minus zero as zero.
    return row_sums(points.series, points.time_ms, points.value + 0.0, points.quality)


def _split(points: Points, series: Mapping[int, SeriesKey]) -> list[SampleSeries]:
    """Sorted points as one `SampleSeries` per series, sorted by key."""
    if not len(points):
        return []
    starts = np.flatnonzero(np.append(True, np.diff(points.series) != 0)).tolist()
    found = []
    for start, end in zip(starts, [*starts[1:], len(points)], strict=True):
        key = series[int(points.series[start])]
        part = points.take(slice(start, end))
        found.append(SampleSeries(key, part.time_ms, part.value, part.quality))
    return sorted(found, key=lambda one: one.key)


def _samples(points: Points, series: Mapping[int, SeriesKey]) -> Iterator[Sample]:
    columns = (points.series, points.time_ms, points.value, points.quality)
    for number, time_ms, value, code in zip(*(c.tolist() for c in columns), strict=True):
        yield Sample(series[number], time_ms, value, Quality(code))
