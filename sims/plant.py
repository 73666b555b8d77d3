"""Power and cooling of a site at a block's nodes, from IT load and weather.

All sums are exact at the nodes: the facility's demand is the sum of what its parts take, and every
part is linear between nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from core.samples import Floats, Ints
from core.sites import Device
from sims.accelerators import AcceleratorGroup, simulate_jobs
from sims.grid import STEPS_PER_HOUR
from sims.halls import ElectricalTree, Hall, weights_of
from sims.profiles import CoolingProfile, LoadProfile, SiteProfile
from sims.randomness import Randomness
from sims.weather import Weather

# Losses as shares of the rating: constant, with the load, with its square.
UPS_LOSS = (0.008, 0.020, 0.012)
PDU_LOSS = (0.0020, 0.0030, 0.0060)
CABLE_LOSS = 0.002
CHILLED_WATER_C = 16.0
# Return of the warm-water loop, and the air that its dry coolers are built for: hotter is sprayed.
WARM_WATER_C = 46.0
DESIGN_AIR_C = 34.0
_TRAINING_PARTITIONS = 10


@dataclass(frozen=True, slots=True, eq=False)
class PowerChain:
    """IT power and the chain above it, all in kW; (nodes, halls) or (nodes, systems).

    Attributes:
        device_kw: At the inputs of the IT devices (category 3).
        pdu_out_kw: At the PDU outputs (category 2).
        ups_out_kw: At the UPS outputs (category 1).
        ups_in_kw: At the UPS inputs.
    """

    device_kw: Floats
    pdu_out_kw: Floats
    ups_out_kw: Floats
    ups_in_kw: Floats

    @property
    def heat_kw(self) -> Floats:
        """Heat that IT, PDUs and UPS systems give to the rooms."""
        return self.ups_in_kw.sum(axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class Cooling:
    """The cooling plant, all in kW electric but the heat.

    Attributes:
        chiller_kw, pump_kw, tower_fan_kw: Totals.
        air_handling_kw: (nodes, halls).
        rejected_kw: Heat that the plant gives to the outside.
        supply_air_c: Temperature of the air supplied to the halls.
    """

    chiller_kw: Floats
    pump_kw: Floats
    tower_fan_kw: Floats
    air_handling_kw: Floats
    rejected_kw: Floats
    supply_air_c: Floats

    @property
    def total_kw(self) -> Floats:
        """Electricity of the whole plant."""
        return self.chiller_kw + self.pump_kw + self.tower_fan_kw + self.air_handling_kw.sum(axis=1)


def simulate_chain(
    tree: ElectricalTree,
    profile: LoadProfile,
    node_factor: float,
    randomness: Randomness,
    block: int,
    local_h: Floats,
    accelerator_kw: dict[str, Floats],
) -> PowerChain:
    """IT power and losses.

    Args:
        node_factor: What the nodes around the accelerators take, as a multiple of their power.
        accelerator_kw: Hall -> power of its metered accelerators or nodes.
    """
    device = np.stack(
        [
            _hall_load(hall, profile, randomness, block, local_h)
            + node_factor * accelerator_kw.get(hall.name, np.zeros(len(local_h)))
            for hall in tree.halls
        ],
        axis=1,
    )
    capacity = np.array([hall.capacity_kw for hall in tree.halls])
    pdu_out = device * (1 + CABLE_LOSS)
    pdu_in = pdu_out + loss_kw(pdu_out, capacity, PDU_LOSS)
    shares = np.array([ups.hall_shares for ups in tree.ups])
    ups_out = pdu_in @ shares.T
    rated = np.array([ups.rated_kw for ups in tree.ups])
    return PowerChain(device, pdu_out, ups_out, ups_out + loss_kw(ups_out, rated, UPS_LOSS))


def loss_kw(power_kw: Floats, rated_kw: Floats, shares: tuple[float, float, float]) -> Floats:
    """Loss of a converter: rating x (a + b x + c x^2), x the load."""
    constant, linear, square = shares
    load = power_kw / rated_kw
    loss: Floats = rated_kw * (constant + linear * load + square * load**2)
    return loss


def _hall_load(
    hall: Hall, profile: LoadProfile, randomness: Randomness, block: int, local_h: Floats
) -> Floats:
    name = f"hall/{hall.name}"
    base = profile.level * (1 + 0.04 * np.tanh(randomness.stream(name).standard_normal()))
    training = np.zeros(len(local_h))
    if hall.has_accelerators:
        for partition in range(_TRAINING_PARTITIONS):
            job = simulate_jobs(randomness, f"{name}/training-{partition}", block, 0.62)
            training += job / _TRAINING_PARTITIONS
        base *= 0.70
    # A second harmonic makes the night's trough broad and the evening's peak narrow.
    phase = 2 * np.pi * (local_h - profile.peak_hour) / 24
    daily = profile.daily * (0.85 * np.cos(phase) + 0.25 * np.cos(2 * phase))
    # 1970-01-01 was a Thursday; the change takes the hours about midnight.
    weekday = (local_h / 24 + 3) % 7
    weekend = profile.weekend * _trapezoid(weekday, 4.9, 6.95, 0.2)
    noise = randomness.mixture(name, block, {504: 0.018, 96: 0.009, 12: 0.005, 1: 0.0015})
    load: Floats = base * (1 + daily + weekend + noise) + profile.training_share * training
    return hall.capacity_kw * np.clip(load, 0.05, 0.98)


def _trapezoid(x: Floats, low: float, high: float, ramp: float) -> Floats:
    """1 from low + ramp to high - ramp, 0 outside low to high, linear between."""
    return np.clip(np.minimum((x - low) / ramp, (high - x) / ramp), 0.0, 1.0)


def simulate_cooling(
    tree: ElectricalTree,
    profile: CoolingProfile,
    chain: PowerChain,
    weather: Weather,
    randomness: Randomness,
    block: int,
) -> Cooling:
    """The cooling plant for the block's heat and weather."""
    capacity = np.array([hall.capacity_kw for hall in tree.halls])
    load = chain.device_kw / capacity
    hot = np.clip((weather.temperature_c - 18.0) / 14.0, 0.0, 1.0)
    outside_air = profile.kind == "outside_air"
    speed = np.clip(load * (1 + 0.16 * hot[:, None]) if outside_air else load, 0.25, 1.0)
    # Fans follow the cube of their speed above what keeps them turning.
    air = profile.air_handling * capacity * (0.18 + 0.82 * (speed * 1.15).clip(0, 1) ** 3)
    heat = chain.heat_kw + air.sum(axis=1)
    duty = heat / (1.08 * tree.capacity_kw)
    mechanical = _smooth_step(
        (weather.wet_bulb_c - profile.free_below_c)
        / (profile.mechanical_above_c - profile.free_below_c)
    )
    wobble = 1 + 0.015 * randomness.smooth("cooling", block, 6)
    supply = 23.0 + 0.25 * randomness.smooth("supply-air", block, 36)
    if outside_air:
        # Only the hottest hours leave a part of the heat to the chiller.
        chilled = profile.chilled_share * mechanical * heat
        supply = supply + 2.0 * np.clip((weather.wet_bulb_c - 19.0) / 8.0, 0.0, 1.2)
        pumps = profile.pumps * tree.capacity_kw * hot * wobble
        fans = np.zeros_like(heat)
    else:
        # What water takes from the IT devices directly is too warm for a chiller to be of use.
        chilled = mechanical * (heat - profile.liquid_share * chain.device_kw.sum(axis=1))
        pumps = profile.pumps * tree.capacity_kw * (0.25 + 0.75 * duty**3) * wobble
        effort = np.clip(duty * _fan_effort(profile, weather, hot), 0.2, 1.0)
        fans = profile.tower_fans * tree.capacity_kw * (0.08 + 0.92 * effort**3) * wobble
    chiller = chilled / chiller_cop(weather.wet_bulb_c, duty, profile.carnot_share) * wobble
    rejected = heat + chiller + (0.0 if outside_air else pumps)
    return Cooling(chiller, pumps, fans, air, rejected, supply)


