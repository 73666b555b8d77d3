"""What InfluxDB may answer, and the decision that each answer leaves to the caller."""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from core.errors import (
    StoreError,
    StoreMisconfiguredError,
    StoreRejectedError,
    StoreUnavailableError,
)
from storage.influx.store import InfluxStore
from tests.services.fault_server import Answer, FaultServer, Request, refusal
from tests.services.processes import find_free_port
from tests.storage.readings import ALL_TIME, T0, many_devices, one_device

BUCKET = {
    "id": "b1",
    "orgID": "0" * 16,
    "name": "greendc_raw",
    "retentionRules": [],
    "type": "user",
}
HEADER = b",result,table,_time,_value,_field,device\r\n"


def calm(request: Request) -> Answer:
    """A server on which all is well and nothing is stored."""
    if request.path == "/api/v2/buckets":
        return Answer(
            200,
            json.dumps({"buckets": [BUCKET]}).encode(),
            {"Content-Type": "application/json"},
        )
    return Answer(200, b"\r\n") if request.path == "/api/v2/query" else Answer(204)


def answering(path: str, answer: Answer) -> Callable[[Request], Answer]:
    return lambda request: answer if request.path == path else calm(request)


@contextmanager
def store_at(url: str, timeout_s: float = 5.0) -> Iterator[InfluxStore]:
    store = InfluxStore(url, "acme", "greendc", "secret-token", 0, timeout_s=timeout_s)
    try:
        yield store
    finally:
        store.close()


def write(store: InfluxStore) -> None:
    store.write_readings([one_device([T0], [1.0])])


def read(store: InfluxStore) -> None:
    store.read_samples("s1", "energy", ALL_TIME)


TABLE: list[tuple[Answer, type[StoreError], list[str]]] = [
    (refusal(401, "unauthorized access"), StoreMisconfiguredError, ["TOKEN", "'acme'"]),
    (refusal(403, "forbidden"), StoreMisconfiguredError, ["TOKEN", "greendc_raw"]),
    (refusal(404, 'bucket "greendc_raw" not found'), StoreMisconfiguredError, ["BUCKET"]),
    (refusal(404, "organization name not found"), StoreMisconfiguredError, ["ORG"]),
    (Answer(404, b"<html>nothing here</html>"), StoreMisconfiguredError, ["URL", "2.x"]),
    (Answer(405, b"no"), StoreMisconfiguredError, ["405", "URL"]),
    (Answer(301, b"", {"Location": "/x"}), StoreMisconfiguredError, ["URL"]),
    (
        refusal(400, 'failed to decode request body: organization name "x" not found'),
        StoreMisconfiguredError,
        ["ORG"],
    ),
    (refusal(400, "unable to parse 'x y'"), StoreRejectedError, ["unable to parse 'x y'"]),
    (refusal(413, "too large"), StoreRejectedError, ["too large"]),
    (refusal(422, "partial write dropped=1"), StoreRejectedError, ["dropped=1"]),
    (refusal(408, "timeout"), StoreUnavailableError, ["408"]),
    (refusal(429, "slow down"), StoreUnavailableError, ["slow down"]),
    (refusal(500, "internal error"), StoreUnavailableError, ["internal error"]),
    (refusal(503, "unavailable"), StoreUnavailableError, ["503"]),
    (Answer(502, b"\xff\xfe bad gateway"), StoreUnavailableError, ["502"]),
    (Answer(fault="hang"), StoreUnavailableError, ["no answer"]),
    (Answer(fault="reset"), StoreUnavailableError, ["no answer"]),
    (Answer(200, b"abc", fault="cut"), StoreUnavailableError, ["no answer"]),
]


