"""Every fault of the store, on a real InfluxDB behind a proxy: exact counts, no loss, no double."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from core.clock import SystemClock
from core.errors import (
    StoreError,
    StoreMisconfiguredError,
    StoreRejectedError,
    StoreUnavailableError,
)
from core.ledger import LedgerCounts, QuarantineEntry
from core.periods import Period, to_ms
from core.site_files import build_registry
from ingest.forward import Forwarder
from ingest.intake import Intake
from ingest.ledger import read_ledger
from ingest.messages import RawMessage
from ingest.spool import Spool
from storage.influx import store as store_module
from storage.influx.line_protocol import gzip_bodies
from storage.influx.store import InfluxStore
from storage.records.store import Records
from tests.ingest.registry import REGISTRY_FILE
from tests.services.fault_server import Answer, FaultProxy, Request, refusal
from tests.services.influxd import InfluxdServer
from tests.services.processes import wait_until

REGISTRY = build_registry({"test": REGISTRY_FILE})
SITE = "test-dc"
POWER, ENERGY = "active_power_kw", "active_energy_kwh"


@pytest.fixture(scope="module")
def blank_records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of records with its schema; copying it is faster than making it."""
    path = tmp_path_factory.mktemp("records") / "records.sqlite"
    Records.open(f"sqlite:///{path}").close()
    return path


