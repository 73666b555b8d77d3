"""The board in a process of its own, real stores with a small history, and Chromium."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from core.clock import SystemClock
from core.periods import INTERVAL_MS, floor_interval_ms, from_ms, to_ms
from core.sites import SiteRegistry
from dashboard.accounts import FIRST_USERNAME, ensure_first_account
from dashboard.cookies import session_cookie
from dashboard.history import DAY_MS, SETTLING_MS
from tests.browser.board_data import (
    board_registry,
    live_readings,
    write_history,
    write_hourly_figures,
)
from tests.conftest import REPOSITORY, skip_loudly
from tests.services.calendar import by_day
from tests.services.processes import ServiceProcess, find_free_port

_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = [
    "--no-sandbox",
    "--force-color-profile=srgb",
    "--font-render-hinting=none",
    "--disable-lcd-text",
]
SITE = "kakao-ansan"
# Where the history has a hole in its energy meters, before the present.
GAP = (timedelta(hours=9), timedelta(hours=8))
_WATCH = """
window.__violations = [];
document.addEventListener('securitypolicyviolation', (event) => {
  window.__violations.push(`${event.violatedDirective} ${event.blockedURI}`);
});
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test of this folder drives Chromium; the first one of a run makes the history, too."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("browser")
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(300))


class Board:
    """A board with its folder: may be killed, stopped and started again on the same port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = find_free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        now = datetime.now(UTC).replace(microsecond=0)
        self.live_from = now
        self.registry: SiteRegistry = by_day(
            board_registry(REPOSITORY / "config" / "sites", now), now
        )
        self.password = self._prepare()
        self._process = ServiceProcess("board", folder / "board.log")

    def _prepare(self) -> str:
        from storage.embedded.store import EmbeddedStore
        from storage.records.store import Records

        store = EmbeddedStore(self.folder / "timeseries", 400, role="all")
        records = Records.open(f"sqlite:///{self.folder / 'records.sqlite'}")
        gap = (self.live_from - GAP[0], self.live_from - GAP[1])
        try:
            write_history(store, records, self.registry, self.live_from, gap=gap)
            write_hourly_figures(store, self.registry.site(SITE), self.live_from)
            password = ensure_first_account(records, SystemClock())
        finally:
            records.close()
            store.close()
        assert password is not None
        return password

    def start(self) -> Board:
        live_from_ms = str(to_ms(self.live_from))
        script = str(REPOSITORY / "tests" / "browser" / "serve_board.py")
        command = [sys.executable, script, str(self.folder), str(self.port), live_from_ms]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        self._process.launch(command, environment)
        self._process.wait_ready(self.answers, seconds=60.0)
        return self

    def answers(self) -> bool:
        """Whether it answers."""
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=2.0) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def kill(self) -> None:
        """End it without a word."""
        self._process.end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in good order."""
        self._process.end(signal.SIGTERM)

    @cached_property
    def session(self) -> tuple[str, str]:
        """Name and value of the cookie of one session that tests share."""
        from dashboard.sessions import Sessions
        from dashboard.settings import BoardSettings
        from storage.records.store import Records

        records = Records.open(f"sqlite:///{self.folder / 'records.sqlite'}")
        try:
            sessions = Sessions(records, BoardSettings(), SystemClock())
            token = sessions.sign_in(FIRST_USERNAME, self.password, "127.0.0.1")
        finally:
            records.close()
        assert token is not None
        return session_cookie(BoardSettings()), token

    @property
    def log(self) -> str:
        """What it logged."""
        return self._process.log_tail(20_000)


