"""The pages of a site behind sign-in: its overview and the evidence of its cards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.clock import Clock
from core.sites import SiteRegistry
from dashboard import formats
from dashboard.cards import site_view
from dashboard.evidence import card_evidence
from dashboard.live_hub import LiveHub
from dashboard.page_context import Pages, read_choices
from dashboard.permissions import (
    ForbiddenError,
    NoSuchSiteError,
    authorize,
)
from dashboard.problems import problem_response
from dashboard.shell import Shell
from dashboard.static_files import StaticFiles
from dashboard.today import SiteDays
from dashboard.visitors import current_visitor
from dashboard.words import load_words

_DASH_PIECES = ("app_entry", "dash_config", "dash_scripts", "dash_renderer")


class SitePages:
    """Renders pages for the visitor of the request."""

    def __init__(
        self,
        *,
        registry: SiteRegistry,
        pages: Pages,
        shell: Shell,
        static: StaticFiles,
        hub: LiveHub,
        days: SiteDays,
        clock: Clock,
        render_charts: Callable[[Request, Callable[[dict[str, str]], str]], str],
    ) -> None:
        """Take the parts.

        Args:
            render_charts: Gives Dash's scripts and entry to a renderer of the page.
        """
        self._registry = registry
        self._pages = pages
        self._shell = shell
        self._static = static
        self._hub = hub
        self._days = days
        self._clock = clock
        self._render_charts = render_charts

    def routes(self) -> APIRouter:
        """`/s/{site}` and the evidence of a card."""
        router = APIRouter(include_in_schema=False)
        router.get("/s/{site_id}")(self.overview)
        router.get("/_board/evidence")(self.evidence)
        router.get("/_board/here")(self.here)
        return router

    async def here(self) -> Response:
        """A person is at the page: the gate has counted the request as use."""
        return Response(status_code=204)

    async def overview(self, request: Request, site_id: str) -> Response:
        """A site's page: the newest values stand in it before any script has run."""
        visitor = current_visitor()
        choices = read_choices(request, visitor)
        try:
            site = authorize(visitor.account, "live", site_id, self._registry)
        except NoSuchSiteError:
            return self._shell.message(request, 404)
        except ForbiddenError:
            return self._shell.message(request, 403)
        if site.status == "planned":
            return RedirectResponse(f"/s/{site.id}/about", 303)
        state = await self._hub.latest(site)
        day = await self._days.get(site)
        words = load_words()[choices.language]
        now = self._clock.now()
        view = site_view(site, state.snapshot, day, words) if state.snapshot else None
        role = words("overview.category", category=site.pue_category)
        place = site.place.get(choices.language) if site.place else site.operator
        local = now.astimezone(site.zone)
        values: dict[str, Any] = {
            "view": view,
            "is_faulty": state.is_faulty or self._days.is_faulty(site),
            "place": f"{place} · {role}",
            "clock": {
                "day": formats.format_day(now, site.zone, words),
                "time": f"{local:%H:%M:%S}",
                "zone": formats.zone_name(now, site.zone),
            },
            "has_chart": view is not None and view.facility is not None and view.it is not None,
            "has_plotly": "plotly/plotly-cartesian.min.js" in self._static,
        }

        def render(dash: dict[str, str]) -> str:
            return self._shell.render(
                request, "site.html", choices, site, here="overview", **{**values, **dash}
            )

        if values["has_chart"]:
            html = self._render_charts(request, render)
        else:
            html = render(dict.fromkeys(_DASH_PIECES, ""))
        return self._pages.as_page(html, choices)

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
        if state.snapshot is None:
            return problem_response(503)
        view = card_evidence(card, site, state.snapshot, day, words)
        if view is None:
            return problem_response(404)
        return self._pages.answer("evidence.html", choices, view=view)
