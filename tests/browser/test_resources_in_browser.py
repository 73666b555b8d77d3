"""Water and rain, solar and accelerators as a person meets them: real store, server, Chromium."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import SITE, Meters, last_day_query
from tests.browser.test_board_in_browser import number, violations, wait_for

Open = Callable[..., Any]
PAGES = ("water", "solar", "accelerators")
FIRST_CHART = {
    "water": "chart-water-tank",
    "solar": "chart-solar-arrays",
    "accelerators": "chart-accelerator-energy",
}


def last_day(**more: str) -> str:
    """The query of the last 24 hours, whatever the time of day."""
    return "&".join([f"?{last_day_query()}", *(f"{name}={value}" for name, value in more.items())])


def open_page(page: Any, name: str, query: str = "", site: str = SITE) -> Any:
    page.goto(f"/s/{site}/{name}{query or last_day()}")
    page.wait_for_selector(f"#{FIRST_CHART[name]} .main-svg")
    return page


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(open_browser: Open, meters: Meters, name: str, theme: str) -> None:
    page = open_page(open_browser(theme=theme), name)
    assert violations(page) == []
    page.click("#figures [data-evidence] >> nth=0")
    page.wait_for_selector("#evidence[open] h2")
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.set_viewport_size({"width": 390, "height": 844})
    assert violations(page) == []


@pytest.mark.parametrize("width", [1440, 1024, 768, 390, 320])
@pytest.mark.parametrize("language", ["ko", "en"])
def test_nothing_runs_over(open_browser: Open, width: int, language: str) -> None:
    page = open_browser(width=width, height=844)
    for site in (SITE, "naver-gak-sejong"):
        for name in PAGES:
            open_page(page, name, last_day(lang=language), site)
            sideways = page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            assert sideways <= 0, (site, name)
            spilled = page.evaluate(
                """() => [...document.querySelectorAll(
                    '.card, .head, table, .kv, .flow, .slice, .history, .flow p')]
                  .filter((e) => e.offsetParent && !e.closest('.charttable, .vh'))
                  .filter((e) => e.scrollWidth > e.clientWidth + 1)
                  .map((e) => `${e.id || e.className} ${e.scrollWidth} > ${e.clientWidth}`)"""
            )
            assert spilled == [], (site, name)


def test_the_flow_is_drawn_to_scale_and_its_words_are_not_scaled(open_browser: Open) -> None:
    for width, kind, least in ((1440, "wide", 12), (390, "narrow", 12)):
        page = open_page(open_browser(width=width, height=900), "water")
        bars = page.eval_on_selector_all(
            f".flow.{kind} .bars:last-of-type rect",
            "all => all.map(e => e.getBoundingClientRect().height)",
        )
        words = page.eval_on_selector_all(
            f".flow.{kind} .to p",
            """all => all.map(e => [e.querySelector('b').textContent,
              e.querySelector('span').textContent,
              parseFloat(getComputedStyle(e).fontSize), e.getBoundingClientRect()])""",
        )
        assert all(size >= least for _, _, size, _ in words)
        amounts = [number(text.split(" · ")[0]) for _, text, _, _ in words]
        assert len(bars) >= 2
        factor = max(bars) / max(amounts)
        for bar, amount in zip(bars, amounts, strict=True):
            assert bar == pytest.approx(amount * factor, abs=max(2.1, 0.06 * factor))
        tops = [box["y"] for _, _, _, box in words]
        feet = [box["y"] + box["height"] for _, _, _, box in words]
        assert all(foot <= top + 0.5 for foot, top in zip(feet, tops[1:], strict=False))


@pytest.mark.parametrize("name", PAGES)
def test_picture_table_and_file_say_the_same(open_browser: Open, name: str) -> None:
    page = open_page(open_browser(), name)
    card = f"#{FIRST_CHART[name]}"
    assert page.get_attribute(f"{card} [role=img]", "aria-label").strip()
    page.click(f"{card} button.quiet >> nth=0")
    page.wait_for_selector(f"{card} table")
    shown = page.eval_on_selector_all(
        f"{card} tbody tr", "rows => rows.map(r => [...r.cells].map(c => c.textContent))"
    )
    with page.expect_download() as download:
        page.click(f"{card} a[href*='.csv']")
    text = download.value.path().read_text(encoding="utf-8-sig")
    rows = list(csv.reader(io.StringIO(text)))[1:]
    assert len(rows) == len(shown) > 0
    for told, kept in zip(shown, rows, strict=True):
        for place, cell in enumerate(told[1:]):
            value = kept[2 + 2 * place]
            if cell == "—":
                assert value == ""
            else:
                assert number(re.sub(r" \(.*\)", "", cell)) == pytest.approx(
                    float(value), abs=0.051
                )


def test_the_live_card_changes_without_a_reload(open_browser: Open, meters: Meters) -> None:
    page = open_page(open_browser(), "solar")
    page.evaluate("window.__mark = 1")
    before = number(str(page.text_content("#card-solar .value")))
    meters.scale = 1.3
    wait_for(
        page,
        "least => Number(document.querySelector('#card-solar .value').textContent"
        ".replaceAll(',', '')) > least",
        argument=before * 1.2,
    )
    assert page.evaluate("window.__mark") == 1
    meters.silent_devices = ("pv-facade-west",)
    wait_for(page, "() => document.querySelector('#card-solar').textContent.includes('west')", 25.0)


def test_another_window_changes_figures_and_evidence_with_it(open_browser: Open) -> None:
    page = open_page(open_browser(), "water")
    page.evaluate("window.__mark = 1")
    day = page.inner_text("#figures .asof")
    page.click("#history [data-range=month]")
    wait_for(page, "day => document.querySelector('#figures .asof').textContent !== day", 15.0, day)
    assert "range=month" in page.url
    assert page.evaluate("window.__mark") == 1
    # Two days of history are no month: no figure, and why.
    assert page.inner_text("#card-water_total .kv b").startswith("—")
    assert "수집률" in page.inner_text("#card-water_total")
    page.click("#card-water_total [data-evidence]")
    page.wait_for_selector("#evidence[open] .facts")
    said = page.inner_text("#evidence")
    assert page.inner_text("#figures .asof").split("부터")[0].split("값은 ")[1] in said


def test_without_scripts_the_figures_are_there(open_browser: Open) -> None:
    page = open_browser(scripts=False)
    for name in PAGES:
        page.goto(f"/s/{SITE}/{name}{last_day()}")
        assert page.locator("#figures .kv .num").count() >= 2
    page.goto(f"/s/{SITE}/water{last_day()}")
    assert page.locator(".flow.wide .to p").count() >= 5
