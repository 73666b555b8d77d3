"""Stored volume of the rain tank at the borders of periods, from its level."""

from __future__ import annotations

import numpy as np

from analytics.boundary import devices_that, has_role
from analytics.dense import lay_out
from analytics.figures import Question
from analytics.spans import Timeline
from core.periods import Period, to_ms
from core.samples import Floats, Quality
from core.sites import Device, RainSystem

_LEVEL = "tank_level_m"
# So many borders are asked for in raw samples; more (quarters of a month) rest on the intervals.
_MOST_RAW_BORDERS = 100


def stored_volumes(question: Question) -> Floats | str:
    """(m,) volume at the end less that at the start of each period, in m3; NaN where not known.

    Returns:
        The reason instead, where no volume can be told at all.
    """
    rain = question.site.rain
    tanks = devices_that(question.site, has_role("rain_tank"))
    if rain is None or not tanks:
        return "needs a [rain] system and a device of role rain_tank"
    if not rain.tank_table:
        return "the site file gives no tank_table or tank_depth_m: a level is no volume without"
    tiling = question.tiling
    borders = [to_ms(period.start) for period in tiling.periods] + [tiling.grid.end_ms]
    total = np.zeros(len(borders))
    for tank in tanks:
        levels = np.full(len(borders), np.nan)
        if len(borders) <= _MOST_RAW_BORDERS:
            levels = np.array([_level_from_samples(question, tank, border) for border in borders])
        near = _levels_from_intervals(question, tank, borders)
        total += _volumes(rain, np.where(np.isnan(levels), near, levels))
    return np.diff(total)


def _level_from_samples(question: Question, tank: Device, border_ms: int) -> float:
    """Level at one instant, linear between the readings around it; NaN where they are too far."""
    cadence_ms = int(Timeline.of(tank).cadence_ms.max())
    found = question.reader.store.read_samples(
        question.site.id,
        tank.family,
        Period.of_ms(border_ms - 3 * cadence_ms, border_ms + 3 * cadence_ms + 1),
        devices=[tank.id],
        metrics=[_LEVEL],
    )
    if not found:
        return float("nan")
    (samples,) = found
    certain = samples.quality != Quality.UNCERTAIN
    time_ms, level = samples.time_ms[certain], samples.value[certain]
    if not len(time_ms) or time_ms[-1] < border_ms or time_ms[0] > border_ms:
        return float("nan")
    after = int(np.searchsorted(time_ms, border_ms))
    if time_ms[after] - time_ms[max(after - 1, 0)] > 3 * cadence_ms:
        return float("nan")
    return float(np.interp(border_ms, time_ms, level))


def _levels_from_intervals(question: Question, tank: Device, borders: list[int]) -> Floats:
    """Levels from the means of the intervals on either side, where samples have expired.

    At the outer borders only the inner interval is at hand.
    """
    tiling = question.tiling
    mean = lay_out(question.reader.block(tank, _LEVEL), "mean", tiling.grid, missing=np.nan)
    padded = np.concatenate([[np.nan], mean, [np.nan]])
    place = np.append(tiling.cuts, tiling.grid.count)
    sides = np.array([padded[place], padded[place + 1]])
    known = ~np.isnan(sides)
    level = np.full(len(borders), np.nan)
    np.divide(
        np.where(known, sides, 0.0).sum(axis=0),
        known.sum(axis=0),
        out=level,
        where=known.any(axis=0),
    )
    return level


def _volumes(rain: RainSystem, levels: Floats) -> Floats:
    volumes = [np.nan if np.isnan(level) else rain.volume_m3(float(level)) for level in levels]
    return np.array(volumes, dtype=np.float64)
