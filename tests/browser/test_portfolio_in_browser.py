"""The list of seven sites as a person meets it: a real server on memory, Chromium."""

from __future__ import annotations

import csv
import io
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from core.clock import SystemClock
from core.kpis import KpiValue
from core.periods import Period
from core.ports import Account
from core.sites import Site
from dashboard import server
from dashboard.accounts import hash_password
from dashboard.app import create_app
from dashboard.cookies import session_cookie
from dashboard.readiness import ReadinessReport
from dashboard.sessions import Sessions
from dashboard.settings import BoardSettings
from tests.browser.test_board_in_browser import violations
from tests.dashboard.fakes import FakeKpis, LiveStore, MemoryAccounts
from tests.dashboard.seven_sites import seven_sites
from tests.services.calendar import by_day
from tests.services.processes import find_free_port

PASSWORD = "a long enough password"
_PUE = {
    "kakao-ansan": 1.268,
    "kisti-daejeon": 1.118,
    "naver-gak-chuncheon": 1.142,
    "naver-gak-sejong": 1.163,
    "nhn-gwangju": 1.282,
}
Open = Callable[..., Any]


class SevenPues(FakeKpis):
    """Each site with a PUE of its own, a little better over more days."""

    def _row(self, kpi: str, subject: str, piece: Period, site: Site, resolution: str) -> KpiValue:
        row = super()._row(kpi, subject, piece, site, resolution)
        if kpi != "pue" or resolution != "period":
            return row
        return replace(row, value=_PUE[site.id] - 0.001 * (piece.end - piece.start).days)


