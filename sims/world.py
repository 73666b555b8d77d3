"""A simulated site: its physics block by block, and what any of its quantities is at an instant."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigurationError, Problem
from core.samples import Floats, Ints
from core.sites import Site
from sims.accelerators import simulate_accelerators, simulate_clusters
from sims.draft import SITE, Draft, Key
from sims.grid import (
    BLOCK_STEPS,
    STEP_H,
    STEP_MS,
    block_of,
    block_start_ms,
    local_hours,
)
from sims.halls import read_tree
from sims.metering import (
    Supply,
    meter_accelerators,
    meter_chain,
    meter_clusters,
    meter_heat_reuse,
    meter_plant,
    meter_solar,
    meter_supply,
    meter_unmetered_members,
    meter_water,
    meter_weather,
)
from sims.plant import (
    accelerator_halls,
    facility_demand,
    generator_tests,
    simulate_chain,
    simulate_cooling,
)
from sims.profiles import profile_for
from sims.randomness import Randomness
from sims.solar import simulate_array, simulate_sky
from sims.water import TankState, first_tank_state, simulate_water
from sims.weather import simulate_weather

# Counters that the exact figures need, whether or not the device sends them.
_ALWAYS = {"active_energy_kwh", "energy_kwh", "ac_energy_kwh", "heat_energy_kwh", "volume_m3"}
_KEPT_BLOCKS = 3


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Seven days of a site.

    Attributes:
        gauges: (BLOCK_STEPS + 1, g) values at the nodes.
        rates: (BLOCK_STEPS + 1, r) growth per hour of the first `r` counters, at the nodes.
        totals: (BLOCK_STEPS + 1, c) counters at the nodes, counted from the origin: those with a
            rate, then those that grow evenly in each step.
    """

    gauges: Floats
    rates: Floats
    totals: Floats


@dataclass(frozen=True, slots=True, eq=False)
class _Carry:
    """What goes over from one block to the next."""

    totals: Floats | None
    tank: TankState | None


