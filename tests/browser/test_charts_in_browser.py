"""Charts and their window as a person meets them: energy page, ranges, comparison, sharing."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import SITE, Board, Meters, last_day_query, open_site
from tests.browser.test_board_in_browser import violations, wait_for

Open = Callable[..., Any]
ENERGY = f"/s/{SITE}/energy"
DRAWN = (
    "() => { const cards = [...document.querySelectorAll('.charts .chartcard')];"
    " return cards.length > 0 && cards.every((card) => card.dataset.state === 'drawn'); }"
)
STROKES = (
    "document.querySelector('#chart-facility-power .js-plotly-plot').data"
    ".filter((t) => t.mode === 'lines' && !t.fill).map((t) => t.line.dash)"
)


def open_energy(page: Any, query: str = "") -> Any:
    """Go to the energy page and wait for all of its charts."""
    page.goto(f"{ENERGY}{query}")
    wait_for(page, DRAWN, 30.0)
    return page


def errors_of(page: Any) -> list[str]:
    """Errors on the console from here on."""
    found: list[str] = []
    page.on("console", lambda m: found.append(m.text) if m.type == "error" else None)
    return found


def test_from_the_list_to_a_site_to_energy_to_a_table(open_browser: Open) -> None:
    page = open_browser(sign_in="form")
    errors = errors_of(page)
    page.click(f"a.name[href='/s/{SITE}']")
    page.wait_for_selector("#chart-pue-outlook .js-line")
    page.click("#nav a[href$='/energy']")
    wait_for(page, DRAWN, 30.0)
    page.click("#chart-energy-pue .view")
    cells = page.locator("#chart-energy-pue .charttable tbody tr")
    assert cells.count() >= 6 * 24
    assert not page.is_visible("#chart-energy-pue .js-plotly-plot")
    page.click("#chart-energy-pue .view")
    assert page.is_visible("#chart-energy-pue .js-plotly-plot")
    assert errors == []


def test_a_comparison_is_drawn_without_another_page(open_browser: Open) -> None:
    page = open_energy(open_browser())
    page.evaluate("window.__mark = 1")
    assert page.evaluate(STROKES) == ["solid"]
    page.click("#history [data-range=compare]")
    wait_for(page, f"() => {STROKES}.length === 2")
    assert page.evaluate(STROKES) == ["solid", "5px,3px"]
    assert "cmp=week" in page.url
    assert page.evaluate("window.__mark") == 1
    wait_for(page, "() => document.querySelector('#tiles .change') !== null")
    assert page.evaluate("document.activeElement.dataset.range") == "compare"
    page.go_back()
    wait_for(page, f"() => {STROKES}.length === 1")
    assert "cmp" not in page.url


def test_a_window_in_the_address_is_the_same_in_a_fresh_browser(open_browser: Open) -> None:
    page = open_energy(open_browser(), "?range=week&lang=ko")
    before = page.inner_text("#window .num")
    page.click("#history [data-range=previous]")
    wait_for(
        page, "old => document.querySelector('#window .num').textContent !== old", argument=before
    )
    shown = page.inner_text("#window .num")
    page.click("[data-share]")
    wait_for(page, "() => location.search.includes('lang=ko')")
    assert page.inner_text("#said").strip()
    shared = page.url
    fresh = open_browser()
    fresh.goto(shared)
    wait_for(fresh, DRAWN, 30.0)
    assert fresh.inner_text("#window .num") == shown
    read = "document.querySelector('#chart-energy-pue .js-plotly-plot').layout.xaxis.range"
    assert fresh.evaluate(read) == page.evaluate(read)
    # The relative window leads back to where it was.
    fresh.click("#history [data-range=next]")
    wait_for(fresh, "() => location.search.includes('range=week')")


def test_keys_move_the_window(open_browser: Open) -> None:
    page = open_energy(open_browser())
    before = page.inner_text("#window .num")
    page.keyboard.press("[")
    wait_for(page, "() => location.search.includes('from=')")
    wait_for(
        page, "old => document.querySelector('#window .num').textContent !== old", argument=before
    )
    page.keyboard.press("]")
    wait_for(
        page, "old => document.querySelector('#window .num').textContent === old", argument=before
    )


def test_an_address_may_open_every_chart_as_a_table(open_browser: Open) -> None:
    page = open_energy(open_browser(), "?view=table&lang=en")
    assert (
        page.locator(".charttable:visible").count()
        == page.locator(".chartcard").count() - page.locator(".skeleton").count()
    )
    assert not re.search(r"[\uac00-\ud7a3]", page.inner_text("main"))
    page.click("#chart-energy-pue .view")
    assert page.is_visible("#chart-energy-pue .js-plotly-plot")


def test_a_window_that_cannot_be_shown_is_said(open_browser: Open) -> None:
    page = open_browser()
    page.goto(f"{ENERGY}?from=2026-99-99&to=x")
    assert "기본 기간을 보입니다" in page.inner_text("main .alert:visible")


def test_brightness_reaches_every_chart(open_browser: Open) -> None:
    page = open_energy(open_browser())
    read = (
        "[...document.querySelectorAll('.chartcard .js-plotly-plot')]"
        ".map((plot) => plot.layout.font.color)"
    )
    assert set(page.evaluate(read)) == {"#5d6974"}
    page.click(".top [data-theme-choice=dark]")
    wait_for(page, f"() => {read}.every((colour) => colour === '#98a3ae')")


def test_a_killed_server_keeps_the_pictures_and_comes_back(
    open_browser: Open, board: Board, meters: Meters
) -> None:
    page = open_energy(open_browser())
    page.wait_for_selector("#conn[data-conn=live]", state="attached")
    page.evaluate("window.__mark = 1")
    board.kill()
    try:
        page.wait_for_selector("#lost:not([hidden])", timeout=10_000)
        assert page.is_visible("#chart-energy-pue .js-line")
        opacity = page.locator("#chart-energy-pue .chart").evaluate(
            "e => getComputedStyle(e).opacity"
        )
        assert opacity == "0.5"
    finally:
        board.start()
    page.wait_for_selector("#lost", state="hidden", timeout=10_000)
    wait_for(page, DRAWN, 10.0)
    assert page.evaluate("window.__mark") == 1


def test_the_first_paint_holds_the_window_before_any_script(open_browser: Open) -> None:
    page = open_browser(scripts=False)
    page.goto(ENERGY)
    assert page.inner_text("#tiles .tile >> nth=0").startswith("PUE")
    assert page.locator(".skeleton").count() == 8
    heights = [
        box["height"] for box in (one.bounding_box() for one in page.locator(".skeleton").all())
    ]
    scripted = open_energy(open_browser())
    for skeleton, card in zip(heights, scripted.locator(".charts .chartcard").all(), strict=True):
        assert abs(card.bounding_box()["height"] - skeleton) <= 24


def test_the_second_click_of_evidence_shows_stored_intervals(open_browser: Open) -> None:
    page = open_site(open_browser(), chart=False)
    page.click("#card-pue [data-evidence]")
    page.click("#evidence [data-points] >> nth=0")
    page.wait_for_selector("#evidence .points tbody tr")
    assert page.locator("#evidence .points tbody tr").count() <= 96
    assert page.get_attribute("#evidence .points a", "href").startswith("/api/v1/sites/")


@pytest.mark.parametrize("width", [1440, 1024, 768, 390, 320])
def test_nothing_runs_over_on_the_energy_page(open_browser: Open, width: int) -> None:
    page = open_browser(width=width, height=844)
    for language in ("ko", "en"):
        open_energy(page, f"?lang={language}&cmp=week")
        sideways = page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert sideways <= 0


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_axe_finds_nothing_on_the_energy_page(open_browser: Open, width: int, theme: str) -> None:
    page = open_energy(open_browser(width=width, height=900, theme=theme), "?cmp=week")
    assert violations(page) == []
    page.click("#chart-energy-pue .view")
    page.click("#tiles [data-evidence] >> nth=0")
    page.wait_for_selector("#evidence[open] h2")
    assert violations(page) == []


def test_the_last_day_is_drawn_by_quarters(open_browser: Open) -> None:
    page = open_site(open_browser(), query=f"?{last_day_query()}")
    count = page.evaluate(
        "document.querySelector('#chart-power .js-plotly-plot').data.at(-1).x.length"
    )
    assert 90 <= count <= 100


def test_a_chart_that_cannot_be_read_keeps_its_picture_and_tries_again(open_browser: Open) -> None:
    page = open_energy(open_browser())
    page.evaluate(
        "window.dash_clientside.set_props({ chart: 'energy-pue', part: 'answer' },"
        " { data: { fault: true } })"
    )
    page.wait_for_selector("#chart-energy-pue[data-state=fault] .alert:not([hidden])")
    told = page.inner_text("#chart-energy-pue .alert")
    assert re.search(r"불러오지 못했습니다 \(\d\d:\d\d 화면\)", told)
    assert page.is_visible("#chart-energy-pue .js-line")
    page.click("#chart-energy-pue .alert button")
    page.wait_for_selector("#chart-energy-pue[data-state=drawn]")
    assert not page.is_visible("#chart-energy-pue .alert")
