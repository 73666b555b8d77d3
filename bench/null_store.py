"""A store that takes everything and keeps nothing: InfluxDB's HTTP answers and nothing behind them.

Run as a process: `python -m bench.null_store`; it prints its port. `/lines` answers how many lines
it was given.
"""

from __future__ import annotations

import re
import socket
import threading
import zlib

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_READ = 1 << 20


class NullStore:
    """Counts lines."""

    def __init__(self) -> None:
        self.lines = 0
        self._lock = threading.Lock()

    def serve(self, link: socket.socket) -> None:
        """Answer one connection until it is closed."""
        buffer = b""
        while True:
            while b"\r\n\r\n" not in buffer:
                received = link.recv(_READ)
                if not received:
                    return
                buffer += received
            head, _, buffer = buffer.partition(b"\r\n\r\n")
            found = _LENGTH.search(head)
            length = int(found[1]) if found else 0
            while len(buffer) < length:
                buffer += link.recv(_READ)
            body, buffer = buffer[:length], buffer[length:]
            link.sendall(self._answer(head, body))

    def _answer(self, head: bytes, body: bytes) -> bytes:
        if head.startswith(b"POST /api/v2/write"):
            with self._lock:
                self.lines += _count_lines(body)
            return b"HTTP/1.1 204 No Content\r\n\r\n"
        text = str(self.lines).encode() if head.startswith(b"GET /lines") else b""
        kind = b"text/csv"
        if head.startswith((b"GET /api/v2/buckets", b"GET /api/v2/orgs")):
            text, kind = _FOUND, b"application/json"
        return b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s" % (
            kind,
            len(text),
            text,
        )


# One bucket and one organisation, whatever is asked for.
_FOUND = (
    b'{"buckets": [{"id": "1", "name": "any", "orgID": "1", "retentionRules": []}],'
    b' "orgs": [{"id": "1", "name": "greendc"}]}'
)


def _count_lines(body: bytes) -> int:
    lines, rest = 0, body
    while rest:
        member = zlib.decompressobj(31)
        lines += member.decompress(rest).count(b"\n")
        rest = member.unused_data
    return lines


def main() -> None:
    store = NullStore()
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        link, _ = listener.accept()
        threading.Thread(target=store.serve, args=(link,), daemon=True).start()


if __name__ == "__main__":
    main()
