"""No room for what arrives: acknowledgement pauses and says why, and goes on by itself."""

from __future__ import annotations

import base64
import http.client
import json
import os
import random
import signal
import sqlite3
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from greendc.local_broker import find_mosquitto
from ingest.limits import LEAST_SPOOL_BYTES, MIB
from ingest.spool_files import spool_path
from tests.conftest import skip_loudly
from tests.integration.ingester import SITE, Ingester
from tests.services.fault_server import Answer, FaultProxy, Request, refusal
from tests.services.influxd import InfluxdServer
from tests.services.processes import find_free_port, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
TOPIC = f"greendc/v1/{SITE}/energy"


def readiness(port: int) -> tuple[int, dict[str, dict[str, Any]]]:
    """Status of /readyz, and its checks by name."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        return answer.status, {check["check"]: check for check in json.loads(answer.read())}
    finally:
        connection.close()


def is_ready(port: int) -> bool:
    try:
        return readiness(port)[0] == 200
    except OSError:
        return False


class Bench:
    """A real ingester whose store is behind a proxy."""

    def __init__(self, folder: Path, influxd: InfluxdServer, proxy: FaultProxy) -> None:
        self.port = find_free_port()
        self.bucket = f"limits-{uuid.uuid4().hex}"
        self.made = Ingester(
            folder,
            {
                "GREENDC_TIMESERIES__URL": proxy.url,
                "GREENDC_TIMESERIES__ORG": influxd.org,
                "GREENDC_TIMESERIES__TOKEN": influxd.token,
                "GREENDC_TIMESERIES__BUCKET": self.bucket,
                "GREENDC_HEALTH__PORT": str(self.port),
            },
        )
        self.proxy = proxy
        self.spool = folder / "data" / "spool"
        self.base_ms = int(time.time() * 1000) - 3_600_000
        self.published = 0
        self.chance = random.Random(1)

    def publish(self, count: int, padding: int = 0) -> None:
        """Numbered readings; `padding` makes them so many bytes that no packing makes smaller."""
        client = self.made.publisher()
        infos = []
        for number in range(self.published, self.published + count):
            document = {
                "ts": self.base_ms + number * 10,
                "device": "grid-a",
                "values": {"active_power_kw": float(number)},
                "note": base64.b64encode(self.chance.randbytes(padding * 3 // 4)).decode(),
            }
            infos.append(client.publish(TOPIC, json.dumps(document), qos=1))
        for info in infos:
            info.wait_for_publish(30)
        self.published += count
        client.disconnect()
        client.loop_stop()

    def settle(self) -> None:
        ledger = self.made.drained(self.published)
        assert ledger["stored"] == self.published
        assert self.made.values("grid-a") == [float(number) for number in range(self.published)]


@pytest.fixture
def bench(tmp_path: Path, influxd: InfluxdServer) -> Iterator[Bench]:
    if find_mosquitto() is None:
        skip_loudly("no mosquitto on this machine: apt-get install mosquitto")
    with FaultProxy(influxd.url) as proxy:
        made = Bench(tmp_path / "one", influxd, proxy)
        yield made
        made.made.close()
        influxd.remove_buckets(made.bucket)


def test_a_store_that_refuses_us_keeps_the_data_and_turns_health_red(bench: Bench) -> None:
    made = bench.made
    made.start()
    bench.publish(20)
    bench.settle()
    assert is_ready(bench.port)

    def may_read_only(request: Request) -> Answer | None:
        return refusal(403, "forbidden") if request.path == "/api/v2/write" else None

    bench.proxy.rule = may_read_only
    bench.publish(20)
    wait_until(lambda: not is_ready(bench.port), seconds=120, what="red")
    status, checks = readiness(bench.port)
    assert status == 503
    # It may read: only the work itself sees what is wrong, and says what to do.
    assert checks["store"]["ok"]
    assert not checks["forwarding"]["ok"]
    assert "GREENDC_TIMESERIES__TOKEN" in checks["forwarding"]["detail"]
    assert made.ledger()["spooled"] == 20
    bench.proxy.rule = lambda request: None
    wait_until(lambda: is_ready(bench.port), seconds=120, what="green")
    bench.settle()
    # A store that hangs, and SIGTERM in the middle of it.
    bench.proxy.rule = lambda request: Answer(fault="hang")
    bench.publish(200)
    wait_until(lambda: made.ledger()["spooled"] == 200, seconds=120, what="spooled")
    began = time.monotonic()
    assert made.end(signal.SIGTERM) == 0
    assert time.monotonic() - began < 10
    bench.proxy.rule = lambda request: None
    made.start()
    bench.settle()


@pytest.mark.acceptance
def test_at_its_configured_size_the_spool_takes_no_more_and_drops_nothing(bench: Bench) -> None:
    made = bench.made
    made.environment["GREENDC_INGEST__SPOOL_BYTES"] = str(LEAST_SPOOL_BYTES)
    # Away from the beginning: nothing is known of what is held, so the bytes of all are kept.
    bench.proxy.rule = lambda request: refusal(503, "unavailable", Retry_After="1")
    made.start()
    bench.publish(110, padding=240_000)
    wait_until(
        lambda: not readiness(bench.port)[1]["spool"]["ok"], seconds=120, what="the spool is full"
    )
    detail = readiness(bench.port)[1]["spool"]["detail"]
    assert f"{LEAST_SPOOL_BYTES} are allowed" in detail
    assert "GREENDC_INGEST__SPOOL_BYTES" in detail
    spooled = made.ledger()["spooled"]
    assert 40 < spooled < 110
    # The file, and SQLite's log beside it.
    size = sum(path.stat().st_size for path in bench.spool.iterdir())
    assert LEAST_SPOOL_BYTES * 0.8 < size <= LEAST_SPOOL_BYTES + 16 * MIB
    # It can be ended and started in this state.
    assert made.end(signal.SIGTERM) == 0
    made.start()
    assert made.ledger()["spooled"] >= spooled
    bench.proxy.rule = lambda request: None
    bench.settle()
    wait_until(lambda: is_ready(bench.port), seconds=120, what="green")


def fill_disk(bench: Bench, rounds: int) -> None:
    bench.spool.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(bench.spool)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        skip_loudly("a small disk needs the right to mount a tmpfs (root)")
    try:
        bench.made.start()
        ballast = bench.spool / "ballast"
        for _ in range(rounds):
            with ballast.open("wb", buffering=0) as file:
                while (disk := os.statvfs(bench.spool)).f_bavail * disk.f_frsize > 8192:
                    file.write(b"x" * 4096)
            bench.publish(50)
            wait_until(
                lambda: not readiness(bench.port)[1]["spool"]["ok"], seconds=120, what="full"
            )
            assert "free space" in readiness(bench.port)[1]["spool"]["detail"]
            assert bench.made.ledger()["received"] < bench.published
            ballast.unlink()
            wait_until(lambda: is_ready(bench.port), seconds=120, what="room again")
            bench.settle()
        assert bench.made.end(signal.SIGTERM) == 0
        connection = sqlite3.connect(spool_path(bench.spool, 0))
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()
    finally:
        bench.made.close()
        subprocess.run(["umount", "-l", str(bench.spool)], check=True)


def test_a_full_disk_pauses_and_goes_on_by_itself(bench: Bench) -> None:
    fill_disk(bench, 1)


@pytest.mark.acceptance
@pytest.mark.timeout(1200)
def test_a_full_disk_twenty_times(bench: Bench) -> None:
    fill_disk(bench, 20)
