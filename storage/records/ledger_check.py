"""The ledger against the entries that it counts, and the alarms that follow.

Every booking is a constraint of the table, so an hour that disagrees was changed from outside, or a
step of ours is wrong: both are alarms.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, case, delete, func, insert, literal_column, select

from core.ledger import HOUR_MS, Imbalance
from core.periods import Period
from storage.records import tables as t
from storage.records.database import RecordsDatabase
from storage.records.ingest_book import read_hours

_HOUR: ColumnElement[int] = literal_column(f"received_ms - received_ms % {HOUR_MS}")


class LedgerCheckBook:
    """Finds hours that disagree, and keeps what a checker has found."""

    _database: RecordsDatabase

    def find_imbalances(self, period: Period) -> list[Imbalance]:
        """Hours of receipt of every site that start in the period and disagree, in one snapshot.

        The hour's own sum; quarantined and discarded against the entries that are not replayed;
        rejected against its entries, in hours of which none can have been forgotten yet.
        """
        found: list[Imbalance] = []
        with self._database.reading() as connection:
            hours = {
                (hour.site, hour.hour_ms): hour.counts
                for hour in read_hours(connection, None, period)
            }
            entries = _quarantined(connection, period)
            rejected, rejected_from_ms = _rejected(connection, period)
        for key in sorted({*hours, *entries, *rejected}):
            counts = hours.get(key)
            site, hour_ms = key
            quarantined, discarded = entries.get(key, (0, 0))
            if counts is None:
                found.append(Imbalance(site, hour_ms, "quarantined", 0, quarantined))
                continue
            if not counts.balanced:
                verdicts = counts.stored + counts.duplicate + counts.quarantined + counts.rejected
                found.append(Imbalance(site, hour_ms, "sum", counts.received, verdicts))
            pairs = [
                ("quarantined", counts.quarantined, quarantined),
                ("discarded", counts.discarded, discarded),
            ]
            if hour_ms >= rejected_from_ms:
                pairs.append(("rejected", counts.rejected, rejected.get(key, 0)))
            found += [
                Imbalance(site, hour_ms, name, booked, counted)
                for name, booked, counted in pairs
                if booked != counted
            ]
        return found

    def write_imbalances(self, source: str, found: Sequence[Imbalance]) -> None:
        """Replace what a checker has found before."""
        table = t.ledger_imbalance
        with self._database.writing() as connection:
            connection.execute(delete(table).where(table.c.source == source))
            if found:
                connection.execute(
                    insert(table),
                    [
                        {
                            "source": source,
                            "site": one.site,
                            "hour_ms": one.hour_ms,
                            "name": one.name,
                            "booked": one.booked,
                            "found": one.found,
                        }
                        for one in found
                    ],
                )

    def read_imbalances(self, site: str | None = None) -> list[Imbalance]:
        """What all checkers last found, newest hour first; of one site, or of all (None)."""
        table = t.ledger_imbalance
        query = select(table).order_by(table.c.hour_ms.desc(), table.c.site, table.c.name)
        if site is not None:
            query = query.where(table.c.site == site)
        with self._database.reading() as connection:
            rows = connection.execute(query)
            found = [
                Imbalance(row.site, row.hour_ms, row.name, row.booked, row.found) for row in rows
            ]
        return list(dict.fromkeys(found))


def _quarantined(connection: Connection, period: Period) -> dict[tuple[str, int], tuple[int, int]]:
    """Readings of entries that are not replayed, and of those that are discarded, by hour."""
    table = t.quarantine_entry
    discarded = case((table.c.state == "discarded", table.c.readings), else_=0)
    rows = connection.execute(
        select(table.c.site, _HOUR, func.sum(table.c.readings), func.sum(discarded))
        .where(
            table.c.state != "replayed",
            table.c.received_ms >= period.start_ms,
            table.c.received_ms < period.end_ms,
        )
        .group_by(table.c.site, _HOUR)
    )
    return {(site, int(hour)): (int(all_), int(gone)) for site, hour, all_, gone in rows}


def _rejected(connection: Connection, period: Period) -> tuple[dict[tuple[str, int], int], int]:
    """Readings of rejected entries by hour; and the first hour that surely has all of its."""
    table = t.rejected_entry
    rows = connection.execute(
        select(table.c.site, _HOUR, func.sum(table.c.readings))
        .where(
            table.c.received_ms >= period.start_ms,
            table.c.received_ms < period.end_ms,
        )
        .group_by(table.c.site, _HOUR)
    )
    counted = {(site, int(hour)): int(readings) for site, hour, readings in rows}
    first = connection.execute(
        select(func.min(table.c.number), func.min(table.c.received_ms))
    ).one()
    if first[0] in (None, 1):
        # The first one is there (or there was never one): none was forgotten.
        return counted, period.start_ms
    return counted, int(first[1]) - int(first[1]) % HOUR_MS + HOUR_MS
