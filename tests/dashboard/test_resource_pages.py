"""The pages of water and rain, solar and accelerators: numbers, absences, people, evidence."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from core.clock import FakeClock
from core.errors import StoreUnavailableError
from core.site_files import build_registry
from core.sites import Site, SiteRegistry
from dashboard import accelerator_views, solar_views, water_views
from dashboard.history import parse_history
from dashboard.resource_pages import CARDS, PAGES
from dashboard.resource_reads import FigureReads, Figures
from dashboard.settings import BoardSettings
from dashboard.words import load_words
from tests.dashboard.conftest import NOW, PEOPLE, sign_in
from tests.dashboard.fakes import LiveStore
from tests.dashboard.resource_kpis import ResourceKpis

SITE = "kakao-ansan"
NAMES = [page.name for page in PAGES]
BARE = """
schema = 1
id = "bare"
name = { ko = "맨 사업장", en = "Bare site" }
operator = "X"
status = "operating"
data = "measured"
zone = "Asia/Seoul"
location = { latitude = 37.0, longitude = 127.0 }
late_window_days = 35
pue_category = 2

[[devices]]
id = "grid-a"
family = "energy"
role = "grid_feed"
metrics = ["active_power_kw", "active_energy_kwh"]
cadence_s = 10
valid_from = 2026-01-01
"""


@pytest.fixture
def figures() -> ResourceKpis:
    return ResourceKpis()


@pytest.fixture
def resource_app(make_app: Callable[..., FastAPI], figures: ResourceKpis) -> FastAPI:
    return make_app(compute_kpis=figures)


@pytest.fixture
def client(resource_app: FastAPI) -> Iterator[TestClient]:
    with TestClient(resource_app, base_url="http://board.test", follow_redirects=False) as browser:
        yield sign_in(browser, "admin")


def read_view(
    build: Callable[..., Any], ask: Any, site: Site, figures: ResourceKpis, language: Any = "ko"
) -> Any:
    history = parse_history({"range": "month"}, site.zone, NOW)
    reads = FigureReads(None, None, BoardSettings(), FakeClock(NOW), figures)  # type: ignore[arg-type]
    found = reads.get(site, ask, history).figures
    assert found is not None
    return build(site, history, found, load_words()[language])


def water(site: Site, figures: ResourceKpis, language: Any = "ko") -> water_views.WaterView:
    view: water_views.WaterView = read_view(
        water_views.water_view, water_views.ASK, site, figures, language
    )
    return view


@pytest.fixture
def ansan(registry: SiteRegistry) -> Site:
    return registry.site(SITE)


# ------------------------------------------------------------ water


def test_the_flow_prints_the_numbers_of_the_table(ansan: Site, figures: ResourceKpis) -> None:
    view = water(ansan, figures)
    assert view.balance is not None
    assert view.balance.wide is not None
    assert view.balance.narrow is not None
    printed = {label.name: label.amount for label in view.balance.wide.right}
    assert printed == {
        "사용 · 상수 몫": "16.0",
        "사용 · 빗물 몫": "231.7",
        "저장 증가": "107.3",
        "월류": "23.8",
        "배수": "6.2",
        "설명 안 됨": "3.9",
    }
    assert [label.amount for label in view.balance.narrow.right] == list(printed.values())
    rows = {row.name: row.amount for row in view.balance.rows}
    assert rows["빗물 집수"] == "372.9"
    assert rows["상수 보충"] == "16.0"
    assert rows["빗물계통 공급"] == "247.7"
    assert rows["저장 변화"] == "107.3"
    assert view.balance.came_in.endswith("388.9 m³")
    assert view.balance.went_out.endswith("388.9 m³")
    assert view.balance.closure == "설명 안 됨 +3.9 m³ (들어온 물의 1.0 %)"
    assert view.reused is not None
    assert view.reused.figures[0].value == printed["사용 · 빗물 몫"]
    assert view.reused.figures[0].notes == ("공급 247.7 − 상수 보충 16.0",)


def test_the_share_is_true_and_its_magnification_printed(
    ansan: Site, figures: ResourceKpis
) -> None:
    view = water(ansan, figures)
    assert view.share is not None
    magnified = view.share.magnified
    assert magnified is not None
    assert magnified.width == pytest.approx(100 * 231.7 / 9_963.1, abs=1e-3)
    assert magnified.start + magnified.width == pytest.approx(100.0)
    assert magnified.factor == "이 조각을 43배로 늘린 것"
    assert magnified.slice == "빗물 231.7 m³ · 2.3 %"
    assert sum(part.width for part in view.share.parts) == pytest.approx(100.0, abs=0.11)
    facts = dict(view.share.facts)
    assert facts["집수효율"] == "80.2 %"
    assert facts["유출계수(선언)"] == "0.85"
    assert facts["강수량 × 집수면적"] == "77.5 mm × 6,000 m²"
    assert "16.0 m³는 빗물로 세지 않습니다" in view.share.note


def test_a_refused_balance_has_no_picture_and_says_why(ansan: Site, figures: ResourceKpis) -> None:
    figures.refused["rain_unexplained"] = (
        "rain-tank/tank_level_m is covered for 61.0 % of the period; any figure needs 80%"
    )
    view = water(ansan, figures)
    assert view.balance is not None
    assert view.balance.wide is None
    assert "rain-tank" in view.balance.why_not
    assert {row.amount for row in view.balance.rows} == {"—"}


def test_more_top_up_than_delivery_is_no_share(ansan: Site, figures: ResourceKpis) -> None:
    figures.changed[("rain_reuse_ratio", "site")] = (
        -0.001,
        {"rain_reused_m3": -10.0, "total_water_m3": 9_000.0},
    )
    view = water(ansan, figures)
    assert view.share is not None
    assert view.share.magnified is None


def test_room_below_the_daily_limit(figures: ResourceKpis, registry: SiteRegistry) -> None:
    from dataclasses import replace

    site = replace(registry.site(SITE), daily_water_limit_m3=12_000.0)
    view = water(site, figures)
    assert view.limit is not None
    assert view.limit.today == ("오늘", "9,731.4")
    facts = dict(view.limit.facts)
    assert facts["한도까지 여유"] == "2,268.6 m³ (18.9 %)"
    assert facts["한도를 넘은 날"] == "30일 가운데 0일"
    without = water(registry.site(SITE), figures)
    assert without.limit is not None
    assert without.limit.bar is None
    assert "선언되지 않은" in without.limit.card.subtitle


def test_a_site_without_rain_or_water(figures: ResourceKpis) -> None:
    (bare,) = build_registry({"bare": BARE})
    view = water(bare, figures, "en")
    assert view.total is view.balance is view.share is view.wue is view.limit is None
    assert len(view.missing) == 2
    assert "does not mean that it uses no rain" in view.missing[1]


# ------------------------------------------------------------ solar


def test_arrays_against_what_the_irradiance_led_to_expect(
    ansan: Site, figures: ResourceKpis
) -> None:
    view = read_view(solar_views.solar_view, solar_views.ASK, ansan, figures)
    roof, south, west = view.arrays
    assert (roof.energy, roof.expected, roof.ratio) == ("6,000.0 kWh", "7,200.0 kWh", "0.833")
    assert roof.bar.filled == pytest.approx(83.3)
    assert roof.bar.mark == 100.0
    # One scale for all of them.
    assert south.bar.mark == pytest.approx(100 * 6_100 / 7_200, abs=0.06)
    assert west.certificates == "인증 판매"
    assert [part.share for part in view.magnified.parts] == ["50.0 %", "41.7 %", "8.3 %"]
    assert view.magnified.factor == "이 조각을 208배로 늘린 것"
    assert view.use.figures[1].value == "0.48"


def test_an_array_without_its_ratio_says_why(ansan: Site, figures: ResourceKpis) -> None:
    figures.refused["pv_performance_ratio"] = (
        "pv-roof-south/poa_irradiance_w_per_m2 is covered for 10.0 % of the period"
    )
    view = read_view(solar_views.solar_view, solar_views.ASK, ansan, figures)
    assert view.arrays[0].ratio == view.arrays[0].expected == "—"
    assert view.arrays[0].bar.mark is None
    assert "pv-roof-south" in view.arrays[0].why


# ------------------------------------------------------------ accelerators


def test_kinds_groups_and_the_other_side(ansan: Site, figures: ResourceKpis) -> None:
    view = read_view(accelerator_views.accelerator_view, accelerator_views.ASK, ansan, figures)
    gpu, npu = view.kinds
    assert (gpu.name, gpu.energy, gpu.method) == ("GPU", "2,400 kWh", "적산계 값")
    assert (npu.name, npu.energy, npu.method) == ("NPU", "200.0 kWh", "전력 적분")
    assert gpu.share_of_it == "0.12 %"
    assert gpu.rated.startswith("25.6 kW")
    assert [group.devices for group in view.groups] == ["64대", "16대"]
    (side,) = view.sides
    assert (side.accelerators, side.it, side.ratio) == ("2,600 kWh", "700,000 kWh", "0.4 %")
    assert side.words.startswith("IT 계량이 697,400 kWh 많습니다")
    assert dict(view.facts)["지표"] == "자체 지표이며 ISO 지표가 아닙니다"


def test_more_accelerators_than_it_points_to_the_meters(ansan: Site, figures: ResourceKpis) -> None:
    figures.changed[("accelerator_reconciliation", "site")] = (
        1.1,
        {"accelerator_energy_kwh": 1_100.0, "it_energy_kwh": 1_000.0},
    )
    view = read_view(accelerator_views.accelerator_view, accelerator_views.ASK, ansan, figures)
    assert view.sides[0].words.startswith("가속기가 IT 계량보다 100.0 kWh 많습니다")


# ------------------------------------------------------------ pages


@pytest.mark.parametrize("name", NAMES)
def test_the_first_paint_holds_the_figures(client: TestClient, name: str) -> None:
    wanted = {
        "water": (">9,963.1<", ">231.7<", "16.0 · 4.1 %", "이 조각을 43배로"),
        "solar": (">12,000.0<", "7,200.0 kWh", "이 조각을 208배로"),
        "accelerators": (">2,600.0<", "전력 적분", "자체 지표"),
    }[name]
    page = client.get(f"/s/{SITE}/{name}?lang=ko&range=month").text
    before_scripts = page.split('<script type="application/json"')[0]
    for text in (*wanted, "모의", "확정", "수집 97.8 %", "KST까지의"):
        assert text in before_scripts, text
    assert f'href="/s/{SITE}/{name}" aria-current="page"' in page


@pytest.mark.parametrize("name", NAMES)
def test_english_pages_are_english(client: TestClient, name: str) -> None:
    page = client.get(f"/s/{SITE}/{name}?lang=en").text
    assert not re.search(r"[\uac00-\ud7a3]", re.sub(r'<a [^>]*lang="ko".*?</a>', "", page))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("who", sorted(PEOPLE))
def test_who_may_see_a_page(resource_app: FastAPI, who: str, name: str) -> None:
    roles = PEOPLE[who]
    may = any(
        role in {"operator", "author"} and (SITE in sites or "*" in sites)
        for role, sites in roles.items()
    )
    with TestClient(resource_app, base_url="http://board.test", follow_redirects=False) as browser:
        sign_in(browser, who)
        answer = browser.get(f"/s/{SITE}/{name}")
        assert (answer.status_code == 200) is may
        assert may or answer.status_code in {403, 404}
        assert may or "9,963.1" not in answer.text
        piece = browser.get(f"/_board/figures/evidence?site={SITE}&id={next(iter(CARDS))}")
        assert (piece.status_code == 200) is may


def test_nobody_sees_a_page_without_signing_in(resource_app: FastAPI) -> None:
    with TestClient(resource_app, base_url="http://board.test", follow_redirects=False) as browser:
        for name in NAMES:
            assert browser.get(f"/s/{SITE}/{name}").status_code == 303
        assert browser.get(f"/_board/figures/evidence?site={SITE}&id=water_total").status_code in {
            303,
            401,
        }


def test_a_site_without_any_of_it_says_so(
    make_app: Callable[..., FastAPI], figures: ResourceKpis, clock: FakeClock
) -> None:
    registry = SiteRegistry(build_registry({"bare": BARE}))
    store = LiveStore(registry, clock.now_ms)
    app = make_app(registry=registry, store=store.as_store(), compute_kpis=figures)
    with TestClient(app, base_url="http://board.test", follow_redirects=False) as browser:
        sign_in(browser, "admin")
        for name, words in {
            "water": "no metered rain system",
            "solar": "declares no solar array",
            "accelerators": "declares no measured accelerator",
        }.items():
            page = browser.get(f"/s/bare/{name}?lang=en")
            assert page.status_code == 200
            assert words in page.text
            assert "skeleton" not in page.text


def test_a_store_that_is_away_leaves_a_page_that_says_so(
    client: TestClient, figures: ResourceKpis
) -> None:
    figures.error = StoreUnavailableError("the store of this test is down")
    page = client.get(f"/s/{SITE}/water?lang=en")
    assert page.status_code == 200
    assert "cannot be read now" in page.text
    assert 'id="fault" role="status" hidden' not in page.text
    piece = client.get(f"/_board/figures/evidence?site={SITE}&id=water_total&range=week")
    assert piece.status_code == 503


# ------------------------------------------------------------ evidence


@pytest.mark.parametrize("card", sorted(CARDS))
@pytest.mark.parametrize("language", ["ko", "en"])
def test_every_card_has_evidence(client: TestClient, card: str, language: str) -> None:
    address = f"/_board/figures/evidence?site={SITE}&id={card}&lang={language}&range=month"
    piece = client.get(address)
    assert piece.status_code == 200, piece.text
    assert "2026-10-22 00:00 – 11-20 14:30" in piece.text
    assert "<html" not in piece.text
    for kpi in CARDS[card].kpis:
        assert f"{kpi}/1" in piece.text


def test_evidence_prints_the_formula_with_its_numbers(client: TestClient) -> None:
    def formula(card: str) -> list[str]:
        address = f"/_board/figures/evidence?site={SITE}&id={card}&lang=en&range=month"
        return re.findall(r'class="formula">([^<]*)<', client.get(address).text)

    assert formula("water_share")[0] == "Rain 231.7 m³ ÷ Total water 9,963.1 m³ = 2.3 %"
    assert formula("solar_ratio")[1] == (
        "Energy 6,000 kWh ÷ Expected from irradiance 7,200 kWh = 0.833"
    )
    assert formula("accelerator_reconciliation")[0] == (
        "Accelerators 2,600 kWh ÷ IT 700,000 kWh = 0.4 %"
    )


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("site=nowhere&id=water_total", 404),
        (f"site={SITE}&id=<x>", 404),
        (f"site={SITE}&id=pue", 404),
        (f"site={SITE}&id=water_total&range=year", 400),
        (f"site={SITE}&id=water_total&from=x&to=y", 400),
    ],
)
def test_evidence_of_nothing(client: TestClient, query: str, status: int) -> None:
    assert client.get(f"/_board/figures/evidence?{query}").status_code == status


def test_every_card_of_a_template_has_its_evidence(client: TestClient) -> None:
    for name in NAMES:
        page = client.get(f"/s/{SITE}/{name}").text
        shown = re.findall(r'data-evidence="(\w+)" data-of-window', page)
        assert shown
        assert set(shown) <= set(CARDS)


# ------------------------------------------------------------ holding


class Later:
    """Keeps a refresh until it is told to run."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def __call__(self, work: Callable[[], None]) -> None:
        self.waiting.append(work)

    def run(self) -> None:
        for work in self.waiting:
            work()
        self.waiting.clear()


