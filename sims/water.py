"""Water of a site, step by step: cooling make-up, blowdown, supplies, and the rain system.

Every volume belongs to one step of the grid and is spread evenly over it, so the balances hold
exactly at every node:

- tank: collected + mains top-up = used + overflow + drained + change of the stored volume;
- site: mains + reclaimed + groundwater + rain system's delivery - top-up = make-up + domestic +
  rain system's own uses.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.samples import Floats
from core.sites import RainSystem, Site
from sims.grid import BLOCK_STEPS, STEP_H, STEPS_PER_HOUR
from sims.plant import Cooling
from sims.profiles import CoolingKind, CoolingProfile, WaterProfile
from sims.randomness import Randomness
from sims.weather import Weather

# Evaporating one litre carries about 0.68 kWh of heat away.
M3_PER_MWH_EVAPORATED = 1.48
# Drift of modern towers as a share of the evaporation.
DRIFT = 0.01
# Least share of the rejected heat that evaporates: towers are never quite dry, dry coolers are.
_LEAST_LATENT: dict[CoolingKind, float] = {
    "chilled_water": 0.02,
    "outside_air": 0.02,
    "direct_liquid": 0.0,
}
_LOW, _FILLED, _WELL_FILLED, _DEAD = 0.08, 0.13, 0.30, 0.02
_FLUSH_RESET_STEPS = 24 * STEPS_PER_HOUR


@dataclass(frozen=True, slots=True)
class TankState:
    """The rain system between two blocks.

    Attributes:
        volume_m3: Stored volume.
        flush_m3: What is still to be drained of the current event's first flush.
        dry_steps: Steps since the last rain.
        topping_up: Whether the mains are filling the tank.
    """

    volume_m3: float
    flush_m3: float
    dry_steps: int
    topping_up: bool


@dataclass(frozen=True, slots=True, eq=False)
class RainFlows:
    """The rain system of one block: m3 of each step, and the volume at the nodes."""

    collected: Floats
    used: Floats
    overflow: Floats
    drained: Floats
    top_up: Floats
    to_cooling: Floats
    volume_m3: Floats


@dataclass(frozen=True, slots=True, eq=False)
class WaterFlows:
    """All water of one block.

    Attributes:
        make_up_m3_per_h, blowdown_m3_per_h: At the nodes, linear between.
        mains, reclaimed, groundwater, domestic: m3 of each step.
        rain: None where the site has no rain system.
    """

    make_up_m3_per_h: Floats
    blowdown_m3_per_h: Floats
    mains: Floats
    reclaimed: Floats
    groundwater: Floats
    domestic: Floats
    rain: RainFlows | None


def first_tank_state(rain: RainSystem) -> TankState:
    """The tank at the origin of the simulated world: half full."""
    return TankState(0.5 * rain.tank_volume_m3, 0.0, 0, topping_up=False)


def step_volumes(flow_m3_per_h: Floats) -> Floats:
    """m3 of each step of a flow that is linear between nodes."""
    volumes: Floats = 0.5 * (flow_m3_per_h[1:] + flow_m3_per_h[:-1]) * STEP_H
    return volumes


def simulate_water(
    site: Site,
    water: WaterProfile,
    plant: CoolingProfile,
    cooling: Cooling,
    weather: Weather,
    randomness: Randomness,
    block: int,
    local_h: Floats,
    tank: TankState | None,
) -> tuple[WaterFlows, TankState | None]:
    """The block's water and the tank behind it."""
    share = np.clip(
        plant.latent_base + plant.latent_slope * (weather.wet_bulb_c - plant.latent_above_c),
        _LEAST_LATENT[plant.kind],
        plant.latent_max,
    )
    evaporation = cooling.rejected_kw / 1000 * M3_PER_MWH_EVAPORATED * share
    blowdown = evaporation * (1 / (plant.concentration - 1))
    make_up = evaporation * (1 + DRIFT) + blowdown
    make_up_steps = step_volumes(make_up)

    hour = local_h[:-1] % 24
    people = np.clip(np.minimum(hour - 7.0, 21.0 - hour) / 2.0, 0.15, 1.0)
    hum = 1 + 0.15 * randomness.smooth("domestic", block, 12)[:-1]
    domestic = water.domestic_m3_per_h * 1.5 * people * np.maximum(hum, 0.2) * STEP_H

    rain = None
    if site.rain is not None and tank is not None:
        rain, tank = _simulate_tank(site.rain, water, weather.rain_mm, make_up_steps, local_h, tank)
    left = make_up_steps - (rain.to_cooling if rain is not None else 0.0)
    reclaimed = left * (water.reclaimed_share if site.with_role("reclaimed_supply") else 0.0)
    ground = left * (water.groundwater_share if site.with_role("groundwater_supply") else 0.0)
    mains = left - reclaimed - ground + domestic + (rain.top_up if rain is not None else 0.0)
    flows = WaterFlows(make_up, blowdown, mains, reclaimed, ground, domestic, rain)
    return flows, tank


