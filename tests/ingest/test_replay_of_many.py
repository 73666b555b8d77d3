"""Mending and replaying: many entries as one commit, another registry without a restart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.clock import FakeClock
from core.ledger import LedgerCounts
from core.periods import to_ms
from core.site_files import build_registry
from ingest.intake import Intake
from ingest.mapping_files import build_mappings
from ingest.mappings import NO_MAPPINGS
from ingest.messages import RawMessage
from ingest.quarantine_work import QuarantineWork
from ingest.spool import Spool
from storage.embedded.store import EmbeddedStore
from storage.records.store import Records
from tests.ingest.registry import MAPPING_FILE, REGISTRY_FILE
from tests.ingest.test_forward import NOW, REGISTRY, TOPIC, Bench, FaultyStore, at, reading

SITE = "test-dc"
WIDER = build_registry({"test": REGISTRY_FILE.replace('id = "grid-b"', 'id = "grid-c"')})
_ONE_MORE = """
[[devices]]
id = "aaa"
family = "energy"
role = "grid_feed"
metrics = ["active_power_kw"]
cadence_s = 10
valid_from = 2026-01-01

"""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    store = EmbeddedStore(tmp_path / "store", 0, role="all")
    records = Records.open(f"sqlite:///{tmp_path / 'records.sqlite'}")
    intake = Intake(REGISTRY, site_readings_per_s=1e6)
    made = Bench(
        tmp_path, FakeClock(NOW), FaultyStore(store), records, Spool(tmp_path / "spool", 0), intake
    )
    yield made
    made.spool.close()
    records.close()
    store.close()


class Worker:
    """The work on the quarantine over a bench, counting the commits that it makes."""

    def __init__(self, bench: Bench, owns: Callable[[str], bool] = lambda site: True) -> None:
        self.bench = bench
        self.commits = 0
        self.is_away = False
        self.work = QuarantineWork(
            bench.records,
            bench.clock,
            owns=owns,
            take_again=lambda entries, correction: bench.intake.take_all_again(
                entries, correction=correction
            ),
            append=self.append,
            settle=lambda number: not self.is_away and bench.drain() is None,
        )

    def append(self, commit: Any) -> int:
        self.commits += 1
        return self.bench.spool.append(commit, self.bench.clock.now_ms())

    def ask(self, action: str, ids: list[str], *, correction: bool = False) -> dict[str, str]:
        number = self.file(action, ids, correction=correction)
        assert self.work.run_once() == 1
        return self.bench.records.read_quarantine_request(number).outcome

    def file(self, action: str, ids: list[str], *, correction: bool = False) -> int:
        return self.bench.records.request_quarantine_work(
            action,
            ids,
            as_correction=correction,
            requested_by="kim",
            note="meter log",
            now=self.bench.clock.now(),
        )


def held(bench: Bench, device: str) -> list[tuple[int, float]]:
    return bench.held(device)


def test_a_device_that_was_declared_meanwhile_is_replayed_in_one_commit(bench: Bench) -> None:
    unknown = [reading(seconds, float(seconds), device="grid-c") for seconds in range(700, 0, -1)]
    gateway = f"greendc/v1/{SITE}/energy"
    bench.receive(*unknown, topic=gateway)
    bench.receive({"ts": "no time", "device": "grid-c"}, topic=gateway)
    bench.drain()
    ids = bench.records.read_quarantine_ids(sites=[SITE])
    worker = Worker(bench)
    refused = worker.ask("replay", ids)
    assert all(text.startswith("still refused") for text in refused.values())
    assert worker.commits == 0

    bench.intake.exchange(WIDER, NO_MAPPINGS, received_before_ms=bench.clock.now_ms())
    outcome = worker.ask("replay", [*ids, "q99999999"])
    assert outcome.pop("q99999999") == "no such entry"
    assert [text for text in outcome.values() if text != "replayed"] == [outcome[ids[-1]]]
    assert outcome[ids[-1]].startswith("still refused: ")
    # 701 entries: two portions, a commit each.
    assert worker.commits == 2
    assert held(bench, "grid-c") == [(at(s), float(s)) for s in range(700, 0, -1)]
    assert bench.ledger() == LedgerCounts(received=701, stored=700, quarantined=1)
    assert worker.ask("replay", ids[:2]) == dict.fromkeys(ids[:2], "already replayed")
    assert bench.records.verify_audit() is None


def test_each_entry_of_a_joined_commit_keeps_its_own_outcome_and_bytes(bench: Bench) -> None:
    bench.receive(*[reading(60 + n, 1.0) for n in range(4)])
    bench.drain()
    for n in range(4):
        bench.receive(reading(60 + n, 2.0 if n % 2 else 1.0), reading(60 + n, 3.0))
    bench.drain()
    entries = bench.records.read_quarantine()
    worker = Worker(bench)
    ids = sorted(entry.id for entry in entries)
    assert len(ids) == 6
    outcome = worker.ask("replay", ids)
    assert all("conflicting_value" in text for text in outcome.values())
    assert worker.commits == 1
    # The bytes of each are still those of its own message.
    assert {entry.id: entry.payload for entry in bench.records.read_quarantine()} == {
        entry.id: entry.payload for entry in entries
    }
    by_value = [entry.id for entry in entries if b"3.0" in entry.payload]
    assert set(worker.ask("replay", sorted(by_value), correction=True).values()) == {"replayed"}
    assert bench.held() == [(at(60 + n), 3.0) for n in (3, 2, 1, 0)]
    assert bench.ledger().balanced


def test_a_store_that_is_away_is_waited_for_once(bench: Bench) -> None:
    bench.receive(*[reading(n, 1.0, device="grid-c") for n in range(1, 1200)],
                  topic=f"greendc/v1/{SITE}/energy")  # fmt: skip
    bench.drain()
    bench.intake.exchange(WIDER, NO_MAPPINGS, received_before_ms=bench.clock.now_ms())
    worker = Worker(bench)
    worker.is_away = True
    outcome = worker.ask("replay", bench.records.read_quarantine_ids())
    assert {text.partition(";")[0] for text in outcome.values()} == {"accepted"}
    bench.drain()
    assert bench.ledger() == LedgerCounts(received=1199, stored=1199)
    assert bench.records.read_quarantine() == []


def test_many_are_discarded_at_once(bench: Bench) -> None:
    bench.receive(*["nonsense"] * 30)
    bench.drain()
    ids = bench.records.read_quarantine_ids()
    assert set(Worker(bench).ask("discard", ids).values()) == {"discarded"}
    assert bench.ledger() == LedgerCounts(received=30, quarantined=30, discarded=30)
    (told, *_) = bench.records.read_audit(limit=1)
    assert (told.actor, told.action) == ("kim", "quarantine.discard")
    assert told.outcome == "30 discarded: meter log"


def test_a_request_is_left_to_whoever_owns_its_site(bench: Bench) -> None:
    bench.receive("nonsense")
    bench.drain()
    ids = bench.records.read_quarantine_ids()
    worker = Worker(bench, owns=lambda site: site != SITE)
    number = worker.file("discard", ids)
    assert worker.work.run_once() == 0
    assert bench.records.read_quarantine_request(number).state == "waiting"


# ------------------------------------------------------------ another registry


def test_newest_times_follow_their_devices_into_another_table(bench: Bench) -> None:
    """A reading that contradicts one from before the exchange keeps its bytes."""
    bench.receive(reading(10, 5.0))
    bench.drain()
    # One more device, before all others in the table of its family.
    more = REGISTRY_FILE.replace("[[devices]]", f"{_ONE_MORE}[[devices]]", 1)
    bench.intake.exchange(
        build_registry({"test": more}), NO_MAPPINGS, received_before_ms=bench.clock.now_ms()
    )
    bench.receive(reading(10, 6.0))
    bench.drain()
    (entry,) = bench.records.read_quarantine()
    assert entry.topic == TOPIC
    assert bench.held() == [(at(10), 5.0)]


def test_other_mappings_hold_from_the_next_message_on(bench: Bench) -> None:
    topic = f"telegraf/{SITE}/meters/gw"
    line = f"modbus,slave_id=1,type=holding_register power=5000 {to_ms(NOW)}000000".encode()
    message = RawMessage(topic, line, bench.clock.now_ms())
    refused = bench.intake.take([message])
    assert [entry.reason for entry in refused.quarantined] == ["unknown_topic"]
    mappings = build_mappings({"test": MAPPING_FILE})
    bench.intake.exchange(REGISTRY, mappings, received_before_ms=bench.clock.now_ms())
    # For a replay at once, without a message in between.
    entry = replace(refused.quarantined[0], id="q00000001")
    commit, refusals = bench.intake.take_again(entry, correction=False)
    assert (commit.readings, refusals) == (1, [])
    assert bench.intake.take([message]).readings == 1
    bench.intake.exchange(REGISTRY, NO_MAPPINGS, received_before_ms=bench.clock.now_ms())
    assert bench.intake.take([message]).readings == 0


def test_a_device_that_is_gone_is_refused_and_one_that_is_spooled_is_stored(bench: Bench) -> None:
    bench.receive(reading(10, 5.0, device="grid-b"), topic=f"greendc/v1/{SITE}/energy")
    bench.intake.exchange(WIDER, NO_MAPPINGS, received_before_ms=bench.clock.now_ms())
    bench.forwarder.exchange(WIDER)
    bench.receive(reading(5, 5.0, device="grid-b"), topic=f"greendc/v1/{SITE}/energy")
    bench.drain()
    assert held(bench, "grid-b") == [(at(10), 5.0)]
    assert bench.ledger() == LedgerCounts(received=2, stored=1, quarantined=1)
