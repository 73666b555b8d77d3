"""The ingester as a process: service, store, records, health listener."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from types import TracebackType

from core.clock import Clock
from core.errors import ConfigurationError, StoreError
from core.ledger import QuarantineBounds
from greendc.broker import INGEST_ACCOUNT
from greendc.certificates import certificate_end_s, certificate_files
from greendc.health import (
    Check,
    HealthServer,
    MetricFamily,
    check_call,
    check_data_dir,
    ledger_check,
)
from greendc.ingest_metrics import IngestObservation, ingest_metrics
from greendc.process_figures import read_process_figures
from greendc.reload import ConfigurationWatch
from greendc.settings import Settings, mqtt_connection
from greendc.wiring import (
    open_mappings,
    open_records,
    open_registry,
    open_store,
    prepare_data_dir,
)
from ingest.limits import IngestLimits
from ingest.service import IngestConfig, IngestService, IngestStatus

_LOG = logging.getLogger(__name__)
_PREPARE_RETRY_S = 5.0
_RETENTION_EVERY_S = 3600.0
# Counting what waits in a large quarantine takes the records a while.
_RECORDS_EVERY_S = 15.0


class IngestProcess:
    """Wires and runs one ingester; a context manager that releases everything.

    A broker or store that is away at start or later is waited for: what arrives meanwhile lies in
    the spool.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        registry = open_registry(settings)
        mappings = open_mappings(settings)
        _LOG.info("%d mapping files in %s", len(mappings), settings.mappings_dir)
        prepare_data_dir(settings)
        self._store = open_store(settings, role="ingest")
        self._records = open_records(settings)
        table, taken = settings.ingest.partition_table, settings.ingest.taken()
        self._sites = tuple(
            site.id
            for site in registry
            if site.status == "operating" and table.get(site.id, 0) in taken
        )
        self._last_messages: Mapping[str, int] = {}
        self._quarantine: Mapping[str, tuple[int, int]] | None = None
        self._asked_at = float("-inf")
        self._stopping = threading.Event()
        self._service = IngestService(
            registry,
            self._store,
            self._records,
            IngestConfig(
                connection=mqtt_connection(settings.mqtt),
                client_id=settings.mqtt.client_id,
                partitions=settings.ingest.taken(),
                partition_table=settings.ingest.partition_table,
                spool_dir=settings.spool_dir,
                site_readings_per_s=settings.ingest.site_readings_per_s,
                limits=IngestLimits(spool_bytes=settings.ingest.spool_bytes),
                mappings=mappings,
                probe_s=settings.ingest.probe_s,
                sparkplug_host=settings.mqtt.username or INGEST_ACCOUNT,
                quarantine_bounds=QuarantineBounds(
                    max_bytes=settings.ingest.quarantine_bytes,
                    max_days=settings.ingest.quarantine_days,
                ),
            ),
            clock,
        )
        self._configuration = ConfigurationWatch(settings, self._service.exchange)
        self._health = HealthServer(
            settings.health.host,
            settings.health.port,
            ready=self._ready,
            metrics=self._metrics,
            faults=self._service.faults,
        )

    def __enter__(self) -> IngestProcess:
        self._health.start()
        _LOG.info("health at http://%s/readyz", self._health.address)
        threading.Thread(target=self._prepare_store, name="prepare", daemon=True).start()
        threading.Thread(target=self._retain, name="retention", daemon=True).start()
        self._service.start()
        self._configuration.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._configuration.stop()
        self._service.stop(timeout_s=6.0)
        self._health.stop()
        self._records.close()
        self._store.close()

    def run_until(self, stop: threading.Event) -> None:
        """Serve until `stop` is set."""
        self._service.run_until(stop)

    def reload(self) -> None:
        """Read site files and mappings again; safe in a signal handler."""
        self._configuration.ask()

    def _prepare_store(self) -> None:
        prepare = getattr(self._store, "prepare", None)
        if prepare is None:
            return
        said = ""
        while not self._stopping.is_set():
            try:
                prepare()
                return
            except StoreError as error:
                if str(error) != said:
                    _LOG.warning("the store is not usable yet, readings are kept: %s", error)
                    said = str(error)
            self._stopping.wait(_PREPARE_RETRY_S)

    def _retain(self) -> None:
        """Drop expired raw samples every hour, where the store does not do so itself."""
        while not self._stopping.wait(_RETENTION_EVERY_S):
            try:
                self._store.apply_retention(self._clock.now_ms())
            except StoreError as error:
                _LOG.warning("expired raw samples stay for now: %s", error)

    def _ready(self) -> Sequence[Check]:
        status = self._service.status()
        broker = f"connected to {self._settings.mqtt.url}" if status.connected else "not connected"
        threads = "; ".join(status.stuck) or "every thread comes round"
        spool = (
            "takes commits"
            if status.spool_state == "ok"
            else f"nothing is acknowledged: {status.spool_state}"
        )
        return [
            Check("broker", status.connected, broker, "start the broker or correct the account"),
            Check("threads", not status.stuck, threads, "start the process again"),
            Check("spool", status.spool_state == "ok", spool, "make room on the disk"),
            check_call("store", self._store.check, "check GREENDC_TIMESERIES__…"),
            # What the store says to the work itself: a token that may read and not write passes the
            # check above.
            Check("forwarding", status.store_state == "ok", status.store_state),
            check_call("records", self._records.check, "check GREENDC_RECORDS__URL"),
            check_data_dir(self._settings.data_dir),
            ledger_check(status.imbalances),
            self._configuration.check(),
        ]

    def _metrics(self) -> Sequence[MetricFamily]:
        status = self._service.status()
        now = time.monotonic()
        if now - self._asked_at >= _RECORDS_EVERY_S:
            self._asked_at = now
            try:
                self._quarantine = self._records.count_open_quarantine()
                self._last_messages = self._records.read_last_messages()
            except StoreError as error:
                self._quarantine = None
                _LOG.debug("metrics without the records: %s", error)
        return ingest_metrics(
            IngestObservation(
                status=status,
                now_s=self._clock.now_ms() / 1000,
                version=version("greendc"),
                sites=self._sites,
                booked_message_ms=self._last_messages,
                quarantine=self._quarantine,
                certificates=self._certificates(status),
                process=read_process_figures(),
            )
        )

    def _certificates(self, status: IngestStatus) -> dict[str, float]:
        """Ends of the certificates in use, read anew: they are renewed while the process runs."""
        found = {}
        if status.broker_certificate_end_s is not None:
            found["broker"] = status.broker_certificate_end_s
        for path in certificate_files(self._settings.mqtt):
            with suppress(ConfigurationError):
                found[path.name] = certificate_end_s(path)
        return found
