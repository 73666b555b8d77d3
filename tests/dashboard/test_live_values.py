"""Live sums: never silently less, and late by the cadence of their meters."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.samples import Sample
from core.sites import Device, Site, SiteRegistry
from dashboard.live_values import ValueState, live_snapshot, living_samples, value_state
from tests.dashboard.fakes import live_samples

NOW = 1_795_152_728_000  # 2026-11-20 14:32:08 in Seoul


@pytest.fixture
def ansan(registry: SiteRegistry) -> Site:
    return registry.site("kakao-ansan")


@pytest.fixture
def sejong(registry: SiteRegistry) -> Site:
    return registry.site("naver-gak-sejong")


def without(samples: list[Sample], *devices: str) -> list[Sample]:
    return [sample for sample in samples if sample.key.device not in devices]


def aged(samples: list[Sample], device: str, seconds: float) -> list[Sample]:
    return [
        replace(sample, time_ms=NOW - round(seconds * 1000))
        if sample.key.device == device
        else sample
        for sample in samples
    ]


@pytest.mark.parametrize(
    ("age_s", "state"),
    [
        (0, ValueState.NORMAL),
        (20, ValueState.NORMAL),
        (20.001, ValueState.LATE),
        (50, ValueState.LATE),
        (50.001, ValueState.STALE),
        (-5, ValueState.NORMAL),
    ],
)
def test_late_after_two_cadences_stale_after_five(age_s: float, state: ValueState) -> None:
    assert value_state(NOW - round(age_s * 1000), 10.0, NOW) is state
    assert value_state(None, 10.0, NOW) is ValueState.NO_DATA


def test_facility_is_grid_generators_and_sun(ansan: Site) -> None:
    live = live_snapshot(ansan, live_samples(ansan, NOW), NOW)
    assert live.facility.value == pytest.approx(2 * 12_800.0 + 0.0 + 3 * 86.4)
    assert live.facility.expected == 6
    assert not live.facility.missing
    assert live.facility.state(NOW) is ValueState.NORMAL
    assert live.newest_ms == NOW - 4_000


def test_it_is_metered_at_the_declared_category(ansan: Site, sejong: Site) -> None:
    live = live_snapshot(ansan, live_samples(ansan, NOW), NOW)
    assert live.it.value == pytest.approx(6 * 3_400.0)
    assert {part.role for part in live.it.parts} == {"pdu_output"}
    other = live_snapshot(sejong, live_samples(sejong, NOW), NOW)
    assert {part.role for part in other.it.parts} == {"ups_output"}


def test_an_exporting_site_draws_less(ansan: Site) -> None:
    samples = [
        replace(sample, value=-500.0)
        if (sample.key.device, sample.key.metric) == ("grid-b", "active_power_kw")
        else sample
        for sample in live_samples(ansan, NOW)
    ]
    live = live_snapshot(ansan, samples, NOW)
    assert live.facility.value == pytest.approx(12_800.0 - 500.0 + 3 * 86.4)


def test_a_missing_meter_is_named(ansan: Site) -> None:
    samples = without(live_samples(ansan, NOW), "pdu-2a")
    live = live_snapshot(ansan, samples, NOW)
    assert live.it.missing == ("pdu-2a",)
    assert live.it.is_incomplete
    assert (live.it.reporting, live.it.expected) == (5, 6)
    assert live.it.value == pytest.approx(5 * 3_400.0)


def test_a_meter_that_was_declared_dead_has_no_present_value(ansan: Site) -> None:
    samples = live_samples(ansan, NOW)
    newest = max(s.time_ms for s in samples if s.key.device == "pdu-2a")
    dead = {(ansan.id, "pdu-2a"): newest, (ansan.id, "pdu-1a"): newest - 60_000}
    live = live_snapshot(ansan, living_samples(samples, dead), NOW)
    # The other one has spoken since.
    assert live.it.missing == ("pdu-2a",)
    energy = next(row for row in live.families if row.family == "energy")
    assert "pdu-2a" in energy.silent
    assert "pdu-1a" not in energy.silent


def test_a_stale_meter_counts_as_missing_a_late_one_does_not(ansan: Site) -> None:
    late = live_snapshot(ansan, aged(live_samples(ansan, NOW), "grid-a", 30), NOW)
    assert not late.facility.missing
    assert late.facility.state(NOW) is ValueState.LATE
    stale = live_snapshot(ansan, aged(live_samples(ansan, NOW), "grid-a", 51), NOW)
    assert stale.facility.missing == ("grid-a",)
    assert stale.facility.state(NOW) is ValueState.NORMAL


def test_when_all_are_stale_there_is_no_value_but_an_age(ansan: Site) -> None:
    live = live_snapshot(ansan, live_samples(ansan, NOW, age_ms=600_000), NOW)
    assert live.facility.value is None
    assert not live.facility.is_incomplete
    assert live.facility.state(NOW) is ValueState.STALE
    assert live.tank is not None
    assert live.tank.level.value is None
    assert live.tank.level.last == pytest.approx(1.864)


def test_a_site_that_never_sent_anything(ansan: Site) -> None:
    live = live_snapshot(ansan, [], NOW)
    assert live.facility.value is None
    assert live.facility.state(NOW) is ValueState.NO_DATA
    assert live.newest_ms is None
    assert all(family.reporting == 0 for family in live.families)


def test_multipliers_count(ansan: Site) -> None:
    grid = ansan.devices["grid-a"]
    state = replace(grid.latest, multiplier=40.0)
    devices = {**ansan.devices, "grid-a": Device(grid.id, (state,))}
    live = live_snapshot(replace(ansan, devices=devices), live_samples(ansan, NOW), NOW)
    assert live.facility.value == pytest.approx(41 * 12_800.0 + 3 * 86.4)


def test_the_tank_as_volume_and_share(ansan: Site, sejong: Site) -> None:
    tank = live_snapshot(ansan, live_samples(ansan, NOW), NOW).tank
    assert tank is not None
    assert tank.volume_m3 == pytest.approx(186.4)
    assert tank.share == pytest.approx(0.6213, abs=1e-4)
    other = live_snapshot(sejong, live_samples(sejong, NOW), NOW).tank
    assert other is not None
    assert other.volume_m3 == pytest.approx(90 + (1.864 - 0.5) / 3.5 * 910)


def test_accelerators_by_kind(ansan: Site) -> None:
    samples = without(live_samples(ansan, NOW), "gpu-003", "gpu-004")
    gpu, npu = live_snapshot(ansan, samples, NOW).accelerators
    assert (gpu.kind, npu.kind) == ("gpu", "npu")
    assert (gpu.power.reporting, gpu.power.expected) == (62, 64)
    assert gpu.power.value == pytest.approx(62 * 0.271)
    assert gpu.rated_kw == pytest.approx(25.6)
    assert gpu.utilization_percent == pytest.approx(71.4)
    assert npu.power.value == pytest.approx(16 * 0.271 * 0.35)


def test_a_device_that_stands_for_many_counts_as_many(ansan: Site) -> None:
    gpu = ansan.devices["gpu-001"]
    state = replace(gpu.latest, count=1_000)
    site = replace(ansan, devices={"gpu-001": Device("gpu-001", (state,))})
    (kind,) = live_snapshot(site, live_samples(site, NOW), NOW).accelerators
    assert (kind.power.reporting, kind.power.expected) == (1_000, 1_000)
    # The rating is the whole device's.
    assert kind.rated_kw == pytest.approx(0.4)


def test_reception_counts_devices_and_names_the_silent(ansan: Site) -> None:
    samples = aged(without(live_samples(ansan, NOW), "mains-1"), "weather-1", 400)
    families = {row.family: row for row in live_snapshot(ansan, samples, NOW).families}
    assert families["water"].silent == ("mains-1",)
    assert families["weather"].silent == ("weather-1",)
    assert families["energy"].reporting == families["energy"].expected


@given(silent=st.sets(st.sampled_from([f"pdu-{hall}{side}" for hall in "123" for side in "ab"])))
def test_a_sum_and_its_missing_meters_always_add_up(
    registry: SiteRegistry, silent: set[str]
) -> None:
    site = registry.site("kakao-ansan")
    live = live_snapshot(site, without(live_samples(site, NOW), *silent), NOW)
    assert set(live.it.missing) == silent
    assert live.it.reporting + len(silent) == live.it.expected
    if len(silent) == live.it.expected:
        assert live.it.value is None
    else:
        assert live.it.value == pytest.approx((6 - len(silent)) * 3_400.0)
        assert live.it.value == pytest.approx(
            sum(part.value for part in live.it.parts if part.value is not None)
        )
