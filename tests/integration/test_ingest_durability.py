"""Nothing acknowledged is lost: kills, the order of fsync and acknowledgement, poison, outages."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from core.periods import Period
from greendc.local_broker import find_mosquitto
from tests.conftest import skip_loudly
from tests.integration.ingester import SITE, Ingester
from tests.services.fault_server import Answer, FaultProxy, Request, refusal
from tests.services.influxd import InfluxdServer
from tests.services.processes import find_free_port, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
TOPIC = f"greendc/v1/{SITE}/energy"


@pytest.fixture
def ingester(tmp_path: Path) -> Iterator[Ingester]:
    if find_mosquitto() is None:
        skip_loudly("no mosquitto on this machine: apt-get install mosquitto")
    made = Ingester(tmp_path / "one")
    yield made
    made.close()


# Numbers in a kilowatt: a million of them stay plausible.
_PER_KW = 8
_AT_ONCE = 200_000


def document(
    number: int, base_ms: int, device: str = "grid-a", *, value: float | None = None
) -> bytes:
    values = {"active_power_kw": float(number) if value is None else value}
    return json.dumps({"ts": base_ms + number, "device": device, "values": values}).encode()


def kill_loop(
    ingester: Ingester,
    kills: int,
    seed: int,
    calm: Callable[[], None] = lambda: None,
    faults: Callable[[], int] | None = None,
) -> None:
    """Publish numbered readings at 1,000 a second or more while the ingester is killed.

    Args:
        calm: Ends the faults of the store, after the last kill.
        faults: Writes that the store failed so far. Each third kill waits for another one: on a
            slow machine most lives would else be over before their first write.
    """
    ingester.start()
    client = ingester.publisher()
    base_ms = int(time.time() * 1000) - 6 * 3_600_000
    published = [0]
    stop = threading.Event()

    def publish() -> None:
        infos: list[Any] = []
        while not stop.is_set():
            for _ in range(50):
                number = published[0]
                sent = document(number, base_ms, value=number / _PER_KW)
                infos.append(client.publish(TOPIC, sent, qos=1))
                published[0] += 1
            infos = [info for info in infos if not info.is_published()]
            stop.wait(0.035)
        for info in infos:
            info.wait_for_publish(timeout=30)

    thread = threading.Thread(target=publish)
    thread.start()
    chance = random.Random(seed)
    for number in range(kills):
        if faults is not None and number % 3 == 0:
            await_more(faults)
        time.sleep(chance.uniform(0.05, 0.6))
        ingester.end(signal.SIGKILL)
        ingester.start(wait=chance.random() < 0.7)
    stop.set()
    thread.join()
    calm()
    # One session, one topic: when the last has come, so has everything, or it never will.
    client.publish(TOPIC, document(0, base_ms, "grid-b"), qos=1).wait_for_publish(timeout=30)
    client.disconnect()
    client.loop_stop()
    wait_until(lambda: ingester.values("grid-b") == [0.0], seconds=240, what="the last reading")
    wait_until(lambda: not ingester.ledger()["spooled"], seconds=240, what="the spool drained")
    ledger = ingester.ledger()
    assert ledger["balanced"]
    # Enough between two kills to catch a wrong order; how fast this machine is, is no matter here.
    assert published[0] > 300 * kills
    stored = f"of {published[0] + 1} published {ledger['stored']} are stored"
    assert ledger["stored"] == published[0] + 1, stored
    assert ledger["received"] == ledger["stored"] + ledger["duplicate"]
    # Nothing lost, nothing invented, nothing doubled: each number once, in order.
    # A million values at once would be a long answer: by spans of so many, and what lies beyond.
    assert ingester.values("grid-a", period=Period.of_ms(base_ms - 10**8, base_ms)) == []
    for first in range(0, published[0] + 1, _AT_ONCE):
        last = min(first + _AT_ONCE, published[0])
        span = Period.of_ms(base_ms + first, base_ms + first + _AT_ONCE)
        wanted = [number / _PER_KW for number in range(first, last)]
        assert ingester.values("grid-a", period=span) == wanted
    assert ingester.end(signal.SIGTERM) == 0


def await_more(faults: Callable[[], int]) -> None:
    before = faults()
    wait_until(lambda: faults() > before, seconds=90, what="a failed write")


class Moods:
    """A store that fails at random: refusals of every kind, and answers lost after the work."""

    def __init__(self, proxy: FaultProxy, seed: int) -> None:
        self._proxy = proxy
        self._chance = random.Random(seed)
        self.failed_writes = 0

    def __call__(self, request: Request) -> Answer | None:
        mood = self._chance.choice(["well"] * 8 + list(MOODS))
        if request.path != "/api/v2/write":
            # Questions fail, too, but seldom: each life begins with several.
            mood = "503" if self._chance.random() < 0.05 else "well"
        elif mood != "well":
            self.failed_writes += 1
        if mood == "well":
            return None
        answer, applied = MOODS[mood]
        if applied:
            self._proxy.pass_on(request)
        return answer


MOODS: dict[str, tuple[Answer, bool]] = {
    "reset": (Answer(fault="reset"), False),
    "401": (refusal(401, "unauthorized access"), False),
    "429": (refusal(429, "slow down", Retry_After="1"), False),
    "503": (refusal(503, "unavailable"), False),
    "500 after the work": (refusal(500, "timeout"), True),
    "reply lost": (Answer(fault="reset"), True),
}


@contextmanager
def faulty_store(
    folder: Path, influxd: InfluxdServer, seed: int, command: Sequence[str] | None = None
) -> Iterator[tuple[Ingester, FaultProxy, Moods]]:
    """An ingester in front of a real InfluxDB that fails at random."""
    if find_mosquitto() is None:
        skip_loudly("no mosquitto on this machine: apt-get install mosquitto")
    bucket = f"kills-{uuid.uuid4().hex}"
    with FaultProxy(influxd.url) as proxy:
        moods = Moods(proxy, seed)
        proxy.rule = moods
        store = {
            "GREENDC_TIMESERIES__URL": proxy.url,
            "GREENDC_TIMESERIES__ORG": influxd.org,
            "GREENDC_TIMESERIES__TOKEN": influxd.token,
            "GREENDC_TIMESERIES__BUCKET": bucket,
        }
        made = Ingester(folder, store)
        if command is not None:
            made.command = command
        try:
            yield made, proxy, moods
        finally:
            made.close()
            influxd.remove_buckets(bucket)


def kill_with_faults(
    folder: Path,
    influxd: InfluxdServer,
    kills: int,
    seed: int,
    command: Sequence[str] | None = None,
) -> None:
    with faulty_store(folder, influxd, seed, command) as (made, proxy, moods):

        def calm() -> None:
            proxy.rule = lambda request: None

        kill_loop(made, kills, seed, calm, lambda: moods.failed_writes)


def test_twenty_kills_lose_invent_and_double_nothing(
    tmp_path: Path, influxd: InfluxdServer
) -> None:
    kill_with_faults(tmp_path / "one", influxd, 20, seed=1)


def test_a_mutant_that_acknowledges_first_does_not_survive_the_kills(
    tmp_path: Path, influxd: InfluxdServer
) -> None:
    command = (sys.executable, "-c", MUTANT)
    with pytest.raises(AssertionError, match=r"published \d+ are stored"):
        kill_with_faults(tmp_path / "mutant", influxd, 3, seed=4, command=command)


@pytest.mark.acceptance
@pytest.mark.timeout(3000)
def test_two_hundred_kills(tmp_path: Path, influxd: InfluxdServer) -> None:
    kill_with_faults(tmp_path / "one", influxd, 200, seed=2)


@pytest.mark.acceptance
@pytest.mark.timeout(3000)
def test_kills_in_front_of_the_embedded_store(ingester: Ingester) -> None:
    kill_loop(ingester, 60, seed=3)


_CALL = re.compile(r"^(?P<pid>\d+)\s+(?P<time>[\d.]+) (?P<call>\w+)\((?P<rest>.*)$")


def unsynced_acknowledgements(trace: Path) -> tuple[int, int]:
    """PUBACKs in a trace, and how many of them left without an fsync since the receipt before.

    Messages come one by one and far apart, so between a receipt and its PUBACK there must be a
    finished fsync or fdatasync.
    """
    synced = False
    sent = faults = 0
    for line in trace.read_text(errors="replace").splitlines():
        if "PUBLISHED" in line or ("recvfrom" in line and "greendc/v1" in line):
            synced = False
        elif re.search(r"\b(fsync|fdatasync)\b.*= 0", line):
            synced = True
        elif re.search(r'sendto\(\d+, "@\\2', line):
            sent += 1
            faults += not synced
    return sent, faults


MUTANT = """
import sys
import time
from ingest.partition import Partition
original = Partition._commit_and_acknowledge
def acknowledge_first(self, commit, messages):
    self.subscriber.acknowledge(messages)
    time.sleep(0.1)
    self.subscriber.acknowledge, kept = (lambda messages: 0), self.subscriber.acknowledge
    try:
        return original(self, commit, messages)
    finally:
        self.subscriber.acknowledge = kept
