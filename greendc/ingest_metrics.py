"""The ingester's Prometheus metrics: one table for `/metrics`, its documentation and the dashboard.

Labels are bounded by the site registry and the table of reasons; what belongs to no site of the
registry stands under an empty site.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from core.periods import format_time
from greendc.health import MetricFamily
from greendc.process_figures import ProcessFigures
from ingest.observing import EMPTY_LATENCIES, HistogramCounts
from ingest.probe import LOST, OFF, REFUSED
from ingest.service import IngestStatus

Labels = dict[str, str]


@dataclass(frozen=True, slots=True)
class IngestObservation:
    """Everything that the metrics are read from, at one moment.

    Attributes:
        now_s: Seconds since 1970.
        sites: Sites from which messages are expected.
        booked_message_ms: Site -> receipt of its newest message, as the records know it.
        quarantine: Site -> entries and readings that wait in quarantine; None while the records
            do not answer.
        certificates: Certificate -> its last moment, seconds since 1970.
    """

    status: IngestStatus
    now_s: float
    version: str = ""
    sites: tuple[str, ...] = ()
    booked_message_ms: Mapping[str, int] = field(default_factory=dict)
    quarantine: Mapping[str, tuple[int, int]] | None = None
    certificates: Mapping[str, float] = field(default_factory=dict)
    process: ProcessFigures | None = None


Read = Callable[[IngestObservation], Iterable[tuple[Labels, float]]]
ReadHistogram = Callable[[IngestObservation], HistogramCounts]


@dataclass(frozen=True, slots=True)
class IngestMetric:
    """One metric: what it is, and what to do about it.

    Attributes:
        name: Base unit in the name; counters end in `_total`.
        help: One sentence for `# HELP` and the documentation.
        advice: What a person does when it is not as it should be; empty for one that only informs.
        read: Samples of an observation.
        read_histogram: The same of a histogram.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    advice: str = ""
    labels: tuple[str, ...] = ()
    read: Read = lambda _: ()
    read_histogram: ReadHistogram = lambda _: EMPTY_LATENCIES


def _one(read: Callable[[IngestObservation], float | None]) -> Read:
    def samples(seen: IngestObservation) -> Iterable[tuple[Labels, float]]:
        value = read(seen)
        return () if value is None else (({}, float(value)),)

    return samples


def _since_message(seen: IngestObservation) -> Iterable[tuple[Labels, float]]:
    for site in seen.sites:
        last = max(seen.status.last_message_ms.get(site, 0), seen.booked_message_ms.get(site, 0))
        if last:
            yield {"site": site}, max(0.0, seen.now_s - last / 1000)


def _waiting(part: int) -> Read:
    def samples(seen: IngestObservation) -> Iterable[tuple[Labels, float]]:
        if seen.quarantine is None:
            return
        for site in dict.fromkeys((*seen.sites, *sorted(seen.quarantine))):
            yield {"site": site}, float(seen.quarantine.get(site, (0, 0))[part])

    return samples


def _probe_ok(seen: IngestObservation) -> float | None:
    state = seen.status.probe.state
    return None if state in {OFF, REFUSED} else float(state != LOST)


def _process(read: Callable[[ProcessFigures], float]) -> Read:
    return _one(lambda seen: None if seen.process is None else read(seen.process))


_BROKER = (
    "start the broker, or correct the account: the log of the ingester says which. The broker "
    "keeps the messages meanwhile"
)
_STORE = (
    "the log names the fault: bring the store back, or mend address, token or bucket. Readings "
    "wait in the spool, nothing is lost"
)

