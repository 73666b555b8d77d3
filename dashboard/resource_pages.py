"""The pages of water and rain, solar and accelerators: figures of the asked stretch, and charts.

Live cards are those of the overview: the feed of the site renews them on every page.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from anyio import to_thread
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from core.sites import Site, SiteRegistry
from dashboard import accelerator_views, solar_views, water_views
from dashboard.cards import site_view
from dashboard.chart_page import ChartPages, PageAsk
from dashboard.chart_reader import ChartReader
from dashboard.evidence import Evidence, figures_evidence
from dashboard.history import HistoryError, HistoryQuestion
from dashboard.page_context import Pages, read_choices
from dashboard.permissions import ForbiddenError, NoSuchSiteError, authorize
from dashboard.problems import problem_response
from dashboard.resource_reads import FigureAsk, FigureReads, Figures
from dashboard.visitors import current_visitor
from dashboard.words import Words, load_words

BuildView = Callable[[Site, HistoryQuestion, Figures, Words], Any]


@dataclass(frozen=True, slots=True)
class ResourcePage:
    """One page.

    Attributes:
        name: In the menu, in the charts' table, and the last part of its address.
        ask: Its figures.
        build: Its view of them.
    """

    name: str
    template: str
    ask: FigureAsk
    build: BuildView


@dataclass(frozen=True, slots=True)
class FigureCard:
    """A card of figures that has evidence.

    Attributes:
        title: Id of its title's text.
        every_subject: Whether arrays, kinds and halls stand in it too.
    """

    ask: FigureAsk
    title: str
    kpis: tuple[str, ...]
    every_subject: bool = False


PAGES = (
    ResourcePage("water", "water.html", water_views.ASK, water_views.water_view),
    ResourcePage("solar", "solar.html", solar_views.ASK, solar_views.solar_view),
    ResourcePage(
        "accelerators",
        "accelerators.html",
        accelerator_views.ASK,
        accelerator_views.accelerator_view,
    ),
)
_WATER, _SOLAR, _ACCELERATORS = water_views.ASK, solar_views.ASK, accelerator_views.ASK
CARDS: dict[str, FigureCard] = {
    "water_total": FigureCard(_WATER, "water.total_title", ("total_water",)),
    "water_reused": FigureCard(_WATER, "water.reused_title", ("potable_water_avoided",)),
    "water_share": FigureCard(
        _WATER, "water.share_title", ("rain_reuse_ratio", "rain_collection_efficiency")
    ),
    "water_wue": FigureCard(_WATER, "water.wue_title", ("wue", "wue_potable")),
    "water_balance": FigureCard(_WATER, "water.balance_title", ("rain_unexplained",)),
    "solar_energy": FigureCard(_SOLAR, "solar.energy_title", ("pv_energy",), every_subject=True),
    "solar_yield": FigureCard(
        _SOLAR, "solar.yield_title", ("pv_specific_yield", "pv_capacity_factor")
    ),
    "solar_ratio": FigureCard(
        _SOLAR, "solar.ratio_title", ("pv_performance_ratio",), every_subject=True
    ),
    "solar_use": FigureCard(_SOLAR, "solar.use_title", ("self_consumption", "self_sufficiency")),
    "solar_share": FigureCard(_SOLAR, "solar.share_title", ("facility_energy", "pv_energy", "ref")),
    "accelerator_energy": FigureCard(
        _ACCELERATORS, "accelerators.energy_title", ("accelerator_energy",), every_subject=True
    ),
    "accelerator_reconciliation": FigureCard(
        _ACCELERATORS,
        "accelerators.reconciliation_title",
        ("accelerator_reconciliation",),
        every_subject=True,
    ),
}


class ResourcePages:
    """Answers for `PAGES` and for the evidence of `CARDS`."""

    def __init__(
        self,
        *,
        registry: SiteRegistry,
        pages: Pages,
        charted: ChartPages,
        charts: ChartReader,
        reads: FigureReads,
    ) -> None:
        self._registry = registry
        self._pages = pages
        self._charted = charted
        self._charts = charts
        self._reads = reads

    def routes(self) -> APIRouter:
        """`/s/{site}/water`, `/s/{site}/solar`, `/s/{site}/accelerators`, their evidence."""
        router = APIRouter(include_in_schema=False)
        for page in PAGES:
            router.get(f"/s/{{site_id}}/{page.name}")(self._route(page))
        router.get("/_board/figures/evidence")(self.evidence)
        return router

    async def evidence(self, request: Request) -> Response:
        """The evidence of one card for the page's window, a piece of HTML for its dialog."""
        visitor = current_visitor()
        choices = read_choices(request, visitor)
        query = dict(request.query_params)
        try:
            site = authorize(visitor.account, "live", query.get("site", ""), self._registry)
        except NoSuchSiteError:
            return problem_response(404)
        except ForbiddenError:
            return problem_response(403)
        card = CARDS.get(query.get("id", ""))
        if card is None:
            return problem_response(404)
        try:
            history = self._charts.history(card.ask.name, site, query)
        except HistoryError as error:
            return problem_response(400, str(error))
        words = load_words()[choices.language]
        view = await to_thread.run_sync(lambda: self._evidence(card, site, history, words))
        if view is None:
            return problem_response(503)
        return self._pages.answer("evidence.html", choices, view=view)

    def _evidence(
        self, card: FigureCard, site: Site, history: HistoryQuestion, words: Words
    ) -> Evidence | None:
        figures = self._reads.get(site, card.ask, history).figures
        if figures is None:
            return None
        rows = [
            row
            for kpi in card.kpis
            for row in figures.rows.values()
            if row.kpi == kpi and (card.every_subject or row.subject == "site")
        ]
        return figures_evidence(words(card.title), rows, site, words)

    def _route(self, page: ResourcePage) -> Callable[[Request, str], Any]:
        async def answer(request: Request, site_id: str) -> Response:
            return await self._charted.answer(
                request, site_id, page.name, page.template, lambda ask: self._values(page, ask)
            )

        return answer

    def _values(self, page: ResourcePage, ask: PageAsk) -> dict[str, Any]:
        site, words = ask.site, ask.words
        answer = self._reads.get(site, page.ask, ask.chart.history)
        live = ask.live.snapshot
        found = answer.figures
        values: dict[str, Any] = {
            "view": page.build(site, ask.chart.history, found, words) if found else None,
            "live": site_view(site, live, ask.chart.day, words) if live is not None else None,
        }
        if answer.is_faulty:
            values["is_faulty"] = True
        return values
