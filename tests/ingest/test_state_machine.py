"""Any order of receiving, committing, acknowledging, crashing, reconnecting and failing.

The real client, intake, spool, forwarder and records; broker and store are models. What was
acknowledged is stored exactly once or lies in quarantine with its bytes, and the ledger adds up.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from core.clock import FakeClock
from core.connections import MqttConnection
from core.errors import (
    StoreMisconfiguredError,
    StoreRejectedError,
    StoreUnavailableError,
)
from core.ledger import LedgerCounts
from core.periods import Period, to_ms
from core.samples import Quality, ReadingBlock, Sample, SampleSeries, SeriesKey
from core.site_files import build_registry
from ingest.config import IngestConfig
from ingest.ledger import read_ledger
from ingest.limits import IngestLimits
from ingest.partition import Partition
from storage.records.store import Records
from tests.ingest.model_broker import ModelBroker, WireClient
from tests.ingest.registry import REGISTRY_FILE
from tests.services.processes import memory_folder

NOW = datetime(2026, 11, 20, 0, 15, 10, tzinfo=UTC)
REGISTRY = build_registry({"test": REGISTRY_FILE})
SITE, DEVICES, METRIC = "test-dc", ("grid-a", "grid-b"), "active_power_kw"
POISON = ("[", "{}", '{"ts": 1}', "no JSON at all")
# A store that will not take a value: a field of another type, say.
UNSTORABLE = -1.0
# Small, so that groups, memory and look-ups all matter.
LIMITS = IngestLimits(commit_ms=0, quiet_ms=0, forward_readings=3, recent_readings=4)


class CrashError(Exception):
    """The process dies here."""


class ModelStore:
    """Instants and their values, in a dictionary; fails as it is told."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, int], float] = {}
        self.fault = "none"
        self.names_dropped = True

    def _ask(self) -> None:
        if self.fault == "reads fail":
            raise StoreUnavailableError("no answer")

    def write_readings(self, blocks: Sequence[ReadingBlock]) -> None:
        rows = [
            (block.devices[at], time_ms, value)
            for block in blocks
            for at, time_ms, value in zip(
                block.device_index.tolist(),
                block.time_ms.tolist(),
                block.values[METRIC].tolist(),
                strict=True,
            )
        ]
        if self.fault == "away":
            raise StoreUnavailableError("no answer")
        if self.fault == "misconfigured":
            raise StoreMisconfiguredError("no such token")
        dropped = sum(value == UNSTORABLE for _, _, value in rows)
        if dropped and not self.names_dropped:
            raise StoreRejectedError("400: unable to parse")
        self.held |= {(device, at): value for device, at, value in rows if value != UNSTORABLE}
        if self.fault == "reply lost":
            raise StoreUnavailableError("reset")
        if dropped:
            raise StoreRejectedError(f"422: partial write dropped={dropped}", dropped)

    def read_latest(self, site: str) -> list[Sample]:
        self._ask()
        newest: dict[str, int] = {}
        for device, at in self.held:
            newest[device] = max(newest.get(device, 0), at)
        return [
            Sample(_key(device), at, self.held[device, at], Quality.GOOD)
            for device, at in newest.items()
        ]

    def read_samples(
        self, site: str, family: str, period: Period, *, devices: Sequence[str] | None = None
    ) -> list[SampleSeries]:
        self._ask()
        found = []
        for device in DEVICES:
            rows = sorted(
                (at, value)
                for (of, at), value in self.held.items()
                if of == device and period.start_ms <= at < period.end_ms
            )
            if rows and (devices is None or device in devices):
                times = np.array([at for at, _ in rows], np.int64)
                values = np.array([value for _, value in rows])
                found.append(SampleSeries(_key(device), times, values, np.zeros(len(rows), "i1")))
        return found

    def read_instants(
        self, site: str, family: str, device: str, times_ms: Sequence[int]
    ) -> dict[int, dict[str, float]]:
        self._ask()
        return {at: {METRIC: self.held[device, at]} for at in times_ms if (device, at) in self.held}