def _simulate_tank(
    rain: RainSystem,
    water: WaterProfile,
    rain_mm: Floats,
    make_up_steps: Floats,
    local_h: Floats,
    state: TankState,
) -> tuple[RainFlows, TankState]:
    capacity = rain.tank_volume_m3
    inflow = rain.catchment_m2 * rain.runoff / 1000 * rain_mm
    first_flush = rain.catchment_m2 * rain.runoff / 1000 * water.first_flush_mm
    steady, optional = _demands(water, make_up_steps, local_h)
    used, overflow, drained, top_up, to_cooling = (np.zeros(BLOCK_STEPS) for _ in range(5))
    volumes = np.empty(BLOCK_STEPS + 1)
    volumes[0] = volume = state.volume_m3
    flush, dry, filling = state.flush_m3, state.dry_steps, state.topping_up
    mains_step = water.top_up_m3_per_h * STEP_H
    # A plain loop: each step needs the one before, and floats are faster here than arrays.
    rows = zip(inflow.tolist(), steady.tolist(), optional.tolist(), strict=True)
    for step, (collected, wanted, wish) in enumerate(rows):
        if collected > 0.0:
            if dry >= _FLUSH_RESET_STEPS:
                flush = first_flush
            dry = 0
            first = min(collected, flush)
            flush -= first
            drained[step] = first
            volume += collected - first
        else:
            dry += 1
        if filling or volume < _LOW * capacity:
            filling = volume < _FILLED * capacity
            if filling:
                top_up[step] = mains_step
                volume += mains_step
        delivered = min(wanted, max(volume - _DEAD * capacity, 0.0))
        volume -= delivered
        if volume > _WELL_FILLED * capacity:
            extra = min(wish, volume - _WELL_FILLED * capacity)
            to_cooling[step] = extra
            volume -= extra
            delivered += extra
        used[step] = delivered
        if volume > capacity:
            overflow[step] = volume - capacity
            volume = capacity
        volumes[step + 1] = volume
    flows = RainFlows(inflow, used, overflow, drained, top_up, to_cooling, volumes)
    return flows, TankState(volume, flush, dry, filling)


def _demands(water: WaterProfile, make_up_steps: Floats, local_h: Floats) -> tuple[Floats, Floats]:
    """Steady demand and cooling's wish for rain, in m3 of each step."""
    if water.rain_use == "cooling":
        steady = np.full(BLOCK_STEPS, water.rain_steady_m3_per_h * STEP_H)
        return steady, np.minimum(make_up_steps, water.rain_cooling_m3_per_h * STEP_H)
    hour, day = local_h[:-1] % 24, (local_h[:-1] / 24) % 365.25
    growing = np.clip(np.sin(np.pi * (day - 85) / 225), 0.0, 1.0) * ((day > 85) & (day < 310))
    watering = ((hour >= 5.0) & (hour < 8.0)) * growing * water.landscape_m3_per_h * STEP_H
    return watering + water.rain_steady_m3_per_h * STEP_H, np.zeros(BLOCK_STEPS)
