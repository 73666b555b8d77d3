"""One partition at work: a session, a spool, and the threads between them.

The network thread only enqueues. The spool thread decodes, commits and acknowledges. The forward
thread moves commits to store and records. They share the inbox and the spool, nothing else.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from core.clock import Clock
from core.errors import SpoolFullError
from core.ledger import QuarantineEntry
from core.ports import IngestRecords, TimeSeriesStore
from core.sites import SiteRegistry
from ingest.commits import Commit
from ingest.config import IngestConfig
from ingest.decode import subscription_filters
from ingest.forward import FailPoint, Forwarder
from ingest.inbox import Inbox
from ingest.intake import Intake
from ingest.messages import RawMessage, Refusal
from ingest.spool import Spool
from ingest.subscriber import ClientFactory, MqttSubscriber

_LOG = logging.getLogger(__name__)
_RETRY_FULL_S = 1.0


@dataclass(slots=True)
class Counters:
    """What a partition has taken since start.

    Attributes:
        refused: Readings by reason.
    """

    messages: int = 0
    commits: int = 0
    readings: int = 0
    spool_state: str = "ok"
    refused: Counter[str] = field(default_factory=Counter)
    last_message_ms: dict[str, int] = field(default_factory=dict)


def sites_of(registry: SiteRegistry, config: IngestConfig, partition: int) -> list[str] | None:
    """Sites of a partition; None where one partition has them all, and unknown ones too."""
    if all(number == 0 for number in config.partition_table.values()):
        return None if partition == 0 else []
    table = config.partition_table
    return [site.id for site in registry if table.get(site.id, 0) == partition]


class Partition:
    """One partition's threads.

    Raises:
        ConfigurationError: Another process holds its spool, or TLS files cannot be used.
    """

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
        self._clock = clock
        self._limits = limits = config.limits
        self.spool = Spool(
            config.spool_dir,
            number,
            max_bytes=limits.spool_bytes,
            reserve_bytes=limits.reserve_bytes,
            clock=clock,
        )
        try:
            self._inbox = Inbox(limits)
            filters = subscription_filters(sites_of(registry, config, number))
            self.subscriber = MqttSubscriber(
                config.connection,
                f"{config.client_id}-{number}",
                filters,
                self._inbox,
                clock,
                stale_filters=self.spool.exchange_filters(filters),
                limits=limits,
                client_factory=client_factory,
            )
            self.intake = Intake(
                registry,
                site_readings_per_s=config.site_readings_per_s,
                limits=limits,
                mappings=config.mappings,
                # No time stamp that was accepted before lies further ahead than this.
                received_before_ms=clock.now_ms() + limits.future_ms,
            )
            self.forwarder = Forwarder(
                self.spool,
                store,
                records,
                registry=registry,
                limits=limits,
                failpoint=failpoint,
                settled=self.intake.settle,
            )
        except BaseException:
            self.spool.close()
            raise
        self.counters = Counters()
        self._stop = threading.Event()
        self._wake = threading.Event()
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
        """Start every thread."""
        for thread in self._threads:
            thread.start()
        self.subscriber.start()

    def stop(self, deadline: float) -> None:
        """End every thread by `deadline` (monotonic); what is unacknowledged comes again."""
        self._stop.set()
        self._wake.set()
        # The spool thread first: its last commit is still acknowledged.
        self._threads[0].join(timeout=max(0.1, min(2.0, deadline - time.monotonic())))
        self.subscriber.stop(max(0.1, min(3.0, deadline - time.monotonic())))
        self._threads[1].join(timeout=max(0.1, deadline - time.monotonic()))

    def close(self) -> None:
        """Release the spool."""
        self.spool.close()

    @property
    def alive(self) -> bool:
        """Whether every thread lives."""
        return self.subscriber.thread_alive and all(t.is_alive() for t in self._threads)

    def append(self, commit: Commit) -> int:
        """Make a commit of our own (a replay) durable; returns its number."""
        number = self.spool.append(commit, self._clock.now_ms())
        self._wake.set()
        return number

    def take_again(self, entry: QuarantineEntry, correction: bool) -> tuple[Commit, list[Refusal]]:
        """Build the commit of a replay."""
        return self.intake.take_again(entry, correction=correction)

    # ------------------------------------------------------------ the spool thread

    def _spool_messages(self) -> None:
        while not self._stop.is_set():
            messages = self._inbox.take(0.2)
            if not messages:
                continue
            for commit, chosen in self._build(messages):
                if self._commit_and_acknowledge(commit, chosen):
                    self._count(commit, chosen)
                    self._wake.set()

    def _build(self, messages: list[RawMessage]) -> list[tuple[Commit, list[RawMessage]]]:
        try:
            return [(self.intake.take(messages), messages)]
        except Exception:  # noqa: BLE001
            # A fault of ours must not block the queue: find the message, keep its bytes, go on.
            _LOG.exception("a commit could not be built; its messages are taken one by one")
        built = []
        for message in messages:
            try:
                commit = self.intake.take([message])
            except Exception:  # noqa: BLE001
                _LOG.exception("the decoder fails on a message of %r", message.topic)
                commit = self.intake.set_aside(message)
            built.append((commit, [message]))
        return built

    def _commit_and_acknowledge(self, commit: Commit, messages: Sequence[RawMessage]) -> bool:
        # A full disk pauses here: nothing is acknowledged, the inbox fills, the socket rests.
        while True:
            try:
                self.spool.append(commit, messages[-1].received_ms)
            except SpoolFullError as error:
                if self.counters.spool_state == "ok":
                    _LOG.error("%s", error)
                self.counters.spool_state = str(error)
                if self._stop.wait(_RETRY_FULL_S):
                    return False
                continue
            if self.counters.spool_state != "ok":
                _LOG.warning("%s: there is room again", self.spool.path)
            self.counters.spool_state = "ok"
            self.subscriber.acknowledge(messages)
            return True

    def _count(self, commit: Commit, messages: Sequence[RawMessage]) -> None:
        counters = self.counters
        counters.messages += len(messages)
        counters.commits += 1
        counters.readings += sum(hour.counts.received for hour in commit.hours)
        for entry in commit.quarantined:
            counters.refused[entry.reason] += entry.count
        for refused in commit.rejected:
            counters.refused[refused.reason] += refused.count
        counters.last_message_ms.update(commit.last_message_ms)
