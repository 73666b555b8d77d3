"""The live feed as server-sent events: cards for the board, values for other readers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from anyio import to_thread
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from core.clock import Clock
from core.errors import StoreError
from core.periods import format_time
from core.sites import Site, SiteRegistry
from core.text import LANGUAGES, Language
from dashboard import cookies
from dashboard.cards import site_view
from dashboard.live_hub import LiveHub, LiveState
from dashboard.live_values import LiveSnapshot, LiveValue
from dashboard.page_context import Choices, Pages
from dashboard.permissions import ForbiddenError, NoSuchSiteError, authorize
from dashboard.problems import problem_response
from dashboard.sessions import Sessions
from dashboard.settings import BoardSettings
from dashboard.today import SiteDay, SiteDays
from dashboard.visitors import current_visitor
from dashboard.words import load_words

# How many looks at the hub pass between two looks at the session.
_SESSION_LOOKS = 5
_STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_CARDS = (
    "pue",
    "conditions",
    "facility",
    "it",
    "wue",
    "ref",
    "rain",
    "solar",
    "accelerators",
    "reception",
)
Encode = Callable[[LiveState, SiteDay | None], dict[str, Any]]


class LiveCards:
    """Turns a state of the hub into what a page has to change."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    @staticmethod
    def addresses(site: Site, language: Language) -> tuple[str, str]:
        """Address of the feed of a page, and of the same as one document."""
        query = f"site={site.id}&lang={language}"
        return f"/_board/live?{query}", f"/_board/live/snapshot?{query}"

    def encode(
        self, site: Site, language: Language, state: LiveState, day: SiteDay | None
    ) -> dict[str, Any]:
        """Every card of the page: time, thresholds, subtitle, body and the body's mark.

        A body holds no age, so that its mark changes only with what it says.
        """
        if state.snapshot is None:
            return {"cards": {}}
        view = site_view(site, state.snapshot, day, load_words()[language])
        cards = {}
        for name in _CARDS:
            card = getattr(view, name)
            if card is None:
                continue
            html = self._pages.render(
                "card_body.html", Choices(language, ""), card_id=name, view=view
            ).strip()
            cards[name] = {
                "time": card.freshness.time_ms,
                "late": card.freshness.late_ms,
                "stale": card.freshness.stale_ms,
                "subtitle": card.subtitle,
                "mark": hashlib.sha256(html.encode()).hexdigest()[:16],
                "html": html,
            }
        return {"cards": cards}


def encode_values(site: Site, state: LiveState, day: SiteDay | None) -> dict[str, Any]:
    """Live values and today's figures as the API gives them: full precision, no words."""
    live = state.snapshot
    return {
        "site": site.id,
        "data": site.data,
        "sequence": state.sequence,
        "as_of": None if live is None else format_time(live.now_ms),
        "values": [] if live is None else _values(live),
        "kpis": [] if day is None else [row.as_json() for row in day.kpis.values()],
    }


def _values(live: LiveSnapshot) -> list[dict[str, Any]]:
    rows = [
        _value("facility_power", live.facility, live.now_ms),
        _value("it_power", live.it, live.now_ms),
        _value("pv_power", live.pv, live.now_ms),
    ]
    if live.tank is not None:
        level = _value("rain_tank_level", live.tank.level, live.now_ms)
        rows.append({**level, "volume_m3": live.tank.volume_m3})
    rows += [_value("pv_power", array.power, live.now_ms, array.device) for array in live.arrays]
    rows += [
        _value("accelerator_power", kind.power, live.now_ms, kind.kind)
        for kind in live.accelerators
    ]
    return [row for row in rows if row["expected"]]


def _value(name: str, value: LiveValue, now_ms: int, subject: str = "site") -> dict[str, Any]:
    return {
        "id": name,
        "subject": subject,
        "value": value.value,
        "unit": value.unit,
        "time": None if value.time_ms is None else format_time(value.time_ms),
        "state": value.state(now_ms).value,
        "expected": value.expected,
        "reporting": value.reporting,
        "missing": list(value.missing),
    }


