"""Physics that a specialist would check, over a year of every operating site."""

from __future__ import annotations

from datetime import date, datetime

import numpy as np
import pytest

from core.periods import Period, local_midnight, to_ms
from core.samples import Floats, Ints
from sims.draft import SITE
from sims.grid import STEP_MS
from sims.world import SimulatedSite

HOUR_MS = 3_600_000
Key = tuple[str, str]


def month_starts(world: SimulatedSite) -> list[datetime]:
    return [
        local_midnight(date(2026 + month // 12, month % 12 + 1, 1), world.site.zone)
        for month in range(13)
    ]


def role_keys(world: SimulatedSite, metric: str, *roles: str) -> list[Key]:
    return [(device.id, metric) for device in world.site.with_role(*roles)]


class Year:
    """Hourly values of a site over the local year 2026, read once."""

    def __init__(self, world: SimulatedSite) -> None:
        starts = month_starts(world)
        period = Period(starts[0], starts[-1])
        self.world, self.site = world, world.site
        self.time_ms: Ints = np.arange(period.start_ms, period.end_ms + 1, HOUR_MS)
        self.local_hour = (self.time_ms // HOUR_MS + 9) % 24
        bounds = [to_ms(start) for start in starts]
        self.month = np.searchsorted(bounds, self.time_ms[:-1], "right") - 1
        wanted = [(d.id, m) for d in world.site.devices.values() for m in sorted(d.metrics())]
        self._gauge_keys = [key for key in wanted if world.has_gauge(key)]
        self.counter_keys = world.counter_keys()
        gauges, totals = [], []
        # Part by part, so that both readings of a part find its block.
        for part in np.array_split(self.time_ms, 60):
            gauges.append(world.gauges_at(part, self._gauge_keys))
            totals.append(world.counters_at(part, self.counter_keys))
        self._gauges, self.totals = np.concatenate(gauges), np.concatenate(totals)

    def gauge(self, device: str, metric: str) -> Floats:
        return self._gauges[:, self._gauge_keys.index((device, metric))]

    def grown(self, *keys: Key) -> Floats:
        """Hourly increase of the sum of counters."""
        columns = [self.counter_keys.index(key) for key in keys]
        return np.diff(self.totals[:, columns].sum(axis=1))

    def grown_by_role(self, metric: str, *roles: str) -> Floats:
        return self.grown(*role_keys(self.world, metric, *roles))

    def monthly(self, hourly: Floats) -> Floats:
        return np.bincount(self.month, weights=hourly)


@pytest.fixture(scope="module")
def year(world: SimulatedSite) -> Year:
    return Year(world)


def test_the_facility_takes_exactly_what_its_supplies_give(year: Year) -> None:
    supplied = year.grown_by_role("active_energy_kwh", "grid_feed", "generator")
    supplied = supplied + year.grown_by_role("ac_energy_kwh", "pv_array")
    np.testing.assert_allclose(supplied, year.grown((SITE, "facility_energy_kwh")), rtol=1e-9)


def test_the_facility_takes_its_parts_and_a_small_loss(year: Year) -> None:
    facility = year.grown((SITE, "facility_energy_kwh"))
    parts = year.grown_by_role(
        "active_energy_kwh",
        *("ups_input", "chiller", "pump", "tower_fan", "air_handling", "lighting", "distribution"),
    )
    loss = (facility - parts) / facility
    assert loss.min() > 0.002
    assert loss.max() < 0.02


def test_it_energy_falls_from_point_to_point(year: Year) -> None:
    facility = year.grown((SITE, "facility_energy_kwh"))
    ups, pdu, device = (year.grown((SITE, f"it_energy_kwh/{point}")) for point in (1, 2, 3))
    assert (facility > ups).all()
    assert (ups > pdu).all()
    assert (pdu > device).all()
    efficiency = ups / year.grown_by_role("active_energy_kwh", "ups_input")
    assert efficiency.min() > 0.93
    assert efficiency.max() < 0.98


def test_the_meters_of_a_point_sum_to_its_it_energy(year: Year) -> None:
    for role, point in (("ups_output", 1), ("pdu_output", 2), ("it_input", 3)):
        if year.site.with_role(role):
            metered = year.grown_by_role("active_energy_kwh", role)
            exact = year.grown((SITE, f"it_energy_kwh/{point}"))
            np.testing.assert_allclose(metered, exact, rtol=1e-9)


# Share of the IT energy, at least and at most in any hour.
ACCELERATOR_SHARE = {
    "kakao-ansan": (0.0001, 0.1),
    "kisti-daejeon": (0.45, 0.75),
    "naver-gak-sejong": (0.001, 0.1),
    "nhn-gwangju": (0.15, 0.45),
}


def test_accelerators_are_part_of_the_it_energy(year: Year) -> None:
    site = year.site
    if site.id == "naver-gak-chuncheon":
        assert not site.in_family("accelerator")
        return
    level = next(r for r in ("accelerator", "node", "cluster_total") if site.with_role(r))
    share = year.grown_by_role("energy_kwh", level) / year.grown((SITE, "it_energy_kwh/3"))
    low, high = ACCELERATOR_SHARE[site.id]
    assert low < share.min() <= share.max() < high


# By the site's own category, so they are not comparable with each other.
MONTHLY_PUE = {
    "kakao-ansan": (1.15, 1.37),
    "kisti-daejeon": (1.09, 1.16),
    "naver-gak-chuncheon": (1.10, 1.18),
    "naver-gak-sejong": (1.09, 1.24),
    "nhn-gwangju": (1.19, 1.45),
}
YEARLY_PUE = {
    "kakao-ansan": (1.20, 1.32),
    "kisti-daejeon": (1.10, 1.15),
    "naver-gak-chuncheon": (1.11, 1.16),
    "naver-gak-sejong": (1.10, 1.18),
    "nhn-gwangju": (1.25, 1.36),
}
# July and August above January and February, at least.
SEASON_OF_PUE = {
    "kakao-ansan": 0.03,
    "kisti-daejeon": 0.015,
    "naver-gak-chuncheon": 0.015,
    "naver-gak-sejong": 0.03,
    "nhn-gwangju": 0.12,
}


def test_pue_has_the_level_and_the_season_of_its_plant(year: Year) -> None:
    facility = year.monthly(year.grown((SITE, "facility_energy_kwh")))
    it = year.monthly(year.grown((SITE, f"it_energy_kwh/{year.site.pue_category}")))
    pue = facility / it
    low, high = MONTHLY_PUE[year.site.id]
    assert low < pue.min() <= pue.max() < high, pue
    low, high = YEARLY_PUE[year.site.id]
    assert low < facility.sum() / it.sum() < high
    assert pue[6:8].mean() > pue[0:2].mean() + SEASON_OF_PUE[year.site.id]


def test_wue_is_plausible_and_peaks_in_summer(year: Year) -> None:
    names = ("mains_m3", "reclaimed_m3", "groundwater_m3", "rain_reused_m3")
    water = year.monthly(year.grown(*[(SITE, name) for name in names]))
    it = year.monthly(year.grown((SITE, f"it_energy_kwh/{year.site.pue_category}")))
    wue = 1000 * water / it
    assert wue.min() > 0.05
    assert wue.max() < 1.5
    # Warm water is cooled dry for most of the year.
    low, high = (0.05, 0.2) if year.site.id == "kisti-daejeon" else (0.3, 1.0)
    assert wue[6:8].min() > 3 * wue[0:2].max()
    assert low < 1000 * water.sum() / it.sum() < high


def test_a_days_water_keeps_the_sites_own_limit_most_days(year: Year) -> None:
    limit = year.site.daily_water_limit_m3
    if limit is None:
        return
    names = ("mains_m3", "reclaimed_m3", "groundwater_m3", "rain_reused_m3")
    water = year.grown(*[(SITE, name) for name in names])
    days = water[: len(water) // 24 * 24].reshape(-1, 24).sum(axis=1)
    assert days.max() > 0.3 * limit
    assert (days < limit).mean() > 0.9


def test_no_meter_shows_more_than_its_rating(year: Year) -> None:
    for device in year.site.devices.values():
        rated = device.latest.rated_kw
        for metric in ("active_power_kw", "heat_power_kw"):
            if rated is not None and metric in device.metrics():
                power = year.gauge(device.id, metric)
                assert 0.0 <= power.min() <= power.max() <= rated, device.id


def test_counters_never_fall(year: Year) -> None:
    fallen = (np.diff(year.totals, axis=0) < 0).any(axis=0)
    # What is reused of rain is delivery less top-up, and no meter of its own.
    found = {key for key, fell in zip(year.counter_keys, fallen, strict=True) if fell}
    assert found <= {(SITE, "rain_reused_m3")}


def test_the_generator_is_tested_once_a_month(year: Year) -> None:
    runs = np.flatnonzero(year.grown_by_role("active_energy_kwh", "generator") > 0)
    assert year.month[runs].tolist() == list(range(12))
    assert set(year.local_hour[runs].tolist()) == {10}


# Peak over trough of the mean day: services for people swing, a batch machine hardly does.
DAILY_SWING = {"kisti-daejeon": (1.0, 1.02), "nhn-gwangju": (1.015, 1.2)}


def test_load_has_a_day_and_a_week(year: Year) -> None:
    load = year.grown((SITE, "it_energy_kwh/3"))
    hour = year.local_hour[:-1]
    by_hour = np.array([load[hour == h].mean() for h in range(24)])
    low, high = DAILY_SWING.get(year.site.id, (1.03, 1.2))
    assert low < by_hour.max() / by_hour.min() < high
    weekday = ((year.time_ms[:-1] // HOUR_MS + 9) // 24 + 3) % 7
    if year.site.id != "kisti-daejeon":
        assert load[weekday >= 5].mean() < load[weekday < 5].mean()


# ---------------------------------------------------------------- water

RAIN_ROLES = ("rain_collected", "tank_top_up", "rain_used", "rain_overflow", "rain_drain")


def test_the_tank_balances_in_every_step(world: SimulatedSite) -> None:
    if world.site.rain is None:
        assert not world.site.with_role(*RAIN_ROLES, "rain_tank")
        return
    # June and July: dry spells and storms.
    start = to_ms(month_starts(world)[5])
    times = start + np.arange(0, 60 * 288, dtype=np.int64) * STEP_MS
    keys = [key for role in RAIN_ROLES for key in role_keys(world, "volume_m3", role)]
    collected, top_up, used, overflow, drained = np.diff(world.counters_at(times, keys), axis=0).T
    stored = world.gauges_at(times, role_keys(world, "tank_level_m", "rain_tank"))[:, 0]
    unexplained = collected + top_up - used - overflow - drained - np.diff(stored)
    assert np.abs(unexplained).max() < 1e-8
    assert overflow.sum() > 0
    assert drained.sum() > 0
    assert 0 <= stored.min() <= stored.max() <= world.site.rain.tank_volume_m3 + 1e-9


def test_the_mains_top_up_a_low_tank(year: Year) -> None:
    if year.site.rain is None:
        return
    top_up = year.grown_by_role("volume_m3", "tank_top_up")
    mains = year.grown_by_role("volume_m3", "mains_supply")
    assert (mains >= top_up - 1e-9).all()
    if year.site.id == "kakao-ansan":
        assert top_up.sum() > 0
    # Rain reused is less than what was collected, whatever was topped up.
    used = year.grown_by_role("volume_m3", "rain_used").sum()
    collected = year.grown_by_role("volume_m3", "rain_collected").sum()
    assert 0 < used - top_up.sum() < collected


def test_the_cooling_water_comes_from_the_supplies(year: Year) -> None:
    supplies = ("mains_supply", "reclaimed_supply", "groundwater_supply", "rain_used")
    supplied = year.grown_by_role("volume_m3", *supplies)
    supplied = supplied - year.grown_by_role("volume_m3", "tank_top_up")
    make_up = year.grown_by_role("volume_m3", "cooling_tower_make_up")
    blowdown = year.grown_by_role("volume_m3", "blowdown")
    # People and the landscape take the rest: never less than nothing.
    assert (supplied - make_up > 0).all()
    assert (supplied - make_up < 15.0).all()
    # Cycles of concentration of 4 to 6: blowdown is evaporation / (cycles - 1).
    wet = make_up > 1e-6
    assert wet.any()
    assert (blowdown[wet] / make_up[wet]).min() > 0.15
    assert (blowdown[wet] / make_up[wet]).max() < 0.34


def test_rain_collected_is_the_rain_on_the_roof(year: Year) -> None:
    rain = year.site.rain
    depth = year.grown(("weather-1", "rain_mm"))
    assert 700 < depth.sum() < 2200
    # The monsoon: more than half of the year's rain from June to September.
    assert year.monthly(depth)[5:9].sum() > 0.5 * depth.sum()
    if rain is None:
        return
    collected = year.grown_by_role("volume_m3", "rain_collected")
    expected = depth / 1000 * rain.catchment_m2 * rain.runoff
    np.testing.assert_allclose(collected, expected, atol=1e-8)


# ---------------------------------------------------------------- weather and sun


def test_the_weather_is_that_of_the_place(year: Year) -> None:
    temperature = year.gauge("weather-1", "temperature_c")
    wet_bulb = year.gauge("weather-1", "wet_bulb_c")
    humidity = year.gauge("weather-1", "relative_humidity_percent")
    assert 10 < temperature.mean() < 15
    assert -24 < temperature.min() < -5
    assert 30 < temperature.max() < 40
    assert (wet_bulb <= temperature + 1e-9).all()
    assert wet_bulb.max() < 30.5
    assert 8 <= humidity.min() <= humidity.max() <= 99


def test_nothing_shines_at_night_and_the_inverter_takes_a_little(year: Year) -> None:
    night = (year.local_hour >= 21) | (year.local_hour <= 3)
    for device in year.site.with_role("pv_array"):
        power = year.gauge(device.id, "ac_power_kw")
        assert (year.gauge(device.id, "poa_irradiance_w_per_m2")[night] == 0).all()
        assert (power[night] < 0).all()
        assert (power[night] > -0.001 * (device.latest.rated_kwp or 0.0)).all()
        assert power.max() <= (device.latest.inverter_kw or 0.0) + 1e-9


def test_irradiance_closes(year: Year) -> None:
    ghi, dni, dhi = (year.gauge("weather-1", f"{name}_w_per_m2") for name in ("ghi", "dni", "dhi"))
    assert (dhi <= ghi + 1e-6).all()
    # The beam on the horizontal is at most the beam.
    assert (dni >= ghi - dhi - 1.0).all()
    assert ghi.max() < 1150
    assert 1150 < ghi.sum() / 1000 < 1650  # kWh/m2 a year


def test_arrays_differ_as_their_orientations_do(year: Year) -> None:
    yields = {
        device.id: year.grown((device.id, "ac_energy_kwh")).sum() / (device.latest.rated_kwp or 1)
        for device in year.site.with_role("pv_array")
    }
    for name, energy in yields.items():
        if "roof" in name:
            assert 1050 < energy < 1600, yields
    if year.site.id == "kakao-ansan":
        south = yields["pv-facade-south"] / yields["pv-roof-south"]
        west = yields["pv-facade-west"] / yields["pv-roof-south"]
        assert 0.55 < south < 0.8
        assert 0.4 < west < south


def test_performance_ratio_is_that_of_good_plants(year: Year) -> None:
    for device in year.site.with_role("pv_array"):
        energy = year.grown((device.id, "ac_energy_kwh")).sum()
        insolation = year.gauge(device.id, "poa_irradiance_w_per_m2").sum() / 1000
        assert 0.74 < energy / (device.latest.rated_kwp or 1) / insolation < 0.88
