"""What the page of data intake reads and asks for: the ledger, the quarantine, the work on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from core.ledger import (
    Imbalance,
    LedgerHour,
    QuarantineCount,
    QuarantineEntry,
    QuarantineRequest,
)
from core.periods import Period

ReadLedger = Callable[[str, Period], list[LedgerHour]]


class QuarantineRecords(Protocol):
    """The part of `core.ports.IngestRecords` that a person works with."""

    def read_quarantine(
        self,
        *,
        sites: Sequence[str] | None = None,
        reason: str | None = None,
        state: str | None = "open",
        limit: int | None = None,
    ) -> list[QuarantineEntry]:
        """Entries, newest first."""
        ...

    def read_quarantine_entries(self, entry_ids: Sequence[str]) -> Mapping[str, QuarantineEntry]:
        """Entries by id, in any state; those that do not exist are absent."""
        ...

    def read_quarantine_ids(
        self,
        *,
        sites: Sequence[str] | None = None,
        reason: str | None = None,
        limit: int | None = None,
    ) -> list[str]:
        """Ids of open entries, oldest first."""
        ...

    def count_open_reasons(self, site: str) -> Mapping[str, tuple[int, int]]:
        """Open entries and their readings by reason."""
        ...

    def count_quarantine(self, site: str, period: Period) -> list[QuarantineCount]:
        """What was refused by quarter-hour of receipt and reason."""
        ...

    def read_imbalances(self, site: str | None = None) -> list[Imbalance]:
        """Hours of the ledger that disagree with what they count."""
        ...

    def request_quarantine_work(
        self,
        action: str,
        entry_ids: Sequence[str],
        *,
        as_correction: bool,
        requested_by: str,
        note: str,
        now: datetime,
    ) -> int:
        """File a replay or discard; returns the request's id."""
        ...

    def read_quarantine_request(self, request_id: int) -> QuarantineRequest:
        """One request. Raises NotFoundError."""
        ...


@dataclass(frozen=True, slots=True)
class IntakeDesk:
    """Where the page reads.

    Attributes:
        read_ledger: Hours of receipt of a site, with what still lies in the spool where this
            machine has it.
    """

    read_ledger: ReadLedger
    records: QuarantineRecords
