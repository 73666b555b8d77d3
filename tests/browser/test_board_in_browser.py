"""The board as a person meets it: real stores, a real server, Chromium."""

from __future__ import annotations

import csv
import io
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from core.text import Language
from dashboard.card_words import age_state, age_words
from dashboard.formats import format_duration
from dashboard.words import load_words
from tests.browser.conftest import (
    SITE,
    Board,
    Meters,
    fill_in,
    last_day_query,
    open_site,
)
from tests.conftest import REPOSITORY

Open = Callable[..., Any]


def number(text: str) -> float:
    return float(text.replace(",", "").replace("−", "-"))


def facility(page: Any) -> str:
    return str(page.text_content("#card-facility .value"))


def wait_for(page: Any, expression: str, seconds: float = 15.0, argument: Any = None) -> None:
    page.wait_for_function(expression, arg=argument, timeout=seconds * 1000)


# ------------------------------------------------------------ sign-in


def test_sign_in_wrong_then_right(open_browser: Open, board: Board) -> None:
    page = open_browser(sign_in=False)
    page.goto(f"/s/{SITE}?lang=en")
    assert "/login?next=" in page.url
    fill_in(page, "admin", "wrong")
    assert "User name or password is wrong" in page.inner_text("[role=alert]")
    assert page.input_value("#password") == ""
    fill_in(page, "admin", board.password)
    page.wait_for_url(f"**/s/{SITE}?lang=en")
    assert page.inner_text("h1") == "Overview"
    page.go_back()
    page.goto("/")
    page.click(".person button")
    page.wait_for_url("**/login")
    page.goto(f"/s/{SITE}")
    assert "/login" in page.url


