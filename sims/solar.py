"""Sun and photovoltaics: one sky per site, each array's own orientation (pvlib)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from pvlib import (
    atmosphere,
    clearsky,
    iam,
    inverter,
    irradiance,
    pvsystem,
    spa,
    temperature,
)

from core.samples import Floats
from core.sites import DeviceState, Site
from sims.grid import node_times_ms
from sims.profiles import Months
from sims.weather import Weather, monthly

ALBEDO = 0.2
# TT - UT1 of these years in seconds, and the refraction at sunrise in degrees.
DELTA_T_S = 69.2
REFRACTION_DEG = 0.5667
# Power temperature coefficient of crystalline silicon modules, 1/K.
GAMMA_PER_K = -0.0035
# Soiling, wiring, mismatch and the rest in front of the inverter.
DC_LOSSES = 0.13
INVERTER_EFFICIENCY = 0.965
# What an inverter draws at night, as a share of its rating.
NIGHT_DRAW = 0.0002


@dataclass(frozen=True, slots=True, eq=False)
class Sky:
    """Sun and irradiance at a block's nodes, W/m2 and degrees."""

    ghi: Floats
    dni: Floats
    dhi: Floats
    dni_extra: Floats
    zenith: Floats
    azimuth: Floats


@dataclass(frozen=True, slots=True, eq=False)
class ArrayOutput:
    """One array at a block's nodes.

    Attributes:
        generation_kw: AC power delivered, never negative.
        night_draw_kw: AC power that the inverter takes while it does not generate.
        poa_w_per_m2: Irradiance in the plane of the array.
        module_c: Module temperature.
    """

    generation_kw: Floats
    night_draw_kw: Floats
    poa_w_per_m2: Floats
    module_c: Floats


@lru_cache(maxsize=64)
def linke_by_month(latitude: float, longitude: float) -> Months:
    """Monthly Linke turbidity of a place, January first, by the climatology that pvlib has."""
    months = pd.date_range("2026-01-15", periods=12, freq=pd.DateOffset(months=1), tz="UTC")
    table = clearsky.lookup_linke_turbidity(months, latitude, longitude, interp_turbidity=False)
    return tuple(float(value) for value in table)


def simulate_sky(
    site: Site, altitude_m: float, weather: Weather, block: int, local_h: Floats
) -> Sky:
    """Irradiance under the block's clouds.

    Sun by NREL's SPA; clear sky by Ineichen with the place's monthly Linke turbidity, attenuated
    by cloud cover after Kasten and Czeplak (1980) and split after Erbs (1982).
    """
    # Apparent and true zenith, two elevations, azimuth.
    zenith, true_zenith, _, _, azimuth, _ = spa.solar_position_numpy(
        node_times_ms(block) / 1000.0,
        site.latitude,
        site.longitude,
        altitude_m,
        atmosphere.alt2pres(altitude_m) / 100,
        12.0,
        DELTA_T_S,
        REFRACTION_DEG,
        1,
    )
    day_of_year = (local_h / 24) % 365.25
    dni_extra = irradiance.get_extra_radiation(1 + day_of_year)
    linke = monthly(linke_by_month(site.latitude, site.longitude), day_of_year)
    airmass = atmosphere.get_relative_airmass(zenith)
    pressure = atmosphere.alt2pres(altitude_m)
    with np.errstate(divide="ignore", invalid="ignore"):  # the sun below the horizon
        clear = clearsky.ineichen(
            zenith,
            atmosphere.get_absolute_airmass(airmass, pressure),
            linke,
            altitude_m,
            dni_extra,
        )["ghi"]
    through = (1 - 0.75 * weather.cloud**3.4) * np.clip(1 + weather.flicker, 0.3, 1.3)
    ghi = np.where(zenith < 90, np.nan_to_num(clear) * np.clip(through, 0.02, 1.08), 0.0)
    split = irradiance.erbs(ghi, true_zenith, 1 + day_of_year)
    dni, dhi = np.nan_to_num(split["dni"]), np.nan_to_num(split["dhi"])
    return Sky(ghi, np.minimum(dni, dni_extra), dhi, dni_extra, zenith, azimuth)


def simulate_array(state: DeviceState, sky: Sky, weather: Weather) -> ArrayOutput:
    """One array: transposition after Hay and Davies, PVWatts on the DC and the AC side.

    Module temperature after Faiman (2008), reflection losses of glass by the physical model.

    Args:
        state: With `rated_kwp`, `tilt_deg`, `azimuth_deg`; without `inverter_kw` it never clips.
    """
    rated = state.rated_kwp or 0.0
    tilt, azimuth = state.tilt_deg or 0.0, state.azimuth_deg or 180.0
    total = irradiance.get_total_irradiance(
        tilt,
        azimuth,
        sky.zenith,
        sky.azimuth,
        sky.dni,
        sky.ghi,
        sky.dhi,
        dni_extra=sky.dni_extra,
        albedo=ALBEDO,
        model="haydavies",
    )
    up = sky.zenith < 90
    poa = np.where(up, np.nan_to_num(total["poa_global"]), 0.0)
    incidence = irradiance.aoi(tilt, azimuth, sky.zenith, sky.azimuth)
    direct = np.where(up, np.nan_to_num(total["poa_direct"]), 0.0)
    effective = np.maximum(poa - direct * (1 - iam.physical(incidence)), 0.0)
    module = temperature.faiman(poa, weather.temperature_c, weather.wind_m_per_s)
    dc = pvsystem.pvwatts_dc(effective, module, rated * (1 - DC_LOSSES), GAMMA_PER_K)
    limit = state.inverter_kw or 1.2 * rated
    ac = inverter.pvwatts(dc, limit / INVERTER_EFFICIENCY, INVERTER_EFFICIENCY)
    generation = np.clip(np.nan_to_num(ac), 0.0, limit)
    draw = np.where(generation > 0, 0.0, NIGHT_DRAW * limit)
    return ArrayOutput(generation, draw, poa, module)
