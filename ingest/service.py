"""The ingester: one subscriber, spool and forwarder per partition.

Threads of a partition: the network thread enqueues, the spool thread decodes, commits and
acknowledges, the forward thread moves commits to store and records. They share the queue and the
spool, nothing else.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import paho.mqtt.client as paho

from core.clock import Clock
from core.connections import MqttConnection
from core.errors import GreendcError, SpoolFullError
from core.ledger import QuarantineEntry
from core.ports import IngestRecords, TimeSeriesStore
from core.sites import SiteRegistry
from ingest.commits import Commit
from ingest.forward import FailPoint, Forwarder, _never
from ingest.intake import MAX_PAYLOAD, Intake
from ingest.messages import RawMessage, Refusals
from ingest.native import MAX_READINGS
from ingest.quarantine_work import QuarantineWork
from ingest.spool import Spool
from ingest.subscriber import ClientFactory, MqttSubscriber
from ingest.topics import SUBSCRIPTIONS

_LOG = logging.getLogger(__name__)
_REQUEST_POLL_S = 0.5
_SETTLE_S = 5.0


@dataclass(frozen=True, slots=True)
class IngestConfig:
    """What an ingester needs to know.

    Attributes:
        client_id: Prefix; the session of a partition is `<client_id>-<partition>`.
        partitions: The partitions that this process takes.
        partition_table: Site -> partition; sites not in it are in partition 0.
        site_readings_per_s: A site's cap, averaged over a minute.
        gather_s: Longest time that a message waits for others to share its commit.
        gather_messages: Most messages of one commit.
    """

    connection: MqttConnection
    client_id: str
    partitions: tuple[int, ...]
    partition_table: Mapping[str, int]
    spool_dir: Path
    site_readings_per_s: float = 100_000
    max_payload: int = MAX_PAYLOAD
    max_readings: int = MAX_READINGS
    gather_s: float = 0.05
    gather_messages: int = 2_000


@dataclass(frozen=True, slots=True)
class IngestStatus:
    """How an ingester is doing, for health and metrics.

    Attributes:
        connected: Every partition is connected and subscribed.
        threads_alive: Every thread lives.
        messages, commits, readings: Taken since start.
        acknowledged: PUBACKs sent since start.
        spooled_readings: Readings that wait for store or records.
        oldest_spooled_s: Age of the oldest of them; 0 without one.
        forwarded: Readings forwarded since start.
        store_state: `ok`, or what is wrong.
        spool_state: `ok`, or what is wrong.
        seconds_since_message: Since the last message of any site.
        last_message_ms: Site -> receipt of its newest message.
    """

    connected: bool
    threads_alive: bool
    messages: int
    commits: int
    readings: int
    acknowledged: int
    spooled_readings: int
    oldest_spooled_s: float
    forwarded: int
    store_state: str
    spool_state: str
    seconds_since_message: float
    last_message_ms: Mapping[str, int]


@dataclass(slots=True)
class _Counters:
    messages: int = 0
    commits: int = 0
    readings: int = 0
    acknowledged: int = 0
    spool_state: str = "ok"
    last_message_ms: dict[str, int] = field(default_factory=dict)


class _Partition:
    """One partition's threads."""

    def __init__(
        self,
        number: int,
        registry: SiteRegistry,
        store: TimeSeriesStore,
        records: IngestRecords,
        config: IngestConfig,
        clock: Clock,
        client_factory: ClientFactory,
        failpoint: FailPoint,
    ) -> None:
        self.number = number
        self._config = config
        self._clock = clock
        self.spool = Spool(config.spool_dir, number)
        self.intake = Intake(
            registry,
            site_readings_per_s=config.site_readings_per_s,
            max_payload=config.max_payload,
            max_readings=config.max_readings,
            newest=self.spool.newest(),
        )
        self.subscriber = MqttSubscriber(
            config.connection,
            f"{config.client_id}-{number}",
            SUBSCRIPTIONS,
            clock,
            client_factory=client_factory,
        )
        self.forwarder = Forwarder(self.spool, store, records, clock, failpoint=failpoint)
        self.counters = _Counters()
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._intake_lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._spool_messages, name=f"spool-{number}", daemon=True),
            threading.Thread(
                target=self.forwarder.run,
                args=(self._wake, self._stop),
                name=f"forward-{number}",
                daemon=True,
            ),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()
        self.subscriber.start()

    def stop(self, deadline: float) -> None:
        self.subscriber.stop()
        self._stop.set()
        self._wake.set()
        for thread in self._threads:
            thread.join(timeout=max(0.1, deadline - time.monotonic()))

    def close(self) -> None:
        self.spool.close()

    @property
    def alive(self) -> bool:
        return self.subscriber.thread_alive and all(t.is_alive() for t in self._threads)

    def append(self, commit: Commit) -> int:
        """Make a commit of our own (a replay) durable."""
        number = self.spool.append(commit, self._clock.now_ms())
        self._wake.set()
        return number

    def take_again(self, entry: QuarantineEntry, correction: bool) -> tuple[Commit, Refusals]:
        """Build the commit of a replay, beside the spool thread."""
        with self._intake_lock:
            return self.intake.take_again(entry, correction=correction)

    def _gather(self) -> list[RawMessage]:
        messages = self.subscriber.messages
        try:
            gathered = [messages.get(timeout=0.2)]
        except queue.Empty:
            return []
        deadline = time.monotonic() + self._config.gather_s
        size = len(gathered[0].payload)
        while len(gathered) < self._config.gather_messages and size < 8 * 1024**2:
            try:
                message = messages.get_nowait()
            except queue.Empty:
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                # The broker writes each message by itself: a short rest saves many wake-ups.
                self._stop.wait(min(left, 0.01))
                continue
            gathered.append(message)
            size += len(message.payload)
        return gathered

    def _spool_messages(self) -> None:
        while not self._stop.is_set():
            gathered = self._gather()
            if not gathered:
                continue
            for commit, messages in self._build(gathered):
                if self._append_when_possible(commit, messages):
                    self._count(commit, messages)
                    self._wake.set()

    def _build(self, gathered: list[RawMessage]) -> list[tuple[Commit, list[RawMessage]]]:
        try:
            with self._intake_lock:
                return [(self.intake.take(gathered), gathered)]
        except Exception:  # noqa: BLE001
            # A fault of ours must not block the queue: find the message, keep its bytes, go on.
            _LOG.exception("a commit could not be built; its messages are taken one by one")
        built = []
        for message in gathered:
            try:
                with self._intake_lock:
                    commit = self.intake.take([message])
            except Exception:  # noqa: BLE001
                _LOG.exception("the decoder fails on a message of %r", message.topic)
                with self._intake_lock:
                    commit = self.intake.set_aside(message)
            built.append((commit, [message]))
        return built

    def _append_when_possible(self, commit: Commit, gathered: list[RawMessage]) -> bool:
        # A full disk pauses here: nothing is acknowledged, the queue fills, the socket rests.
        while not self._stop.is_set():
            try:
                self.spool.append(commit, max(message.received_ms for message in gathered))
            except SpoolFullError as error:
                self._say_full(error)
                self._stop.wait(1.0)
                continue
            self.counters.spool_state = "ok"
            self.counters.acknowledged += self.subscriber.acknowledge(gathered)
            return True
        return False

    def _say_full(self, error: SpoolFullError) -> None:
        if self.counters.spool_state == "ok":
            _LOG.error("%s", error)
        self.counters.spool_state = str(error)

    def _count(self, commit: Commit, gathered: list[RawMessage]) -> None:
        counters = self.counters
        counters.messages += len(gathered)
        counters.commits += 1
        counters.readings += sum(hour.counts.received for hour in commit.hours)
        counters.last_message_ms.update(commit.last_message_ms)