@dataclass
class Seven:
    """The board of seven sites: its meters can be silenced, the server stopped and started."""

    port: int = field(default_factory=find_free_port)
    accounts: MemoryAccounts = field(default_factory=MemoryAccounts)

    def __post_init__(self) -> None:
        self.url = f"http://127.0.0.1:{self.port}"
        self.clock = SystemClock()
        self.registry = by_day(seven_sites(), self.clock.now())
        self.settings = BoardSettings(
            live_tick=timedelta(milliseconds=400), heartbeat=timedelta(seconds=1)
        )
        self.meters = LiveStore(self.registry, self.clock.now_ms)
        hashed = hash_password(PASSWORD)
        everything = dict.fromkeys(("operator", "author", "reviewer", "admin"), ("*",))
        self.accounts.create_account(Account("admin", hashed, everything))
        self.accounts.create_account(Account("ministry", hashed, {"reviewer": ("*",)}))
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> Seven:
        app = create_app(
            registry=self.registry,
            store=self.meters.as_store(),
            records=self.accounts,
            rollup_records=None,  # type: ignore[arg-type]
            settings=self.settings,
            clock=self.clock,
            health=lambda: ReadinessReport(()),
            compute_kpis=SevenPues(),
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=server.run, args=(app, "127.0.0.1", self.port, self._stop), name="board"
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(15.0)

    def cookie(self, name: str) -> dict[str, str]:
        sessions = Sessions(self.accounts, self.settings, self.clock)
        token = sessions.sign_in(name, PASSWORD, "127.0.0.1")
        assert token is not None
        return {"name": session_cookie(self.settings), "value": token, "url": self.url}

    def reset(self) -> None:
        self.meters.silent_site, self.meters.silent_age_ms = "", None
        self.meters.silent, self.meters.scale, self.meters.is_down = set(), 1.0, False


@pytest.fixture(scope="module")
def _seven() -> Iterator[Seven]:
    board = Seven().start()
    yield board
    board.stop()


@pytest.fixture
def seven(_seven: Seven) -> Iterator[Seven]:
    _seven.reset()
    yield _seven
    _seven.reset()


@pytest.fixture
def open_list(seven: Seven, chromium: Any) -> Iterator[Open]:
    """Opens the list of sites; what it asks of another host fails the test."""
    contexts: list[Any] = []
    abroad: list[str] = []
    faults: list[str] = []

    def open_page(
        path: str = "/", *, width: int = 1440, theme: str = "light", name: str = "admin",
        scripts: bool = True, language: str = "ko",
    ) -> Any:  # fmt: skip
        context = chromium.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=theme,
            java_script_enabled=scripts,
            accept_downloads=True,
            base_url=seven.url,
        )
        contexts.append(context)

        def guard(route: Any) -> None:
            if route.request.url.startswith((seven.url, "data:", "blob:")):
                route.continue_()
            else:
                abroad.append(route.request.url)
                route.abort()

        context.route("**/*", guard)
        context.add_cookies([seven.cookie(name)])
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "console",
            lambda told: faults.append(told.text) if "Content Security" in told.text else None,
        )
        page.goto(f"{path}{'&' if '?' in path else '?'}lang={language}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert abroad == [], "a request left the machine"
    assert faults == [], "a script failed"


def order(page: Any) -> list[str]:
    return list(page.eval_on_selector_all("tbody.site", "all => all.map(e => e.id.slice(9))"))


def number(text: str) -> float:
    return float(text.replace(",", ""))


def test_the_first_paint_needs_no_script(open_list: Open) -> None:
    page = open_list(scripts=False)
    assert page.inner_text(".totals div:nth-child(1) b") == "90.1"
    assert page.inner_text("#card-row-kakao-ansan .pue .figure").startswith("1.268")
    assert page.locator(".korea.wide a").count() == 7
    assert "스크립트가 꺼져" in page.inner_text("main")


def test_a_value_a_sum_and_the_order_change_without_a_reload(open_list: Open, seven: Seven) -> None:
    page = open_list()
    page.wait_for_selector("#conn[data-conn=live]")
    page.evaluate("window.__mark = 1")
    assert order(page)[0] == "nhn-gwangju"
    page.focus("#card-row-naver-gak-sejong .name")
    seven.meters.scale = 1.2
    page.wait_for_function("() => Number(document.querySelector('.totals b').textContent) > 105")
    seven.meters.silent_site, seven.meters.silent_age_ms = "kisti-daejeon", 720_000
    page.wait_for_selector("#card-row-kisti-daejeon[data-state=stale]")
    page.wait_for_function("() => document.querySelector('tbody.site').id.endsWith('daejeon')")
    assert "수신 끊김" in page.inner_text("#card-row-kisti-daejeon .how")
    assert "수신 끊김 12분" in page.inner_text("#card-row-kisti-daejeon .age")
    assert "KISTI" in page.inner_text(".look li:first-child")
    assert "빠짐: 대전" in page.inner_text(".totals div:first-child")
    marker = page.get_attribute(".korea.wide [data-marker=kisti-daejeon]", "aria-label")
    assert "수신 끊김" in marker
    assert page.locator(".korea.wide [data-marker=kisti-daejeon] .stale").count() == 1
    assert page.evaluate("window.__mark") == 1
    # A person at the keyboard stays where they are while values change.
    focused = "document.activeElement.closest('tbody').id"
    assert page.evaluate(focused) == "card-row-naver-gak-sejong"
    seven.reset()
    page.wait_for_selector("#card-row-kisti-daejeon[data-state=normal]")
    page.wait_for_function("() => !document.querySelector('.look').textContent.includes('KISTI')")


def test_one_connection_and_one_read_a_tick_for_all_tabs(open_list: Open, seven: Seven) -> None:
    page = open_list()
    for _ in range(7):
        page.context.new_page().goto("/?lang=ko")
    last = page.context.pages[-1]
    last.wait_for_selector("#conn[data-conn=live]")
    before, began = seven.meters.reads, time.monotonic()
    time.sleep(2.0)
    ticks = (time.monotonic() - began) / 0.4
    assert seven.meters.reads - before <= 5 * (ticks + 2)


def test_a_lost_server_is_seen_and_comes_back(open_list: Open, seven: Seven) -> None:
    page = open_list()
    page.wait_for_selector("#conn[data-conn=live]")
    page.evaluate("window.__mark = 1")
    seven.stop()
    try:
        page.wait_for_selector("#lost:not([hidden])")
        assert page.inner_text("#conn") == "연결 끊김"
        assert "전 값" in page.inner_text("#card-row-kakao-ansan .age")
    finally:
        seven.start()
    page.wait_for_selector("#lost", state="hidden")
    page.wait_for_selector("#card-row-kakao-ansan[data-state=normal]")
    assert page.evaluate("window.__mark") == 1


def test_the_evidence_of_a_cell_opens_and_gives_the_focus_back(open_list: Open) -> None:
    page = open_list("/?range=7d")
    page.wait_for_selector("#conn[data-conn=live]")
    page.focus("#card-row-nhn-gwangju .pue .figure")
    page.keyboard.press("Enter")
    page.wait_for_selector("#evidence[open] .facts")
    told = page.inner_text("#evidence")
    assert "1.276" in told
    assert re.search(r"\d{4}-\d\d-\d\d 00:00 – \d{4}-\d\d-\d\d \d\d:\d\d (KST|UTC)", told)
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.className") == "figure num"


def test_from_the_list_to_a_site_and_to_facts(open_list: Open) -> None:
    page = open_list()
    page.click(".korea.wide [data-marker=naver-gak-sejong] .name")
    page.wait_for_url("**/s/naver-gak-sejong")
    page.go_back()
    page.click("#card-row-sk-aws-ulsan .name")
    page.wait_for_url("**/s/sk-aws-ulsan/about")
    assert page.inner_text("h1") == "사업장 정보"
    assert "example.kr/sk-aws-ulsan" in page.inner_text("main")


def test_span_category_and_file_go_together(open_list: Open) -> None:
    page = open_list()
    page.click(".head .seg a:nth-child(2)")
    page.wait_for_url("**/?range=7d")
    page.click(".compare .seg a:nth-child(3)")
    page.wait_for_url("**/?range=7d&category=2")
    assert set(order(page)) == {"kakao-ansan", "nhn-gwangju"}
    with page.expect_download() as download:
        page.click(".head a[download]")
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text("utf-8-sig"))))
    shown = page.inner_text("#card-row-nhn-gwangju .pue .figure").split()[0]
    (row,) = [row for row in rows if row["site"] == "nhn-gwangju"]
    assert f"{float(row['pue']):.3f}" == shown
    assert len(rows) == 2


