"""The frame around every page behind sign-in: top bar, menu, simulated strip, data for scripts."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from core.clock import Clock
from core.sites import Site, SiteRegistry
from core.text import LANGUAGES, Language
from dashboard import navigation
from dashboard.figures.palette import dark_by_light
from dashboard.live_feed import LiveCards
from dashboard.page_context import Choices, Pages, read_choices, switch_address
from dashboard.permissions import allowed_sites, is_allowed
from dashboard.static_files import StaticFiles
from dashboard.visitors import current_visitor
from dashboard.words import load_words

# Words that the page's script puts together by itself.
SCRIPT_WORDS = (
    "duration.seconds",
    "duration.minutes",
    "duration.hours",
    "duration.days",
    "age.normal",
    "age.late",
    "age.stale",
    "age.none",
    "age.lost",
    "conn.live",
    "conn.lost",
    "conn.fault",
    "evidence.failed",
    "chart.as_table",
    "chart.as_picture",
    "chart.fault",
    "chart.fault_at",
    "share.done",
)


class Shell:
    """Renders a page's template inside the frame, for the visitor of the request."""

    def __init__(
        self, *, registry: SiteRegistry, pages: Pages, static: StaticFiles, clock: Clock
    ) -> None:
        self._registry = registry
        self._pages = pages
        self._static = static
        self._clock = clock

    def answer(
        self,
        request: Request,
        template: str,
        choices: Choices,
        site: Site | None,
        *,
        here: str = "",
        simulated: bool | None = None,
        status: int = 200,
        feed: tuple[str, str] | None = None,
        is_live: bool = True,
        **values: Any,
    ) -> Response:
        """A page; see `render`."""
        html = self.render(
            request,
            template,
            choices,
            site,
            here=here,
            simulated=simulated,
            feed=feed,
            is_live=is_live,
            **values,
        )
        return self._pages.as_page(html, choices, status=status)

    def render(
        self,
        request: Request,
        template: str,
        choices: Choices,
        site: Site | None,
        *,
        here: str = "",
        simulated: bool | None = None,
        feed: tuple[str, str] | None = None,
        is_live: bool = True,
        **values: Any,
    ) -> str:
        """A page's HTML; templates extend `shell.html`.

        Args:
            site: The site that the page is about, if it is about one.
            here: Name of the page in `dashboard.navigation`.
            simulated: Whether the page carries the simulated strip; by default as the site does.
            feed: Addresses of the page's own live feed and of the same once; by default the site's.
            is_live: Whether the page has a feed at all.
        """
        visitor = current_visitor()
        live_sites = allowed_sites(visitor.account, "live", self._registry)
        return self._pages.render(
            template,
            choices,
            site=site,
            visitor=visitor,
            here=here,
            simulated=site is not None and site.is_simulated if simulated is None else simulated,
            page_data=self._page_data(site, choices.language, feed, is_live=is_live),
            is_live=is_live,
            menu=self._menu(site),
            switches={
                "languages": {name: switch_address(request, lang=name) for name in LANGUAGES},
                "themes": {
                    name: switch_address(request, theme="auto" if name == choices.theme else name)
                    for name in ("light", "dark")
                },
                "sites": [known for known in live_sites if known.status != "planned"],
            },
            **values,
        )

    def message(self, request: Request, status: int) -> Response:
        """A page that says why there is nothing here, and whom to ask."""
        choices = read_choices(request, current_visitor())
        heading, lines = {
            403: ("forbidden.title", ("forbidden.text",)),
            404: ("missing_page.title", ("missing_page.text",)),
        }[status]
        return self.answer(
            request, "message.html", choices, None, status=status, heading=heading, lines=lines
        )

    def _menu(self, site: Site | None) -> dict[str, list[dict[str, str]]]:
        account = current_visitor().account

        def lines(entries: tuple[navigation.MenuEntry, ...]) -> list[dict[str, str]]:
            site_id = site.id if site is not None else ""
            return [
                {
                    "page": entry.page,
                    "address": entry.path.replace("{site}", site_id),
                    "word": entry.word,
                }
                for entry in entries
                if not site_id or is_allowed(account, entry.action, site_id)
                # A planned site has facts and nothing that lives.
                if entry.action == "know" or site is None or site.status != "planned"
            ]

        return {
            "everywhere": lines(navigation.EVERYWHERE),
            "site": lines(navigation.OF_A_SITE) if site is not None else [],
            "documents": lines(navigation.DOCUMENTS),
        }

    def _page_data(
        self,
        site: Site | None,
        language: Language,
        feed: tuple[str, str] | None,
        *,
        is_live: bool,
    ) -> dict[str, Any]:
        words = load_words()[language].texts
        data: dict[str, Any] = {
            "now": self._clock.now_ms(),
            "zone": site.zone.key if site else "Asia/Seoul",
            "words": {key: words[key] for key in SCRIPT_WORDS},
            "feed": "",
        }
        if site is not None:
            data.update(site=site.id, dark=dark_by_light())
            feed = feed or LiveCards.addresses(site, language)
        if feed is not None and is_live:
            data.update(
                feed=feed[0], feedSnapshot=feed[1], worker=self._static.url("live-worker.js")
            )
        return data