def test_the_list_leads_to_a_site_by_keyboard(open_browser: Open) -> None:
    page = open_browser()
    page.goto("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    # The switches of the list come first, then its findings; the first site is not far.
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('.compare-table a.name')"):
            break
    page.keyboard.press("Enter")
    page.wait_for_url("**/s/*")


# ------------------------------------------------------------ first paint and live values


def test_the_first_paint_needs_no_script(open_browser: Open) -> None:
    page = open_browser(scripts=False)
    page.goto(f"/s/{SITE}")
    assert number(facility(page)) == pytest.approx(25_858, rel=0.07)
    assert page.inner_text("#card-facility .src") == "모의"
    assert page.locator("#card-pue .value").inner_text() == "1.268"
    assert "스크립트가 꺼져" in page.inner_text("noscript, .alert >> nth=-1")


def test_a_value_changes_without_a_reload(open_browser: Open, meters: Meters) -> None:
    page = open_site(open_browser())
    page.evaluate("window.__mark = 1")
    before = number(facility(page))
    meters.scale = 1.2
    wait_for(
        page,
        "least => Number(document.querySelector('#card-facility .value').textContent"
        ".replaceAll(',', '')) > least",
        argument=before * 1.15,
    )
    assert page.evaluate("window.__mark") == 1
    assert page.get_attribute("#conn", "data-conn") == "live"


def test_a_missing_meter_is_named_within_seconds(open_browser: Open, meters: Meters) -> None:
    page = open_site(open_browser())
    meters.silent_devices = ("pdu-2a",)
    wait_for(page, "() => document.querySelector('#card-it').textContent.includes('pdu-2a')", 25.0)
    assert "불완전" in page.inner_text("#card-it")
    assert page.get_attribute("#card-it", "data-state") == "normal"


def test_values_grow_late_then_stale_then_come_back(open_browser: Open, meters: Meters) -> None:
    page = open_site(open_browser())
    meters.is_silent = True
    page.wait_for_selector("#card-facility[data-state=late]")
    assert "지연" in page.inner_text("#card-facility .age")
    assert page.is_visible("#card-facility .value")
    page.wait_for_selector("#card-facility[data-state=stale]")
    assert "수신 끊김" in page.inner_text("#card-facility .age")
    assert page.inner_text("#card-facility .live b").strip() == "—"
    assert page.is_visible("#card-facility .last")
    assert "마지막 값" in page.inner_text("#card-facility .last")
    # Today's figures rest on intervals: they are not late yet.
    assert page.get_attribute("#card-pue", "data-state") == "normal"
    meters.is_silent = False
    page.wait_for_selector("#card-facility[data-state=normal]")
    assert page.is_visible("#card-facility .value")


def test_a_killed_server_is_seen_and_comes_back(
    open_browser: Open, board: Board, meters: Meters
) -> None:
    page = open_site(open_browser())
    page.wait_for_selector("#conn[data-conn=live]")
    page.evaluate("window.__mark = 1")
    board.kill()
    try:
        page.wait_for_selector("#lost:not([hidden])", timeout=10_000)
        first = page.inner_text("#lost .since")
        assert re.fullmatch(r"\d+초", first)
        # The cards grow late by the browser's own clock.
        page.wait_for_selector("#card-facility[data-state=late]", timeout=10_000)
        page.wait_for_selector("#card-facility[data-state=stale]", timeout=15_000)
        assert page.inner_text("#lost .since") != first
        assert page.inner_text("#conn") == "연결 끊김"
    finally:
        meters.scale = 1.3
        board.start()
    back = time.monotonic()
    page.wait_for_selector("#lost", state="hidden", timeout=10_000)
    page.wait_for_selector("#card-facility[data-state=normal]", timeout=10_000)
    assert time.monotonic() - back < 10.0
    assert page.evaluate("window.__mark") == 1
    wait_for(
        page,
        "() => Number(document.querySelector('#card-facility .value').textContent"
        ".replaceAll(',', '')) > 30000",
    )
    assert page.get_attribute("#conn", "data-conn") == "live"


def test_the_seventh_tab_lives_like_the_first(open_browser: Open, meters: Meters) -> None:
    first = open_site(open_browser(), chart=False)
    tabs = [first.context.new_page() for _ in range(8)]
    for tab in tabs:
        tab.goto(f"/s/{SITE}", timeout=15_000)
    for tab in tabs:
        tab.wait_for_selector("#conn[data-conn=live]", state="attached", timeout=15_000)
    meters.scale = 0.5
    wait_for(
        tabs[-1],
        "() => Number(document.querySelector('#card-facility .value').textContent"
        ".replaceAll(',', '')) < 20000",
    )


def test_an_ended_session_is_said(open_browser: Open) -> None:
    page = open_site(open_browser(sign_in="form"))
    page.wait_for_selector("#conn[data-conn=live]")
    other = page.context.new_page()
    other.goto("/")
    other.click(".person button")
    other.wait_for_url("**/login")
    page.wait_for_selector("#lost[data-kind=over]:not([hidden])", timeout=15_000)
    assert page.is_visible("#lost a.over")


# ------------------------------------------------------------ language, brightness


def test_language_switch(open_browser: Open) -> None:
    page = open_site(open_browser())
    assert page.inner_text("#chart-power-title") == "설비와 IT 전력"
    page.click(".top a[hreflang=en]")
    page.wait_for_selector("#chart-power .js-line")
    assert page.get_attribute("html", "lang") == "en"
    assert page.inner_text("#card-facility h2") == "Power now"
    assert page.inner_text("#chart-power-title") == "Facility and IT power"
    shown = page.inner_text("main")
    assert not re.search(r"[\uac00-\ud7a3]", shown), shown
    fresh = open_browser()
    open_site(fresh, query="?lang=en")
    assert fresh.inner_text("#card-rain h2") == "Rain tank"


def test_brightness_switch_without_a_reload(open_browser: Open) -> None:
    page = open_site(open_browser())
    page.evaluate("window.__mark = 1")
    line = "#chart-power .scatterlayer .js-line"

    def stroke() -> str:
        return str(page.locator(line).last.evaluate("e => getComputedStyle(e).stroke"))

    light = stroke()
    page.click(".top [data-theme-choice=dark]")
    wait_for(
        page,
        "light => getComputedStyle([...document.querySelectorAll("
        "'#chart-power .scatterlayer .js-line')].at(-1)).stroke !== light",
        argument=light,
    )
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 25, 29)"
    assert page.evaluate("window.__mark") == 1
    page.reload()
    assert page.get_attribute("html", "data-theme") == "dark"
    page.click(".top [data-theme-choice=dark]")
    assert page.get_attribute("html", "data-theme") is None
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(236, 238, 240)"


