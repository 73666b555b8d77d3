"""Values depend on site, seed and instant alone, and gauges integrate to what counters count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import ConfigurationError
from core.periods import to_ms
from core.sites import SiteRegistry
from sims.draft import SITE
from sims.grid import BLOCK_MS, ORIGIN_MS, STEP_MS
from sims.randomness import Randomness
from sims.readings import ReadingSource
from sims.world import SimulatedSite
from tests.sims.conftest import SEED

START_MS = ORIGIN_MS + BLOCK_MS - 6 * 3_600_000  # the spans cross the end of a block


@pytest.fixture(scope="module")
def source(world_of: Callable[[str], SimulatedSite]) -> ReadingSource:
    # The origin of the world lies before the devices' own first day.
    return ReadingSource(early(world_of("kakao-ansan")), 300.0)


def early(world: SimulatedSite) -> SimulatedSite:
    """The same site with devices that were there from the world's origin on."""
    begin = datetime(2025, 10, 1, tzinfo=UTC)
    devices = {
        device.id: replace(
            device, states=tuple(replace(s, valid_from=begin) for s in device.states)
        )
        for device in world.site.devices.values()
    }
    return SimulatedSite(replace(world.site, devices=devices), world.seed)


def rows(source: ReadingSource, first_ms: int, last_ms: int) -> dict[tuple[str, int], tuple]:
    found: dict[tuple[str, int], tuple] = {}
    for table in source.read(first_ms, last_ms):
        triples = zip(table.device_index, table.time_ms, table.values, strict=True)
        for device, time_ms, values in triples:
            key = (table.devices[device], int(time_ms))
            assert key not in found, "no reading twice"
            found[key] = (table.metrics, tuple(values.tolist()))
    return found


@settings(max_examples=12, deadline=None)
@given(cuts=st.lists(st.integers(1, 12 * 3600), max_size=5))
def test_readings_do_not_depend_on_how_time_is_cut(source: ReadingSource, cuts: list[int]) -> None:
    end_ms = START_MS + 12 * 3_600_000
    whole = rows(source, START_MS, end_ms)
    parts: dict[tuple[str, int], tuple] = {}
    bounds = sorted({START_MS, end_ms + 1, *(START_MS + cut * 1000 for cut in cuts)})
    for first, after in pairwise(bounds):
        part = rows(source, first, after - 1)
        assert not parts.keys() & part.keys()
        parts.update(part)
    assert parts == whole


def test_a_restart_in_the_middle_gives_the_same_bytes(
    world_of: Callable[[str], SimulatedSite],
) -> None:
    world = world_of("kakao-ansan")
    late = to_ms(datetime(2026, 1, 9, tzinfo=UTC))
    before = rows(ReadingSource(world), late, late + 60_000)
    # Another process that begins right there, and one that has been elsewhere before.
    again = SimulatedSite(world.site, SEED)
    assert rows(ReadingSource(again), late, late + 60_000) == before
    again.gauges_at(np.array([late + 40 * 86_400_000]), [("grid-a", "active_power_kw")])
    assert rows(ReadingSource(again), late, late + 60_000) == before


def test_cadences_see_the_same_world(world_of: Callable[[str], SimulatedSite]) -> None:
    world = world_of("naver-gak-sejong")
    first = to_ms(datetime(2026, 1, 5, tzinfo=UTC))
    coarse = rows(ReadingSource(world, 300.0), first, first + 3_600_000)
    fine = rows(ReadingSource(world, 10.0), first, first + 3_600_000)
    rain = "rain_mm"
    for key, (metrics, values) in coarse.items():
        fine_metrics, fine_values = fine[key]
        assert metrics == fine_metrics
        for metric, value, fine_value in zip(metrics, values, fine_values, strict=True):
            # Rain is what fell since the reading before; all else is a state of the world.
            assert metric == rain or value == fine_value, (key, metric)


def test_rain_sums_to_the_same_at_every_cadence(
    world_of: Callable[[str], SimulatedSite],
) -> None:
    world = world_of("kakao-ansan")
    first = to_ms(datetime(2026, 1, 1, tzinfo=UTC))
    total = {}
    for cadence_s in (10.0, 300.0):
        source = ReadingSource(world, cadence_s)
        total[cadence_s] = sum(
            table.values[:, table.metrics.index("rain_mm")].sum()
            for table in source.read(first + 1, first + 3 * 86_400_000)
            if "rain_mm" in table.metrics
        )
    assert total[10.0] == pytest.approx(total[300.0], abs=1e-6)


