"""`/reports`: the months that a person may read, by site, with their files and fingerprints."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from core.errors import NotFoundError
from core.ports import Account, ReportRecords
from core.reports import HANDED_OVER, REPORT_STATES, ReportFile, ReportRevision
from core.sites import Site, SiteRegistry
from core.text import Language
from dashboard.page_context import read_choices
from dashboard.permissions import Action, NoSuchSiteError, allowed_sites, is_allowed
from dashboard.shell import Shell
from dashboard.visitors import current_visitor
from dashboard.words import Words, load_words
from reports.archive import ReportArchive

STATE_WORDS = {
    "draft": "reports.draft",
    "review": "reports.review",
    "signed": "reports.signed",
    "submitted": "reports.submitted",
    "published": "reports.published",
}
_TYPES = {"pdf": "application/pdf", "json": "application/json"}
_LINK_WORDS = {
    ("pdf", "ko"): "reports.pdf_ko",
    ("pdf", "en"): "reports.pdf_en",
    ("json", ""): "reports.json",
}


@dataclass(frozen=True, slots=True)
class FileLine:
    """One file to download."""

    label: str
    address: str
    sha256: str


@dataclass(frozen=True, slots=True)
class MonthLine:
    """One revision of one month."""

    month: str
    revision: str
    state: str
    pue: str
    verdicts: str
    targets: str
    created: str
    is_simulated: bool
    is_latest: bool
    files: tuple[FileLine, ...]


@dataclass(frozen=True, slots=True)
class SiteMonths:
    """The months of one site; none yet is a line of its own."""

    id: str
    name: str
    months: tuple[MonthLine, ...]


class ReportPages:
    """Lists and gives out what `authorize` allows, revision by revision."""

    def __init__(
        self,
        *,
        registry: SiteRegistry,
        shell: Shell,
        records: ReportRecords | None,
        archive: ReportArchive | None,
    ) -> None:
        """Take the parts; without records there are no reports yet."""
        self._registry = registry
        self._shell = shell
        self._records = records
        self._archive = archive

    def routes(self) -> APIRouter:
        """`/reports` and the files of a revision."""
        router = APIRouter(include_in_schema=False)
        router.get("/reports")(self.overview)
        router.get("/reports/{report_id}/{kind}")(self.file)
        return router

    # Both read files and the records: they run beside the event loop.

    def overview(self, request: Request) -> Response:
        """All months that the visitor may read, by site, the newest first."""
        visitor = current_visitor()
        choices = read_choices(request, visitor)
        words = load_words()[choices.language]
        sites = [
            site
            for site in allowed_sites(visitor.account, "report", self._registry)
            if site.status != "planned"
        ]
        found = self._records.read_report_revisions() if self._records else []
        readable = [r for r in found if may_read(visitor.account, r)]
        months = [
            SiteMonths(site.id, site.name.get(choices.language), self._lines(site, readable, words))
            for site in sites
        ]
        return self._shell.answer(
            request,
            "reports.html",
            choices,
            None,
            here="reports",
            simulated=any(line.is_simulated for site in months for line in site.months),
            sites=months,
            any_months=any(site.months for site in months),
        )

    def file(self, request: Request, report_id: str, kind: str) -> Response:
        """One file of a revision as a download; unknown and forbidden ones look the same."""
        visitor = current_visitor()
        language = request.query_params.get("of", "")
        try:
            revision = self._readable(visitor.account, report_id)
        except (NotFoundError, NoSuchSiteError):
            return self._shell.message(request, 404)
        file = revision.file(kind, language)
        if file is None or self._archive is None:
            return self._shell.message(request, 404)
        site = self._registry.site(revision.site)
        headers = {
            "Content-Disposition": content_disposition(
                file.name, download_name(site, revision, file, load_words())
            ),
            "Cache-Control": "private, no-cache",
            "ETag": f'"{file.sha256}"',
            "X-Content-Type-Options": "nosniff",
        }
        return Response(self._archive.read(file), headers=headers, media_type=_TYPES[file.kind])

    def _readable(self, account: Account, report_id: str) -> ReportRevision:
        if self._records is None:
            raise NotFoundError(f"no report {report_id!r}")
        revision = self._records.read_report_revision(report_id)
        if revision.site not in self._registry or not may_read(account, revision):
            raise NoSuchSiteError("there is no such report, or it is not one of yours")
        return revision

    def _lines(
        self, site: Site, revisions: list[ReportRevision], words: Words
    ) -> tuple[MonthLine, ...]:
        lines, seen = [], set()
        for revision in revisions:
            if revision.site != site.id:
                continue
            lines.append(_line(site, revision, words, is_latest=revision.month not in seen))
            seen.add(revision.month)
        return tuple(lines)


def may_read(account: Account, revision: ReportRevision) -> bool:
    """Whether the person may read this revision: those of the site all, a reviewer what came in."""
    if account.disabled:
        return False
    action: Action = "report" if revision.state in HANDED_OVER else "draft_report"
    return is_allowed(account, action, revision.site)


def content_disposition(plain: str, name: str) -> str:
    """An attachment under a name in any script (RFC 6266, RFC 5987) and in plain ASCII."""
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def download_name(
    site: Site, revision: ReportRevision, file: ReportFile, words: dict[Language, Words]
) -> str:
    """What the file is called on the reader's machine, in the file's language."""
    language: Language = "en" if file.lang == "en" else "ko"
    return words[language](
        "reports.file_name",
        site=site.name.get(language),
        month=revision.month,
        revision=revision.revision,
        ending=file.kind,
    )


def _line(site: Site, revision: ReportRevision, words: Words, *, is_latest: bool) -> MonthLine:
    summary = revision.summary
    met, missed = int(summary.get("met", 0)), int(summary.get("missed", 0))
    assert revision.state in REPORT_STATES
    return MonthLine(
        month=revision.month,
        revision=f"r{revision.revision}",
        state=words(STATE_WORDS[revision.state]),
        pue=str(summary.get("pue", "")),
        verdicts=words(
            "reports.verdicts",
            final=summary.get("final", 0),
            provisional=summary.get("provisional", 0),
            refused=summary.get("refused", 0),
        ),
        targets=words("reports.targets", met=met, of=met + missed) if met + missed else "",
        created=f"{revision.created_at.astimezone(site.zone):%Y-%m-%d %H:%M}",
        is_simulated=bool(summary.get("simulated")),
        is_latest=is_latest,
        files=tuple(
            FileLine(
                words(_LINK_WORDS[(file.kind, file.lang)]),
                f"/reports/{quote(revision.id)}/{file.kind}"
                + (f"?of={file.lang}" if file.lang else ""),
                file.sha256,
            )
            for file in sorted(revision.files, key=lambda f: (f.kind != "pdf", f.lang != "ko"))
            if (file.kind, file.lang) in _LINK_WORDS
        ),
    )
