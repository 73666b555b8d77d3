"""The gate in front of every path: deny by default.

Outermost of the application, around pages, API, Dash's own routes and static files alike. Only the
paths of `is_open` answer without a session; a page sends an anonymous browser to the sign-in form,
everything else answers 401. No websocket is accepted, and nothing is changed by a request that
another site caused.
"""

from __future__ import annotations

import logging
import secrets
from urllib.parse import quote, urlsplit

from anyio import to_thread
from starlette.datastructures import MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import StoreError
from dashboard.cookies import header_value, read_cookies, session_cookie
from dashboard.problems import fault_page, problem_response
from dashboard.sessions import Sessions, Visitor
from dashboard.settings import BoardSettings
from dashboard.visitors import set_visitor

_LOG = logging.getLogger(__name__)

OPEN_PATHS = frozenset({"/healthz", "/readyz", "/login", "/favicon.ico"})
STATIC_PREFIX = "/static/"
# Answers to scripts, not to the address bar: 401 instead of a redirect to a form.
MACHINE_PREFIXES = ("/api/", "/_")
# What a page asks for by itself while nobody touches it: no sign of a person. The page tells of a
# person's hand at /_board/here.
UNATTENDED_PREFIXES = ("/api/v1/live", "/_board/live", "/_dash")
LARGEST_BODY = 256 * 1024
_SAFE_METHODS = frozenset({"GET", "HEAD"})


def is_open(path: str) -> bool:
    """Whether a path answers without a session."""
    return path in OPEN_PATHS or path.startswith(STATIC_PREFIX)


def is_for_machines(path: str) -> bool:
    """Whether refusals of this path are documents for scripts."""
    return path == "/api" or path.startswith(MACHINE_PREFIXES)


def is_same_origin(origin: str, host: str, settings: BoardSettings) -> bool:
    """Whether a request with this Origin comes from our own pages.

    An absent Origin is not foreign: browsers send one with every POST that another site causes.
    """
    if not origin:
        return True
    public = urlsplit(settings.public_url)
    if public.netloc and origin.lower() == f"{public.scheme}://{public.netloc}".lower():
        return True
    if settings.is_secure:
        return False
    parts = urlsplit(origin)
    return bool(host) and parts.scheme in {"http", "https"} and parts.netloc.lower() == host.lower()


class Gate:
    """ASGI middleware; see the module."""

    def __init__(
        self, app: ASGIApp, *, sessions: Sessions, settings: BoardSettings, policy: str
    ) -> None:
        """Wrap an application.

        Args:
            policy: The Content-Security-Policy of every answer.
        """
        self._app = app
        self._sessions = sessions
        self._settings = settings
        self._headers = _security_headers(settings, policy)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, refuse or pass on one connection."""
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        guarded = self._with_headers(scope, send)
        refusal = await self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, guarded)
            return
        if scope["method"] == "HEAD" and is_open(scope["path"]):
            # Watchers ask so; the server sends the head only, whatever we answer.
            scope = {**scope, "method": "GET"}
        await self._run(scope, receive, guarded)

    async def _refusal(self, scope: Scope) -> Response | None:
        path, method = scope["path"], scope["method"]
        headers = dict(scope["headers"])
        if method not in _SAFE_METHODS:
            origin, host = header_value(headers, b"origin"), header_value(headers, b"host")
            if not is_same_origin(origin, host, self._settings):
                return problem_response(403, "the Origin of this request is another site")
            length = header_value(headers, b"content-length")
            if length.isdigit() and int(length) > LARGEST_BODY:
                return problem_response(413)
        set_visitor(None)
        if is_open(path):
            return None
        try:
            visitor = await self._visitor(headers, path)
        except StoreError:
            _LOG.exception("sessions cannot be read")
            return problem_response(503)
        if visitor is not None:
            set_visitor(visitor)
            return None
        if is_for_machines(path):
            return problem_response(401)
        if method not in _SAFE_METHODS:
            return RedirectResponse("/login", 303, {"Cache-Control": "no-store"})
        query = scope["query_string"].decode("latin-1")
        wanted = quote(f"{path}?{query}" if query else path, safe="")
        return RedirectResponse(f"/login?next={wanted}", 303, {"Cache-Control": "no-store"})

    async def _visitor(self, headers: dict[bytes, bytes], path: str) -> Visitor | None:
        cookies = read_cookies(header_value(headers, b"cookie"))
        token = cookies.get(session_cookie(self._settings), "")
        if not token:
            return None
        is_use = not path.startswith(UNATTENDED_PREFIXES)
        return await to_thread.run_sync(lambda: self._sessions.visitor(token, is_use=is_use))

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, _limited(receive), watched)
        except _BodyTooLargeError:
            if not started:
                await problem_response(413)(scope, receive, send)
        except StoreError:
            _LOG.exception("a store failed at %s %s", scope["method"], scope["path"])
            if not started:
                await problem_response(503)(scope, receive, send)
        except Exception:  # noqa: BLE001 - logged, and answered with a number to quote
            fault = secrets.token_hex(6)
            _LOG.exception("fault %s at %s %s", fault, scope["method"], scope["path"])
            if not started:
                is_page = not is_for_machines(scope["path"])
                answer = fault_page(fault) if is_page else problem_response(500, instance=fault)
                await answer(scope, receive, send)

    def _with_headers(self, scope: Scope, send: Send) -> Send:
        is_static = scope["path"].startswith(STATIC_PREFIX)

        async def sender(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers[name] = value
                if not is_static:
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        return sender


class _BodyTooLargeError(Exception):
    """The body grew over the limit without a Content-Length that said so."""


def _limited(receive: Receive) -> Receive:
    seen = 0

    async def limited() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > LARGEST_BODY:
            raise _BodyTooLargeError
        return message

    return limited


def content_security_policy(script_hashes: list[str]) -> str:
    """The policy of every page: our own files, and Dash's inline script by its hash.

    Styles may stand inline because plotly writes them into the elements that it draws.
    """
    return "; ".join(
        [
            "default-src 'none'",
            " ".join(["script-src 'self'", *script_hashes]),
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data:",
            "font-src 'self'",
            "connect-src 'self'",
            "worker-src 'self'",
            "manifest-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        ]
    )


def _security_headers(settings: BoardSettings, policy: str) -> dict[str, str]:
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    }
    if settings.is_secure:
        headers["Strict-Transport-Security"] = "max-age=31536000"
    return headers