def test_brightness_follows_the_system(open_browser: Open) -> None:
    page = open_site(open_browser(theme="dark"))
    stroke = page.locator("#chart-power .scatterlayer .js-line").last.evaluate(
        "e => getComputedStyle(e).stroke"
    )
    assert stroke == "rgb(132, 146, 160)"
    page.emulate_media(color_scheme="light")
    wait_for(
        page,
        "() => getComputedStyle([...document.querySelectorAll("
        "'#chart-power .scatterlayer .js-line')].at(-1)).stroke === 'rgb(101, 115, 128)'",
    )


# ------------------------------------------------------------ the chart


def test_the_chart_and_its_table_and_its_file_say_the_same(open_browser: Open) -> None:
    page = open_site(open_browser(), query=f"?{last_day_query()}")
    drawn = page.evaluate(
        "document.querySelector('#chart-power .js-plotly-plot').data"
        ".filter(t => t.mode === 'lines' && !t.fill).map(t => t.y)"
    )
    label = page.get_attribute("#chart-power .chart", "aria-label")
    assert label.startswith("설비: 평균 ")
    assert "수신이 없는 구간 1곳" in label
    page.click("#chart-power .view")
    assert page.inner_text("#chart-power .view") == "그림으로 보기"
    assert not page.is_visible("#chart-power .chart")
    cells = page.eval_on_selector_all(
        "#chart-power .charttable tbody tr",
        "rows => rows.map(r => [...r.cells].map(c => c.textContent))",
    )
    assert len(cells) == 96
    # The window reaches a little into what is not there yet: drawn as nothing, in no table.
    assert {value for line in drawn for value in line[96:]} <= {None}
    drawn = [line[:96] for line in drawn]
    for column in (1, 2):
        for row, value in zip(cells, drawn[column - 1], strict=True):
            assert row[column].split(" (")[0] == ("—" if value is None else f"{value:,.0f}")
    assert sum(value is None for value in drawn[0]) >= 3
    with page.expect_download() as download:
        page.click("#chart-power .csv")
    text = download.value.path().read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["facility_power_kw"] == "" for row in rows] == [v is None for v in drawn[0]]
    page.click("#chart-power .view")
    assert page.is_visible("#chart-power .chart")


def test_the_chart_has_height_a_gap_and_no_way_out(open_browser: Open) -> None:
    page = open_site(open_browser(), query=f"?{last_day_query()}")
    assert page.locator("#chart-power .main-svg").first.bounding_box()["height"] > 250
    page.hover("#chart-power .chart", position={"x": 200, "y": 120})
    shown = page.inner_text("body")
    titles = page.eval_on_selector_all("[data-title]", "all => all.map(e => e.dataset.title)")
    for word in ("Share chart", "Upload", "Edit in", "Produced with"):
        assert word not in shown
        assert word not in " ".join(titles)
    assert page.locator(".modebar-btn").count() == 0
    assert page.locator("input[type=file]").count() == 0
    names = page.evaluate(
        "document.querySelector('#chart-power .js-plotly-plot').data.map(t => t.name)"
    )
    assert "수신 없음" in names


def test_the_line_of_the_present_is_at_the_present(open_browser: Open) -> None:
    page = open_site(open_browser())
    drawn = page.evaluate(
        "document.querySelector('#chart-power .js-plotly-plot').layout.shapes.at(-1).x0"
    )
    clock = page.inner_text("#clock")
    minutes = [int(part) for part in re.findall(r"(\d\d):(\d\d):\d\d", clock)[0]]
    line = [int(part) for part in re.findall(r"T(\d\d):(\d\d)", drawn)[0]]
    apart = (minutes[0] * 60 + minutes[1]) - (line[0] * 60 + line[1])
    assert apart % (24 * 60) <= 2


