"""A publisher that costs little beside what it feeds: MQTT 3.1.1, QoS 1, packets made before the
clock starts, the window kept by counting acknowledgements."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence

from core.connections import MqttConnection

_PUBACK_BYTES = 4
_TIMEOUT_S = 120.0


def encode_packets(messages: Sequence[tuple[str, bytes]]) -> list[bytes]:
    """A PUBLISH of QoS 1 for each (topic, payload)."""
    packets = []
    for number, (topic, payload) in enumerate(messages):
        body = _text(topic) + (number % 65_535 + 1).to_bytes(2, "big") + payload
        packets.append(b"\x32" + _length(len(body)) + body)
    return packets


def publish(connection: MqttConnection, packets: Sequence[bytes], *, window: int = 1_000) -> float:
    """Send every packet and wait for the broker's acknowledgements; the seconds it took.

    Raises:
        RuntimeError: The broker refuses the account or goes away.
    """
    link = _connect(connection, "")
    try:
        started = time.perf_counter()
        sent = acknowledged = rest = 0
        while acknowledged < len(packets):
            room = min(window - (sent - acknowledged), len(packets) - sent)
            if room > 0:
                link.sendall(b"".join(packets[sent : sent + room]))
                sent += room
            received = link.recv(65_536)
            if not received:
                raise RuntimeError("the broker closed the connection of the publisher")
            rest += len(received)
            acknowledged += rest // _PUBACK_BYTES
            rest %= _PUBACK_BYTES
        return time.perf_counter() - started
    finally:
        link.close()


def forget_session(connection: MqttConnection, client_id: str) -> None:
    """End a session that outlived its client, so that nothing more is queued for it."""
    link = _connect(connection, client_id)
    link.sendall(b"\xe0\x00")
    link.close()


def _connect(connection: MqttConnection, client_id: str) -> socket.socket:
    link = socket.create_connection((connection.host, connection.port), timeout=_TIMEOUT_S)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # Clean session, user name and password; no keep-alive.
    body = _text("MQTT") + b"\x04\xc2\x00\x00" + _text(client_id)
    body += _text(connection.username) + _text(connection.password)
    link.sendall(b"\x10" + _length(len(body)) + body)
    answer = link.recv(4)
    if len(answer) < 4 or answer[3]:
        raise RuntimeError(f"the broker refuses {connection.username}: {answer.hex()}")
    return link


def _text(text: str) -> bytes:
    encoded = text.encode()
    return len(encoded).to_bytes(2, "big") + encoded


def _length(length: int) -> bytes:
    made = bytearray()
    while True:
        length, low = divmod(length, 128)
        made.append(low | (128 if length else 0))
        if not length:
            return bytes(made)