def _fan_effort(profile: CoolingProfile, weather: Weather, hot: Floats) -> Floats:
    """Speed of the outdoor fans at full duty, 1 at the design's hottest hour or a little above.

    Towers follow the season a little. Dry coolers carry the heat over the difference between the
    warm water and the air, so their air flow is inverse to it.
    """
    if profile.kind != "direct_liquid":
        effort: Floats = 0.75 + 0.35 * hot
        return effort
    over_air = WARM_WATER_C - weather.temperature_c
    return np.minimum((WARM_WATER_C - DESIGN_AIR_C) / np.maximum(over_air, 1.0), 1.1)


def chiller_cop(wet_bulb_c: Floats, duty: Floats, carnot_share: float) -> Floats:
    """COP of water-cooled chillers: a share of the ideal one, less at low duty, at most 10.

    Condensing stands 9 K above the wet bulb (tower 4 K, condenser 5 K), evaporating 3 K below the
    chilled water.
    """
    evaporating = CHILLED_WATER_C - 3.0
    lift = np.maximum(wet_bulb_c + 9.0 - evaporating, 8.0)
    ideal = (evaporating + 273.15) / lift
    part_load = 1 - 0.25 * (1 - np.clip(duty, 0.0, 1.0)) ** 2
    return np.minimum(carnot_share * ideal * part_load, 10.0)


