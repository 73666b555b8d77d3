"""Any simulated site can be simulated, whatever its file declares."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from core.metrics import CATALOGUE
from core.periods import Period, to_ms
from core.roles import ROLES
from core.site_files import build_registry
from core.sites import Site
from sims.readings import ReadingSource
from sims.truth import exact_rows
from sims.wire import pack_tick
from sims.world import SimulatedSite
from tests.sims.wire_checker import check_message

HEAD = """
schema = 1
id = "elsewhere"
name = { ko = "다른 곳", en = "Elsewhere" }
operator = "nobody"
status = "operating"
data = "simulated"
zone = "ZONE"
location = { latitude = 35.2, longitude = 126.9 }
pue_category = 1
"""
AT = datetime(2026, 1, 14, 5, tzinfo=UTC)


def device(device_id: str, role: str, metrics: str, extra: str = "") -> str:
    names = ", ".join(f'"{name}"' for name in metrics.split())
    return (
        f'[[devices]]\nid = "{device_id}"\nfamily = "{ROLES[role].family}"\nrole = "{role}"\n'
        f"metrics = [{names}]\ncadence_s = 60\nvalid_from = 2026-01-01\n{extra}\n"
    )


POWER = "active_power_kw active_energy_kwh"


def site_of(*devices: str, head: str = "", zone: str = "Asia/Seoul") -> Site:
    text = HEAD.replace("ZONE", zone) + head + "\n".join(devices)
    return build_registry({"elsewhere.toml": text}).site("elsewhere")


def latest(site: Site) -> dict[str, dict[str, float]]:
    source = ReadingSource(SimulatedSite(site, 1))
    return {
        name: values
        for message in pack_tick(site.id, source.read(to_ms(AT), to_ms(AT)))
        for name, _, values in check_message(message.topic, message.payload, site)
    }


def test_a_grid_feed_alone() -> None:
    values = latest(site_of(device("g", "grid_feed", POWER)))
    assert values["g"]["active_power_kw"] > 0


def test_every_role_and_metric_at_once() -> None:
    devices, expected = [], {}
    for role in ROLES.values():
        metrics = [m for family, m in CATALOGUE if family == role.family]
        extra = {
            "pv_array": 'rated_kwp = 50\ntilt_deg = 20\nazimuth_deg = 180\ncertificates = "sold"',
            "accelerator": 'kind = "gpu"',
            "node": 'kind = "npu"\ncount = 4',
        }.get(role.name, "")
        devices.append(
            device(f"d-{role.name.replace('_', '-')}", role.name, " ".join(metrics), extra)
        )
        expected[role.name] = f"d-{role.name.replace('_', '-')}"
    rain = "[rain]\ncatchment_m2 = 900\nrunoff = 0.9\ntank_volume_m3 = 45\ntank_depth_m = 2\n"
    site = site_of(*devices, head=rain)
    values = latest(site)
    # A forecast is no measurement of the present: nothing is invented for it.
    assert set(values) == set(expected.values()) - {expected["forecast"]}
    for role, name in expected.items():
        if role != "forecast":
            assert values[name], role
    (row,) = exact_rows(SimulatedSite(site, 1), Period(AT, AT.replace(hour=6)), "hour")
    assert row["kpis"]["pue"]["1"] > 1.02


def test_a_site_without_water_sun_or_chillers_has_figures() -> None:
    site = site_of(
        device("g", "grid_feed", POWER),
        device("u", "ups_output", POWER, "rated_kw = 800"),
        device("c", "cooling", POWER),
    )
    values = latest(site)
    assert 200 < values["u"]["active_power_kw"] < 800
    assert values["c"]["active_power_kw"] > 0
    (row,) = exact_rows(SimulatedSite(site, 1), Period(AT, AT.replace(hour=6)), "hour")
    assert 1.05 < row["kpis"]["pue"]["1"] < 1.4
    assert row["kpis"]["pv_energy_kwh"] == {}
    assert row["kpis"]["ref"] == 0.0


def test_a_site_larger_than_its_load_exports() -> None:
    feed = "active_power_kw active_energy_kwh export_energy_kwh"
    pv = 'rated_kwp = 90000\ntilt_deg = 20\nazimuth_deg = 180\ncertificates = "retained"'
    site = site_of(
        device("g", "grid_feed", feed),
        device("u", "ups_output", POWER, "rated_kw = 800"),
        device("p", "pv_array", "ac_power_kw ac_energy_kwh", pv),
    )
    world = SimulatedSite(site, 1)
    days = Period(datetime(2026, 1, 9, 15, tzinfo=UTC), datetime(2026, 1, 14, 15, tzinfo=UTC))
    for row in exact_rows(world, days, "day"):
        energy = row["devices"]
        used = energy["g"]["active_energy_kwh"] + energy["p"]["ac_energy_kwh"]
        used -= energy["g"]["export_energy_kwh"]
        assert used == pytest.approx(row["kpis"]["facility_energy_kwh"], rel=1e-9)
        assert energy["g"]["export_energy_kwh"] > 0
        assert 0 < row["kpis"]["ref"] < 1


def series(site: Site, name: str, metric: str, hours: int = 4) -> np.ndarray:
    source = ReadingSource(SimulatedSite(site, 1))
    first = to_ms(AT)
    for table in source.read(first, first + hours * 3_600_000):
        if name in table.devices and metric in table.metrics:
            rows = table.device_index == table.devices.index(name)
            return table.values[rows, table.metrics.index(metric)]
    raise AssertionError(name)


def test_a_multiplier_divides_what_is_sent() -> None:
    plain = series(site_of(device("g", "grid_feed", POWER)), "g", "active_power_kw")
    scaled = series(
        site_of(device("g", "grid_feed", POWER, "multiplier = 40")), "g", "active_power_kw"
    )
    np.testing.assert_allclose(scaled * 40, plain, rtol=1e-4)


def test_a_register_wraps_where_it_is_declared() -> None:
    site = site_of(device("g", "grid_feed", POWER, "wraps_at = 500"))
    values = series(site, "g", "active_energy_kwh", hours=12)
    assert 0 <= values.min() <= values.max() < 500
    assert (np.diff(values) < 0).sum() >= 1


def test_a_new_meter_begins_a_register_of_its_own() -> None:
    second = device("g", "grid_feed", POWER, 'meter = "B"').replace(
        "2026-01-01", "2026-01-14T06:00:00Z"
    )
    site = site_of(device("g", "grid_feed", POWER, 'meter = "A"'), second)
    source = ReadingSource(SimulatedSite(site, 1))
    change = to_ms(datetime(2026, 1, 14, 6, tzinfo=UTC))
    old = source.value_at("g", "active_energy_kwh", change - 60_000)
    new = source.value_at("g", "active_energy_kwh", change)
    later = source.value_at("g", "active_energy_kwh", change + 3_600_000)
    assert new < 0.01 * old
    assert later > new


@pytest.mark.parametrize("zone", ["Europe/Amsterdam", "Asia/Kathmandu", "UTC"])
def test_days_are_those_of_the_sites_own_zone(zone: str) -> None:
    site = site_of(device("g", "grid_feed", POWER), zone=zone)
    world = SimulatedSite(site, 1)
    rows = list(exact_rows(world, Period(AT, AT.replace(day=17)), "day"))
    assert len(rows) == 2
    local = datetime.fromisoformat(rows[0]["start"]).astimezone(site.zone)
    assert (local.hour, local.minute) == (0, 0)
