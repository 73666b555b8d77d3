"""What a message may be, and how much the ingester holds at once."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB
# The largest commit has to fit into an empty spool, or it would wait for ever.
LEAST_SPOOL_BYTES = 16 * MIB


@dataclass(frozen=True, slots=True)
class IngestLimits:
    """Every bound of the ingester in one place; the defaults are those of the wire format.

    Attributes:
        payload_bytes: Largest payload; exactly this many bytes still pass.
        readings: Most readings in one message.
        nesting: Deepest nesting of JSON objects and arrays.
        name_chars: Longest device or metric name.
        future_ms: How far ahead of the server a time stamp may lie.
        late_ms: A reading that arrives later than this after its time is counted as late.
        commit_ms: Longest time a message waits for others before its commit.
        quiet_ms: A commit begins earlier when nothing more has come for this long.
        quiet_messages: ... and at least so many wait (a broker's window may be that small).
        commit_messages, commit_bytes: A commit begins when so much waits.
        inbox_messages, inbox_bytes: Above these the socket is not read.
        forward_ms: Shortest time between two rounds of the forwarder while little waits,
        forward_busy_ms: and where a round moved more than `forward_busy_readings`: a round costs
            the same for a thousand readings as for ten thousand.
        forward_readings: Most readings in one round.
        recent_readings: Readings kept in memory to recognise duplicates without asking the store.
        spool_bytes: Largest spool of a partition; 0 = only the disk bounds it.
        reserve_bytes: Free disk space that is left to the rest of the machine (and to the work of
            emptying the spool); below it nothing more is acknowledged.
        keep_alive_s: MQTT keep-alive.
        session_expiry_s: How long the broker keeps the session of an absent ingester (MQTT 5).
    """

    payload_bytes: int = 256 * KIB
    readings: int = 5_000
    nesting: int = 4
    name_chars: int = 64
    future_ms: int = 300_000
    late_ms: int = 900_000
    commit_ms: int = 200
    quiet_ms: int = 10
    quiet_messages: int = 16
    commit_messages: int = 10_000
    commit_bytes: int = MIB
    inbox_messages: int = 40_000
    inbox_bytes: int = 32 * MIB
    forward_ms: int = 300
    forward_busy_ms: int = 1_000
    forward_busy_readings: int = 1_000
    forward_readings: int = 50_000
    recent_readings: int = 400_000
    spool_bytes: int = 0
    reserve_bytes: int = 64 * MIB
    keep_alive_s: int = 30
    session_expiry_s: int = 7 * 86_400
