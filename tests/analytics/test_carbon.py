"""CUE and renewable energy by contract: known answers, dated factors, what is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from analytics.factors import Factor
from analytics.kpis import compute_kpi_rows
from core.kpis import KpiValue
from core.periods import Period, local_midnight
from core.quality import Verdict
from core.sites import Device
from core.supply_contracts import SupplyContract
from tests.analytics.interval_builders import only, period_of, put
from tests.analytics.memory_store import MemoryRecords, MemoryStore
from tests.analytics.series_builders import FIRST, SEOUL, START, START_MS, make_device, make_site

NOW = datetime(2027, 12, 1, tzinfo=UTC)
KWH = "active_energy_kwh"
# START is midnight in Seoul of this day.
DAY = START.astimezone(SEOUL).date()

FEED = make_device("grid-a", "grid_feed")
EXPORTING = make_device(
    "grid-a", "grid_feed", metrics=("active_power_kw", KWH, "export_energy_kwh")
)
GENERATOR = make_device("gen-1", "generator", fuel_l_per_kwh=0.25)
UNRATED = make_device("gen-1", "generator")
PDU = make_device("pdu-1", "pdu_output")
ROOF = make_device("pv-roof", "pv_array", rated_kwp=100.0, certificates="retained")

LOCATION = Factor("grid_location", 0.4173, "tCO2eq/MWh", "2023", "ministry", FIRST.date())
FUEL = Factor("generator_fuel", 2.8, "kgCO2eq/L", "2020", "maker", FIRST.date())
PPA = SupplyContract("ppa-1", "ppa", 0.3, None, 0.0, True, "cancelled", "contract", FIRST.date())


class Case:
    """A site with a grid feed and an IT meter over whole days."""

    def __init__(
        self, *devices: Device, days: int = 1, contracts: tuple[SupplyContract, ...] = ()
    ) -> None:
        self.count = 96 * days
        self.site = make_site(*(devices or (FEED, PDU)), supply_contracts=contracts)
        self.store, self.records = MemoryStore(), MemoryRecords()

    def put(self, device: str, total: float, metric: str = KWH) -> Case:
        amount = total / self.count
        put(self.store, self.site.devices[device], metric, amount, count=self.count)
        return self

    def rows(self, kpi: str, *factors: Factor, resolution: str = "period") -> list[KpiValue]:
        by_name: dict[str, list[Factor]] = {}
        for factor in factors:
            by_name.setdefault(factor.name, []).append(factor)
        return compute_kpi_rows(
            self.store,  # type: ignore[arg-type]
            self.records,
            self.site,
            period_of(self.count),
            resolution=resolution,  # type: ignore[arg-type]
            kpis=[kpi],
            now=NOW,
            factors=by_name,
        )

    def ask(self, kpi: str, *factors: Factor) -> KpiValue:
        return only(self.rows(kpi, *factors), kpi)


def plain(**more: object) -> Case:
    return Case(**more).put("grid-a", 1250.0).put("pdu-1", 1000.0)  # type: ignore[arg-type]


def test_the_ministrys_example() -> None:
    # 400 MWh x 0.4 tCO2eq/MWh = 160 tCO2eq.
    factor = Factor("grid_location", 0.4, "tCO2eq/MWh", "x", "x", FIRST.date())
    value = Case().put("grid-a", 400_000.0).put("pdu-1", 320_000.0).ask("cue_location", factor)
    assert value.parts["emissions_kg"] == pytest.approx(160_000.0)
    assert value.value == pytest.approx(0.4 * 1.25)
    assert value.unit == "kgCO2eq/kWh"


@pytest.mark.parametrize(
    ("value", "unit"), [(0.4173, "tCO2eq/MWh"), (0.4173, "kgCO2eq/kWh"), (417.3, "gCO2eq/kWh")]
)
def test_with_grid_power_alone_cue_is_the_factor_times_pue(value: float, unit: str) -> None:
    factor = Factor("grid_location", value, unit, "2023", "ministry", FIRST.date())
    case = plain()
    found = case.ask("cue_location", factor)
    pue = case.ask("pue").value
    assert pue == pytest.approx(1.25)
    assert found.value == pytest.approx(0.4173 * pue)
    (told,) = found.factors["grid_location"]
    assert (told["value"], told["unit"], told["year"]) == (value, unit, "2023")
    assert told["source"] == "ministry"
    assert told["basis"] == "location"


def test_a_factor_that_changes_in_the_middle_counts_on_its_own_local_days() -> None:
    change = DAY + timedelta(days=1)
    old = Factor("grid_location", 0.4541, "tCO2eq/MWh", "2020-2022", "a", FIRST.date(), change)
    new = Factor("grid_location", 0.4173, "tCO2eq/MWh", "2023", "b", change)
    case = Case(days=4).put("grid-a", 4000.0).put("pdu-1", 3200.0)
    value = case.ask("cue_location", new, old)
    # One day of 1,000 kWh with the old factor, three with the new one.
    assert value.parts["emissions_kg"] == pytest.approx(1000 * 0.4541 + 3000 * 0.4173)
    assert [f["year"] for f in value.factors["grid_location"]] == ["2023", "2020-2022"]
    days = case.rows("cue_location", new, old, resolution="day")
    assert [day.value for day in days] == pytest.approx([0.4541 * 1.25, *[0.4173 * 1.25] * 3])
    assert [[f["year"] for f in day.factors["grid_location"]] for day in days] == [
        ["2020-2022"],
        *[["2023"]] * 3,
    ]


def test_a_day_without_a_factor_is_refused_and_the_others_are_not() -> None:
    late = Factor("grid_location", 0.4, "tCO2eq/MWh", "2023", "x", DAY + timedelta(days=1))
    case = Case(days=2).put("grid-a", 2000.0).put("pdu-1", 1600.0)
    before, after = case.rows("cue_location", late, resolution="day")
    assert before.verdict is Verdict.REFUSED
    assert "'grid_location' for sites in Asia/Seoul" in before.reason
    assert "config/factors.toml" in before.reason
    assert after.value == pytest.approx(0.5)


def test_a_factor_of_another_grid_does_not_count_here() -> None:
    dutch = Factor(
        *("grid_location", 0.3, "tCO2eq/MWh", "2022", "x", FIRST.date()),
        zones=("Europe/Amsterdam",),
    )
    assert plain().ask("cue_location", dutch).verdict is Verdict.REFUSED
    here = Factor(
        *("grid_location", 0.4, "tCO2eq/MWh", "2022", "x", FIRST.date()),
        zones=("Asia/Seoul",),
    )
    assert plain().ask("cue_location", dutch, here).value == pytest.approx(0.5)


def test_exports_earn_no_credit_and_fuel_emits() -> None:
    case = Case(EXPORTING, GENERATOR, ROOF, PDU).put("grid-a", 80.0)
    case.put("grid-a", 16.0, "export_energy_kwh").put("gen-1", 4.0).put("pdu-1", 40.0)
    case.put("pv-roof", 24.0, "ac_energy_kwh")
    value = case.ask("cue_location", LOCATION, FUEL)
    # 4 kWh x 0.25 L/kWh x 2.8 kg/L
    assert value.value == pytest.approx((80 * 0.4173 + 4 * 0.25 * 2.8) / 40)
    assert value.parts["imported_electricity_kg"] == pytest.approx(80 * 0.4173)
    assert value.parts["generator_fuel_kg"] == pytest.approx(2.8)
    assert value.factors["generator_fuel"][0]["unit"] == "kgCO2eq/L"


def test_a_generator_that_ran_needs_its_fuel_and_the_fuels_factor() -> None:
    ran = Case(FEED, UNRATED, PDU).put("grid-a", 80.0).put("gen-1", 4.0).put("pdu-1", 40.0)
    assert "gen-1 ran" in ran.ask("cue_location", LOCATION, FUEL).reason
    known = Case(FEED, GENERATOR, PDU).put("grid-a", 80.0).put("gen-1", 4.0).put("pdu-1", 40.0)
    assert "'generator_fuel'" in known.ask("cue_location", LOCATION).reason
    stood = Case(FEED, UNRATED, PDU).put("grid-a", 80.0).put("gen-1", 0.0).put("pdu-1", 40.0)
    value = stood.ask("cue_location", LOCATION)
    assert value.value == pytest.approx(80 * 0.4173 / 40)
    assert "generator_fuel" not in value.factors


# ------------------------------------------------------------------ by market


def test_without_contracts_the_market_has_the_grids_own_factor_and_says_so() -> None:
    case = plain()
    value = case.ask("cue_market", LOCATION)
    assert value.value == case.ask("cue_location", LOCATION).value
    assert value.factors["fallback"] == "grid_location"
    assert value.factors["supply_contracts"] == []
    assert "fallback" not in case.ask("cue_location", LOCATION).factors


def test_a_residual_mix_goes_before_the_grids_own_factor() -> None:
    residual = Factor("grid_residual", 0.5, "kgCO2eq/kWh", "2023", "x", FIRST.date())
    value = plain().ask("cue_market", LOCATION, residual)
    assert value.value == pytest.approx(0.5 * 1.25)
    assert "fallback" not in value.factors
    assert set(value.factors) == {"grid_residual", "supply_contracts"}


def test_what_a_contract_covers_has_its_factor() -> None:
    value = plain(contracts=(PPA,)).ask("cue_market", LOCATION)
    assert value.value == pytest.approx(0.7 * 0.4173 * 1.25)
    (told,) = value.factors["supply_contracts"]
    assert (told["id"], told["value"], told["certificates"]) == ("ppa-1", 0.0, "cancelled")
    assert value.factors["fallback"] == "grid_location"
    location = plain(contracts=(PPA,)).ask("cue_location", LOCATION)
    assert location.value == pytest.approx(0.4173 * 1.25)


def test_a_contract_for_all_of_it_needs_no_factor_of_the_grid() -> None:
    whole = SupplyContract(
        "tariff", "supplier", 1.0, None, 0.2, False, "none_issued", "x", FIRST.date()
    )
    value = plain(contracts=(whole,)).ask("cue_market")
    assert value.value == pytest.approx(0.2 * 1.25)
    assert "fallback" not in value.factors


def test_sold_certificates_give_nothing() -> None:
    sold = SupplyContract("ppa-1", "ppa", 0.3, None, 0.0, True, "sold", "x", FIRST.date())
    case = plain(contracts=(sold,))
    assert case.ask("cue_market", LOCATION).value == pytest.approx(0.4173 * 1.25)
    assert "renewable supply contract" in case.ask("ref").reason


def test_a_volume_counts_in_the_days_of_its_contract() -> None:
    # 2 MWh over four days are 500 kWh a day; on the two days asked for 1,000 kWh of 2,500.
    volume = SupplyContract(
        *("rec-1", "certificates", None, 2.0, 0.0, True, "cancelled", "x", DAY),
        DAY + timedelta(days=4),
    )
    case = Case(days=2, contracts=(volume,)).put("grid-a", 2500.0).put("pdu-1", 2000.0)
    value = case.ask("cue_market", LOCATION)
    assert value.value == pytest.approx(0.4173 * 1500 / 2000)
    assert case.ask("ref").value == pytest.approx(1000 / 2500)


def test_a_volume_never_counts_for_more_than_was_imported() -> None:
    much = SupplyContract(
        *("rec-1", "certificates", None, 99.0, 0.1, True, "cancelled", "x", DAY),
        DAY + timedelta(days=1),
    )
    case = plain(contracts=(much, PPA))
    value = case.ask("cue_market", LOCATION)
    assert 0.0 < (value.value or 0.0) <= 0.1 * 1.25
    assert "fallback" not in value.factors
    assert case.ask("ref").value == pytest.approx(1.0)


def test_the_worked_example_of_the_european_rules_through_the_meters() -> None:
    """EDC 10, EIT 8, WIN 12,000 m3, EREUSE 1.5, ERES 2 + 3 + 1 GWh: 1.25, 1.5, 0.15, 0.60."""
    heat = make_device("reuse-1", "heat_reuse", family="energy", metrics=("heat_energy_kwh",))
    mains = make_device("mains-1", "mains_supply")
    array = make_device("pv-1", "pv_array", rated_kwp=80_000.0, certificates="retained")
    shares = (
        SupplyContract("goo", "certificates", 2 / 9, None, 0.0, True, "cancelled", "x", DAY),
        SupplyContract("ppa", "ppa", 3 / 9, None, 0.0, True, "cancelled", "x", DAY),
    )
    case = Case(FEED, PDU, heat, mains, array, contracts=shares)
    case.put("grid-a", 9e6).put("pv-1", 1e6, "ac_energy_kwh").put("pdu-1", 8e6)
    case.put("reuse-1", 1.5e6, "heat_energy_kwh").put("mains-1", 12_000.0, "volume_m3")
    assert case.ask("pue").value == pytest.approx(1.25)
    assert case.ask("wue").value == pytest.approx(1.5)
    assert case.ask("erf").value == pytest.approx(0.15)
    assert case.ask("ere").value == pytest.approx((1 - 0.15) * 1.25)
    ref = case.ask("ref")
    assert ref.value == pytest.approx(0.60)
    assert ref.parts["certificates_kwh"] == pytest.approx(2e6)
    assert ref.parts["ppa_kwh"] == pytest.approx(3e6)
    assert ref.parts["on_site_kwh"] == pytest.approx(1e6)


def test_a_month_of_the_shipped_factors(repository: object) -> None:
    from analytics.factors import parse_factors

    text = (repository / "config" / "factors.toml").read_text("utf-8")  # type: ignore[operator]
    factors = parse_factors(text, "factors.toml")
    grid = factors["grid_location"]
    assert [(f.value, f.year, f.valid_from) for f in grid] == [
        (0.4541, "2020-2022", date(2025, 3, 31)),
        (0.4173, "2023", date(2025, 12, 18)),
    ]
    assert Period(local_midnight(DAY, SEOUL), START + timedelta(days=1)).start_ms == START_MS
    value = plain().ask("cue_location", *grid)
    assert value.value == pytest.approx(0.4173 * 1.25)
    # 40 MW x 50 % x 8,760 h = 175.2 GWh: 79.6 kt and 73.1 kt.
    assert [round(175_200 * f.kg / 1000, 1) for f in grid] == [79.6, 73.1]
