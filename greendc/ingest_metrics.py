"""The ingester's Prometheus metrics."""

from __future__ import annotations

from greendc.health import MetricFamily
from ingest.service import IngestStatus


def ingest_metrics(status: IngestStatus) -> list[MetricFamily]:
    """Metric families of one status."""

    def counter(name: str, help_: str, value: float) -> MetricFamily:
        return MetricFamily(f"greendc_ingest_{name}_total", "counter", help_, [({}, float(value))])

    def gauge(name: str, help_: str, value: float) -> MetricFamily:
        return MetricFamily(f"greendc_ingest_{name}", "gauge", help_, [({}, float(value))])

    return [
        counter("messages", "Messages taken since start.", status.messages),
        counter("readings", "Readings taken since start.", status.readings),
        counter("commits", "Group commits since start.", status.commits),
        counter("acknowledged", "Messages acknowledged since start.", status.acknowledged),
        counter("forwarded_readings", "Readings forwarded since start.", status.forwarded),
        gauge("spooled_readings", "Readings that wait in the spool.", status.spooled_readings),
        gauge(
            "oldest_spooled_seconds", "Age of the oldest spooled commit.", status.oldest_spooled_s
        ),
        gauge("connected", "1 when connected and subscribed.", status.connected),
        gauge("threads_alive", "1 while every thread lives.", status.threads_alive),
        gauge("store_ok", "1 while the store takes what is forwarded.", status.store_state == "ok"),
        gauge("spool_ok", "1 while the spool takes commits.", status.spool_state == "ok"),
        gauge("seconds_since_message", "Since the last message.", status.seconds_since_message),
        MetricFamily(
            "greendc_ingest_last_message_timestamp_seconds",
            "gauge",
            "Receipt of a site's newest message.",
            [({"site": site}, ms / 1000) for site, ms in sorted(status.last_message_ms.items())],
        ),
    ]
