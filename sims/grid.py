"""The time grid of the simulated world.

Everything that a simulated site does is fixed at the nodes of one grid of 300 s and linear between
them. So a power integrates to the same energy whether it is read every 10 s or every 300 s, and a
counter is the exact integral of its power. Nodes are computed in blocks of seven days that begin at
one origin, whatever span is asked for: the value at an instant depends on the site, the seed and
the instant alone.
"""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np

from core.errors import ConfigurationError, Problem
from core.periods import from_ms, to_ms
from core.samples import Floats, Ints

STEP_S = 300
STEP_MS = STEP_S * 1000
STEP_H = STEP_S / 3600
STEPS_PER_HOUR = 12
STEPS_PER_DAY = 288
BLOCK_STEPS = 7 * STEPS_PER_DAY
BLOCK_MS = BLOCK_STEPS * STEP_MS
# Before every device of the site files: sixty days of history fit before 2026-01-01.
ORIGIN = datetime(2025, 10, 1, tzinfo=UTC)
ORIGIN_MS = to_ms(ORIGIN)


def block_of(time_ms: int) -> int:
    """Number of the block that holds an instant.

    Raises:
        ConfigurationError: The instant lies before the origin of the simulated world.
    """
    if time_ms < ORIGIN_MS:
        problem = f"{from_ms(time_ms):%Y-%m-%d} lies before the simulated world begins"
        hint = f"simulate times from {ORIGIN:%Y-%m-%d} on"
        raise ConfigurationError([Problem("simulation", "start", problem, hint)])
    return (time_ms - ORIGIN_MS) // BLOCK_MS


def block_start_ms(block: int) -> int:
    """UTC epoch milliseconds of a block's first node."""
    return ORIGIN_MS + block * BLOCK_MS


def node_times_ms(block: int) -> Ints:
    """(BLOCK_STEPS + 1,) UTC epoch milliseconds: the block's nodes and the next block's first."""
    return block_start_ms(block) + np.arange(BLOCK_STEPS + 1, dtype=np.int64) * STEP_MS


def local_hours(block: int, zone: ZoneInfo) -> Floats:
    """(BLOCK_STEPS + 1,) hours of local wall time since 1970-01-01 00:00 at the block's nodes."""
    times = node_times_ms(block)
    offsets = np.empty(len(times))
    for hour in range(0, len(times), STEPS_PER_HOUR):
        offset = from_ms(int(times[hour])).astimezone(zone).utcoffset()
        offsets[hour : hour + STEPS_PER_HOUR] = offset.total_seconds() / 3600 if offset else 0.0
    hours: Floats = times / 3_600_000 + offsets
    return hours
