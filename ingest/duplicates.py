"""Which readings are new, which are held already, which contradict what is held.

A reading newer than its device's newest is new without a look-up. An older one is compared in
memory where memory is complete, and else with the store, which is the truth about every earlier
commit, because commits are forwarded in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from core.periods import Period
from core.ports import TimeSeriesStore
from core.samples import ReadingBlock
from ingest.commits import CONFLICT, DUPLICATE, STORED, CommitBlock
from ingest.newest import NEVER, advance
from ingest.recent import Family, Held, Instant, keys_of

_Verdicts = NDArray[np.uint8]

# What is kept on disk as a device's newest runs ahead by this much: it is written once in five
# minutes of a device's readings, not with each. Too late a time costs look-ups after a restart,
# too early a one would cost a duplicate.
AHEAD_MS = 300_000
# Older readings further apart than this are looked up by separate questions.
_APART_MS = 900_000
_MOST_RUNS = 20
_FEW = 8


class Classifier:
    """Judges commits in order; remembers the newest time of every device.

    Args:
        newest: (site, device) -> time; no reading that was forwarded before is newer.
        recent_readings: Readings kept in memory.
    """

    def __init__(
        self,
        store: TimeSeriesStore,
        newest: Mapping[tuple[str, str], int],
        *,
        recent_readings: int = 400_000,
    ) -> None:
        self._store = store
        self._recent_readings = recent_readings
        self._newest: dict[str, dict[str, int]] = {}
        for (site, device), time_ms in newest.items():
            self._newest.setdefault(site, {})[device] = time_ms
        self._asked: set[str] = set()
        self._families: dict[tuple[str, str], Family] = {}
        # Of the parts that were prepared: where their devices are, and by site and family the
        # instants that the store was asked for with what it holds at them.
        self._placed: dict[int, tuple[CommitBlock, Family, NDArray[np.int32]]] = {}
        self._prepared: dict[tuple[str, str], tuple[set[Instant], Held]] = {}

    def know(self, sites: Iterable[str]) -> None:
        """Ask the store what it holds of sites that were not asked for yet.

        Raises:
            StoreError: The store could not be asked.
        """
        for site in sites:
            if site not in self._asked:
                known = self._newest.setdefault(site, {})
                for sample in self._store.read_latest(site):
                    device = sample.key.device
                    known[device] = max(known.get(device, NEVER), sample.time_ms)
                self._asked.add(site)

    def prepare(self, parts: Iterable[CommitBlock]) -> None:
        """Ask the store, with one question a family, for all that judging these parts will need.

        Asked part by part, a store that fails now and then would never let a long group through.

        Raises:
            StoreError: The store could not be asked; nothing has changed.
        """
        self._placed, self._prepared = {}, {}
        wanted: dict[tuple[str, str], list[tuple[NDArray[np.int32], NDArray[np.int64]]]] = {}
        placed: dict[int, tuple[CommitBlock, Family, NDArray[np.int32]]] = {}
        for part in parts:
            family, device = self._place(part.block)
            placed[id(part)] = (part, family, device)
            # Above these times memory has everything.
            rows = np.flatnonzero(part.block.time_ms <= family.complete_above[device])
            if len(rows):
                group = wanted.setdefault((part.block.site, part.block.family), [])
                group.append((device[rows], part.block.time_ms[rows]))
        for (site, name), found in wanted.items():
            instants = {
                instant
                for device, time_ms in found
                for instant in zip(device.tolist(), time_ms.tolist(), strict=True)
            }
            names = self._families[site, name].names
            held = ask_store(self._store, site, name, names, sorted(instants))
            self._prepared[site, name] = instants, held
        self._placed = placed

    def _family(self, site: str, family: str) -> Family:
        found = self._families.get((site, family))
        if found is None:
            found = self._families[site, family] = Family()
        return found

    def classify(self, part: CommitBlock) -> _Verdicts:
        """One code a row: stored, duplicate or conflict.

        Raises:
            StoreError: The store could not be asked; this classifier is then of no further use.
        """
        block = part.block
        _, family, device = self._placed.get(id(part)) or (part, *self._place(block))
        # What is refused below stands at an instant that is held, and moves nothing on.
        older = advance(family.newest, device, block.time_ms)
        codes = np.full(len(block), STORED, np.uint8)
        if older.any():
            self._judge_older(part, family, device, older, codes)
        self._remember(family, device, block, codes)
        return codes

    def adopt(self, part: CommitBlock, codes: _Verdicts) -> None:
        """Take the verdicts of an earlier life of this process as they stand."""
        block = part.block
        family, device = self._place(block)
        stored = codes == STORED
        advance(family.newest, device[stored], block.time_ms[stored])
        self._remember(family, device, block, codes)

    def newest(self) -> dict[tuple[str, str], int]:
        """Times to be kept on disk, for the devices whose newest has passed what is kept."""
        passed: dict[tuple[str, str], int] = {}
        for (site, _), family in self._families.items():
            rows = np.flatnonzero(family.newest > family.kept)
            if not len(rows):
                continue
            family.kept[rows] = family.newest[rows] + AHEAD_MS
            for row, time_ms in zip(rows.tolist(), family.kept[rows].tolist(), strict=True):
                passed[site, family.names[row]] = time_ms
        return passed

    def all_newest(self) -> dict[tuple[str, str], int]:
        """The newest time of every device that is known."""
        known = {
            (site, device): time_ms
            for site, of_site in self._newest.items()
            for device, time_ms in of_site.items()
        }
        for (site, _), family in self._families.items():
            for name, time_ms in zip(family.names, family.newest.tolist(), strict=True):
                known[site, name] = max(known.get((site, name), NEVER), time_ms)
        return known

    # ------------------------------------------------------------ inside

    def _place(self, block: ReadingBlock) -> tuple[Family, NDArray[np.int32]]:
        self.know([block.site])
        family = self._family(block.site, block.family)
        table = family.positions(block.devices, self._newest[block.site])
        return family, table[block.device_index]

    def _remember(
        self, family: Family, device: NDArray[np.int32], block: ReadingBlock, codes: _Verdicts
    ) -> None:
        stored = codes == STORED
        if stored.all():
            family.remember(device, block.time_ms, block.values)
        else:
            values = {name: column[stored] for name, column in block.values.items()}
            family.remember(device[stored], block.time_ms[stored], values)
        held = sum(other.rows for other in self._families.values())
        while held > self._recent_readings:
            largest = max(self._families.values(), key=lambda other: other.rows)
            held -= largest.rows
            largest.forget_oldest()
            held += largest.rows

    def _judge_older(
        self,
        part: CommitBlock,
        family: Family,
        device: NDArray[np.int32],
        older: NDArray[np.bool_],
        codes: _Verdicts,
    ) -> None:
        """Judge every reading of an instant that stands twice, or that may be held."""
        block = part.block
        keys = keys_of(device, block.time_ms)
        doubtful = np.flatnonzero(np.isin(keys, keys[older]))
        times = block.time_ms.tolist()
        wanted: list[Instant] = sorted({(int(device[row]), times[row]) for row in doubtful})
        held = family.find(wanted)
        above = family.complete_above
        instants, asked = self._prepared.get((block.site, block.family), (set(), {}))
        unsure = [instant for instant in wanted if instant[1] <= above[instant[0]]]
        missing = [instant for instant in unsure if instant not in instants]
        more = ask_store(self._store, block.site, block.family, family.names, missing)
        for instant in unsure:
            values = asked.get(instant) or more.get(instant)
            if values:
                # What memory says is younger: it may not have reached the store yet.
                held[instant] = {**values, **held.get(instant, {})}
        columns = [(name, column) for name, column in block.values.items()]
        for row in doubtful.tolist():
            reading = {
                name: value for name, column in columns if (value := float(column[row])) == value
            }
            known = held.setdefault((int(device[row]), times[row]), {})
            codes[row] = judge(known, reading, correction=part.correction)
            if codes[row] == STORED:
                known.update(reading)


def ask_store(
    store: TimeSeriesStore,
    site: str,
    family: str,
    names: Sequence[str],
    wanted: Sequence[Instant],
) -> Held:
    """What a store holds at these instants: (device position, time) -> metric -> value.

    Args:
        names: Device names by position.

    Raises:
        StoreError: The store could not be asked.
    """
    held: Held = {}
    if not wanted:
        return held
    devices = sorted({device for device, _ in wanted})
    times = np.unique(np.array([time_ms for _, time_ms in wanted], np.int64))
    runs = np.split(times, np.flatnonzero(np.diff(times) > _APART_MS) + 1)
    few = len(devices) == 1 and len(times) <= _FEW
    if few or (len(runs) > _MOST_RUNS and len(devices) <= _MOST_RUNS):
        for device in devices:
            found = store.read_instants(
                site,
                family,
                names[device],
                [time_ms for of, time_ms in wanted if of == device],
            )
            for time_ms, values in found.items():
                held[device, time_ms] = dict(values)
        return held
    asked = set(wanted)
    positions = {names[device]: device for device in devices}
    # Naming most devices of a family costs a store more than reading them all.
    named = list(positions) if len(devices) <= _FEW else None
    for run in runs:
        period = Period.of_ms(int(run[0]), int(run[-1]) + 1)
        for series in store.read_samples(site, family, period, devices=named):
            device = positions.get(series.key.device, -1)
            hits = np.flatnonzero(np.isin(series.time_ms, run)) if device >= 0 else ()
            for hit in hits:
                instant = (device, int(series.time_ms[hit]))
                if instant in asked:
                    held.setdefault(instant, {})[series.key.metric] = float(series.value[hit])
    return held


def judge(known: Mapping[str, float], reading: Mapping[str, float], *, correction: bool) -> int:
    """The verdict of one reading against what is held at its instant."""
    if any(name in known and known[name] != value for name, value in reading.items()):
        return STORED if correction else CONFLICT
    return DUPLICATE if all(name in known for name in reading) else STORED
