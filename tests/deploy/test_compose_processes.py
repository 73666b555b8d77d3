"""Every service of the Compose file as a process, with its command, environment and secrets.

Names of containers become loopback addresses and mount points become folders; nothing else of what
the file says is changed.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from core.site_files import build_registry
from greendc.broker_secrets import BROKER_FOLDER, write_secrets
from tests.conftest import REPOSITORY
from tests.services.influxd import InfluxdServer
from tests.services.mosquitto import MosquittoBroker
from tests.services.processes import ServiceProcess, accepts_connections, find_free_port, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
SITE = "kakao-ansan"
ORDER = ("ingest", "analytics", "dashboard", "sims")


@dataclass
class Deployment:
    """The running services and where what they name lies."""

    project: Mapping[str, Any]
    folder: Path
    influx_url: str
    broker: MosquittoBroker
    tls_port: int
    board_port: int = field(default_factory=find_free_port)
    health_ports: dict[str, int] = field(default_factory=dict)
    processes: dict[str, ServiceProcess] = field(default_factory=dict)

    def translate(self, text: str) -> str:
        """A value of the file as it is on this machine."""
        places = {
            "mqtt://mosquitto:1883": self.broker.url,
            "http://influxdb:8086": self.influx_url,
            "/var/lib/greendc": str(self.folder / "data"),
            "/run/secrets": str(self.folder / "secrets"),
            "/etc/greendc": str(self.folder / "etc"),
            "0.0.0.0": "127.0.0.1",
        }
        for there, here in places.items():
            text = text.replace(there, here)
        return text

    def environment(self, name: str) -> dict[str, str]:
        """The environment of a service; on one network no two have the same port."""
        declared = self.project["services"][name]["environment"]
        found = {key: self.translate(value) for key, value in declared.items()}
        if name == "dashboard":
            found["GREENDC_BOARD__PORT"] = str(self.board_port)
        else:
            self.health_ports.setdefault(name, find_free_port())
            found["GREENDC_HEALTH__PORT"] = str(self.health_ports[name])
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("GREENDC_")}
        return {**inherited, **found}

    def start(self, name: str) -> None:
        service = self.project["services"][name]
        process = ServiceProcess(name, self.folder / f"{name}.log")
        self.processes[name] = process
        process.launch(
            [sys.executable, "-m", "greendc", *service["command"]], self.environment(name)
        )
        if not service["healthcheck"].get("disable"):
            port = self.board_port if name == "dashboard" else self.health_ports[name]
            process.wait_ready(lambda: accepts_connections(port), seconds=120.0)
            assert self.is_healthy(name), process.log_tail()

    def is_healthy(self, name: str) -> bool:
        """What the service's own health check says."""
        _, python, script, address = self.project["services"][name]["healthcheck"]["test"]
        assert python.endswith("/bin/python")
        port = self.board_port if name == "dashboard" else self.health_ports[name]
        here = address.replace(":8050/", f":{port}/").replace(":9464/", f":{port}/")
        script = str(REPOSITORY / Path(script).relative_to("/app"))
        done = subprocess.run([sys.executable, script, here], capture_output=True, check=False)
        return done.returncode == 0

    def ask(self, *command: str) -> Any:
        """A question of the command line, asked with the ingester's environment."""
        done = subprocess.run(
            [sys.executable, "-m", "greendc", *command, "--json"],
            env=self.environment("ingest"),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def deployment(
    project: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    from tests.conftest import skip_loudly

    for missing in (MosquittoBroker.missing(), InfluxdServer.missing(own_process=True)):
        if missing is not None:
            skip_loudly(missing)
    folder = tmp_path_factory.mktemp("deployment")
    (folder / "etc" / "sites").mkdir(parents=True)
    (folder / "etc" / "mappings").mkdir()
    (folder / "data").mkdir()
    source = REPOSITORY / "config" / "sites" / f"{SITE}.toml"
    shutil.copy(source, folder / "etc" / "sites")
    shutil.copy(REPOSITORY / "config" / "factors.toml", folder / "etc")
    registry = build_registry({SITE: source.read_text(encoding="utf-8")})
    write_secrets(folder / "secrets", registry, ["gateway.example"])
    influx = InfluxdServer(folder / "influxdb", own_process=True)
    # As the image does at its first start with the files that the Compose file names.
    influx.token = (folder / "secrets" / "influxdb-token").read_text().strip()
    broker = MosquittoBroker(folder / "broker")
    tls_port = find_free_port()
    broker.config = broker_configuration(folder, broker.port, tls_port)
    made = Deployment(project, folder, influx.url, broker, tls_port)
    try:
        influx.start()
        broker.start()
        for name in ORDER:
            made.start(name)
        yield made
    finally:
        for process in made.processes.values():
            process.end(signal.SIGKILL)
        broker.stop()
        influx.stop()


def broker_configuration(folder: Path, port: int, tls_port: int) -> str:
    """The configuration that `make secrets` wrote, with this machine's places."""
    (folder / "broker").mkdir()
    text = (folder / "secrets" / "broker" / "mosquitto.conf").read_text(encoding="utf-8")
    assert "listener 1883 0.0.0.0" in text
    assert "listener 8883" in text
    for there, here in {
        "listener 1883 0.0.0.0": f"listener {port} 127.0.0.1",
        "listener 8883": f"listener {tls_port} 127.0.0.1",
        "listener 8884": f"listener {find_free_port()} 127.0.0.1",
        "listener 8885": f"listener {find_free_port()} 127.0.0.1",
        "/mosquitto/data": str(folder / "broker"),
        str(BROKER_FOLDER): str(folder / "secrets" / "broker"),
    }.items():
        text = text.replace(there, here)
    return text + ("user root\n" if os.geteuid() == 0 else "")


def test_readings_go_from_the_simulators_to_the_store_and_balance(deployment: Deployment) -> None:
    def stored() -> int:
        answer = deployment.ask("ledger", *_period())
        assert answer["balanced"] is True
        return int(answer["stored"])

    wait_until(lambda: stored() > 0, seconds=180.0, what="readings are stored", every=2.0)
    series = ["--device", "grid-a", "--metric", "active_power_kw"]
    samples = deployment.ask("samples", *_period(), *series)
    assert samples["unit"] == "kW"
    assert samples["samples"]


def _period() -> list[str]:
    from datetime import UTC, datetime, timedelta

    now = datetime.now(UTC)
    start, end = now - timedelta(hours=2), now + timedelta(hours=1)
    return ["--site", SITE, "--from", start.isoformat(), "--to", end.isoformat()]


def test_the_board_answers_and_its_first_password_is_written(deployment: Deployment) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", deployment.board_port, timeout=10)
    connection.request("GET", "/")
    answer = connection.getresponse()
    assert answer.status == 303
    assert answer.headers["Location"].startswith("/login")
    connection.close()
    written = deployment.folder / "data" / "first-password"
    assert written.stat().st_mode & 0o077 == 0
    assert len(written.read_text().strip()) >= 16


@pytest.mark.parametrize("name", ["ingest", "analytics"])
def test_a_process_is_ready(deployment: Deployment, name: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", deployment.health_ports[name], timeout=10)
    connection.request("GET", "/readyz")
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    connection.close()


def test_a_gateway_publishes_over_tls_under_its_sites_account(
    deployment: Deployment, publish_over_tls: Callable[[str, str, str], str]
) -> None:
    accounts = dict(
        line.split(":")
        for line in (deployment.folder / "secrets" / "broker-accounts").read_text().splitlines()
    )
    assert list(accounts) == [SITE]
    own = f"greendc/v1/{SITE}/energy/grid-a"
    assert publish_over_tls(SITE, accounts[SITE], own) == "Success"
    foreign = "greendc/v1/naver-gak-sejong/energy/grid-a"
    assert publish_over_tls(SITE, accounts[SITE], foreign) == "Not authorized"
    assert publish_over_tls(SITE, "guessed", own) == "refused"


@pytest.fixture
def publish_over_tls(deployment: Deployment) -> Callable[[str, str, str], str]:
    """Publishes one message over TLS with the authority of `make secrets`; the broker's word."""

    def publish(account: str, password: str, topic: str) -> str:
        answers: list[str] = []
        done = threading.Event()

        def on_connect(
            client: paho.Client, userdata: object, flags: object, reason: Any, properties: object
        ) -> None:
            if reason.is_failure:
                answers.append("refused")
                done.set()
                return
            client.publish(topic, b"not json", qos=1)

        def on_publish(
            client: paho.Client, userdata: object, mid: int, reason: object, properties: object
        ) -> None:
            answers.append(str(reason))
            done.set()

        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        client.username_pw_set(account, password)
        authority = deployment.folder / "secrets" / "broker" / "ca.crt"
        client.tls_set_context(ssl.create_default_context(cafile=str(authority)))
        client.on_connect = on_connect
        client.on_publish = on_publish
        client.connect("localhost", deployment.tls_port)
        client.loop_start()
        try:
            assert done.wait(15), "the broker said nothing"
        finally:
            client.disconnect()
            client.loop_stop()
        return answers[0]

    return publish


def test_sigterm_ends_every_service_within_ten_seconds(deployment: Deployment) -> None:
    for name in reversed(ORDER):
        process = deployment.processes[name]
        pid = process.pid
        assert pid is not None
        process.end(signal.SIGTERM, seconds=10.0)
        assert not Path(f"/proc/{pid}").exists(), name
        assert "Traceback" not in process.log_tail(20_000), process.log_tail(3000)


def test_secrets_are_made_once_and_follow_the_registry(tmp_path: Path) -> None:
    texts = {
        name: (REPOSITORY / "config" / "sites" / f"{name}.toml").read_text(encoding="utf-8")
        for name in (SITE, "naver-gak-sejong")
    }
    folder = tmp_path / "secrets"
    write_secrets(folder, build_registry({SITE: texts[SITE]}), [])
    assert folder.stat().st_mode & 0o777 == 0o700
    before = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert (folder / "ca.key").stat().st_mode & 0o777 == 0o600
    again = write_secrets(folder, build_registry(texts), ["broker.example", "192.0.2.7"])
    assert set(again.made) == {"broker/server.key", "broker/server.crt"}
    kept = ("influxdb-token", "influxdb-password", "mqtt-ingest-password", "ca.key", "ca.crt")
    for path in folder.rglob("*"):
        if path.name in kept:
            assert path.read_bytes() == before[path.name], path.name
    accounts = (folder / "broker-accounts").read_text(encoding="utf-8")
    assert before["broker-accounts"].decode() in accounts
    assert "naver-gak-sejong:" in accounts
    shown = subprocess.run(
        ["openssl", "x509", "-in", folder / "broker" / "server.crt", "-noout", "-text"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "DNS:broker.example, IP Address:192.0.2.7" in shown
