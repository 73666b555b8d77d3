"""A broker that restarts, forgets or stands still, a network that slices and cuts: no loss."""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from core.clock import SystemClock
from core.connections import MqttConnection
from core.ledger import LedgerCounts
from core.periods import Period
from core.site_files import build_registry
from ingest.config import IngestConfig
from ingest.ledger import read_ledger
from ingest.limits import IngestLimits
from ingest.service import IngestService
from storage.embedded.store import EmbeddedStore
from storage.records.store import Records
from tests.ingest.registry import REGISTRY_FILE
from tests.services.mosquitto import MosquittoBroker
from tests.services.processes import wait_until
from tests.services.tcp_proxy import TcpProxy

REGISTRY = build_registry({"test": REGISTRY_FILE})
SITE = "test-dc"
TOPIC = f"greendc/v1/{SITE}/energy/grid-a"
KEEP_ALIVE_S = 1


@dataclass
class Bench:
    """An ingester that reaches its broker through a proxy; the publisher reaches it directly."""

    folder: Path
    broker: MosquittoBroker
    proxy: TcpProxy
    store: EmbeddedStore
    records: Records
    service: IngestService
    published: int = 0
    clients: list[paho.Client] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.base_ms = SystemClock().now_ms() - 3_600_000
        self.client = self.publisher()

    def publisher(self) -> paho.Client:
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
        client.reconnect_delay_set(1, 1)
        client.connect(self.broker.host, self.broker.port)
        client.loop_start()
        self.clients.append(client)
        wait_until(client.is_connected, seconds=10, what="publisher")
        return client

    def publish(self, count: int, *, wait: bool = True) -> list[paho.MQTTMessageInfo]:
        infos = []
        for number in range(self.published, self.published + count):
            document = {
                "ts": self.base_ms + number * 10,
                "values": {"active_power_kw": float(number)},
            }
            infos.append(self.client.publish(TOPIC, json.dumps(document), qos=1))
        self.published += count
        for info in infos if wait else ():
            info.wait_for_publish(20)
        return infos

    def held(self) -> list[float]:
        now = SystemClock().now()
        period = Period(now - timedelta(hours=2), now + timedelta(hours=1))
        found = self.store.read_samples(SITE, "energy", period, devices=["grid-a"])
        return [value for series in found for value in series.value.tolist()]

    def ledger(self) -> LedgerCounts:
        now = SystemClock().now()
        period = Period(now - timedelta(hours=2), now + timedelta(hours=2))
        hours = read_ledger(self.records, self.folder / "spool", SITE, period)
        assert all(hour.counts.balanced for hour in hours)
        return sum((hour.counts for hour in hours), LedgerCounts())

    def settle(self, seconds: float = 30) -> None:
        """Wait until everything that was published is stored, each once."""
        wait_until(
            lambda: len(self.held()) >= self.published, seconds=seconds, what="stored", every=0.1
        )
        wait_until(lambda: self.ledger().spooled == 0, seconds=10, what="spool empty", every=0.1)
        assert self.held() == [float(number) for number in range(self.published)]
        counts = self.ledger()
        assert counts.stored == self.published
        assert counts.quarantined + counts.rejected == 0


@pytest.fixture
def make_bench(
    tmp_path: Path, new_mosquitto: Callable[..., MosquittoBroker]
) -> Callable[..., AbstractContextManager[Bench]]:
    @contextmanager
    def make(
        *, commit_ms: int = 100, quiet_messages: int = 16, **options: object
    ) -> Iterator[Bench]:
        broker = new_mosquitto(**options).start()
        store = EmbeddedStore(tmp_path / "store", 0, role="all")
        records = Records.open(f"sqlite:///{tmp_path / 'records.sqlite'}")
        with TcpProxy(broker.port) as proxy:
            config = IngestConfig(
                MqttConnection("127.0.0.1", proxy.port),
                "ingest-test",
                (0,),
                {},
                tmp_path / "spool",
                limits=IngestLimits(
                    keep_alive_s=KEEP_ALIVE_S, commit_ms=commit_ms, quiet_messages=quiet_messages
                ),
            )
            service = IngestService(REGISTRY, store, records, config, SystemClock())
            service.start()
            bench = Bench(tmp_path, broker, proxy, store, records, service)
            try:
                wait_until(lambda: service.status().connected, seconds=20, what="subscribed")
                yield bench
            finally:
                for client in bench.clients:
                    client.disconnect()
                    client.loop_stop()
                service.stop()
                records.close()
                store.close()

    return make


