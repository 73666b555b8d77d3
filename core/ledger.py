"""The ledger: what became of every reading, by site and hour of receipt, and quarantine entries."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from core.periods import Period, format_time

HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class LedgerCounts:
    """Counts in readings. They balance when received is the sum of the next five.

    `late`, `discarded` and `expected` stand beside the sum and are no part of it.
    """

    received: int = 0
    stored: int = 0
    duplicate: int = 0
    quarantined: int = 0
    rejected: int = 0
    spooled: int = 0
    late: int = 0
    discarded: int = 0

    def __add__(self, other: LedgerCounts) -> LedgerCounts:
        return LedgerCounts(
            self.received + other.received,
            self.stored + other.stored,
            self.duplicate + other.duplicate,
            self.quarantined + other.quarantined,
            self.rejected + other.rejected,
            self.spooled + other.spooled,
            self.late + other.late,
            self.discarded + other.discarded,
        )

    @property
    def balanced(self) -> bool:
        """Whether every received reading has exactly one verdict."""
        return self.received == (
            self.stored + self.duplicate + self.quarantined + self.rejected + self.spooled
        )


@dataclass(frozen=True, slots=True)
class LedgerHour:
    """Counts of one site for one UTC hour of receipt."""

    site: str
    hour_ms: int
    counts: LedgerCounts


@dataclass(frozen=True, slots=True)
class Imbalance:
    """An hour of the ledger that disagrees with what it counts: an alarm.

    Attributes:
        hour_ms: The hour of receipt, UTC epoch milliseconds.
        name: The count that disagrees (`received`, `quarantined`, `discarded`, `rejected`), or
            `sum` where the hour itself does not add up.
        booked: What the ledger says, in readings.
        found: What was counted by other means: by the ingester in memory, or entry by entry.
    """

    site: str
    hour_ms: int
    name: str
    booked: int
    found: int

    def __str__(self) -> str:
        where = f"{self.site or 'no site'}, hour of receipt {format_time(self.hour_ms)}"
        if self.name == "sum":
            return f"{where}: received {self.booked}, its verdicts add up to {self.found}"
        return f"{where}: {self.name} {self.booked} in the ledger, {self.found} counted"


@dataclass(frozen=True, slots=True)
class QuarantineBounds:
    """How much the quarantine keeps; 0 is no bound.

    Attributes:
        max_bytes: Of payloads with their topics; the oldest are given up first.
        max_days: Since receipt.
    """

    max_bytes: int = 0
    max_days: int = 0


@dataclass(frozen=True, slots=True)
class QuarantineCount:
    """Readings that were refused for one reason in one stretch of time, and what became of them.

    `quarantined` = `open` + `replayed` + `discarded`.

    Attributes:
        start_ms, end_ms: The stretch of receipt, half-open, UTC epoch milliseconds.
        entries: Messages that they came in.
    """

    start_ms: int
    end_ms: int
    reason: str
    entries: int
    quarantined: int
    open: int
    replayed: int
    discarded: int


@dataclass(frozen=True, slots=True)
class QuarantineEntry:
    """Readings of one message that were refused for one reason, with the raw bytes.

    Attributes:
        id: Stable id; empty before the records have given one.
        received_ms: When the message arrived, UTC epoch milliseconds.
        site: Site of the topic.
        topic: The topic as received.
        reason: A code of `core.reasons.REASONS` with verdict quarantined.
        detail: What was found, one line for a person.
        count: Readings that this entry stands for.
        rows: Positions of those readings inside the message; empty when the whole message is meant.
        payload: The raw bytes.
        state: `open`, `replayed` or `discarded`.
    """

    id: str
    received_ms: int
    site: str
    topic: str
    reason: str
    detail: str
    count: int
    rows: tuple[int, ...]
    payload: bytes
    state: str = "open"


@dataclass(frozen=True, slots=True)
class RejectedEntry:
    """A rejected message: hash and first KiB for the audit."""

    received_ms: int
    site: str
    topic: str
    reason: str
    detail: str
    count: int
    sha256: str
    head: bytes


@dataclass(frozen=True, slots=True)
class DirtySpan:
    """Readings of a device arrived for [start_ms, end_ms]: intervals they touch are to be computed.

    Attributes:
        device: Empty for every device of the family.
        end_ms: Inclusive.
    """

    site: str
    family: str
    device: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class CommitOutcome:
    """What forwarding one spool commit came to; applied to the records once per commit number.

    Attributes:
        partition: Spool partition.
        number: Commit number inside the partition, ascending.
        hours: Ledger changes.
        quarantined: New entries.
        rejected: New audit entries.
        dirty: Spans whose intervals are to be computed again.
        ignored_members: Names of ignored JSON members with the times they were seen.
        replayed: Ids of quarantine entries that this commit replayed, with the outcome of the
            readings: entry id -> (stored, duplicate, still refused).
        last_message_ms: Receipt of the newest message per site.
        silent: (site, device) -> since when it is declared dead, epoch milliseconds; None where it
            is declared alive.
    """

    partition: int
    number: int
    hours: tuple[LedgerHour, ...] = ()
    quarantined: tuple[QuarantineEntry, ...] = ()
    rejected: tuple[RejectedEntry, ...] = ()
    dirty: tuple[DirtySpan, ...] = ()
    ignored_members: dict[str, int] = field(default_factory=dict)
    replayed: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    last_message_ms: dict[str, int] = field(default_factory=dict)
    silent: dict[tuple[str, str], int | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QuarantineRequest:
    """A person's wish about quarantine entries, carried out by the ingester that owns the site.

    Attributes:
        action: `replay` or `discard`.
        as_correction: For a replay: held values may be replaced.
        requested_by: Who asked.
        note: Reason of a discard.
        state: `waiting` or `done`.
        outcome: Per entry id, one line saying what became of it.
    """

    id: int
    action: str
    entry_ids: tuple[str, ...]
    as_correction: bool
    requested_by: str
    note: str
    requested_at: datetime
    state: str = "waiting"
    outcome: dict[str, str] = field(default_factory=dict)


def sum_counts(
    counts: Iterable[QuarantineCount], pieces: Sequence[Period]
) -> list[QuarantineCount]:
    """Counts of short stretches as sums over longer ones, by time, then by reason.

    Args:
        pieces: Ascending, without overlap; a count belongs to the piece in which it starts, and
            to none where none holds it.
    """
    begins = [piece.start_ms for piece in pieces]
    sums: dict[tuple[int, str], list[int]] = {}
    for count in counts:
        place = bisect_right(begins, count.start_ms) - 1
        if place < 0 or count.start_ms >= pieces[place].end_ms:
            continue
        held = sums.setdefault((place, count.reason), [0] * 5)
        for at, more in enumerate(
            (count.entries, count.quarantined, count.open, count.replayed, count.discarded)
        ):
            held[at] += more
    return [
        QuarantineCount(pieces[place].start_ms, pieces[place].end_ms, reason, *held)
        for (place, reason), held in sorted(sums.items())
    ]
