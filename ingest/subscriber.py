"""The MQTT side: receives, enqueues, and acknowledges what the spool has committed.

The network callback only enqueues: it never parses or raises. An acknowledgement carries the
generation of the connection that delivered the message; one of an earlier connection is dropped,
because its packet id may by now belong to another message, and the broker delivers again.
"""

from __future__ import annotations

import logging
import queue
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from core.clock import Clock
from core.connections import MqttConnection
from core.errors import ConfigurationError, Problem
from ingest.messages import RawMessage

_LOG = logging.getLogger(__name__)
KEEP_ALIVE_S = 30
SESSION_EXPIRY_S = 7 * 86_400
# Messages that wait for the spool; beyond it the socket is not read and the broker keeps them.
QUEUE_LIMIT = 20_000

ClientFactory = Callable[..., paho.Client]


class MqttSubscriber:
    """One persistent session. Thread-safe.

    `messages` is bounded by `QUEUE_LIMIT` messages: when it is full the network thread waits, so
    the socket is not read and nothing is dropped.
    """

    def __init__(
        self,
        connection: MqttConnection,
        client_id: str,
        topics: Sequence[str],
        clock: Clock,
        *,
        queue_limit: int = QUEUE_LIMIT,
        client_factory: ClientFactory = paho.Client,
    ) -> None:
        self._connection = connection
        self._topics = topics
        self._clock = clock
        self._client_id = client_id
        self.messages: queue.Queue[RawMessage] = queue.Queue(queue_limit)
        self._generation = 0
        self._stopping = threading.Event()
        self._connected = threading.Event()
        self._subscribed = threading.Event()
        self._said = ""
        self.last_message_monotonic = time.monotonic()
        self._client = self._make_client(client_factory)

    def _make_client(self, factory: ClientFactory) -> paho.Client:
        connection = self._connection
        five = connection.version == 5
        arguments: dict[str, Any] = {} if five else {"clean_session": False}
        client = factory(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            protocol=paho.MQTTv5 if five else paho.MQTTv311,
            manual_ack=True,
            **arguments,
        )
        # An exception in a callback would end the network thread while it still says connected.
        client.suppress_exceptions = True
        client.reconnect_delay_set(min_delay=1, max_delay=10)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        if connection.username:
            client.username_pw_set(connection.username, connection.password)
        if connection.tls:
            client.tls_set_context(_tls_context(connection))
        return client

    def start(self) -> None:
        """Connect in the background; a broker that is away is tried again for ever."""
        arguments: dict[str, Any] = {}
        if self._connection.version == 5:
            session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            session.SessionExpiryInterval = SESSION_EXPIRY_S
            arguments = {"clean_start": False, "properties": session}
        self._client.connect_async(
            self._connection.host, self._connection.port, keepalive=KEEP_ALIVE_S, **arguments
        )
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnect, keeping the session; what is unacknowledged comes again."""
        self._stopping.set()
        self._client.disconnect()
        self._client.loop_stop()

    @property
    def is_connected(self) -> bool:
        """Whether the broker has accepted us and the subscription."""
        return self._connected.is_set() and self._subscribed.is_set()

    @property
    def thread_alive(self) -> bool:
        """Whether the network thread lives; it must, for as long as the process does."""
        thread = getattr(self._client, "_thread", None)
        return bool(thread is not None and thread.is_alive())

    @property
    def generation(self) -> int:
        """Number of the present connection."""
        return self._generation

    def acknowledge(self, messages: Sequence[RawMessage]) -> int:
        """Acknowledge committed messages of the present connection; returns how many."""
        sent = 0
        for message in messages:
            if message.qos == 0:
                continue
            if message.generation != self._generation or not self._connected.is_set():
                continue
            self._client.ack(message.mid, message.qos)
            sent += 1
        return sent

    def _say(self, text: str) -> None:
        # Once per change: a broker that is away for a night is one line, not ten thousand.
        if text != self._said:
            _LOG.warning("%s", text)
        self._said = text

    def _on_connect(
        self, client: paho.Client, userdata: object, flags: Any, reason: Any, properties: object
    ) -> None:
        self._generation += 1
        if reason.is_failure:
            self._say(
                f"the broker at {self._connection.url} refuses {self._client_id}: {reason}; "
                "check the account (GREENDC_MQTT__USERNAME, __PASSWORD_FILE) and the protocol"
            )
            return
        self._connected.set()
        session = "kept" if flags.session_present else "new"
        _LOG.info(
            "connected to %s as %s, session %s", self._connection.url, self._client_id, session
        )
        client.subscribe([(topic, 1) for topic in self._topics])

    def _on_connect_fail(self, client: paho.Client, userdata: object) -> None:
        self._say(f"no broker answers at {self._connection.url} (GREENDC_MQTT__URL); trying again")

    def _on_disconnect(
        self, client: paho.Client, userdata: object, flags: Any, reason: Any, properties: object
    ) -> None:
        self._connected.clear()
        self._subscribed.clear()
        self._generation += 1
        if not self._stopping.is_set():
            self._say(f"disconnected from {self._connection.url}: {reason}; connecting again")

    def _on_subscribe(
        self, client: paho.Client, userdata: object, mid: int, reasons: Any, properties: object
    ) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        if refused:
            self._say(
                f"the broker refuses the subscription of {self._client_id}: {refused[0]}; "
                "its access list must let the ingester read (greendc broker acl)"
            )
            return
        self._subscribed.set()
        self._said = ""
        _LOG.info("subscribed as %s to %s", self._client_id, ", ".join(self._topics))

    def _on_message(self, client: paho.Client, userdata: object, message: Any) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = message._topic.decode("utf-8", "backslashreplace")
        raw = RawMessage(
            topic,
            bytes(message.payload),
            self._clock.now_ms(),
            message.mid,
            message.qos,
            self._generation,
        )
        self.last_message_monotonic = time.monotonic()
        while not self._stopping.is_set():
            try:
                self.messages.put(raw, timeout=0.5)
                return
            except queue.Full:
                continue


def _tls_context(connection: MqttConnection) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=connection.ca_file or None)
        if connection.cert_file:
            context.load_cert_chain(connection.cert_file, connection.key_file)
    except OSError as error:
        hint = "name readable PEM files in mqtt.ca_file, mqtt.cert_file and mqtt.key_file"
        raise ConfigurationError(
            [Problem("settings", "mqtt", f"TLS files cannot be used: {error}", hint)]
        ) from None
    return context
