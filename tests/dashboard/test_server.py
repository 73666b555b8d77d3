"""The running server: its port, its end, and what it says of itself."""

from __future__ import annotations

import http.client
import itertools
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlencode

import pytest
from fastapi import FastAPI

from core.errors import ConfigurationError
from dashboard import server
from tests.dashboard.conftest import PASSWORD

HOST = "127.0.0.1"


class Running:
    """The board on a real port in a thread."""

    def __init__(self, app: FastAPI, port: int) -> None:
        self.port = port
        self.stop = threading.Event()
        self.thread = threading.Thread(target=server.run, args=(app, HOST, port, self.stop))
        self.connections: list[http.client.HTTPConnection] = []
        self.thread.start()
        deadline = time.monotonic() + 10.0
        while self.get("/healthz") is None:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.02)

    def connect(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=10.0)
        self.connections.append(connection)
        return connection

    def get(self, path: str, **headers: str) -> http.client.HTTPResponse | None:
        connection = self.connect()
        try:
            connection.request("GET", path, headers=headers)
            return connection.getresponse()
        except OSError:
            return None

    def cookie(self) -> str:
        page = self.get("/login")
        assert page is not None
        form_cookie = page.headers["Set-Cookie"].partition(";")[0]
        fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page.read().decode()))
        connection = self.connect()
        body = urlencode({**fields, "username": "admin", "password": PASSWORD})
        headers = {"Cookie": form_cookie, "Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", "/login", body, headers)
        return connection.getresponse().headers["Set-Cookie"].partition(";")[0]

    def end(self) -> float:
        started = time.monotonic()
        self.stop.set()
        self.thread.join(15.0)
        return time.monotonic() - started


@pytest.fixture
def running(app: FastAPI, free_port: Callable[[], int]) -> Iterator[Running]:
    board = Running(app, free_port())
    yield board
    board.end()
    for connection in board.connections:
        connection.close()


def test_a_taken_port_is_said_with_its_setting(free_port: Callable[[], int], app: FastAPI) -> None:
    port = free_port()
    with socket.socket() as other:
        other.bind((HOST, port))
        other.listen()
        with pytest.raises(ConfigurationError) as caught:
            server.run(app, HOST, port, threading.Event())
    for word in (HOST, str(port), "GREENDC_BOARD__PORT", "in use"):
        assert word in str(caught.value)


@pytest.mark.parametrize("host", ["203.0.113.7", "no such host"])
def test_an_address_of_another_machine_is_said(app: FastAPI, host: str) -> None:
    with pytest.raises(ConfigurationError, match="GREENDC_BOARD__HOST"):
        server.run(app, host, 0, threading.Event())


def test_the_server_does_not_name_its_maker(running: Running) -> None:
    answer = running.get("/login")
    assert answer is not None
    assert answer.headers["Server"] is None
    assert "uvicorn" not in str(answer.headers).lower()


def test_answers_are_not_held_back_by_the_socket(running: Running) -> None:
    connection = running.connect()
    took = []
    for _ in range(9):
        started = time.perf_counter()
        connection.request("GET", "/healthz")
        connection.getresponse().read()
        took.append(time.perf_counter() - started)
    # With Nagle's algorithm on, each would wait 40 ms for the browser's acknowledgement.
    assert sorted(took)[4] < 0.03


def test_watchers_may_ask_for_the_head_only(running: Running) -> None:
    connection = running.connect()
    for path in ("/healthz", "/readyz", "/login"):
        connection.request("HEAD", path)
        answer = connection.getresponse()
        assert answer.status == 200
        assert answer.read() == b""


def test_open_feeds_do_not_hold_up_the_end(running: Running) -> None:
    cookie = running.cookie()
    feeds = [
        running.get("/api/v1/live?site=kakao-ansan", Cookie=cookie),
        running.get("/_board/live?site=kakao-ansan&lang=ko", Cookie=cookie),
    ]
    for feed in feeds:
        assert feed is not None
        assert feed.status == 200
        assert feed.readline().startswith(b"event: ")
    assert running.end() < 3.0
    assert not running.thread.is_alive()
    assert running.get("/healthz") is None
    for feed in feeds:
        assert feed is not None
        feed.read()  # ends


def test_a_feed_speaks_within_its_heartbeat(running: Running) -> None:
    feed = running.get("/api/v1/live?site=kakao-ansan", Cookie=running.cookie())
    assert feed is not None
    times = []
    for _ in range(12):
        if feed.readline().startswith(b"event:"):
            times.append(time.monotonic())
    assert len(times) >= 2
    assert max(b - a for a, b in itertools.pairwise(times)) < 5.0
    feed.close()


def test_callbacks_do_not_stop_the_world(running: Running) -> None:
    cookie = running.cookie()
    answers: list[int] = []

    def ask() -> None:
        answer = running.get("/s/kakao-ansan", Cookie=cookie)
        answers.append(0 if answer is None else answer.status)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 8
