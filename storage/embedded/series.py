"""Numbers of series: the table that maps ids to integers, cached."""

from __future__ import annotations

import sqlite3
import threading
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from core.samples import Ints, SeriesKey
from storage.embedded.files import CorruptBlockError

SERIES_SCHEMA = """
CREATE TABLE series (
    id INTEGER PRIMARY KEY,
    site TEXT NOT NULL,
    family TEXT NOT NULL,
    device TEXT NOT NULL,
    metric TEXT NOT NULL,
    crc INTEGER NOT NULL,
    UNIQUE (site, family, device, metric)
);
"""

_TABLES_CACHED = 512


class SeriesTable:
    """Series of one file. Rows are only ever added, so what is cached stays right.

    Args:
        path: The file, for messages.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._numbers: dict[SeriesKey, int] = {}
        self._keys: dict[int, SeriesKey] = {}
        self._by_site: dict[str, dict[int, SeriesKey]] = {}
        self._newest = 0
        self._tables: OrderedDict[tuple[str, str, str, tuple[str, ...]], Ints] = OrderedDict()

    def load(self, connection: sqlite3.Connection) -> None:
        """Take in series that have been added since; call it inside the transaction.

        Raises:
            CorruptBlockError: A row is not what was written.
        """
        with self._lock:
            rows = connection.execute(
                "SELECT id, crc, site, family, device, metric FROM series WHERE id > ? ORDER BY id",
                (self._newest,),
            )
            for number, crc, *names in rows:
                key = SeriesKey(*names)
                if crc != _crc_of(number, key):
                    raise CorruptBlockError(
                        self._path, f"row {number} of the series", "its checksum is wrong", key=key
                    )
                self._remember(number, key)

    def forget(self) -> None:
        """Drop the cache: a transaction that had added series was rolled back."""
        with self._lock:
            self._numbers.clear()
            self._keys.clear()
            self._by_site.clear()
            self._newest = 0
            self._tables.clear()

    def key(self, number: int) -> SeriesKey:
        """The series of a number."""
        with self._lock:
            return self._keys[number]

    def find(
        self,
        site: str,
        family: str | None = None,
        devices: Sequence[str] | None = None,
        metrics: Sequence[str] | None = None,
    ) -> dict[int, SeriesKey]:
        """Known series that match, by number."""
        wanted_devices = None if devices is None else set(devices)
        wanted_metrics = None if metrics is None else set(metrics)
        with self._lock:
            return {
                number: key
                for number, key in self._by_site.get(site, {}).items()
                if (family is None or key.family == family)
                and (wanted_devices is None or key.device in wanted_devices)
                and (wanted_metrics is None or key.metric in wanted_metrics)
            }

    def number(self, connection: sqlite3.Connection, key: SeriesKey) -> int:
        """The number of a series, given to it now if it has none."""
        with self._lock:
            known = self._numbers.get(key)
            if known is not None:
                return known
            number = self._newest + 1
            connection.execute(
                "INSERT INTO series (id, crc, site, family, device, metric) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (number, _crc_of(number, key), key.site, key.family, key.device, key.metric),
            )
            self._remember(number, key)
            return number

    def numbers(
        self,
        connection: sqlite3.Connection,
        site: str,
        family: str,
        devices: tuple[str, ...],
        metric: str,
        used: Ints,
    ) -> Ints:
        """Series numbers by position in a table of devices; those not used may be -1.

        Args:
            used: Positions that need a number.
        """
        name = (site, family, metric, devices)
        table = self._tables.get(name)
        if table is None:
            table = np.full(len(devices), -1, np.int64)
        if (table[used] < 0).any():
            table = table.copy()
            for position in np.unique(used[table[used] < 0]).tolist():
                key = SeriesKey(site, family, devices[position], metric)
                table[position] = self.number(connection, key)
        with self._lock:
            self._tables[name] = table
            self._tables.move_to_end(name)
            while len(self._tables) > _TABLES_CACHED:
                self._tables.popitem(last=False)
        return table

    def _remember(self, number: int, key: SeriesKey) -> None:
        self._numbers[key] = number
        self._keys[number] = key
        self._by_site.setdefault(key.site, {})[number] = key
        self._newest = max(self._newest, number)


def _crc_of(number: int, key: SeriesKey) -> int:
    text = "\0".join((str(number), key.site, key.family, key.device, key.metric))
    return zlib.crc32(text.encode("utf-8", "surrogatepass"))
