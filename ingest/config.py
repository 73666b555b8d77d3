"""What an ingester needs to know, and what it says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core.connections import MqttConnection
from core.ledger import Imbalance, QuarantineBounds
from ingest.limits import IngestLimits
from ingest.mappings import NO_MAPPINGS, Mappings
from ingest.observing import EMPTY_LATENCIES, BookedCounts, HistogramCounts
from ingest.probe import ProbeStatus


@dataclass(frozen=True, slots=True)
class IngestConfig:
    """What an ingester needs to know.

    Attributes:
        client_id: Prefix; the session of a partition is `<client_id>-<partition>`.
        partitions: The partitions that this process takes.
        partition_table: Site -> partition; sites not in it are in partition 0.
        site_readings_per_s: A site's cap, averaged over a minute.
        mappings: What foreign dialects mean.
        probe_s: Seconds between two readings of our own that are followed to the store; 0: none.
        quarantine_bounds: How much the quarantine keeps.
        sparkplug_host: Id under which Sparkplug edge nodes are told whether we are there; empty:
            they are not.
    """

    connection: MqttConnection
    client_id: str
    partitions: tuple[int, ...]
    partition_table: Mapping[str, int]
    spool_dir: Path
    site_readings_per_s: float = 100_000
    limits: IngestLimits = field(default_factory=IngestLimits)
    mappings: Mappings = NO_MAPPINGS
    probe_s: float = 0.0
    quarantine_bounds: QuarantineBounds = field(default_factory=QuarantineBounds)
    sparkplug_host: str = ""


@dataclass(frozen=True, slots=True)
class IngestStatus:
    """How an ingester is doing, for health and metrics.

    Attributes:
        connected: Every partition is connected and subscribed.
        threads_alive: Every thread lives.
        messages, commits, readings: Taken since start.
        acknowledged: Acknowledgements sent since start.
        connections: Connections made since start; more than one a partition means it was lost.
        refused: Readings since start by the reason of their refusal at receipt.
        spooled_readings: Readings that wait for store or records.
        oldest_spooled_s: Age of the oldest of them; 0 without one.
        set_aside_commits: Damaged commits of the spool that wait for a person.
        forwarded: Readings forwarded since start.
        store_state: `ok`, or what is wrong.
        spool_state: `ok`, or what is wrong.
        seconds_since_message: Since the last message of any site.
        last_message_ms: Site -> receipt of its newest message.
        booked: Verdicts by site, of what the records hold since start.
        spooled_commits, spooled_bytes: What waits in the spool.
        acknowledging: Receipt to acknowledgement, one value a commit, of its oldest message.
        storing: Receipt to booked in the records, one value a commit.
        heartbeats: (partition, thread) -> seconds since it came round its loop.
        stuck: Threads that hang or have ended, for people; empty when all is well.
        probe: How the probe is doing.
        rebirth_requests: Sparkplug edge nodes that were asked to be born again, since start.
        broker_certificate_end_s: Last moment of the broker's certificate, seconds since 1970; None
            without TLS.
        imbalances: Hours of the ledger that disagree with what they count.
        ledger_checked_ms: When that was last looked for; 0 before the first time.
    """

    connected: bool
    threads_alive: bool
    messages: int
    commits: int
    readings: int
    acknowledged: int
    connections: int
    refused: Mapping[str, int]
    spooled_readings: int
    oldest_spooled_s: float
    set_aside_commits: int
    forwarded: int
    store_state: str
    spool_state: str
    seconds_since_message: float
    last_message_ms: Mapping[str, int]
    booked: BookedCounts = field(default_factory=BookedCounts)
    spooled_commits: int = 0
    spooled_bytes: int = 0
    acknowledging: HistogramCounts = EMPTY_LATENCIES
    storing: HistogramCounts = EMPTY_LATENCIES
    heartbeats: Mapping[tuple[int, str], float] = field(default_factory=dict)
    stuck: tuple[str, ...] = ()
    probe: ProbeStatus = field(default_factory=ProbeStatus)
    rebirth_requests: int = 0
    broker_certificate_end_s: float | None = None
    imbalances: tuple[Imbalance, ...] = ()
    ledger_checked_ms: int = 0
