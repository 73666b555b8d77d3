"""Weather of a simulated site: temperature, humidity, wet bulb, cloud, rain, wind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from core.samples import Floats
from sims.grid import BLOCK_STEPS, STEPS_PER_DAY, STEPS_PER_HOUR, block_start_ms
from sims.profiles import Climate, Months
from sims.randomness import Randomness

# Air takes up no more over the warmest seas around Korea.
HIGHEST_DEW_POINT_C = 27.0
_DAY_MS = 86_400_000
# A rain event may last into the second day after the one on which it began.
_EVENT_DAYS = 2
_MAX_EVENT_STEPS = 36 * STEPS_PER_HOUR


@dataclass(frozen=True, slots=True, eq=False)
class Weather:
    """Weather at a block's nodes (BLOCK_STEPS + 1 values each, rain: BLOCK_STEPS).

    Attributes:
        cloud: Cover, 0..1.
        flicker: Fast relative variation of irradiance under broken cloud.
        rain_mm: Rain of the step that begins at the node.
    """

    temperature_c: Floats
    humidity_percent: Floats
    wet_bulb_c: Floats
    cloud: Floats
    flicker: Floats
    wind_m_per_s: Floats
    rain_mm: Floats


def simulate_weather(
    climate: Climate, randomness: Randomness, block: int, local_h: Floats
) -> Weather:
    """The weather of one block.

    Args:
        local_h: Local wall-clock hours since 1970 at the nodes, as `sims.grid.local_hours`.
    """
    hour = local_h % 24
    day_of_year = (local_h / 24) % 365.25
    rain = simulate_rain(climate, randomness, block)
    wet = _wetness(rain)

    bias = monthly(climate.cloud_bias, day_of_year)
    cover = randomness.mixture("cloud", block, {504: 0.8, 96: 0.55, 24: 0.35})
    cloud = np.maximum(ndtr(2.2 * (cover + bias)), 0.93 * wet)

    # Warmest around 1 August, coldest half a year before.
    season = climate.mean_c + climate.season_c * np.cos(2 * np.pi * (day_of_year - 212) / 365.25)
    winter = 0.5 - 0.5 * np.cos(2 * np.pi * (day_of_year - 212) / 365.25)
    spell = randomness.mixture("temperature", block, {672: 1.9, 288: 1.6, 96: 0.8})
    base = season + spell * (0.65 + 0.55 * winter)
    swing = climate.diurnal_c * (1 - 0.65 * cloud) * np.cos(2 * np.pi * (hour - 15) / 24)
    temperature = base + swing + randomness.mixture("gust", block, {12: 0.25, 3: 0.08})

    spread = monthly(climate.dew_spread_c, day_of_year)
    dew = base - spread * np.exp(randomness.mixture("dew", block, {288: 0.22, 72: 0.12}))
    dew = dew + (temperature - 0.6 - dew) * np.clip(wet, 0, 1)
    dew = np.minimum(dew, HIGHEST_DEW_POINT_C)
    humidity = relative_humidity(temperature, np.minimum(dew, temperature - 0.05))
    wind = climate.wind_m_per_s * np.exp(
        randomness.mixture("wind", block, {288: 0.35, 36: 0.3, 3: 0.15}) - 0.12
    )
    return Weather(
        temperature_c=temperature,
        humidity_percent=humidity,
        wet_bulb_c=wet_bulb(temperature, humidity),
        cloud=cloud,
        flicker=randomness.mixture("flicker", block, {6: 0.8, 2: 0.6}) * cloud * (1 - cloud) * 0.9,
        wind_m_per_s=wind * (1 + 0.25 * np.cos(2 * np.pi * (hour - 15) / 24)),
        rain_mm=rain[1:-1],
    )


def simulate_rain(climate: Climate, randomness: Randomness, block: int) -> Floats:
    """Rain in mm of every step from one before the block to one behind it: (BLOCK_STEPS + 2,).

    On each day an event may begin at any time; its depth is gamma distributed about the month's
    mean, and its steps weigh log-normally under a bell. Days are keyed by their number, so that an
    event that crosses a block's end is the same seen from both sides.
    """
    rain = np.zeros(BLOCK_STEPS + 2)
    first_day = block_start_ms(block) // _DAY_MS
    # One day more on either side than events reach, for the two steps outside the block.
    for day in range(first_day - _EVENT_DAYS - 1, first_day + BLOCK_STEPS // STEPS_PER_DAY + 1):
        stream = randomness.stream("rain", day)
        month = int(np.datetime64(day, "D").astype("datetime64[M]").astype(np.int64) % 12)
        chance = climate.rain_days[month] / 30.4
        if stream.random() >= chance:
            continue
        # A shape below one: most events are small, a few bring the month's rain.
        depth = stream.gamma(0.75, climate.rain_mm[month] / climate.rain_days[month] / 0.75)
        steps = int(np.clip(stream.gamma(2.0, 30 + 1.2 * depth**0.7), 6, _MAX_EVENT_STEPS))
        begin = (day - first_day) * STEPS_PER_DAY + int(stream.integers(STEPS_PER_DAY)) + 1
        bell = np.sin(np.pi * (np.arange(steps) + 0.5) / steps) ** 1.5
        weights = bell * np.exp(stream.standard_normal(steps) * 0.8)
        amounts = depth * weights / weights.sum()
        low, high = max(begin, 0), min(begin + steps, len(rain))
        if low < high:
            rain[low:high] += amounts[low - begin : high - begin]
    return rain


def relative_humidity(temperature_c: Floats, dew_point_c: Floats) -> Floats:
    """Relative humidity in percent, by the Magnus form.

    Source: Alduchov and Eskridge (1996), doi 10.1175/1520-0450(1996)035<0601:IMFAOS>2.0.CO;2.
    """
    ratio = np.exp(
        17.625 * dew_point_c / (243.04 + dew_point_c)
        - 17.625 * temperature_c / (243.04 + temperature_c)
    )
    percent: Floats = np.clip(100 * ratio, 8.0, 99.0)
    return percent


def wet_bulb(temperature_c: Floats, humidity_percent: Floats) -> Floats:
    """Wet-bulb temperature in degrees Celsius at sea-level pressure.

    Valid for 5 to 99 % and -20 to 50 degrees. Source: Stull (2011), doi 10.1175/JAMC-D-11-0143.1.
    """
    t, rh = temperature_c, humidity_percent
    result: Floats = (
        t * np.arctan(0.151977 * np.sqrt(rh + 8.313659))
        + np.arctan(t + rh)
        - np.arctan(rh - 1.676331)
        + 0.00391838 * rh**1.5 * np.arctan(0.023101 * rh)
        - 4.686035
    )
    return np.minimum(result, t)


def _wetness(rain_mm: Floats) -> Floats:
    """How wet it is at the nodes, 0..1: by the step behind and the one ahead."""
    rate = rain_mm * STEPS_PER_HOUR
    return np.minimum(np.maximum(rate[:-1], rate[1:]) / 0.5, 1.0)


def monthly(table: Months, day_of_year: Floats) -> Floats:
    """A monthly table as a smooth function of the day: values stand at mid-month."""
    centres = (np.arange(-1, 13) + 0.5) * 365.25 / 12
    wrapped = [table[-1], *table, table[0]]
    return np.interp(day_of_year, centres, wrapped)