@pytest.mark.parametrize(
    ("answer", "error", "words"), TABLE, ids=[f"{a.status}{a.fault}" for a, _, _ in TABLE]
)
@pytest.mark.parametrize("doing", ["write", "read"])
def test_every_refusal_is_one_decision(
    doing: str, answer: Answer, error: type[StoreError], words: list[str]
) -> None:
    path = "/api/v2/write" if doing == "write" else "/api/v2/query"
    with (
        FaultServer(answering(path, answer)) as server,
        store_at(server.url, timeout_s=0.3 if answer.fault == "hang" else 5.0) as store,
    ):
        # The first write asks for marks of quality; here all is well with reading.
        store._marked["s1", "energy"] = set()
        with pytest.raises(StoreError) as caught:
            (write if doing == "write" else read)(store)
        assert isinstance(caught.value, error)
        message = str(caught.value)
        for word in [*words, server.url]:
            assert word in message
        assert "secret-token" not in message
        assert "\n" not in message


def test_a_store_that_is_not_there_is_waited_for() -> None:
    with store_at(f"http://127.0.0.1:{find_free_port()}") as store:
        for call in (write, read, lambda one: one.check(), lambda one: one.prepare()):
            with pytest.raises(StoreUnavailableError, match="no answer"):
                call(store)


def test_a_name_that_nobody_knows_is_waited_for() -> None:
    with (
        store_at("http://no-such-host.invalid:8086") as store,
        pytest.raises(StoreUnavailableError),
    ):
        read(store)


def test_tls_to_a_server_without_it_is_a_matter_of_settings() -> None:
    with (
        FaultServer(calm) as server,
        store_at(server.url.replace("http", "https")) as store,
        pytest.raises(StoreMisconfiguredError, match="TLS"),
    ):
        read(store)


@pytest.mark.parametrize(
    ("sent", "wait_s"),
    [("7", 7.0), ("0", 0.0), ("-3", 0.0), ("99999", 300.0), ("soon", None), ("nan", None)],
)
def test_the_server_says_how_long_to_wait(sent: str, wait_s: float | None) -> None:
    answer = refusal(429, "slow down", Retry_After=sent)
    with FaultServer(answering("/api/v2/query", answer)) as server, store_at(server.url) as store:
        with pytest.raises(StoreUnavailableError) as caught:
            read(store)
        assert caught.value.retry_after_s == wait_s


def test_a_date_to_wait_for_is_seconds_from_now() -> None:
    date = email.utils.formatdate(time.time() + 60, usegmt=True)
    answer = refusal(503, "busy", Retry_After=date)
    with FaultServer(answering("/api/v2/query", answer)) as server, store_at(server.url) as store:
        with pytest.raises(StoreUnavailableError) as caught:
            read(store)
        assert caught.value.retry_after_s is not None
        assert 50 < caught.value.retry_after_s <= 60


def test_without_a_word_about_waiting_there_is_none() -> None:
    answer = refusal(503, "busy")
    with FaultServer(answering("/api/v2/query", answer)) as server, store_at(server.url) as store:
        with pytest.raises(StoreUnavailableError) as caught:
            read(store)
        assert caught.value.retry_after_s is None


def test_inside_the_asked_wait_nothing_is_sent_by_anybody() -> None:
    answer = refusal(429, "slow down", Retry_After="1")
    with FaultServer(answering("/api/v2/query", answer)) as server, store_at(server.url) as store:
        with pytest.raises(StoreUnavailableError, match="slow down"):
            read(store)
        server.answer = calm
        before = len(server.requests)
        for call in (write, read, lambda one: one.check(), lambda one: one.prepare()):
            with pytest.raises(StoreUnavailableError, match="left alone") as caught:
                call(store)
            assert caught.value.retry_after_s is not None
            assert 0 < caught.value.retry_after_s <= 1
        assert len(server.requests) == before
        time.sleep(caught.value.retry_after_s)
        read(store)


@pytest.mark.parametrize(
    ("words", "dropped"), [("partial write: dropped=17", 17), ("partial write", None)]
)
def test_a_partial_write_says_how_much_was_left_out(words: str, dropped: int | None) -> None:
    answer = refusal(422, words)
    with FaultServer(answering("/api/v2/write", answer)) as server, store_at(server.url) as store:
        store._marked["s1", "energy"] = set()
        with pytest.raises(StoreRejectedError) as caught:
            write(store)
        assert caught.value.dropped == dropped
        assert caught.value.answer == f"422: {words}"


