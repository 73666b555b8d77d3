"""Devices that were declared dead: what `core.ports.IngestRecords` promises of them."""

from __future__ import annotations

from sqlalchemy import Connection, and_, delete, or_, select

from core.ledger import CommitOutcome
from storage.records import tables as t
from storage.records.database import RecordsDatabase


class SilenceBook:
    """Silent devices in SQL."""

    _database: RecordsDatabase

    def read_silent_devices(self, site: str | None = None) -> dict[tuple[str, str], int]:
        """Devices that were declared dead: (site, device) -> since when, epoch milliseconds."""
        table = t.silent_device
        query = select(table).order_by(table.c.site, table.c.device)
        if site is not None:
            query = query.where(table.c.site == site)
        with self._database.reading() as connection:
            return {(row.site, row.device): row.since_ms for row in connection.execute(query)}

    def _add_silences(self, connection: Connection, outcome: CommitOutcome) -> None:
        if not outcome.silent:
            return
        table = t.silent_device
        alive = [key for key, since_ms in outcome.silent.items() if since_ms is None]
        for begin in range(0, len(alive), 100):
            some = alive[begin : begin + 100]
            connection.execute(
                delete(table).where(
                    or_(
                        *(and_(table.c.site == site, table.c.device == name) for site, name in some)
                    )
                )
            )
        dead = [
            {"site": site, "device": name, "since_ms": since_ms}
            for (site, name), since_ms in outcome.silent.items()
            if since_ms is not None
        ]
        if dead:
            statement = self._database.insert(table)
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["site", "device"],
                    set_={"since_ms": statement.excluded.since_ms},
                ),
                dead,
            )
