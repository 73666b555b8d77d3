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
from core.ids import PROBE_SITE
from core.ledger import CommitOutcome, QuarantineEntry
from core.ports import IngestRecords, TimeSeriesStore
from core.sites import SiteRegistry
from ingest.commits import Commit
from ingest.config import IngestConfig
from ingest.decode import subscription_filters
from ingest.forward import FailPoint, Forwarder
from ingest.inbox import Inbox
from ingest.intake import Intake
from ingest.mappings import NO_MAPPINGS, Mappings
from ingest.messages import RawMessage, Refusal
from ingest.observing import BookedReadings, Histogram
from ingest.probe_site import probe_topic, with_probe_site
from ingest.rebirths import RebirthRequests
from ingest.spool import Spool
from ingest.subscriber import ClientFactory, MqttSubscriber
from ingest.tally import Tally

_LOG = logging.getLogger(__name__)
_RETRY_FULL_S = 1.0
# A thread that has not come round for so long hangs: nothing that it does takes half of it.
STUCK_S = 60.0


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


def filters_of(
    sites: Sequence[str] | None, partition: int, mappings: Mappings = NO_MAPPINGS
) -> list[str]:
    """What a partition subscribes to: every dialect of its sites, and its own probe."""
    filters = subscription_filters(sites, mappings)
    # With all sites the probe's topic is covered; without any there is nothing to probe.
    return [*filters, probe_topic(partition)] if sites else filters


class Partition:
    """One partition's threads.

    Attributes:
        takes_probes: Whether a probe of this partition comes to it, and to it alone.
        acknowledging: Seconds from receipt to acknowledgement, of each commit's oldest message.
        storing: Seconds from receipt to booked, of each commit.
        rebirths: Requests to Sparkplug edge nodes.

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
        self._config = config
        self._clock = clock
        self._limits = limits = config.limits
        self.spool = Spool(
            config.spool_dir,
            number,
            max_bytes=limits.spool_bytes,
            reserve_bytes=limits.reserve_bytes,
            clock=clock,
        )
        self.booked = BookedReadings(frozenset(site.id for site in registry))
        self.storing = Histogram()
        try:
            self._inbox = Inbox(limits)
            sites = sites_of(registry, config, number)
            filters = filters_of(sites, number, config.mappings)
            self.takes_probes = sites is None or bool(sites)
            known = with_probe_site(registry, number)
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
                known,
                site_readings_per_s=config.site_readings_per_s,
                limits=limits,
                mappings=config.mappings,
                # No time stamp that was accepted before lies further ahead than this.
                received_before_ms=clock.now_ms() + limits.future_ms,
                edges=self.spool.edges(),
                past_births=self.spool.past_births,
            )
            self.forwarder = Forwarder(
                self.spool,
                store,
                records,
                registry=known,
                limits=limits,
                failpoint=failpoint,
                settled=self.intake.settle,
                booked=self._note_booked,
            )
        except BaseException:
            self.spool.close()
            raise
        self.counters = Counters()
        self.rebirths = RebirthRequests(clock)
        self.acknowledging = Histogram()
        self._heartbeat = time.monotonic()
        self._started = False
        self.tally = Tally()
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
        self._started = True

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

    @property
    def is_taking(self) -> bool:
        """Whether what is sent now is received and acknowledged."""
        return self.subscriber.is_connected and self.counters.spool_state == "ok"

    def heartbeats(self) -> dict[str, float]:
        """Thread -> seconds since it last came round its loop.

        The forward thread is not among them: it may wait for a store as long as that takes.
        """
        now = time.monotonic()
        return {"network": now - self.subscriber.heartbeat, "spool": now - self._heartbeat}

    def faults(self) -> list[str]:
        """Threads that have ended or hang, for people; none before the start."""
        if not self._started:
            return []
        ended = [t.name for t in self._threads if not t.is_alive()]
        if not self.subscriber.thread_alive:
            ended.append(f"network-{self.number}")
        stuck = [
            f"the {name} thread of partition {self.number} has not come round for {age:.0f} s"
            for name, age in self.heartbeats().items()
            if age > STUCK_S
        ]
        return [f"the thread {name} has ended" for name in ended] + stuck

    def _note_booked(self, outcome: CommitOutcome, received_ms: Sequence[int]) -> None:
        self.booked.add(outcome)
        now_ms = self._clock.now_ms()
        for receipt in received_ms:
            self.storing.observe((now_ms - receipt) / 1000)

    def exchange(self, registry: SiteRegistry, mappings: Mappings) -> None:
        """Go on with another registry and other mappings; nothing that was received is touched."""
        known = with_probe_site(registry, self.number)
        self.booked.know(frozenset(site.id for site in registry))
        self.forwarder.exchange(known)
        self.intake.exchange(
            known, mappings, received_before_ms=self._clock.now_ms() + self._limits.future_ms
        )
        sites = sites_of(registry, self._config, self.number)
        filters = filters_of(sites, self.number, mappings)
        # Old ones stay in the session until the next start: no message is lost by a change.
        self.spool.exchange_filters(filters)
        self.subscriber.add_filters(filters)

    def append(self, commit: Commit) -> int:
        """Make a commit of our own (a replay) durable; returns its number."""
        number = self.spool.append(commit, self._clock.now_ms())
        self._wake.set()
        return number

    def take_again(
        self, entries: Sequence[QuarantineEntry], correction: bool
    ) -> list[tuple[Commit, list[Refusal]]]:
        """Build the commits of a replay, one an entry."""
        return self.intake.take_all_again(entries, correction=correction)

    # ------------------------------------------------------------ the spool thread

    def _spool_messages(self) -> None:
        while not self._stop.is_set():
            self._heartbeat = time.monotonic()
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
        self.tally.begin(commit.hours)
        while True:
            self._heartbeat = time.monotonic()
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
            self.tally.finish(commit.hours)
            self.subscriber.acknowledge(messages)
            self.rebirths.ask(commit.sparkplug, self.subscriber.publish)
            # One value a commit, that of its oldest message: none waited longer.
            waited_ms = self._clock.now_ms() - messages[0].received_ms
            self.acknowledging.observe(waited_ms / 1000)
            return True

    def _count(self, commit: Commit, messages: Sequence[RawMessage]) -> None:
        counters = self.counters
        counters.messages += len(messages)
        counters.commits += 1
        counters.readings += sum(
            hour.counts.received for hour in commit.hours if hour.site != PROBE_SITE
        )
        for entry in commit.quarantined:
            counters.refused[entry.reason] += entry.count
        for refused in commit.rejected:
            counters.refused[refused.reason] += refused.count
        counters.last_message_ms.update(commit.last_message_ms)
