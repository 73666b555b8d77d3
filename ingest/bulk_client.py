"""paho's client with a fast way in: one large read, one pass over all PUBLISH packets in it.

paho keeps connecting, TLS, keep-alive, sessions and every packet that is not a PUBLISH. Overridden
is how bytes are read, how messages are handed over (many at once), and how acknowledgements leave
(many in one packet, from the network thread alone, so that none can slip into a later connection).
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import MalformedPacket

_LOG = logging.getLogger(__name__)

# topic, payload, packet id (0 where no acknowledgement is due), and whether it is a retained
# message or one that is sent again
Publish = tuple[str, bytes, int, bool]
Deliver = Callable[[list[Publish], int], None]
HasRoom = Callable[[float], bool]

_READ_BYTES = 256 * 1024
# After a short read the broker has more under way: it writes every message by itself.
_SHORT_READ = 64 * 1024
_REST_S = 0.005
_FULL_WAIT_S = 0.05
# Decoded names of topics are kept in so much memory: a fleet's fit, and whoever makes up names
# without end fills none.
_TOPIC_BYTES = 64 * 1024 * 1024
_TOPIC_OVERHEAD = 200
_LONGEST_TOPIC = 256
_LONGEST_DELAY_S = 30.0
_BEAT_S = 2.0
_PUBLISH = 0x30
_REPEATED = 0x08 | 0x01  # DUP, RETAIN
_PUBACK = PacketTypes.PUBACK << 4
# First byte and length of the rest.
_PUBACK_BEGIN = _PUBACK << 8 | 2


class BulkClient(paho.Client):
    """A client that delivers lists of messages to `deliver(messages, generation)`.

    The generation numbers the connections; `acknowledge` of another generation does nothing.

    Attributes:
        heartbeat: When the network thread last came round its loop, monotonic seconds. A thread
            that hangs still lives, and says connected.
    """

    def __init__(self, *arguments: Any, deliver: Deliver, has_room: HasRoom, **named: Any) -> None:
        super().__init__(*arguments, **{**named, "manual_ack": True})
        self._deliver = deliver
        self._has_room = has_room
        self._wanted_protocol = self._protocol
        self._chunks: list[bytes] = []
        self._chunked = 0
        self._needed = 0
        self._topics: dict[bytes, str] = {}
        self._topic_bytes = 0
        self._acks: deque[tuple[int, Sequence[int]]] = deque()
        self._leaving = threading.Event()
        self.heartbeat = time.monotonic()
        self.generation = 0
        self.acknowledged = 0

    # ------------------------------------------------------------ connecting

    def reconnect(self) -> MQTTErrorCode:
        """Begin a new connection: what was half read or waits to be acknowledged is of the old."""
        self.generation += 1
        self._chunks.clear()
        self._chunked = self._needed = 0
        self._acks.clear()
        # paho falls back to MQTT 3.1 where 3.1.1 is refused; here nothing changes silently.
        self._protocol = self._wanted_protocol
        return super().reconnect()

    def _reconnect_wait(self) -> None:
        # Doubling with jitter: a broker that comes back is not met by everybody at once.
        with self._reconnect_delay_mutex:
            before = self._reconnect_delay
            delay = 0.5 if before is None else min(before * 2, _LONGEST_DELAY_S)
            self._reconnect_delay = delay  # type: ignore[assignment]
        until = time.monotonic() + delay * random.uniform(0.5, 1.5)  # noqa: S311
        while (left := until - time.monotonic()) > 0 and not self._leaving.is_set():
            self.heartbeat = time.monotonic()
            self._leaving.wait(min(left, _BEAT_S))
        self.heartbeat = time.monotonic()

    def leave(self, seconds: float) -> None:
        """Send what waits, disconnect, and end the network thread; the session stays."""
        self._leaving.set()
        until = time.monotonic() + min(seconds, 1.0)
        while self._acks and self.is_connected() and time.monotonic() < until:
            time.sleep(0.005)
        self.disconnect()
        thread = self._thread
        self._thread_terminate = True
        if thread is not None:
            thread.join(seconds)

    @property
    def thread_alive(self) -> bool:
        """Whether the network thread lives."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    # ------------------------------------------------------------ acknowledging

    def acknowledge(self, generation: int, mids: Sequence[int]) -> None:
        """Acknowledge messages of a connection; from any thread."""
        self._acks.append((generation, mids))
        writer = self._sockpairW
        if writer is not None:
            # Full: then the thread is awake. Closed: then there is nobody.
            with suppress(OSError):
                writer.send(b"\0")

    def loop_misc(self) -> MQTTErrorCode:
        """Keep-alive, and the acknowledgements that wait."""
        self.heartbeat = time.monotonic()
        mids: list[int] = []
        while self._acks:
            generation, chosen = self._acks.popleft()
            if generation == self.generation:
                mids.extend(chosen)
        if mids:
            packet = _puback_packets(mids)
            self._packet_queue(_PUBACK, packet, 0, 0)
            self.acknowledged += len(mids)
            code = self.loop_write()
            if code or self._sock is None:
                return code
        return super().loop_misc()

    # ------------------------------------------------------------ receiving

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """Read what is there, hand over its messages, leave the rest to paho."""
        sock = self._sock
        if sock is None:
            return MQTTErrorCode.MQTT_ERR_NO_CONN
        if not self._has_room(_FULL_WAIT_S):
            # Nothing is read while nothing can be kept. The answer to a ping lies unread behind
            # the messages, so its absence says nothing about the broker.
            self._ping_t = 0.0
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        try:
            data = self._sock_recv(_READ_BYTES)
        except BlockingIOError:
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        except OSError:
            data = b""
        if not data:
            return self._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)
        with self._msgtime_mutex:
            self._last_bytes_received = time.monotonic()
        self._chunks.append(data)
        self._chunked += len(data)
        if self._chunked < self._needed:
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        buffer = b"".join(self._chunks) if len(self._chunks) > 1 else data
        try:
            code = self._walk(buffer, sock)
        except (IndexError, ValueError, MalformedPacket):
            _LOG.exception("the broker sent a packet that cannot be read; connecting again")
            code = MQTTErrorCode.MQTT_ERR_PROTOCOL
        if code:
            return self._loop_rc_handle(code)
        if self._sock is sock and len(data) < _SHORT_READ:
            time.sleep(_REST_S)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _walk(self, buffer: bytes, sock: Any) -> MQTTErrorCode:
        """All whole packets of a buffer; the tail is kept for the next read."""
        five = self._protocol == paho.MQTTv5
        generation = self.generation
        topics = self._topics
        messages: list[Publish] = []
        position, end = 0, len(buffer)
        self._needed = 0
        code = MQTTErrorCode.MQTT_ERR_SUCCESS
        while position + 2 <= end:
            first = buffer[position]
            length = buffer[position + 1]
            body = position + 2
            if length > 127:
                found = _long_length(buffer, position + 1)
                if found is None:
                    break
                length, body = found
            after = body + length
            if after > end:
                self._needed = after - position
                break
            if first & 0xF0 == _PUBLISH and first & 0x06 != 0x04:
                # Written out here: a call for each message is a tenth of what it costs.
                stop = body + 2 + (buffer[body] << 8 | buffer[body + 1])
                topic = topics.get(buffer[body + 2 : stop])
                if topic is None:
                    topic = self._new_topic(buffer[body + 2 : stop])
                mid = 0
                if first & 0x06:
                    mid = buffer[stop] << 8 | buffer[stop + 1]
                    stop += 2
                if five:
                    properties = buffer[stop]
                    stop += 1 + properties
                    if properties > 127:
                        stop = _after_properties(buffer, stop - 1 - properties)
                if stop > after:
                    raise ValueError("a PUBLISH whose parts are longer than itself")
                messages.append((topic, buffer[stop:after], mid, first & _REPEATED != 0))
            else:
                # Rare; but in order: what was published before it is handed over before it.
                messages = self._hand_over(messages, generation)
                code = self._other_packet(first, buffer[body:after])
                if code or self._sock is not sock or self.generation != generation:
                    return code
            position = after
        self._hand_over(messages, generation)
        tail = buffer[position:]
        self._chunks[:] = [tail] if tail else []
        self._chunked = len(tail)
        return code

    def _new_topic(self, name: bytes) -> str:
        topic = name.decode("utf-8", "backslashreplace")
        if len(name) <= _LONGEST_TOPIC:
            if self._topic_bytes >= _TOPIC_BYTES:
                self._topics.clear()
                self._topic_bytes = 0
            self._topics[name] = topic
            self._topic_bytes += 2 * len(name) + _TOPIC_OVERHEAD
        return topic

    def _hand_over(self, messages: list[Publish], generation: int) -> list[Publish]:
        if messages:
            try:
                self._deliver(messages, generation)
            except Exception:  # noqa: BLE001
                # An exception here would end the thread. Unacknowledged, they come again.
                _LOG.exception("%d messages could not be handed over", len(messages))
        return []

    def _other_packet(self, first: int, body: bytes) -> MQTTErrorCode:
        self._in_packet = {
            "command": first,
            "have_remaining": 1,
            "remaining_count": [],
            "remaining_mult": 1,
            "remaining_length": len(body),
            "packet": bytearray(body),
            "to_process": 0,
            "pos": 0,
        }
        return self._packet_handle()


def _puback_packets(mids: Sequence[int]) -> bytes:
    packets = np.empty((len(mids), 2), ">u2")
    packets[:, 0] = _PUBACK_BEGIN
    packets[:, 1] = mids
    return packets.tobytes()


def _after_properties(buffer: bytes, position: int) -> int:
    """Where the properties end whose length begins here.

    Raises:
        ValueError: The length is cut off or of more than four bytes.
    """
    found = _long_length(buffer, position)
    if found is None:
        raise ValueError("a PUBLISH without the length of its properties")
    length, start = found
    return start + length


def _long_length(buffer: bytes, position: int) -> tuple[int, int] | None:
    """A length of several bytes and where its content begins; None where it is cut off.

    Raises:
        ValueError: More than four bytes.
    """
    length = 0
    for place in range(4):
        if position + place >= len(buffer):
            return None
        byte = buffer[position + place]
        length |= (byte & 127) << 7 * place
        if byte < 128:
            return length, position + place + 1
    raise ValueError("a length of more than four bytes")