def test_a_page_never_waits_for_a_refresh(ansan: Site, figures: ResourceKpis) -> None:
    later, now = Later(), [0.0]
    reads = FigureReads(
        None,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        BoardSettings(),
        FakeClock(NOW),
        figures,
        later=later,
        monotonic=lambda: now[0],
    )
    history = parse_history({"range": "month"}, ansan.zone, NOW)

    def total() -> float | None:
        found = reads.get(ansan, water_views.ASK, history).figures
        assert found is not None
        row = found.row("total_water")
        return None if row is None else row.value

    assert total() == pytest.approx(9_963.1)
    calls = figures.calls
    figures.changed[("total_water", "site")] = (1.0, {})
    now[0] = 10.0
    assert total() == pytest.approx(9_963.1)
    assert figures.calls == calls
    now[0] = 40.0
    assert total() == pytest.approx(9_963.1)
    assert total() == pytest.approx(9_963.1)
    assert len(later.waiting) == 1
    later.run()
    assert total() == 1.0
    # The store goes away: what is held stays, and is called faulty.
    figures.error = StoreUnavailableError("the store of this test is down")
    now[0] = 80.0
    assert total() == 1.0
    later.run()
    answer = reads.get(ansan, water_views.ASK, history)
    assert answer.is_faulty
    assert answer.figures is not None


def test_a_stretch_that_has_only_just_begun_has_no_figures(
    ansan: Site, figures: ResourceKpis
) -> None:
    midnight = datetime(2026, 11, 19, 15, 5, tzinfo=UTC)
    history = parse_history({"range": "day"}, ansan.zone, midnight)
    reads = FigureReads(
        None,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        BoardSettings(),
        FakeClock(midnight),
        figures,
    )
    found = reads.get(ansan, water_views.ASK, history).figures
    assert found == Figures(None)
    view = water_views.water_view(ansan, history, found, load_words()["en"])
    assert view.total is not None
    assert view.total.figures[0].value == "—"
    assert view.balance is not None
    assert view.balance.wide is None
