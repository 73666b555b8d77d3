"""The list of sites: states, order, sums, table, map. Pure, with answers worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.kpis import Coverages, KpiValue
from core.periods import to_ms
from core.quality import Shares, Verdict
from core.sites import SiteRegistry
from dashboard.card_views import Bar
from dashboard.live_hub import LiveState
from dashboard.live_values import live_snapshot
from dashboard.place_names import city_name
from dashboard.portfolio_file import COLUMNS, file_row
from dashboard.portfolio_findings import find_conditions
from dashboard.portfolio_map import (
    DOKDO,
    NARROW,
    ULLEUNGDO,
    WIDE,
    Frame,
    Placed,
    are_apart,
    land_path,
    place_labels,
)
from dashboard.portfolio_rows import scale_end, table_row
from dashboard.portfolio_spans import SPANS, SiteSpans, Span, compute_site_spans, span_window
from dashboard.portfolio_view import portfolio_view
from dashboard.portfolio_views import Condition, RowView, SiteNow
from dashboard.words import load_words
from tests.dashboard.fakes import FakeKpis, live_samples
from tests.dashboard.seven_sites import seven_sites

# 14:32:08 in Seoul, on a Friday.
NOW = datetime(2026, 11, 20, 5, 32, 8, tzinfo=UTC)
NOW_MS = to_ms(NOW)
KO, EN = load_words()["ko"], load_words()["en"]
REGISTRY: SiteRegistry = seven_sites()
OPERATING = [site.id for site in REGISTRY if site.status == "operating"]


def site_now(
    name: str,
    *,
    silent: Sequence[str] = (),
    age_ms: int = 4_000,
    pue: float | None = 1.15,
    verdict: Verdict = Verdict.FINAL,
    coverage: float = 0.99,
    reason: str = "",
    is_faulty: bool = False,
    quarantined: int | None = None,
) -> SiteNow:
    """A site as its live values and figures are told to be."""
    site = REGISTRY.site(name)
    if site.status == "planned":
        return SiteNow(site, NOW_MS, None)
    samples = [
        sample
        for sample in live_samples(site, NOW_MS, age_ms=age_ms)
        if sample.key.device not in silent
    ]
    spans = compute_site_spans(site, None, None, NOW_MS, FakeKpis())  # type: ignore[arg-type]
    figures = {
        span: replace(
            row,
            value=pue,
            verdict=verdict,
            reason=reason,
            coverage=Coverages(coverage, coverage),
        )
        for span, row in spans.pue.items()
    }
    spans = replace(spans, pue=figures, quarantined_today=quarantined)
    state = LiveState(1, live_snapshot(site, samples, NOW_MS), is_faulty=is_faulty)
    return SiteNow(site, NOW_MS, state, spans)


def conditions(now: SiteNow) -> list[Condition]:
    return [finding.condition for finding in find_conditions(now, KO)]


def row_of(now: SiteNow, span: Span = "today") -> RowView:
    return table_row(now, find_conditions(now, EN), span, 1.5, EN)


# ------------------------------------------------------------ what is not in order


def test_a_site_in_order_has_nothing_to_look_at() -> None:
    assert conditions(site_now("kisti-daejeon", pue=1.149)) == []


def test_silence_is_said_with_its_beginning_and_not_meter_by_meter() -> None:
    (finding,) = find_conditions(site_now("kisti-daejeon", age_ms=720_000, pue=1.1), KO)
    assert finding.condition is Condition.STALE
    assert finding.since_ms == NOW_MS - 720_000
    assert "게이트웨이" in finding.action


def test_late_data_are_late() -> None:
    assert conditions(site_now("kisti-daejeon", age_ms=30_000, pue=1.1)) == [Condition.LATE]


def test_a_site_without_any_reading() -> None:
    site = REGISTRY.site("kisti-daejeon")
    state = LiveState(1, live_snapshot(site, [], NOW_MS), is_faulty=False)
    assert conditions(SiteNow(site, NOW_MS, state)) == [Condition.NO_DATA]


def test_a_store_that_does_not_answer_is_the_worst() -> None:
    site = REGISTRY.site("kisti-daejeon")
    assert conditions(SiteNow(site, NOW_MS, LiveState(1, None, is_faulty=True))) == [
        Condition.UNREAD
    ]
    assert conditions(site_now("kisti-daejeon", is_faulty=True, age_ms=720_000, pue=1.1)) == [
        Condition.UNREAD,
        Condition.STALE,
    ]


def test_a_missing_meter_of_a_sum_is_named_apart_from_other_silent_devices() -> None:
    now = site_now("nhn-gwangju", silent=["it-2", "mains"], pue=1.2)
    incomplete, silent = find_conditions(now, EN)
    assert (incomplete.condition, silent.condition) == (Condition.INCOMPLETE, Condition.SILENT)
    assert incomplete.cause == "Missing in the power sums: it-2"
    assert "mains" in silent.cause
    assert "it-2" not in silent.cause


def test_a_figure_that_coverage_holds_back_names_the_meter() -> None:
    reason = "grid-a/active_energy_kwh is covered for 87.3 % of the period"
    now = site_now("nhn-gwangju", verdict=Verdict.PROVISIONAL, coverage=0.873, reason=reason)
    (finding,) = find_conditions(now, KO)
    assert finding.condition is Condition.PROVISIONAL
    assert "grid-a" in finding.cause
    assert "87.3" in finding.cause
    now = site_now("nhn-gwangju", pue=None, verdict=Verdict.REFUSED, coverage=0.7, reason=reason)
    assert conditions(now) == [Condition.REFUSED]


@pytest.mark.parametrize(
    ("pue", "expected"),
    [
        (1.2, []),
        (1.25, []),
        (1.2504, []),  # printed as 1.250: not above
        (1.2506, [Condition.ABOVE_TARGET]),
        (1.282, [Condition.ABOVE_TARGET]),
    ],
)
def test_a_target_is_exceeded_as_printed(pue: float, expected: list[Condition]) -> None:
    assert conditions(site_now("nhn-gwangju", pue=pue)) == expected


def test_readings_put_aside_are_counted() -> None:
    now = site_now("nhn-gwangju", quarantined=1_204)
    (finding,) = find_conditions(now, EN)
    assert finding.condition is Condition.QUARANTINED
    assert "1,204" in finding.cause
    assert conditions(site_now("nhn-gwangju", quarantined=0)) == []


def test_the_order_is_the_declared_one() -> None:
    names = [condition.value for condition in sorted(Condition, key=lambda one: one.rank)]
    assert names == [
        "unread", "imbalanced", "stale", "no_data", "late", "incomplete", "refused", "silent",
        "provisional", "above_target", "quarantined", "normal", "hidden", "planned",
    ]  # fmt: skip


# ------------------------------------------------------------ the table


def mixed() -> list[SiteNow]:
    return [
        site_now("kakao-ansan", silent=["pdu-2a"], pue=1.268),
        site_now("kisti-daejeon", age_ms=720_000, pue=1.118),
        site_now("national-ai-haenam"),
        site_now("naver-gak-chuncheon", pue=1.142),
        site_now("naver-gak-sejong", pue=1.163),
        site_now("nhn-gwangju", pue=1.282),
        site_now("sk-aws-ulsan"),
    ]


def test_rows_are_worst_first_and_planned_sites_last() -> None:
    view = portfolio_view(mixed(), "today", (), KO)
    assert [(row.id, row.condition.value) for row in view.rows] == [
        ("kisti-daejeon", "stale"),
        ("kakao-ansan", "incomplete"),
        ("nhn-gwangju", "above_target"),
        ("naver-gak-chuncheon", "normal"),
        ("naver-gak-sejong", "normal"),
        ("national-ai-haenam", "planned"),
        ("sk-aws-ulsan", "planned"),
    ]
    assert [one.site_name for one in view.attention][:1] == ["KISTI 슈퍼컴퓨터 6호기"]
    assert len(view.attention) == 3


def test_a_pue_stands_on_a_bar_from_one_with_its_target() -> None:
    row = row_of(site_now("nhn-gwangju", pue=1.282))
    assert row.pue is not None
    assert row.pue.value == "1.282"
    # (1.282 - 1) / (1.5 - 1) and (1.25 - 1) / (1.5 - 1)
    assert row.pue.bar == Bar(filled=56.4, mark=50.0)
    assert row.pue.side == "target 1.25"
    assert row.pue.strong_tag == "above +0.032"


@pytest.mark.parametrize(
    ("highest", "end"), [(1.3, 1.5), (1.5, 1.5), (1.51, 2.0), (2.4, 3.0), (9, 5.0)]
)
def test_the_bars_end_where_all_figures_fit(highest: float, end: float) -> None:
    assert scale_end([site_now("nhn-gwangju", pue=highest)], "today") == end


def test_room_is_contract_less_a_complete_sum() -> None:
    row = row_of(site_now("nhn-gwangju"))
    assert row.power is not None
    assert row.power_room is not None
    # One feed of 12,800 kW and one array of 86.4 kW; contract 30 MW.
    assert row.power.value == "12.9"
    assert (row.power_room.value, row.power_room.side) == ("17.1", "57 %")
    incomplete = row_of(site_now("nhn-gwangju", silent=["pv-roof"]))
    assert incomplete.power is not None
    assert incomplete.power_room is not None
    assert incomplete.power.tags == ("incomplete",)
    assert incomplete.power.is_dim
    assert incomplete.power_room.value == "—"


def test_water_room_is_the_limit_less_what_was_taken() -> None:
    row = row_of(site_now("nhn-gwangju"))
    assert row.water_room is not None
    # 300 m3 less 124.8 m3 of mains.
    assert (row.water_room.value, row.water_room.side) == ("175", "58 %")
    assert row.water_room.bar == Bar(filled=41.6)


def test_what_a_site_does_not_have_is_said_and_not_a_dash() -> None:
    row = row_of(site_now("kisti-daejeon"))
    assert row.rain is not None
    assert row.solar is not None
    assert (row.rain.value, row.rain.note) == ("", "none")
    assert (row.solar.value, row.solar.note) == ("", "none")


def test_a_refused_figure_says_why_and_has_no_bar() -> None:
    reason = "it-1/active_energy_kwh is covered for 71.3 % of the period"
    row = row_of(
        site_now("nhn-gwangju", pue=None, verdict=Verdict.REFUSED, coverage=0.713, reason=reason)
    )
    assert row.pue is not None
    assert (row.pue.value, row.pue.tags, row.pue.bar) == ("—", ("refused",), None)
    assert "it-1" in row.pue.note
    assert row.coverage is not None
    assert row.coverage.value == "71.3"


def test_figures_that_are_not_there_yet() -> None:
    now = replace(site_now("nhn-gwangju"), spans=None)
    row = row_of(now)
    assert row.pue is not None
    assert (row.pue.value, row.pue.note) == ("—", "being computed")
    failed = row_of(replace(now, is_faulty=True))
    assert failed.pue is not None
    assert failed.pue.note == "not readable"


def test_planned_sites_have_words_and_a_way_to_their_facts() -> None:
    row = row_of(site_now("sk-aws-ulsan"))
    assert row.pue is None
    assert row.address == "/s/sk-aws-ulsan/about"
    assert "2 public facts" in row.sentence


def test_every_span_has_its_days() -> None:
    site = REGISTRY.site("nhn-gwangju")
    starts = {}
    for span in SPANS:
        window = span_window(site, span, NOW_MS)
        assert window is not None
        assert window.end == datetime(2026, 11, 20, 5, 30, tzinfo=UTC)
        starts[span] = window.start.astimezone(site.zone).date().isoformat()
    assert starts == {"today": "2026-11-20", "7d": "2026-11-14", "30d": "2026-10-22"}
    midnight_ms = to_ms(datetime(2026, 11, 19, 15, 1, tzinfo=UTC))
    assert span_window(site, "today", midnight_ms) is None
    # Of the running day there is nothing yet; of the days before it there is.
    week = span_window(site, "7d", midnight_ms)
    assert week is not None
    assert week.end_ms <= midnight_ms
    assert week.end_ms - week.start_ms > 5 * 86_400_000


def test_longer_spans_are_taken_over_until_another_interval_has_settled() -> None:
    site, kpis = REGISTRY.site("nhn-gwangju"), FakeKpis()
    first = compute_site_spans(site, None, None, NOW_MS, kpis)  # type: ignore[arg-type]
    assert kpis.calls == 4
    again = compute_site_spans(
        site,
        None,
        None,
        NOW_MS + 60_000,
        kpis,
        before=first,  # type: ignore[arg-type]
    )
    assert kpis.calls == 5
    assert again.pue["30d"] is first.pue["30d"]
    later_ms = NOW_MS + 900_000
    third = compute_site_spans(site, None, None, later_ms, kpis, before=again)  # type: ignore[arg-type]
    assert kpis.calls == 9
    assert third.pue["30d"].end > first.pue["30d"].end


# ------------------------------------------------------------ sums


def test_a_sum_says_how_many_sites_are_in_it_and_which_are_not() -> None:
    view = portfolio_view(mixed(), "today", (), EN)
    facility, solar, share, coverage = view.totals
    # Ansan 25,859.2, Chuncheon and Gwangju 12,886.4 each, Sejong 25,686.4 kW; Daejeon is silent.
    assert (facility.value, facility.unit) == ("77.3", "MW")
    assert facility.note == "4 of 5 sites"
    assert facility.missing == "missing: Daejeon"
    # Three arrays of 86.4 kW in Ansan and one each in Chuncheon, Gwangju and Sejong.
    assert (solar.value, solar.note, solar.missing) == ("518", "4 sites", "")
    assert (share.value, share.note) == ("0.7", "4 of 5 sites")
    assert (coverage.value, coverage.note) == ("99.0", "mean of 5 sites")


def test_nothing_known_is_a_dash_and_never_zero() -> None:
    now = site_now("kisti-daejeon", age_ms=720_000)
    view = portfolio_view([replace(now, spans=None)], "today", (), EN)
    assert [one.value for one in view.totals] == ["—", "—", "—", "—"]
    assert view.totals[0].missing == "missing: Daejeon"


@given(st.lists(st.sampled_from(OPERATING), unique=True), st.sets(st.sampled_from(OPERATING)))
@settings(max_examples=25, deadline=None)
def test_every_operating_site_is_in_a_sum_or_named(chosen: list[str], silent: set[str]) -> None:
    sites = [site_now(name, age_ms=720_000 if name in silent else 4_000) for name in chosen]
    view = portfolio_view(sites, "today", (), EN)
    if not chosen:
        assert view.totals == ()
        return
    missing = [city_name(REGISTRY.site(name), "en") for name in chosen if name in silent]
    assert view.totals[0].missing == (f"missing: {', '.join(missing)}" if missing else "")


# ------------------------------------------------------------ the file


def test_the_file_has_full_precision_and_nothing_for_what_is_not_known() -> None:
    line = dict(zip(COLUMNS, file_row(site_now("nhn-gwangju", pue=1.28234567), "7d", "en"),
                    strict=True))  # fmt: skip
    assert line["pue"] == "1.28234567"
    assert line["pue_verdict"] == "final"
    assert line["span_start"] == "2026-11-14T00:00:00+09:00"
    assert float(line["facility_power_kw"]) == pytest.approx(12_886.4)
    assert float(line["power_headroom_kw"]) == pytest.approx(17_113.6)
    assert line["pue_target"] == "1.25"
    assert line["reception"] == "normal"
    silent = dict(zip(COLUMNS, file_row(site_now("nhn-gwangju", silent=["pv-roof"]), "7d", "en"),
                      strict=True))  # fmt: skip
    assert silent["facility_power_kw"] == ""
    assert (silent["facility_meters_expected"], silent["facility_meters_reporting"]) == ("2", "1")
    assert silent["power_headroom_kw"] == ""


# ------------------------------------------------------------ places and map


@pytest.mark.parametrize(
    ("site", "korean", "english"),
    [
        ("kakao-ansan", "안산", "Ansan"),
        ("kisti-daejeon", "대전", "Daejeon"),
        ("national-ai-haenam", "해남", "Haenam"),
        ("naver-gak-chuncheon", "춘천", "Chuncheon"),
        ("naver-gak-sejong", "세종", "Sejong"),
        ("nhn-gwangju", "광주", "Gwangju"),
        ("sk-aws-ulsan", "울산", "Ulsan"),
    ],
)
def test_the_city_of_an_address(site: str, korean: str, english: str) -> None:
    assert city_name(REGISTRY.site(site), "ko") == korean
    assert city_name(REGISTRY.site(site), "en") == english


def places() -> tuple[tuple[float, float], ...]:
    return tuple((site.longitude, site.latitude) for site in REGISTRY)


@pytest.mark.parametrize("frame", [WIDE, NARROW])
def test_the_map_is_true_to_scale_and_holds_dokdo(frame: Frame) -> None:
    (x0, y0), (x1, y1) = frame.project((127.0, 36.0)), frame.project((127.0, 35.0))
    assert x0 == x1
    assert y1 - y0 == pytest.approx(frame.scale)
    # At 36 degrees north a degree of longitude is 0.809 of one of latitude.
    assert frame.project((128.0, 36.0))[0] - x0 == pytest.approx(0.809 * frame.scale, rel=1e-3)
    for island in (DOKDO, ULLEUNGDO):
        x, y = frame.project(island)
        assert 0 < x < frame.width
        assert 0 < y < frame.height
    assert frame.project(DOKDO)[0] - frame.project(ULLEUNGDO)[0] > 15


@pytest.mark.parametrize("frame", [WIDE, NARROW])
def test_labels_of_the_seven_touch_neither_each_other_nor_other_sites(frame: Frame) -> None:
    placed = place_labels(places(), frame)
    assert are_apart(placed)
    assert all(one.has_label for one in placed)
    assert crossings(placed) == 0
    for one in placed:
        assert 12 <= one.label_y <= frame.height - 19


def crossings(placed: Sequence[Placed]) -> int:
    def side(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
        return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])

    lines = [((one.x, one.y), (one.label_x, one.label_y - 4)) for one in placed]
    return sum(
        side(*one, two[0]) * side(*one, two[1]) < 0 and side(*two, one[0]) * side(*two, one[1]) < 0
        for at, one in enumerate(lines)
        for two in lines[at + 1 :]
    )


@given(st.lists(st.tuples(st.floats(126.2, 129.4), st.floats(34.4, 38.3)), min_size=1, max_size=9))
@settings(max_examples=20, deadline=None)
def test_wherever_sites_lie_their_labels_stay_apart_or_away(
    chosen: list[tuple[float, float]],
) -> None:
    placed = place_labels(tuple(chosen), WIDE)
    assert len(placed) == len(chosen)
    labelled = [one for one in placed if one.has_label]
    assert are_apart(labelled)
    assert not labelled or len(labelled) == len(placed)


def test_more_sites_than_there_is_room_for_have_marks_without_labels() -> None:
    many = tuple((127.0 + 0.03 * at, 35.0 + 0.1 * at) for at in range(30))
    assert not any(one.has_label for one in place_labels(many, NARROW))


def test_the_outline_outside_the_map_is_left_out() -> None:
    inside = ((126.0, 35.0), (127.0, 35.0), (127.0, 36.0), (126.0, 35.0))
    outside = ((140.0, 35.0), (141.0, 35.0), (141.0, 36.0), (140.0, 35.0))
    assert land_path((inside, outside), WIDE).count("M") == 1
    assert land_path((inside,), WIDE).endswith("Z")


def test_a_marker_tells_its_site_state_and_figure() -> None:
    ring = ((126.0, 35.0), (127.0, 35.0), (127.0, 36.0), (126.0, 35.0))
    view = portfolio_view(mixed(), "today", [ring], EN)
    by_site = {marker.site: marker for marker in view.maps["wide"].markers}
    assert by_site["naver-gak-sejong"].title == "Sejong · normal PUE 1.163, NAVER GAK Sejong"
    assert by_site["sk-aws-ulsan"].address == "/s/sk-aws-ulsan/about"
    assert by_site["kisti-daejeon"].note == "silent"
    assert [spot.name for spot in view.maps["wide"].spots] == ["Ulleungdo", "Dokdo", "Jeju"]
    assert portfolio_view(mixed(), "today", [], EN).maps == {}


def test_spans_of_a_site_that_was_never_asked() -> None:
    row = KpiValue(
        "pue", "site", NOW, NOW, True, None, "1", Verdict.REFUSED, "", 2, Coverages(None, None),
        Shares(), "1",
    )  # fmt: skip
    spans = SiteSpans(NOW_MS, None, {"today": row})
    now = replace(site_now("nhn-gwangju"), spans=spans)
    cell = row_of(now).coverage
    assert cell is not None
    assert cell.value == "—"
