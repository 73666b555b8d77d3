"""Processes that cannot start say why and end with 2; those that run end within ten seconds."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from greendc.local_broker import find_mosquitto
from tests.conftest import skip_loudly
from tests.integration.ingester import SITE, Ingester
from tests.services.processes import find_free_port, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.fixture
def ingester(tmp_path: Path) -> Iterator[Ingester]:
    if find_mosquitto() is None:
        skip_loudly("no mosquitto on this machine: apt-get install mosquitto")
    made = Ingester(tmp_path / "one")
    yield made
    made.close()


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield int(holder.getsockname()[1])


def run(made: Ingester, command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "greendc", command],
        env={**os.environ, **made.environment, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_taken_port_is_named_with_its_variable(ingester: Ingester, taken_port: int) -> None:
    done = run(ingester, "dashboard", GREENDC_BOARD__PORT=str(taken_port))
    assert done.returncode == 2
    assert f"127.0.0.1:{taken_port}" in done.stderr
    assert "GREENDC_BOARD__PORT" in done.stderr
    # The first account's password is shown once: not by a start that came to nothing.
    assert "password" not in done.stdout
    done = run(ingester, "ingest", GREENDC_HEALTH__PORT=str(taken_port))
    assert done.returncode == 2
    assert "GREENDC_HEALTH__PORT" in done.stderr


def test_a_second_ingester_names_the_first(ingester: Ingester) -> None:
    ingester.start()
    assert ingester.process is not None
    done = run(ingester, "ingest")
    assert done.returncode == 2
    assert str(ingester.process.pid) in done.stderr


def get(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except OSError:
        return 0, ""
    finally:
        connection.close()


def test_everything_in_one_tree_is_ready_answers_and_ends(ingester: Ingester) -> None:
    board, health = find_free_port(), find_free_port()
    first = ingester.folder / "first-password"
    ingester.environment |= {
        "GREENDC_BOARD__PORT": str(board),
        "GREENDC_HEALTH__PORT": str(health),
        "GREENDC_BOARD__FIRST_PASSWORD_FILE": str(first),
    }
    ingester.command = (sys.executable, "-m", "greendc", "serve")
    ingester.start()
    wait_until(lambda: get(board, "/readyz")[0] == 200, seconds=40, what="the board ready")
    wait_until(lambda: get(health, "/readyz")[0] == 200, seconds=20, what="the ingester ready")
    assert first.stat().st_mode & 0o777 == 0o600
    assert first.read_text().strip() in ingester.log.read_text()
    status, metrics = get(health, "/metrics")
    assert status == 200
    assert "greendc_ingest_connected 1.0" in metrics
    assert get(board, "/")[0] == 303
    client = ingester.publisher()
    payload: dict[str, Any] = {"ts": int(time.time() * 1000), "values": {"active_power_kw": 1.0}}
    topic = f"greendc/v1/{SITE}/energy/grid-a"
    client.publish(topic, json.dumps(payload), qos=1).wait_for_publish(timeout=10)
    assert ingester.drained(1)["stored"] == 1
    # Every command answers while the service runs.
    checks = {check["check"]: check for check in ingester.ask_any("doctor")}
    assert checks["settings"]["ok"]
    assert checks["records"]["ok"]
    assert any(name.startswith("broker") and check["ok"] for name, check in checks.items())
    began = time.monotonic()
    assert ingester.end(signal.SIGTERM) == 0
    assert time.monotonic() - began < 10
    assert get(board, "/healthz")[0] == 0


def test_the_ingester_ends_in_time_while_the_store_is_away(tmp_path: Path) -> None:
    if find_mosquitto() is None:
        skip_loudly("no mosquitto on this machine: apt-get install mosquitto")
    with socket.socket() as silent:
        # A store that takes connections and never answers.
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        store = {
            "GREENDC_TIMESERIES__URL": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "GREENDC_TIMESERIES__TOKEN": "none",
            "GREENDC_INGEST__PROBE_S": "0.5",
        }
        made = Ingester(tmp_path / "one", store)
        try:
            made.start()
            client = made.publisher()
            payload = {"ts": int(time.time() * 1000), "values": {"active_power_kw": 1.0}}
            topic = f"greendc/v1/{SITE}/energy/grid-a"
            client.publish(topic, json.dumps(payload), qos=1).wait_for_publish(timeout=10)
            wait_until(lambda: made.ledger()["spooled"] == 1, seconds=20, what="spooled")
            began = time.monotonic()
            assert made.end(signal.SIGTERM) == 0
            assert time.monotonic() - began < 10
        finally:
            made.close()
