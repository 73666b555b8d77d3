"""What every page needs: language, brightness, who is looking, and the templates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, urlencode, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from core.text import LANGUAGES, Language
from dashboard import cookies, formats
from dashboard.sessions import Visitor
from dashboard.settings import BoardSettings
from dashboard.static_files import StaticFiles
from dashboard.words import Words, load_words

Theme = Literal["light", "dark", ""]
_LANGUAGES: dict[str, Language] = {name: name for name in LANGUAGES}
_THEMES: dict[str, Theme] = {"light": "light", "dark": "dark", "auto": ""}
_FOLDER = Path(__file__).parent / "templates"
# Browser files of others that a page uses when they are there.
_FONT_STYLE = "pretendard/pretendardvariable-dynamic-subset.css"


@dataclass(frozen=True, slots=True)
class Choices:
    """How this browser wants its pages.

    Attributes:
        theme: `light`, `dark` or empty: as the system says.
        to_store: Cookies to set, because the address of this page chose anew.
    """

    language: Language
    theme: Theme
    to_store: tuple[tuple[str, str], ...] = ()


def read_choices(
    request: Request, visitor: Visitor | None = None, *, next_path: str = ""
) -> Choices:
    """Language and brightness of a request.

    `?lang=` and `?theme=` win and are remembered; then the cookies, the account's language, and
    what the browser accepts.

    Args:
        next_path: Where a sign-in leads to; its own `lang` is the language of the form.
    """
    stored = cookies.read_cookies(request.headers.get("cookie", ""))
    to_store: list[tuple[str, str]] = []
    asked = request.query_params.get("lang", "")
    if asked in LANGUAGES:
        to_store.append((cookies.LANGUAGE, asked))
    account = visitor.account.language if visitor is not None else ""
    accepted = _accepted_language(request.headers.get("accept-language", ""))
    onward = parse_qs(urlsplit(next_path).query).get("lang", [""])[0]
    wishes = (asked, onward, stored.get(cookies.LANGUAGE, ""), account, accepted)
    language = next((known for wish in wishes if (known := _LANGUAGES.get(wish))), LANGUAGES[0])
    theme_name = request.query_params.get("theme", "")
    if theme_name in _THEMES:
        to_store.append((cookies.THEME, _THEMES[theme_name]))
        theme = _THEMES[theme_name]
    else:
        theme = _THEMES.get(stored.get(cookies.THEME, ""), "")
    return Choices(language, theme, tuple(to_store))


def _accepted_language(header: str) -> str:
    # In order of appearance: browsers list by preference.
    for part in header.split(","):
        name = part.partition(";")[0].strip().lower()[:2]
        if name in LANGUAGES:
            return name
    return ""


class Pages:
    """Renders the templates."""

    def __init__(self, static: StaticFiles, settings: BoardSettings) -> None:
        self._settings = settings
        self._static = static
        self._environment = Environment(
            loader=FileSystemLoader(_FOLDER),
            autoescape=select_autoescape(default=True, default_for_string=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update(
            static=static.url,
            font_style=static.url(_FONT_STYLE) if _FONT_STYLE in static else "",
            no_value=formats.NO_VALUE,
        )

    def render(self, template: str, choices: Choices, **values: Any) -> str:
        """One template as text; `t` is the catalogue of the chosen language."""
        words: Words = load_words()[choices.language]
        return self._environment.get_template(template).render(
            t=words, language=choices.language, theme=choices.theme, **values
        )

    def answer(
        self, template: str, choices: Choices, *, status: int = 200, **values: Any
    ) -> Response:
        """One template as a page."""
        return self.as_page(self.render(template, choices, **values), choices, status=status)

    def as_page(self, html: str, choices: Choices, *, status: int = 200) -> Response:
        """HTML as a page that remembers the choices of its address."""
        response = HTMLResponse(html, status)
        for name, value in choices.to_store:
            response.headers.append("Set-Cookie", cookies.write_choice(name, value, self._settings))
        return response


def switch_address(request: Request, **chosen: str) -> str:
    """This page's address with another choice in its query."""
    query = dict(request.query_params)
    query.update(chosen)
    return f"{request.url.path}?{urlencode(query)}"
