"""Ports: what rooms ask of the stores. Two implementations each, one contract suite.

All times are UTC epoch milliseconds in arrays and aware datetimes in `Period`s; every period is
half-open. Methods raise `StoreUnavailableError`, `StoreMisconfiguredError` or `StoreRejectedError`
and nothing of the library below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from core.events import SeriesEvent
from core.intervals import IntervalBlock
from core.ledger import (
    CommitOutcome,
    DirtySpan,
    Imbalance,
    LedgerHour,
    QuarantineBounds,
    QuarantineEntry,
    QuarantineRequest,
)
from core.periods import Period
from core.quarantine_port import QuarantineRecords
from core.reports import ReportRevision
from core.samples import ReadingBlock, Sample, SampleSeries


@dataclass(frozen=True, slots=True)
class ResultRow:
    """A computed figure (KPI or forecast) as the store keeps it; one row per key.

    Key: site, kind, name, subject, resolution, start_ms. Writing a key again replaces the row.

    Attributes:
        kind: `kpi` or `forecast`.
        name: KPI id or forecast target.
        subject: `site`, or what the figure is about.
        resolution: `15m`, `hour`, `day`, `month`, or a word of the kind.
        start_ms: Start of the period (issue time of a forecast).
        value: The figure, None when refused.
        document: UTF-8 JSON with everything else.
    """

    site: str
    kind: str
    name: str
    subject: str
    resolution: str
    start_ms: int
    value: float | None
    document: bytes


class TimeSeriesStore(Protocol):
    """Samples, intervals and results. Thread-safe; `close` ends it."""

    def write_readings(self, blocks: Sequence[ReadingBlock]) -> None:
        """Write readings durably. Idempotent; a held value of the same key and time is replaced.

        Raises:
            StoreUnavailableError: Nothing is promised; call again with the same blocks.
            StoreMisconfiguredError: As above, after a person has mended the configuration.
            StoreRejectedError: The store refuses something in these blocks; whether the others are
                stored is unknown; call again with fewer.
        """
        ...

    def read_samples(
        self,
        site: str,
        family: str,
        period: Period,
        *,
        devices: Sequence[str] | None = None,
        metrics: Sequence[str] | None = None,
    ) -> list[SampleSeries]:
        """Samples in the period, sorted by key; series without a sample are absent."""
        ...

    def read_last_before(
        self,
        site: str,
        family: str,
        time_ms: int,
        *,
        not_before_ms: int,
        devices: Sequence[str] | None = None,
    ) -> list[Sample]:
        """The newest sample of each series with not_before_ms <= time < time_ms."""
        ...

    def read_first_from(
        self,
        site: str,
        family: str,
        time_ms: int,
        *,
        not_after_ms: int,
        devices: Sequence[str] | None = None,
    ) -> list[Sample]:
        """The oldest sample of each series with time_ms <= time <= not_after_ms."""
        ...

    def read_latest(self, site: str) -> list[Sample]:
        """The newest sample of every series of a site, sorted by key: the live values.

        Looks back over the raw retention (bounded to 400 days where it is for ever).
        """
        ...

    def read_instants(
        self, site: str, family: str, device: str, times_ms: Sequence[int]
    ) -> dict[int, dict[str, float]]:
        """What is held of one device at exactly these instants: time -> metric -> value."""
        ...

    def write_intervals(self, blocks: Sequence[IntervalBlock]) -> None:
        """Write intervals; an interval of the same series and start is replaced whole."""
        ...

    def read_intervals(
        self,
        site: str,
        period: Period,
        *,
        family: str | None = None,
        devices: Sequence[str] | None = None,
        metrics: Sequence[str] | None = None,
    ) -> list[IntervalBlock]:
        """Intervals that start in the period, one block per series, sorted by key."""
        ...

    def write_results(self, rows: Sequence[ResultRow]) -> None:
        """Write figures; a row of the same key is replaced."""
        ...

    def read_results(
        self,
        site: str,
        kind: str,
        period: Period,
        *,
        names: Sequence[str] | None = None,
        resolution: str | None = None,
        subject: str | None = None,
    ) -> list[ResultRow]:
        """Figures whose start lies in the period, by (name, subject, resolution, start)."""
        ...

    def apply_retention(self, now_ms: int) -> None:
        """Drop raw samples older than the configured retention, where the store does not itself."""
        ...

    def check(self) -> str:
        """Ask the store a question that it can only answer when usable.

        Returns:
            Its name and version, for people.

        Raises:
            StoreUnavailableError: It does not answer.
            StoreMisconfiguredError: It answers, but refuses us.
        """
        ...

    def close(self) -> None:
        """Release files and connections; further calls are errors."""
        ...


class IngestRecords(QuarantineRecords, Protocol):
    """Ledger, quarantine and the work on it."""

    def apply_commit(self, outcome: CommitOutcome) -> bool:
        """Book one commit in one transaction; False when this number was booked before."""
        ...

    def applied_commit(self, partition: int) -> int:
        """Highest commit number booked for a partition; 0 when none."""
        ...

    def read_ledger(self, site: str, period: Period) -> list[LedgerHour]:
        """Booked hours of receipt that start in the period, ascending; spooled is not in them."""
        ...

    def read_ledger_snapshot(
        self, site: str | None, period: Period
    ) -> tuple[dict[int, int], list[LedgerHour]]:
        """In one snapshot: applied commit number per partition, and the booked hours.

        Args:
            site: None for every site, also those that are in no registry.
        """
        ...

    def find_imbalances(self, period: Period) -> list[Imbalance]:
        """Hours of receipt that start in the period and disagree with what they count."""
        ...

    def write_imbalances(self, source: str, found: Sequence[Imbalance]) -> None:
        """Replace what a checker has found before."""
        ...

    def count_open_quarantine(self) -> dict[str, tuple[int, int]]:
        """Open entries and their readings, by site."""
        ...

    def read_quarantine_entry(self, entry_id: str) -> QuarantineEntry:
        """One entry, in any state.

        Raises:
            NotFoundError: No such entry.
        """
        ...

    def read_quarantine_requests(self, *, state: str = "waiting") -> list[QuarantineRequest]:
        """Requests, oldest first."""
        ...

    def finish_quarantine_request(
        self, request_id: int, outcome: Mapping[str, str], now: datetime | None = None
    ) -> None:
        """Mark a request done with its outcome per entry, and say it in the audit.

        Args:
            now: Time of the entry in the audit; the time of the request without it.
        """
        ...

    def discard_quarantine(self, entry_id: str, *, by: str, note: str, now: datetime) -> bool:
        """Mark an open entry discarded and show its count as discarded in the ledger hour."""
        ...

    def discard_quarantine_entries(
        self, entry_ids: Sequence[str], *, by: str, note: str, now: datetime
    ) -> set[str]:
        """As `discard_quarantine` for many, in one transaction; the ids that were open till now."""
        ...

    def bound_quarantine(self, bounds: QuarantineBounds, now: datetime) -> int:
        """Give up the oldest payloads that are beyond the bounds; returns how many.

        An open entry is discarded by that, and it stands in the audit.
        """
        ...

    def read_ignored_members(self) -> dict[str, int]:
        """Names of ignored JSON members and how often each was seen."""
        ...

    def read_last_messages(self) -> dict[str, int]:
        """Receipt time of the newest message per site, UTC epoch milliseconds."""
        ...

    def read_silent_devices(self, site: str | None = None) -> dict[tuple[str, str], int]:
        """Devices that were declared dead: (site, device) -> since when, epoch milliseconds."""
        ...


class RollupRecords(Protocol):
    """What analytics keeps beside the intervals."""

    def read_dirty(self, limit: int) -> list[tuple[int, DirtySpan]]:
        """Oldest dirty spans with their ids."""
        ...

    def clear_dirty(self, ids: Sequence[int]) -> None:
        """Forget spans that have been computed."""
        ...

    def replace_events(
        self, site: str, family: str, device: str, period: Period, events: Sequence[SeriesEvent]
    ) -> None:
        """Replace the events of a device that end in the period."""
        ...

    def read_events(
        self, site: str, period: Period, *, device: str | None = None
    ) -> list[SeriesEvent]:
        """Events that overlap the period, by start."""
        ...


@dataclass(frozen=True, slots=True)
class Account:
    """A person who may sign in.

    Attributes:
        roles: Role name -> site ids, or `("*",)` for all sites.
    """

    username: str
    password_hash: str
    roles: Mapping[str, tuple[str, ...]]
    language: str = ""
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in browser; only the hash of its token is kept.

    Attributes:
        token_sha256: Hex digest of the cookie's token.
        csrf: Token that forms of this session carry.
    """

    token_sha256: str
    username: str
    csrf: str
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime


