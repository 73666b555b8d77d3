"""A tiny HTTP server that answers like an InfluxDB in trouble; alone, or in front of a real one."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit


@dataclass
class Answer:
    """What to answer: a status with a body, or a fault of the connection.

    Attributes:
        fault: `hang` (say nothing), `reset` (close at once), `cut` (promise more than is sent).
    """

    status: int = 204
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    fault: str = ""


def refusal(status: int, message: str, **headers: str) -> Answer:
    """An error in InfluxDB's own form."""
    body = json.dumps({"code": "x", "message": message}).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, body, {"Content-Type": "application/json", **named})


@dataclass
class Request:
    """One request that arrived.

    Attributes:
        target: Path and query as sent.
        at: When, monotonic seconds.
    """

    method: str
    target: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes
    at: float = 0.0

    @property
    def text(self) -> str:
        """The body, unpacked where it is packed."""
        packed = self.headers.get("Content-Encoding") == "gzip"
        return (gzip.decompress(self.body) if packed else self.body).decode()


class FaultServer:
    """Answers by a function of the request; keeps what arrived."""

    def __init__(self, answer: Callable[[Request], Answer]) -> None:
        self.requests: list[Request] = []
        self.answer = answer
        self._release = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def handle_any(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                address = urlsplit(self.path)
                request = Request(
                    self.command,
                    self.path,
                    address.path,
                    parse_qs(address.query),
                    dict(self.headers),
                    self.rfile.read(size),
                    time.monotonic(),
                )
                outer.requests.append(request)
                answer = Answer(fault="reset") if outer.is_down else outer.answer(request)
                if answer.fault == "hang":
                    outer._release.wait(10)
                    self.close_connection = True
                    return
                if answer.fault == "reset":
                    self.connection.setsockopt(
                        socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
                    )
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                extra = 1000 if answer.fault == "cut" else 0
                self.send_header("Content-Length", str(len(answer.body) + extra))
                self.end_headers()
                self.wfile.write(answer.body)
                self.close_connection = bool(extra)

            do_GET = do_POST = do_PATCH = handle_any  # noqa: N815 - names of the base class

        self._handler = Handler
        self.is_down = True
        self._listen(0)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def _listen(self, port: int) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}
        )

    def go_down(self) -> None:
        """Refuse connections, and reset those that are open when they ask again."""
        self.is_down = True
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def come_up(self) -> None:
        """Listen again on the same port."""
        self._listen(int(self.url.rpartition(":")[2]))
        self._start()

    def _start(self) -> None:
        self.is_down = False
        self._thread.start()

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._release.set()
        if not self.is_down:
            self.go_down()


class FaultProxy(FaultServer):
    """Stands in front of a real server: passes requests on, but for those that `rule` answers.

    Attributes:
        rule: The answer to a request that is not passed on; None for one that is. It may call
            `pass_on` itself, for an answer that is lost although the work was done.
    """

    def __init__(self, upstream: str) -> None:
        self._upstream = urlsplit(upstream)
        self.rule: Callable[[Request], Answer | None] = lambda request: None
        super().__init__(lambda request: self.rule(request) or self.pass_on(request))

    def pass_on(self, request: Request, body: bytes | None = None) -> Answer:
        """What the real server answers, to another body where one is given."""
        place = self._upstream
        connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=30)
        body = request.body if body is None else body
        left_out = {"host", "content-length", "connection", "accept-encoding"}
        headers = {k: v for k, v in request.headers.items() if k.lower() not in left_out}
        try:
            connection.request(request.method, request.target, body, headers)
            answer = connection.getresponse()
            kept = {k: v for k, v in answer.getheaders() if k.lower() in {"content-type"}}
            return Answer(answer.status, answer.read(), kept)
        except OSError:
            return Answer(fault="reset")
        finally:
            connection.close()

    def writes(self) -> list[Request]:
        """The writes that arrived."""
        return [request for request in self.requests if request.path == "/api/v2/write"]