Partition._commit_and_acknowledge = acknowledge_first
from greendc.cli import main
sys.exit(main(["ingest"]))
"""


@pytest.mark.parametrize("mutant", [False, True], ids=["as_it_is", "acknowledging_first"])
def test_no_acknowledgement_leaves_before_its_commit_is_on_disk(
    tmp_path: Path, mutant: bool
) -> None:
    if find_mosquitto() is None or shutil.which("strace") is None:
        skip_loudly("no mosquitto or strace on this machine: apt-get install mosquitto strace")
    trace = tmp_path / "trace"
    program = (
        [sys.executable, "-c", MUTANT] if mutant else [sys.executable, "-m", "greendc", "ingest"]
    )
    calls = "trace=fsync,fdatasync,sendto,recvfrom"
    command = ["strace", "-f", "-ttt", "-s", "64", "-e", calls, "-o", str(trace), *program]
    made = Ingester(tmp_path / "one", command=command)
    try:
        made.start()
        client = made.publisher()
        base_ms = int(time.time() * 1000) - 3_600_000
        for number in range(14):
            client.publish(TOPIC, document(number, base_ms), qos=1).wait_for_publish(timeout=10)
            # Far enough apart for the forwarding of one to be over before the next arrives: its
            # own syncs must not be taken for the commit's.
            time.sleep(0.6)
        made.drained(14)
        client.disconnect()
        client.loop_stop()
        assert made.process is not None
        # strace keeps signals to itself: the program that it started is ended instead.
        strace = made.process.pid
        (child,) = Path(f"/proc/{strace}/task/{strace}/children").read_text().split()
        os.kill(int(child), signal.SIGTERM)
        made.process.wait(timeout=15)
        sent, faults = unsynced_acknowledgements(trace)
        assert sent >= 12
        assert faults >= 8 if mutant else faults == 0, (sent, faults)
    finally:
        made.close()


def test_poison_does_not_block_the_queue(ingester: Ingester) -> None:
    ingester.start()
    client = ingester.publisher()
    base_ms = int(time.time() * 1000) - 3_600_000
    poison = [b"", b"[" * 50_000, b"\xff\xfe", b'{"ts": NaN}', b"null", b"\x00" * 300_000]
    for number in range(60):
        client.publish(TOPIC, poison[number % len(poison)], qos=1)
        client.publish(TOPIC, document(number, base_ms), qos=1).wait_for_publish(timeout=10)
    ledger = ingester.drained(120)
    assert ledger["stored"] == 60
    assert ledger["quarantined"] == 50
    assert ledger["rejected"] == 10
    assert ingester.values("grid-a") == [float(number) for number in range(60)]
    entries = ingester.ask("quarantine", "list", "--site", SITE)
    assert len(entries) == 50
    assert {entry["reason"] for entry in entries} == {
        "empty_message",
        "too_deep",
        "byte_order_mark",
        "not_a_number",
        "wrong_shape",
    }
    assert all(entry["time"] >= later["time"] for entry, later in pairwise(entries))


def test_mending_and_replaying_what_was_quarantined(ingester: Ingester) -> None:
    ingester.start()
    client = ingester.publisher()
    base_ms = int(time.time() * 1000) - 3_600_000
    for value in (1.0, 2.0):
        payload = json.dumps(
            {"ts": base_ms, "device": "grid-a", "values": {"active_power_kw": value}}
        )
        client.publish(TOPIC, payload, qos=1).wait_for_publish(timeout=10)
        ingester.drained(int(value))
    (entry,) = ingester.ask("quarantine", "list")
    assert entry["reason"] == "conflicting_value"
    (answer,) = ingester.ask("quarantine", "replay", entry["id"])
    assert "conflicting_value" in answer["outcome"]
    (answer,) = ingester.ask("quarantine", "replay", entry["id"], "--as-correction")
    assert answer["outcome"] == "replayed"
    assert ingester.values("grid-a") == [2.0]
    ledger = ingester.ledger()
    assert (ledger["received"], ledger["stored"], ledger["quarantined"]) == (2, 2, 0)


def test_broker_gone_and_back(ingester: Ingester) -> None:
    ingester.start()
    client = ingester.publisher()
    base_ms = int(time.time() * 1000) - 3_600_000
    client.publish(TOPIC, document(0, base_ms), qos=1).wait_for_publish(timeout=10)
    ingester.drained(1)
    process = ingester.broker._process  # type: ignore[attr-defined]
    process.send_signal(signal.SIGSTOP)
    time.sleep(2)
    process.send_signal(signal.SIGCONT)
    client.publish(TOPIC, document(1, base_ms), qos=1).wait_for_publish(timeout=20)
    assert ingester.drained(2)["stored"] == 2


def test_store_down_at_start_and_later(tmp_path: Path, new_influxd: Any) -> None:
    server = new_influxd()
    store = {
        "GREENDC_TIMESERIES__URL": server.url,
        "GREENDC_TIMESERIES__ORG": server.org,
        "GREENDC_TIMESERIES__TOKEN": server.token,
    }
    made = Ingester(tmp_path / "one", store)
    try:
        made.start()
        client = made.publisher()
        base_ms = int(time.time() * 1000) - 3_600_000
        for number in range(10):
            client.publish(TOPIC, document(number, base_ms), qos=1).wait_for_publish(timeout=10)
        wait_until(lambda: made.ledger()["spooled"] == 10, seconds=20, what="spooled")
        assert made.ledger()["balanced"]
        assert b"the store" in made.log.read_bytes()
        server.start()
        assert made.drained(10)["stored"] == 10
        assert made.values("grid-a") == [float(number) for number in range(10)]
        server.kill()
        client.publish(TOPIC, document(10, base_ms), qos=1).wait_for_publish(timeout=10)
        wait_until(lambda: made.ledger()["spooled"] == 1, seconds=20, what="spooled")
        server.start()
        assert made.drained(11)["stored"] == 11
        assert made.end(signal.SIGTERM) == 0
    finally:
        made.close()


def test_broker_down_at_start_is_said_and_waited_for(tmp_path: Path) -> None:
    if find_mosquitto() is None:
        skip_loudly("no mosquitto on this machine: apt-get install mosquitto")
    made = Ingester(tmp_path / "one")
    try:
        port = find_free_port()
        made.environment["GREENDC_MQTT__URL"] = f"mqtt://127.0.0.1:{port}"
        made.start(wait=False)
        wait_until(
            lambda: (
                f"no broker answers at mqtt://127.0.0.1:{port}".encode() in made.log.read_bytes()
            ),
            seconds=20,
            what="a clear word on the broker",
        )
        assert made.end(signal.SIGTERM) == 0
    finally:
        made.close()
