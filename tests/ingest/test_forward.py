"""Spool to store: exactly once through every crash, with exact verdicts and a balanced ledger."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import pytest

from core.clock import FakeClock
from core.errors import (
    ConfigurationError,
    SpoolFullError,
    StoreMisconfiguredError,
    StoreRejectedError,
    StoreUnavailableError,
)
from core.ledger import LedgerCounts
from core.periods import Period, to_ms
from core.samples import ReadingBlock
from core.site_files import build_registry
from ingest.forward import Forwarder
from ingest.intake import Intake
from ingest.ledger import read_ledger
from ingest.messages import RawMessage
from ingest.quarantine_work import QuarantineWork
from ingest.spool import Spool
from ingest.spool_files import spool_path
from storage.embedded.store import EmbeddedStore
from storage.records.store import Records
from tests.ingest.registry import REGISTRY_FILE

NOW = datetime(2026, 11, 20, 0, 15, 10, tzinfo=UTC)
REGISTRY = build_registry({"test": REGISTRY_FILE})
TOPIC = "greendc/v1/test-dc/energy/grid-a"


class CrashError(Exception):
    """The process dies here."""


class FaultyStore:
    """The real embedded store with faults in front."""

    def __init__(self, store: EmbeddedStore) -> None:
        self.store = store
        self.fault: Callable[[Sequence[ReadingBlock]], None] | None = None
        self.writes = 0
        self.questions = 0

    def write_readings(self, blocks: Sequence[ReadingBlock]) -> None:
        self.writes += 1
        if self.fault is not None:
            self.fault(blocks)
        self.store.write_readings(blocks)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("read_"):
            self.questions += 1
        return getattr(self.store, name)


@dataclass
class Bench:
    folder: Path
    clock: FakeClock
    store: FaultyStore
    records: Records
    spool: Spool
    intake: Intake
    failpoint: Callable[[str], None] = lambda name: None

    def __post_init__(self) -> None:
        self.forwarder = self.new_forwarder()

    @classmethod
    @contextmanager
    def opened(cls, folder: Path) -> Iterator[Self]:
        """A bench on new files in a folder."""
        store = EmbeddedStore(folder / "store", 0, role="all")
        records = Records.open(f"sqlite:///{folder / 'records.sqlite'}")
        made = cls(
            folder,
            FakeClock(NOW),
            FaultyStore(store),
            records,
            Spool(folder / "spool", 0),
            Intake(REGISTRY, site_readings_per_s=1e6),
        )
        yield made
        made.spool.close()
        records.close()
        store.close()

    def new_forwarder(self) -> Forwarder:
        return Forwarder(
            self.spool,
            self.store,
            self.records,
            failpoint=lambda name: self.failpoint(name),  # noqa: PLW0108 - it is exchanged later
        )

    def restart(self) -> None:
        """A new life of the process on the same files."""
        self.spool.close()
        self.spool = Spool(self.folder / "spool", 0)
        self.intake = Intake(REGISTRY, site_readings_per_s=1e6)
        self.forwarder = self.new_forwarder()

    def receive(self, *documents: Any, topic: str = TOPIC) -> None:
        now_ms = self.clock.now_ms()
        messages = [RawMessage(topic, json.dumps(d).encode(), now_ms) for d in documents]
        self.spool.append(self.intake.take(messages), now_ms)

    def drain(self) -> None:
        while self.forwarder.forward_once():
            pass

    def held(
        self, device: str = "grid-a", metric: str = "active_power_kw"
    ) -> list[tuple[int, float]]:
        period = Period(NOW - timedelta(days=60), NOW + timedelta(days=1))
        found = self.store.read_samples(
            "test-dc", "energy", period, devices=[device], metrics=[metric]
        )
        return [
            pair for s in found for pair in zip(s.time_ms.tolist(), s.value.tolist(), strict=True)
        ]

    def ledger(self) -> LedgerCounts:
        period = Period(NOW - timedelta(days=1), NOW + timedelta(days=1))
        hours = read_ledger(self.records, self.folder / "spool", "test-dc", period)
        assert all(hour.counts.balanced for hour in hours), hours
        return sum((hour.counts for hour in hours), LedgerCounts())


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Bench.opened(tmp_path) as made:
        yield made


def reading(seconds: float, value: float, metric: str = "active_power_kw", **more: Any) -> Any:
    return {"ts": to_ms(NOW) - round(seconds * 1000), "values": {metric: value}, **more}


def at(seconds: float) -> int:
    return to_ms(NOW) - round(seconds * 1000)


def test_new_duplicate_conflicting_and_gaining(bench: Bench) -> None:
    bench.receive(reading(60, 1.0), reading(50, 2.0), reading(60, 1.0))
    assert bench.ledger() == LedgerCounts(received=3, spooled=3)
    bench.drain()
    assert bench.ledger() == LedgerCounts(received=3, stored=2, duplicate=1)
    bench.receive(reading(50, 2.0), reading(50, 2.5), reading(50, 9.0, "active_energy_kwh"))
    bench.drain()
    assert bench.held() == [(at(60), 1.0), (at(50), 2.0)]
    assert bench.held(metric="active_energy_kwh") == [(at(50), 9.0)]
    assert bench.ledger() == LedgerCounts(received=6, stored=3, duplicate=2, quarantined=1)
    (entry,) = bench.records.read_quarantine()
    assert entry.reason == "conflicting_value"
    assert json.loads(entry.payload)["values"] == {"active_power_kw": 2.5}
    assert entry.topic == TOPIC


def test_a_redelivered_commit_and_a_late_reading_after_a_restart(bench: Bench) -> None:
    bench.receive(*[reading(100 - n, float(n)) for n in range(50)])
    bench.drain()
    bench.restart()
    bench.receive(*[reading(100 - n, float(n)) for n in range(50)], reading(3000, 7.0))
    bench.drain()
    assert len(bench.held()) == 51
    counts = bench.ledger()
    assert (counts.stored, counts.duplicate, counts.late) == (51, 50, 1)


def test_a_long_group_after_a_restart_asks_the_store_once(bench: Bench) -> None:
    """Commit by commit, a store that fails one question in twenty would let none through."""
    bench.receive(*[reading(100 - n, float(n)) for n in range(50)])
    bench.drain()
    bench.restart()
    for n in range(150):
        # What was held, in between what is new; each new one comes again later.
        bench.receive(reading(49 - n / 10, float(n)), reading(100 - n % 50, float(n % 50)))
    for n in range(0, 150, 3):
        bench.receive(reading(49 - n / 10, float(n)), reading(49 - n / 10, -1.0))
    bench.store.questions = 0
    bench.drain()
    # What the site has, and what stands at these instants.
    assert bench.store.questions == 2
    counts = bench.ledger()
    assert (counts.stored, counts.duplicate, counts.quarantined) == (200, 200, 50)
    assert bench.held() == [
        *[(at(100 - n), float(n)) for n in range(50)],
        *[(at(49 - n / 10), float(n)) for n in range(150)],
    ]


def test_a_crash_after_judging_nothing_but_duplicates(bench: Bench) -> None:
    """What was sent again after a crash, and judged before another: no reading of it is stored."""
    bench.receive(*[reading(100 - n, float(n)) for n in range(5)])
    bench.drain()
    bench.restart()
    bench.receive(*[reading(100 - n, float(n)) for n in range(5)])

    def die(name: str) -> None:
        if name == "write":
            raise CrashError

    bench.failpoint = die
    with pytest.raises(CrashError):
        bench.drain()
    bench.failpoint = lambda name: None
    bench.restart()
    bench.receive(reading(10, 7.0))
    bench.drain()
    counts = bench.ledger()
    assert (counts.stored, counts.duplicate, counts.spooled) == (6, 5, 0)


def test_a_lost_spool_beside_a_store_that_is_not(bench: Bench) -> None:
    bench.receive(reading(60, 1.0))
    bench.drain()
    bench.spool.close()
    for path in (bench.folder / "spool").iterdir():
        path.unlink()
    bench.spool = Spool(bench.folder / "spool", 0)
    bench.intake = Intake(REGISTRY, site_readings_per_s=1e6)
    bench.forwarder = bench.new_forwarder()
    bench.receive(reading(60, 1.0), reading(60, 3.0))
    bench.drain()
    assert bench.held() == [(at(60), 1.0)]
    assert [entry.reason for entry in bench.records.read_quarantine()] == ["conflicting_value"]


@pytest.mark.parametrize("step", ["classify", "write", "book", "forget"])
@pytest.mark.parametrize("times", [1, 3])
def test_a_crash_at_every_step_changes_no_verdict(bench: Bench, step: str, times: int) -> None:
    bench.receive(reading(60, 1.0), reading(50, 2.0))
    bench.drain()
    bench.receive(reading(50, 2.0), reading(40, 3.0), reading(50, 8.0), reading(30, 4.0))
    bench.receive(reading(40, 3.0), reading(20, 5.0), topic=TOPIC)

    def die(name: str) -> None:
        if name == step:
            raise CrashError

    bench.failpoint = die
    with pytest.raises(CrashError):
        bench.forwarder.forward_once()
    for _ in range(times):
        bench.restart()
        # What was booked before the crash is only forgotten now, and that ends without a crash.
        with suppress(CrashError):
            bench.forwarder.forward_once()
        counts = bench.ledger()
        assert counts.received == 8
    bench.failpoint = lambda name: None
    bench.drain()
    assert [value for _, value in bench.held()] == [1.0, 2.0, 3.0, 4.0, 5.0]
    expected = LedgerCounts(received=8, stored=5, duplicate=2, quarantined=1)
    assert bench.ledger() == expected
    assert len(bench.records.read_quarantine()) == 1


def test_a_crash_after_the_store_answered_is_no_duplicate(bench: Bench) -> None:
    bench.receive(reading(60, 1.0))

    def lost_reply(blocks: Sequence[ReadingBlock]) -> None:
        bench.store.fault = None
        bench.store.store.write_readings(blocks)
        raise StoreUnavailableError("reset after the write")

    bench.store.fault = lost_reply
    with pytest.raises(StoreUnavailableError):
        bench.forwarder.forward_once()
    bench.restart()
    bench.drain()
    assert bench.ledger() == LedgerCounts(received=1, stored=1)


@pytest.mark.parametrize("poison", [0, 1, 24, 49])
def test_one_poisoned_reading_takes_no_neighbour_with_it(bench: Bench, poison: int) -> None:
    bench.receive(*[reading(100 - n, float(n)) for n in range(50)])

    def refuse(blocks: Sequence[ReadingBlock]) -> None:
        if any((block.values["active_power_kw"] == poison).any() for block in blocks):
            raise StoreRejectedError("unable to parse")

    bench.store.fault = refuse
    bench.drain()
    assert len(bench.held()) == 49
    assert bench.ledger() == LedgerCounts(received=50, stored=49, quarantined=1)
    (entry,) = bench.records.read_quarantine()
    assert entry.reason == "refused_by_store"
    kept = json.loads(entry.payload)
    kept = kept[0] if isinstance(kept, list) else kept
    assert kept["values"] == {"active_power_kw": float(poison)}


def test_replay_moves_a_reading_to_its_own_hour_and_only_once(bench: Bench) -> None:
    bench.receive(reading(60, 1.0), reading(60, 2.0))
    bench.drain()
    (entry,) = bench.records.read_quarantine()
    work = QuarantineWork(
        bench.records,
        bench.clock,
        owns=lambda site: True,
        take_again=lambda e, correction: bench.intake.take_all_again(e, correction=correction),
        append=lambda commit: bench.spool.append(commit, bench.clock.now_ms()),
        settle=lambda number: bench.drain() is None,
    )

    def ask(action: str, *, correction: bool = False) -> str:
        number = bench.records.request_quarantine_work(
            action,
            [entry.id],
            as_correction=correction,
            requested_by="kim",
            note="meter log",
            now=bench.clock.now(),
        )
        assert work.run_once() == 1
        return bench.records.read_quarantine_request(number).outcome[entry.id]

    bench.clock.advance(timedelta(days=40))
    assert "conflicting_value" in ask("replay")
    assert bench.held() == [(at(60), 1.0)]
    assert ask("replay", correction=True) == "replayed"
    assert bench.held() == [(at(60), 2.0)]
    assert ask("replay", correction=True) == "already replayed"
    counts = bench.ledger()
    assert counts == LedgerCounts(received=2, stored=2)
    assert [e.id for e in bench.records.read_quarantine()] == []


def test_discarded_readings_stay_quarantined_and_are_shown(bench: Bench) -> None:
    bench.receive({"ts": "yesterday", "values": {}})
    bench.drain()
    (entry,) = bench.records.read_quarantine()
    assert bench.records.discard_quarantine(entry.id, by="kim", note="test", now=NOW)
    assert bench.ledger() == LedgerCounts(received=1, quarantined=1, discarded=1)


def test_a_damaged_row_costs_its_own_commit_and_says_which(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    import sqlite3

    for n in range(3):
        bench.receive(reading(60 - n, float(n)))
    connection = sqlite3.connect(spool_path(bench.folder / "spool", 0))
    first = bench.spool.last_number - 2
    packed = bytearray(
        connection.execute("SELECT packed FROM commits WHERE number=?", (first + 1,)).fetchone()[0]
    )
    packed[len(packed) // 2] ^= 1
    connection.execute("UPDATE commits SET packed=? WHERE number=?", (bytes(packed), first + 1))
    connection.commit()
    connection.close()
    bench.drain()
    assert [value for _, value in bench.held()] == [0.0, 2.0]
    assert f"commit {first + 1} is damaged" in caplog.text
    # It is not forgotten: it waits, counted, for a person.
    assert bench.ledger() == LedgerCounts(received=3, stored=2, spooled=1)
    assert bench.spool.set_aside() == [(first + 1, 1, "the checksum differs")]


def test_two_processes_on_copies_of_a_spool_are_noticed(bench: Bench) -> None:
    bench.receive(reading(60, 1.0))
    bench.drain()
    bench.spool.close()
    shutil.copytree(bench.folder / "spool", bench.folder / "copy")
    bench.restart()
    other = Spool(bench.folder / "copy", 0)
    rival = Forwarder(other, bench.store, bench.records)
    now_ms = bench.clock.now_ms()
    message = RawMessage(TOPIC, json.dumps(reading(40, 3.0)).encode(), now_ms)
    other.append(bench.intake.take([message]), now_ms)
    bench.receive(reading(50, 2.0))
    bench.drain()
    # Under a number that is booked: it must not pass for booked, and not be forgotten.
    for _ in range(3):
        with pytest.raises(StoreMisconfiguredError, match="copy of its spool"):
            rival.forward_once()
        assert len(other.pending(readings=10)) == 1
    other.close()


def test_two_processes_do_not_share_a_spool(bench: Bench) -> None:
    import os

    with pytest.raises(ConfigurationError, match=rf"held by the process {os.getpid()}"):
        Spool(bench.folder / "spool", 0)


def test_a_full_disk_keeps_nothing_half_and_goes_on_by_itself(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 0, max_pages=12)
    intake = Intake(REGISTRY, site_readings_per_s=1e6)
    numbers = []

    def fill() -> None:
        for n in range(10_000):
            message = RawMessage(TOPIC, json.dumps(reading(n, 1.0)).encode(), to_ms(NOW))
            numbers.append(spool.append(intake.take([message]), to_ms(NOW)))

    with pytest.raises(SpoolFullError, match="free space"):
        fill()
    waiting = spool.pending(readings=10**6, commits=10**6)
    assert [spooled.number for spooled in waiting] == numbers
    assert len(numbers) > 5
    spool.remove(spooled.number for spooled in waiting)
    message = RawMessage(TOPIC, json.dumps(reading(0, 1.0)).encode(), to_ms(NOW))
    assert spool.append(intake.take([message]), to_ms(NOW)) == numbers[-1] + 1
    spool.close()


def test_a_site_above_its_cap_is_refused_and_another_is_not(tmp_path: Path) -> None:
    intake = Intake(REGISTRY, site_readings_per_s=1)
    now_ms = to_ms(NOW)

    def take(count: int, later_s: int = 0) -> list[str]:
        received = now_ms + later_s * 1000
        rows = [reading(100 - n - later_s, 1.0, device="grid-a") for n in range(count)]
        message = RawMessage("greendc/v1/test-dc/energy", json.dumps(rows).encode(), received)
        commit = intake.take([message])
        assert all(hour.counts.balanced for hour in commit.hours)
        return [entry.reason for entry in commit.quarantined]

    assert take(60) == []
    assert take(1) == ["rate_cap"]
    assert take(10, later_s=10) == []
