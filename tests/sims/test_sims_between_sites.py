"""How the simulated sites differ from each other, as real ones do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pytest

from core.periods import to_ms
from core.samples import Floats, Ints
from sims.accelerators import simulate_clusters
from sims.draft import SITE
from sims.profiles import PROFILES, profile_for
from sims.world import SimulatedSite
from tests.sims.conftest import OPERATING

HOUR_MS = 3_600_000
WorldOf = Callable[[str], SimulatedSite]


def hours(month: int, days: int = 21) -> Ints:
    start = to_ms(datetime(2026, month, 4, tzinfo=UTC))
    return start + np.arange(24 * days + 1, dtype=np.int64) * HOUR_MS


def pue(world: SimulatedSite, month: int, category: int | None = None) -> float:
    point = category or world.site.pue_category
    keys = [(SITE, "facility_energy_kwh"), (SITE, f"it_energy_kwh/{point}")]
    first, last = world.counters_at(hours(month)[[0, -1]], keys)
    facility, it = last - first
    return float(facility / it)


def temperature(world: SimulatedSite, month: int) -> Floats:
    return world.gauges_at(hours(month), [("weather-1", "temperature_c")])[:, 0]


def test_chuncheon_in_winter_is_below_gwangju_in_summer(world_of: WorldOf) -> None:
    chuncheon, gwangju = world_of("naver-gak-chuncheon"), world_of("nhn-gwangju")
    # At the same point of the chain, or the comparison would be one of meters.
    assert pue(chuncheon, 1, 1) < pue(gwangju, 8, 1) - 0.15
    assert pue(gwangju, 1, 1) < pue(gwangju, 8, 1) - 0.1


def test_outside_air_needs_no_chiller_in_winter_and_chillers_do_in_summer(
    world_of: WorldOf,
) -> None:
    def cooling(site_id: str, month: int) -> float:
        world = world_of(site_id)
        keys = [(d.id, "active_energy_kwh") for d in world.site.with_role("chiller")]
        first, last = world.counters_at(hours(month)[[0, -1]], keys)
        it = world.counters_at(hours(month)[[0, -1]], [(SITE, "it_energy_kwh/3")])
        return float((last - first).sum() / (it[1, 0] - it[0, 0]))

    assert cooling("naver-gak-chuncheon", 1) == 0.0
    assert cooling("naver-gak-chuncheon", 8) < 0.05
    assert cooling("nhn-gwangju", 1) < 0.02
    assert cooling("nhn-gwangju", 8) > 0.12
    # Only what stays in the air is chilled where water takes the rest.
    assert cooling("kisti-daejeon", 8) < 0.04


def test_winters_are_as_cold_as_the_places_are(world_of: WorldOf) -> None:
    # Weather is drawn for each place, so one month says little about its neighbour's.
    chuncheon = temperature(world_of("naver-gak-chuncheon"), 1).mean()
    assert chuncheon < temperature(world_of("nhn-gwangju"), 1).mean() - 1


def test_climates_follow_latitude_and_distance_from_the_sea() -> None:
    climates = {site: PROFILES[site].climate for site in OPERATING}
    winters = {site: climate.mean_c - climate.season_c for site, climate in climates.items()}
    assert min(winters, key=lambda site: winters[site]) == "naver-gak-chuncheon"
    assert max(winters, key=lambda site: winters[site]) == "nhn-gwangju"
    assert winters["naver-gak-chuncheon"] < winters["kakao-ansan"] < winters["nhn-gwangju"]
    means = {site: climate.mean_c for site, climate in climates.items()}
    assert means["naver-gak-chuncheon"] < means["kakao-ansan"] < means["kisti-daejeon"]
    assert means["kisti-daejeon"] < means["nhn-gwangju"]
    assert climates["kakao-ansan"].diurnal_c < climates["naver-gak-chuncheon"].diurnal_c


def test_dry_coolers_blow_harder_the_hotter_it_is(world_of: WorldOf) -> None:
    world = world_of("kisti-daejeon")
    keys = [(d.id, "active_power_kw") for d in world.site.with_role("tower_fan")]
    winter = world.gauges_at(hours(1), keys).sum(axis=1)
    summer = world.gauges_at(hours(8), keys).sum(axis=1)
    assert summer.mean() > 1.3 * winter.mean()
    make_up = [("adiabatic-make-up", "volume_m3")]
    january = np.diff(world.counters_at(hours(1)[[0, -1]], make_up), axis=0)
    august = np.diff(world.counters_at(hours(8)[[0, -1]], make_up), axis=0)
    assert january[0, 0] == 0.0
    assert august[0, 0] > 100.0


def test_snow_is_melted_when_it_freezes_only(world_of: WorldOf) -> None:
    world = world_of("naver-gak-chuncheon")
    heat = ("heat-snow", "heat_power_kw")
    outside = temperature(world, 1)
    power = world.gauges_at(hours(1), [heat])[:, 0]
    assert (power[outside > 3.2] == 0).all()
    assert power[outside < -5].min() > 100
    assert (world.gauges_at(hours(8), [heat]) == 0).all()


# ---------------------------------------------------------------- a machine known by its totals


def test_partitions_of_a_machine_are_in_its_it_energy(world_of: WorldOf) -> None:
    world = world_of("kisti-daejeon")
    partitions = world.site.with_role("cluster_total")
    assert sum(d.latest.count or 0 for d in partitions) == 8496
    assert len(world.site.devices) < 60
    times = hours(3)
    gpus = np.diff(world.counters_at(times, [(d.id, "energy_kwh") for d in partitions]), axis=0)
    it = np.diff(world.counters_at(times, [(SITE, "it_energy_kwh/3")]), axis=0)[:, 0]
    share = gpus.sum(axis=1) / it
    assert 0.4 < share.min() <= share.max() < 0.8
    # Jobs come and go: the load of the whole follows its GPUs.
    assert np.corrcoef(gpus.sum(axis=1), it)[0, 1] > 0.9


def test_a_total_holds_those_that_reported(world_of: WorldOf) -> None:
    world = world_of("kisti-daejeon")
    found = simulate_clusters(world.site, world._randomness, 30)
    assert found is not None
    group, reporting = found
    expected = np.array([world.site.device(name).latest.count for name in group.devices])
    share = reporting / expected
    assert (reporting == np.round(reporting)).all()
    assert share.max() <= 1.0
    assert 0.93 < share.min() < 0.99
    assert share.mean() > 0.995
    times = np.arange(4, dtype=np.int64) * 300_000 + to_ms(datetime(2026, 5, 3, tzinfo=UTC))
    for name in group.devices:
        keys = [(name, m) for m in ("power_w", "members_reporting", "members_expected")]
        power, members, all_ = world.gauges_at(times, keys).T
        rated = world.site.device(name).latest.rated_w or 0.0
        assert (power > 0.1 * rated).all()
        assert (power <= rated * members / all_ + 1e-6).all()


def test_a_partition_is_one_series_of_jobs_in_every_block(world_of: WorldOf) -> None:
    world = world_of("kisti-daejeon")
    before = simulate_clusters(world.site, world._randomness, 30)
    after = simulate_clusters(world.site, world._randomness, 31)
    assert before is not None
    assert after is not None
    np.testing.assert_allclose(before[0].power_w[-1], after[0].power_w[0], rtol=1e-12)
    np.testing.assert_array_equal(before[1][-1], after[1][0])


@pytest.mark.parametrize("site_id", OPERATING)
def test_every_operating_site_has_a_profile_of_its_own(world_of: WorldOf, site_id: str) -> None:
    profile = profile_for(world_of(site_id).site)
    assert profile is PROFILES[site_id]
    others = [PROFILES[other] for other in OPERATING if other != site_id]
    assert all(profile.climate != other.climate for other in others)
    assert all(profile.cooling != other.cooling for other in others)
