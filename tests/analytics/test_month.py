"""The content of a month: its figures are those of the KPIs, and it hides nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from analytics.forecasting.scores import ISSUED_SCORE, BandSums, DayScore, score_row
from analytics.kpis import compute_kpi_rows
from analytics.month.content import build_month, parse_month
from core.canonical import canonical_json
from core.errors import InsufficientDataError
from core.kpi_methods import METHODS
from core.kpis import KPIS
from core.ports import ResultRow
from core.sites import Site
from tests.reports.month_data import MONTH, NOW, MonthData, read_site

DAY = 96


def build(data: MonthData, **changed: Any) -> dict[str, Any]:
    store, records = data.write()
    content = build_month(store, records, data.site, MONTH, now=changed.get("now", NOW))  # type: ignore[arg-type]
    document = json.loads(canonical_json(content.document))
    assert isinstance(document, dict)
    return document


def row(document: dict[str, Any], kpi: str, subject: str = "site") -> dict[str, Any]:
    (found,) = [r for r in document["kpis"] if (r["kpi"], r["subject"]) == (kpi, subject)]
    return dict(found)


@pytest.fixture(scope="module")
def ansan() -> Site:
    return read_site()


@pytest.fixture(scope="module")
def whole(ansan: Site) -> dict[str, Any]:
    return build(MonthData(ansan))


def test_every_figure_is_the_kpi_of_the_month(ansan: Site, whole: dict[str, Any]) -> None:
    data = MonthData(ansan)
    store, records = data.write()
    asked = compute_kpi_rows(
        store,  # type: ignore[arg-type]
        records,
        ansan,
        data.period,
        resolution="month",
        now=NOW,
    )
    compared = 0
    for value in asked:
        found = row(whole, value.kpi, value.subject)
        assert found["verdict"] == value.verdict.value
        if value.value is not None:
            assert found["value"] == pytest.approx(value.value, abs=1e-6)
            compared += 1
    assert compared > 25


def test_the_days_add_up_to_the_month(whole: dict[str, Any]) -> None:
    for name, kpi in (("facility_energy", "facility_energy"), ("pv_energy", "pv_energy")):
        total = sum(day[name]["value"] for day in whole["daily"])
        assert total == pytest.approx(row(whole, kpi)["value"], abs=1e-3)
    water = sum(day["water"]["value"] for day in whole["daily"])
    assert water == pytest.approx(whole["water"]["total"]["value"], abs=1e-3)


def test_known_answers_of_the_closed_formulas(whole: dict[str, Any]) -> None:
    # 31 days x 96 quarters x (0.05 - 0.005) m3
    assert row(whole, "potable_water_avoided")["value"] == pytest.approx(133.92, abs=1e-3)
    assert row(whole, "potable_water_avoided")["shown"] == "133.9"
    # 0.05 m3 every quarter of every sixth day
    collected = next(
        e for e in whole["water"]["rain_balance"]["entries"] if e["name"] == "collected_m3"
    )
    assert collected["shown"] == "240.0"
    lighting = next(p for p in whole["energy"]["parts"] if p["part"] == "lighting")
    assert lighting["value"] == pytest.approx(260.0 * 24 * 31, abs=1e-6)


def test_the_parts_of_the_energy_add_up_to_it(whole: dict[str, Any]) -> None:
    energy = whole["energy"]
    assert energy["adds_up"]
    total = sum(part["value"] for part in energy["parts"])
    assert total == pytest.approx(energy["facility"]["value"], abs=1e-3)


def test_targets_are_judged_by_what_is_better(whole: dict[str, Any]) -> None:
    pue = row(whole, "pue")
    assert pue["target"] == {
        "value": 1.3,
        "shown": "1.300",
        "shown_unit": "",
        "valid_from": "2026-01-01",
        "met": True,
    }
    strict = read_site(replace={"value = 1.30": "value = 1.20"})
    assert row(build(MonthData(strict)), "pue")["target"]["met"] is False


def test_a_lost_meter_makes_the_day_refused_and_the_month_provisional(ansan: Site) -> None:
    data = MonthData(ansan)
    data.lose("pdu-1a", 20 * DAY, 22 * DAY + 48)
    document = build(data)
    day = document["daily"][20]
    assert day["day"] == "2026-10-21"
    assert (day["pue"]["value"], day["pue"]["shown"], day["pue"]["verdict"]) == (
        None,
        "—",
        "refused",
    )
    pue = row(document, "pue")
    assert pue["verdict"] == "provisional"
    assert "pdu-1a/active_energy_kwh" in pue["reason"]
    silence = document["silences"][0]
    assert (silence["device"], silence["hours_shown"]) == ("pdu-1a", "60.0")
    worst = document["completeness"]["families"][0]["worst"][0]
    assert worst["series"] == "pdu-1a/active_energy_kwh"
    assert worst["shown"] == "91.9 %"


def test_a_month_without_enough_of_a_meter_refuses_what_rests_on_it(ansan: Site) -> None:
    data = MonthData(ansan)
    data.lose("pdu-1a", 0, 10 * DAY)
    document = build(data)
    pue = row(document, "pue")
    assert (pue["value"], pue["shown"], pue["verdict"]) == (None, "—", "refused")
    assert {"kpi": "pue", "subject": "site", "reason": pue["reason"]} in document["refused"]
    assert row(document, "facility_energy")["verdict"] == "final"


def test_a_gap_that_the_month_holds_is_in_the_month_and_not_in_its_days(ansan: Site) -> None:
    data = MonthData(ansan)
    before = build(MonthData(ansan))
    data.bridge("rain-used", "volume_m3", 2 * DAY + 80, 3 * DAY + 40)
    document = build(data)
    assert row(document, "potable_water_avoided")["verdict"] == "final"
    assert row(document, "potable_water_avoided")["shown"] == "133.9"
    assert document["daily"][3]["water"]["verdict"] == "refused"
    assert document["events"][0]["kind"] == "counter_gap"
    assert document["events"][0]["amount_shown"] == "2.80"
    assert document["silences"] == before["silences"] == []


@pytest.mark.parametrize(
    ("drop", "gone"),
    [
        ("solar", {"pv_energy", "ref", "self_consumption"}),
        ("water", {"wue", "rain_unexplained", "rain_reuse_ratio"}),
        ("accelerator", {"accelerator_energy", "accelerator_reconciliation"}),
    ],
)
def test_a_site_without_a_family_has_no_such_figures(
    ansan: Site, drop: str, gone: set[str]
) -> None:
    from dataclasses import replace

    devices = {name: d for name, d in ansan.devices.items() if d.family != drop}
    document = build(MonthData(replace(ansan, devices=devices)))
    assert gone.isdisjoint(r["kpi"] for r in document["kpis"])
    assert row(document, "pue")["verdict"] == "final"
    assert not document[{"accelerator": "accelerators"}.get(drop, drop)]


def test_what_cannot_be_reported_says_why(ansan: Site) -> None:
    from dataclasses import replace

    with pytest.raises(InsufficientDataError, match="has not ended"):
        build(MonthData(ansan), now=datetime(2026, 10, 31, 14, 59, 59, tzinfo=UTC))
    build(MonthData(ansan), now=datetime(2026, 10, 31, 15, 0, tzinfo=UTC))
    with pytest.raises(InsufficientDataError, match="planned"):
        build(MonthData(replace(ansan, status="planned")))
    empty = MonthData(ansan)
    for device in ansan.devices:
        empty.lose(device, 0, empty.count)
    with pytest.raises(InsufficientDataError, match="no data"):
        build(empty)


@pytest.mark.parametrize("text", ["2026-13", "2026-1", "2026-10-01", "x", "0000-01", "２０２６-10"])
def test_what_is_no_month(text: str) -> None:
    with pytest.raises(ValueError, match="no month"):
        parse_month(text)


def test_fingerprints_tell_what_changed(ansan: Site, whole: dict[str, Any]) -> None:
    data = MonthData(ansan)
    data.lose("lighting-1", 5, 6)
    other = build(data)
    prints, others = whole["fingerprints"], other["fingerprints"]
    assert prints["inputs"]["sha256"] != others["inputs"]["sha256"]
    assert prints["configuration"] == others["configuration"]
    renamed = build(MonthData(read_site(replace={'operator = "Kakao"': 'operator = "Other"'})))
    assert renamed["fingerprints"]["inputs"] == prints["inputs"]
    assert renamed["fingerprints"]["configuration"] != prints["configuration"]


def test_the_content_does_not_depend_on_when_it_is_built(ansan: Site) -> None:
    later = datetime(2027, 3, 1, tzinfo=UTC)
    assert build(MonthData(ansan), now=later) == build(MonthData(ansan))


def test_stored_forecasts_are_counted_and_scored_where_their_week_has_ended(ansan: Site) -> None:
    data = MonthData(ansan)
    rows = []
    for hour in range(3):
        start = data.start_ms + hour * 3_600_000
        document = json.dumps({"models": {"0-1h": "persistence"}, "points": 4}).encode()
        rows.append(ResultRow(ansan.id, "forecast", "pue", "site", "hour", start, 1.2, document))
    for day, missed in ((0, 2.0), (1, 4.0), (30, 900.0)):
        sums = BandSums(10, 100.0, missed, 25.0, 10, 8, 9, {"persistence": (100.0, 6.0)})
        start = data.start_ms + day * 86_400_000
        score = DayScore(start, ISSUED_SCORE, 24, True, {"0-1h": sums})
        rows.append(score_row(ansan.id, "pue", "hour", score))
    data.store.write_results(rows)
    (found,) = build(data)["forecasts"]
    assert (found["target"], found["models"], found["issued"]) == ("pue", ["persistence"], 3)
    assert found["last"] == "2026-09-30T17:00:00.000Z"
    # (2 + 4) / 200, while the last day's week ahead lies in the next month.
    assert found["record"]["days"] == 2
    assert found["record"]["mae_shown"] == "0.030"
    assert found["record"]["coverage_80_shown"] == "80.0 %"
    # 1 - (2 + 4) / (6 + 6)
    assert found["record"]["skill_shown"] == "+50.0"


def test_every_kpi_has_its_method_in_words() -> None:
    assert set(KPIS) <= set(METHODS)
