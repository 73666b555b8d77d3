"""Real Mosquitto with the generated configuration: who gets in, as whom, and what they may do."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from core.clock import SystemClock
from core.connections import MqttConnection
from core.errors import StoreMisconfiguredError, StoreUnavailableError
from core.ids import PROBE_SITE
from core.site_files import build_registry
from greendc.broker import (
    INGEST_ACCOUNT,
    MONITOR_ACCOUNT,
    BrokerListener,
    ClientAuthority,
    render_configuration,
)
from greendc.broker_probe import probe_broker, read_broker_certificate_end_s
from greendc.broker_secrets import write_client_certificates, write_secrets
from greendc.certificates import Pair, certificate_end_s, issue_certificate, make_authority
from ingest.config import IngestConfig
from ingest.service import IngestService
from storage.embedded.store import EmbeddedStore
from storage.records.store import Records
from tests.conftest import skip_loudly
from tests.greendc.test_broker_files import SITE
from tests.ingest.registry import REGISTRY_FILE
from tests.services.mosquitto import MosquittoBroker
from tests.services.processes import find_free_port, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
REGISTRY = build_registry(
    {
        "a": 'gateways = ["roof"]\n' + REGISTRY_FILE,
        "b": SITE.format(id="site-b", status="operating"),
    }
)
A, B, ROOF = "test-dc", "site-b", "test-dc.roof"
OWN, FOREIGN = f"greendc/v1/{A}/energy/grid-a", f"greendc/v1/{B}/energy/grid-a"


@dataclass
class Broker:
    """A Mosquitto as `make secrets` and `greendc broker certificates` set it up."""

    process: MosquittoBroker
    secrets: Path
    gateways: int
    services: int
    passwords: int

    def certificate(self, account: str) -> Pair:
        folder = self.secrets / "certificates"
        return Pair(folder / f"{account}.key", folder / f"{account}.crt")

    def connection(self, port: int, pair: Pair | None = None, **more: Any) -> MqttConnection:
        files = {"cert_file": str(pair.certificate), "key_file": str(pair.key)} if pair else {}
        authority = str(self.secrets / "broker" / "ca.crt")
        return MqttConnection("localhost", port, tls=True, ca_file=authority, **files, **more)

    def of_site(self, account: str) -> MqttConnection:
        return self.connection(self.gateways, self.certificate(account))


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    if (missing := MosquittoBroker.missing()) is not None:
        skip_loudly(missing)
    folder = tmp_path_factory.mktemp("certificates")
    secrets = folder / "secrets"
    write_secrets(secrets, REGISTRY, [])
    write_client_certificates(secrets, REGISTRY)
    process = MosquittoBroker(folder / "broker")
    process.folder.mkdir()
    made = Broker(process, secrets, find_free_port(), find_free_port(), find_free_port())
    files = secrets / "broker"
    text = render_configuration(
        BrokerListener(
            process.folder,
            files,
            port=process.port,
            tls_port=made.passwords,
            cert_file=str(files / "server.crt"),
            key_file=str(files / "server.key"),
            gateways=ClientAuthority(
                made.gateways, str(files / "gateways-ca.crt"), str(files / "gateways.crl")
            ),
            services=ClientAuthority(
                made.services, str(files / "services-ca.crt"), str(files / "services.crl")
            ),
        )
    )
    for port in (made.passwords, made.gateways, made.services):
        assert f"\nlistener {port}\n" in text
        text = text.replace(f"\nlistener {port}\n", f"\nlistener {port} 127.0.0.1\n")
    process.config = text + ("user root\n" if os.geteuid() == 0 else "")
    process.start()
    yield made
    process.stop()


class Client:
    """One connection whose answers are kept."""

    def __init__(self, connection: MqttConnection, client_id: str = "") -> None:
        self.answers: list[str] = []
        self.messages: list[str] = []
        self.disconnections = 0
        self._answered = threading.Event()
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv5)
        context = ssl.create_default_context(cafile=connection.ca_file)
        if connection.cert_file:
            context.load_cert_chain(connection.cert_file, connection.key_file)
        client.tls_set_context(context)
        if connection.username:
            client.username_pw_set(connection.username, connection.password)
        client.on_connect = lambda c, u, f, reason, p: self._answer(f"connect {reason}")
        client.on_publish = lambda c, u, m, reason, p: self._answer(f"publish {reason}")
        client.on_subscribe = lambda c, u, m, reasons, p: self._answer(f"subscribe {reasons[0]}")
        client.on_message = lambda c, u, message: self.messages.append(message.topic)
        client.on_disconnect = self._on_disconnect
        self.client = client
        client.connect(connection.host, connection.port)
        client.loop_start()

    def _on_disconnect(self, *arguments: Any) -> None:
        self.disconnections += 1
        self._answered.set()

    def _answer(self, text: str) -> None:
        self.answers.append(text)
        self._answered.set()

    def wait(self, start: str) -> str:
        wait_until(
            lambda: any(text.startswith(start) for text in self.answers) or self.disconnections > 0,
            seconds=10,
            what=start,
        )
        return next((text for text in self.answers if text.startswith(start)), "disconnected")

    def publish(self, topic: str) -> str:
        self.wait("connect")
        self.answers.clear()
        self.client.publish(topic, b"{}", qos=1)
        return self.wait("publish").removeprefix("publish ")

    def subscribe(self, topic: str) -> str:
        self.wait("connect")
        self.client.subscribe(topic, qos=1)
        return self.wait("subscribe").removeprefix("subscribe ")

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def outcome(connection: MqttConnection, topic: str = OWN) -> str:
    """What becomes of one QoS 1 publish: the broker's word, or `refused` where TLS says no."""
    try:
        client = Client(connection)
    except (ssl.SSLError, ConnectionError, TimeoutError):
        return "refused"
    try:
        # TLS 1.3 tells a client of its certificate's refusal only with the first data.
        answer = client.publish(topic)
        return "refused" if answer == "disconnected" else answer
    finally:
        client.close()


