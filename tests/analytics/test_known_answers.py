"""The known answers of the field, through the meters: one for every KPI that is computed.

Worked by hand from public rules and figures: sums first, then one division.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from analytics.kpis import compute_kpis
from core.kpis import KpiValue
from core.quality import Verdict
from core.sites import Device, RainSystem
from tests.analytics.interval_builders import only, period_of, put
from tests.analytics.memory_store import MemoryRecords, MemoryStore
from tests.analytics.series_builders import make_device, make_site

KWH = "active_energy_kwh"
NOW = datetime(2027, 12, 1, tzinfo=UTC)
FEED, PDU = make_device("grid-a", "grid_feed"), make_device("pdu-1", "pdu_output")
MAINS = make_device("mains-1", "mains_supply")
RECLAIMED = make_device("reclaimed-1", "reclaimed_supply")
RAIN_USED = make_device("rain-used", "rain_used")
TOP_UP = make_device("rain-top-up", "tank_top_up", parent="mains-1")


class Sums:
    """A site whose meters showed these totals over one period."""

    def __init__(self, *devices: Device, rain: RainSystem | None = None, count: int = 96) -> None:
        self.site = make_site(*devices, rain=rain)
        self.store, self.records, self.count = MemoryStore(), MemoryRecords(), count

    def put(self, device: str, metric: str, total: float, **more: object) -> Sums:
        put(
            *(self.store, self.site.devices[device], metric, total / self.count),
            count=self.count,
            **more,  # type: ignore[arg-type]
        )
        return self

    def ask(self, kpi: str, subject: str = "site") -> KpiValue:
        found = compute_kpis(
            self.store,  # type: ignore[arg-type]
            self.records,
            self.site,
            period_of(self.count),
            kpis=[kpi],
            now=NOW,
        )
        return only(found, kpi, subject)


def test_a_published_facility() -> None:
    """NREL ESIF, 2016-09 to 2017-08: PUE 1.034, WUE 0.70, ERE 0.929."""
    heat = make_device("reuse-1", "heat_reuse", family="energy", metrics=("heat_energy_kwh",))
    case = Sums(FEED, PDU, MAINS, heat)
    case.put("grid-a", KWH, 8_037_500.0).put("pdu-1", KWH, 7_776_000.0)
    case.put("mains-1", "volume_m3", 5_443.0)
    assert case.ask("facility_energy").value == pytest.approx(8_037_500.0)
    assert case.ask("it_energy").value == pytest.approx(7_776_000.0)
    assert case.ask("pue").value == pytest.approx(1.034, abs=5e-4)
    assert case.ask("wue").value == pytest.approx(0.70, abs=5e-3)
    # ERF = 1 - ERE / PUE holds by definition.
    case.put("reuse-1", "heat_energy_kwh", 8_037_500.0 - 0.929 * 7_776_000.0)
    pue, erf, ere = (case.ask(kpi).value or 0.0 for kpi in ("pue", "erf", "ere"))
    assert ere == pytest.approx(0.929)
    assert erf == pytest.approx(1 - ere / pue)


def test_water_by_source() -> None:
    """20 GWh of IT: 12,000 m3 mains with 200 m3 of top-up, 5,000 reclaimed, 1,200 delivered."""
    case = Sums(FEED, PDU, MAINS, RECLAIMED, RAIN_USED, TOP_UP).put("pdu-1", KWH, 20e6)
    case.put("mains-1", "volume_m3", 12_000.0).put("reclaimed-1", "volume_m3", 5_000.0)
    case.put("rain-used", "volume_m3", 1_200.0).put("rain-top-up", "volume_m3", 200.0)
    total = 12_000 + 5_000 + (1_200 - 200)
    assert case.ask("wue").value == pytest.approx(total / 20_000)
    assert case.ask("wue_potable").value == pytest.approx(0.6)
    assert case.ask("potable_water_avoided").value == pytest.approx(1_000.0)
    assert case.ask("rain_reuse_ratio").value == pytest.approx(1_000 / total)
    assert case.ask("wue_source").verdict is Verdict.REFUSED


def test_evaporation_of_all_heat_is_1_97_litres_at_four_cycles() -> None:
    # 1 L carries 0.68 kWh: 1.47 L/kWh; make-up is evaporation x COC / (COC - 1).
    case = Sums(FEED, PDU, MAINS).put("pdu-1", KWH, 1_000.0)
    case.put("mains-1", "volume_m3", 1.0 / 0.68 * 4 / 3)
    assert case.ask("wue").value == pytest.approx(1.96, abs=0.01)


def test_rain_on_a_roof_of_6000_m2() -> None:
    """1,300 mm x 6,000 m2 x 0.85 x 0.9 = 5,967 m3; the balance names what is left over."""
    tank = RainSystem(6000.0, 0.85, 300.0, ((0.0, 0.0), (3.0, 300.0)))
    devices = (
        MAINS,
        RAIN_USED,
        TOP_UP,
        make_device("rain-collected", "rain_collected"),
        make_device("rain-overflow", "rain_overflow"),
        make_device("rain-drain", "rain_drain"),
        make_device("rain-tank", "rain_tank", metrics=("tank_level_m",)),
        make_device("weather-1", "station"),
    )
    case = Sums(*devices, rain=tank)
    case.put("weather-1", "rain_mm", 1_300.0).put("rain-collected", "volume_m3", 5_967.0)
    case.put("rain-top-up", "volume_m3", 33.0).put("rain-used", "volume_m3", 4_800.0)
    case.put("rain-overflow", "volume_m3", 1_000.0).put("rain-drain", "volume_m3", 60.0)
    levels = [1.0] * 48 + [2.2] * 48
    case.put("rain-tank", "tank_level_m", 0.0, mean=levels)
    assert case.ask("rain_collection_efficiency").value == pytest.approx(0.85 * 0.9)
    # 5,967 + 33 = 4,800 + 1,000 + 60 + 120 + 20
    value = case.ask("rain_unexplained")
    assert value.parts["stored_m3"] == pytest.approx(120.0)
    assert value.value == pytest.approx(20.0)
    # The rule of 0.05 m of catchment: 300 m3 of tank.
    assert tank.tank_volume_m3 == tank.catchment_m2 * 0.05


def test_solar_of_a_roof_and_a_facade() -> None:
    """300 kWp give 1,200 kWh under 5 kWh/m2: yield 4.0, PR 0.8, capacity factor 4/24."""
    metrics = ("ac_power_kw", "ac_energy_kwh", "poa_irradiance_w_per_m2")
    roof = make_device("pv-roof", "pv_array", rated_kwp=300.0, metrics=metrics)
    facade = make_device("pv-facade", "pv_array", rated_kwp=100.0, metrics=metrics)
    case = Sums(FEED, PDU, roof, facade).put("grid-a", KWH, 480_000.0 - 1_400.0)
    case.put("pdu-1", KWH, 400_000.0)
    case.put("pv-roof", "ac_energy_kwh", 1_200.0).put("pv-facade", "ac_energy_kwh", 200.0)
    case.put("pv-roof", "poa_irradiance_w_per_m2", 5_000.0)
    case.put("pv-facade", "poa_irradiance_w_per_m2", 2_500.0)
    assert case.ask("pv_energy").value == pytest.approx(1_400.0)
    assert case.ask("pv_specific_yield", "pv-roof").value == pytest.approx(4.0)
    assert case.ask("pv_capacity_factor", "pv-roof").value == pytest.approx(4 / 24)
    assert case.ask("pv_performance_ratio", "pv-roof").value == pytest.approx(0.8)
    assert case.ask("pv_performance_ratio", "pv-facade").value == pytest.approx(0.8)
    # Each array against its own plane: 1,400 / (300 x 5 + 100 x 2.5).
    assert case.ask("pv_performance_ratio").value == pytest.approx(1_400 / 1_750)
    assert case.ask("self_consumption").value == pytest.approx(1.0)
    # Far larger than its solar power: all of it is used, and it is 0.29 % of the whole.
    assert case.ask("self_sufficiency").value == pytest.approx(1_400 / 480_000)
    # No certificates are declared, so none of it is renewable energy of this site.
    assert case.ask("ref").value == 0.0


def test_accelerators_against_the_meters_of_their_hall() -> None:
    """2 kWh a GPU from its counter, an NPU's power integrated, 12 kWh through the hall's PDU."""
    gpus = [make_device(f"gpu-{i}", "accelerator", kind="gpu", hall="ai") for i in range(4)]
    npu = make_device("npu-0", "accelerator", kind="npu", metrics=("power_w",), hall="ai")
    pdu = make_device("pdu-ai", "pdu_output", hall="ai")
    other = make_device("pdu-cpu", "pdu_output", hall="cpu")
    case = Sums(FEED, pdu, other, *gpus, npu)
    for gpu in gpus:
        case.put(gpu.id, "energy_kwh", 2.0)
    case.put("npu-0", "power_w", 1.0).put("pdu-ai", KWH, 12.0).put(other.id, KWH, 500.0)
    energy = {subject: case.ask("accelerator_energy", subject) for subject in ("gpu", "npu")}
    assert energy["gpu"].value == pytest.approx(8.0)
    assert energy["gpu"].shares.counted == 1.0
    assert energy["npu"].value == pytest.approx(1.0)
    assert energy["npu"].shares.measured == 1.0
    assert case.ask("accelerator_energy").value == pytest.approx(9.0)
    for subject in ("site", "ai"):
        assert case.ask("accelerator_reconciliation", subject).value == pytest.approx(0.75)


def test_accelerators_above_their_meters_show_it() -> None:
    gpu = make_device("gpu-0", "accelerator", kind="gpu", hall="ai")
    pdu = make_device("pdu-ai", "pdu_output", hall="ai")
    case = Sums(FEED, pdu, gpu).put("gpu-0", "energy_kwh", 13.0).put("pdu-ai", KWH, 12.0)
    value = case.ask("accelerator_reconciliation")
    assert value.verdict is Verdict.REFUSED
    assert "pdu-ai/active_energy_kwh" in value.reason
    assert "gpu-0" in value.reason
