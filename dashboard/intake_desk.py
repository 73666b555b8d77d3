"""What the page of data intake reads and asks for: the ledger, the quarantine, the work on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core.ledger import LedgerHour
from core.periods import Period
from core.quarantine_port import QuarantineRecords

ReadLedger = Callable[[str, Period], list[LedgerHour]]


@dataclass(frozen=True, slots=True)
class IntakeDesk:
    """Where the page reads.

    Attributes:
        read_ledger: Hours of receipt of a site, with what still lies in the spool where this
            machine has it.
    """

    read_ledger: ReadLedger
    records: QuarantineRecords