def test_a_certificate_lets_its_site_in_and_onto_its_own_topics(broker: Broker) -> None:
    assert outcome(broker.of_site(A)) in {"Success", "No matching subscribers"}
    assert outcome(broker.of_site(A), FOREIGN) == "Not authorized"
    assert outcome(broker.of_site(ROOF)) in {"Success", "No matching subscribers"}
    assert outcome(broker.of_site(ROOF), FOREIGN) == "Not authorized"
    assert outcome(broker.of_site(B)) == "Not authorized"
    assert outcome(broker.of_site(A), f"greendc/v1/{PROBE_SITE}/weather/probe-0") == (
        "Not authorized"
    )


def test_a_name_in_mqtt_does_not_outdo_the_certificate(broker: Broker) -> None:
    named = replace(broker.of_site(B), username=A, password="whatever")
    assert outcome(named) == "Not authorized"
    assert outcome(named, FOREIGN) in {"Success", "No matching subscribers"}


def expired(broker: Broker, folder: Path) -> Pair:
    """A certificate of the right authority for the right account whose time is over."""
    pair = Pair(folder / "old.key", folder / "old.crt")
    signer = broker.secrets / "gateways-ca.key", broker.secrets / "broker" / "gateways-ca.crt"
    request = folder / "old.csr"
    for command in (
        ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-keyout", str(pair.key), "-out", str(request), "-subj", f"/CN={A}"],
        ["x509", "-req", "-in", str(request), "-CAkey", str(signer[0]), "-CA", str(signer[1]),
         "-days", "-1", "-set_serial", "77", "-out", str(pair.certificate)],
    ):  # fmt: skip
        subprocess.run(["openssl", *command], check=True, capture_output=True)
    return pair


def test_nobody_else_gets_in(broker: Broker, tmp_path: Path) -> None:
    port = broker.gateways
    assert outcome(broker.connection(port)) == "refused", "without a certificate"
    assert outcome(broker.connection(port, expired(broker, tmp_path))) == "refused", "expired"
    own = Pair(tmp_path / "own-ca.key", tmp_path / "own-ca.crt")
    forged = Pair(tmp_path / "forged.key", tmp_path / "forged.crt")
    make_authority("greendc gateways CA", own)
    issue_certificate(own, forged, A, usage="clientAuth")
    assert outcome(broker.connection(port, forged)) == "refused", "an authority of one's own"
    account = broker.certificate(INGEST_ACCOUNT)
    assert outcome(broker.connection(port, account)) == "refused", "a service among gateways"
    gateway = broker.connection(broker.services, broker.certificate(A))
    assert outcome(gateway) == "refused", "a gateway among services"
    # And the right one still does: the broker is not just broken.
    assert outcome(broker.of_site(A)) in {"Success", "No matching subscribers"}


def test_the_broker_is_verified_too(broker: Broker, tmp_path: Path) -> None:
    own = Pair(tmp_path / "own-ca.key", tmp_path / "own-ca.crt")
    make_authority("another", own)
    stranger = replace(broker.of_site(A), ca_file=str(own.certificate))
    with pytest.raises(StoreUnavailableError, match="certificate verify failed"):
        probe_broker(stranger)
    assert probe_broker(broker.of_site(A)) == "MQTT 5, accepted"
    with pytest.raises(StoreUnavailableError, match="no TLS"):
        read_broker_certificate_end_s(stranger)
    server = certificate_end_s(broker.secrets / "broker" / "server.crt")
    assert read_broker_certificate_end_s(broker.of_site(A)) == server