@dataclass
class Bench:
    """Spool, forwarder and records of one partition; its InfluxDB behind a proxy."""

    folder: Path
    proxy: FaultProxy
    server: InfluxdServer
    bucket: str
    records: Records
    raw_days: int = 0
    timeout_s: float = 1.0
    published: dict[tuple[str, int], float] = field(default_factory=dict)
    errors: list[StoreError] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = SystemClock()
        self.base_ms = self.clock.now_ms() - 3_600_000
        self.intake = Intake(REGISTRY, site_readings_per_s=1e9)
        self.begin()

    def begin(self) -> None:
        self.store = InfluxStore(
            self.proxy.url,
            self.server.org,
            self.bucket,
            self.server.token,
            self.raw_days,
            timeout_s=self.timeout_s,
        )
        self.spool = Spool(self.folder / "spool", 0)
        self.forwarder = Forwarder(self.spool, self.store, self.records, registry=REGISTRY)

    def end(self) -> None:
        self.spool.close()
        self.store.close()

    def restart(self) -> None:
        """A new life of the process on the same files."""
        self.end()
        self.begin()

    def receive(
        self,
        first: int,
        count: int,
        metric: str = POWER,
        base_ms: int | None = None,
        step_ms: int = 1000,
    ) -> None:
        """One message of numbered readings."""
        base_ms = self.base_ms if base_ms is None else base_ms
        rows = [
            {
                "ts": base_ms + n * step_ms,
                "device": "grid-a",
                "values": {metric: float(n)},
            }
            for n in range(first, first + count)
        ]
        self.receive_rows(rows)
        self.published |= {
            (metric, base_ms + n * step_ms): float(n) for n in range(first, first + count)
        }

    def receive_rows(self, rows: list[Any]) -> None:
        payload = json.dumps(rows).encode()
        now_ms = self.clock.now_ms()
        message = RawMessage(f"greendc/v1/{SITE}/energy", payload, now_ms)
        self.spool.append(self.intake.take([message]), now_ms)

    def try_once(self) -> int:
        """One round; an error of the store is kept, and the ledger adds up whatever happens."""
        moved = 0
        try:
            moved = self.forwarder.forward_once()
        except StoreError as error:
            self.errors.append(error)
        self.ledger()
        return moved

    def drain(self, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while self.ledger().spooled or self.spool.backlog()[0]:
            self.try_once()
            assert time.monotonic() < deadline, self.errors[-3:]

    def ledger(self) -> LedgerCounts:
        now = self.clock.now()
        period = Period(now - timedelta(hours=2), now + timedelta(hours=2))
        hours = read_ledger(self.records, self.folder / "spool", SITE, period)
        assert all(hour.counts.balanced for hour in hours), hours
        return sum((hour.counts for hour in hours), LedgerCounts())

    def held(self) -> dict[tuple[str, int], float]:
        """What InfluxDB itself holds, not asked through the proxy."""
        direct = InfluxStore(
            self.server.url, self.server.org, self.bucket, self.server.token, self.raw_days
        )
        try:
            now = self.clock.now()
            period = Period(now - timedelta(days=40), now + timedelta(hours=1))
            return {
                (series.key.metric, time_ms): value
                for series in direct.read_samples(SITE, "energy", period, devices=["grid-a"])
                for time_ms, value in zip(
                    series.time_ms.tolist(), series.value.tolist(), strict=True
                )
            }
        finally:
            direct.close()

    def quarantined(self) -> list[QuarantineEntry]:
        return self.records.read_quarantine(sites=[SITE])


@pytest.fixture
def make_bench(
    tmp_path: Path, influxd: InfluxdServer, blank_records: Path
) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(**options: Any) -> Bench:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        shutil.copy(blank_records, folder / "records.sqlite")
        proxy = FaultProxy(influxd.url)
        proxy.__enter__()
        bucket = f"faults-{uuid.uuid4().hex}"
        records = Records.open(f"sqlite:///{folder / 'records.sqlite'}")
        made.append(Bench(folder, proxy, influxd, bucket, records, **options))
        return made[-1]

    yield make
    for bench in made:
        bench.end()
        bench.records.close()
        bench.proxy.__exit__(None, None, None)
        influxd.remove_buckets(bench.bucket)


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench()


# ---------------------------------------------------------------- the table


def always(answer: Answer) -> Callable[[FaultProxy, Request], Answer]:
    return lambda proxy, request: answer


def after_applying(answer: Answer) -> Callable[[FaultProxy, Request], Answer]:
    def apply_and_lose(proxy: FaultProxy, request: Request) -> Answer:
        assert proxy.pass_on(request).status == 204
        return answer

    return apply_and_lose


FAULTS: dict[str, tuple[Any, type[StoreError], str]] = {
    "hang": (always(Answer(fault="hang")), StoreUnavailableError, "no answer"),
    "reset": (always(Answer(fault="reset")), StoreUnavailableError, "no answer"),
    "answer_cut_off": (after_applying(Answer(200, b"x", fault="cut")), StoreUnavailableError, ""),
    "401": (always(refusal(401, "unauthorized access")), StoreMisconfiguredError, "__TOKEN"),
    "403": (always(refusal(403, "forbidden")), StoreMisconfiguredError, "__TOKEN"),
    "404": (
        always(refusal(404, 'bucket "gone" not found')),
        StoreMisconfiguredError,
        "GREENDC_TIMESERIES__BUCKET",
    ),
    "429": (always(refusal(429, "slow down", Retry_After="0")), StoreUnavailableError, "429"),
    "500": (always(refusal(500, "internal error")), StoreUnavailableError, "500"),
    "502_of_a_proxy": (always(Answer(502, b"<html>bad</html>")), StoreUnavailableError, "502"),
    "503": (always(refusal(503, "unavailable")), StoreUnavailableError, "503"),
    "500_after_applying": (
        after_applying(refusal(500, "timeout")),
        StoreUnavailableError,
        "timeout",
    ),
    "reply_lost": (after_applying(Answer(fault="reset")), StoreUnavailableError, "no answer"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_loses_and_doubles_nothing(bench: Bench, name: str) -> None:
    rule, kind, words = FAULTS[name]
    bench.receive(0, 5)
    bench.drain()
    faulty = [2]

    def answer(request: Request) -> Answer | None:
        if request.path != "/api/v2/write" or not faulty[0]:
            return None
        faulty[0] -= 1
        return rule(bench.proxy, request)

    bench.proxy.rule = answer
    bench.receive(5, 40)
    bench.receive(45, 5)
    # Once in the same life, once killed after it.
    bench.try_once()
    bench.try_once()
    bench.restart()
    assert faulty[0] == 0
    assert [isinstance(error, kind) for error in bench.errors] == [True, True]
    assert all(words in str(error) and bench.proxy.url in str(error) for error in bench.errors)
    # Kept, whatever the store did with it.
    assert bench.ledger() == LedgerCounts(received=50, stored=5, spooled=45, late=50)
    bench.drain()
    assert bench.held() == bench.published
    assert bench.ledger() == LedgerCounts(received=50, stored=50, late=50)
    assert bench.quarantined() == []
    # And what is sent once more is known.
    bench.receive(0, 50)
    bench.drain()
    assert bench.ledger() == LedgerCounts(received=100, stored=50, duplicate=50, late=100)


def test_a_store_that_refuses_connections_loses_nothing(bench: Bench) -> None:
    bench.receive(0, 5)
    bench.drain()
    bench.proxy.go_down()
    bench.receive(5, 45)
    bench.try_once()
    assert [type(error) for error in bench.errors] == [StoreUnavailableError]
    bench.restart()
    bench.try_once()
    bench.proxy.come_up()
    bench.drain()
    assert bench.held() == bench.published
    assert bench.ledger() == LedgerCounts(received=50, stored=50, late=50)


def test_the_wait_that_a_store_asks_for_is_kept_by_everybody(bench: Bench) -> None:
    wait_s = 2
    bench.receive(0, 5)
    bench.drain()
    told: list[float] = []

    def busy_once(request: Request) -> Answer | None:
        if told or request.path != "/api/v2/write":
            return None
        told.append(time.monotonic())
        return refusal(429, "slow down", Retry_After=str(wait_s))

    bench.proxy.rule = busy_once
    bench.receive(5, 5)
    stop, wake = threading.Event(), threading.Event()
    thread = threading.Thread(target=bench.forwarder.run, args=(wake, stop))
    thread.start()
    try:
        # Heard by the client, not only said by the server.
        wait_until(lambda: "429" in bench.forwarder.state, seconds=10, what="the store is busy")
        # Another question in the same process does not break what was asked.
        with pytest.raises(StoreUnavailableError, match="left alone"):
            bench.store.check()
        # A refusal needs no store and does not wait for it.
        bench.receive_rows([{"ts": "never", "device": "grid-a", "values": {POWER: 1}}])
        wait_until(lambda: bool(bench.quarantined()), seconds=10, what="the refusal is booked")
        assert time.monotonic() < told[0] + wait_s
        wait_until(lambda: bench.ledger().stored == 10, seconds=20, what="stored")
    finally:
        stop.set()
        wake.set()
        thread.join()
    after = [request.at for request in bench.proxy.requests if request.at > told[0]]
    assert min(after) >= told[0] + wait_s - 0.05
    assert bench.held() == bench.published


# ---------------------------------------------------------------- what the store will not take


def garbled(number: int) -> Callable[[FaultProxy, Request], Answer | None]:
    """Makes one line unreadable on its way, so that the real server refuses the body with 400."""
    text = re.compile(rf"={number} (?=\d)")

    def garble(proxy: FaultProxy, request: Request) -> Answer | None:
        if request.path != "/api/v2/write" or not text.search(request.text):
            return None
        return proxy.pass_on(request, gzip.compress(text.sub("=NaN ", request.text).encode()))

    return garble


def poison_at(bench: Bench, places: Sequence[int]) -> None:
    poisoned = []
    for turn, place in enumerate(places):
        first = turn * 50
        poison = first + place
        rule = garbled(poison)
        bench.proxy.rule = lambda request, rule=rule: rule(bench.proxy, request)
        bench.receive(first, 50)
        bench.drain()
        poisoned.append(float(poison))
        counts = bench.ledger()
        assert (counts.stored, counts.quarantined) == (49 * (turn + 1), turn + 1)
    assert bench.errors == []
    missing = bench.published.items() - bench.held().items()
    assert sorted(value for _, value in missing) == poisoned
    assert len(bench.held()) == 49 * len(places)
    entries = bench.quarantined()
    assert {entry.reason for entry in entries} == {"refused_by_store"}
    kept = sorted(json.loads(entry.payload)[0]["values"][POWER] for entry in entries)
    assert kept == poisoned
    assert all("400" in entry.detail for entry in entries)


def test_one_poisoned_line_takes_no_neighbour_with_it(bench: Bench) -> None:
    poison_at(bench, [0, 1, 24, 31, 49])


@pytest.mark.acceptance
@pytest.mark.timeout(600)
def test_one_poisoned_line_at_each_of_fifty_places(bench: Bench) -> None:
    poison_at(bench, range(50))


def block_field(bench: Bench, field_name: str, base_ms: int) -> None:
    """Give a field another type, as a stranger that writes into our bucket would."""
    line = f"energy,device=other,site={SITE} {field_name}=1i {base_ms}"
    query = f"org={bench.server.org}&bucket={bench.bucket}_raw&precision=ms"
    headers = {"Authorization": f"Token {bench.server.token}"}
    request = Request("POST", f"/api/v2/write?{query}", "", {}, headers, line.encode())
    assert bench.proxy.pass_on(request).status == 204


def test_a_partial_write_is_reconciled_with_what_the_store_holds(bench: Bench) -> None:
    bench.store.prepare()
    block_field(bench, ENERGY, bench.base_ms)
    bench.receive(0, 20)
    bench.receive(20, 7, ENERGY)
    # A reading is one line and is judged whole: both of its metrics stay out.
    both = {POWER: 1000.5, ENERGY: 1.0}
    bench.receive_rows([{"ts": bench.base_ms + 40_000, "device": "grid-a", "values": both}])
    bench.receive(50, 23)
    before = len(bench.proxy.writes())
    bench.drain()
    assert bench.errors == []
    assert bench.ledger() == LedgerCounts(received=51, stored=43, quarantined=8, late=51)
    assert bench.held() == {key: v for key, v in bench.published.items() if key[0] == POWER}
    entries = bench.quarantined()
    assert sum(entry.count for entry in entries) == 8
    assert all("field type conflict" in entry.detail for entry in entries)
    # It said eight and eight are missing: nothing was sent twice to find them.
    assert len(bench.proxy.writes()) - before == 1


def test_a_partial_write_that_names_a_wrong_number_is_searched(bench: Bench) -> None:
    bench.store.prepare()
    block_field(bench, ENERGY, bench.base_ms)
    bench.receive(0, 20)
    bench.receive(20, 3, ENERGY)

    def lie(request: Request) -> Answer | None:
        if request.path != "/api/v2/write":
            return None
        answer = bench.proxy.pass_on(request)
        answer.body = answer.body.replace(b"dropped=3", b"dropped=2")
        return answer

    bench.proxy.rule = lie
    bench.drain()
    assert bench.ledger() == LedgerCounts(received=23, stored=20, quarantined=3, late=23)
    assert bench.held() == {key: v for key, v in bench.published.items() if key[0] == POWER}


def test_a_partial_write_in_one_body_of_three(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "gzip_bodies", partial(gzip_bodies, lines_per_body=10_000))
    bench.store.prepare()
    block_field(bench, ENERGY, bench.base_ms)
    for first in range(0, 24_000, 2000):
        bench.receive(first, 2000, step_ms=100)
        bench.receive(first, 2, ENERGY, bench.base_ms + 50, step_ms=100)
    before = len(bench.proxy.writes())
    bench.drain()
    assert len(bench.proxy.writes()) - before == 3
    counts = bench.ledger()
    assert (counts.received, counts.stored, counts.quarantined) == (24_024, 24_000, 24)
    assert bench.held() == {key: v for key, v in bench.published.items() if key[0] == POWER}


def test_what_a_store_drops_by_its_neighbours_is_counted_as_it_lies_there(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(raw_days=3)
    now_ms = to_ms(bench.clock.now())
    old_ms = now_ms - 10 * 86_400_000
    bench.receive(0, 5, base_ms=old_ms)
    bench.receive(0, 5, base_ms=now_ms - 600_000)
    bench.receive(10, 3, base_ms=old_ms)
    bench.drain()
    counts = bench.ledger()
    held = bench.held()
    assert counts.received == 13
    assert counts.stored == len(held)
    assert counts.quarantined == 13 - len(held)
    assert held.items() <= bench.published.items()
    assert {key for key in bench.published if key[1] > old_ms + 10**9} <= held.keys()


def test_a_body_that_is_too_large_for_somebody_on_the_way_is_halved(bench: Bench) -> None:
    def small_only(request: Request) -> Answer | None:
        if request.path == "/api/v2/write" and request.text.count("\n") > 12:
            return refusal(413, "request entity too large")
        return None

    bench.proxy.rule = small_only
    bench.receive(0, 100)
    bench.drain()
    assert bench.errors == []
    assert bench.held() == bench.published
    assert bench.ledger() == LedgerCounts(received=100, stored=100, late=100)


def test_a_store_that_refuses_everything_has_no_poison_but_a_fault(bench: Bench) -> None:
    bench.store.prepare()
    block_field(bench, POWER, bench.base_ms)
    bench.receive(0, 60)
    bench.try_once()
    assert [type(error) for error in bench.errors] == [StoreMisconfiguredError]
    assert "accepted none" in str(bench.errors[0])
    assert "field type conflict" in str(bench.errors[0])
    assert bench.ledger() == LedgerCounts(received=60, spooled=60, late=60)


def test_what_the_store_refused_is_stored_by_a_replay_once_it_is_mended(bench: Bench) -> None:
    refused = [True]

    def rule(request: Request) -> Answer | None:
        return garbled(3)(bench.proxy, request) if refused[0] else None

    bench.proxy.rule = rule
    bench.receive(0, 10)
    bench.drain()
    (entry,) = bench.quarantined()
    refused[0] = False
    # In the same life: it must not remember the reading as held.
    commit, refusals = bench.intake.take_again(entry, correction=False)
    assert refusals == []
    bench.spool.append(commit, bench.clock.now_ms())
    with suppress(StoreRejectedError):
        bench.drain()
    assert bench.held() == bench.published
    assert bench.ledger() == LedgerCounts(received=10, stored=10, late=10)
    assert bench.quarantined() == []
