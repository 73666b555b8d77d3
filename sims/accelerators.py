"""Accelerators: training jobs on GPUs, inference on NPUs, power drawn from a measured envelope.

The envelope is the distribution of the power of A100 GPUs in the two clusters of AcmeTrace
(Shanghai AI Laboratory, https://github.com/InternLM/AcmeTrace, commit 6d6ac9c, `data/utilization`,
licence CC BY 4.0). The quantiles below were taken from the pooled samples of `gpu_power_kalos` and
`gpu_power_seren`, apart for GPUs below 110 W (no job, or a job that waits) and above (a job that
computes); one sample of 15.4 W was left out. Other models are scaled by their idle and rated power.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from core.samples import Floats
from core.sites import Device, Site
from sims.grid import BLOCK_STEPS
from sims.randomness import Randomness

LEVELS = np.array([0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0])
IDLE_W = np.array(
    [55.7, 59.4, 61.1, 62.0, 63.2, 64.3, 65.4, 67.6, 75.5, 91.5, 94.6, 98.5, 101.9, 107.4, 109.7]
)
ACTIVE_W = np.array(
    [
        *(110.1, 112.1, 118.8, 125.3, 163.3, 247.0, 313.4, 355.8, 383.0, 394.5),
        *(402.4, 412.4, 423.0, 453.8, 599.7),
    ]
)
# The measured model's own idle and rated power, onto which others are scaled.
MEASURED_IDLE_W, MEASURED_RATED_W = 60.0, 400.0

GPUS_OF_A_JOB = 16
# Jobs that run side by side in a cluster of which only the total is metered, and how busy it is.
_LANES = 8
_LANE_SHARE = 0.86
_SLOT_STEPS = 96  # eight hours: jobs last a few of these
_SLOT_JITTER = 40  # less than half a slot, so that ends keep their order


@dataclass(frozen=True, slots=True, eq=False)
class AcceleratorGroup:
    """The accelerators of one role at a block's nodes, one column a device.

    Attributes:
        devices: Ids, in column order.
        power_w: (nodes, devices) W.
        utilization_percent: (nodes, devices), 0..100.
        temperature_c: (nodes, devices).
    """

    devices: tuple[str, ...]
    power_w: Floats
    utilization_percent: Floats
    temperature_c: Floats


def envelope_w(active: Floats, level: Floats, idle_w: float, rated_w: float) -> Floats:
    """Power of an accelerator in W.

    Args:
        active: 1 while a job computes, 0 while none does, between them during a change.
        level: Quantile within the state's distribution, 0..1.
        idle_w: Of the model.
        rated_w: Of the model; the envelope's top lies above it, as measured.
    """
    idle = np.interp(level, LEVELS, IDLE_W)
    busy = np.interp(level, LEVELS, ACTIVE_W)
    measured = idle + active * (busy - idle)
    scale = (rated_w - idle_w) / (MEASURED_RATED_W - MEASURED_IDLE_W)
    power: Floats = np.maximum(idle_w + (measured - MEASURED_IDLE_W) * scale, 0.3 * idle_w)
    return power


def simulate_jobs(randomness: Randomness, name: str, block: int, share: float) -> Floats:
    """Whether a job computes, at the block's nodes: 0 or 1, half during a change.

    The day is cut in slots of about eight hours with uneven ends; a slot has a job with the given
    chance, and neighbouring slots with a job are one longer job.
    """
    period = _SLOT_STEPS
    uniform = ndtr(randomness.knots(f"{name}/job", block, period))
    spread = 2 * ndtr(randomness.knots(f"{name}/end", block, period)) - 1
    jitter = np.round(spread * _SLOT_JITTER)
    # Slot k begins at its knot moved by its jitter; knot 0 lies one period before the block.
    begins = (np.arange(len(uniform)) - 1) * period + jitter.astype(np.int64)
    steps = np.arange(-1, BLOCK_STEPS + 1)
    slot = np.clip(np.searchsorted(begins, steps, side="right") - 1, 0, None)
    running = (uniform[slot] < share).astype(np.float64)
    ramped: Floats = 0.5 * (running[1:] + running[:-1])
    return ramped


def simulate_accelerators(
    site: Site, randomness: Randomness, block: int, local_h: Floats, role: str
) -> AcceleratorGroup | None:
    """All devices of one role (`accelerator` or `node`); None where the site has none.

    GPUs run training jobs by partitions of sixteen; a device that stands for several accelerators
    (a node) has the mean of their states. NPUs follow the day's requests.
    """
    devices = site.with_role(role)
    if not devices:
        return None
    jobs: dict[int, _Job] = {}
    columns = []
    for device, partition in zip(devices, _partitions(devices), strict=True):
        if device.latest.kind == "npu":
            columns.append(_simulate_npu(device, randomness, block, local_h))
            continue
        if partition not in jobs:
            jobs[partition] = _simulate_job(f"{role}/partition-{partition}", randomness, block)
        columns.append(_simulate_gpu(device, jobs[partition], randomness, block))
    return AcceleratorGroup(
        tuple(device.id for device in devices),
        np.stack([power for power, _, _ in columns], axis=1),
        np.stack([use for _, use, _ in columns], axis=1),
        np.stack([warm for _, _, warm in columns], axis=1),
    )


def _partitions(devices: Sequence[Device]) -> list[int]:
    """The partition of each device: as many neighbours as make up one job's accelerators."""
    partitions: list[int] = []
    filled = 0
    for device in devices:
        partitions.append(filled // GPUS_OF_A_JOB)
        filled += device.latest.count or 1
    return partitions


def _ratings(device: Device) -> tuple[float, float]:
    state = device.latest
    count = state.count or 1
    rated = state.rated_w if state.rated_w is not None else MEASURED_RATED_W * count
    idle = state.idle_w if state.idle_w is not None else 0.15 * rated
    return idle, rated


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """What the devices of one partition have in common, at the nodes."""

    active: Floats
    level: Floats


def _simulate_job(name: str, randomness: Randomness, block: int) -> _Job:
    active = simulate_jobs(randomness, name, block, 0.66)
    return _Job(active, randomness.smooth(f"{name}/level", block, 96))


def _simulate_gpu(
    device: Device, job: _Job, randomness: Randomness, block: int
) -> tuple[Floats, Floats, Floats]:
    # What the job does, what this device's share of it is, and the hum of each step.
    own = randomness.smooth(f"{device.id}/level", block, 48)
    fast = randomness.smooth(f"{device.id}/fast", block, 1)
    level = ndtr(np.sqrt(0.55) * job.level + np.sqrt(0.2) * own + np.sqrt(0.25) * fast)
    idle_w, rated_w = _ratings(device)
    power = envelope_w(job.active, level, idle_w, rated_w)
    count = device.latest.count or 1
    if count > 1:
        # The tops of many accelerators never fall together.
        power = np.minimum(power, rated_w * (1 + 0.5 / count))
    busy = 100 * np.clip(0.25 + 0.85 * level**0.7, 0, 1)
    waiting = np.where(level > 0.75, 3.0, 0.0)
    use = job.active * busy + (1 - job.active) * waiting
    return power, use, _temperature(power / rated_w, own)


def _simulate_npu(
    device: Device, randomness: Randomness, block: int, local_h: Floats
) -> tuple[Floats, Floats, Floats]:
    day = 0.5 - 0.5 * np.cos(2 * np.pi * ((local_h % 24) - 4.5) / 24)
    noise = randomness.mixture(f"{device.id}/load", block, {48: 0.12, 3: 0.08})
    use = 100 * np.clip(0.12 + 0.62 * day + noise, 0.0, 1.0)
    idle_w, rated_w = _ratings(device)
    power = idle_w + (rated_w - idle_w) * (use / 100) ** 0.85
    return power, use, _temperature(power / rated_w, noise)


def _temperature(share: Floats, noise: Floats) -> Floats:
    return 27.0 + 36.0 * share + 1.2 * noise


def simulate_clusters(
    site: Site, randomness: Randomness, block: int
) -> tuple[AcceleratorGroup, Floats] | None:
    """Clusters of which the site meters nothing but the total; None where members are metered.

    A cluster is a few lanes of jobs, each with its share of the accelerators.

    Returns:
        All members' power, and how many of them report: (nodes, devices) each.
    """
    devices = site.with_role("cluster_total")
    if not devices or site.with_role("accelerator", "node"):
        return None
    columns = [_simulate_lanes(device, randomness, block) for device in devices]
    reporting = [
        _simulate_members(randomness, device.id, device.latest.count or 1, block)
        for device in devices
    ]
    group = AcceleratorGroup(
        tuple(device.id for device in devices),
        np.stack([power for power, _, _ in columns], axis=1),
        np.stack([use for _, use, _ in columns], axis=1),
        np.stack([warm for _, _, warm in columns], axis=1),
    )
    return group, np.stack(reporting, axis=1)


def _simulate_lanes(
    device: Device, randomness: Randomness, block: int
) -> tuple[Floats, Floats, Floats]:
    idle_w, rated_w = _ratings(device)
    power, use = np.zeros(BLOCK_STEPS + 1), np.zeros(BLOCK_STEPS + 1)
    for lane in range(_LANES):
        name = f"{device.id}/lane-{lane}"
        active = simulate_jobs(randomness, name, block, _LANE_SHARE)
        level = ndtr(randomness.mixture(f"{name}/level", block, {96: 0.9, 6: 0.43}))
        power += envelope_w(active, level, idle_w / _LANES, rated_w / _LANES)
        use += 100 * active * np.clip(0.25 + 0.85 * level**0.7, 0, 1) / _LANES
    power = np.minimum(power, rated_w)
    return power, use, _temperature(power / rated_w, np.zeros(BLOCK_STEPS + 1))


def _simulate_members(randomness: Randomness, name: str, expected: int, block: int) -> Floats:
    """How many members report: a few always lack, a cabinet now and then, for about an hour."""
    period = 12
    chance = ndtr(randomness.knots(f"{name}/members", block, period))[1:-2]
    silent = np.where(chance < 0.01, 0.04, 0.004 * chance)
    counts = np.round(expected * (1 - silent))
    counted: Floats = np.append(np.repeat(counts[:-1], period), counts[-1])
    return counted


def simulate_reporting(randomness: Randomness, devices: Sequence[str], block: int) -> Floats:
    """Which members of a cluster report, at the block's nodes: (nodes, devices) of 0 or 1.

    A member is silent for about an hour now and then.
    """
    period = 12
    columns = []
    for device in devices:
        silent = ndtr(randomness.knots(f"{device}/silent", block, period)) < 0.0015
        slots = np.repeat(silent[1:-3], period)
        columns.append(1.0 - np.append(slots, silent[-3]))
    return np.stack(columns, axis=1)
