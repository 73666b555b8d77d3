"""A broker of one client on a pair of sockets: MQTT 3.1.1 by hand, driven step by step, no threads.

Sessions, packet ids and redelivery are those of Mosquitto: unacknowledged messages come again on
the next connection under their old ids, and a session that is lost begins to count anew.
"""

from __future__ import annotations

import socket
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ingest.bulk_client import BulkClient

WINDOW = 8


@dataclass(slots=True)
class ModelBroker:
    """What the broker knows.

    Attributes:
        queue: Messages that wait.
        in_flight: Packet id -> message that was sent and not acknowledged.
        acknowledged: Messages that the client has acknowledged.
        lost: Messages that went with a session.
    """

    queue: deque[int] = field(default_factory=deque)
    in_flight: dict[int, int] = field(default_factory=dict)
    acknowledged: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)
    stray: list[int] = field(default_factory=list)
    has_session: bool = False
    _next_id: int = 1
    _again: list[int] = field(default_factory=list)
    _socket: socket.socket | None = None
    _bytes: bytes = b""

    def accept(self) -> socket.socket:
        """A new connection: the client's end of it."""
        self.close()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._socket, self._bytes = ours, b""
        self._again = list(self.in_flight)
        return theirs

    def close(self) -> None:
        """End the connection."""
        if self._socket is not None:
            self._socket.close()

    def drop_session(self) -> None:
        """Forget the client: what waits for it is lost, and its packet ids begin anew."""
        self.lost |= {*self.queue, *self.in_flight.values()}
        self.queue.clear()
        self.in_flight.clear()
        self._again.clear()
        self.has_session = False
        self._next_id = 1

    def send(self, count: int, packet: Any) -> int:
        """Send so many messages: first those of an earlier connection; `packet(message)` is one."""
        assert self._socket is not None
        sent = 0
        while sent < count:
            if self._again:
                packet_id = self._again.pop(0)
                if packet_id not in self.in_flight:
                    continue
            elif self.queue and len(self.in_flight) < WINDOW:
                packet_id = self._next_id
                self._next_id += 1
                self.in_flight[packet_id] = self.queue.popleft()
            else:
                break
            topic, payload = packet(self.in_flight[packet_id])
            body = len(topic).to_bytes(2, "big") + topic.encode()
            body += packet_id.to_bytes(2, "big") + payload
            self._socket.sendall(b"\x32" + _length(len(body)) + body)
            sent += 1
        return sent

    def pump(self) -> None:
        """Take what the client has sent, and answer it."""
        assert self._socket is not None
        with suppress(BlockingIOError):
            while data := self._socket.recv(65_536):
                self._bytes += data
        while len(self._bytes) >= 2:
            size, start = _read_length(self._bytes)
            kind, body = self._bytes[0] >> 4, self._bytes[start : start + size]
            self._bytes = self._bytes[start + size :]
            self._answer(kind, body)

    def _answer(self, kind: int, body: bytes) -> None:
        assert self._socket is not None
        if kind == 1:
            self._socket.sendall(bytes([0x20, 2, int(self.has_session), 0]))
            self.has_session = True
        elif kind == 8:
            topics = sum(1 for _ in _filters(body[2:]))
            self._socket.sendall(bytes([0x90, 2 + topics, *body[:2], *[1] * topics]))
        elif kind == 4:
            message = self.in_flight.pop(int.from_bytes(body[:2], "big"), None)
            if message is None:
                self.stray.append(int.from_bytes(body[:2], "big"))
            else:
                self.acknowledged.add(message)


class WireClient(BulkClient):
    """The real client; its sockets come from a model."""

    broker: ModelBroker

    def _create_socket(self) -> Any:
        return self.broker.accept()


def _length(value: int) -> bytes:
    out = bytearray()
    while True:
        value, byte = divmod(value, 128)
        out.append(byte | (128 if value else 0))
        if not value:
            return bytes(out)


def _read_length(data: bytes) -> tuple[int, int]:
    size, position = 0, 1
    while True:
        byte = data[position]
        size |= (byte & 127) << 7 * (position - 1)
        position += 1
        if byte < 128:
            return size, position


def _filters(body: bytes) -> Any:
    while body:
        size = int.from_bytes(body[:2], "big")
        yield body[2 : 2 + size]
        body = body[3 + size :]
