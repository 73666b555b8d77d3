"""The page of a site's public facts; for a planned site the only one."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from core.clock import Clock
from core.sites import SiteRegistry
from dashboard.page_context import read_choices
from dashboard.permissions import ForbiddenError, NoSuchSiteError, authorize
from dashboard.shell import Shell
from dashboard.site_facts import site_facts
from dashboard.visitors import current_visitor
from dashboard.words import load_words


def about_routes(registry: SiteRegistry, shell: Shell, clock: Clock) -> APIRouter:
    """`/s/{site}/about`, for everybody who may know the site."""
    router = APIRouter(include_in_schema=False)

    @router.get("/s/{site_id}/about")
    async def about(request: Request, site_id: str) -> Response:
        visitor = current_visitor()
        choices = read_choices(request, visitor)
        try:
            site = authorize(visitor.account, "know", site_id, registry)
        except (NoSuchSiteError, ForbiddenError):
            return shell.message(request, 404)
        view = site_facts(site, clock.now(), load_words()[choices.language])
        return shell.answer(
            request,
            "about.html",
            choices,
            site,
            here="about",
            # A planned site has no figures that could be simulated.
            simulated=site.is_simulated and site.status != "planned",
            is_live=False,
            view=view,
        )

    return router
