"""The pages of a site behind sign-in: its overview and the evidence of its cards."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from anyio import to_thread
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from core.clock import Clock
from core.sites import Site, SiteRegistry
from dashboard.cards import site_view
from dashboard.chart_page import ChartPages, PageAsk
from dashboard.chart_reader import ChartReader
from dashboard.energy_tiles import energy_values, window_kpis
from dashboard.evidence import card_evidence, window_evidence
from dashboard.history import HistoryError
from dashboard.live_hub import LiveHub
from dashboard.page_context import Choices, Pages, read_choices
from dashboard.permissions import (
    ForbiddenError,
    NoSuchSiteError,
    authorize,
)
from dashboard.problems import problem_response
from dashboard.shell import Shell
from dashboard.today import SiteDays
from dashboard.visitors import current_visitor
from dashboard.words import load_words

_WINDOW_PREFIX = "window-"


def overview_values(ask: PageAsk) -> dict[str, Any]:
    """The cards of the overview."""
    live = ask.live.snapshot
    view = site_view(ask.site, live, ask.chart.day, ask.words) if live is not None else None
    return {"view": view}


class SitePages:
    """Renders pages for the visitor of the request."""

    def __init__(
        self,
        *,
        registry: SiteRegistry,
        pages: Pages,
        shell: Shell,
        hub: LiveHub,
        days: SiteDays,
        charted: ChartPages,
        reader: ChartReader,
        clock: Clock,
    ) -> None:
        self._registry = registry
        self._pages = pages
        self._shell = shell
        self._hub = hub
        self._days = days
        self._charted = charted
        self._reader = reader
        self._clock = clock

    def routes(self) -> APIRouter:
        """`/s/{site}` and the evidence of a card."""
        router = APIRouter(include_in_schema=False)
        router.get("/s/{site_id}")(self.overview)
        router.get("/s/{site_id}/energy")(self.energy)
        router.get("/_board/evidence")(self.evidence)
        router.get("/_board/here")(self.here)
        return router

    async def here(self) -> Response:
        """A person is at the page: the gate has counted the request as use."""
        return Response(status_code=204)

    async def overview(self, request: Request, site_id: str) -> Response:
        """A site's page: the newest values stand in it before any script has run."""
        return await self._charted.answer(
            request, site_id, "overview", "site.html", overview_values
        )

    async def energy(self, request: Request, site_id: str) -> Response:
        """A site's energy: where it goes, and how that differs from the weeks before."""
        return await self._charted.answer(request, site_id, "energy", "energy.html", energy_values)

    async def evidence(self, request: Request) -> Response:
        """The evidence of one card as a piece of HTML for the page's dialog."""
        visitor = current_visitor()
        choices = read_choices(request, visitor)
        site_id, card = (request.query_params.get(name, "") for name in ("site", "id"))
        try:
            site = authorize(visitor.account, "live", site_id, self._registry)
        except NoSuchSiteError:
            return problem_response(404)
        except ForbiddenError:
            return problem_response(403)
        state = await self._hub.latest(site)
        day = await self._days.get(site)
        words = load_words()[choices.language]
        if card.startswith(_WINDOW_PREFIX):
            return await self._window_evidence(request, choices, site, card)
        if state.snapshot is None:
            return problem_response(503)
        view = card_evidence(card, site, state.snapshot, day, words)
        if view is None:
            return problem_response(404)
        return self._pages.answer("evidence.html", choices, view=view)

    async def _window_evidence(
        self, request: Request, choices: Choices, site: Site, card: str
    ) -> Response:
        """Of a figure of a window: `window-<kpi>?from=…&to=…`."""
        kpi, _, query = card.removeprefix(_WINDOW_PREFIX).partition("?")
        words = load_words()[choices.language]
        try:
            history = self._reader.history("energy", site, dict(parse_qsl(query)))
        except HistoryError as error:
            return problem_response(400, str(error))
        ask = await self._reader.ask(site, history, words)
        known = history.known
        rows = await to_thread.run_sync(lambda: window_kpis(ask, known)) if known else {}
        if kpi not in rows:
            return problem_response(404)
        view = window_evidence(rows[kpi], site, words)
        return self._pages.answer("evidence.html", choices, view=view)
