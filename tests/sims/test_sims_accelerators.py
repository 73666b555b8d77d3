"""Accelerator power against the measured envelope that it is drawn from."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from core.samples import Floats
from sims.accelerators import ACTIVE_W, IDLE_W, LEVELS, envelope_w
from sims.grid import ORIGIN_MS, STEP_MS
from sims.world import SimulatedSite
from tests.conftest import skip_loudly

WEEKS = 8


@pytest.fixture(scope="module")
def gpus(world_of: Callable[[str], SimulatedSite]) -> tuple[Floats, Floats]:
    """Power and utilisation of every GPU at every node of eight weeks."""
    world = world_of("kakao-ansan")
    ids = [d.id for d in world.site.with_role("accelerator") if d.latest.kind == "gpu"]
    times = ORIGIN_MS + np.arange(WEEKS * 7 * 288, dtype=np.int64) * STEP_MS
    power, use = [], []
    for part in np.array_split(times, WEEKS):
        power.append(world.gauges_at(part, [(i, "power_w") for i in ids]))
        use.append(world.gauges_at(part, [(i, "utilization_percent") for i in ids]))
    return np.concatenate(power), np.concatenate(use)


def test_the_table_is_that_of_the_measured_data(test_data: Path) -> None:
    folder = test_data / "acme-gpu-power-cdf"
    if not folder.is_dir():
        skip_loudly("no acme-gpu-power-cdf in the folder of real data")
    watts = []
    for name in ("kalos", "seren"):
        with (folder / f"gpu_power_{name}_cdf.csv").open(encoding="utf-8") as file:
            watts += [float(row["gpu_power_W"]) for row in csv.DictReader(file)]
    pooled = np.array(watts)
    pooled = pooled[pooled > 20.0]  # the one sample that is left out
    for table, part in ((IDLE_W, pooled[pooled < 110]), (ACTIVE_W, pooled[pooled >= 110])):
        np.testing.assert_allclose(table, np.quantile(part, LEVELS), atol=0.3)


def test_a_level_is_a_quantile_of_its_state() -> None:
    idle, active = np.zeros(15), np.ones(15)
    np.testing.assert_allclose(envelope_w(idle, LEVELS, 60.0, 400.0), IDLE_W)
    np.testing.assert_allclose(envelope_w(active, LEVELS, 60.0, 400.0), ACTIVE_W)
    # Another model: its idle and rated power stand where the measured ones stood.
    scaled = envelope_w(active, LEVELS, 70.0, 700.0)
    np.testing.assert_allclose(scaled, 70 + (ACTIVE_W - 60) * 630 / 340)


def test_power_has_the_quantiles_of_the_envelope(gpus: tuple[Floats, Floats]) -> None:
    power, use = gpus
    levels = [0.1, 0.25, 0.5, 0.75, 0.9]
    for table, part in ((ACTIVE_W, power[use >= 25]), (IDLE_W, power[use <= 3])):
        expected = np.interp(levels, LEVELS, table)
        np.testing.assert_allclose(np.quantile(part, levels), expected, rtol=0.2)


def test_busy_gpus_take_300_to_400_watts(gpus: tuple[Floats, Floats]) -> None:
    power, use = gpus
    assert 290 < power[use >= 25].mean() < 400
    assert 55 < power[use <= 3].mean() < 90
    assert 0.5 < (use >= 25).mean() < 0.8


def test_gpus_of_one_job_start_and_end_together(gpus: tuple[Floats, Floats]) -> None:
    _, use = gpus
    busy = use >= 25
    assert (busy[:, :16].all(axis=1) | ~busy[:, :16].any(axis=1)).mean() > 0.98
    assert (busy[:, 0] != busy[:, 16]).mean() > 0.2
    # Jobs last hours: about a change of state or two in a day.
    changes = (np.diff(busy[:, 0].astype(int)) != 0).sum()
    assert WEEKS * 7 * 0.3 < changes < WEEKS * 7 * 3


def test_npus_follow_the_day_between_idle_and_rated(
    world_of: Callable[[str], SimulatedSite],
) -> None:
    world = world_of("kakao-ansan")
    times = ORIGIN_MS + np.arange(7 * 288, dtype=np.int64) * STEP_MS
    power = world.gauges_at(times, [(f"npu-{n:03d}", "power_w") for n in range(1, 17)])
    assert 38 <= power.min() <= power.max() <= 150
    hour = (times // 3_600_000 + 9) % 24
    assert power[hour == 16].mean() > 1.5 * power[hour == 4].mean()


def test_a_cluster_is_the_sum_of_the_members_that_report(
    world_of: Callable[[str], SimulatedSite],
) -> None:
    world = world_of("naver-gak-sejong")
    times = ORIGIN_MS + np.arange(14 * 288, dtype=np.int64) * STEP_MS
    nodes = [(d.id, "power_w") for d in world.site.with_role("node")]
    metrics = ("power_w", "members_reporting", "members_expected")
    total, reporting, expected = world.gauges_at(times, [("gpu-cluster", m) for m in metrics]).T
    members = world.gauges_at(times, nodes).sum(axis=1)
    complete = reporting == expected
    assert set(expected.tolist()) == {24.0}
    assert 0.85 < complete.mean() < 1.0
    np.testing.assert_allclose(total[complete], members[complete])
    assert (total[~complete] < members[~complete]).all()