METRICS: tuple[IngestMetric, ...] = (
    IngestMetric(
        "greendc_build_info",
        "gauge",
        "1; the version in its labels.",
        labels=("version", "python"),
        read=lambda seen: [
            ({"version": seen.version, "python": platform.python_version()}, 1.0),
        ],
    ),
    IngestMetric(
        "greendc_process_start_timestamp_seconds",
        "gauge",
        "When the process started.",
        "many changes in an hour mean that it ends again and again: its log says why",
        read=_process(lambda process: process.started_s),
    ),
    IngestMetric(
        "greendc_process_cpu_seconds_total",
        "counter",
        "CPU time of the process.",
        read=_process(lambda process: process.cpu_s),
    ),
    IngestMetric(
        "greendc_process_resident_memory_bytes",
        "gauge",
        "Resident memory of the process.",
        "it stays below 400 MiB; growth without end is a fault to report, with the day's metrics",
        read=_process(lambda process: process.resident_bytes),
    ),
    IngestMetric(
        "greendc_process_open_files",
        "gauge",
        "Open files and sockets.",
        read=_process(lambda process: process.open_files),
    ),
    # ---------------------------------------------------------------- receiving
    IngestMetric(
        "greendc_ingest_connected",
        "gauge",
        "1 when connected and subscribed.",
        _BROKER,
        read=_one(lambda seen: seen.status.connected),
    ),
    IngestMetric(
        "greendc_ingest_connections_total",
        "counter",
        "Connections made since start; more than one a partition means that one was lost.",
        "look for another client with the same client id, and at the broker's log",
        read=_one(lambda seen: seen.status.connections),
    ),
    IngestMetric(
        "greendc_ingest_threads_alive",
        "gauge",
        "1 while every thread lives.",
        "the process ends by itself and has to be started again (systemd, container engine)",
        read=_one(lambda seen: seen.status.threads_alive),
    ),
    IngestMetric(
        "greendc_ingest_thread_heartbeat_age_seconds",
        "gauge",
        "Since a thread last came round its loop. A thread that hangs still lives.",
        "above 60 `/healthz` answers 503 and the process ends by itself soon after; a disk or a "
        "name server that does not answer is the usual cause",
        ("partition", "thread"),
        lambda seen: [
            ({"partition": str(partition), "thread": thread}, age)
            for (partition, thread), age in sorted(seen.status.heartbeats.items())
        ],
    ),
    IngestMetric(
        "greendc_ingest_messages_total",
        "counter",
        "Messages taken since start.",
        read=_one(lambda seen: seen.status.messages),
    ),
    IngestMetric(
        "greendc_ingest_readings_total",
        "counter",
        "Readings taken since start.",
        read=_one(lambda seen: seen.status.readings),
    ),
    IngestMetric(
        "greendc_ingest_commits_total",
        "counter",
        "Group commits since start.",
        read=_one(lambda seen: seen.status.commits),
    ),
    IngestMetric(
        "greendc_ingest_acknowledged_total",
        "counter",
        "Messages acknowledged since start.",
        "stands still while messages come: see `greendc_ingest_spool_ok`",
        read=_one(lambda seen: seen.status.acknowledged),
    ),
    IngestMetric(
        "greendc_ingest_acknowledge_seconds",
        "histogram",
        "From receipt to acknowledgement, of the oldest message of each commit.",
        "seconds instead of tenths mean a slow disk: every commit waits for it",
        read_histogram=lambda seen: seen.status.acknowledging,
    ),
    IngestMetric(
        "greendc_ingest_seconds_since_message",
        "gauge",
        "Since the last message of any site.",
        "if every site is silent it is the broker, the network or the ingester's access list",
        read=_one(lambda seen: seen.status.seconds_since_message),
    ),
    IngestMetric(
        "greendc_ingest_last_message_timestamp_seconds",
        "gauge",
        "Receipt of a site's newest message since start.",
        labels=("site",),
        read=lambda seen: [
            ({"site": site}, ms / 1000) for site, ms in sorted(seen.status.last_message_ms.items())
        ],
    ),
    IngestMetric(
        "greendc_ingest_site_seconds_since_message",
        "gauge",
        "Since a site's newest message, restarts included; absent for a site that never sent.",
        "call the site: gateway, line or account. The broker's log tells refused connections",
        ("site",),
        _since_message,
    ),
    # ---------------------------------------------------------------- verdicts
    IngestMetric(
        "greendc_ingest_verdict_readings_total",
        "counter",
        "Readings by verdict, booked since start: stored, duplicate, quarantined, rejected.",
        "duplicates in plenty are a gateway that sends again what was acknowledged",
        ("site", "verdict"),
        lambda seen: [
            ({"site": site, "verdict": verdict}, float(count))
            for (site, verdict), count in sorted(seen.status.booked.verdicts.items())
        ],
    ),
    IngestMetric(
        "greendc_ingest_refused_readings_total",
        "counter",
        "Readings that went to quarantine or were rejected, by reason, booked since start.",
        "`greendc quarantine list` shows them with their bytes: mend site file or mapping, replay. "
        "`rate_cap`: the site sends more than GREENDC_INGEST__SITE_READINGS_PER_S",
        ("site", "reason"),
        lambda seen: [
            ({"site": site, "reason": reason}, float(count))
            for (site, reason), count in sorted(seen.status.booked.reasons.items())
        ],
    ),
    IngestMetric(
        "greendc_ingest_late_readings_total",
        "counter",
        "Readings that came more than 15 minutes after their time, booked since start.",
        "a gateway that was offline catches up, or its clock is slow",
        ("site",),
        lambda seen: [
            ({"site": site}, float(count))
            for site, count in sorted(seen.status.booked.late.items())
        ],
    ),
    IngestMetric(
        "greendc_ingest_quarantine_open_entries",
        "gauge",
        "Entries that wait in quarantine.",
        "`greendc quarantine list`: mend and replay, or discard with a reason",
        ("site",),
        _waiting(0),
    ),
    IngestMetric(
        "greendc_ingest_quarantine_open_readings",
        "gauge",
        "Readings that wait in quarantine.",
        "as above",
        ("site",),
        _waiting(1),
    ),
    # ---------------------------------------------------------------- spool and store
    IngestMetric(
        "greendc_ingest_spool_ok",
        "gauge",
        "1 while the spool takes commits.",
        "make room on the disk of the data folder. Until then nothing is acknowledged and the "
        "broker keeps the messages; it goes on by itself",
        read=_one(lambda seen: seen.status.spool_state == "ok"),
    ),
    IngestMetric(
        "greendc_ingest_spooled_readings",
        "gauge",
        "Readings that wait in the spool.",
        _STORE,
        read=_one(lambda seen: seen.status.spooled_readings),
    ),
    IngestMetric(
        "greendc_ingest_spooled_commits",
        "gauge",
        "Commits that wait in the spool.",
        read=_one(lambda seen: seen.status.spooled_commits),
    ),
    IngestMetric(
        "greendc_ingest_spooled_bytes",
        "gauge",
        "Bytes that wait in the spool.",
        "watch it against the room on the disk while the store is away",
        read=_one(lambda seen: seen.status.spooled_bytes),
    ),
    IngestMetric(
        "greendc_ingest_oldest_spooled_seconds",
        "gauge",
        "Age of the oldest spooled commit: how far store and records lag behind.",
        _STORE,
        read=_one(lambda seen: seen.status.oldest_spooled_s),
    ),
    IngestMetric(
        "greendc_ingest_set_aside_commits",
        "gauge",
        "Damaged commits of the spool that wait for a person.",
        "the log names them. Check the disk; keep the spool file",
        read=_one(lambda seen: seen.status.set_aside_commits),
    ),
    IngestMetric(
        "greendc_ingest_rebirth_requests_total",
        "counter",
        "Sparkplug edge nodes that were asked to be born again since start.",
        "messages of an edge node are lost before they come here, or it does not answer: "
        "the log names it",
        read=_one(lambda seen: seen.status.rebirth_requests),
    ),
    IngestMetric(
        "greendc_ingest_ledger_checked_timestamp_seconds",
        "gauge",
        "When the ledger was last checked; 0 before the first time.",
        "older than a few minutes: the records do not answer",
        read=_one(lambda seen: seen.status.ledger_checked_ms / 1000),
    ),
    IngestMetric(
        "greendc_ingest_ledger_imbalances",
        "gauge",
        "Hours of the ledger that disagree with what they count.",
        "above 0 readings may be lost: docs/intake.md, when the ledger does not balance",
        read=_one(lambda seen: len(seen.status.imbalances)),
    ),
    IngestMetric(
        "greendc_ingest_ledger_imbalance_readings",
        "gauge",
        "Readings by which an hour of receipt disagrees, counted minus booked.",
        "as above",
        ("site", "hour", "count"),
        lambda seen: [
            (
                {"site": one.site, "hour": format_time(one.hour_ms), "count": one.name},
                float(one.found - one.booked),
            )
            for one in seen.status.imbalances
        ],
    ),
    IngestMetric(
        "greendc_ingest_forwarded_readings_total",
        "counter",
        "Readings forwarded since start.",
        read=_one(lambda seen: seen.status.forwarded),
    ),
    IngestMetric(
        "greendc_ingest_store_seconds",
        "histogram",
        "From receipt to booked in store and records, of each commit.",
        _STORE,
        read_histogram=lambda seen: seen.status.storing,
    ),
    IngestMetric(
        "greendc_ingest_store_ok",
        "gauge",
        "1 while the store takes what is forwarded.",
        _STORE,
        read=_one(lambda seen: seen.status.store_state == "ok"),
    ),
    # ---------------------------------------------------------------- the probe
    IngestMetric(
        "greendc_ingest_probe_enabled",
        "gauge",
        "1 while probe readings are published (GREENDC_INGEST__PROBE_S).",
        "0 although it is set: the broker's access list does not let the ingester publish them "
        "(`greendc broker acl`)",
        read=_one(lambda seen: seen.status.probe.state not in {OFF, REFUSED}),
    ),
    IngestMetric(
        "greendc_ingest_probe_ok",
        "gauge",
        "0 when the last probe was not in the store in time; absent without a probe.",
        "the way from broker to store is broken or slow for everybody: look at `connected`, "
        "`spool_ok`, `store_ok`, and at the broker's queue",
        read=_one(_probe_ok),
    ),
    IngestMetric(
        "greendc_ingest_probe_sent_total",
        "counter",
        "Probe readings since start.",
        read=_one(lambda seen: seen.status.probe.sent),
    ),
    IngestMetric(
        "greendc_ingest_probe_lost_total",
        "counter",
        "Probe readings that were not in the store after 30 s.",
        "as `greendc_ingest_probe_ok`",
        read=_one(lambda seen: seen.status.probe.lost),
    ),
    IngestMetric(
        "greendc_ingest_probe_seconds",
        "histogram",
        "From the publishing of a probe reading until it is read back from the store.",
        "what it adds to `greendc_ingest_store_seconds` is the broker and its queue",
        read_histogram=lambda seen: seen.status.probe.latency or EMPTY_LATENCIES,
    ),
    IngestMetric(
        "greendc_ingest_probe_last_seconds",
        "gauge",
        "The newest of these.",
        read=_one(lambda seen: seen.status.probe.last_s),
    ),
    IngestMetric(
        "greendc_ingest_probe_since_arrival_seconds",
        "gauge",
        "Since a probe reading was read back from the store.",
        "as `greendc_ingest_probe_ok`",
        read=_one(lambda seen: seen.status.probe.since_arrival_s),
    ),
    # ---------------------------------------------------------------- certificates
    IngestMetric(
        "greendc_certificate_expiry_timestamp_seconds",
        "gauge",
        "End of validity of a certificate that the ingester uses or trusts.",
        "`greendc broker certificates` renews those that end within 30 days; hand them out and "
        "restart the broker",
        ("certificate",),
        lambda seen: [({"certificate": name}, end) for name, end in seen.certificates.items()],
    ),
)


def ingest_metrics(seen: IngestObservation) -> list[MetricFamily]:
    """Metric families of one observation."""
    return [
        MetricFamily(
            metric.name,
            metric.kind,
            metric.help,
            list(metric.read(seen)),
            [({}, metric.read_histogram(seen))] if metric.kind == "histogram" else [],
        )
        for metric in METRICS
    ]