# ------------------------------------------------------------ evidence


@pytest.mark.parametrize("card", ["pue", "facility", "it", "wue", "ref", "rain", "solar"])
def test_evidence_opens_holds_the_focus_and_gives_it_back(open_browser: Open, card: str) -> None:
    page = open_site(open_browser(), chart=False)
    page.focus(f"#card-{card} [data-evidence]")
    page.keyboard.press("Enter")
    page.wait_for_selector("#evidence[open] h2")
    wait_for(page, "() => document.activeElement.id === 'evidence-title'")
    for _ in range(8):
        page.keyboard.press("Tab")
        inside = page.evaluate(
            "document.querySelector('#evidence').contains(document.activeElement)"
            " || document.activeElement === document.body"
        )
        assert inside
    page.keyboard.press("Escape")
    assert not page.is_visible("#evidence")
    assert page.evaluate("document.activeElement.dataset.evidence") == card


def test_evidence_of_pue_holds_the_sums(open_browser: Open) -> None:
    page = open_site(open_browser(), chart=False)
    page.click("#card-pue [data-evidence]")
    page.wait_for_selector("#evidence[open] .formula")
    formula = page.inner_text("#evidence .formula")
    upper, lower, result = (number(part) for part in re.findall(r"[\d,]+\.?\d*", formula)[:3])
    assert upper / lower == pytest.approx(result, abs=6e-4)
    assert page.inner_text("#card-pue .value") == f"{result:.3f}"
    page.click("#evidence [data-close]")
    assert not page.is_visible("#evidence")


# ------------------------------------------------------------ one rule in two languages


@pytest.mark.parametrize("language", ["ko", "en"])
def test_browser_and_server_tell_ages_alike(open_browser: Open, language: Language) -> None:
    page = open_site(open_browser(), query=f"?lang={language}", chart=False)
    words = load_words()[language]
    seconds = [0, 0.9, 8, 59.9, 60, 119, 3_599, 3_600, 23_520, 86_399, 86_400, 270_000, -4]
    told = page.evaluate(
        """async ([seconds, now]) => {
          const source = document.querySelector('script[type=module]').src;
          const ages = await import(source.replace('board.js', 'ages.js'));
          const words = JSON.parse(document.getElementById('page-data').textContent).words;
          return seconds.map((s) => {
            const state = ages.ageState(now - s * 1000, 20000, 50000, now);
            return [ages.durationWords(s, words), state,
              ages.ageWords(state, now - s * 1000, now, words)];
          });
        }""",
        [seconds, 1_000_000_000],
    )
    for value, (duration, state, age) in zip(seconds, told, strict=True):
        time_ms = 1_000_000_000 - round(value * 1000)
        known = age_state(time_ms, 20_000, 50_000, 1_000_000_000)
        assert duration == format_duration(value, words)
        assert state == known.value
        assert age == age_words(known, time_ms, 1_000_000_000, words)


# ------------------------------------------------------------ form


@pytest.mark.parametrize("width", [1440, 1024, 768, 390, 320])
@pytest.mark.parametrize("language", ["ko", "en"])
def test_nothing_runs_over(open_browser: Open, width: int, language: str) -> None:
    page = open_browser(width=width, height=844)
    for path in (f"/s/{SITE}", "/s/naver-gak-sejong", "/", "/nothing"):
        page.goto(f"{path}?lang={language}")
        if path == f"/s/{SITE}":
            page.wait_for_selector("#chart-power .js-line")
        sideways = page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert sideways <= 0, path
        spilled = page.evaluate(
            """() => [...document.querySelectorAll('.card, .top, .simbar, .head, table, .kv')]
              .filter((e) => e.offsetParent && !e.closest('.charttable, .vh'))
              .filter((e) => e.scrollWidth > e.clientWidth + 1)
              .map((e) => `${e.id || e.className} ${e.scrollWidth} > ${e.clientWidth}`)"""
        )
        assert spilled == [], path


