"""One MQTT connection of one site: QoS 1, a window in flight, every acknowledgement counted."""

from __future__ import annotations

import logging
import queue
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from core.connections import MqttConnection
from core.errors import BrokerUnavailableError, ConfigurationError, Problem
from sims.wire import Message

ConnectionFor = Callable[[str], MqttConnection]
# Called with a share, 0..1, and a text for people.
Progress = Callable[[float, str], None]

_LOG = logging.getLogger(__name__)

KEEP_ALIVE_S = 30
# A session outlives a lost connection for so long; nothing is kept for a publisher that ended.
_SESSION_EXPIRY_S = 600
_STALLED_S = 60.0


@dataclass(frozen=True, slots=True)
class PublishCount:
    """Readings handed to the broker, and those that it acknowledged."""

    published: int = 0
    acknowledged: int = 0

    def __add__(self, other: PublishCount) -> PublishCount:
        return PublishCount(
            self.published + other.published, self.acknowledged + other.acknowledged
        )


class Publisher:
    """Publishes messages and counts what the broker acknowledged.

    After a lost connection what is unacknowledged is sent again. Callbacks of the client run in its
    network thread while it holds a lock of its own: they only put into queues.

    Args:
        name: Distinguishes publishers in the broker's log; the client id is unique beyond it.
        window: Most messages in flight; `publish` waits above that.
        stop: Ends every wait.
    """

    def __init__(
        self,
        connection: MqttConnection,
        name: str,
        stop: threading.Event,
        *,
        window: int = 64,
    ) -> None:
        self._connection = connection
        self._stop = stop
        self._window = window
        self._answers: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()
        self._connected: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._waiting: dict[int, Message] = {}
        self._published = 0
        self._acknowledged = 0
        self._refusals = 0
        self._client = self._make_client(name)

    @property
    def count(self) -> PublishCount:
        """Readings published and acknowledged so far."""
        self._collect()
        return PublishCount(self._published, self._acknowledged)

    def open(self, wait_s: float = 15.0) -> None:
        """Connect; afterwards a lost connection is made again without being asked.

        Raises:
            BrokerUnavailableError: The broker does not answer for so long.
            ConfigurationError: The broker refuses the account.
        """
        connection = self._connection
        properties = None
        if connection.version == 5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = _SESSION_EXPIRY_S
        deadline = time.monotonic() + wait_s
        while True:
            try:
                self._client.connect(
                    connection.host, connection.port, KEEP_ALIVE_S, properties=properties
                )
                break
            except OSError as error:
                if time.monotonic() > deadline or self._stop.is_set():
                    raise BrokerUnavailableError(
                        f"the broker at {connection.url} does not answer: {error}; "
                        "start it, or correct GREENDC_MQTT__URL"
                    ) from None
                self._stop.wait(0.5)
        self._client.loop_start()
        try:
            refusal = self._connected.get(timeout=max(deadline - time.monotonic(), 5.0))
        except queue.Empty:
            self.close()
            raise BrokerUnavailableError(
                f"the broker at {connection.url} takes connections but does not answer"
            ) from None
        if refusal:
            self.close()
            problem = f"the broker at {connection.url} refuses the account: {refusal}"
            hint = "correct the account and its password; a site's account is its id"
            raise ConfigurationError(
                [Problem("broker", connection.username or "(no account)", problem, hint)]
            )

    def publish(self, message: Message) -> bool:
        """Hand a message to the client, waiting while the window is full.

        Returns:
            False if `stop` was set before there was room; the message is not sent then.
        """
        while len(self._waiting) >= self._window:
            if self._stop.is_set():
                return False
            self._collect(0.2)
        info = self._client.publish(message.topic, message.payload, qos=1)
        self._waiting[info.mid] = message
        self._published += message.readings
        return True

    def drain(self, stalled_s: float = _STALLED_S) -> bool:
        """Wait until everything is acknowledged.

        Args:
            stalled_s: Give up after so long without any acknowledgement.

        Returns:
            Whether nothing is left in flight.
        """
        last, left = time.monotonic(), len(self._waiting)
        while self._waiting:
            self._collect(0.2)
            if len(self._waiting) < left:
                last, left = time.monotonic(), len(self._waiting)
            elif time.monotonic() - last > stalled_s:
                _LOG.error(
                    "the broker at %s left %d messages unacknowledged for %.0f s",
                    self._connection.url,
                    left,
                    stalled_s,
                )
                return False
        return True

    def close(self) -> None:
        """Disconnect; what is unacknowledged stays so."""
        self._client.disconnect()
        self._client.loop_stop()

    def _make_client(self, name: str) -> mqtt.Client:
        connection = self._connection
        five = connection.version == 5
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"{name}-{uuid.uuid4().hex[:8]}",
            protocol=mqtt.MQTTv5 if five else mqtt.MQTTv311,
            clean_session=None if five else True,
        )
        if connection.username:
            client.username_pw_set(connection.username, connection.password or None)
        if connection.tls:
            client.tls_set(
                ca_certs=connection.ca_file or None,
                certfile=connection.cert_file or None,
                keyfile=connection.key_file or None,
            )
        client.suppress_exceptions = True
        client.max_inflight_messages_set(self._window)
        client.reconnect_delay_set(min_delay=1, max_delay=5)
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        return client

    def _on_connect(
        self, client: mqtt.Client, userdata: Any, flags: Any, reason: Any, properties: Any
    ) -> None:
        if not reason.is_failure:
            # A broker may allow fewer messages in flight than we would send. Never more than the
            # window are handed to the client, so the client's own limit stays as it is.
            allowed = getattr(properties, "ReceiveMaximum", None)
            if isinstance(allowed, int):
                self._window = min(self._window, allowed)
        self._connected.put(str(reason) if reason.is_failure else "")

    def _on_publish(
        self, client: mqtt.Client, userdata: Any, mid: int, reason: Any, properties: Any
    ) -> None:
        self._answers.put((mid, str(reason) if reason.is_failure else ""))

    def _collect(self, wait_s: float = 0.0) -> None:
        """Take the answers that have come; wait for the first one for at most `wait_s`."""
        while True:
            try:
                mid, refusal = self._answers.get(timeout=wait_s) if wait_s else self._get_nowait()
            except queue.Empty:
                return
            wait_s = 0.0
            message = self._waiting.pop(mid, None)
            if message is None:
                continue
            if not refusal:
                self._acknowledged += message.readings
                continue
            self._refusals += 1
            if self._refusals == 1:
                _LOG.error(
                    "the broker refused a message on %s: %s (account %r)",
                    message.topic,
                    refusal,
                    self._connection.username,
                )

    def _get_nowait(self) -> tuple[int, str]:
        return self._answers.get_nowait()
