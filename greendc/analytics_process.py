"""Analytics as a process: service, store, records, health listener."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from types import TracebackType

from analytics.service import AnalyticsConfig, AnalyticsService
from core.clock import Clock
from greendc.health import Check, HealthServer, MetricFamily, check_call, check_data_dir
from greendc.settings import Settings
from greendc.wiring import (
    open_factors,
    open_records,
    open_registry,
    open_store,
    prepare_data_dir,
)

_LOG = logging.getLogger(__name__)


class AnalyticsProcess:
    """Wires and runs analytics; a context manager that releases everything."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        registry = open_registry(settings)
        prepare_data_dir(settings)
        self._store = open_store(settings, role="analytics")
        self._records = open_records(settings)
        self._service = AnalyticsService(
            registry,
            self._store,
            self._records,
            AnalyticsConfig(raw_days=settings.timeseries.raw_days, factors=open_factors(settings)),
            clock,
        )
        self._health = HealthServer(
            settings.health.host, settings.health.port, ready=self._ready, metrics=self._metrics
        )

    def __enter__(self) -> AnalyticsProcess:
        self._health.start()
        _LOG.info("health at http://%s/readyz", self._health.address)
        self._service.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._service.stop(timeout_s=8.0)
        self._health.stop()
        self._records.close()
        self._store.close()

    def run_until(self, stop: threading.Event) -> None:
        """Compute until `stop` is set."""
        self._service.run_until(stop)

    def _ready(self) -> Sequence[Check]:
        return [
            check_call("store", self._store.check, "check GREENDC_TIMESERIES__URL"),
            check_call("records", lambda: f"{self._records.count_dirty()} spans wait", ""),
            check_data_dir(self._settings.data_dir),
        ]

    def _metrics(self) -> Sequence[MetricFamily]:
        status = self._service.status()

        def family(name: str, kind: str, help_: str, value: float) -> MetricFamily:
            return MetricFamily(f"greendc_analytics_{name}", kind, help_, [({}, float(value))])

        computed = [
            ({"site": site}, end_ms / 1000)
            for site, end_ms in sorted(status.computed_to_ms.items())
        ]
        return [
            family("passes_total", "counter", "Passes since start.", status.passes),
            family("failures_total", "counter", "Groups that failed.", status.failures),
            family("intervals_total", "counter", "Intervals written.", status.intervals_written),
            family("samples_total", "counter", "Samples read.", status.samples_read),
            family("results_total", "counter", "Figures written.", status.results_written),
            family("forecasts_total", "counter", "Forecasts issued.", status.forecasts.issued),
            family(
                "forecast_days_scored_total",
                "counter",
                "Days of issued forecasts scored, again where more of their outcomes had come.",
                status.forecasts.scored_days,
            ),
            family(
                "forecast_days_hindcast_total",
                "counter",
                "Days hindcast.",
                status.forecasts.hindcast_days,
            ),
            family(
                "forecast_seconds_total",
                "counter",
                "Time spent on forecasts and their scores.",
                status.forecasts.seconds,
            ),
            family("last_pass_seconds", "gauge", "Length of the last pass.", status.last_pass_s),
            family("waiting_spans", "gauge", "Dirty spans.", self._records.count_dirty()),
            family("oldest_wait_seconds", "gauge", "Wait of the oldest.", status.oldest_wait_s),
            family("running", "gauge", "1 while its thread lives.", status.is_running),
            family("ok", "gauge", "1 when the last pass did everything.", not status.error),
            MetricFamily(
                "greendc_analytics_computed_to_timestamp_seconds",
                "gauge",
                "End of the newest interval written.",
                computed,
            ),
            MetricFamily(
                "greendc_analytics_forecast_timestamp_seconds",
                "gauge",
                "Issue time of the newest forecast.",
                [
                    ({"site": site}, issued_ms / 1000)
                    for site, issued_ms in sorted(status.forecast_ms.items())
                ],
            ),
        ]
