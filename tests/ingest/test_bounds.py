"""One site can neither fill the ingester's memory nor keep another's readings from the store."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from core.clock import FakeClock
from core.errors import StoreUnavailableError
from core.ids import PROBE_SITE
from core.ledger import LedgerCounts
from core.periods import Period, to_ms
from core.site_files import build_registry
from ingest import bulk_client, forward, intake
from ingest.bulk_client import BulkClient
from ingest.forward import Forwarder
from ingest.intake import Intake
from ingest.ledger import read_ledger
from ingest.messages import RawMessage
from ingest.partition import filters_of
from ingest.probe_site import probe_topic, with_probe_site
from ingest.spool import Spool
from storage.embedded.store import EmbeddedStore
from storage.records.store import Records
from tests.ingest.registry import REGISTRY_FILE

NOW = datetime(2026, 11, 20, 0, 15, 10, tzinfo=UTC)
NOW_MS = to_ms(NOW)
HOUR = Period(datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 20, 1, tzinfo=UTC))
REGISTRY = build_registry(
    {"a": REGISTRY_FILE, "b": REGISTRY_FILE.replace('"test-dc"', '"other-dc"')}
)
A, B = "test-dc", "other-dc"


def reading(device: str, site: str = A, time_ms: int = NOW_MS, **members: object) -> RawMessage:
    body = {"ts": time_ms, "values": {"active_power_kw": 1.0}, **members}
    return RawMessage(f"greendc/v1/{site}/energy/{device}", json.dumps(body).encode(), NOW_MS)


class World:
    """Intake, spool, store and records of one partition, without a broker."""

    def __init__(self, folder: Path, *, site_readings_per_s: float = 100_000) -> None:
        self.clock = FakeClock(NOW)
        self.spool = Spool(folder / "spool", 0, clock=self.clock)
        self.spool_dir = folder / "spool"
        self.store = EmbeddedStore(folder / "timeseries", 400, role="all")
        self.records = Records.open(f"sqlite:///{folder / 'records.sqlite'}")
        known = with_probe_site(REGISTRY, 0)
        self.intake = Intake(known, site_readings_per_s=site_readings_per_s)
        self.forwarder = Forwarder(self.spool, self.store, self.records, registry=known)

    def take(self, messages: list[RawMessage]) -> None:
        self.spool.append(self.intake.take(messages), NOW_MS)

    def ledger(self, site: str) -> LedgerCounts:
        hours = read_ledger(self.records, self.spool_dir, site, HOUR)
        counts = sum((hour.counts for hour in hours), LedgerCounts())
        assert counts.balanced
        return counts

    def drain(self) -> None:
        while self.forwarder.forward_once():
            pass

    def close(self) -> None:
        self.spool.close()
        self.store.close()
        self.records.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def send_made_up_ids(world: World, count: int) -> None:
    for batch in range(count // 1_000):
        names = [f"made-up-{batch}-{number}" for number in range(1_000)]
        commit = world.intake.take([reading(name) for name in names])
        assert commit.readings == 0
        assert sum(entry.count for entry in commit.quarantined) == 1_000
        assert {entry.reason for entry in commit.quarantined} == {"unknown_device"}


def test_made_up_device_ids_make_no_series_and_drive_nothing_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "_MOST_OTHER_TOPICS", 1_500)
    world.take([reading("grid-a"), reading("grid-a", B)])
    declared = dict(world.intake._topics)
    send_made_up_ids(world, 4_000)
    assert 0 < len(world.intake._other_topics) <= 1_500
    # What the other site needs is still remembered: its messages cost what they did.
    assert {text: world.intake._topics[text] for text in declared} == declared
    world.take([reading("grid-b", B)])
    world.drain()
    assert devices(world, A) == {"grid-a"}
    assert devices(world, B) == {"grid-a", "grid-b"}


def devices(world: World, site: str) -> set[str]:
    return {series.key.device for series in world.store.read_samples(site, "energy", HOUR)}


@pytest.mark.acceptance
@pytest.mark.timeout(1200)
def test_a_hundred_thousand_device_ids_fill_no_memory(world: World) -> None:
    send_made_up_ids(world, 5_000)
    before = psutil.Process().memory_info().rss
    send_made_up_ids(world, 100_000)
    assert psutil.Process().memory_info().rss - before < 64 * 1024**2
    assert devices(world, A) == set()


def test_nonsense_of_one_site_keeps_no_reading_of_another_from_the_store(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forward, "_REFUSED_BYTES", 4_096)
    for batch in range(10):
        world.take([reading(f"made-up-{batch}-{number}") for number in range(100)])
    world.take([reading("grid-a", B)])
    world.forwarder.forward_once()
    assert world.store.read_instants(B, "energy", "grid-a", [NOW_MS])
    booked = sum(count for count, _ in world.records.count_open_quarantine().values())
    assert 0 < booked < 900, "most of the nonsense still waits, and is not in front of it"
    world.drain()
    assert world.records.count_open_quarantine() == {A: (1_000, 1_000)}
    assert world.ledger(A) == LedgerCounts(received=1_000, quarantined=1_000)
    assert world.ledger(B) == LedgerCounts(received=1, stored=1)


def test_a_store_that_is_away_does_not_hold_refusals_back(world: World) -> None:
    def away(*_: object) -> None:
        raise StoreUnavailableError("away")

    world.take([reading(f"made-up-{number}") for number in range(10)])
    world.take([reading("grid-a", B)])
    world.store.write_readings = away  # type: ignore[method-assign]
    with suppress(StoreUnavailableError):
        world.forwarder.forward_once()
    assert world.records.count_open_quarantine() == {A: (10, 10)}


def test_the_cap_of_one_site_is_no_cap_of_another(tmp_path: Path) -> None:
    world = World(tmp_path, site_readings_per_s=1.0)
    try:
        chance = random.Random(5)
        messages = [reading("grid-a", A, NOW_MS - 1000 * n) for n in range(500)]
        messages += [reading("grid-a", B, NOW_MS - 1000 * n) for n in range(50)]
        chance.shuffle(messages)
        world.take(messages)
        world.drain()
        flooded = world.ledger(A)
        assert (flooded.stored, flooded.quarantined) == (60, 440)
        assert world.ledger(B) == LedgerCounts(received=50, stored=50)
    finally:
        world.close()


def test_names_without_end_are_counted_together(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "_MOST_IGNORED_NAMES", 100)
    monkeypatch.setattr(intake, "_MOST_UNKNOWN_SITES", 50)
    for batch in range(4):
        number = range(batch * 100, batch * 100 + 100)
        world.take([reading("grid-a", time_ms=NOW_MS - n, **{f"member-{n}": 1}) for n in number])
        world.take([reading("grid-a", f"nowhere-{n}") for n in number])
    world.drain()
    seen = world.records.read_ignored_members()
    assert len(seen) == 101
    assert seen["(other names)"] == 300
    assert sum(seen.values()) == 400
    # Every message of a site that does not exist is in some ledger: 50 of their own, one for all.
    assert world.ledger("nowhere-7") == LedgerCounts(received=1, rejected=1)
    assert world.ledger("nowhere-70") == LedgerCounts()
    assert world.ledger("") == LedgerCounts(received=350, rejected=350)


def test_decoded_topics_are_bounded_by_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_client, "_TOPIC_BYTES", 1024**2)
    client = BulkClient(
        bulk_client.paho.CallbackAPIVersion.VERSION2, deliver=lambda *_: None, has_room=bool
    )
    for number in range(20_000):
        name = f"greendc/v1/test-dc/energy/made-up-{number}".encode()
        assert client._new_topic(name) == name.decode()
    assert 0 < len(client._topics) < 5_000
    known = len(client._topics)
    client._new_topic(b"x" * 60_000)
    assert len(client._topics) == known


def test_a_probe_is_in_nobodys_ledger_and_dirties_no_interval(world: World) -> None:
    body = json.dumps({"ts": NOW_MS, "values": {"temperature_c": 0.0}}).encode()
    world.take([RawMessage(probe_topic(0), body, NOW_MS), reading("grid-a")])
    world.drain()
    assert world.store.read_instants(PROBE_SITE, "weather", "probe-0", [NOW_MS])
    assert world.ledger(A) == LedgerCounts(received=1, stored=1)
    assert {span.site for _, span in world.records.read_dirty(100)} == {A}
    assert set(world.records.read_last_messages()) == {A}
    # The probe's own way is kept account of like any other.
    assert world.ledger(PROBE_SITE) == LedgerCounts(received=1, stored=1)


def test_a_probe_comes_to_its_own_partition_alone() -> None:
    everywhere = filters_of(None, 0)
    assert "greendc/v1/#" in everywhere
    assert probe_topic(0) not in everywhere
    assert probe_topic(1) in filters_of([A], 1)
    assert not any(PROBE_SITE in text for text in filters_of([], 2))
    # A partition knows its own probe's device and no other's.
    known = with_probe_site(REGISTRY, 1).site(PROBE_SITE)
    assert set(known.devices) == {"probe-1"}