@pytest.mark.parametrize("width", [1440, 1024, 768, 390, 320])
@pytest.mark.parametrize("language", ["ko", "en"])
def test_nothing_runs_over(open_list: Open, seven: Seven, width: int, language: str) -> None:
    seven.meters.silent_site, seven.meters.silent_age_ms = "kisti-daejeon", 720_000
    for path in ("/", "/s/kakao-ansan/about", "/s/sk-aws-ulsan/about"):
        page = open_list(path, width=width, language=language)
        sideways = page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert sideways <= 0, path
        spilled = page.evaluate(
            """() => [...document.querySelectorAll('.card, .top, .head, table, .line, .ch, .seg')]
              .filter((e) => e.offsetParent && !e.closest('.vh'))
              .filter((e) => e.scrollWidth > e.clientWidth + 1 && !e.querySelector('.korea'))
              .map((e) => `${e.id || e.className} ${e.scrollWidth} > ${e.clientWidth}`)"""
        )
        assert spilled == [], path


def test_the_list_fits_a_desktop_screen(open_list: Open, seven: Seven) -> None:
    seven.meters.silent_site, seven.meters.silent_age_ms = "kisti-daejeon", 720_000
    seven.meters.silent = {"pdu-2a"}
    page = open_list()
    assert page.evaluate("document.documentElement.scrollHeight") <= 900


@pytest.mark.parametrize(("width", "size"), [(1440, "wide"), (390, "narrow"), (320, "narrow")])
@pytest.mark.parametrize("language", ["ko", "en"])
def test_labels_of_the_map_stay_apart_at_their_real_size(
    open_list: Open, width: int, size: str, language: str
) -> None:
    page = open_list(width=width, language=language)
    boxes = page.eval_on_selector_all(
        f".korea.{size} text",
        "all => all.map(e => [e.textContent, e.getBoundingClientRect().toJSON()])",
    )
    assert len(boxes) == 4 + 2 * 7
    card = page.locator(".where-card").bounding_box()
    for text, box in boxes:
        assert box["height"] > 10, text
        assert card["x"] <= box["left"], text
        assert box["right"] <= card["x"] + card["width"], text
    touching = [
        (one, two)
        for at, (one, a) in enumerate(boxes)
        for two, b in boxes[at + 1 :]
        if min(a["right"], b["right"]) - max(a["left"], b["left"]) > 1
        and min(a["bottom"], b["bottom"]) - max(a["top"], b["top"]) > 4
    ]
    assert touching == []
    assert not page.is_visible(f".korea.{'narrow' if size == 'wide' else 'wide'}")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_axe_finds_nothing(open_list: Open, seven: Seven, theme: str, width: int) -> None:
    seven.meters.silent_site, seven.meters.silent_age_ms = "kisti-daejeon", 720_000
    seven.meters.silent = {"pdu-2a"}
    page = open_list(theme=theme, width=width)
    page.wait_for_selector("#conn[data-conn=live]", state="attached")
    assert violations(page) == []
    page.evaluate("document.getElementById('lost').hidden = false")
    page.click("#card-row-nhn-gwangju .pue .figure")
    page.wait_for_selector("#evidence[open] h2")
    assert violations(page) == []
    for path in ("/s/kakao-ansan/about", "/s/sk-aws-ulsan/about"):
        page.goto(path)
        assert violations(page) == []


def test_axe_finds_nothing_on_a_reviewers_list(open_list: Open) -> None:
    page = open_list(name="ministry")
    assert page.locator("[data-evidence-at]").count() == 0
    assert violations(page) == []


def test_whatever_is_touched_is_large_enough(open_list: Open) -> None:
    for width, least in ((1440, 24), (390, 36)):
        page = open_list(width=width)
        small = page.evaluate(
            """(least) => [...document.querySelectorAll('main button, main a')]
              .filter((e) => e.offsetParent && !e.closest('.words'))
              .map((e) => [e.textContent.trim().slice(0, 20), e.getBoundingClientRect()])
              .filter(([, box]) => box.height < least || box.width < 24)
              .map(([text, box]) => `${text} ${box.width}x${box.height}`)""",
            least,
        )
        assert small == []
