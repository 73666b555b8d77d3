"""KPIs from intervals: boundaries, gate, reasons, shares, uncertainty."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.kpis import applicable_kpis, compute_kpi_rows, compute_kpis
from core.errors import ConfigurationError, NotFoundError
from core.kpis import KPIS, KpiValue
from core.periods import Period, local_month
from core.quality import Gate, Verdict
from core.sites import Device, RainSystem, Site
from tests.analytics.interval_builders import only, period_of, put, put_gap
from tests.analytics.memory_store import MemoryRecords, MemoryStore
from tests.analytics.series_builders import (
    SEOUL,
    START_MS,
    at,
    key_of,
    make_device,
    make_site,
    make_state,
)

NOW = datetime(2027, 12, 1, tzinfo=UTC)
KWH = "active_energy_kwh"


class Case:
    """A site with its store; asks for KPIs of the first hour unless told otherwise."""

    def __init__(self, *devices: Device, **site: object) -> None:
        self.site: Site = make_site(*devices, **site)  # type: ignore[arg-type]
        self.store, self.records = MemoryStore(), MemoryRecords()

    def put(self, device: str, metric: str, amounts: object, **more: object) -> Case:
        put(self.store, self.site.devices[device], metric, amounts, **more)  # type: ignore[arg-type]
        return self

    def all(self, *kpis: str, period: Period | None = None, **more: object) -> list[KpiValue]:
        return compute_kpis(
            self.store,  # type: ignore[arg-type]
            self.records,
            self.site,
            period or period_of(4),
            kpis=list(kpis) or None,
            now=NOW,
            **more,  # type: ignore[arg-type]
        )

    def ask(self, kpi: str, subject: str = "site", **more: object) -> KpiValue:
        return only(self.all(kpi, **more), kpi, subject)  # type: ignore[arg-type]


FEED = make_device("grid-a", "grid_feed", accuracy_class=0.5)
FEED_B = make_device("grid-b", "grid_feed", accuracy_class=0.5)
EXPORTING = make_device(
    "grid-a", "grid_feed", metrics=("active_power_kw", KWH, "export_energy_kwh")
)
GENERATOR = make_device("gen-1", "generator")
UPS = make_device("ups-1", "ups_output")
PDU = make_device("pdu-1", "pdu_output", accuracy_class=1.0)
PDU_B = make_device("pdu-2", "pdu_output", accuracy_class=1.0)
ROOF = make_device("pv-roof", "pv_array", rated_kwp=100.0, certificates="retained")
FACADE = make_device("pv-facade", "pv_array", rated_kwp=50.0, certificates="sold")
MAINS = make_device("mains-1", "mains_supply")
RECLAIMED = make_device("reclaimed-1", "reclaimed_supply")
RAIN_USED = make_device("rain-used", "rain_used")
TOP_UP = make_device("rain-top-up", "tank_top_up", parent="mains-1")


def plain(feed: float = 130.0, it: float = 100.0) -> Case:
    return Case(FEED, PDU).put("grid-a", KWH, feed / 4).put("pdu-1", KWH, it / 4)


# ------------------------------------------------------------------ energies and PUE


def test_pue_is_a_ratio_of_sums() -> None:
    case = Case(FEED, PDU)
    case.put("grid-a", KWH, [130.0, 240.0], count=2).put("pdu-1", KWH, [100.0, 200.0], count=2)
    value = case.ask("pue", period=period_of(2))
    assert value.value == pytest.approx(370 / 300)
    assert value.value == pytest.approx(1.2333, abs=5e-5)
    assert value.verdict is Verdict.FINAL
    assert value.reason == ""
    assert value.category == 2
    assert value.unit == "1"
    assert value.interim
    assert (value.coverage.numerator, value.coverage.denominator) == (1.0, 1.0)
    assert value.shares.counted == 1.0
    assert value.series == ("grid-a/active_energy_kwh", "pdu-1/active_energy_kwh")
    assert value.parts["facility_energy_kwh"] == pytest.approx(370.0)
    assert value.parts["it_energy_kwh"] == pytest.approx(300.0)
    assert value.parts["gate_final"] == 0.95
    assert value.as_json()["verdict"] == "final"


def test_facility_energy_is_imports_less_exports_and_generators_and_solar() -> None:
    case = Case(EXPORTING, FEED_B, GENERATOR, ROOF, PDU)
    case.put("grid-a", KWH, 20.0).put("grid-a", "export_energy_kwh", 2.0)
    case.put("grid-b", KWH, 5.0).put("gen-1", KWH, 1.0).put("pv-roof", "ac_energy_kwh", 3.0)
    value = case.ask("facility_energy")
    assert value.value == pytest.approx(4 * (20 - 2 + 5 + 1 + 3))
    assert value.parts["grid_import_kwh"] == pytest.approx(100.0)
    assert value.parts["grid_export_kwh"] == pytest.approx(8.0)
    assert value.parts["generator_kwh"] == pytest.approx(4.0)
    assert value.parts["pv_kwh"] == pytest.approx(12.0)
    assert value.category is None


def test_solar_power_does_not_lower_pue() -> None:
    without = plain(130.0).ask("pue").value
    case = Case(FEED, PDU, ROOF)
    case.put("grid-a", KWH, 20.0 / 4).put("pv-roof", "ac_energy_kwh", 110.0 / 4)
    case.put("pdu-1", KWH, 25.0)
    assert case.ask("pue").value == pytest.approx(without)


def test_a_category_is_metered_at_its_own_point() -> None:
    case = Case(FEED, UPS, PDU)
    case.put("grid-a", KWH, 32.5).put("ups-1", KWH, 26.0).put("pdu-1", KWH, 25.0)
    assert case.ask("pue").value == pytest.approx(1.3)
    other = case.ask("pue", category=1)
    assert other.value == pytest.approx(1.25)
    assert other.category == 1
    refused = case.ask("pue", category=3)
    assert refused.verdict is Verdict.REFUSED
    assert "category 3" in refused.reason
    assert "it_input" in refused.reason


def test_of_two_it_meters_in_line_only_the_upper_counts() -> None:
    below = make_device("pdu-1a", "pdu_output", parent="pdu-1")
    case = Case(FEED, PDU, below)
    case.put("pdu-1", KWH, 25.0).put("pdu-1a", KWH, 10.0)
    assert case.ask("it_energy").value == pytest.approx(100.0)


def test_a_declared_category_wins_over_the_role() -> None:
    odd = make_device("dist-1", "it_input", pue_category=2)
    case = Case(FEED, odd).put("dist-1", KWH, 25.0)
    assert case.ask("it_energy").value == pytest.approx(100.0)


@pytest.mark.parametrize(
    ("covered", "verdict"),
    [
        (1.0, Verdict.FINAL),
        (0.95, Verdict.FINAL),
        (0.95 - 1e-12, Verdict.FINAL),
        (0.9499, Verdict.PROVISIONAL),
        (0.80, Verdict.PROVISIONAL),
        (0.7999, Verdict.REFUSED),
        (0.0, Verdict.REFUSED),
    ],
)
def test_the_gate(covered: float, verdict: Verdict) -> None:
    case = Case(FEED, PDU).put("grid-a", KWH, 32.5)
    case.put("pdu-1", KWH, 25.0, covered_s=900.0 * covered)
    for kpi in ("pue", "it_energy"):
        value = case.ask(kpi)
        assert value.verdict is verdict
        assert (value.value is None) is (verdict is Verdict.REFUSED)
        assert ("pdu-1/active_energy_kwh" in value.reason) is (verdict is not Verdict.FINAL)


def test_a_site_has_its_own_gate() -> None:
    case = Case(FEED, PDU, gate=Gate(final=0.5, provisional=0.4)).put("grid-a", KWH, 32.5)
    case.put("pdu-1", KWH, 25.0, covered_s=500.0)
    value = case.ask("it_energy")
    assert value.verdict is Verdict.FINAL
    assert value.parts["gate_provisional"] == 0.4


def test_a_percentage_is_not_rounded_up_to_the_threshold() -> None:
    case = Case(FEED, PDU).put("pdu-1", KWH, 25.0, covered_s=900.0 * 0.79999)
    assert "79.9 %" in case.ask("it_energy").reason


def test_a_sum_that_lacks_one_meter_is_not_the_sum() -> None:
    case = Case(FEED, PDU, PDU_B).put("grid-a", KWH, 32.5).put("pdu-1", KWH, 25.0)
    value = case.ask("it_energy")
    assert value.verdict is Verdict.REFUSED
    assert value.value is None
    assert value.coverage.numerator == 0.0
    assert "pdu-2/active_energy_kwh" in value.reason
    assert value.uncertainty is None
    assert value.shares.counted == 0.0


def test_where_one_side_has_a_hole_the_interval_leaves_both_sums() -> None:
    case = Case(FEED, PDU)
    case.put("grid-a", KWH, [30.0] * 20, count=20)
    case.put("pdu-1", KWH, [20.0] * 18 + [0.0, 20.0], count=20, covered_s=[900.0] * 18 + [0, 900])
    value = case.ask("pue", period=period_of(20))
    assert value.value == pytest.approx(1.5)
    assert value.coverage.denominator == pytest.approx(0.95)
    assert value.parts["covered_together"] == pytest.approx(0.95)
    assert value.verdict is Verdict.FINAL


def test_holes_that_do_not_meet_count_together() -> None:
    case = Case(FEED, PDU)
    hole = [900.0] * 20
    case.put("grid-a", KWH, 30.0, count=20, covered_s=[0.0, *hole[1:]])
    case.put("pdu-1", KWH, 20.0, count=20, covered_s=[*hole[1:], 0.0])
    value = case.ask("pue", period=period_of(20))
    assert value.verdict is Verdict.PROVISIONAL
    assert "together" in value.reason
    assert "90.0 %" in value.reason


def test_more_it_than_facility_energy_is_refused_and_names_the_meters() -> None:
    value = plain(90.0, 100.0).ask("pue")
    assert value.verdict is Verdict.REFUSED
    assert value.value is None
    assert "exceeds facility energy" in value.reason
    assert "pdu-1/active_energy_kwh" in value.reason


def test_an_idle_pue_is_refused() -> None:
    value = plain(5.0, 0.0).ask("pue")
    assert value.verdict is Verdict.REFUSED
    assert "IT energy is 0" in value.reason


def test_a_feed_that_stands_still_is_the_suspect() -> None:
    case = Case(FEED, FEED_B, PDU)
    case.put("grid-a", KWH, 20.0).put("grid-b", KWH, 0.0).put("pdu-1", KWH, 25.0)
    assert "grid-b/active_energy_kwh, which stands still" in case.ask("pue").reason


def test_a_meter_whose_counter_and_power_disagree_is_the_suspect() -> None:
    case = Case(FEED, PDU, PDU_B)
    case.put("grid-a", KWH, 30.0).put("grid-a", "active_power_kw", 30.0)
    case.put("pdu-1", KWH, 12.0).put("pdu-1", "active_power_kw", 12.0)
    case.put("pdu-2", KWH, 24.0).put("pdu-2", "active_power_kw", 12.0)
    assert "pdu-2: its counter shows 2 times" in case.ask("pue").reason


def test_an_it_meter_above_its_rating_is_the_suspect() -> None:
    small = make_device("pdu-1", "pdu_output", rated_kw=50.0)
    case = Case(FEED, small).put("grid-a", KWH, 20.0).put("pdu-1", KWH, 25.0)
    assert "a mean of 100 kW against a rating of 50 kW" in case.ask("pue").reason


def test_an_it_meter_above_its_parent_is_the_suspect() -> None:
    below = make_device("pdu-1", "pdu_output", parent="ups-1")
    case = Case(FEED, UPS, below).put("grid-a", KWH, 20.0).put("pdu-1", KWH, 25.0)
    case.put("ups-1", KWH, 18.0)
    assert "100.0 kWh against 72.0 kWh of ups-1" in case.ask("pue").reason


# ------------------------------------------------------------------ counters, powers, gaps


def test_power_stands_in_where_the_counter_is_absent() -> None:
    case = Case(FEED, PDU)
    case.put("pdu-1", KWH, [25.0, 25.0, 0.0, 25.0], covered_s=[900, 900, 0, 900])
    case.put("pdu-1", "active_power_kw", 26.0)
    value = case.ask("it_energy")
    assert value.value == pytest.approx(25 * 3 + 26)
    assert value.verdict is Verdict.FINAL
    assert value.shares.measured == pytest.approx(26 / 101)
    assert value.shares.counted == pytest.approx(75 / 101)
    assert value.series == ("pdu-1/active_energy_kwh", "pdu-1/active_power_kw")


def gap_of_two(case: Case) -> Case:
    """Intervals 1 and 2 lie in a gap of the IT counter."""
    case.put("grid-a", KWH, 30.0, count=4)
    case.put("pdu-1", KWH, 20.0, covered_s=[900, 0, 0, 900], estimated_s=[0, 900, 900, 0])
    put_gap(case.records, PDU, KWH, 1, 3, 40.0)
    return case


def test_a_gap_is_covered_in_a_period_that_holds_both_ends() -> None:
    value = gap_of_two(Case(FEED, PDU)).ask("pue")
    assert value.value == pytest.approx(1.5)
    assert value.coverage.denominator == 1.0
    assert value.verdict is Verdict.FINAL
    assert value.shares.counted == 1.0


def test_a_gap_is_not_covered_in_a_period_inside_it() -> None:
    case = gap_of_two(Case(FEED, PDU))
    for period in (period_of(1, 1), period_of(2, 0)):
        value = case.ask("it_energy", period=period)
        assert value.verdict is Verdict.REFUSED
    rows = compute_kpi_rows(
        case.store,  # type: ignore[arg-type]
        case.records,
        case.site,
        period_of(4),
        resolution="15m",
        kpis=["it_energy"],
        now=NOW,
    )
    assert [row.coverage.numerator for row in rows] == [1.0, 0.0, 0.0, 1.0]


def test_a_measured_power_takes_the_place_of_an_estimate() -> None:
    case = gap_of_two(Case(FEED, PDU)).put("pdu-1", "active_power_kw", [20.0, 15.0, 25.0, 20.0])
    inside = case.ask("it_energy", period=period_of(1, 1))
    assert inside.value == 15.0
    assert inside.shares.measured == 1.0
    assert case.ask("it_energy").value == pytest.approx(80.0)


def test_an_estimate_stays_where_power_covers_less_than_the_interval() -> None:
    case = gap_of_two(Case(FEED, PDU)).put("pdu-1", "active_power_kw", 5.0, covered_s=300.0)
    case.site = make_site(FEED, PDU, gate=Gate(0.5, 0.5))
    value = case.ask("it_energy", period=period_of(2))
    assert value.value == pytest.approx(40.0)
    assert value.shares.estimated == pytest.approx(0.5)


def test_seconds_sent_as_estimated_or_read_by_hand_are_shares() -> None:
    case = Case(FEED, PDU)
    case.put("pdu-1", KWH, 25.0, estimated_quality_s=450.0, manual_s=225.0)
    shares = case.ask("it_energy").shares
    assert (shares.estimated, shares.manual, shares.counted) == (0.5, 0.25, 0.25)


def test_a_simulated_site_says_so_with_every_figure() -> None:
    case = Case(FEED, PDU, data="simulated").put("grid-a", KWH, 30.0)
    case.put("pdu-1", KWH, 25.0, estimated_quality_s=450.0)
    shares = case.ask("facility_energy").shares
    assert (shares.simulated, shares.counted, shares.measured) == (1.0, 0.0, 0.0)
    assert case.ask("it_energy").shares.estimated == 0.5
    assert case.ask("it_energy").shares.simulated == 0.5
    assert case.ask("pue").verdict is Verdict.FINAL


def test_a_device_counts_from_the_interval_in_which_it_exists() -> None:
    late = Device("pdu-2", (make_state("pdu_output", valid_from=at(1800)),))
    case = Case(FEED, PDU, late).put("grid-a", KWH, 30.0).put("pdu-1", KWH, 10.0)
    case.put("pdu-2", KWH, 10.0, count=2, first=2)
    value = case.ask("it_energy")
    assert value.value == pytest.approx(60.0)
    assert value.verdict is Verdict.FINAL


def test_a_device_that_changes_its_role_counts_where_it_stood() -> None:
    moved = Device(
        "meter-1",
        (
            make_state("it_input", pue_category=3),
            make_state("pdu_output", valid_from=at(1800)),
        ),
    )
    case = Case(FEED, PDU, moved).put("pdu-1", KWH, 10.0).put("meter-1", KWH, 5.0)
    assert case.ask("it_energy").value == pytest.approx(50.0)
    case_3 = case.ask("it_energy", category=3)
    assert case_3.verdict is Verdict.REFUSED
    assert "50.0 %" in case_3.reason


def test_before_any_meter_was_declared_nothing_is_said() -> None:
    late = Device("pdu-1", (make_state("pdu_output", valid_from=at(86_400)),))
    value = Case(FEED, late).ask("it_energy")
    assert value.verdict is Verdict.REFUSED
    assert "no meter of it_energy_kwh is declared for this period" in value.reason


# ------------------------------------------------------------------ water


def wet(**amounts: float) -> Case:
    case = Case(FEED, PDU, MAINS, RECLAIMED, RAIN_USED, TOP_UP).put("pdu-1", KWH, 2_000_000.0)
    for device, amount in amounts.items():
        case.put(device.replace("_", "-"), "volume_m3", amount / 4)
    return case


WATER = {"mains_1": 9_000.0, "reclaimed_1": 2_500.0, "rain_used": 700.0, "rain_top_up": 200.0}


def test_total_and_potable_water() -> None:
    case = wet(**WATER)
    total = case.ask("wue")
    assert total.value == pytest.approx(1.5)  # 9,000 + 2,500 + (700 - 200) m3 on 8 GWh
    assert total.parts["rain_reused_m3"] == pytest.approx(500.0)
    assert total.parts["mains_m3"] == pytest.approx(9_000.0)
    assert total.unit == "L/kWh"
    assert total.category == 2
    taken = case.ask("total_water")
    assert taken.value == pytest.approx(12_000.0)
    by_source = [taken.parts[f"{name}_m3"] for name in ("mains", "reclaimed", "rain_reused")]
    assert by_source == pytest.approx([9_000.0, 2_500.0, 500.0])
    potable = case.ask("wue_potable")
    assert potable.value == pytest.approx(9_000 / 8_000)
    assert case.ask("potable_water_avoided").value == pytest.approx(500.0)
    assert case.ask("rain_reuse_ratio").value == pytest.approx(500 / 12_000)


def test_more_top_up_than_delivery_is_in_the_tank_and_no_ratio() -> None:
    case = wet(**{**WATER, "rain_used": 100.0})
    value = case.ask("rain_reuse_ratio")
    assert value.verdict is Verdict.REFUSED
    assert "still stored" in value.reason
    assert case.ask("wue").value == pytest.approx((9_000 + 2_500 - 100) / 8_000)


def test_source_water_is_refused_with_its_reason() -> None:
    value = wet(**WATER).ask("wue_source")
    assert value.verdict is Verdict.REFUSED
    assert "water-intensity factor" in value.reason


def test_a_missing_water_meter_is_named() -> None:
    case = wet(mains_1=9_000.0, reclaimed_1=1.0, rain_used=1.0)
    assert "rain-top-up/volume_m3" in case.ask("wue").reason
    assert case.ask("wue_potable").verdict is Verdict.FINAL


TANK = RainSystem(6000.0, 0.85, 300.0, ((0.0, 0.0), (3.0, 300.0)))
COLLECTED = make_device("rain-collected", "rain_collected")
OVERFLOW = make_device("rain-overflow", "rain_overflow")
DRAIN = make_device("rain-drain", "rain_drain")
LEVEL = make_device("rain-tank", "rain_tank", metrics=("tank_level_m",))
STATION = make_device("weather-1", "station")


def rainy(start_m: float = 1.0, end_m: float = 1.22) -> Case:
    case = Case(RAIN_USED, TOP_UP, MAINS, COLLECTED, OVERFLOW, DRAIN, LEVEL, STATION, rain=TANK)
    rows = {
        "rain-collected": 100.0,
        "rain-top-up": 10.0,
        "rain-used": 60.0,
        "rain-overflow": 20.0,
        "rain-drain": 5.0,
    }
    for device, amount in rows.items():
        case.put(device, "volume_m3", amount / 4)
    case.put("rain-tank", "tank_level_m", 0.0, mean=[start_m, start_m, end_m, end_m])
    case.put("weather-1", "rain_mm", 5.0)
    return case


def test_the_rain_balance_says_what_it_cannot_explain() -> None:
    value = rainy().ask("rain_unexplained")
    assert value.value == pytest.approx(3.0)
    assert value.parts["stored_m3"] == pytest.approx(22.0)
    assert value.parts["collected_m3"] == pytest.approx(100.0)


def test_the_level_at_a_border_comes_from_the_readings_around_it() -> None:
    case = rainy()
    for border, level in ((0, 2.0), (3600, 2.1)):
        rows = [(START_MS + (border + s) * 1000, level + s * 1e-4) for s in (-30, 30)]
        case.store.add(key_of(LEVEL, "tank_level_m"), rows)
    value = case.ask("rain_unexplained")
    assert value.parts["stored_m3"] == pytest.approx(10.0)
    assert value.value == pytest.approx(15.0)


def test_without_a_level_no_balance() -> None:
    case = rainy()
    case.store.intervals = {
        key: rows for key, rows in case.store.intervals.items() if key.metric != "tank_level_m"
    }
    value = case.ask("rain_unexplained")
    assert value.verdict is Verdict.REFUSED
    assert "level" in value.reason


def test_collection_efficiency_prints_the_coefficient_beside_it() -> None:
    value = rainy().ask("rain_collection_efficiency")
    assert value.value == pytest.approx(100 / (0.020 * 6000))
    assert value.parts["runoff_coefficient"] == 0.85
    case = rainy().put("rain-collected", "volume_m3", 40.0)
    assert "catchment" in case.ask("rain_collection_efficiency").reason


# ------------------------------------------------------------------ solar and renewables


def sunny() -> Case:
    case = Case(EXPORTING, ROOF, FACADE, PDU)
    case.put("grid-a", KWH, 80.0).put("grid-a", "export_energy_kwh", 0.0)
    case.put("pv-roof", "ac_energy_kwh", 15.0).put("pv-facade", "ac_energy_kwh", 5.0)
    return case


def test_pv_energy_and_yield_by_array_and_site() -> None:
    case = sunny()
    assert case.ask("pv_energy").value == pytest.approx(80.0)
    assert case.ask("pv_energy", "pv-roof").value == pytest.approx(60.0)
    assert case.ask("pv_specific_yield").value == pytest.approx(80 / 150)
    assert case.ask("pv_specific_yield", "pv-facade").value == pytest.approx(20 / 50)
    assert case.ask("pv_capacity_factor", "pv-facade").value == pytest.approx(0.4)
    assert case.ask("pv_specific_yield").unit == "kWh/kWp"


def test_energy_that_the_rated_power_cannot_give_is_refused() -> None:
    case = sunny().put("pv-facade", "ac_energy_kwh", 16.0)
    value = case.ask("pv_energy", "pv-facade")
    assert value.verdict is Verdict.REFUSED
    assert "pv-facade/ac_energy_kwh" in value.reason
    assert case.ask("pv_specific_yield", "pv-facade").value is None


def test_only_energy_used_here_with_its_certificates_is_renewable() -> None:
    case = sunny()
    assert case.ask("ref").value == pytest.approx(60 / 400)
    # A quarter of the solar energy leaves: of the roof's 60 kWh, 45 stay.
    case.put("grid-a", "export_energy_kwh", 5.0)
    assert case.ask("ref").value == pytest.approx(45 / 380)
    assert case.ask("self_consumption").value == pytest.approx(0.75)
    assert case.ask("self_sufficiency").value == pytest.approx(60 / 380)


def test_a_site_whose_certificates_are_sold_has_a_known_zero() -> None:
    case = Case(FEED, FACADE).put("grid-a", KWH, 80.0).put("pv-facade", "ac_energy_kwh", 5.0)
    value = case.ask("ref")
    assert value.value == 0.0
    assert value.verdict is Verdict.FINAL


def test_performance_ratio_measures_each_array_against_its_own_plane() -> None:
    metrics = ("ac_power_kw", "ac_energy_kwh", "poa_irradiance_w_per_m2")
    roof = make_device("pv-roof", "pv_array", rated_kwp=100.0, metrics=metrics)
    case = Case(FEED, roof)
    # Two quarters of sun (800 W/m2 are 200 Wh/m2), two of night with the inverter drawing.
    case.put("pv-roof", "ac_energy_kwh", [16.0, 16.0, -0.1, -0.1])
    case.put("pv-roof", "poa_irradiance_w_per_m2", [200.0, 200.0, 0.5, 0.0])
    value = case.ask("pv_performance_ratio", "pv-roof")
    assert value.value == pytest.approx(32 / (100 * 0.4))
    assert value.uncertainty is None


# ------------------------------------------------------------------ accelerators


def racks() -> Case:
    gpus = [
        make_device(f"gpu-{i}", "accelerator", group="gpu-{0..3}", kind="gpu", hall="hall-ai")
        for i in range(4)
    ]
    npu = make_device("npu-0", "accelerator", kind="npu", metrics=("power_w",), hall="hall-ai")
    node = make_device("node-0", "node")
    pdu = make_device("pdu-1", "pdu_output", hall="hall-ai")
    case = Case(FEED, pdu, PDU_B, *gpus, npu, node)
    for gpu in gpus[:3]:
        case.put(gpu.id, "energy_kwh", 1.0)
    case.put("npu-0", "power_w", 0.5).put("node-0", "energy_kwh", 99.0)
    case.put("pdu-1", KWH, 5.0).put("pdu-2", KWH, 100.0)
    return case


def test_accelerators_are_counted_at_one_level_by_kind_and_group() -> None:
    case = racks().put("gpu-3", "energy_kwh", 1.0)
    assert case.ask("accelerator_energy").value == pytest.approx(18.0)
    assert case.ask("accelerator_energy", "gpu").value == pytest.approx(16.0)
    npu = case.ask("accelerator_energy", "npu")
    assert npu.value == pytest.approx(2.0)
    assert npu.shares.measured == 1.0
    assert case.ask("accelerator_energy", "gpu-{0..3}").value == pytest.approx(16.0)


def test_many_alike_are_covered_by_the_share_that_reported() -> None:
    value = racks().ask("accelerator_energy")
    assert value.coverage.numerator == pytest.approx(4 / 5)
    assert value.verdict is Verdict.PROVISIONAL
    assert "gpu-3/energy_kwh" in value.reason


def test_reconciliation_compares_the_hall_that_feeds_them() -> None:
    case = racks().put("gpu-3", "energy_kwh", 1.0)
    assert case.ask("accelerator_reconciliation", "hall-ai").value == pytest.approx(18 / 20)
    assert case.ask("accelerator_reconciliation").value == pytest.approx(18 / 20)


def test_a_clusters_total_is_covered_by_its_reporting_members() -> None:
    metrics = ("power_w", "members_reporting", "members_expected")
    total = make_device("lisa", "cluster_total", metrics=metrics, count=277)
    case = Case(total).put("lisa", "power_w", 5.0)
    case.put("lisa", "members_reporting", 0.0, mean=[270.0, 270.0, 250.0, 277.0])
    case.put("lisa", "members_expected", 0.0, mean=277.0)
    value = case.ask("accelerator_energy")
    assert value.value == pytest.approx(20.0)
    assert value.coverage.numerator == pytest.approx((270 + 270 + 250 + 277) / 4 / 277)
    case.store.intervals = {
        k: v for k, v in case.store.intervals.items() if k.metric != "members_expected"
    }
    again = case.ask("accelerator_energy")
    assert again.coverage.numerator == pytest.approx(value.coverage.numerator or 0.0)


def test_each_of_several_cluster_totals_is_a_group() -> None:
    totals = [
        make_device(name, "cluster_total", metrics=("power_w",), kind="gpu", count=4)
        for name in ("part-1", "part-2")
    ]
    case = Case(*totals).put("part-1", "power_w", 1.0).put("part-2", "power_w", 2.0)
    parts = [case.ask("accelerator_energy", name).value for name in ("part-1", "part-2", "site")]
    assert parts == pytest.approx([4.0, 8.0, 12.0])


# ------------------------------------------------------------------ uncertainty


def test_uncertainty_of_a_ratio_of_two_meters() -> None:
    value = plain(130.0).ask("pue")
    relative = (0.5**2 + 1.0**2) ** 0.5 / 3**0.5 / 100
    assert value.uncertainty == pytest.approx(2 * relative * 1.3)


def test_one_meter_is_wrong_the_same_way_all_the_time() -> None:
    value = plain(130.0).ask("facility_energy")
    assert value.uncertainty == pytest.approx(2 * 130 * 0.5 / 3**0.5 / 100)


def test_two_meters_are_independent() -> None:
    case = Case(FEED, FEED_B, PDU).put("grid-a", KWH, 30.0).put("grid-b", KWH, 40.0)
    sigma = (120**2 + 160**2) ** 0.5 * 0.5 / 3**0.5 / 100
    assert case.ask("facility_energy").uncertainty == pytest.approx(2 * sigma)


def test_a_meter_on_both_sides_cancels_in_part() -> None:
    used = make_device("rain-used", "rain_used", accuracy_class=2.0)
    mains = make_device("mains-1", "mains_supply", accuracy_class=2.0)
    case = Case(used, mains).put("rain-used", "volume_m3", 25.0).put("mains-1", "volume_m3", 75.0)
    u = 2.0 / 3**0.5 / 100
    # R = r / (r + m): dR/R = (1 - R) (dr/r - dm/m)
    expected = 0.25 * 0.75 * (2 * u * u) ** 0.5
    assert case.ask("rain_reuse_ratio").uncertainty == pytest.approx(2 * expected)


def test_an_undeclared_class_leaves_the_uncertainty_open() -> None:
    case = Case(FEED, PDU, UPS).put("grid-a", KWH, 30.0).put("ups-1", KWH, 26.0)
    assert case.ask("pue", category=1).uncertainty is None


# ------------------------------------------------------------------ periods and questions


def test_twelve_local_months_are_not_interim() -> None:
    case = Case(FEED, PDU)
    year = Period(local_month(2025, 11, SEOUL).start, local_month(2026, 10, SEOUL).end)
    assert not case.ask("facility_energy", period=year).interim
    assert case.ask("facility_energy", period=local_month(2025, 11, SEOUL)).interim
    shifted = Period(year.start + timedelta(days=1), year.end + timedelta(days=1))
    assert case.ask("facility_energy", period=shifted).interim


def test_rows_of_hours_are_the_questions_of_hours() -> None:
    case = Case(FEED, PDU)
    case.put("grid-a", KWH, [30.0 + i for i in range(12)], count=12)
    case.put("pdu-1", KWH, [20.0 + i / 2 for i in range(12)], count=12)
    rows = compute_kpi_rows(
        case.store,  # type: ignore[arg-type]
        case.records,
        case.site,
        period_of(12),
        resolution="hour",
        kpis=["pue"],
        now=NOW,
    )
    assert len(rows) == 3
    for number, row in enumerate(rows):
        alone = case.ask("pue", period=period_of(4, 4 * number))
        assert row == alone


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.floats(0.0, 1e4), min_size=96, max_size=96),
    st.integers(0, 90),
    st.integers(1, 40),
)
def test_parts_of_a_day_add_up_to_the_day(amounts: list[float], gap: int, length: int) -> None:
    case = Case(FEED, PDU)
    silent = [gap <= i < gap + length for i in range(96)]
    case.put(
        "grid-a",
        KWH,
        amounts,
        count=96,
        covered_s=[0.0 if s else 900.0 for s in silent],
        estimated_s=[900.0 if s else 0.0 for s in silent],
    )
    end = min(gap + length, 96)
    put_gap(case.records, FEED, KWH, gap, end, sum(amounts[gap:end]))
    case.site = make_site(FEED, PDU, gate=Gate(1e-9, 1e-9))
    whole = case.ask("facility_energy", period=period_of(96))
    assert whole.coverage.numerator == pytest.approx(1.0)
    for resolution in ("15m", "hour"):
        rows = compute_kpi_rows(
            case.store,  # type: ignore[arg-type]
            case.records,
            case.site,
            period_of(96),
            resolution=resolution,  # type: ignore[arg-type]
            kpis=["facility_energy"],
            now=NOW,
        )
        known = sum(row.value or 0.0 for row in rows)
        hidden = [row for row in rows if row.value is None]
        assert all(row.coverage.numerator == 0.0 for row in hidden)
        inside = sum(
            amounts[i] for row in hidden for i in range(96) if row.start <= at(900 * i) < row.end
        )
        assert known + inside == pytest.approx(whole.value, rel=1e-9, abs=1e-6)


def test_a_period_that_has_not_begun_or_ended_says_so() -> None:
    case = plain()
    rows = compute_kpi_rows(
        case.store,  # type: ignore[arg-type]
        case.records,
        case.site,
        period_of(12),
        resolution="hour",
        kpis=["pue"],
        now=at(4500),
    )
    assert [row.verdict.value for row in rows] == ["final", "refused", "refused"]
    assert "has not ended" in rows[1].reason
    assert rows[2].reason == "the period has not begun"


def test_off_the_grid_is_refused() -> None:
    period = Period(at(0), at(1000))
    with pytest.raises(ConfigurationError, match="off the grid"):
        plain().ask("pue", period=period)


def test_an_unknown_kpi_is_an_error_and_an_unbuilt_one_is_refused() -> None:
    with pytest.raises(NotFoundError, match="no KPI 'puee'"):
        plain().ask("puee")
    assert "this version" in plain().ask("cer").reason
    assert "solar array" in plain().ask("pv_energy").reason


def test_a_site_is_asked_for_what_it_can_have() -> None:
    assert applicable_kpis(make_site(FEED, PDU)) == [
        "facility_energy",
        "it_energy",
        "pue",
        "cue_location",
        "cue_market",
    ]
    assert [value.kpi for value in plain().all()] == ["facility_energy", "it_energy", "pue"]
    everything = applicable_kpis(
        make_site(FEED, PDU, ROOF, MAINS, RAIN_USED, COLLECTED, LEVEL, STATION)
    )
    assert set(everything) <= set(KPIS)
    assert "rain_unexplained" in everything


def test_nothing_is_read_twice() -> None:
    case = plain()
    asked: list[tuple[str, ...]] = []
    read = case.store.read_intervals

    def counting(*args: object, **kwargs: object) -> object:
        asked.append(tuple(sorted(map(str, kwargs.items()))))
        return read(*args, **kwargs)  # type: ignore[arg-type]

    case.store.read_intervals = counting  # type: ignore[method-assign,assignment]
    case.all()
    assert len(asked) == 1
