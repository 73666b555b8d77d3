"""A day without the store: the spool stays inside its bound, and empties with little memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from core.errors import SpoolFullError, StoreUnavailableError
from core.ledger import HOUR_MS, LedgerCounts, LedgerHour
from core.periods import Period, to_ms
from core.samples import ReadingBlock, Sample
from ingest.commits import Commit, CommitBlock
from ingest.forward import Forwarder
from ingest.ledger import read_ledger
from ingest.limits import MIB
from ingest.spool import Spool
from storage.records.store import Records

START = to_ms(datetime(2026, 11, 20, tzinfo=UTC))
SITE = "test-dc"
DEVICES = tuple(f"meter-{n:04d}" for n in range(1000))


class CountingStore:
    """Keeps nothing of what it is given but how much it was, and when it came."""

    def __init__(self) -> None:
        self.is_away = True
        self.readings = 0
        self.total = 0.0
        self.newest = -1

    def read_latest(self, site: str) -> list[Sample]:
        return []

    def write_readings(self, blocks: Sequence[ReadingBlock]) -> None:
        if self.is_away:
            raise StoreUnavailableError("away")
        for block in blocks:
            assert int(block.time_ms.min()) > self.newest
            self.readings += len(block)
            self.total += float(block.values["active_power_kw"].sum())
        self.newest = max(int(block.time_ms.max()) for block in blocks)


def memory_mark() -> int:
    """Resident bytes; from here on `memory_peak` counts anew."""
    Path("/proc/self/clear_refs").write_text("5")
    return memory_peak()


def memory_peak() -> int:
    """Most resident bytes since the mark."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise AssertionError


def commit_at(second: int, chance: np.random.Generator) -> tuple[Commit, int]:
    """Five seconds of a thousand meters, each a little other than before."""
    received = START + second * 1000
    times = np.repeat(received + 1000 * np.arange(5), len(DEVICES))
    values = np.round(500 + chance.normal(0, 20, len(times)), 1)
    index = np.tile(np.arange(len(DEVICES), dtype=np.int32), 5)
    quality = np.zeros(len(times), np.int8)
    block = ReadingBlock(
        SITE, "energy", DEVICES, index, times, quality, {"active_power_kw": values}
    )
    none = np.zeros(len(times), np.int32)
    hour = received - received % HOUR_MS
    counts = LedgerCounts(received=len(times), spooled=len(times))
    return Commit(
        [CommitBlock(block, received, none, none)], [LedgerHour(SITE, hour, counts)]
    ), len(times)


def outage(folder: Path, seconds: int, bound: int) -> None:
    records = Records.open(f"sqlite:///{folder / 'records.sqlite'}")
    store = CountingStore()
    spool = Spool(folder / "spool", 0, max_bytes=bound)
    forwarder = Forwarder(spool, store, records)  # type: ignore[arg-type]
    chance = np.random.default_rng(1)
    taken = refused = 0
    total = 0.0
    words: set[str] = set()
    for second in range(0, seconds, 5):
        commit, readings = commit_at(second, chance)
        try:
            spool.append(commit, START + second * 1000)
        except SpoolFullError as error:
            # Nothing of it was kept, and nothing that was kept is dropped for it.
            words.add(str(error).partition(" wait, ")[2])
            refused += readings
            continue
        taken += readings
        total += float(commit.blocks[0].block.values["active_power_kw"].sum())
        if second % 500 == 0:
            with pytest.raises(StoreUnavailableError):
                forwarder.forward_once()
    assert refused > 0
    assert all(text.startswith(f"{bound} are allowed") for text in words)
    assert spool.backlog() == (taken, START)
    size = sum(path.stat().st_size for path in (folder / "spool").iterdir())
    # The file, and SQLite's log beside it.
    assert size <= bound + 8 * MIB
    print(f"{spool.used_bytes() / taken:.2f} bytes a reading, {taken} readings")
    store.is_away = False
    before = memory_mark()
    while forwarder.forward_once():
        pass
    grown = memory_peak() - before
    print(f"drained with {grown / MIB:.0f} MiB more")
    assert grown < 96 * MIB
    assert store.readings == taken
    assert store.total == pytest.approx(total)
    day = datetime(2026, 11, 20, tzinfo=UTC)
    period = Period(day, day + timedelta(days=2))
    hours = read_ledger(records, folder / "spool", SITE, period)
    counts = sum((hour.counts for hour in hours), LedgerCounts())
    assert counts == LedgerCounts(received=taken, stored=taken)
    # And there is room again.
    spool.append(commit_at(seconds, chance)[0], START + seconds * 1000)
    spool.close()
    records.close()


def test_an_outage_fills_the_spool_to_its_bound_and_no_further(tmp_path: Path) -> None:
    outage(tmp_path, 500, MIB)


@pytest.mark.acceptance
@pytest.mark.timeout(3000)
def test_an_outage_of_a_day(tmp_path: Path) -> None:
    outage(tmp_path, 86_400, 200 * MIB)


def test_refusals_do_not_look_through_the_readings_of_an_outage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path, 0)
    plan: Callable[[str], str] = lambda text: " ".join(  # noqa: E731
        str(row) for row in spool._reader.execute(f"EXPLAIN QUERY PLAN {text}", (9,))
    )
    from ingest.spool import _CHOOSE

    assert "refusals" in plan(_CHOOSE[1])
    assert "refusals" not in plan(_CHOOSE[0])
    spool.close()
