"""The list of reports in Chromium: seen, downloaded, narrow enough, without a fault of access."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from core.reports import ReportRevision, report_id
from reports.archive import ReportArchive
from storage.records.store import Records
from tests.browser.conftest import SITE, Board
from tests.browser.test_board_in_browser import violations

pytestmark = pytest.mark.browser
MONTH = "2026-10"


@pytest.fixture(scope="module")
def revision(board: Board) -> ReportRevision:
    """A report as `greendc report build` leaves it; its PDF is only a few bytes."""
    name = report_id(SITE, MONTH, 1)
    files = ReportArchive(board.folder / "reports").write(
        SITE,
        MONTH,
        1,
        {
            (f"{name}.json", "json", ""): b"{}\n",
            (f"{name}_ko.pdf", "pdf", "ko"): b"%PDF-1.7 ko",
            (f"{name}_en.pdf", "pdf", "en"): b"%PDF-1.7 en",
        },
    )
    made = ReportRevision(
        name,
        SITE,
        MONTH,
        1,
        "draft",
        datetime(2026, 11, 2, tzinfo=UTC),
        "kim",
        "c" * 64,
        files,
        {"simulated": True, "pue": "1.287", "final": 30, "refused": 2, "met": 1, "missed": 1},
    )
    records = Records.open(f"sqlite:///{board.folder / 'records.sqlite'}")
    try:
        records.add_report_revision(made)
    finally:
        records.close()
    return made


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390, 320])
def test_axe_finds_nothing_and_nothing_is_too_wide(
    open_browser: Callable[..., Any], revision: ReportRevision, theme: str, width: int
) -> None:
    page = open_browser(width=width, height=900, theme=theme)
    for language in ("ko", "en"):
        page.goto(f"/reports?lang={language}")
        assert page.locator(f'a[href^="/reports/{revision.id}/"]').count() == 3
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert violations(page) == []


def test_a_report_is_found_by_the_menu_and_downloaded(
    open_browser: Callable[..., Any], revision: ReportRevision
) -> None:
    page = open_browser(width=1440, height=900)
    page.goto("/?lang=ko")
    page.click('nav a[href="/reports"]')
    with page.expect_download() as waiting:
        page.click(f'a[href="/reports/{revision.id}/pdf?of=ko"]')
    assert waiting.value.suggested_filename.endswith(f"{MONTH} 월간보고서 r1.pdf")
    content = Path(waiting.value.path()).read_bytes()
    file = revision.file("pdf", "ko")
    assert file is not None
    assert hashlib.sha256(content).hexdigest() == file.sha256