class AccountRecords(Protocol):
    """Accounts, sessions, failed sign-ins and the audit of all that."""

    def create_account(self, account: Account) -> bool:
        """Add an account; False when the name is taken."""
        ...

    def read_account(self, username: str) -> Account | None:
        """The account of this name, or None."""
        ...

    def read_accounts(self) -> list[Account]:
        """All accounts, by name."""
        ...

    def write_account(self, account: Account) -> None:
        """Replace an account's hash, roles, language and state."""
        ...

    def create_session(self, session: Session) -> None:
        """Add a session."""
        ...

    def read_session(self, token_sha256: str) -> Session | None:
        """The session of this token hash, expired or not; None when there is none."""
        ...

    def touch_session(self, token_sha256: str, last_seen_at: datetime) -> None:
        """Move a session's last-seen time."""
        ...

    def end_session(self, token_sha256: str) -> None:
        """Delete a session."""
        ...

    def end_sessions_of(self, username: str) -> None:
        """Delete every session of a person."""
        ...

    def record_failure(self, key: str, at: datetime) -> None:
        """Note a failed sign-in under a key (account or address)."""
        ...

    def count_failures(self, key: str, since: datetime) -> int:
        """Failed sign-ins under a key since a time."""
        ...

    def append_audit(
        self, at: datetime, actor: str, address: str, action: str, target: str, outcome: str
    ) -> None:
        """Append to the audit chain (each row carries the hash of the one before)."""
        ...


class ReportRecords(Protocol):
    """Revisions of the monthly reports."""

    def add_report_revision(self, revision: ReportRevision) -> bool:
        """Add a revision; False when this number of the site's month is taken already."""
        ...

    def read_report_revisions(
        self, *, sites: Sequence[str] | None = None, month: str | None = None
    ) -> list[ReportRevision]:
        """Revisions, the newest month first, then by site, then the newest revision first."""
        ...

    def read_report_revision(self, report_id: str) -> ReportRevision:
        """One revision.

        Raises:
            NotFoundError: No such revision.
        """
        ...
