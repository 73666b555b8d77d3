"""The live feed of the list of sites: one stream for all sites of a person."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

from anyio import to_thread
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from core.clock import Clock
from core.errors import StoreError
from core.ports import Account
from core.text import LANGUAGES, Language
from dashboard import cookies
from dashboard.live_hub import LiveHub
from dashboard.page_context import Choices, Pages
from dashboard.portfolio_map import Ring
from dashboard.portfolio_source import PortfolioSource
from dashboard.portfolio_spans import SPANS, Span
from dashboard.portfolio_view import portfolio_view
from dashboard.portfolio_views import SiteNow
from dashboard.problems import problem_response
from dashboard.sessions import Sessions
from dashboard.settings import BoardSettings
from dashboard.visitors import current_visitor
from dashboard.words import load_words

_SESSION_LOOKS = 5
_STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class PortfolioFeed:
    """Sends what the page has to change: lines, sums, map, what to look at first."""

    def __init__(
        self,
        *,
        source: PortfolioSource,
        hub: LiveHub,
        pages: Pages,
        rings: Sequence[Ring],
        sessions: Sessions,
        settings: BoardSettings,
        clock: Clock,
    ) -> None:
        self._source = source
        self._hub = hub
        self._pages = pages
        self._rings = rings
        self._sessions = sessions
        self._settings = settings
        self._clock = clock
        self._encoded: dict[tuple[object, ...], tuple[object, bytes]] = {}

    @staticmethod
    def addresses(language: Language, span: Span) -> tuple[str, str]:
        """Address of the feed of a page, and of the same as one document."""
        query = f"lang={language}&range={span}"
        return f"/_board/portfolio/live?{query}", f"/_board/portfolio/live/snapshot?{query}"

    def routes(self) -> APIRouter:
        """`/_board/portfolio/live` and its snapshot."""
        router = APIRouter(include_in_schema=False)
        router.get("/_board/portfolio/live")(self.feed)
        router.get("/_board/portfolio/live/snapshot")(self.snapshot)
        return router

    async def feed(self, request: Request) -> Response:
        """Server-sent events: `cards`, `beat`, `fault` while no site can be read, `over`."""
        account = current_visitor().account
        if not self._source.live(account):
            return problem_response(403)
        stored = cookies.read_cookies(request.headers.get("cookie", ""))
        token = stored.get(cookies.session_cookie(self._settings), "")
        language, span = read_query(request)
        return StreamingResponse(
            self._events(account, token, language, span),
            media_type="text/event-stream",
            headers=_STREAM_HEADERS,
        )

    async def snapshot(self, request: Request) -> Response:
        """The same once, for a browser whose streams do not get through."""
        account = current_visitor().account
        if not self._source.live(account):
            return problem_response(403)
        language, span = read_query(request)
        sites = await self._source.gather(account)
        return JSONResponse({"now": self._clock.now_ms(), **self._encode(sites, language, span)})

    async def _events(
        self, account: Account, token: str, language: Language, span: Span
    ) -> AsyncIterator[bytes]:
        looks = 0
        live = self._source.live(account)
        async for states in self._hub.watch_all(live):
            looks += 1
            if looks % _SESSION_LOOKS == 0:
                present = await self._account(token, account)
                # Another set of sites is another page: it has to be opened anew.
                if present is None or self._source.live(present) != live:
                    yield _event("over", b"{}")
                    return
                account = present
            now = b'{"now":%d' % self._clock.now_ms()
            if states is None:
                yield _event("beat", now + b"}")
            elif all(state.is_faulty for state in states):
                yield _event("fault", now + b"}")
            else:
                sites = await self._source.put_together(account, live, states)
                body = self._encoded_once(sites, language, span)
                yield _event("cards", now + b"," + body.removeprefix(b"{"))

    async def _account(self, token: str, before: Account) -> Account | None:
        try:
            visitor = await to_thread.run_sync(lambda: self._sessions.visitor(token, is_use=False))
        except StoreError:
            return before
        return None if visitor is None else visitor.account

    def _encoded_once(self, sites: Sequence[SiteNow], language: Language, span: Span) -> bytes:
        """All listeners of the same sites share one encoding of one state."""
        key = (tuple((now.site.id, now.is_operating) for now in sites), language, span)
        state = [
            (
                now.state.sequence if now.state else 0,
                now.spans.now_ms if now.spans else 0,
                now.is_faulty,
            )
            for now in sites
        ]
        held = self._encoded.get(key)
        if held is None or held[0] != state:
            body = _json(self._encode(sites, language, span))
            held = self._encoded[key] = (state, body)
        return held[1]

    def _encode(self, sites: Sequence[SiteNow], language: Language, span: Span) -> dict[str, Any]:
        """Every piece of the page with its mark, and the order of the lines.

        A piece holds no age: ages are told by the browser's own clock.
        """
        view = portfolio_view(sites, span, self._rings, load_words()[language])
        choices = Choices(language, "")

        def piece(name: str, **values: Any) -> dict[str, Any]:
            html = self._pages.render(
                "portfolio_piece.html", choices, piece=name, view=view, **values
            ).strip()
            return {"mark": hashlib.sha256(html.encode()).hexdigest()[:16], "html": html}

        cards = {name: piece(name, row=None) for name in ("attention", "totals", "map")}
        for row in view.rows:
            if row.pue is None:
                continue
            fresh = row.freshness
            ageless = replace(row, freshness=replace(fresh, text=""))
            cards[f"row-{row.id}"] = {
                "time": fresh.time_ms,
                "late": fresh.late_ms,
                "stale": fresh.stale_ms,
                **piece("row", row=ageless),
            }
        return {"cards": cards, "order": [f"card-row-{row.id}" for row in view.rows]}


def read_query(request: Request) -> tuple[Language, Span]:
    """Language and span of an address; the first of each where it says neither."""
    asked = request.query_params
    language = next((name for name in LANGUAGES if name == asked.get("lang")), LANGUAGES[0])
    return language, read_span(asked.get("range", ""))


def read_span(name: str) -> Span:
    """The span of this name; today for any other text."""
    return next((span for span in SPANS if span == name), SPANS[0])


def _event(name: str, body: bytes) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + body + b"\n\n"


def _json(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
