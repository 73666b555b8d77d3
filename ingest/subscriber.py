"""The MQTT side: one persistent session that receives, enqueues, and acknowledges what is on disk.

An acknowledgement carries the generation of the connection that delivered the message; one of an
earlier connection is dropped, because its packet id may by now belong to another message, and the
broker delivers again.
"""

from __future__ import annotations

import logging
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from core.clock import Clock
from core.connections import MqttConnection
from core.errors import ConfigurationError, Problem
from core.ids import NATIVE_PREFIX, PROBE_SITE
from ingest.bulk_client import BulkClient, Publish
from ingest.inbox import Inbox
from ingest.limits import IngestLimits
from ingest.messages import RawMessage

_LOG = logging.getLogger(__name__)
_LARGEST_WINDOW = 65_535
_PROBE_TOPICS = f"{NATIVE_PREFIX}/{PROBE_SITE}/"
# Reason of MQTT 5: somebody else has connected under our client id.
_TAKEN_OVER = 0x8E

ClientFactory = Callable[..., BulkClient]


class MqttSubscriber:
    """One persistent session. Thread-safe.

    Attributes:
        broker_certificate_end_s: Last moment of the broker's certificate, seconds since 1970.

    Args:
        client_id: The name of the session; fixed, so that the broker knows it again.
        filters: Topic filters to subscribe to, QoS 1.
        stale_filters: Filters that an earlier life may have left in the session.
        inbox: Where messages go; while it is full the socket is not read.
        client_factory: Makes the client; for tests.

    Raises:
        ConfigurationError: TLS files cannot be used.
    """

    def __init__(
        self,
        connection: MqttConnection,
        client_id: str,
        filters: Sequence[str],
        inbox: Inbox,
        clock: Clock,
        *,
        stale_filters: Sequence[str] = (),
        limits: IngestLimits | None = None,
        client_factory: ClientFactory = BulkClient,
    ) -> None:
        self._connection = connection
        self._client_id = client_id
        self._filters = list(filters)
        self._stale_filters = [text for text in stale_filters if text not in self._filters]
        self._inbox = inbox
        self._clock = clock
        self._limits = limits or IngestLimits()
        self._stopping = threading.Event()
        self._connected = threading.Event()
        self._subscribed = threading.Event()
        self._said = ""
        self.connections = 0
        self.broker_certificate_end_s: float | None = None
        self.last_message_monotonic = time.monotonic()
        self._client = self._make_client(client_factory)

    def _make_client(self, factory: ClientFactory) -> BulkClient:
        connection = self._connection
        five = connection.version == 5
        # MQTT 5 says at each connection what becomes of the session; 3.1.1 once, here.
        arguments: dict[str, Any] = {} if five else {"clean_session": False}
        client = factory(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            protocol=paho.MQTTv5 if five else paho.MQTTv311,
            deliver=self._deliver,
            has_room=self._inbox.has_room,
            **arguments,
        )
        # An exception in a callback would end the network thread while it still says connected.
        client.suppress_exceptions = True
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        use_account(client, connection)
        return client

    def start(self) -> None:
        """Connect in the background; a broker that is away is tried again for ever."""
        arguments: dict[str, Any] = {}
        if self._connection.version == 5:
            session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            session.SessionExpiryInterval = self._limits.session_expiry_s
            # The socket is the brake, never this window: brokers exist that overrun it.
            session.ReceiveMaximum = _LARGEST_WINDOW
            arguments = {"clean_start": False, "properties": session}
        self._client.connect_async(
            self._connection.host,
            self._connection.port,
            keepalive=self._limits.keep_alive_s,
            **arguments,
        )
        self._client.loop_start()

    def stop(self, seconds: float = 3.0) -> None:
        """Disconnect, keeping the session; what is unacknowledged comes again."""
        self._stopping.set()
        self._client.leave(seconds)

    def add_filters(self, filters: Sequence[str]) -> None:
        """Subscribe to further filters, now and at every connection to come."""
        more = [text for text in filters if text not in self._filters]
        if more:
            self._filters += more
            if self._connected.is_set():
                self._subscribe(self._client, more)

    @property
    def is_connected(self) -> bool:
        """Whether the broker has accepted us and the subscription."""
        return self._connected.is_set() and self._subscribed.is_set()

    @property
    def thread_alive(self) -> bool:
        """Whether the network thread lives; it must, for as long as the process does."""
        return self._client.thread_alive

    @property
    def heartbeat(self) -> float:
        """When the network thread last came round, monotonic seconds."""
        return self._client.heartbeat

    @property
    def acknowledged(self) -> int:
        """Acknowledgements sent."""
        return self._client.acknowledged

    def acknowledge(self, messages: Sequence[RawMessage]) -> None:
        """Acknowledge committed messages; those of an earlier connection are passed over."""
        generations = {message.generation for message in messages}
        for generation in sorted(generations):
            self._client.acknowledge(
                generation,
                [
                    message.mid
                    for message in messages
                    if message.mid and message.generation == generation
                ],
            )

    def publish(self, topic: str, payload: bytes) -> bool:
        """Publish with QoS 0, not retained; False where there is no connection."""
        if not self.is_connected:
            return False
        return self._client.publish(topic, payload, qos=0).rc == paho.MQTT_ERR_SUCCESS

    def _deliver(self, messages: list[Publish], generation: int) -> None:
        received_ms = self._clock.now_ms()
        if len(messages) > 1 or not messages[0][0].startswith(_PROBE_TOPICS):
            # Our own probe alone is no sign that anybody sends.
            self.last_message_monotonic = time.monotonic()
        self._inbox.put(
            [
                RawMessage(topic, payload, received_ms, mid, generation, repeated)
                for topic, payload, mid, repeated in messages
            ]
        )

    def _say(self, text: str) -> None:
        # Once per change: a broker that is away for a night is one line, not ten thousand.
        if text != self._said:
            _LOG.warning("%s", text)
        self._said = text

    # ------------------------------------------------------------ callbacks

    def _on_connect(
        self, client: paho.Client, userdata: object, flags: Any, reason: Any, properties: object
    ) -> None:
        if reason.is_failure:
            self._say(
                f"the broker at {self._connection.url} refuses {self._client_id}: {reason}; "
                "check the account (GREENDC_MQTT__USERNAME, __PASSWORD_FILE) and the protocol "
                "(GREENDC_MQTT__VERSION)"
            )
            return
        self._connected.set()
        self.connections += 1
        self.broker_certificate_end_s = _certificate_end_s(client.socket())
        session = "kept" if flags.session_present else "new"
        _LOG.info(
            "connected to %s as %s, session %s", self._connection.url, self._client_id, session
        )
        if self._stale_filters and flags.session_present:
            client.unsubscribe(self._stale_filters)
        if not self._filters:
            self._subscribed.set()
            return
        self._subscribe(client, self._filters)

    def _subscribe(self, client: paho.Client, filters: Sequence[str]) -> None:
        if self._connection.version == 5:
            # Retained messages once, at the first subscription, not at each connection.
            options = SubscribeOptions(
                qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB
            )
            client.subscribe([(text, options) for text in filters])
        else:
            client.subscribe([(text, 1) for text in filters])

    def _on_connect_fail(self, client: paho.Client, userdata: object) -> None:
        self._say(f"no broker answers at {self._connection.url} (GREENDC_MQTT__URL); trying again")

    def _on_disconnect(
        self, client: paho.Client, userdata: object, flags: Any, reason: Any, properties: object
    ) -> None:
        self._connected.clear()
        self._subscribed.clear()
        if self._stopping.is_set():
            return
        if getattr(reason, "value", 0) == _TAKEN_OVER:
            self._say(
                f"another process has taken the session {self._client_id} on "
                f"{self._connection.url}: exactly one may take a partition "
                "(GREENDC_INGEST__PARTITIONS, GREENDC_MQTT__CLIENT_ID); end one of the two"
            )
            return
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
        _LOG.info("subscribed as %s to %s", self._client_id, ", ".join(self._filters))


