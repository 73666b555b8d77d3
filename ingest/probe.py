"""A reading of our own, now and then, from publish to the store: the only whole check of the way.

It is published over a connection of its own, because a broker may end a connection that publishes
what it may not. Its pseudo-site (`ingest.probe_site`) keeps it out of everybody's data.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as paho

from core.clock import Clock
from core.connections import MqttConnection
from core.errors import StoreError
from core.ids import PROBE_SITE
from core.ports import TimeSeriesStore
from ingest.observing import Histogram, HistogramCounts
from ingest.probe_site import PROBE_FAMILY, PROBE_METRIC, probe_device, probe_topic
from ingest.subscriber import companion_client

_LOG = logging.getLogger(__name__)
_LOST_AFTER_S = 30.0
_LOOK_EVERY_S = 0.25
_KEEP_ALIVE_S = 60
_VALUE = 0.0

OFF, STARTING, OK, LOST, REFUSED = "off", "starting", "ok", "lost", "refused"


@dataclass(frozen=True, slots=True)
class ProbeStatus:
    """How the probe is doing.

    Attributes:
        state: `off`; `starting` before the first answer; `ok`; `lost` when the last one was not in
            the store in time; `refused` when the broker does not let us publish it.
        sent, lost: Probes since start.
        latency: From publish to readable in the store, of those that arrived.
        last_s: That of the newest one; None before it.
        since_arrival_s: Since one arrived; None before the first.
    """

    state: str = OFF
    sent: int = 0
    lost: int = 0
    latency: HistogramCounts | None = None
    last_s: float | None = None
    since_arrival_s: float | None = None


class Probe:
    """Publishes and follows probe readings on a thread of its own.

    Args:
        partitions: Partitions to probe, one after the other.
        every_s: Seconds between two probes.
        lost_after_s: How long one may take.

    Raises:
        ConfigurationError: TLS files cannot be used.
    """

    def __init__(
        self,
        connection: MqttConnection,
        client_id: str,
        partitions: Sequence[int],
        store: TimeSeriesStore,
        clock: Clock,
        *,
        every_s: float,
        lost_after_s: float = _LOST_AFTER_S,
    ) -> None:
        self._connection = connection
        self._partitions = list(partitions)
        self._store = store
        self._clock = clock
        self._every_s = every_s
        self._lost_after_s = lost_after_s
        self._stopping = threading.Event()
        self._connected = threading.Event()
        self._refusal = ""
        self._state = STARTING
        self._sent = self._lost = 0
        self._latency = Histogram()
        self._last_s: float | None = None
        self._arrived_at: float | None = None
        self._client = self._make_client(client_id)
        self._thread = threading.Thread(target=self._run, name="probe", daemon=True)

    def _make_client(self, client_id: str) -> paho.Client:
        client = companion_client(self._connection, client_id)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        return client

    def start(self) -> None:
        """Begin to probe; a broker that is away makes probes that are lost."""
        self._client.connect_async(
            self._connection.host, self._connection.port, keepalive=_KEEP_ALIVE_S
        )
        self._client.loop_start()
        self._thread.start()

    def stop(self, seconds: float = 2.0) -> None:
        """End it."""
        self._stopping.set()
        self._client.disconnect()
        if self._thread.is_alive():
            self._thread.join(seconds)
        # Its thread looks at this once a second; the process need not wait for it.
        self._client._thread_terminate = True

    def status(self) -> ProbeStatus:
        """How it is doing now."""
        arrived = self._arrived_at
        return ProbeStatus(
            self._state,
            self._sent,
            self._lost,
            self._latency.read(),
            self._last_s,
            None if arrived is None else time.monotonic() - arrived,
        )

    # ------------------------------------------------------------ callbacks

    def _on_connect(
        self, client: paho.Client, userdata: object, flags: object, reason: Any, properties: object
    ) -> None:
        if reason.is_failure:
            # The session of the ingester says why, and more often.
            _LOG.debug("the probe is not let in: %s", reason)
        else:
            self._connected.set()

    def _on_disconnect(
        self, client: paho.Client, userdata: object, flags: object, reason: Any, properties: object
    ) -> None:
        self._connected.clear()

    def _on_publish(
        self, client: paho.Client, userdata: object, mid: int, reason: Any, properties: object
    ) -> None:
        if reason.is_failure:
            self._refusal = str(reason)

    # ------------------------------------------------------------ the probe's thread

    def _run(self) -> None:
        rest_s = self._every_s / max(1, len(self._partitions))
        number = 0
        while not self._stopping.wait(rest_s if number else min(rest_s, 2.0)):
            partition = self._partitions[number % len(self._partitions)]
            number += 1
            try:
                arrived = self._probe(partition)
            except Exception:  # noqa: BLE001
                if self._stopping.is_set():
                    return  # the store is closed under it
                # Looking after the service must never end because of what it finds.
                _LOG.exception("the probe of partition %d failed", partition)
                arrived = False
            if self._refusal:
                self._state = REFUSED
                _LOG.warning(
                    "the broker does not let %s publish on %s (%s): the probe is off; greendc "
                    "broker acl prints an access list that lets it",
                    self._connection.username or "us", probe_topic(partition), self._refusal,
                )  # fmt: skip
                return
            if self._stopping.is_set():
                return
            self._note(arrived, partition)

    def _note(self, arrived: bool, partition: int) -> None:
        if arrived:
            if self._state == LOST:
                _LOG.info("a probe of partition %d arrived again", partition)
            self._state = OK
            return
        self._lost += 1
        if self._state != LOST:
            _LOG.warning(
                "a probe of partition %d was not in the store after %g s: what is published now "
                "arrives late or not yet", partition, self._lost_after_s,
            )  # fmt: skip
        self._state = LOST

    def _probe(self, partition: int) -> bool:
        """Publish one probe and follow it; whether it arrived in time."""
        began = time.monotonic()
        deadline = began + self._lost_after_s
        self._sent += 1
        while not self._connected.wait(0.1):
            if time.monotonic() > deadline or self._stopping.is_set():
                return False
        time_ms = self._clock.now_ms()
        body = json.dumps({"ts": time_ms, "values": {PROBE_METRIC: _VALUE}})
        self._client.publish(probe_topic(partition), body, qos=1)
        while not self._stopping.is_set() and time.monotonic() < deadline:
            if self._refusal:
                return False
            if self._is_stored(partition, time_ms):
                self._arrived_at = time.monotonic()
                self._last_s = self._arrived_at - began
                self._latency.observe(self._last_s)
                return True
            self._stopping.wait(_LOOK_EVERY_S)
        return False

    def _is_stored(self, partition: int, time_ms: int) -> bool:
        with suppress(StoreError):
            held = self._store.read_instants(
                PROBE_SITE, PROBE_FAMILY, probe_device(partition), [time_ms]
            )
            return time_ms in held
        return False