def split_stages(total_kw: Floats, capacity_kw: float, units: int, lead: Ints) -> Floats:
    """A plant's power over equal units that are switched on one after another.

    Args:
        total_kw: (nodes,) power of all units together.
        capacity_kw: Power of one unit at full duty; a further one starts above 85 % of it.
        lead: (nodes,) number of the unit that starts first.

    Returns:
        (nodes, units) kW whose sum is the total.
    """
    running = np.clip(np.ceil(total_kw / (0.85 * capacity_kw)), 1, units)
    rank = (np.arange(units)[None, :] - lead[:, None]) % units
    on = rank < running[:, None]
    split: Floats = on * (total_kw / running)[:, None]
    return split


def generator_tests(rated_kw: float, local_h: Floats, demand_kw: Floats) -> Floats:
    """Monthly test under load: the second Tuesday from 10 to 11 o'clock, at a quarter of rating."""
    power = np.zeros(len(local_h))
    first_day, last_day = int(local_h[0] // 24), int(local_h[-1] // 24)
    for number in range(first_day, last_day + 1):
        day = date(1970, 1, 1) + timedelta(days=number)
        if day.weekday() == 1 and 8 <= day.day <= 14:
            run = _trapezoid(local_h - 24.0 * number, 10.0, 11.0, 1 / STEPS_PER_HOUR)
            power = np.maximum(power, 0.25 * rated_kw * run)
    return np.minimum(power, 0.6 * demand_kw)


def _smooth_step(x: Floats) -> Floats:
    clipped = np.clip(x, 0.0, 1.0)
    smooth: Floats = clipped * clipped * (3 - 2 * clipped)
    return smooth


def facility_demand(
    tree: ElectricalTree,
    profile: SiteProfile,
    chain: PowerChain,
    cooling: Cooling,
    lighting_kw: Floats,
    house_kw: Floats,
    night_draw_kw: Floats,
) -> Floats:
    """What the data centre takes from all its supplies, transformer losses included, in kW."""
    inner = chain.ups_in_kw.sum(axis=1) + cooling.total_kw + lighting_kw + house_kw + night_draw_kw
    no_load, full_load = profile.transformer_loss
    rated = tree.rated_demand_kw
    demand: Floats = inner + rated * (no_load + full_load * (inner / rated) ** 2)
    return demand


def accelerator_halls(group: AcceleratorGroup, halls: dict[str, str]) -> dict[str, Floats]:
    """Hall -> power of its accelerators in kW.

    Args:
        halls: Device -> hall.
    """
    totals: dict[str, Floats] = {}
    for column, device in enumerate(group.devices):
        power, hall = group.power_w[:, column] / 1000, halls[device]
        totals[hall] = totals[hall] + power if hall in totals else power
    return totals


def split_by_rating(total_kw: Floats, devices: Sequence[Device]) -> Floats:
    """A total over devices by their ratings: (nodes, devices)."""
    return total_kw[:, None] * weights_of(devices)[None, :]
