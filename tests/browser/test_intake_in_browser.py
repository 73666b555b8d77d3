"""Data intake in Chromium: seen in both languages and brightnesses, worked in, narrow enough."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from core.ledger import (
    HOUR_MS,
    CommitOutcome,
    Imbalance,
    LedgerCounts,
    LedgerHour,
    QuarantineEntry,
)
from dashboard.accounts import FIRST_USERNAME
from storage.records.store import Records
from tests.browser.conftest import SITE, Board
from tests.browser.test_board_in_browser import violations

pytestmark = pytest.mark.browser
PAGE = f"/s/{SITE}/intake"
_TOPIC = f"greendc/v1/{SITE}/energy/a-topic-with-a-long-name/" + "x" * 60
# A commit number that no other test of this folder takes.
_BOOK = 41


@pytest.fixture(scope="module")
def records(board: Board) -> Iterator[Records]:
    """The board's records with a ledger, a quarantine and an alarm."""
    opened = Records.open(f"sqlite:///{board.folder / 'records.sqlite'}")
    now_ms = round(time.time() * 1000)
    hour_ms = now_ms - now_ms % HOUR_MS
    reasons = ("not_json", "unknown_device", "conflicting_value", "time_in_future", "rate_cap")
    entries = tuple(
        QuarantineEntry(
            "", now_ms - 1000 * place, SITE, _TOPIC, reasons[place % len(reasons)],
            "no device 'a-device-that-nobody-has-declared-yet'", place + 1, (0, 1),
            b"\x00\xff" * 40 if place % 2 else b'{"ts": "<b>yesterday</b>"}',
        )
        for place in range(8)
    )  # fmt: skip
    refused = sum(one.count for one in entries)
    # All in the running hour, also in its first seconds.
    hours = [
        LedgerHour(SITE, hour_ms - at * HOUR_MS, LedgerCounts(90_000 + at, 89_000, 1000 + at))
        for at in range(50)
    ]
    by_hour: dict[int, int] = {}
    for one in entries:
        start_ms = one.received_ms - one.received_ms % HOUR_MS
        by_hour[start_ms] = by_hour.get(start_ms, 0) + one.count
    hours += [
        LedgerHour(SITE, at, LedgerCounts(count, quarantined=count))
        for at, count in by_hour.items()
    ]
    assert sum(by_hour.values()) == refused
    opened.apply_commit(CommitOutcome(_BOOK, 1, hours=tuple(hours), quarantined=entries))
    alarm = Imbalance(SITE, hour_ms - HOUR_MS, "received", 90_001, 90_002)
    opened.write_imbalances("browser test", [alarm])
    yield opened
    opened.write_imbalances("browser test", [])
    opened.discard_quarantine_entries(
        opened.read_quarantine_ids(sites=[SITE]), by="test", note="over", now=_now()
    )
    opened.close()


def _now() -> Any:
    from core.clock import SystemClock

    return SystemClock().now()


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark"), (320, "light")])
def test_axe_finds_nothing_and_nothing_is_too_wide(
    open_browser: Callable[..., Any], records: Records, theme: str, width: int
) -> None:
    language = "ko" if theme == "light" else "en"
    page = open_browser(width=width, height=900, theme=theme, language=language)
    page.goto(f"{PAGE}?lang={language}")
    page.wait_for_selector("#chart-intake-ledger .bars path", state="attached")
    page.wait_for_selector("#chart-intake-reasons .bars path", state="attached")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert violations(page) == []
    page.click(".entries th a >> nth=0")
    page.wait_for_selector("pre.payload")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert violations(page) == []


def test_a_person_finds_an_entry_and_replays_it(
    open_browser: Callable[..., Any], records: Records
) -> None:
    page = open_browser(width=1440, height=900, scripts=False)
    page.goto(f"/s/{SITE}?lang=en")
    assert "Ledger does not balance" in page.inner_text(".conditions")
    page.click(f'nav a[href="{PAGE}"]')
    assert "Ledger does not balance" in page.inner_text("#ledger-sums")
    page.click('.reasons a[href*="reason=unknown_device"]')
    assert page.locator(".entries tbody tr").count() == 2
    page.check(".entries tbody tr:first-child input[name=entry]")
    page.click("button[value=discard]")
    assert "need a reason" in page.inner_text(".alert.told")
    page.goto(f"{PAGE}?reason=unknown_device&lang=en")
    page.check(".entries tbody tr:first-child input[name=entry]")
    page.fill("input[name=note]", "meter declared")
    page.click("button[value=replay]")
    assert "Asked for: 1 entries" in page.inner_text(".outcome")
    (request,) = records.read_quarantine_requests()
    assert (request.action, request.requested_by) == ("replay", FIRST_USERNAME)
    assert request.note == "meter declared"
    records.finish_quarantine_request(request.id, {request.entry_ids[0]: "replayed"}, _now())
    page.reload()
    assert "1 replayed" in page.inner_text(".outcome")


def test_the_window_changes_the_ledger_and_not_what_is_chosen(
    open_browser: Callable[..., Any], records: Records
) -> None:
    page = open_browser(width=1440, height=900, language="en")
    page.goto(f"{PAGE}?lang=en&range=day")
    page.wait_for_selector("#chart-intake-ledger .bars path", state="attached")
    before = page.inner_text(".equation")
    page.check(".entries tbody tr:first-child input[name=entry]")
    page.click("[data-range=week]")
    page.wait_for_function(
        "before => document.querySelector('.equation').innerText !== before", arg=before
    )
    assert page.is_checked(".entries tbody tr:first-child input[name=entry]")
