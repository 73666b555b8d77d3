"""Builds a month's report: content, revision, files, record.

The same content is the same revision again. Other content is the next revision, with a table of
what changed; the earlier one stays as it is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from analytics.factors import Factors
from analytics.month.content import MonthContent, build_month
from core.canonical import canonical_json
from core.errors import StoreUnavailableError
from core.ports import ReportRecords, RollupRecords, TimeSeriesStore
from core.reports import ReportRevision, report_id
from core.sites import Site
from core.text import LANGUAGES
from reports.archive import ReportArchive
from reports.changes import list_changes
from reports.pdf import check_fonts, render_pdf
from reports.view import file_name
from reports.words import load_words

_MOST_TRIES = 5


@dataclass(frozen=True, slots=True)
class ReportDesk:
    """What building a report needs beside its month.

    Attributes:
        store, rollup_records: Where the month's intervals and events are.
        fonts: Folder of the report's fonts.
        software: Names and versions that the JSON carries.
    """

    store: TimeSeriesStore
    rollup_records: RollupRecords
    records: ReportRecords
    archive: ReportArchive
    fonts: Path
    software: Mapping[str, str]


def build_report(
    desk: ReportDesk,
    site: Site,
    month: str,
    *,
    author: str,
    now: datetime,
    factors: Factors | None = None,
) -> ReportRevision:
    """The revision of a month that has ended, made where its content is new.

    Args:
        month: `YYYY-MM`, a local month of the site.
        author: Who asks for it; named in the record and in the table of changes.

    Raises:
        InsufficientDataError: The month has not ended or has no data; the site is only planned.
        ConfigurationError: Fonts are missing, or the folder cannot be written.
        StoreUnavailableError: A store does not answer, or a file of the archive is lost.
    """
    check_fonts(desk.fonts)
    content = build_month(desk.store, desk.rollup_records, site, month, now=now, factors=factors)
    for _ in range(_MOST_TRIES):
        earlier = desk.records.read_report_revisions(sites=[site.id], month=month)
        latest = earlier[0] if earlier else None
        if latest is not None and latest.content_sha256 == content.sha256:
            if not desk.archive.holds(latest):
                _make_again(desk, content, latest, earlier[1:])
            return latest
        number = latest.revision + 1 if latest is not None else 1
        document, contents = _render(desk, content, number, latest, author)
        revision = ReportRevision(
            report_id(site.id, month, number),
            site.id,
            month,
            number,
            "draft",
            now,
            author,
            content.sha256,
            desk.archive.write(site.id, month, number, contents),
            _summary(document),
        )
        # Another process may have taken the number meanwhile: then look again.
        if desk.records.add_report_revision(revision):
            return revision
    raise StoreUnavailableError(f"{site.id} {month}: other processes build it all the time")


def _render(
    desk: ReportDesk,
    content: MonthContent,
    number: int,
    before: ReportRevision | None,
    author: str,
) -> tuple[dict[str, Any], dict[tuple[str, str, str], bytes]]:
    """The document of a revision and its files."""
    document: dict[str, Any] = {
        **content.document,
        "revision": number,
        "software": dict(desk.software),
        "fingerprints": {
            **content.document["fingerprints"],
            "content": {"sha256": content.sha256},
        },
    }
    if before is not None:
        document["changes"] = list_changes(_read_document(desk, before), document, author)
    json_bytes = canonical_json(document)
    # What is rendered is what was written: the numbers of the file, not those in memory.
    document = json.loads(json_bytes)
    json_sha256 = hashlib.sha256(json_bytes).hexdigest()
    contents = {(file_name(document, "json"), "json", ""): json_bytes}
    for language, words in load_words().items():
        contents[(file_name(document, "pdf", language), "pdf", language)] = render_pdf(
            document, json_bytes, json_sha256, words, desk.fonts
        )
    assert len(contents) == 1 + len(LANGUAGES)
    return document, contents


def _make_again(
    desk: ReportDesk,
    content: MonthContent,
    latest: ReportRevision,
    earlier: Sequence[ReportRevision],
) -> None:
    """Write the lost files of a revision anew, if they come out as they were recorded.

    Raises:
        StoreUnavailableError: They do not: a newer version of the software writes other bytes.
    """
    before = earlier[0] if earlier else None
    _, contents = _render(desk, content, latest.revision, before, latest.author)
    made = {name: hashlib.sha256(data).hexdigest() for (name, _, _), data in contents.items()}
    if made != {file.name: file.sha256 for file in latest.files}:
        raise StoreUnavailableError(
            f"files of report {latest.id} are lost and this version would write others; "
            f"restore {desk.archive.folder} from a backup"
        )
    desk.archive.write(latest.site, latest.month, latest.revision, contents)


def _read_document(desk: ReportDesk, revision: ReportRevision) -> dict[str, Any]:
    file = revision.file("json")
    assert file is not None
    document = json.loads(desk.archive.read(file))
    assert isinstance(document, dict)
    return document


def _summary(document: Mapping[str, Any]) -> dict[str, Any]:
    """What a list of reports shows of a revision."""
    rows = document["kpis"]
    pue = next((r for r in rows if r["kpi"] == "pue" and r["subject"] == "site"), None)
    targets = [row["target"]["met"] for row in rows if row["target"]]
    return {
        "simulated": document["simulated"],
        "pue": pue["shown"] if pue else "",
        **{
            verdict: sum(1 for row in rows if row["verdict"] == verdict)
            for verdict in ("final", "provisional", "refused")
        },
        "met": targets.count(True),
        "missed": targets.count(False),
    }