def _certificate_end_s(sock: object) -> float | None:
    """The last moment of the peer's certificate, seconds since 1970; None without TLS."""
    told = sock.getpeercert() if isinstance(sock, ssl.SSLSocket) else None
    end = told.get("notAfter") if told else None
    return float(ssl.cert_time_to_seconds(end)) if isinstance(end, str) else None


def companion_client(connection: MqttConnection, client_id: str) -> paho.Client:
    """A client beside that of the readings, whose session ends with its connection.

    Raises:
        ConfigurationError: TLS files cannot be used.
    """
    version = paho.MQTTv5 if connection.version == 5 else paho.MQTTv311
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=version)
    # An exception in a callback would end the network thread while it still says connected.
    client.suppress_exceptions = True
    use_account(client, connection)
    return client


def use_account(client: paho.Client, connection: MqttConnection) -> None:
    """Give a client the account and the TLS of a connection.

    Raises:
        ConfigurationError: A TLS file cannot be used.
    """
    if connection.username:
        client.username_pw_set(connection.username, connection.password)
    if connection.tls:
        client.tls_set_context(tls_context(connection))


def tls_context(connection: MqttConnection) -> ssl.SSLContext:
    """TLS as the connection asks for it: the broker is always verified.

    Raises:
        ConfigurationError: A file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=connection.ca_file or None)
        if connection.cert_file:
            context.load_cert_chain(connection.cert_file, connection.key_file or None)
    except OSError as error:
        hint = "name readable PEM files in mqtt.ca_file, mqtt.cert_file and mqtt.key_file"
        raise ConfigurationError(
            [Problem("settings", "mqtt", f"TLS files cannot be used: {error}", hint)]
        ) from None
    return context
