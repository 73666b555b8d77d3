"""What is physically possible: nothing below a target's least value, no sun at night."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from analytics.boundary import pv_arrays
from analytics.spans import Flags
from core.forecasts import ForecastTarget
from core.samples import Floats, Ints
from core.sites import Site

# Degrees below the horizon at which no diffuse light is left that a module would turn into power;
# also more than the error of the formula of the sun's place.
_DARK_DEG = -2.0
_J2000_MS = 946_728_000_000


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of a target at a site.

    Attributes:
        least, most: In the target's unit; `most` is infinite where nothing limits it.
        needs_sun: Whether the value is zero while the sun is down.
    """

    least: float
    most: float
    needs_sun: bool
    latitude: float
    longitude: float

    def clip(self, table: Floats, starts_ms: Ints, step_s: int) -> Floats:
        """(…, m) quantiles of the steps, brought within the limits."""
        clipped = np.clip(table, self.least, self.most)
        if not self.needs_sun:
            return clipped
        dark = self.is_dark(starts_ms, step_s)
        return np.where(dark & np.isfinite(table), 0.0, clipped)

    def is_dark(self, starts_ms: Ints, step_s: int) -> Flags:
        """(m,) whether the sun is down through all of a step."""
        dark = np.ones(starts_ms.shape, dtype=np.bool_)
        for share in (0.0, 0.5, 1.0):
            times = starts_ms + round(share * step_s * 1000)
            dark &= sun_elevation_deg(times, self.latitude, self.longitude) < _DARK_DEG
        return dark


def bounds_of(site: Site, target: ForecastTarget, moment: datetime) -> Bounds:
    """The limits of a target, by the ratings in force at `moment`."""
    most = np.inf
    if target.id == "pv_power_kw":
        most = 0.0
        for array in pv_arrays(site):
            state = array.state_at(moment)
            if state is not None:
                ratings = [r for r in (state.rated_kwp, state.inverter_kw) if r is not None]
                most += min(ratings, default=np.inf)
    needs_sun = target.daylight_only
    return Bounds(target.least, most, needs_sun, site.latitude, site.longitude)


def sun_elevation_deg(times_ms: Ints, latitude: float, longitude: float) -> Floats:
    """Height of the sun above the horizon in degrees, within 0.1 degrees, without refraction.

    Source: Astronomical Almanac, low-precision formulas for the Sun.
    """
    days = (times_ms - _J2000_MS) / 86_400_000.0
    anomaly = np.radians((357.528 + 0.9856003 * days) % 360.0)
    mean = (280.460 + 0.9856474 * days) % 360.0
    ecliptic = np.radians(mean + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2.0 * anomaly))
    tilt = np.radians(23.439 - 4e-7 * days)
    declination = np.arcsin(np.sin(tilt) * np.sin(ecliptic))
    ascension = np.arctan2(np.cos(tilt) * np.sin(ecliptic), np.cos(ecliptic))
    sidereal = np.radians((280.46062 + 360.98564737 * days + longitude) % 360.0)
    hour_angle = sidereal - ascension
    place = np.radians(latitude)
    height = np.sin(place) * np.sin(declination)
    height = height + np.cos(place) * np.cos(declination) * np.cos(hour_angle)
    return np.asarray(np.degrees(np.arcsin(np.clip(height, -1.0, 1.0))), dtype=np.float64)