@pytest.mark.parametrize("language", ["ko", "en"])
def test_the_first_screen_holds_what_matters_first(open_browser: Open, language: str) -> None:
    page = open_site(open_browser(), query=f"?lang={language}")
    for card in ("#card-pue", "#card-conditions", "#chart-pue-outlook", "#card-facility"):
        box = page.locator(card).bounding_box()
        assert box["y"] + box["height"] <= 900, card


@pytest.mark.parametrize(("width", "least"), [(1440, 24), (390, 36)])
def test_whatever_is_touched_is_large_enough(open_browser: Open, width: int, least: int) -> None:
    page = open_browser(width=width, height=844)
    open_site(page)
    if width == 390:
        page.click(".menu")
    small = page.evaluate(
        """(least) => [...document.querySelectorAll('main button, header button, header a,'
            + ' header summary, nav a, nav button, main a, input:not([type=hidden])')]
          .filter((e) => e.offsetParent)
          .map((e) => [e.textContent.trim().slice(0, 20), e.getBoundingClientRect()])
          .filter(([_, box]) => box.height < least || box.width < 24)
          .map(([text, box]) => `${text} ${box.width}x${box.height}`)""",
        least,
    )
    assert small == []


def test_the_menu_of_a_phone(open_browser: Open) -> None:
    page = open_site(open_browser(width=390, height=844), chart=False)
    assert not page.is_visible("#nav")
    page.click(".menu")
    assert page.get_attribute(".menu", "aria-expanded") == "true"
    assert page.is_visible("#nav a[aria-current=page]")
    assert page.is_visible("#nav [data-theme-choice=dark]")
    page.keyboard.press("Escape")
    assert not page.is_visible("#nav")
    assert page.evaluate("document.activeElement.className") == "menu"


def test_hangul_is_set_in_the_boards_own_font(open_browser: Open) -> None:
    page = open_site(open_browser(), chart=False)
    page.evaluate("document.fonts.ready")
    loaded = page.evaluate(
        "[...document.fonts].filter(f => f.status === 'loaded').map(f => f.family)"
    )
    assert "Pretendard Variable" in " ".join(loaded)


def test_the_page_is_light_to_load(open_browser: Open) -> None:
    page = open_browser()
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    received: list[float] = []
    session.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
    open_site(page)
    page.wait_for_load_state("load")
    assert 300_000 < sum(received) < 1_400_000


# ------------------------------------------------------------ accessibility

_AXE = REPOSITORY / "dashboard" / "build" / "axe" / "axe.min.js"
_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def violations(page: Any) -> list[str]:
    page.evaluate(_AXE.read_text(encoding="utf-8"))
    found = page.evaluate("tags => axe.run(document, {runOnly: tags})", _TAGS)
    return [
        f"{one['id']}: {node['target']} {node['failureSummary']}"
        for one in found["violations"]
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_axe_finds_nothing(open_browser: Open, meters: Meters, theme: str, width: int) -> None:
    page = open_browser(width=width, height=900, theme=theme)
    page.goto("/")
    assert violations(page) == []
    open_site(page)
    page.wait_for_selector("#conn[data-conn=live]", state="attached")
    assert violations(page) == []
    page.click("#chart-power .view")
    assert violations(page) == []
    page.click("#card-it [data-evidence]")
    page.wait_for_selector("#evidence[open] h2")
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.goto("/nothing")
    assert violations(page) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_at_the_door(open_browser: Open, theme: str) -> None:
    page = open_browser(sign_in=False, theme=theme)
    page.goto("/login?lang=en")
    assert violations(page) == []
    fill_in(page, "admin", "wrong")
    assert violations(page) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_when_things_go_wrong(
    open_browser: Open, meters: Meters, theme: str
) -> None:
    page = open_site(open_browser(theme=theme))
    meters.is_silent = True
    page.wait_for_selector("#card-facility[data-state=late]")
    assert violations(page) == []
    page.wait_for_selector("#card-facility[data-state=stale]")
    page.evaluate("document.getElementById('lost').hidden = false")
    assert violations(page) == []
