"""The access list, configuration and passwords that real Mosquitto accepts and enforces."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from core.connections import MqttConnection
from core.errors import ConfigurationError, StoreMisconfiguredError, StoreUnavailableError
from core.site_files import build_registry
from greendc.broker import INGEST_ACCOUNT, hash_password, render_acl
from greendc.broker_probe import probe_broker
from greendc.local_broker import LocalBroker, find_mosquitto, start_local_broker

SITE = """
schema = 1
id = "{id}"
name = {{ ko = "시험", en = "Test" }}
operator = "Nobody"
status = "{status}"
data = "simulated"
zone = "Asia/Seoul"
location = {{ latitude = 37.3, longitude = 126.8 }}
pue_category = 2
"""
REGISTRY = build_registry(
    {
        "a": SITE.format(id="site-a", status="operating"),
        "b": SITE.format(id="site-b", status="operating"),
        "c": SITE.format(id="site-c", status="planned"),
    }
)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBroker]:
    if find_mosquitto() is None:
        pytest.skip("no mosquitto on this machine: apt-get install mosquitto")
    started = start_local_broker(REGISTRY, tmp_path_factory.mktemp("broker"))
    yield started
    started.stop()


def publish(connection: MqttConnection, topic: str) -> str:
    """The broker's own word on one QoS 1 publish."""
    done = threading.Event()
    answers: list[str] = []

    def on_publish(
        client: paho.Client, userdata: object, mid: int, reason: object, p: object
    ) -> None:
        answers.append(str(reason))
        done.set()

    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.username_pw_set(connection.username, connection.password)
    client.on_publish = on_publish
    client.on_connect = lambda c, *_: c.publish(topic, b"{}", qos=1)
    client.connect(connection.host, connection.port)
    client.loop_start()
    try:
        assert done.wait(10), "the broker answered nothing"
    finally:
        client.disconnect()
        client.loop_stop()
    return answers[0]


@pytest.mark.integration
def test_a_site_writes_under_its_own_id_and_nowhere_else(broker: LocalBroker) -> None:
    own = broker.connection("site-a")
    for prefix in ("greendc/v1", "telegraf", "senml", "prometheus"):
        assert "Not authorized" not in publish(own, f"{prefix}/site-a/energy/x")
        assert publish(own, f"{prefix}/site-b/energy/x") == "Not authorized"
    assert publish(own, "greendc/v1/site-ab/energy/x") == "Not authorized"
    assert publish(own, "anything") == "Not authorized"


@pytest.mark.integration
def test_the_ingester_reads_and_does_not_write_readings(broker: LocalBroker) -> None:
    account = broker.connection(INGEST_ACCOUNT)
    assert publish(account, "greendc/v1/site-a/energy/x") == "Not authorized"
    assert "Not authorized" not in publish(account, "spBv1.0/group/NCMD/edge")
    assert probe_broker(account) == "MQTT 5, accepted"


@pytest.mark.integration
def test_a_wrong_password_and_nobody_at_all_are_told_apart(broker: LocalBroker) -> None:
    good = broker.connection()
    wrong = MqttConnection(good.host, good.port, username=good.username, password="wrong")
    with pytest.raises(StoreMisconfiguredError, match="refuses greendc-ingest"):
        probe_broker(wrong)
    with pytest.raises(StoreMisconfiguredError, match="refuses anonymous"):
        probe_broker(MqttConnection(good.host, good.port))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(StoreUnavailableError, match="no broker answers"):
        probe_broker(MqttConnection("127.0.0.1", port))


@pytest.mark.integration
def test_a_taken_port_is_said(broker: LocalBroker, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is taken"):
        start_local_broker(REGISTRY, tmp_path, broker.connection().port)


def test_the_access_list_names_operating_sites_and_keeps_sys_closed() -> None:
    text = render_acl(REGISTRY)
    assert "#   site-a" in text
    assert "site-c" not in text
    assert text.count("$SYS") == 1
    assert "user greendc-monitor\ntopic read $SYS/#\n" in text
    assert "pattern write greendc/v1/%u/#" in text


def test_a_password_is_salted_and_in_the_brokers_form() -> None:
    first, second = hash_password("secret"), hash_password("secret")
    assert first != second
    assert first.startswith("$7$101000$")
    assert "secret" not in first
