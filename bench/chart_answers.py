"""How long a running board takes to answer for a chart, over HTTP, one user.

    python -m bench.chart_answers URL PASSWORD [--site SITE]

Opens a site's pages in Chromium as a person would, keeps what each chart asked of the server, and
asks the same again twenty times from one connection.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.browser.pictures import open_page, sign_in

_PAGES = ("", "/energy", "/water", "/solar", "/accelerators")
_RANGES = ("day", "week", "month")
_CALLBACK = "/_dash-update-component"
_REPEATS = 20
_TARGET_MS = 60.0
_MOST_POINTS = 2000


@dataclass(frozen=True, slots=True)
class Question:
    """What one chart asked.

    Attributes:
        headers: As the browser sent them, session included.
    """

    page: str
    chart: str
    body: str
    headers: dict[str, str]


def main() -> None:
    """Print a table: page, chart, points of its longest trace, p50 and p95 in milliseconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("password")
    parser.add_argument("--site", default="kakao-ansan")
    arguments = parser.parse_args()
    questions = gather(arguments.url, arguments.password, arguments.site)
    print(f"{'page':<24} {'chart':<28} {'points':>7} {'KiB':>7} {'p50 ms':>8} {'p95 ms':>8}")
    for question in questions:
        points, size, times = ask(arguments.url, question)
        p95 = times[int(0.95 * (len(times) - 1))]
        mark = " !" if p95 > _TARGET_MS or points > _MOST_POINTS else ""
        print(
            f"{question.page:<24} {question.chart:<28} {points:>7} {size / 1024:>7.1f} "
            f"{statistics.median(times):>8.1f} {p95:>8.1f}{mark}",
            flush=True,
        )
    print(f"! more than {_TARGET_MS:.0f} ms or {_MOST_POINTS} points")


def gather(url: str, password: str, site: str) -> list[Question]:
    """What the charts of a site's pages ask for a day, a week and a month."""
    from playwright.sync_api import sync_playwright

    found: list[Question] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        page = browser.new_context(
            base_url=url, viewport={"width": 1440, "height": 900}, locale="ko-KR"
        ).new_page()
        page.set_default_timeout(60_000)
        sign_in(page, password)
        asked: list[Any] = []
        page.on("request", lambda request: asked.append(request))  # noqa: PLW0108 - marked by playwright
        for path in _PAGES:
            for span in _RANGES:
                asked.clear()
                open_page(page, f"/s/{site}{path}?range={span}", "ko")
                for request in asked:
                    if urlsplit(request.url).path == _CALLBACK:
                        body = request.post_data or ""
                        chart = json.loads(body).get("output", "")
                        found.append(
                            Question(f"{path or '/'} {span}", _name(chart), body,
                                     request.all_headers())
                        )  # fmt: skip
        browser.close()
    return found


def _name(output: str) -> str:
    return output.strip(".").partition("...")[0].partition("@")[0]


def ask(url: str, question: Question) -> tuple[int, int, list[float]]:
    """Points of the longest trace, bytes of the answer, and sorted times in milliseconds."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    headers = {
        name: value
        for name, value in question.headers.items()
        if not name.startswith(":") and name != "accept-encoding"
    }
    times: list[float] = []
    points = size = 0
    for repeat in range(_REPEATS + 1):
        started = time.perf_counter()
        connection.request("POST", _CALLBACK, question.body.encode(), headers)
        answer = connection.getresponse()
        body = answer.read()
        spent = (time.perf_counter() - started) * 1000.0
        if answer.status not in {200, 204}:
            raise SystemExit(f"{question.page} {question.chart}: HTTP {answer.status}")
        if repeat == 0:
            size = len(body)
            points = max(_lengths(json.loads(body or b"null")), default=0)
            continue
        times.append(spent)
    connection.close()
    return points, size, sorted(times)


def _lengths(part: Any) -> Iterator[int]:
    """Lengths of every trace in an answer; typed arrays are told by their shape or their bytes."""
    if isinstance(part, dict):
        if "type" in part and "x" in part:
            x = part["x"]
            yield len(x) if isinstance(x, list) else len(x.get("bdata", "")) * 3 // 4 // 8
        for value in part.values():
            yield from _lengths(value)
    elif isinstance(part, list):
        for value in part:
            yield from _lengths(value)


if __name__ == "__main__":
    main()