@pytest.mark.parametrize("cadence_ms", [10_000, 60_000, 300_000])
def test_a_power_integrates_to_its_counter_at_any_cadence(
    world: SimulatedSite, cadence_ms: int
) -> None:
    first = to_ms(datetime(2026, 1, 5, tzinfo=UTC))
    times = np.arange(first, first + 6 * 3_600_000 + 1, cadence_ms, dtype=np.int64)
    pairs = {
        "active_power_kw": ("active_energy_kwh", 1.0),
        "power_w": ("energy_kwh", 1e-3),
        "heat_power_kw": ("heat_energy_kwh", 1.0),
        "flow_m3_per_h": ("volume_m3", 1.0),
    }
    checked = 0
    for device in world.site.devices.values():
        for metric, (counter, factor) in pairs.items():
            gauge, key = (device.id, metric), (device.id, counter)
            if metric not in device.metrics() or not world.has_counter(key):
                continue
            power = world.gauges_at(times, [gauge])[:, 0] * factor
            energy = np.diff(world.counters_at(times[[0, -1]], [key])[:, 0])[0]
            integral = np.trapezoid(power, dx=cadence_ms / 3_600_000)
            assert integral == pytest.approx(energy, rel=1e-9, abs=1e-9), device.id
            checked += 1
    assert checked > 20


def test_counters_between_nodes_are_the_integral(world: SimulatedSite) -> None:
    first = to_ms(datetime(2026, 1, 5, tzinfo=UTC))
    times = first + np.arange(0, STEP_MS + 1, 1000, dtype=np.int64)
    power = world.gauges_at(times, [("grid-a", "active_power_kw")])[:, 0]
    energy = world.counters_at(times, [("grid-a", "active_energy_kwh")])[:, 0]
    stepwise = np.cumsum(0.5 * (power[1:] + power[:-1]) / 3600)
    np.testing.assert_allclose(energy[1:] - energy[0], stepwise, rtol=1e-7)


def test_a_seed_is_a_world_and_another_seed_another_one(
    world_of: Callable[[str], SimulatedSite],
) -> None:
    world = world_of("kakao-ansan")
    times = np.array([ORIGIN_MS + 3_600_000], dtype=np.int64)
    key = [("grid-a", "active_power_kw")]
    same = SimulatedSite(world.site, SEED).gauges_at(times, key)
    other = SimulatedSite(world.site, SEED + 1).gauges_at(times, key)
    assert same == world.gauges_at(times, key)
    assert other != same


def test_a_further_device_changes_no_other_one(
    world_of: Callable[[str], SimulatedSite],
) -> None:
    world = world_of("kakao-ansan")
    extra = replace(world.site.device("npu-016"), id="npu-017")
    grown = SimulatedSite(
        replace(world.site, devices={**world.site.devices, "npu-017": extra}), SEED
    )
    times = ORIGIN_MS + np.arange(0, 86_400_000, STEP_MS, dtype=np.int64)
    keys = [("npu-001", "power_w"), ("gpu-064", "power_w"), ("weather-1", "temperature_c")]
    assert np.array_equal(grown.gauges_at(times, keys), world.gauges_at(times, keys))


def test_blocks_meet_without_a_step(world: SimulatedSite) -> None:
    times = ORIGIN_MS + 3 * BLOCK_MS + np.array([-1, 0], dtype=np.int64)
    keys = [
        (device.id, metric)
        for device in world.site.devices.values()
        for metric in device.metrics()
        if world.has_gauge((device.id, metric)) and device.latest.role != "mains_supply"
    ]
    before, at = world.gauges_at(times, keys)
    np.testing.assert_allclose(before, at, rtol=1e-4, atol=1e-2)


@settings(max_examples=20, deadline=None)
@given(
    period=st.sampled_from([1, 2, 12, 96, 288, 504, 672]),
    block=st.integers(0, 500),
    seed=st.integers(0, 2**31),
)
def test_noise_is_continuous_and_of_unit_size(period: int, block: int, seed: int) -> None:
    randomness = Randomness(seed, "site")
    here, there = (randomness.smooth("x", number, period) for number in (block, block + 1))
    assert here[-1] == pytest.approx(there[0], abs=1e-12)
    assert np.abs(here).max() < 7


@pytest.mark.parametrize("change", [{"status": "planned"}, {"data": "measured"}])
def test_planned_and_measured_sites_are_never_simulated(
    registry: SiteRegistry, change: dict[str, str]
) -> None:
    site = replace(registry.site("kakao-ansan"), **change)
    with pytest.raises(ConfigurationError, match="is simulated"):
        SimulatedSite(site, SEED)


def test_times_before_the_world_begins_are_refused(world: SimulatedSite) -> None:
    times = np.array([ORIGIN_MS - 1], dtype=np.int64)
    with pytest.raises(ConfigurationError, match="before the simulated world begins"):
        world.counters_at(times, [(SITE, "facility_energy_kwh")])
