"""Records: one class that keeps the promises of the record ports of `core.ports`."""

from __future__ import annotations

from storage.records.account_book import AccountBook
from storage.records.audit_book import AuditBook
from storage.records.database import RecordsDatabase
from storage.records.ingest_book import BookingStatements, IngestBook
from storage.records.ledger_check import LedgerCheckBook
from storage.records.quarantine_book import QuarantineBook
from storage.records.quarantine_bounds import QuarantineBoundsBook
from storage.records.quarantine_requests import QuarantineRequestBook
from storage.records.report_book import ReportBook
from storage.records.rollup_book import RollupBook


class Records(
    IngestBook,
    QuarantineBook,
    QuarantineBoundsBook,
    QuarantineRequestBook,
    LedgerCheckBook,
    RollupBook,
    AccountBook,
    AuditBook,
    ReportBook,
):
    """Ledger, quarantine, dirty spans, events, accounts, audit and reports in one SQL database.

    Thread-safe, and several processes may use one database. `Records.open` is the way in: it
    brings the schema up to date first.

    Args:
        url: SQLAlchemy URL.
    """

    def __init__(self, url: str) -> None:
        self._database = RecordsDatabase(url)
        self._statements = BookingStatements.of(self._database)
        self._waiting = {}

    @classmethod
    def open(cls, url: str) -> Records:
        """Open the records, their schema brought up to date first.

        Raises:
            ConfigurationError: The URL cannot be used, or a newer version has written them.
            StoreUnavailableError: The database does not answer.
            StoreMisconfiguredError: It refuses us.
        """
        records = cls(url)
        try:
            records._database.migrate()
        except BaseException:
            records.close()
            raise
        return records

    def check(self) -> str:
        """Ask the database a question that it can only answer when usable.

        Returns:
            Its name and version, for people.

        Raises:
            StoreUnavailableError: It does not answer.
            StoreMisconfiguredError: It refuses us.
        """
        self.applied_commit(0)
        return f"records in {self._database.name} ({self._database.version})"

    def close(self) -> None:
        """Close every connection."""
        self._database.close()