@pytest.mark.parametrize("way", ["certificate", "password"])
def test_no_gateway_takes_over_the_session_of_another_account(broker: Broker, way: str) -> None:
    service = broker.connection(broker.services, broker.certificate(INGEST_ACCOUNT))
    client_id = "greendc-ingest-0"
    held = Client(service, client_id)
    neighbour = Client(broker.of_site(B), "gateway-1")
    assert held.wait("connect") == neighbour.wait("connect") == "connect Success"
    if way == "certificate":
        attacker = broker.of_site(A)
    else:
        lines = (broker.secrets / "broker-accounts").read_text().splitlines()
        password = dict(line.split(":") for line in lines)[A]
        attacker = broker.connection(broker.passwords, username=A, password=password)
    for wanted in (client_id, "gateway-1", B):
        thief = Client(attacker, wanted)
        assert thief.publish(OWN) in {"Success", "No matching subscribers"}
        thief.close()
    assert (held.disconnections, neighbour.disconnections) == (0, 0)
    assert held.subscribe("greendc/v1/#") == "Granted QoS 1"
    # The check can fail: between accounts of services a client id is still taken over.
    monitor = broker.connection(broker.services, broker.certificate(MONITOR_ACCOUNT))
    thief = Client(monitor, client_id)
    thief.wait("connect")
    wait_until(lambda: held.disconnections > 0, seconds=10, what="the session taken over")
    for client in (thief, held, neighbour):
        client.close()


def test_only_the_monitor_reads_what_the_broker_says_of_itself(broker: Broker) -> None:
    monitor = Client(broker.connection(broker.services, broker.certificate(MONITOR_ACCOUNT)))
    assert monitor.subscribe("$SYS/broker/version") == "Granted QoS 1"
    wait_until(lambda: "$SYS/broker/version" in monitor.messages, seconds=10, what="$SYS")
    for connection in (
        broker.of_site(A),
        broker.connection(broker.services, broker.certificate(INGEST_ACCOUNT)),
    ):
        client = Client(connection)
        client.subscribe("$SYS/#")
        # Mosquitto grants the subscription and sends nothing: a while later there still is nothing.
        client.publish("greendc/v1/nothing")
        time.sleep(0.5)
        assert client.messages == []
        client.close()
    assert monitor.publish(OWN) == "Not authorized"
    monitor.close()


def test_a_revoked_certificate_is_refused_from_the_next_start_on(broker: Broker) -> None:
    old = broker.certificate(B)
    kept = Pair(broker.secrets / "kept.key", broker.secrets / "kept.crt")
    kept.key.write_bytes(old.key.read_bytes())
    kept.certificate.write_bytes(old.certificate.read_bytes())
    write_client_certificates(broker.secrets, REGISTRY, revoke=[B])
    broker.process.restart()
    assert outcome(broker.connection(broker.gateways, kept), FOREIGN) == "refused"
    assert outcome(broker.of_site(B), FOREIGN) in {"Success", "No matching subscribers"}
    assert outcome(broker.of_site(A)) in {"Success", "No matching subscribers"}
    with pytest.raises((StoreUnavailableError, StoreMisconfiguredError)):
        probe_broker(broker.connection(broker.gateways, kept))


def test_the_ingester_works_with_a_certificate_and_its_probe_arrives(
    broker: Broker, tmp_path: Path
) -> None:
    clock = SystemClock()
    store = EmbeddedStore(tmp_path / "timeseries", 400, role="all")
    records = Records.open(f"sqlite:///{tmp_path / 'records.sqlite'}")
    service = IngestService(
        REGISTRY,
        store,
        records,
        IngestConfig(
            connection=broker.connection(broker.services, broker.certificate(INGEST_ACCOUNT)),
            client_id="greendc-ingest",
            partitions=(0,),
            partition_table={},
            spool_dir=tmp_path / "spool",
            probe_s=1.0,
        ),
        clock,
    )
    service.start()
    try:
        wait_until(lambda: service.status().connected, seconds=20, what="connected")
        now_ms = clock.now_ms()
        client = Client(broker.of_site(A))
        client.wait("connect")
        reading = json.dumps({"ts": now_ms, "values": {"active_power_kw": 1.5}})
        client.client.publish(OWN, reading, qos=1)
        wait_until(
            lambda: store.read_instants(A, "energy", "grid-a", [now_ms]) != {},
            seconds=20,
            what="the reading in the store",
        )
        wait_until(lambda: service.status().probe.state == "ok", seconds=20, what="a probe")
        client.close()
        status = service.status()
        assert status.booked.verdicts == {(A, "stored"): 1}
        assert status.probe.last_s is not None
        assert 0 < status.probe.last_s < 10
        assert set(status.last_message_ms) == {A}
        server = certificate_end_s(broker.secrets / "broker" / "server.crt")
        assert status.broker_certificate_end_s == server
    finally:
        service.stop()
        records.close()
        store.close()
