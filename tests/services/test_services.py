"""The real services that the tests stand on keep their own promises."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.services.influxd import InfluxdServer
from tests.services.mosquitto import MosquittoBroker
from tests.services.processes import ServiceError, ServiceProcess, accepts_connections


class Client:
    """A small MQTT 5 client with a persistent session that collects what arrives."""

    def __init__(self, broker: MosquittoBroker, client_id: str, password: str | None = None):
        self.received: list[bytes] = []
        self.connected = threading.Event()
        self.answered = threading.Event()
        self.reason: str = ""
        self._arrived = threading.Condition()
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5
        )
        if password is not None:
            self._client.username_pw_set(client_id, password)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 3600
        self._client.connect(broker.host, broker.port, clean_start=False, properties=properties)
        self._client.loop_start()
        assert self.answered.wait(10)

    def _on_connect(self, client: object, data: object, flags: object, reason: object, *_: object):
        self.reason = str(reason)
        if self.reason == "Success":
            self.connected.set()
        self.answered.set()

    def _on_message(self, client: object, data: object, message: mqtt.MQTTMessage) -> None:
        with self._arrived:
            self.received.append(message.payload)
            self._arrived.notify_all()

    def subscribe(self, topic: str) -> None:
        done = threading.Event()
        self._client.on_subscribe = lambda *_: done.set()
        self._client.subscribe(topic, qos=1)
        assert done.wait(10)

    def publish(self, topic: str, payload: bytes) -> None:
        self._client.publish(topic, payload, qos=1).wait_for_publish(10)

    def wait_for(self, count: int) -> None:
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.received) >= count, timeout=10)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def test_queued_messages_survive_a_restart_of_the_broker(
    new_mosquitto: Callable[..., MosquittoBroker],
) -> None:
    broker = new_mosquitto().start()
    subscriber = Client(broker, "subscriber")
    subscriber.subscribe("a/#")
    subscriber.close()
    publisher = Client(broker, "publisher")
    for number in range(1500):  # more than Mosquitto's own default limit of 1000
        publisher.publish("a/b", str(number).encode())
    publisher.close()

    broker.restart()

    subscriber = Client(broker, "subscriber")
    subscriber.wait_for(1500)
    subscriber.close()
    assert subscriber.received == [str(number).encode() for number in range(1500)]


def test_accounts_and_acl_are_enforced(new_mosquitto: Callable[..., MosquittoBroker]) -> None:
    broker = new_mosquitto(
        accounts={"reader": "right", "writer": "right"},
        acl="user reader\ntopic read open/#\nuser writer\ntopic write #\n",
    ).start()
    stranger = Client(broker, "reader", password="wrong")
    assert not stranger.connected.is_set()
    assert stranger.reason == "Not authorized"
    stranger.close()
    reader, writer = Client(broker, "reader", "right"), Client(broker, "writer", "right")
    reader.subscribe("#")
    writer.publish("closed/x", b"no")
    writer.publish("open/x", b"yes")
    reader.wait_for(1)
    reader.close()
    writer.close()
    assert reader.received == [b"yes"]


def test_a_killed_broker_is_gone_and_comes_back_on_its_port(
    new_mosquitto: Callable[..., MosquittoBroker],
) -> None:
    broker = new_mosquitto().start()
    broker.kill()
    assert not broker.is_running
    assert not accepts_connections(broker.port)
    broker.start()
    assert accepts_connections(broker.port)


def test_a_faulty_configuration_is_reported_with_the_brokers_own_words(
    new_mosquitto: Callable[..., MosquittoBroker],
) -> None:
    broker = new_mosquitto(extra_config="no_such_setting 1")
    with pytest.raises(ServiceError, match="no_such_setting"):
        broker.start()


def test_a_taken_port_is_refused(new_mosquitto: Callable[..., MosquittoBroker]) -> None:
    first = new_mosquitto().start()
    with pytest.raises(ServiceError, match="taken"):
        new_mosquitto(port=first.port).start()


def test_a_service_that_never_gets_ready_is_ended(tmp_path: Path) -> None:
    process = ServiceProcess("sleeper", tmp_path / "log")
    process.launch(["sleep", "60"])
    with pytest.raises(ServiceError, match="sleeper is ready: not so"):
        process.wait_ready(lambda: False, seconds=0.1)
    assert not process.is_running


def test_influxdb_is_set_up_with_an_all_access_token(influxd: InfluxdServer) -> None:
    assert influxd.request("GET", "/health")["version"].lstrip("v").startswith("2.")
    org = influxd.request("GET", f"/api/v2/orgs?org={influxd.org}")["orgs"][0]
    influxd.request("POST", "/api/v2/buckets", {"orgID": org["id"], "name": "services_test_raw"})
    influxd.remove_buckets("services_test_")
    names = {b["name"] for b in influxd.request("GET", "/api/v2/buckets?limit=100")["buckets"]}
    assert "services_test_raw" not in names


def test_a_wrong_token_is_refused(influxd: InfluxdServer) -> None:
    stranger = object.__new__(InfluxdServer)
    stranger.url, stranger.token = influxd.url, "wrong"
    with pytest.raises(ServiceError, match="401"):
        stranger.request("GET", "/api/v2/buckets")


def test_influxdb_keeps_its_data_over_a_kill(new_influxd: Callable[[], InfluxdServer]) -> None:
    server = new_influxd().start()
    org = server.request("GET", f"/api/v2/orgs?org={server.org}")["orgs"][0]
    server.request("POST", "/api/v2/buckets", {"orgID": org["id"], "name": "kept"})
    server.kill()
    assert not server.is_healthy()
    server.start()
    names = {b["name"] for b in server.request("GET", "/api/v2/buckets?limit=100")["buckets"]}
    assert "kept" in names