class IngestService:
    """Starts and stops the partitions that this process takes.

    Raises:
        ConfigurationError: Another process holds a spool, or TLS files cannot be read.
    """

    def __init__(
        self,
        registry: SiteRegistry,
        store: TimeSeriesStore,
        records: IngestRecords,
        config: IngestConfig,
        clock: Clock,
        *,
        client_factory: ClientFactory = paho.Client,
        failpoint: FailPoint = _never,
    ) -> None:
        self._config = config
        self._clock = clock
        self._partitions: list[_Partition] = []
        try:
            for number in config.partitions:
                self._partitions.append(
                    _Partition(
                        number, registry, store, records, config, clock, client_factory, failpoint
                    )
                )
        except BaseException:
            for partition in self._partitions:
                partition.close()
            raise
        self._records = records
        self._work = [self._work_of(partition) for partition in self._partitions]
        self._stopping = threading.Event()
        self._worker = threading.Thread(target=self._poll_requests, name="quarantine", daemon=True)

    def _partition_of(self, site: str) -> int:
        return self._config.partition_table.get(site, 0)

    def _work_of(self, partition: _Partition) -> QuarantineWork:
        return QuarantineWork(
            self._records,
            self._clock,
            owns=lambda site: self._partition_of(site) == partition.number,
            take_again=partition.take_again,
            append=partition.append,
            settle=lambda number: self._settled(partition, number),
        )

    def _settled(self, partition: _Partition, number: int) -> bool:
        deadline = time.monotonic() + _SETTLE_S
        while time.monotonic() < deadline and not self._stopping.is_set():
            if self._records.applied_commit(partition.number) >= number:
                return True
            self._stopping.wait(0.05)
        return False

    def _poll_requests(self) -> None:
        while not self._stopping.wait(_REQUEST_POLL_S):
            for work in self._work:
                try:
                    work.run_once()
                except GreendcError as error:
                    _LOG.warning("quarantine work waits: %s", error)
                except Exception:  # noqa: BLE001
                    _LOG.exception("quarantine work failed; it is tried again")

    def start(self) -> None:
        """Start every thread; a broker or store that is away is waited for."""
        for partition in self._partitions:
            partition.start()
        self._worker.start()

    def run_until(self, stop: threading.Event) -> None:
        """Serve until `stop` is set.

        Raises:
            GreendcError: A thread has died; the process should end and be started again.
        """
        while not stop.wait(0.5):
            dead = [partition.number for partition in self._partitions if not partition.alive]
            if dead:
                raise GreendcError(f"a thread of partition {dead[0]} has ended; start again")

    def stop(self, timeout_s: float = 8.0) -> None:
        """End every thread; what is not acknowledged comes again, what is spooled stays."""
        deadline = time.monotonic() + timeout_s
        self._stopping.set()
        for partition in self._partitions:
            partition.stop(deadline)
        if self._worker.is_alive():
            self._worker.join(timeout=max(0.1, deadline - time.monotonic()))
        for partition in self._partitions:
            partition.close()

    def status(self) -> IngestStatus:
        """How it is doing now."""
        parts = self._partitions
        backlogs = [partition.spool.backlog() for partition in parts]
        oldest = [oldest_ms for _, oldest_ms in backlogs if oldest_ms is not None]
        now_ms = self._clock.now_ms()
        faults = [p.forwarder.state for p in parts if p.forwarder.state not in {"ok", "starting"}]
        full = [p.counters.spool_state for p in parts if p.counters.spool_state != "ok"]
        last: dict[str, int] = {}
        for partition in parts:
            last.update(partition.counters.last_message_ms)
        return IngestStatus(
            connected=all(partition.subscriber.is_connected for partition in parts),
            threads_alive=all(partition.alive for partition in parts),
            messages=sum(p.counters.messages for p in parts),
            commits=sum(p.counters.commits for p in parts),
            readings=sum(p.counters.readings for p in parts),
            acknowledged=sum(p.counters.acknowledged for p in parts),
            spooled_readings=sum(readings for readings, _ in backlogs),
            oldest_spooled_s=max(0.0, (now_ms - min(oldest)) / 1000) if oldest else 0.0,
            forwarded=sum(p.forwarder.forwarded for p in parts),
            store_state=faults[0] if faults else "ok",
            spool_state=full[0] if full else "ok",
            seconds_since_message=min(
                time.monotonic() - p.subscriber.last_message_monotonic for p in parts
            ),
            last_message_ms=last,
        )
