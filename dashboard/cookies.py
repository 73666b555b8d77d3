"""The board's cookies: the session, the language, the brightness, the sign-in form's token."""

from __future__ import annotations

from collections.abc import Mapping

from dashboard.settings import BoardSettings

LANGUAGE = "greendc_lang"
THEME = "greendc_theme"
_YEAR_S = 365 * 86_400
# A browser takes a cookie of this prefix only with Secure, Path=/ and without Domain.
_HOST_PREFIX = "__Host-"


def session_cookie(settings: BoardSettings) -> str:
    """Name of the session cookie."""
    return _name("greendc_session", settings)


def form_cookie(settings: BoardSettings) -> str:
    """Name of the cookie that a sign-in form's hidden token has to equal."""
    return _name("greendc_form", settings)


def read_cookies(header: str) -> dict[str, str]:
    """Name -> value of a Cookie header; the first of a name counts.

    Other services on this host share the header, so what is odd in it is passed over.
    """
    found: dict[str, str] = {}
    for part in header.split(";"):
        name, separator, value = part.strip().partition("=")
        if separator:
            found.setdefault(name, value)
    return found


def write_secret(name: str, value: str, settings: BoardSettings, *, strict: bool = False) -> str:
    """A Set-Cookie header for something that scripts must not read; ends with the browser."""
    return "; ".join(
        [
            f"{name}={value}",
            "Path=/",
            "HttpOnly",
            f"SameSite={'Strict' if strict else 'Lax'}",
            *(["Secure"] if settings.is_secure else []),
        ]
    )


def write_choice(name: str, value: str, settings: BoardSettings) -> str:
    """A Set-Cookie header for a choice of display, which scripts of the page may read."""
    parts = [f"{name}={value}", "Path=/", f"Max-Age={_YEAR_S}", "SameSite=Lax"]
    return "; ".join(parts + (["Secure"] if settings.is_secure else []))


def clear(name: str, settings: BoardSettings) -> str:
    """A Set-Cookie header that removes a cookie."""
    return f"{write_secret(name, '', settings)}; Max-Age=0"


def header_value(headers: Mapping[bytes, bytes], name: bytes) -> str:
    """A request header as text, empty where there is none."""
    return headers.get(name, b"").decode("latin-1")


def _name(name: str, settings: BoardSettings) -> str:
    return f"{_HOST_PREFIX}{name}" if settings.is_secure else name