def test_a_network_that_moves_one_byte_at_a_time(
    make_bench: Callable[..., AbstractContextManager[Bench]],
) -> None:
    with make_bench() as bench:
        bench.proxy.slice_bytes = 1
        bench.publish(120)
        bench.settle()
        bench.proxy.slice_bytes, bench.proxy.delay_s = 0, 0.3
        bench.publish(60)
        bench.settle()


def test_a_connection_that_dies_without_a_word_is_noticed(
    make_bench: Callable[..., AbstractContextManager[Bench]],
) -> None:
    with make_bench() as bench:
        bench.publish(50)
        bench.settle()
        before = bench.proxy.connections
        bench.proxy.let_die()
        began = time.monotonic()
        bench.publish(50)
        wait_until(lambda: bench.proxy.connections > before, seconds=20, what="a new connection")
        # Twice the keep-alive, and what a busy machine takes.
        assert time.monotonic() - began < 2 * KEEP_ALIVE_S + 4
        bench.settle()


def test_connections_that_are_reset_again_and_again(
    make_bench: Callable[..., AbstractContextManager[Bench]],
) -> None:
    with make_bench(commit_ms=20) as bench:
        chance = random.Random(7)
        for _ in range(6):
            bench.publish(80, wait=False)
            time.sleep(chance.uniform(0.0, 0.3))
            bench.proxy.reset()
        bench.proxy.refuse()
        bench.publish(20)
        bench.proxy.listen()
        bench.settle(60)


def test_a_broker_that_is_restarted(
    make_bench: Callable[..., AbstractContextManager[Bench]],
) -> None:
    with make_bench() as bench:
        bench.publish(100)
        infos = bench.publish(100, wait=False)
        bench.broker.restart()
        for info in infos:
            info.wait_for_publish(30)
        bench.publish(50)
        bench.settle(60)


def test_a_session_that_is_lost_with_acknowledgements_pending(
    make_bench: Callable[..., AbstractContextManager[Bench]],
) -> None:
    # A commit waits long, so that messages are received and not acknowledged when the broker dies.
    with make_bench(commit_ms=5000, quiet_messages=10_000, persistence=False) as bench:
        bench.publish(100)
        wait_until(
            lambda: bool(len(bench.service._partitions[0]._inbox)), seconds=10, what="received"
        )
        bench.broker.kill()
        bench.broker.start()
        wait_until(bench.client.is_connected, seconds=20, what="publisher")
        wait_until(
            lambda: bench.service.status().connected and bench.service.status().connections > 1,
            seconds=20,
            what="subscribed again",
        )
        first = bench.published
        # The same packet ids as before, for other messages.
        bench.publish(100)
        wait_until(lambda: bench.held()[-1:] == [199.0], seconds=30, what="stored", every=0.1)
        held = bench.held()
        # What came after is there; of what the broker took down with it, each at most once.
        assert held[-100:] == [float(number) for number in range(first, first + 100)]
        assert len(held) == len(set(held))
        assert bench.ledger().balanced


def stand_still(bench: Bench, seconds: float) -> None:
    bench.publish(50)
    pid = bench.broker._process.pid
    assert pid is not None
    process = bench.broker._process._process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    process.send_signal(signal.SIGCONT)
    bench.publish(50)
    bench.settle(60)


def test_a_broker_that_stands_still(
    make_bench: Callable[..., AbstractContextManager[Bench]],
) -> None:
    with make_bench() as bench:
        stand_still(bench, 4 * KEEP_ALIVE_S)


@pytest.mark.acceptance
@pytest.mark.timeout(300)
def test_a_broker_that_stands_still_for_a_minute(
    make_bench: Callable[..., AbstractContextManager[Bench]],
) -> None:
    with make_bench() as bench:
        stand_still(bench, 60)
