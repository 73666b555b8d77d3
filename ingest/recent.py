"""Readings judged lately, in memory: most repetitions are recognised without the store."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from core.intervals import Counts
from core.samples import Floats, Ints
from ingest.newest import NEVER

Instant = tuple[int, int]
Held = dict[Instant, dict[str, float]]
# Position of a device and time in one key, as in `ingest.newest`.
TIME_BITS = 43
# Device tables above this size hardly ever come again.
_LARGE_TABLE = 2_000


def keys_of(device_index: Counts | Ints, time_ms: Ints) -> Ints:
    """One int64 for each (device, time)."""
    return (device_index.astype(np.int64) << TIME_BITS) + time_ms


@dataclass(slots=True)
class _Chunk:
    keys: Ints
    time_low: int
    time_high: int
    values: Mapping[str, Floats]
    order: NDArray[np.intp] | None = None
    sorted_keys: Ints = field(default_factory=lambda: np.zeros(0, np.int64))

    def find(self, wanted: Ints) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows with one of the wanted keys, and which key each has."""
        if self.order is None:
            # Sorted when first asked: nearly all chunks never are.
            self.order = np.argsort(self.keys, kind="stable")
            self.sorted_keys = self.keys[self.order]
        low = np.searchsorted(self.sorted_keys, wanted, "left")
        high = np.searchsorted(self.sorted_keys, wanted, "right")
        hits = np.flatnonzero(high > low)
        rows = [np.sort(self.order[low[hit] : high[hit]]) for hit in hits]
        if not rows:
            return np.zeros(0, np.intp), np.zeros(0, np.intp)
        which = np.repeat(hits, [len(part) for part in rows])
        return np.concatenate(rows), which


class Family:
    """What is known of the devices of one site and family, by position in a growing table.

    Attributes:
        newest: (devices,) no reading of the device that was judged is newer.
        kept: (devices,) what the spool has on disk as newest; never less than `newest`.
        complete_above: (devices,) every held reading newer than this is in memory.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self._positions: dict[str, int] = {}
        self._tables: dict[int, tuple[tuple[str, ...], Counts]] = {}
        self.newest: Ints = np.zeros(0, np.int64)
        self.kept: Ints = np.zeros(0, np.int64)
        self.complete_above: Ints = np.zeros(0, np.int64)
        self._chunks: deque[_Chunk] = deque()
        self.rows = 0

    def positions(self, devices: tuple[str, ...], newest: Mapping[str, int]) -> Counts:
        """Position of each device of a block's table; new devices begin with what is known."""
        cached = self._tables.get(id(devices))
        if cached is not None and cached[0] is devices:
            return cached[1]
        places = list(map(self._positions.get, devices))
        if None in places:
            self._add(devices, newest)
            places = list(map(self._positions.get, devices))
        found = np.array(places, np.int32)
        if len(devices) <= _LARGE_TABLE:
            if len(self._tables) > 64:
                self._tables.clear()
            self._tables[id(devices)] = (devices, found)
        return found

    def _add(self, devices: Sequence[str], newest: Mapping[str, int]) -> None:
        for name in devices:
            if name not in self._positions:
                self._positions[name] = len(self.names)
                self.names.append(name)
        added = self.names[len(self.newest) :]
        known = np.array([newest.get(name, NEVER) for name in added], np.int64)
        self.newest = np.append(self.newest, known)
        self.kept = np.append(self.kept, known)
        self.complete_above = np.append(self.complete_above, known)

    def remember(self, device: Counts, time_ms: Ints, values: Mapping[str, Floats]) -> None:
        """Keep readings that were judged as stored."""
        if len(time_ms):
            low, high = int(time_ms.min()), int(time_ms.max())
            self._chunks.append(_Chunk(keys_of(device, time_ms), low, high, values))
            self.rows += len(time_ms)

    def forget_oldest(self) -> None:
        """Drop the oldest readings from memory; of them the store has to be asked from now on."""
        chunk = self._chunks.popleft()
        self.rows -= len(chunk.keys)
        device = chunk.keys >> TIME_BITS
        times = chunk.keys - (device << TIME_BITS)
        np.maximum.at(self.complete_above, device, times)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is in memory."""
        return not self._chunks

    def find(self, wanted: Sequence[Instant]) -> Held:
        """What memory holds of (device position, time)."""
        held: Held = {}
        keys = np.array([(device << TIME_BITS) + time_ms for device, time_ms in wanted], np.int64)
        times = np.array([time_ms for _, time_ms in wanted], np.int64)
        if not len(keys):
            return held
        low, high = int(times.min()), int(times.max())
        for chunk in self._chunks:
            if chunk.time_high < low or chunk.time_low > high:
                continue
            rows, which = chunk.find(keys)
            for row, hit in zip(rows.tolist(), which.tolist(), strict=True):
                values = held.setdefault(wanted[hit], {})
                for name, column in chunk.values.items():
                    value = float(column[row])
                    if value == value:
                        values[name] = value
        return held