class Meters:
    """Writes a reading of every device each second, until it is told to fall silent."""

    def __init__(self, board: Board) -> None:
        from storage.embedded.store import EmbeddedStore

        self._board = board
        self._store = EmbeddedStore(board.folder / "timeseries", 400, role="ingest")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="meters")
        self.scale = 1.0
        self.is_silent = False
        self.silent_devices: tuple[str, ...] = ()
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            if not self.is_silent:
                now_ms = round(time.time() * 1000)
                for site in self._board.registry:
                    blocks = live_readings(
                        site, now_ms, scale=self.scale, silent=self.silent_devices
                    )
                    self._store.write_readings(blocks)
            self._stop.wait(1.0)

    def reset(self) -> None:
        """Back to all devices speaking at scale 1."""
        self.scale, self.is_silent, self.silent_devices = 1.0, False, ()

    def close(self) -> None:
        """End the writing."""
        self._stop.set()
        self._thread.join()
        self._store.close()


@pytest.fixture(scope="session")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    made = Board(tmp_path_factory.mktemp("board")).start()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def _meters(board: Board) -> Iterator[Meters]:
    writing = Meters(board)
    yield writing
    writing.close()


@pytest.fixture
def meters(_meters: Meters) -> Iterator[Meters]:
    """The meters of the sites; all speaking again after the test."""
    yield _meters
    _meters.reset()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Chromium, ended with each file: its driver keeps an event loop running in the thread."""
    from playwright.sync_api import sync_playwright

    path = next((found for name in _CHROMIUM if (found := shutil.which(name))), None)
    if path is None:
        skip_loudly("no Chromium here: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_browser(board: Board, meters: Meters, chromium: Any) -> Iterator[Callable[..., Any]]:
    """Opens a page of a fresh browser; whatever it asks of another host fails the test.

    `sign_in`: True brings a session that tests share, "form" fills in the form, False neither.
    """
    contexts: list[Any] = []
    abroad: list[str] = []
    faults: list[str] = []
    pages: list[Any] = []

    def open_page(
        *,
        width: int = 1440,
        height: int = 900,
        theme: str = "light",
        sign_in: bool | str = True,
        scripts: bool = True,
        language: str = "ko",
    ) -> Any:
        context = chromium.new_context(
            viewport={"width": width, "height": height},
            color_scheme=theme,
            locale="ko-KR" if language == "ko" else "en-GB",
            java_script_enabled=scripts,
            accept_downloads=True,
            base_url=board.url,
        )
        contexts.append(context)

        def guard(route: Any) -> None:
            if route.request.url.startswith((board.url, "data:", "blob:")):
                route.continue_()
            else:
                abroad.append(route.request.url)
                route.abort()

        context.route("**/*", guard)
        context.add_init_script(_WATCH)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: faults.append(str(error)))
        pages.append(page)
        if sign_in == "form":
            page.goto("/login")
            fill_in(page, FIRST_USERNAME, board.password)
            page.wait_for_url(f"{board.url}/")
        elif sign_in:
            name, value = board.session
            context.add_cookies([{"name": name, "value": value, "url": board.url}])
        return page

    yield open_page
    violations = []
    for page in pages:
        if not page.is_closed() and page.url.startswith("http"):
            try:
                violations += page.evaluate("window.__violations || []")
            except Exception as error:
                violations += [] if "JavaScript" in str(error) else [str(error)]
    for context in contexts:
        context.close()
    assert abroad == [], "a request left the machine"
    assert violations == [], "the content security policy was violated"
    assert faults == [], "a script failed"


def last_day_query() -> str:
    """A window of the last 24 hours and a little of what comes, as an address asks for it."""
    end = floor_interval_ms(round(time.time() * 1000) - SETTLING_MS)
    edges = {"from": end - DAY_MS, "to": end + 2 * INTERVAL_MS}
    return "&".join(
        f"{name}={from_ms(edge).isoformat().replace('+', '%2B')}" for name, edge in edges.items()
    )


def fill_in(page: Any, username: str, password: str) -> None:
    """Fill in the sign-in form and send it."""
    page.fill("#username", username)
    page.fill("#password", password)
    page.click("form button[type=submit]")


def open_site(page: Any, site: str = SITE, query: str = "", *, chart: bool = True) -> Any:
    """Go to a site's page and wait for its chart."""
    page.goto(f"/s/{site}{query}")
    if chart:
        page.wait_for_selector("#chart-power .js-line")
    return page
