"""Walks through a running board as a person would and takes the pictures of the documentation.

    python -m tests.browser.pictures URL PASSWORD FOLDER [--site SITE] [--all]

`--all` takes every page in both languages, both brightnesses and both widths, to be looked at.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PAGES = {
    "portfolio": "/",
    "site": "/s/{site}?range=week",
    "energy": "/s/{site}/energy?range=week&cmp=week",
    "water": "/s/{site}/water",
    "solar": "/s/{site}/solar",
    "accelerators": "/s/{site}/accelerators",
    "intake": "/s/{site}/intake",
    "about": "/s/{site}/about",
    "reports": "/reports",
}
# What the read-me shows: Korean, light, as wide as a desk.
_CHOSEN = (("ko", "light", 1440),)
_EVERY = tuple(itertools.product(("ko", "en"), ("light", "dark"), (1440, 390)))
_ARGUMENTS = ["--no-sandbox", "--force-color-profile=srgb", "--font-render-hinting=none"]


def walk(url: str, password: str, folder: Path, site: str, *, every: bool) -> list[str]:
    """Sign in and take the pictures; what was asked of another host, which should be nothing."""
    from playwright.sync_api import sync_playwright

    folder.mkdir(parents=True, exist_ok=True)
    abroad: list[str] = []
    home = urlsplit(url).netloc
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=_ARGUMENTS)
        state: Any = None
        for language, theme, width in _EVERY if every else _CHOSEN:
            context = browser.new_context(
                viewport={"width": width, "height": 900 if width > 560 else 844},
                locale="ko-KR" if language == "ko" else "en-GB",
                color_scheme=theme,
                base_url=url,
                storage_state=state,
            )
            context.on(
                "request",
                lambda request: (
                    abroad.append(request.url)
                    if urlsplit(request.url).netloc not in {home, ""}
                    else None
                ),
            )
            page = context.new_page()
            page.set_default_timeout(60_000)
            if state is None:
                sign_in(page, password)
                state = context.storage_state()
            for name, address in PAGES.items():
                open_page(page, address.format(site=site), language)
                mark = "" if not every else f"-{language}-{theme}-{width}"
                page.screenshot(path=str(folder / f"{name}{mark}.png"), full_page=True)
            context.close()
        browser.close()
    return abroad


def sign_in(page: Any, password: str) -> None:
    """Fill in the form of the first account."""
    page.goto("/login")
    page.fill("#username", "admin")
    page.fill("#password", password)
    page.click("button[type=submit]")
    page.wait_for_url("**/")


def open_page(page: Any, address: str, language: str) -> None:
    """Open an address in a language and wait until its charts are drawn."""
    joint = "&" if "?" in address else "?"
    page.goto(f"{address}{joint}lang={language}")
    # Every chart that the page has room for is drawn; a page without one is ready at once.
    page.wait_for_function(
        "() => [...document.querySelectorAll('[id^=chart-] .dash-graph')]"
        ".filter(graph => graph.offsetParent).every(graph => graph.querySelector('.main-svg'))"
    )
    page.wait_for_timeout(1500)
    page.wait_for_function("() => document.fonts.status === 'loaded'")


def main() -> None:
    """Take the pictures that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("password")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--site", default="kakao-ansan")
    parser.add_argument("--all", action="store_true")
    arguments = parser.parse_args()
    abroad = walk(
        arguments.url, arguments.password, arguments.folder, arguments.site, every=arguments.all
    )
    if abroad:
        raise SystemExit(f"asked of other hosts: {abroad[:5]}")


if __name__ == "__main__":
    main()
