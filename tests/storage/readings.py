"""Small blocks of readings for the tests of the stores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.periods import Period
from core.samples import ReadingBlock

T0 = 1_795_000_500_123
HOUR = 3_600_000
ALL_TIME = Period.of_ms(0, 4_000_000_000_000)


def one_device(
    times_ms: Sequence[int],
    values: Sequence[float],
    *,
    site: str = "s1",
    device: str = "a",
    metric: str = "power_kw",
    quality: int = 0,
) -> ReadingBlock:
    """One metric of one device."""
    size = len(times_ms)
    return ReadingBlock(
        site,
        "energy",
        (device,),
        np.zeros(size, np.int32),
        np.array(times_ms, np.int64),
        np.full(size, quality, np.int8),
        {metric: np.array(values, np.float64)},
    )


def many_devices(
    devices: int, instants: int, *, site: str = "s1", start_ms: int = T0, cadence_ms: int = 10_000
) -> ReadingBlock:
    """All devices at all instants, two metrics each, values that say where they belong."""
    names = tuple(f"d{number:03d}" for number in range(devices))
    index = np.tile(np.arange(devices, dtype=np.int32), instants)
    time_ms = np.repeat(start_ms + np.arange(instants, dtype=np.int64) * cadence_ms, devices)
    power = index + (time_ms - T0) / 1e7
    return ReadingBlock(
        site,
        "energy",
        names,
        index,
        time_ms,
        np.zeros(len(index), np.int8),
        {"power_kw": power, "energy_kwh": np.round(power * 1000.0)},
    )
