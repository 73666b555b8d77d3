"""Cards: every state says its value, unit, age, coverage, mark and what is missing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from core.ledger import HOUR_MS, Imbalance, LedgerHour
from core.periods import Period
from core.quality import Verdict
from core.sites import Site, SiteRegistry
from core.text import Language
from dashboard.card_views import SiteView
from dashboard.card_words import age_state, age_words
from dashboard.cards import site_view
from dashboard.evidence import card_evidence
from dashboard.evidence_words import full_reason_words, reason_words
from dashboard.formula_words import formula_words
from dashboard.live_values import ValueState, live_snapshot
from dashboard.today import compute_site_day
from dashboard.words import load_words
from tests.dashboard.fakes import FakeKpis, live_samples

NOW = 1_795_152_728_000  # 2026-11-20 14:32:08 in Seoul


@pytest.fixture
def ansan(registry: SiteRegistry) -> Site:
    return registry.site("kakao-ansan")


def view_of(
    site: Site,
    *,
    kpis: FakeKpis | None = None,
    silent: tuple[str, ...] = (),
    age_ms: int = 4_000,
    language: Language = "ko",
    now_ms: int = NOW,
) -> SiteView:
    samples = [s for s in live_samples(site, now_ms, age_ms=age_ms) if s.key.device not in silent]
    stores: Any = None
    day = compute_site_day(site, stores, stores, now_ms, kpis or FakeKpis())
    return site_view(site, live_snapshot(site, samples, now_ms), day, load_words()[language])


def test_a_figure_of_today(ansan: Site) -> None:
    view = view_of(ansan)
    assert view.pue is not None
    (figure,) = view.pue.figures
    assert figure.value == "1.268"
    assert figure.label == "오늘 PUE"
    assert view.pue.subtitle == "범주 2"
    assert figure.facts == ("확정", "00:00–14:30", "± 0.009", "수집 99.4 %")
    assert figure.tags == ()
    assert view.pue.source == "모의"
    assert figure.bar is not None
    assert (figure.bar.start, figure.bar.end, figure.bar.target) == ("1.0", "1.5", "목표 1.30")
    assert figure.bar.filled == pytest.approx(53.7)
    assert figure.bar.mark == pytest.approx(60.0)


class UnevenLedger:
    """A ledger with two alarms, the newest first."""

    def read_ledger(self, site: str, period: Period) -> list[LedgerHour]:
        return []

    def read_imbalances(self, site: str | None = None) -> list[Imbalance]:
        hour_ms = NOW - NOW % HOUR_MS
        return [
            Imbalance(site or "", at, "received", 90_001, 90_002)
            for at in (hour_ms, hour_ms - HOUR_MS)
        ]


def test_a_ledger_that_does_not_balance_comes_first(ansan: Site) -> None:
    stores: Any = None
    day = compute_site_day(ansan, stores, stores, NOW, FakeKpis(), ledger=UnevenLedger())
    samples = [s for s in live_samples(ansan, NOW) if s.key.device != "gpu-a-001"]
    view = site_view(ansan, live_snapshot(ansan, samples, NOW), day, load_words()["en"])
    first, *others = view.condition_list.lines
    assert (first.kind, first.word) == ("imbalanced", "Ledger does not balance")
    assert "2026-11-20 14:00" in first.detail
    assert "90,001" in first.detail
    assert all(line.kind != "imbalanced" for line in others)
    assert view_of(ansan).condition_list.lines[:1] != (first,)


def test_a_provisional_figure_stands_beside_its_word(ansan: Site) -> None:
    kpis = FakeKpis()
    kpis.verdict, kpis.coverage = Verdict.PROVISIONAL, 0.912
    kpis.reason = "pdu-2a/active_energy_kwh"
    view = view_of(ansan, kpis=kpis)
    assert view.pue is not None
    (figure,) = view.pue.figures
    assert figure.value == "1.268"
    assert figure.tags == ("잠정",)
    assert "수집 91.2 %" in figure.facts
    assert "pdu-2a" in figure.notes[0]


def test_a_refused_figure_is_a_dash_with_its_reason(ansan: Site) -> None:
    kpis = FakeKpis()
    kpis.verdict, kpis.coverage = Verdict.REFUSED, 0.713
    kpis.reason = "pdu-2a/active_energy_kwh"
    view = view_of(ansan, kpis=kpis, language="en")
    assert view.pue is not None
    (figure,) = view.pue.figures
    assert figure.value == "—"
    assert figure.unit == ""
    assert figure.tags == ("refused",)
    assert figure.bar is not None
    assert figure.bar.filled == 0.0
    assert "pdu-2a" in figure.notes[0]
    assert "± " not in "".join(figure.facts)


def test_before_the_first_interval_of_a_day_nothing_is_claimed(ansan: Site) -> None:
    midnight = NOW - (14 * 3600 + 32 * 60 + 8) * 1000
    view = view_of(ansan, now_ms=midnight + 60_000)
    assert view.pue is not None
    (figure,) = view.pue.figures
    assert figure.value == "—"
    assert figure.notes == ("오늘 첫 구간이 끝나면 나옵니다.",)
    later = view_of(ansan, now_ms=midnight + 17 * 60_000)
    assert later.pue is not None
    assert "00:00–00:15" in later.pue.figures[0].facts


def test_facility_power_and_its_room(ansan: Site) -> None:
    view = view_of(ansan)
    assert view.facility is not None
    (figure,) = view.facility.figures
    assert (figure.value, figure.unit) == ("25,859", "kW")
    assert figure.notes == ("여유 14,141 kW (35 %)",)
    assert figure.bar is not None
    assert figure.bar.start == "0"
    assert view.facility.freshness.text == "4초 전"
    assert view.facility.freshness.state is ValueState.NORMAL
    small = replace(ansan, contract_power_kw=25_000.0)
    above = view_of(small).facility
    assert above is not None
    assert above.figures[0].notes == ("계약보다 859 kW (3 %) 많음",)


def test_an_incomplete_sum_is_dimmed_and_names_the_meter(ansan: Site) -> None:
    view = view_of(ansan, silent=("pdu-2a",))
    assert view.it is not None
    (figure,) = view.it.figures
    assert figure.is_dim
    assert figure.tags == ("불완전",)
    assert figure.notes == ("빠짐: pdu-2a",)
    assert figure.bar is None
    assert view.facility is not None
    assert not view.facility.figures[0].is_dim


def test_many_missing_meters_are_counted(ansan: Site) -> None:
    silent = tuple(f"gpu-{number:03d}" for number in range(1, 21))
    view = view_of(ansan, silent=silent, language="en")
    assert view.accelerators is not None
    assert view.accelerators.notes == ("missing: gpu-001, gpu-002, gpu-003 and 17 more",)
    gpu = view.accelerator_rows[0]
    assert gpu.reporting == "44 of 64"
    assert gpu.is_dim
    assert gpu.bar is None


@pytest.mark.parametrize(
    ("age_s", "state", "text"),
    [
        (4, ValueState.NORMAL, "4초 전"),
        (32, ValueState.LATE, "32초 지연"),
        (420, ValueState.STALE, "수신 끊김 7분"),
    ],
)
def test_ages(ansan: Site, age_s: int, state: ValueState, text: str) -> None:
    view = view_of(ansan, age_ms=age_s * 1000)
    assert view.facility is not None
    assert view.facility.freshness.state is state
    assert view.facility.freshness.text == text
    figure = view.facility.figures[0]
    if state is ValueState.STALE:
        assert figure.value == "—"
        assert figure.last == "마지막 값 14:25"
    else:
        assert figure.last == "마지막 값 25,859 kW (14:3" + ("2)" if age_s == 4 else "1)")


def test_ages_without_data() -> None:
    words = load_words()["en"]
    assert age_state(None, 1, 2, 3) is ValueState.NO_DATA
    assert age_words(ValueState.NO_DATA, None, 3, words) == "no data"


def test_water_and_rain(ansan: Site) -> None:
    view = view_of(ansan)
    assert view.wue is not None
    assert [figure.value for figure in view.wue.figures] == ["0.413", "0.385"]
    assert view.rain is not None
    level, reuse = view.rain.figures
    assert (level.value, level.unit) == ("62.1", "% · 186.4 m³")
    assert (reuse.value, reuse.unit) == ("2.1", "%")
    assert view.tank is not None
    assert view.tank.filled == pytest.approx(62.1)
    assert view.tank.label == "빗물 저류조 62.1 %, 300 m³ 가운데 186.4 m³"


def test_a_silent_tank_keeps_its_last_level_as_such(ansan: Site) -> None:
    view = view_of(ansan, age_ms=400_000)
    assert view.rain is not None
    level = view.rain.figures[0]
    assert level.value == "—"
    assert level.last == "마지막 값 62.1 % · 186.4 m³ (14:25)"


def test_sun_by_array(ansan: Site) -> None:
    view = view_of(ansan)
    assert [row.name for row in view.arrays] == ["지붕 남향 15°", "남쪽 외벽 90°", "서쪽 외벽 90°"]
    assert [row.surface for row in view.arrays] == ["roof", "facade-s", "facade-w"]
    assert view.arrays[0].power == "86.4 kW"
    assert view.arrays[0].energy == "739.5 kWh"
    assert view.arrays[0].bar is not None
    assert view.arrays[0].bar.filled == pytest.approx(27.0)
    silent = view_of(ansan, silent=("pv-roof-south",))
    assert silent.arrays[0].power == "—"
    assert silent.arrays[0].is_dim
    assert silent.solar is not None
    assert silent.solar.figures[0].notes == ("빠짐: pv-roof-south",)


def test_the_night_is_zero_not_missing(ansan: Site) -> None:
    samples = [
        replace(s, value=-0.2) if s.key.metric == "ac_power_kw" else s
        for s in live_samples(ansan, NOW)
    ]
    stores: Any = None
    day = compute_site_day(ansan, stores, stores, NOW, FakeKpis())
    view = site_view(ansan, live_snapshot(ansan, samples, NOW), day, load_words()["ko"])
    assert view.arrays[0].power == "−0.2 kW"
    assert view.arrays[0].bar is not None
    assert view.arrays[0].bar.filled == 0.0
    assert view.solar is not None
    assert view.solar.figures[0].notes == ("설비 전력의 0.0 %",)


def test_a_site_shows_what_it_has(ansan: Site) -> None:
    devices = {
        device.id: device
        for device in ansan.devices.values()
        if device.latest.role in {"grid_feed", "pdu_output"}
    }
    view = view_of(replace(ansan, devices=devices, rain=None))
    assert view.pue is not None
    assert view.facility is not None
    assert view.solar is view.rain is view.accelerators is view.wue is view.tank is None
    assert len(view.reception_rows) == 1


def test_measured_sites_carry_no_simulated_mark(ansan: Site) -> None:
    view = view_of(replace(ansan, data="measured"))
    assert view.pue is not None
    assert view.pue.source == ""


# ------------------------------------------------------------ evidence


def test_evidence_of_a_live_sum(ansan: Site) -> None:
    live = live_snapshot(ansan, live_samples(ansan, NOW), NOW)
    evidence = card_evidence("facility", ansan, live, None, load_words()["ko"])
    assert evidence is not None
    (part,) = evidence.parts
    assert [row[0] for row in part.meters][:2] == ["grid-a (수전)", "grid-b (수전)"]
    facts = dict(part.facts)
    assert facts["계량기"] == "6 / 6대 수신"
    assert facts["가장 오래된 값"] == "2026-11-20 14:32:04 KST"


def test_evidence_of_a_figure(ansan: Site) -> None:
    stores: Any = None
    live = live_snapshot(ansan, live_samples(ansan, NOW), NOW)
    day = compute_site_day(ansan, stores, stores, NOW, FakeKpis())
    evidence = card_evidence("pue", ansan, live, day, load_words()["ko"])
    assert evidence is not None
    (part,) = evidence.parts
    facts = dict(part.facts)
    assert facts["기간"] == "2026-11-20 00:00–14:30 KST"
    assert facts["수집률"] == "99.4 % / 99.4 % · 기준 95 %"
    assert facts["출처"] == "모의 100.0 %"
    assert facts["불확도 (95 %)"] == "± 0.009"
    assert part.formula == "설비 410,800 kWh ÷ IT 323,900 kWh = 1.268"
    assert card_evidence("no-such-card", ansan, live, day, load_words()["ko"]) is None


def test_formulas_put_their_numbers_in(ansan: Site) -> None:
    stores: Any = None
    day = compute_site_day(ansan, stores, stores, NOW, FakeKpis())
    words = load_words()["en"]
    told = {kpi: formula_words(row, words) for (kpi, _), row in day.kpis.items()}
    assert told["wue"] == "Total water 133.7 m³ × 1,000 ÷ IT 323,900 kWh = 0.413 L/kWh"
    assert told["ref"] == (
        "Renewable with certificates kept 4,436 kWh ÷ Facility 410,800 kWh = 1.1 %"
    )
    assert told["rain_reuse_ratio"] == "Rain 2.82 m³ ÷ Total water 133.7 m³ = 2.1 %"
    assert told["pv_energy"] == ""


def test_the_balance_of_the_tank(ansan: Site) -> None:
    view = view_of(ansan)
    assert view.tank is not None
    assert view.tank.balance == (
        ("집수", "0.0"),
        ("상수 보충", "+0.6"),
        ("사용", "−3.4"),
        ("월류·배수", "−0.2"),
        ("저장 변화", "−2.6"),
        ("설명 안 됨", "−0.4"),
    )
    kpis = FakeKpis()
    kpis.verdict = Verdict.REFUSED
    refused = view_of(ansan, kpis=kpis)
    assert refused.tank is not None
    assert refused.tank.balance == ()


@pytest.mark.parametrize(
    ("reason", "korean"),
    [
        (
            "pdu-2a/active_energy_kwh is covered for 71.3 % of the period; any figure needs 80%",
            "pdu-2a의 수집률이 71.3 %입니다",
        ),
        (
            "gpu-001/energy_kwh and 3 more together is covered for 71.3 % of the period; x",
            "gpu-001 외 3대의 수집률이 71.3 %입니다",
        ),
        (
            "all meters together are covered for 78.0 % of the period; any figure needs 80%",
            "모든 계량기가 함께 수집된 시간이 78.0 %입니다",
        ),
        (
            "IT energy of 5.0 kWh exceeds facility energy of 4.0 kWh, which is impossible; the "
            "likely meter is pdu-1a/active_energy_kwh, which shows more",
            "IT 전력량이 설비 전력량보다 많아 값을 내지 않습니다 · 확인할 계량기: pdu-1a",
        ),
        (
            "something that nobody has thought of at mains-1/volume_m3",
            "값을 내기에 자료가 맞지 않습니다 · 확인할 계량기: mains-1",
        ),
    ],
)
def test_reasons_in_both_languages(ansan: Site, reason: str, korean: str) -> None:
    stores: Any = None
    kpis = FakeKpis()
    kpis.verdict, kpis.reason = Verdict.REFUSED, reason
    row = compute_site_day(ansan, stores, stores, NOW, kpis).kpis["pue", "site"]
    assert reason_words(row, load_words()["ko"]) == korean
    assert full_reason_words(row, load_words()["en"]) == reason
    english = reason_words(row, load_words()["en"])
    assert english
    assert "/" not in english
    assert len(english) <= 90
    final = compute_site_day(ansan, stores, stores, NOW, FakeKpis()).kpis["pue", "site"]
    assert reason_words(final, load_words()["ko"]) == ""
