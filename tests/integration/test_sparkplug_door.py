"""Sparkplug on a real broker: births, data by alias, kill -9, a gap, the rebirth request."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as paho
import paho.mqtt.publish as paho_publish
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from core.clock import SystemClock
from greendc.broker import INGEST_ACCOUNT
from greendc.local_broker import find_mosquitto
from ingest.host_state import HostState, state_topic
from ingest.sparkplug_wire import parse_payload
from tests.conftest import skip_loudly
from tests.ingest.registry import SPARKPLUG_FILE
from tests.ingest.sparkplug_encoder import payload
from tests.integration.ingester import SITE, Ingester
from tests.services.processes import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
GROUP, EDGE = "Test Plant", "edge-1"
STATE = state_topic(INGEST_ACCOUNT)


class EdgeNode:
    """An edge node as the specification wants it: QoS 0, a will."""

    def __init__(self, ingester: Ingester) -> None:
        connection = ingester.broker.connection(SITE)
        self.base_ms = int(time.time() * 1000) - 600_000
        self.seq = 0
        self.asked: list[paho.MQTTMessage] = []
        self.refused: list[str] = []
        self.is_mute = False
        self._lock = threading.Lock()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self.client.username_pw_set(connection.username, connection.password)
        self.client.will_set(
            f"spBv1.0/{GROUP}/NDEATH/{EDGE}", payload(None, self.base_ms, bd_seq=7), qos=1
        )
        self.client.on_message = self._on_command
        self.client.connect(connection.host, connection.port)
        self.client.loop_start()
        wait_until(self.client.is_connected, seconds=10, what="edge node")
        self.client.subscribe(f"spBv1.0/{GROUP}/NCMD/{EDGE}", qos=1)

    def _on_command(self, client: paho.Client, data: object, message: paho.MQTTMessage) -> None:
        self.asked.append(message)

    def say(self, kind: str, device: str, *metrics: dict[str, object], at: int) -> None:
        with self._lock:
            self.seq = 0 if kind == "NBIRTH" else (self.seq + 1) % 256
            bd_seq = 7 if kind == "NBIRTH" else None
            data = payload(self.seq, self.base_ms + at, *metrics, bd_seq=bd_seq)
        if not self.is_mute:
            topic = f"spBv1.0/{GROUP}/{kind}/{EDGE}" + (f"/{device}" if device else "")
            self.client.publish(topic, data, qos=0).wait_for_publish(timeout=10)

    def is_born(self, at: int) -> None:
        rebirth = {"name": "Node Control/Rebirth", "dataType": "Boolean", "value": False}
        self.say("NBIRTH", "", rebirth, at=at)
        power = {"name": "Meters/a/Active Power", "alias": 5, "dataType": "Int32", "value": 1000}
        self.say("DBIRTH", "PLC", power, at=at)

    def send(self, kilowatts: int, at: int) -> None:
        metric = {"alias": 5, "value": 1000 * kilowatts, "field": "int_value"}
        self.say("DDATA", "PLC", metric, at=at)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def ingester(tmp_path: Path) -> Iterator[Ingester]:
    if find_mosquitto() is None:
        skip_loudly("no mosquitto on this machine: apt-get install mosquitto")
    made = Ingester(tmp_path / "one", mapping=SPARKPLUG_FILE)
    yield made
    made.close()


def test_an_edge_node_through_a_kill_and_a_gap(ingester: Ingester) -> None:
    ingester.start()
    node = EdgeNode(ingester)
    node.is_born(at=0)
    for number in range(2, 6):
        node.send(number, at=number * 1000)
    # With QoS 0 nothing is acknowledged: what was read and not committed yet would be gone.
    ingester.drained(5)
    # Killed in the middle: the births are on disk, and the broker keeps what is sent meanwhile.
    ingester.end(signal.SIGKILL)
    for number in range(6, 10):
        node.send(number, at=number * 1000)
    ingester.start()
    node.send(10, at=10_000)
    ingester.drained(10)
    assert node.asked == []
    lose_two(node)
    ledger = ingester.drained(13)
    assert (ledger["stored"], ledger["quarantined"], ledger["balanced"]) == (12, 1, True)
    assert ingester.values("grid-a") == [*(float(n) for n in range(1, 11)), 1.0, 15.0]
    node.close()
    assert ingester.end(signal.SIGTERM) == 0


def lose_two(node: EdgeNode) -> None:
    """Two messages never reach the broker: what comes then by alias is in doubt, until a birth."""
    node.is_mute = True
    node.send(11, at=11_000)
    node.send(12, at=12_000)
    node.is_mute = False
    node.send(13, at=13_000)
    wait_until(lambda: bool(node.asked), seconds=20, what="request to be born again")
    request = node.asked[0]
    (metric,) = parse_payload(request.payload).metrics
    assert (metric.name, metric.value) == ("Node Control/Rebirth", True)
    assert (request.qos, request.retain) == (0, False)
    node.is_born(at=14_000)
    node.send(15, at=15_000)


@pytest.mark.acceptance
def test_doubt_is_mended_by_a_declaration_and_a_death_is_told(ingester: Ingester) -> None:
    ingester.start()
    node = EdgeNode(ingester)
    node.is_born(at=0)
    lose_two(node)
    ingester.drained(4)
    (entry,) = ingester.ask("quarantine", "list")
    assert (entry["reason"], entry["count"]) == ("no_birth", 1)
    (answer,) = ingester.ask("quarantine", "replay", entry["id"])
    assert "no_birth" in answer["outcome"]

    # Somebody declares that this edge node's aliases are fixed: the same replay stores it.
    fixed = SPARKPLUG_FILE.replace("[[rules]]", "fixed_aliases = true\n[[rules]]", 1)
    (ingester.mappings / "test.toml").write_text(fixed, encoding="utf-8")
    assert ingester.end(signal.SIGTERM) == 0
    ingester.start()
    (answer,) = ingester.ask("quarantine", "replay", entry["id"])
    assert answer["outcome"] == "replayed"
    assert ingester.values("grid-a") == [1.0, 13.0, 1.0, 15.0]

    # The connection breaks off: the broker publishes the will, and the device is silent.
    node.client._sock_close()  # no DISCONNECT
    node.client.loop_stop()

    def is_silent() -> bool:
        found = {check["check"]: check for check in ingester.ask_any("doctor")}
        return "test-dc/grid-a since" in found["silent devices"]["detail"]

    wait_until(is_silent, seconds=60, what="death")
    again = EdgeNode(ingester)
    again.is_born(at=20_000)
    wait_until(lambda: not is_silent(), seconds=60, what="life")
    again.close()
    assert ingester.end(signal.SIGTERM) == 0


def test_an_account_cannot_speak_as_another_site_s_edge_node(ingester: Ingester) -> None:
    connection = ingester.broker.connection(SITE)
    answers: list[str] = []
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.username_pw_set(connection.username, connection.password)
    client.on_publish = lambda c, u, mid, reason, p: answers.append(str(reason))
    client.connect(connection.host, connection.port)
    client.loop_start()
    for topic in ("NDATA/edge-1", "DDATA/edge-1/PLC", "NDATA/edge-2", "NCMD/edge-1"):
        client.publish(f"spBv1.0/{GROUP}/{topic}", b"\x18\x01", qos=1).wait_for_publish(timeout=10)
    wait_until(lambda: len(answers) == 4, seconds=10, what="answers of the broker")
    client.disconnect()
    client.loop_stop()
    assert ["authorized" in answer for answer in answers] == [False, False, True, True]


class Listener:
    """Hears the state of the host as an edge node that waits for it does."""

    def __init__(self, ingester: Ingester) -> None:
        connection = ingester.broker.connection(SITE)
        self.heard: list[tuple[bool, int]] = []
        self.client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
        self.client.username_pw_set(connection.username, connection.password)
        self.client.on_message = self._on_message
        self.client.connect(connection.host, connection.port)
        self.client.loop_start()
        wait_until(self.client.is_connected, seconds=10, what="listener")
        self.client.subscribe(STATE, qos=1)

    def _on_message(self, client: paho.Client, data: object, message: paho.MQTTMessage) -> None:
        found = json.loads(message.payload)
        assert set(found) == {"online", "timestamp"}
        self.heard.append((found["online"], found["timestamp"]))

    def hears(self, online: bool, *, more_than: int = 0) -> int:
        """Wait until the last word is this one; its time."""
        wait_until(
            lambda: len(self.heard) > more_than and self.heard[-1][0] is online,
            seconds=60,
            what=f"state online = {online}",
        )
        return self.heard[-1][1]

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def test_edge_nodes_are_told_when_we_are_there(ingester: Ingester) -> None:
    ingester.start()
    listener = Listener(ingester)
    first = listener.hears(True)
    ingester.end(signal.SIGKILL)
    # The will, with the time of the life that it ends.
    assert listener.hears(False) == first
    ingester.start()
    second = listener.hears(True)
    assert second > first
    # Somebody who may says the contrary (as a will of an earlier connection that comes late): it is
    # put right.
    count = len(listener.heard)
    other = ingester.broker.connection()
    paho_publish.single(
        STATE,
        json.dumps({"online": False, "timestamp": first}),
        qos=1,
        retain=True,
        hostname=other.host,
        port=other.port,
        auth={"username": other.username, "password": other.password},
    )
    assert listener.hears(True, more_than=count + 1) == second
    assert ingester.end(signal.SIGTERM) == 0
    assert listener.hears(False) > second
    # It is retained: whoever comes later hears it, too.
    late = Listener(ingester)
    late.hears(False)
    late.close()
    listener.close()


def test_edge_nodes_are_told_when_nothing_is_taken(ingester: Ingester) -> None:
    connection = ingester.broker.connection()
    taking = [False]
    state = HostState(
        connection, "host-state", INGEST_ACCOUNT, SystemClock(), is_taking=lambda: taking[0]
    )
    listener = Listener(ingester)
    state.start()
    try:
        listener.hears(False)
        taking[0] = True
        listener.hears(True)
        taking[0] = False
        listener.hears(False)
    finally:
        state.stop()
        listener.close()


def test_without_edge_nodes_no_state_is_told(tmp_path: Path) -> None:
    if find_mosquitto() is None:
        skip_loudly("no mosquitto on this machine: apt-get install mosquitto")
    made = Ingester(tmp_path / "one")
    try:
        made.start()
        log = made.log.read_text(encoding="utf-8")
        assert "subscribed as" in log
        assert made.end(signal.SIGTERM) == 0
        assert "edge nodes are told" not in made.log.read_text(encoding="utf-8")
    finally:
        made.close()