def _key(device: str) -> SeriesKey:
    return SeriesKey(SITE, "energy", device, METRIC)


BLANK: dict[str, bytes] = {}


def blank_records(path: Path) -> None:
    """A file of records with its schema, made once."""
    if not BLANK:
        with memory_folder() as folder:
            Records.open(f"sqlite:///{folder / 'records.sqlite'}").close()
            BLANK["records"] = (folder / "records.sqlite").read_bytes()
    path.write_bytes(BLANK["records"])


class IngestMachine(RuleBasedStateMachine):
    """One partition, its broker and its store."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = memory_folder()
        self.folder = self._folder.__enter__()
        blank_records(self.folder / "records.sqlite")
        self.records = Records.open(f"sqlite:///{self.folder / 'records.sqlite'}")
        self.broker, self.store = ModelBroker(), ModelStore()
        self.clock = FakeClock(NOW)
        self.payloads: list[tuple[str, bytes]] = []
        self.readings: list[tuple[str, int, float] | None] = []
        self.committed = 0
        self.step = ""
        self.partition: Partition | None = None
        self.begin()

    # ------------------------------------------------------------ one life of the process

    def begin(self) -> None:
        made: list[WireClient] = []

        def client(*arguments: Any, **named: Any) -> WireClient:
            made.append(WireClient(*arguments, **named))
            made[-1].broker = self.broker
            return made[-1]

        config = IngestConfig(
            MqttConnection("model", 1, version=3), "ingest", (0,), {}, self.folder / "spool",
            limits=LIMITS,
        )  # fmt: skip
        self.partition = Partition(
            0, REGISTRY, self.store, self.records, config, self.clock, client, self._fail_at  # type: ignore[arg-type]
        )  # fmt: skip
        (self.client,) = made
        self.client.connect_async("model", 1)
        self.connect()

    def connect(self) -> None:
        self.client.reconnect()
        for _ in range(3):
            self.broker.pump()
            self.client.loop_read()
            self.client.loop_write()
        assert self.partition is not None
        assert self.partition.subscriber.is_connected

    def end(self) -> None:
        if self.partition is not None:
            self.partition.close()
        self.client._sock_close()
        self.partition = None

    def _fail_at(self, name: str) -> None:
        if name == self.step:
            raise CrashError

    # ------------------------------------------------------------ rules

    def _publish(self, topic: str, payload: bytes, reading: Any) -> None:
        self.broker.queue.append(len(self.payloads))
        self.payloads.append((topic, payload))
        self.readings.append(reading)

    @rule(
        device=st.sampled_from(DEVICES),
        second=st.integers(0, 8),
        value=st.sampled_from([1.0, 2.0, UNSTORABLE]),
        count=st.integers(1, 3),
    )
    def publish(self, device: str, second: int, value: float, count: int) -> None:
        """Readings of few instants: most come again, some with another value."""
        for n in range(second, second + count):
            at = to_ms(NOW) - 60_000 + n * 1000
            document = {"ts": at, "values": {METRIC: value}}
            topic = f"greendc/v1/{SITE}/energy/{device}"
            self._publish(topic, json.dumps(document).encode(), (device, at, value))

    @rule(text=st.sampled_from(POISON))
    def publish_poison(self, text: str) -> None:
        self._publish(f"greendc/v1/{SITE}/energy/grid-a", text.encode(), None)

    @rule(count=st.integers(1, 8))
    def receive(self, count: int) -> None:
        if self.broker.send(count, lambda message: self.payloads[message]):
            self.client.loop_read()

    @rule(crash=st.sampled_from(["", "", "before", "after"]))
    def commit(self, crash: str) -> None:
        """Make what was received durable, and put its acknowledgements on their way."""
        assert self.partition is not None
        messages = self.partition._inbox.take(0)
        if not messages:
            return
        for commit, chosen in self.partition._build(messages):
            if crash == "before":
                self.crash()
                return
            if crash == "after":
                self.partition.spool.append(commit, chosen[-1].received_ms)
                self.committed += len(chosen)
                self.crash()
                return
            assert self.commit_and_acknowledge(commit, chosen)
            self.committed += len(chosen)
        self.check_ledger()

    def commit_and_acknowledge(self, commit: Any, messages: Any) -> bool:
        assert self.partition is not None
        return self.partition._commit_and_acknowledge(commit, messages)

    @rule()
    def acknowledge(self) -> None:
        self.client.loop_misc()
        self.broker.pump()

    @rule(keep=st.booleans())
    def reconnect(self, keep: bool) -> None:
        if not keep:
            self.broker.drop_session()
        self.connect()

    @rule()
    def crash(self) -> None:
        self.end()
        self.begin()
        self.check_ledger()

    @rule(
        fault=st.sampled_from(["none", "away", "misconfigured", "reply lost", "reads fail"]),
        names_dropped=st.booleans(),
        step=st.sampled_from(["", "", "", "classify", "write", "book", "forget"]),
    )
    def forward(self, fault: str, names_dropped: bool, step: str) -> None:
        assert self.partition is not None
        self.store.fault, self.store.names_dropped, self.step = fault, names_dropped, step
        try:
            self.partition.forwarder.forward_once()
        except CrashError:
            self.step = ""
            self.crash()
        except (StoreUnavailableError, StoreMisconfiguredError):
            assert fault != "none"
        self.store.fault, self.step = "none", ""
        self.check_ledger()

    @rule()
    def let_time_pass(self) -> None:
        self.clock.advance(timedelta(seconds=1))

    # ------------------------------------------------------------ what has to hold

    def ledger(self) -> LedgerCounts:
        period = Period(NOW - timedelta(days=1), NOW + timedelta(days=1))
        hours = read_ledger(self.records, self.folder / "spool", SITE, period)
        assert all(hour.counts.balanced for hour in hours), hours
        return sum((hour.counts for hour in hours), LedgerCounts())

    def check_ledger(self) -> None:
        """After each step that may change it."""
        counts = self.ledger()
        assert counts.received == self.committed
        assert counts.received >= len(self.broker.acknowledged)

    @invariant()
    def nothing_is_acknowledged_twice(self) -> None:
        assert self.broker.stray == []

    @precondition(lambda self: not self.broker.queue)
    @rule()
    def settle(self) -> None:
        """All is well for once: everything finds its place."""
        assert self.partition is not None
        self.store.fault, self.step = "none", ""
        while self.partition.forwarder.forward_once():
            pass
        counts = self.ledger()
        assert counts.spooled == 0
        assert counts.stored == len(self.store.held)
        published = {reading for reading in self.readings if reading is not None}
        held = {(device, at, value) for (device, at), value in self.store.held.items()}
        assert held <= published
        entries = self.records.read_quarantine(sites=[SITE])
        assert sum(entry.count for entry in entries) == counts.quarantined
        kept = set()
        for entry in entries:
            topic, payload = entry.topic, entry.payload
            kept.add((topic, payload))
            if entry.reason == "refused_by_store" and payload[:1] == b"[":
                # Its bytes were not kept: it is written as its meter would have sent it.
                for row in json.loads(payload):
                    device = row.pop("device")
                    at = round(datetime.fromisoformat(row["ts"]).timestamp() * 1000)
                    kept.add((device, at, row["values"][METRIC]))
        for message in self.broker.acknowledged:
            reading = self.readings[message]
            assert reading in held or reading in kept or self.payloads[message] in kept

    def teardown(self) -> None:
        try:
            self.broker.queue.clear()
            self.settle()
        finally:
            self.end()
            self.broker.close()
            self.records.close()
            self._folder.__exit__(None, None, None)


SHORT = settings(
    max_examples=30,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def test_any_order_keeps_the_promise() -> None:
    run_state_machine_as_test(IngestMachine, settings=SHORT)


@pytest.mark.acceptance
@pytest.mark.timeout(3000)
def test_any_order_keeps_the_promise_at_length() -> None:
    long = settings(SHORT, max_examples=1500, stateful_step_count=80, derandomize=False)
    run_state_machine_as_test(IngestMachine, settings=long)


# ---------------------------------------------------------------- a check that cannot fail is none


class AcknowledgingFirst(IngestMachine):
    """Acknowledges before the commit."""

    @rule(crash=st.sampled_from(["", "before"]))
    def commit(self, crash: str) -> None:
        assert self.partition is not None
        waiting = list(self.partition._inbox._messages)
        self.partition.subscriber.acknowledge(waiting)
        self.acknowledge()
        self.client.acknowledge = lambda generation, mids: None  # type: ignore[method-assign]
        try:
            super().commit(crash)
        finally:
            self.client.__dict__.pop("acknowledge", None)


class AcknowledgingOnAnyConnection(IngestMachine):
    """Forgets on which connection a message came."""

    def commit_and_acknowledge(self, commit: Any, messages: Any) -> bool:
        original = self.client.acknowledge
        self.client.acknowledge = (  # type: ignore[method-assign]
            lambda generation, mids: original(self.client.generation, mids)
        )
        return super().commit_and_acknowledge(commit, messages)


class JudgingAgain(IngestMachine):
    """Forgets the verdicts that an earlier life has kept."""

    def begin(self) -> None:
        super().begin()
        assert self.partition is not None
        self.partition.spool.classify = lambda verdicts, newest: None  # type: ignore[method-assign]


def die_before_the_commit(machine: IngestMachine) -> None:
    machine.publish("grid-a", 0, 1.0, 1)
    machine.receive(1)
    machine.commit("before")
    machine.acknowledge()


def lose_the_session_with_an_acknowledgement_pending(machine: IngestMachine) -> None:
    machine.publish("grid-a", 0, 1.0, 1)
    machine.receive(1)
    machine.reconnect(keep=False)
    machine.commit("")
    # Another message under the same packet id, received and not yet committed.
    machine.publish("grid-a", 1, 1.0, 1)
    machine.receive(1)
    machine.acknowledge()
    machine.crash()


def die_between_the_store_and_the_records(machine: IngestMachine) -> None:
    machine.publish("grid-a", 0, 1.0, 1)
    machine.receive(1)
    machine.commit("")
    machine.forward("none", True, "book")


MUTANTS: list[tuple[type[IngestMachine], Callable[[IngestMachine], None]]] = [
    (AcknowledgingFirst, die_before_the_commit),
    (AcknowledgingOnAnyConnection, lose_the_session_with_an_acknowledgement_pending),
    (JudgingAgain, die_between_the_store_and_the_records),
]


def live(machine: IngestMachine, story: Callable[[IngestMachine], None]) -> None:
    try:
        story(machine)
    finally:
        machine.teardown()


@pytest.mark.parametrize(("mutant", "story"), MUTANTS)
def test_a_short_way_to_what_each_mutant_breaks(
    mutant: type[IngestMachine], story: Callable[[IngestMachine], None]
) -> None:
    live(IngestMachine(), story)
    with pytest.raises(AssertionError):
        live(mutant(), story)


@pytest.mark.acceptance
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mutant", [mutant for mutant, _ in MUTANTS])
def test_the_machine_finds_each_mutant_by_itself(mutant: type[IngestMachine]) -> None:
    # Found is enough: it need not be the shortest way.
    hunt = settings(
        SHORT,
        max_examples=2000,
        stateful_step_count=40,
        phases=[Phase.generate],
        report_multiple_bugs=False,
    )
    with pytest.raises(AssertionError):
        run_state_machine_as_test(mutant, settings=hunt)
