"""Revisions of a site's monthly report, and the states that one goes through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

# In this order; a correction is a new revision, never a step back.
REPORT_STATES = ("draft", "review", "signed", "submitted", "published")
# What somebody who is not of the site may read.
HANDED_OVER = frozenset({"submitted", "published"})


@dataclass(frozen=True, slots=True)
class ReportFile:
    """One file of a revision.

    Attributes:
        path: Relative to the folder of reports, with `/`.
        kind: `json` or `pdf`.
        lang: `ko` or `en`; empty where the file has no language.
        sha256: Of its bytes, hexadecimal.
    """

    path: str
    kind: str
    lang: str
    sha256: str

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.path.rsplit("/", 1)[-1]


@dataclass(frozen=True, slots=True)
class ReportRevision:
    """One revision of the report of a site's month.

    Attributes:
        id: `<site>_<month>_r<revision>`.
        month: `YYYY-MM`.
        revision: From 1.
        state: One of `REPORT_STATES`.
        content_sha256: Hash of the month's content; the same content is never a new revision.
        summary: Counts and marks that a list shows, so that it need not read the files.
    """

    id: str
    site: str
    month: str
    revision: int
    state: str
    created_at: datetime
    author: str
    content_sha256: str
    files: tuple[ReportFile, ...]
    summary: Mapping[str, Any] = field(default_factory=dict)

    def file(self, kind: str, lang: str = "") -> ReportFile | None:
        """The file of this kind and language."""
        return next((f for f in self.files if (f.kind, f.lang) == (kind, lang)), None)


def report_id(site: str, month: str, revision: int) -> str:
    """The id of a revision."""
    return f"{site}_{month}_r{revision}"
