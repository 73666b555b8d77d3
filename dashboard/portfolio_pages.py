"""The list of sites: page, evidence and file."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from core.clock import Clock
from core.periods import from_ms
from core.text import Language
from dashboard import formats
from dashboard.api import write_csv
from dashboard.page_context import Pages, read_choices
from dashboard.permissions import ForbiddenError, NoSuchSiteError, authorize
from dashboard.portfolio_evidence import EVIDENCE_FIGURES, portfolio_evidence
from dashboard.portfolio_feed import PortfolioFeed, read_span
from dashboard.portfolio_file import COLUMNS, file_rows
from dashboard.portfolio_findings import condition_of, find_conditions
from dashboard.portfolio_map import Ring
from dashboard.portfolio_rows import SPAN_WORDS
from dashboard.portfolio_source import PortfolioSource
from dashboard.portfolio_spans import SPANS, Span
from dashboard.portfolio_view import portfolio_view
from dashboard.portfolio_views import PortfolioView, SiteNow
from dashboard.problems import problem_response
from dashboard.shell import Shell
from dashboard.visitors import current_visitor
from dashboard.words import Words, load_words

_CATEGORIES = (1, 2, 3)


class PortfolioPages:
    """Renders `/` for the visitor of the request, and what its buttons open."""

    def __init__(
        self,
        *,
        source: PortfolioSource,
        pages: Pages,
        shell: Shell,
        rings: Sequence[Ring],
        clock: Clock,
    ) -> None:
        self._source = source
        self._pages = pages
        self._shell = shell
        self._rings = rings
        self._clock = clock

    def routes(self) -> APIRouter:
        """`/` and the evidence of a cell."""
        router = APIRouter(include_in_schema=False)
        router.get("/")(self.portfolio)
        router.get("/_board/portfolio/evidence")(self.evidence)
        return router

    def api_routes(self) -> APIRouter:
        """The table as a file."""
        router = APIRouter(prefix="/api/v1", tags=["sites"])
        router.get(
            "/portfolio.csv",
            response_class=Response,
            summary="The sites beside each other, one line each",
            responses={200: {"content": {"text/csv": {}}}},
        )(self.file)
        return router

    async def portfolio(self, request: Request) -> Response:
        """The list: the last known values stand in it before any script has run."""
        account = current_visitor().account
        choices = read_choices(request, current_visitor())
        words = load_words()[choices.language]
        span = read_span(request.query_params.get("range", ""))
        sites = await self._source.gather(account)
        view = portfolio_view(sites, span, self._rings, words)
        categories = _categories(sites)
        category = _read_category(request.query_params.get("category", ""), categories)
        is_live = any(now.is_operating for now in sites)
        live_rows = [now for now in sites if now.is_operating]
        return self._shell.answer(
            request,
            "portfolio.html",
            choices,
            None,
            here="sites",
            simulated=any(now.site.is_simulated for now in sites),
            feed=PortfolioFeed.addresses(choices.language, span) if is_live else None,
            view=view,
            shown=_shown(view, category),
            spans=[(name, words(SPAN_WORDS[name]), _address(name, category)) for name in SPANS],
            span=span,
            categories=_switches(categories, category, span, words),
            category=category,
            file_address=f"/api/v1/portfolio.csv?{_query(span, category, choices.language)}",
            source_word=words("source.simulated")
            if any(now.site.is_simulated for now in live_rows)
            else "",
            is_live=is_live,
            is_faulty=bool(live_rows) and all(_is_faulty(now) for now in live_rows),
            clock=self._clock_words(sites, words),
        )

    async def evidence(self, request: Request) -> Response:
        """The evidence of one cell as a piece of HTML for the page's dialog."""
        account = current_visitor().account
        choices = read_choices(request, current_visitor())
        asked = request.query_params
        try:
            site = authorize(account, "live", asked.get("site", ""), self._source.registry)
        except NoSuchSiteError:
            return problem_response(404)
        except ForbiddenError:
            return problem_response(403)
        figure = next((name for name in EVIDENCE_FIGURES if name == asked.get("figure")), None)
        if figure is None:
            return problem_response(404)
        now = next(now for now in await self._source.gather(account) if now.site.id == site.id)
        words = load_words()[choices.language]
        span = read_span(asked.get("range", ""))
        view = portfolio_evidence(figure, span, site, now.live, now.spans, words)
        if view is None:
            return problem_response(503)
        return self._pages.answer("evidence.html", choices, view=view)

    async def file(self, request: Request) -> Response:
        """The sites that this person operates, worst first, with every figure in full precision."""
        account = current_visitor().account
        if not self._source.live(account):
            return problem_response(403)
        choices = read_choices(request, current_visitor())
        words = load_words()[choices.language]
        span = read_span(request.query_params.get("range", ""))
        sites = [now for now in await self._source.gather(account) if now.is_operating]
        category = _read_category(request.query_params.get("category", ""), _categories(sites))
        chosen = [now for now in sites if category in {None, now.site.pue_category}]
        chosen.sort(key=lambda now: condition_of(now, find_conditions(now, words)).rank)
        moment = from_ms(self._clock.now_ms()).astimezone(chosen[0].site.zone)
        name = f"greendc-sites-{span}-{moment:%Y%m%dT%H%M}.csv"
        return Response(
            write_csv(COLUMNS, file_rows(chosen, span, choices.language)),
            media_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    def _clock_words(self, sites: Sequence[SiteNow], words: Words) -> dict[str, str]:
        if not sites:
            return {"day": "", "time": "", "zone": ""}
        zone = sites[0].site.zone
        now = self._clock.now()
        return {
            "day": formats.format_day(now, zone, words),
            "time": f"{now.astimezone(zone):%H:%M:%S}",
            "zone": formats.zone_name(now, zone),
        }


def _is_faulty(now: SiteNow) -> bool:
    return now.state is not None and now.state.is_faulty


def _categories(sites: Sequence[SiteNow]) -> list[int]:
    held = {now.site.pue_category for now in sites if now.is_operating}
    return [category for category in _CATEGORIES if category in held]


def _read_category(asked: str, held: Sequence[int]) -> int | None:
    return next((category for category in held if str(category) == asked), None)


def _shown(view: PortfolioView, category: int | None) -> list[str]:
    """Ids of the lines that the table has: with a category chosen only sites measured so."""
    return [
        row.id
        for row in view.rows
        if category is None or (row.pue is not None and row.category == category)
    ]


def _switches(
    held: Sequence[int], chosen: int | None, span: Span, words: Words
) -> list[tuple[str, str, bool]]:
    """(words, address, whether chosen) of each category; none where all sites have the same."""
    if len(held) < 2:
        return []
    choices: list[tuple[str, int | None]] = [(words("categories.all"), None)]
    choices += [(words("pue.category", category=one), one) for one in held]
    return [(text, _address(span, one), one == chosen) for text, one in choices]


def _address(span: Span, category: int | None) -> str:
    query = _query(span, category)
    return f"/?{query}" if query else "/"


def _query(span: Span, category: int | None, language: Language | None = None) -> str:
    query: dict[str, str] = {} if span == SPANS[0] else {"range": span}
    if category is not None:
        query["category"] = str(category)
    if language is not None:
        query["lang"] = language
    return urlencode(query)