class SimulatedSite:
    """The physics of one site under one seed.

    Values depend on site, seed and instant alone. Blocks are computed in order from the origin of
    the simulated world (counters and the tank carry on), kept while in use, and never differ.

    Raises:
        ConfigurationError: The site is planned or its data are declared measured.
    """

    def __init__(self, site: Site, seed: int) -> None:
        if site.status != "operating" or not site.is_simulated:
            problem = f"site {site.id} is {site.status} with {site.data} data"
            hint = 'only an operating site with data = "simulated" is simulated'
            raise ConfigurationError([Problem("simulation", site.id, problem, hint)])
        self.site = site
        self.seed = seed
        self._profile = profile_for(site)
        self._tree = read_tree(site)
        self._randomness = Randomness(seed, site.id)
        tank = first_tank_state(site.rain) if site.rain is not None else None
        self._carries = [_Carry(None, tank)]
        self._blocks: OrderedDict[int, Block] = OrderedDict()
        self._gauges: dict[Key, int] = {}
        self._counters: dict[Key, int] = {}
        self._block(0)

    def has_gauge(self, key: Key) -> bool:
        """Whether the quantity is a gauge of this site."""
        return key in self._gauges

    def has_counter(self, key: Key) -> bool:
        """Whether the quantity is a counter of this site."""
        return key in self._counters

    def counter_keys(self) -> list[Key]:
        """Every counter: those of the devices and those of the whole site."""
        return list(self._counters)

    def stream(self, name: str) -> np.random.Generator:
        """A stream of random numbers of this site and seed, by name."""
        return self._randomness.stream(name)

    def gauges_at(self, times_ms: Ints, keys: Sequence[Key]) -> Floats:
        """Gauges at the instants: (times, keys), linear between the grid's nodes."""
        columns = np.array([self._gauges[key] for key in keys], dtype=np.intp)
        result = np.empty((len(times_ms), len(keys)))
        for block, rows, index, share in self._places(times_ms):
            low = block.gauges[index[:, None], columns]
            high = block.gauges[index[:, None] + 1, columns]
            result[rows] = low + share[:, None] * (high - low)
        return result

    def counters_at(self, times_ms: Ints, keys: Sequence[Key]) -> Floats:
        """Totals since the origin at the instants: (times, keys), exact integrals of their rates.

        A counter with a rate that is linear between nodes is quadratic between them, one that grows
        evenly in each step is linear.
        """
        columns = np.array([self._counters[key] for key in keys], dtype=np.intp)
        result = np.empty((len(times_ms), len(keys)))
        for block, rows, index, share in self._places(times_ms):
            places = index[:, None]
            low = block.totals[places, columns]
            grown = (block.totals[places + 1, columns] - low) * share[:, None]
            with_rate = columns < block.rates.shape[1]
            if with_rate.any():
                rate = block.rates[places, columns[with_rate]]
                ahead = block.rates[places + 1, columns[with_rate]]
                part = share[:, None] * STEP_H
                grown[:, with_rate] = part * (rate + 0.5 * share[:, None] * (ahead - rate))
            result[rows] = low + grown
        return result

    def _places(
        self, times_ms: Ints
    ) -> list[tuple[Block, NDArray[np.intp], NDArray[np.intp], Floats]]:
        """By block: the block, the rows of `times_ms` in it, their steps and shares of a step."""
        times = np.asarray(times_ms, dtype=np.int64)
        if not len(times):
            return []
        places = []
        for number in range(block_of(int(times.min())), block_of(int(times.max())) + 1):
            start = block_start_ms(number)
            offset = times - start
            rows = np.flatnonzero((offset >= 0) & (offset < BLOCK_STEPS * STEP_MS))
            if len(rows):
                index, rest = np.divmod(offset[rows], STEP_MS)
                places.append((self._block(number), rows, index, rest / STEP_MS))
        return places

    def _block(self, number: int) -> Block:
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        for before in range(len(self._carries) - 1, number):
            self._compute(before)
        block = self._compute(number)
        self._blocks[number] = block
        while len(self._blocks) > _KEPT_BLOCKS:
            self._blocks.popitem(last=False)
        return block

    def _compute(self, number: int) -> Block:
        carry = self._carries[number]
        draft, tank = self._simulate(number, carry.tank)
        wanted = {
            (device.id, metric)
            for device in self.site.devices.values()
            for metric in device.metrics()
        }
        gauges = [key for key in draft.gauges if key in wanted]
        rates = [k for k in draft.rates if k in wanted or k[0] == SITE or k[1] in _ALWAYS]
        steps = [k for k in draft.steps if k in wanted or k[0] == SITE or k[1] in _ALWAYS]
        if not self._counters:
            self._gauges = {key: column for column, key in enumerate(gauges)}
            self._counters = {key: column for column, key in enumerate([*rates, *steps])}
        rate_nodes = np.stack([draft.rates[key] for key in rates], axis=1)
        grown = np.concatenate(
            [
                0.5 * (rate_nodes[1:] + rate_nodes[:-1]) * STEP_H,
                np.stack([draft.steps[key] for key in steps], axis=1),
            ],
            axis=1,
        )
        first = np.zeros(grown.shape[1]) if carry.totals is None else carry.totals
        totals = np.cumsum(np.concatenate([first[None, :], grown]), axis=0)
        if len(self._carries) == number + 1:
            self._carries.append(_Carry(totals[-1], tank))
        gauge_nodes = (
            np.stack([draft.gauges[key] for key in gauges], axis=1)
            if gauges
            else np.empty((BLOCK_STEPS + 1, 0))
        )
        return Block(gauge_nodes, rate_nodes, totals)

    def _simulate(self, number: int, tank: TankState | None) -> tuple[Draft, TankState | None]:
        site, profile, tree, randomness = self.site, self._profile, self._tree, self._randomness
        local_h = local_hours(number, site.zone)
        weather = simulate_weather(profile.climate, randomness, number, local_h)
        sky = simulate_sky(site, profile.climate.altitude_m, weather, number, local_h)
        arrays = {
            device.id: simulate_array(device.latest, sky, weather)
            for device in site.with_role("pv_array")
        }
        accelerators = simulate_accelerators(site, randomness, number, local_h, "accelerator")
        nodes = simulate_accelerators(site, randomness, number, local_h, "node")
        totals = simulate_clusters(site, randomness, number)
        # Nodes hold the accelerators: where both are metered, only the latter enter the IT load.
        group = accelerators or nodes or (totals[0] if totals is not None else None)
        in_halls = (
            accelerator_halls(group, {d.id: d.latest.hall for d in site.in_family("accelerator")})
            if group is not None
            else {}
        )
        load = profile.load
        chain = simulate_chain(
            tree,
            load,
            load.node_factor if nodes is None or accelerators is not None else 1.0,
            randomness,
            number,
            local_h,
            in_halls,
        )
        cooling = simulate_cooling(tree, profile.cooling, chain, weather, randomness, number)
        dark = 1 - 0.25 * np.clip(np.sin(np.pi * (local_h % 24 - 6) / 12), 0, 1)
        lighting = profile.lighting * tree.capacity_kw * dark
        hum = randomness.smooth("house", number, 12)
        house = profile.house * tree.capacity_kw * (1 + 0.04 * hum)
        night_draw = np.zeros_like(lighting)
        generation = np.zeros_like(lighting)
        for output in arrays.values():
            night_draw = night_draw + output.night_draw_kw
            generation = generation + output.generation_kw
        demand = facility_demand(tree, profile, chain, cooling, lighting, house, night_draw)
        generators = site.with_role("generator")
        rated = sum(d.latest.rated_kw or 0.8 * tree.rated_demand_kw for d in generators)
        supply = Supply(demand, generator_tests(rated, local_h, demand), generation)
        water, tank = simulate_water(
            site,
            profile.water,
            profile.cooling,
            cooling,
            weather,
            randomness,
            number,
            local_h,
            tank,
        )
        # The lead of the chillers moves on from week to week, at the week's last node.
        lead = np.full(BLOCK_STEPS + 1, number, dtype=np.int64)
        lead[-1] = number + 1

        draft = Draft()
        meter_supply(draft, site, profile, supply, randomness, number)
        meter_chain(draft, site, tree, chain, randomness, number)
        meter_plant(draft, site, tree, cooling, lighting, house, lead)
        meter_heat_reuse(draft, site, profile, chain.heat_kw, weather, hum)
        meter_water(draft, site, water, hum)
        meter_solar(draft, site, arrays)
        meter_weather(draft, site, weather, sky)
        for group in (accelerators, nodes):
            if group is not None:
                meter_accelerators(draft, site, group)
        if totals is not None:
            meter_unmetered_members(draft, site, *totals)
        elif members := nodes or accelerators:
            meter_clusters(draft, site, members, randomness, number)
        return draft, tank
