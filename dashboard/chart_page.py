"""A site's page with charts: permission, the asked window, the frame, the first paint.

Overview, energy, water, solar and accelerators differ in their template and in the values that it
shows; everything else is here. What a template gets beside its own values: `history` (the controls
of the window), `charts` (cards to come, for the skeleton), `charts_layout`, Dash's pieces, `place`,
`clock`, `is_faulty`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.clock import Clock
from core.sites import Site, SiteRegistry
from core.text import Language
from dashboard import formats
from dashboard.chart_reader import ChartReader
from dashboard.chart_spec import ChartAsk
from dashboard.charts import chart_shells, page_layout
from dashboard.history import DAYS, HistoryError, HistoryQuestion
from dashboard.live_hub import LiveHub, LiveState
from dashboard.page_context import Pages, read_choices
from dashboard.permissions import ForbiddenError, NoSuchSiteError, authorize
from dashboard.shell import Shell
from dashboard.static_files import StaticFiles
from dashboard.today import SiteDays
from dashboard.visitors import current_visitor
from dashboard.words import Words, load_words

RenderCharts = Callable[[Request, Callable[[dict[str, str]], str]], str]
_RANGE_WORDS = {"day": "range.day", "week": "range.week", "month": "range.month"}
_DASH_PIECES = ("app_entry", "dash_config", "dash_scripts", "dash_renderer")


@dataclass(frozen=True, slots=True)
class PageAsk:
    """What a page's own values are made of.

    Attributes:
        chart: What its charts are asked.
        live: The newest state of the site.
        now: The moment of the page.
    """

    chart: ChartAsk
    live: LiveState
    now: datetime

    @property
    def site(self) -> Site:
        """The site that the page is about."""
        return self.chart.site

    @property
    def words(self) -> Words:
        """The catalogue of the page's language."""
        return self.chart.words


PageValues = Callable[[PageAsk], dict[str, Any]]


def no_values(_ask: PageAsk) -> dict[str, Any]:
    """A page of charts alone."""
    return {}


class ChartPages:
    """Renders the pages of `dashboard.chart_pages.PAGES`."""

    def __init__(
        self,
        *,
        registry: SiteRegistry,
        pages: Pages,
        shell: Shell,
        static: StaticFiles,
        hub: LiveHub,
        days: SiteDays,
        reader: ChartReader,
        clock: Clock,
        render_charts: RenderCharts,
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
        self._reader = reader
        self._clock = clock
        self._render_charts = render_charts

    async def answer(
        self,
        request: Request,
        site_id: str,
        page: str,
        template: str,
        read_values: PageValues = no_values,
    ) -> Response:
        """One page for the visitor of the request.

        Args:
            page: Its name in `PAGES` and in the menu.
            read_values: The template's own values; runs off the event loop and may read stores.
        """
        visitor = current_visitor()
        choices = read_choices(request, visitor)
        try:
            site = authorize(visitor.account, "live", site_id, self._registry)
        except NoSuchSiteError:
            return self._shell.message(request, 404)
        except ForbiddenError:
            return self._shell.message(request, 403)
        if site.status == "planned":
            # Nothing is measured there yet: its public facts are all that there is to see.
            return RedirectResponse(f"/s/{site.id}/about", 303)
        words = load_words()[choices.language]
        live = await self._hub.latest(site)
        history, problem = self._history(page, site, request, words)
        ask = PageAsk(await self._reader.ask(site, history, words), live, self._clock.now())
        values = await asyncio.to_thread(read_values, ask)
        shells = chart_shells(page, site, words)
        values = {
            "is_faulty": live.is_faulty or self._days.is_faulty(site),
            "place": self._place(site, words, choices.language),
            "clock": page_clock(ask.now, site, words),
            "history": history_controls(history, words, request.url.path),
            "history_problem": problem,
            "charts": shells,
            "charts_layout": page_layout(page, site, words) if shells else "[]",
            "has_plotly": "plotly/plotly-cartesian.min.js" in self._static,
            **values,
        }

        def render(dash: dict[str, str]) -> str:
            return self._shell.render(
                request, template, choices, site, here=page, **{**values, **dash}
            )

        if shells:
            html = self._render_charts(request, render)
        else:
            html = render(dict.fromkeys(_DASH_PIECES, ""))
        return self._pages.as_page(html, choices)

    def _history(
        self, page: str, site: Site, request: Request, words: Words
    ) -> tuple[HistoryQuestion, str]:
        try:
            return self._reader.history(page, site, dict(request.query_params)), ""
        except HistoryError as error:
            # The page stands with its own range, and says that it is not the asked one.
            return self._reader.history(page, site, {}), words(error.word)

    @staticmethod
    def _place(site: Site, words: Words, language: Language) -> str:
        place = site.place.get(language) if site.place else site.operator
        return f"{place} · {words('overview.category', category=site.pue_category)}"


def page_clock(now: datetime, site: Site, words: Words) -> dict[str, str]:
    """The clock of the top bar in its first paint."""
    return {
        "day": formats.format_day(now, site.zone, words),
        "time": f"{now.astimezone(site.zone):%H:%M:%S}",
        "zone": formats.zone_name(now, site.zone),
    }


def history_controls(history: HistoryQuestion, words: Words, path: str) -> dict[str, Any]:
    """The controls of the window: ranges, window before and after, comparison, sharing.

    Args:
        path: Of the page that they are on.
    """
    ranges = [
        {
            "name": name,
            "word": words(_RANGE_WORDS[name]),
            "address": f"{path}?{history.range_query(name)}",
            "on": history.name == name,
        }
        for name in DAYS
    ]
    following = history.next_query()
    return {
        "ranges": ranges,
        "previous": f"{path}?{history.previous_query()}",
        "next": f"{path}?{following}" if following else "",
        "compare": f"{path}?{history.query(cmp='' if history.compares else 'week')}",
        "compares": history.compares,
        "compare_word": words("range.compare", weeks=history.shift_days // 7),
        "share": f"{path}?{history.frozen_query()}",
        "window": window_words(history),
        "is_running": history.is_running,
    }


def window_words(history: HistoryQuestion) -> str:
    """The window in local dates and, where it is not whole days, times: `2026-11-13 – 11-19`."""
    start = history.period.start.astimezone(history.zone)
    end = history.period.end.astimezone(history.zone)
    last = end - timedelta(microseconds=1)
    if start.hour or start.minute or end.hour or end.minute:
        return f"{start:%Y-%m-%d %H:%M} – {end:%m-%d %H:%M}"
    if start.date() == last.date():
        return f"{start:%Y-%m-%d}"
    far = f"{last:%m-%d}" if last.year == start.year else f"{last:%Y-%m-%d}"
    return f"{start:%Y-%m-%d} – {far}"