def test_a_query_that_breaks_off_after_its_beginning_is_no_answer() -> None:
    row = b",_result,0,2026-11-20T00:00:00Z,1,power_kw,a\r\n"
    broken = HEADER + row + b"\r\n,error,reference\r\n,panic: out of memory,897\r\n"
    with (
        FaultServer(answering("/api/v2/query", Answer(200, broken))) as server,
        store_at(server.url) as store,
    ):
        with pytest.raises(StoreUnavailableError, match="out of memory"):
            read(store)
        server.answer = answering("/api/v2/query", Answer(200, HEADER + row + b"\r\n"))
        (series,) = store.read_samples("s1", "energy", ALL_TIME)
        assert series.value.tolist() == [1.0]


# ---------------------------------------------------------------- what is sent


def test_a_write_is_gzip_in_bodies_of_so_many_lines() -> None:
    with FaultServer(calm) as server, store_at(server.url) as store:
        block = many_devices(100, 530)
        store.write_readings([block.take(np.arange(1000)), block.take(np.arange(1000, 53_000))])
        writes = [request for request in server.requests if request.path == "/api/v2/write"]
    assert [request.text.count("\n") for request in writes] == [25_000, 25_000, 3000]
    for request in writes:
        assert request.headers["Content-Encoding"] == "gzip"
        assert request.headers["Authorization"] == "Token secret-token"
        assert request.query == {
            "org": ["acme"],
            "bucket": ["greendc_raw"],
            "precision": ["ms"],
        }
    lines = "".join(request.text for request in writes).splitlines()
    assert lines[101] == (
        f"energy,device=d001,site=s1 power_kw={1 + 0.001!r},energy_kwh=1001 {T0 + 10_000}"
    )


def test_no_value_is_part_of_the_text_of_a_query() -> None:
    hostile = '" |> yield() //'
    with FaultServer(calm) as server, store_at(server.url) as store:
        filters = {"devices": [hostile + "d"], "metrics": [hostile + "m"]}
        store.read_samples(hostile + "s", hostile + "f", ALL_TIME, **filters)
        store.read_last_before(hostile, hostile, T0, not_before_ms=0, devices=[hostile])
        store.read_first_from(hostile, hostile, T0, not_after_ms=T0 + 1, devices=[hostile])
        store.read_latest(hostile)
        store.read_instants(hostile, hostile, hostile, [T0, T0 + 10**9])
        store.read_intervals(hostile, ALL_TIME, family=hostile, **filters)
        store.read_results(
            hostile, hostile, ALL_TIME, names=[hostile], resolution=hostile, subject=hostile
        )
        requests = [request for request in server.requests if request.path == "/api/v2/query"]
    assert len(requests) == 7
    for request in requests:
        sent = json.loads(request.body)
        assert "yield" not in sent["query"]
        assert hostile in json.dumps(sent["extern"]).replace('\\"', '"')


def test_marks_of_quality_are_asked_for_once() -> None:
    with FaultServer(calm) as server, store_at(server.url) as store:
        for number in range(3):
            store.write_readings([one_device([T0 + number], [1.0])])
        queries = [request for request in server.requests if request.path == "/api/v2/query"]
        writes = [request for request in server.requests if request.path == "/api/v2/write"]
    assert len(queries) == 1
    assert [request.text for request in writes] == [
        f"energy,device=a,site=s1 power_kw=1 {T0 + number}\n" for number in range(3)
    ]


def test_a_series_with_a_mark_says_its_quality_from_then_on() -> None:
    with FaultServer(calm) as server, store_at(server.url) as store:
        store.write_readings([one_device([T0], [1.0], quality=2)])
        store.write_readings([one_device([T0], [2.0])])
        store.write_readings([one_device([T0], [3.0], device="b")])
        writes = [request.text for request in server.requests if request.path == "/api/v2/write"]
    assert writes == [
        f"energy,device=a,site=s1 power_kw=1,power_kw__quality=2 {T0}\n",
        f"energy,device=a,site=s1 power_kw=2,power_kw__quality=0 {T0}\n",
        f"energy,device=b,site=s1 power_kw=3 {T0}\n",
    ]
