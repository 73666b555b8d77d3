"""The part of the records that a person works with who mends what was refused."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from core.ledger import Imbalance, QuarantineCount, QuarantineEntry, QuarantineRequest
from core.periods import Period


class QuarantineRecords(Protocol):
    """Entries of the quarantine, requests for work on them, and hours that do not add up."""

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

    def read_quarantine_entries(self, entry_ids: Sequence[str]) -> dict[str, QuarantineEntry]:
        """Entries by id, in any state; those that do not exist are absent."""
        ...

    def read_quarantine_ids(
        self,
        *,
        sites: Sequence[str] | None = None,
        reason: str | None = None,
        limit: int | None = None,
    ) -> list[str]:
        """Ids of open entries, oldest first, without their payloads."""
        ...

    def count_open_reasons(self, site: str) -> dict[str, tuple[int, int]]:
        """Open entries and their readings by reason."""
        ...

    def count_quarantine(self, site: str, period: Period) -> list[QuarantineCount]:
        """What was refused by quarter-hour of receipt and reason, and what became of it."""
        ...

    def read_imbalances(self, site: str | None = None) -> list[Imbalance]:
        """What all checkers last found, newest hour first; of one site, or of all (None)."""
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
