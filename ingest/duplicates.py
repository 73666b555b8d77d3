"""Which readings are new, which are held already, which contradict what is held.

A reading newer than its device's newest is new without a look-up. Of an older one the store is
asked: it is the truth about every earlier commit, because commits are forwarded in order.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from core.periods import Period
from core.ports import TimeSeriesStore
from core.samples import Ints, ReadingBlock
from ingest.commits import CONFLICT, DUPLICATE, STORED, CommitBlock

_NEVER = -(2**62)
# Two older readings further apart than this are looked up by separate questions.
_APART_MS = 6 * 3_600_000
_FEW = 4


class Classifier:
    """Classifies commits in order; remembers the newest time of every device.

    Args:
        newest: (site, device) -> newest stored time, as the spool kept it.
    """

    def __init__(self, store: TimeSeriesStore, newest: Mapping[tuple[str, str], int]) -> None:
        self._store = store
        self._newest: dict[tuple[str, str], int] = dict(newest)
        self._asked: set[str] = set()
        # Readings of this round that are classified as stored but not yet written.
        self._unwritten: dict[tuple[str, str], list[CommitBlock]] = {}
        self._codes: dict[int, NDArray[np.uint8]] = {}

    def begin_round(self) -> None:
        """Forget what the round before has written: the store holds it now."""
        self._unwritten.clear()
        self._codes.clear()

    def classify(self, part: CommitBlock) -> NDArray[np.uint8]:
        """One code a row: stored, duplicate or conflict.

        Raises:
            StoreError: The store could not be asked; nothing was remembered.
        """
        block = part.block
        self._know(block.site)
        codes = np.full(len(block), STORED, dtype=np.uint8)
        older = self._older_devices(block)
        if len(older):
            held = self._held(block, older)
            for number in older:
                self._classify_device(part, int(number), held, codes)
        stored = codes == STORED
        self._remember(block, stored)
        key = (block.site, block.family)
        self._unwritten.setdefault(key, []).append(part)
        self._codes[id(part)] = codes
        return codes

    def adopt(self, part: CommitBlock, codes: NDArray[np.uint8]) -> None:
        """Take the verdicts of an earlier life of this process as they stand."""
        self._know(part.block.site)
        self._remember(part.block, codes == STORED)
        self._unwritten.setdefault((part.block.site, part.block.family), []).append(part)
        self._codes[id(part)] = codes

    def newest_of(self, parts: list[CommitBlock]) -> dict[tuple[str, str], int]:
        """Newest times of the devices in these blocks, to be kept by the spool."""
        keys = {(part.block.site, name) for part in parts for name in part.block.devices}
        return {key: self._newest[key] for key in keys if key in self._newest}

    def _know(self, site: str) -> None:
        # A spool that is new beside a store that is not: ask once what the store holds.
        if site in self._asked:
            return
        for sample in self._store.read_latest(site):
            key = (site, sample.key.device)
            self._newest[key] = max(self._newest.get(key, _NEVER), sample.time_ms)
        self._asked.add(site)

    def _older_devices(self, block: ReadingBlock) -> NDArray[np.int32]:
        order = np.lexsort((block.time_ms, block.device_index))
        device = block.device_index[order]
        time_ms = block.time_ms[order]
        known = np.array(
            [self._newest.get((block.site, name), _NEVER) for name in block.devices], np.int64
        )
        before = np.empty(len(order), dtype=np.int64)
        before[1:] = time_ms[:-1]
        first = np.ones(len(order), dtype=bool)
        first[1:] = device[1:] != device[:-1]
        before[first] = known[device[first]]
        return np.unique(device[time_ms <= before])

    def _remember(self, block: ReadingBlock, stored: NDArray[np.bool_]) -> None:
        newest = np.full(len(block.devices), _NEVER, dtype=np.int64)
        np.maximum.at(newest, block.device_index[stored], block.time_ms[stored])
        for name, time_ms in zip(block.devices, newest, strict=True):
            if time_ms > _NEVER:
                key = (block.site, name)
                self._newest[key] = max(self._newest.get(key, _NEVER), int(time_ms))

    def _classify_device(
        self,
        part: CommitBlock,
        number: int,
        held: dict[str, dict[int, dict[str, float]]],
        codes: NDArray[np.uint8],
    ) -> None:
        block = part.block
        rows = np.flatnonzero(block.device_index == number)
        times = block.time_ms[rows]
        device = block.devices[number]
        known_of = held.setdefault(device, {})
        self._add_unwritten(block, device, times, known_of)
        if not known_of and len(np.unique(times)) == len(times):
            return  # nothing is held at these instants: all are new
        for row in rows:
            time_ms = int(block.time_ms[row])
            reading = {
                name: float(column[row])
                for name, column in block.values.items()
                if column[row] == column[row]
            }
            known = known_of.setdefault(time_ms, {})
            codes[row] = _judge(known, reading, correction=part.correction)
            if codes[row] == STORED:
                known.update(reading)

    def _held(
        self, block: ReadingBlock, older: NDArray[np.int32]
    ) -> dict[str, dict[int, dict[str, float]]]:
        """What the store holds of these devices at the instants of the block."""
        held: dict[str, dict[int, dict[str, float]]] = {}
        mask = np.isin(block.device_index, older)
        wanted = np.unique(block.time_ms[mask])
        devices = [block.devices[number] for number in older]
        for run in np.split(wanted, np.flatnonzero(np.diff(wanted) > _APART_MS) + 1):
            if len(devices) == 1 and len(run) <= _FEW:
                found = self._store.read_instants(
                    block.site, block.family, devices[0], [int(time_ms) for time_ms in run]
                )
                of_device = held.setdefault(devices[0], {})
                for time_ms, values in found.items():
                    of_device.setdefault(time_ms, {}).update(values)
                continue
            self._read_run(block, devices, run, held)
        return held

    def _read_run(
        self,
        block: ReadingBlock,
        devices: list[str],
        run: Ints,
        held: dict[str, dict[int, dict[str, float]]],
    ) -> None:
        period = Period.of_ms(int(run[0]), int(run[-1]) + 1)
        # Naming most devices of a family costs a store more than reading them all.
        named = devices if len(devices) <= _FEW else None
        wanted_devices = set(devices)
        for series in self._store.read_samples(block.site, block.family, period, devices=named):
            if series.key.device not in wanted_devices:
                continue
            keep = np.isin(series.time_ms, run)
            if not keep.any():
                continue
            of_device = held.setdefault(series.key.device, {})
            times, values = series.time_ms[keep].tolist(), series.value[keep].tolist()
            for time_ms, value in zip(times, values, strict=True):
                of_device.setdefault(time_ms, {})[series.key.metric] = value

    def _add_unwritten(
        self, block: ReadingBlock, device: str, times: Ints, held: dict[int, dict[str, float]]
    ) -> None:
        for earlier in self._unwritten.get((block.site, block.family), []):
            other = earlier.block
            if device not in other.devices:
                continue
            number = other.devices.index(device)
            mine = (other.device_index == number) & (self._codes[id(earlier)] == STORED)
            mine &= np.isin(other.time_ms, times)
            for row in np.flatnonzero(mine):
                values = held.setdefault(int(other.time_ms[row]), {})
                for name, column in other.values.items():
                    if column[row] == column[row]:
                        values[name] = float(column[row])


def _judge(known: Mapping[str, float], reading: Mapping[str, float], *, correction: bool) -> int:
    if not known:
        return STORED
    if any(name in known and known[name] != value for name, value in reading.items()):
        return STORED if correction else CONFLICT
    return DUPLICATE if all(name in known for name in reading) else STORED
