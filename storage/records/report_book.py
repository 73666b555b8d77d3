"""Revisions of the monthly reports: `core.ports.ReportRecords`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, select

from core.errors import NotFoundError
from core.reports import ReportFile, ReportRevision
from storage.records import tables as t
from storage.records.database import RecordsDatabase, from_us, to_us


class ReportBook:
    """`core.ports.ReportRecords` in SQL."""

    _database: RecordsDatabase

    def add_report_revision(self, revision: ReportRevision) -> bool:
        """Add a revision; False when this number of the site's month is taken already."""
        files = [[f.path, f.kind, f.lang, f.sha256] for f in revision.files]
        statement = self._database.insert(t.report_revision).values(
            id=revision.id,
            site=revision.site,
            month=revision.month,
            revision=revision.revision,
            state=revision.state,
            created_us=to_us(revision.created_at),
            author=revision.author,
            content_sha256=revision.content_sha256,
            files=json.dumps(files, ensure_ascii=False),
            summary=json.dumps(dict(revision.summary), ensure_ascii=False),
        )
        with self._database.writing() as connection:
            made = statement.on_conflict_do_nothing().returning(t.report_revision.c.id)
            return connection.execute(made).first() is not None

    def read_report_revisions(
        self, *, sites: Sequence[str] | None = None, month: str | None = None
    ) -> list[ReportRevision]:
        """Revisions, the newest month first, then by site, then the newest revision first."""
        table = t.report_revision
        query = select(table).order_by(table.c.month.desc(), table.c.site, table.c.revision.desc())
        if sites is not None:
            query = query.where(table.c.site.in_(list(sites)))
        if month is not None:
            query = query.where(table.c.month == month)
        with self._database.reading() as connection:
            return [_revision_of(row) for row in connection.execute(query)]

    def read_report_revision(self, report_id: str) -> ReportRevision:
        """One revision.

        Raises:
            NotFoundError: No such revision.
        """
        table = t.report_revision
        with self._database.reading() as connection:
            row = connection.execute(select(table).where(table.c.id == report_id)).first()
        if row is None:
            raise NotFoundError(f"no report {report_id!r}; `greendc report list` names them")
        return _revision_of(row)


def _revision_of(row: Row[Any]) -> ReportRevision:
    return ReportRevision(
        row.id,
        row.site,
        row.month,
        row.revision,
        row.state,
        from_us(row.created_us),
        row.author,
        row.content_sha256,
        tuple(ReportFile(*file) for file in json.loads(row.files)),
        json.loads(row.summary),
    )
