"""The ingester: one session, spool and forwarder per partition, and the work on the quarantine."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter

from core.clock import Clock
from core.errors import GreendcError
from core.ports import IngestRecords, TimeSeriesStore
from core.sites import SiteRegistry
from ingest.bulk_client import BulkClient
from ingest.config import IngestConfig, IngestStatus
from ingest.forward import FailPoint, no_failpoint
from ingest.host_state import HostState
from ingest.ledger_watch import LedgerWatch
from ingest.mappings import Mappings
from ingest.observing import EMPTY_LATENCIES, BookedCounts
from ingest.partition import Partition
from ingest.probe import Probe, ProbeStatus
from ingest.quarantine_work import QuarantineWork
from ingest.sparkplug_mapping import sparkplug_files
from ingest.subscriber import ClientFactory

_LOG = logging.getLogger(__name__)
_REQUEST_POLL_S = 0.5
_SETTLE_S = 5.0
# Found stuck so often in a row, half a second apart, the process ends to be started again; once
# may be a machine that was asleep.
_STUCK_TIMES = 20
_WATCH_EVERY_S = 15.0
_BOUND_EVERY_S = 60.0

__all__ = ["IngestConfig", "IngestService", "IngestStatus"]


class IngestService:
    """Starts and stops the partitions that this process takes.

    Args:
        client_factory: Makes the MQTT client of a partition; for tests.
        failpoint: Called before each step of forwarding; for tests.

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
        client_factory: ClientFactory = BulkClient,
        failpoint: FailPoint = no_failpoint,
    ) -> None:
        self._config = config
        self._clock = clock
        self._records = records
        self._partitions: list[Partition] = []
        try:
            for number in config.partitions:
                self._partitions.append(
                    Partition(
                        number, registry, store, records, config, clock, client_factory, failpoint
                    )
                )
        except BaseException:
            self._close()
            raise
        try:
            self._probe = self._make_probe(store)
            self._host_state = self._make_host_state(config.mappings)
        except BaseException:
            self._close()
            raise
        self._work = [self._work_of(partition) for partition in self._partitions]
        self._watch = LedgerWatch(
            records,
            config.spool_dir,
            clock,
            source="partitions " + ", ".join(map(str, config.partitions)),
            tallies=[partition.tally for partition in self._partitions],
        )
        self._stopping = threading.Event()
        self._workers = [
            threading.Thread(target=target, name=name, daemon=True)
            for name, target in (
                ("quarantine", self._poll_requests),
                ("ledger-watch", self._watch_ledger),
            )
        ]

    def _make_probe(self, store: TimeSeriesStore) -> Probe | None:
        probed = [partition.number for partition in self._partitions if partition.takes_probes]
        config = self._config
        if not config.probe_s or not probed:
            return None
        client_id = f"{config.client_id}-probe-{probed[0]}"
        return Probe(
            config.connection, client_id, probed, store, self._clock, every_s=config.probe_s
        )

    def _make_host_state(self, mappings: Mappings) -> HostState | None:
        """One process tells it: that which takes the first partition with edge nodes."""
        config = self._config
        numbers = [config.partition_table.get(f.site, 0) for f in sparkplug_files(mappings)]
        chosen = [p for p in self._partitions if p.number == min(numbers, default=-1)]
        if not config.sparkplug_host or not chosen:
            return None
        (partition,) = chosen
        return HostState(
            config.connection,
            f"{config.client_id}-state-{partition.number}",
            config.sparkplug_host,
            self._clock,
            is_taking=lambda: partition.is_taking,
        )

    def _work_of(self, partition: Partition) -> QuarantineWork:
        table = self._config.partition_table
        return QuarantineWork(
            self._records,
            self._clock,
            owns=lambda site: table.get(site, 0) == partition.number,
            take_again=partition.take_again,
            append=partition.append,
            settle=lambda number: self._settled(partition, number),
        )

    def _settled(self, partition: Partition, number: int) -> bool:
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

    def _watch_ledger(self) -> None:
        bounded_at = -_BOUND_EVERY_S
        while True:
            try:
                self._watch.run_once()
                if time.monotonic() - bounded_at >= _BOUND_EVERY_S:
                    self._bound_quarantine()
                    bounded_at = time.monotonic()
            except GreendcError as error:
                _LOG.warning("the ledger cannot be checked now: %s", error)
            except Exception:  # noqa: BLE001
                _LOG.exception("the check of the ledger failed; it is tried again")
            if self._stopping.wait(_WATCH_EVERY_S):
                return

    def _bound_quarantine(self) -> None:
        given_up = self._records.bound_quarantine(self._config.quarantine_bounds, self._clock.now())
        if given_up:
            _LOG.warning(
                "the quarantine is beyond its bounds: the bytes of its oldest %d entries were "
                "given up; `greendc audit list` names them",
                given_up,
            )

    def exchange(self, registry: SiteRegistry, mappings: Mappings) -> None:
        """Go on with another registry and other mappings, without losing or judging anything twice.

        What comes from now on and what is replayed is judged by them; what is spooled was judged.
        """
        for partition in self._partitions:
            partition.exchange(registry, mappings)
        if self._host_state is None:
            self._host_state = self._make_host_state(mappings)
            if self._host_state is not None:
                self._host_state.start()

    def start(self) -> None:
        """Start every thread; a broker or store that is away is waited for."""
        for partition in self._partitions:
            partition.start()
        for worker in self._workers:
            worker.start()
        for companion in (self._probe, self._host_state):
            if companion is not None:
                companion.start()

    def run_until(self, stop: threading.Event) -> None:
        """Serve until `stop` is set.

        Raises:
            GreendcError: A thread has died or hangs; the process should end and be started again.
        """
        times = 0
        while not stop.wait(0.5):
            dead = [partition.number for partition in self._partitions if not partition.alive]
            if dead:
                raise GreendcError(f"a thread of partition {dead[0]} has ended; start again")
            faults = self.faults()
            times = times + 1 if faults else 0
            if times >= _STUCK_TIMES:
                raise GreendcError(f"{faults[0]}; start again")

    def faults(self) -> list[str]:
        """Threads that have ended or hang, for people."""
        return [fault for partition in self._partitions for fault in partition.faults()]

    def stop(self, timeout_s: float = 8.0) -> None:
        """End every thread; what is not acknowledged comes again, what is spooled stays."""
        deadline = time.monotonic() + timeout_s
        self._stopping.set()
        for companion in (self._host_state, self._probe):
            if companion is not None:
                companion.stop(1.0)
        for partition in self._partitions:
            partition.stop(deadline)
        for worker in self._workers:
            if worker.is_alive():
                worker.join(timeout=max(0.1, deadline - time.monotonic()))
        self._close()

    def _close(self) -> None:
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
        refused: Counter[str] = Counter()
        for partition in parts:
            last.update(dict(partition.counters.last_message_ms))
            refused.update(dict(partition.counters.refused))
        quiet = [time.monotonic() - p.subscriber.last_message_monotonic for p in parts]
        return IngestStatus(
            connected=all(partition.subscriber.is_connected for partition in parts),
            threads_alive=all(partition.alive for partition in parts),
            messages=sum(p.counters.messages for p in parts),
            commits=sum(p.counters.commits for p in parts),
            readings=sum(p.counters.readings for p in parts),
            acknowledged=sum(p.subscriber.acknowledged for p in parts),
            connections=sum(p.subscriber.connections for p in parts),
            refused=dict(refused),
            spooled_readings=sum(readings for readings, _ in backlogs),
            oldest_spooled_s=max(0.0, (now_ms - min(oldest)) / 1000) if oldest else 0.0,
            rebirth_requests=sum(p.rebirths.sent for p in parts),
            set_aside_commits=sum(len(p.spool.set_aside()) for p in parts),
            forwarded=sum(p.forwarder.forwarded for p in parts),
            store_state=faults[0] if faults else "ok",
            spool_state=full[0] if full else "ok",
            seconds_since_message=min(quiet, default=0.0),
            last_message_ms=last,
            booked=sum((p.booked.read() for p in parts), BookedCounts()),
            spooled_commits=sum(p.spool.waiting_commits() for p in parts),
            spooled_bytes=sum(p.spool.waiting_bytes for p in parts),
            acknowledging=sum((p.acknowledging.read() for p in parts), EMPTY_LATENCIES),
            storing=sum((p.storing.read() for p in parts), EMPTY_LATENCIES),
            heartbeats={
                (p.number, name): age for p in parts for name, age in p.heartbeats().items()
            },
            stuck=tuple(self.faults()),
            probe=self._probe.status() if self._probe is not None else ProbeStatus(),
            broker_certificate_end_s=min(
                (end for p in parts if (end := p.subscriber.broker_certificate_end_s) is not None),
                default=None,
            ),
            imbalances=self._watch.found,
            ledger_checked_ms=self._watch.checked_ms,
        )
