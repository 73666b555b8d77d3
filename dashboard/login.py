"""Sign-in and sign-out: a plain HTML form that works without scripts."""

from __future__ import annotations

import hmac
import secrets
from urllib.parse import parse_qs, urlsplit

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from dashboard import cookies
from dashboard.page_context import Pages, read_choices, switch_address
from dashboard.sessions import Sessions
from dashboard.settings import BoardSettings
from dashboard.visitors import current_visitor

LARGEST_FORM = 16 * 1024
_FORM_TYPE = "application/x-www-form-urlencoded"
# argon2id takes 64 MiB and a core while it runs; more at once would be an attack that succeeds.
_PASSWORD_CHECKS = 2


def login_routes(sessions: Sessions, pages: Pages, settings: BoardSettings) -> APIRouter:
    """`/login` and `/logout`."""
    router = APIRouter(include_in_schema=False)
    checks = CapacityLimiter(_PASSWORD_CHECKS)

    def form(request: Request, target: str, message: str, status: int) -> Response:
        choices = read_choices(request, next_path=target)
        stored = cookies.read_cookies(request.headers.get("cookie", ""))
        name = cookies.form_cookie(settings)
        # The token stays the same in all tabs of a browser: each may be sent.
        token = stored.get(name) or secrets.token_urlsafe(32)
        response = pages.answer(
            "login.html",
            choices,
            status=status,
            form_token=token,
            next_path=target,
            message=message,
            language_addresses={
                language: switch_address(request, lang=language, next=target)
                for language in ("ko", "en")
            },
        )
        if name not in stored:
            response.headers.append(
                "Set-Cookie", cookies.write_secret(name, token, settings, strict=True)
            )
        return response

    @router.get("/login")
    async def show_form(request: Request) -> Response:
        return form(request, local_path(request.query_params.get("next", "")), "", 200)

    @router.post("/login")
    async def sign_in(request: Request) -> Response:
        fields = await read_form(request)
        if fields is None:
            return form(request, "/", "login.bad_form", 400)
        target = local_path(fields.get("next", ""))
        stored = cookies.read_cookies(request.headers.get("cookie", ""))
        expected = stored.get(cookies.form_cookie(settings), "")
        if not is_equal(fields.get("form_token", ""), expected):
            return form(request, target, "login.expired_form", 400)
        address = request.client.host if request.client else ""
        username, password = fields.get("username", ""), fields.get("password", "")
        token = await to_thread.run_sync(
            lambda: sessions.sign_in(username, password, address), limiter=checks
        )
        if token is None:
            return form(request, target, "login.refused", 401)
        response = RedirectResponse(target, 303)
        name = cookies.session_cookie(settings)
        response.headers.append("Set-Cookie", cookies.write_secret(name, token, settings))
        return response

    @router.post("/logout")
    async def sign_out(request: Request) -> Response:
        visitor = current_visitor()
        fields = await read_form(request) or {}
        if not is_equal(fields.get("csrf", ""), visitor.session.csrf):
            return form(request, "/", "login.expired_form", 400)
        address = request.client.host if request.client else ""
        await to_thread.run_sync(lambda: sessions.sign_out(visitor, address))
        response = RedirectResponse("/login", 303)
        name = cookies.session_cookie(settings)
        response.headers.append("Set-Cookie", cookies.clear(name, settings))
        return response

    return router


def local_path(target: str) -> str:
    """A path of this board to go on to; anything else becomes the first page.

    Two slashes or a backslash would leave the board; browsers drop control characters.
    """
    parts = urlsplit(target)
    is_local = (
        target.startswith("/")
        and not target.startswith(("//", "/\\"))
        and not parts.netloc
        and target.isprintable()
        and "\\" not in target
    )
    return target if is_local and parts.path not in {"/login", "/logout"} else "/"


async def read_form(request: Request) -> dict[str, str] | None:
    """The first value of each field of a form body; None for another body or one too large."""
    fields = await read_fields(request, most=32)
    return None if fields is None else {name: values[0] for name, values in fields.items()}


async def read_fields(request: Request, *, most: int = 1000) -> dict[str, list[str]] | None:
    """The values of each field of a form body; None for another body or one too large.

    Args:
        most: Fields that are taken at all.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM_TYPE:
        return None
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_FORM:
            return None
    try:
        return parse_qs(body.decode("utf-8"), keep_blank_values=True, max_num_fields=most)
    except ValueError:
        return None


def is_equal(given: str, expected: str) -> bool:
    """Whether two secrets are equal and there is one, in constant time."""
    return bool(expected) and hmac.compare_digest(given.encode(), expected.encode())