class LiveFeed:
    """The routes of the feed, for the board's pages and for the API."""

    def __init__(
        self,
        *,
        registry: SiteRegistry,
        hub: LiveHub,
        days: SiteDays,
        cards: LiveCards,
        sessions: Sessions,
        settings: BoardSettings,
        clock: Clock,
    ) -> None:
        self._registry = registry
        self._hub = hub
        self._days = days
        self._cards = cards
        self._sessions = sessions
        self._settings = settings
        self._clock = clock

    def board_routes(self) -> APIRouter:
        """`/_board/live` and its snapshot: cards in the page's language."""
        router = APIRouter(include_in_schema=False)

        @router.get("/_board/live")
        async def feed(request: Request, site: str = "", lang: str = "") -> Response:
            language = _language(lang)
            return await self._stream(
                request, site, f"cards-{language}", "cards", self._card_encoder(language)
            )

        @router.get("/_board/live/snapshot")
        async def snapshot(site: str = "", lang: str = "") -> Response:
            return await self._once(site, self._card_encoder(_language(lang)))

        return router

    def api_routes(self) -> APIRouter:
        """`/api/v1/live` and its snapshot: values for any reader."""
        router = APIRouter(prefix="/api/v1", tags=["live"])

        @router.get(
            "/live",
            response_class=StreamingResponse,
            summary="Live values of a site as server-sent events",
            responses={200: {"content": {"text/event-stream": {}}}},
        )
        async def feed(request: Request, site: str) -> Response:
            return await self._stream(request, site, "values", "values", self._value_encoder)

        @router.get(
            "/live/snapshot", response_class=JSONResponse, summary="Live values of a site, once"
        )
        async def snapshot(site: str) -> Response:
            return await self._once(site, self._value_encoder)

        return router

    def _card_encoder(self, language: Language) -> Callable[[Site], Encode]:
        def for_site(site: Site) -> Encode:
            return lambda state, day: self._cards.encode(site, language, state, day)

        return for_site

    @staticmethod
    def _value_encoder(site: Site) -> Encode:
        return lambda state, day: encode_values(site, state, day)

    async def _once(self, site_id: str, encoder: Callable[[Site], Encode]) -> Response:
        found = self._authorized(site_id)
        if isinstance(found, Response):
            return found
        state, day = await self._hub.latest(found), await self._days.get(found)
        if state.snapshot is None:
            return problem_response(503)
        return JSONResponse({"now": self._clock.now_ms(), **encoder(found)(state, day)})

    async def _stream(
        self,
        request: Request,
        site_id: str,
        form: str,
        event: str,
        encoder: Callable[[Site], Encode],
    ) -> Response:
        found = self._authorized(site_id)
        if isinstance(found, Response):
            return found
        stored = cookies.read_cookies(request.headers.get("cookie", ""))
        token = stored.get(cookies.session_cookie(self._settings), "")
        return StreamingResponse(
            self._events(found, token, form, event, encoder(found)),
            media_type="text/event-stream",
            headers=_STREAM_HEADERS,
        )

    def _authorized(self, site_id: str) -> Site | Response:
        try:
            return authorize(current_visitor().account, "live", site_id, self._registry)
        except NoSuchSiteError:
            return problem_response(404)
        except ForbiddenError:
            return problem_response(403)

    async def _events(
        self, site: Site, token: str, form: str, event: str, encode: Encode
    ) -> AsyncIterator[bytes]:
        looks = 0
        async for state in self._hub.watch(site):
            looks += 1
            if looks % _SESSION_LOOKS == 0 and not await self._may_go_on(token, site):
                yield _event("over", {})
                return
            if state is None:
                yield _event("beat", {"now": self._clock.now_ms()})
            elif state.is_faulty:
                yield _event("fault", {"now": self._clock.now_ms()})
            else:
                day = await self._days.get(site)
                # All listeners of one form share one encoding of one state; only the moment of
                # sending, by which browsers set their clocks, is each listener's own.
                if form not in state.encoded:
                    state.encoded[form] = _json(encode(state, day)).removeprefix("{").encode()
                head = f"event: {event}\nid: {state.sequence}\n"
                now = f'data: {{"now":{self._clock.now_ms()},'
                yield (head + now).encode() + state.encoded[form] + b"\n\n"

    async def _may_go_on(self, token: str, site: Site) -> bool:
        try:
            visitor = await to_thread.run_sync(lambda: self._sessions.visitor(token, is_use=False))
        except StoreError:
            return True
        if visitor is None:
            return False
        try:
            authorize(visitor.account, "live", site.id, self._registry)
        except (NoSuchSiteError, ForbiddenError):
            return False
        return True


def _language(name: str) -> Language:
    return next((language for language in LANGUAGES if language == name), LANGUAGES[0])


def _event(name: str, body: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {_json(body)}\n\n".encode()


def _json(body: dict[str, Any]) -> str:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
