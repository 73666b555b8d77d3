"""What analytics keeps beside the intervals: `core.ports.RollupRecords`."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, func, insert, select, update

from core.events import SeriesEvent
from core.ledger import DirtySpan
from core.periods import Period
from core.samples import SeriesKey
from storage.records import tables as t
from storage.records.database import RecordsDatabase

_IDS_PER_STATEMENT = 500


class RollupBook:
    """`core.ports.RollupRecords` in SQL."""

    _database: RecordsDatabase

    def read_dirty(self, limit: int) -> list[tuple[int, DirtySpan]]:
        """Oldest dirty spans with their ids.

        A span that has been handed out grows no more: what arrives for its device becomes a span
        of its own, so that clearing this one forgets nothing. It is handed out again until it is
        cleared.
        """
        table = t.dirty_span
        with self._database.writing() as connection:
            rows = connection.execute(
                select(table).order_by(table.c.id).limit(limit).with_for_update()
            ).all()
            fresh = [row.id for row in rows if not row.taken]
            for first in range(0, len(fresh), _IDS_PER_STATEMENT):
                ids = fresh[first : first + _IDS_PER_STATEMENT]
                connection.execute(update(table).where(table.c.id.in_(ids)).values(taken=True))
        return [
            (row.id, DirtySpan(row.site, row.family, row.device, row.start_ms, row.end_ms))
            for row in rows
        ]

    def count_dirty(self, *, before_ms: int | None = None) -> int:
        """Spans that wait (that begin before a time); for people, without taking any."""
        question = select(func.count()).select_from(t.dirty_span)
        if before_ms is not None:
            question = question.where(t.dirty_span.c.start_ms < before_ms)
        with self._database.reading() as connection:
            return int(connection.execute(question).scalar_one())

    def clear_dirty(self, ids: Sequence[int]) -> None:
        """Forget spans that have been computed."""
        table = t.dirty_span
        with self._database.writing() as connection:
            for first in range(0, len(ids), _IDS_PER_STATEMENT):
                some = list(ids[first : first + _IDS_PER_STATEMENT])
                connection.execute(delete(table).where(table.c.id.in_(some)))

    def replace_events(
        self, site: str, family: str, device: str, period: Period, events: Sequence[SeriesEvent]
    ) -> None:
        """Replace the events of a device that end in the period."""
        table = t.series_event
        with self._database.writing() as connection:
            connection.execute(
                delete(table).where(
                    table.c.site == site,
                    table.c.family == family,
                    table.c.device == device,
                    table.c.end_ms >= period.start_ms,
                    table.c.end_ms < period.end_ms,
                )
            )
            if events:
                connection.execute(
                    insert(table),
                    [
                        {
                            "site": event.key.site,
                            "family": event.key.family,
                            "device": event.key.device,
                            "metric": event.key.metric,
                            "kind": event.kind,
                            "start_ms": event.start_ms,
                            "end_ms": event.end_ms,
                            "before": float(event.before),
                            "after": float(event.after),
                            "amount": float(event.amount),
                        }
                        for event in events
                    ],
                )

    def read_events(
        self, site: str, period: Period, *, device: str | None = None
    ) -> list[SeriesEvent]:
        """Events that overlap the period, by start.

        One that ends at the very start of the period is among them: its last reading lies inside.
        """
        table = t.series_event
        query = (
            select(table)
            .where(
                table.c.site == site,
                table.c.start_ms < period.end_ms,
                table.c.end_ms >= period.start_ms,
            )
            .order_by(table.c.start_ms, table.c.number)
        )
        if device is not None:
            query = query.where(table.c.device == device)
        with self._database.reading() as connection:
            return [
                SeriesEvent(
                    SeriesKey(row.site, row.family, row.device, row.metric),
                    row.kind,
                    row.start_ms,
                    row.end_ms,
                    row.before,
                    row.after,
                    row.amount,
                )
                for row in connection.execute(query)
            ]
