"""The state of a Sparkplug host: edge nodes that wait for us are told when we take what they say.

The specification wants a clean session for it, and the readings want one that outlives us; so this
is a connection of its own. It says that we are there only while the partition of the edge nodes is
connected and its spool takes messages; its last will says the contrary.

Source: Eclipse Sparkplug 3.0.0, chapters 5.4 and 6.4.9.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho

from core.clock import Clock
from core.connections import MqttConnection
from core.ids import SPARKPLUG_PREFIX
from ingest.subscriber import companion_client

_LOG = logging.getLogger(__name__)
_KEEP_ALIVE_S = 30
_LOOK_EVERY_S = 0.5


def state_topic(host: str) -> str:
    """Where a host tells its state."""
    return f"{SPARKPLUG_PREFIX}/STATE/{host}"


def render_state(online: bool, time_ms: int) -> bytes:
    """The payload of a state."""
    return json.dumps({"online": online, "timestamp": time_ms}).encode()


class HostState:
    """Keeps the retained state of one host as it is.

    Args:
        host: Id of the host, as edge nodes are configured to wait for it.
        is_taking: Whether what edge nodes say is taken now.

    Raises:
        ConfigurationError: TLS files cannot be used.
    """

    def __init__(
        self,
        connection: MqttConnection,
        client_id: str,
        host: str,
        clock: Clock,
        *,
        is_taking: Callable[[], bool],
    ) -> None:
        self._connection = connection
        self._topic = state_topic(host)
        self._clock = clock
        self._is_taking = is_taking
        self._stopping = threading.Event()
        self._connected = threading.Event()
        # What the will of this connection says of when it began.
        self._since_ms = 0
        self._told: bool | None = None
        self._client = companion_client(connection, client_id)
        self._client.on_pre_connect = self._on_pre_connect
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._thread = threading.Thread(target=self._run, name="sparkplug-state", daemon=True)

    def start(self) -> None:
        """Begin to tell it; a broker that is away is tried again for ever."""
        arguments: dict[str, Any] = {"clean_start": True} if self._connection.version == 5 else {}
        self._client.connect_async(
            self._connection.host, self._connection.port, keepalive=_KEEP_ALIVE_S, **arguments
        )
        self._client.loop_start()
        self._thread.start()

    def stop(self, seconds: float = 2.0) -> None:
        """Say that we are gone, and go."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(seconds)
        if self._connected.is_set():
            gone = self._tell(online=False, time_ms=self._clock.now_ms())
            if gone.rc == paho.MQTT_ERR_SUCCESS:
                gone.wait_for_publish(seconds)
        self._client.disconnect()
        self._client._thread_terminate = True

    # ------------------------------------------------------------ callbacks

    def _on_pre_connect(self, client: paho.Client, userdata: object) -> None:
        self._since_ms = self._clock.now_ms()
        client.will_set(self._topic, render_state(False, self._since_ms), qos=1, retain=True)

    def _on_connect(
        self, client: paho.Client, userdata: object, flags: object, reason: Any, properties: object
    ) -> None:
        if reason.is_failure:
            # The session of the ingester says why, and more often.
            _LOG.debug("the state of the host is not let in: %s", reason)
            return
        self._told = None
        client.subscribe(self._topic, qos=1)
        self._connected.set()

    def _on_disconnect(
        self, client: paho.Client, userdata: object, flags: object, reason: Any, properties: object
    ) -> None:
        self._connected.clear()

    def _on_message(self, client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        # The will of an earlier connection may come after our word that we are here.
        try:
            online = json.loads(message.payload)["online"]
        except (ValueError, TypeError, KeyError):
            online = None
        if online is not self._told:
            self._told = None

    # ------------------------------------------------------------ its thread

    def _run(self) -> None:
        while not self._stopping.wait(_LOOK_EVERY_S):
            if not self._connected.is_set():
                continue
            try:
                taking = self._is_taking()
                if taking is not self._told:
                    self._told = taking
                    self._tell(
                        online=taking,
                        time_ms=self._since_ms if taking else self._clock.now_ms(),
                    )
                    _LOG.info(
                        "edge nodes are told on %s that we are %s", self._topic,
                        "there" if taking else "not there",
                    )  # fmt: skip
            except Exception:  # noqa: BLE001
                # Telling it must never end because of what it finds.
                _LOG.exception("the state of the host could not be told")

    def _tell(self, *, online: bool, time_ms: int) -> paho.MQTTMessageInfo:
        return self._client.publish(self._topic, render_state(online, time_ms), qos=1, retain=True)
