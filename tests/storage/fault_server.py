"""A tiny HTTP server that answers like an InfluxDB in trouble."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
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
    """One request that arrived."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

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
                    address.path,
                    parse_qs(address.query),
                    dict(self.headers),
                    self.rfile.read(size),
                )
                outer.requests.append(request)
                answer = outer.answer(request)
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

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}
        )

    def __enter__(self) -> FaultServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._release.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
