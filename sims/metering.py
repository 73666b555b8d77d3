"""Which physical quantity each declared device of a site meters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.samples import Floats, Ints
from core.sites import Device, Site
from sims.accelerators import AcceleratorGroup, simulate_reporting
from sims.draft import SITE, Draft
from sims.grid import STEP_H
from sims.halls import ElectricalTree, weights_of
from sims.plant import Cooling, PowerChain, split_by_rating, split_stages
from sims.profiles import SiteProfile
from sims.randomness import Randomness
from sims.solar import ArrayOutput, Sky
from sims.water import WaterFlows
from sims.weather import Weather

_STATION_METRICS = {
    "temperature_c": "temperature_c",
    "wet_bulb_c": "wet_bulb_c",
    "relative_humidity_percent": "humidity_percent",
    "wind_speed_m_per_s": "wind_m_per_s",
}


@dataclass(frozen=True, slots=True, eq=False)
class Supply:
    """Where the site's power comes from, in kW at the nodes."""

    demand_kw: Floats
    generator_kw: Floats
    pv_kw: Floats

    @property
    def import_kw(self) -> Floats:
        """Power from all grid feeds together."""
        return np.maximum(self.demand_kw - self.generator_kw - self.pv_kw, 0.0)

    @property
    def export_kw(self) -> Floats:
        """Power into the grid."""
        return np.maximum(self.generator_kw + self.pv_kw - self.demand_kw, 0.0)


def meter_supply(
    draft: Draft,
    site: Site,
    profile: SiteProfile,
    supply: Supply,
    randomness: Randomness,
    block: int,
) -> None:
    """Grid feeds and generators; the site's whole demand for the exact figures."""
    feeds = site.with_role("grid_feed")
    if feeds:
        weights = np.array(
            [
                profile.feed_shares[i] if i < len(profile.feed_shares) else 1.0
                for i in range(len(feeds))
            ]
        )
        noise = [randomness.mixture(f"{d.id}/share", block, {288: 0.015, 12: 0.005}) for d in feeds]
        shares = weights * (1 + np.stack(noise, axis=1))
        shares = shares / shares.sum(axis=1, keepdims=True)
        for column, device in enumerate(feeds):
            draft.power(device.id, supply.import_kw * shares[:, column])
            draft.rates[device.id, "export_energy_kwh"] = supply.export_kw * shares[:, column]
            draft.gauges[device.id, "power_factor"] = 0.972 + 0.006 * np.tanh(noise[column] * 40)
    generators = site.with_role("generator")
    if generators:
        split = split_by_rating(supply.generator_kw, generators)
        for column, device in enumerate(generators):
            draft.power(device.id, split[:, column])
    draft.rates[SITE, "facility_energy_kwh"] = supply.demand_kw
    draft.rates[SITE, "import_kwh"] = supply.import_kw
    draft.rates[SITE, "export_kwh"] = supply.export_kw


def meter_chain(
    draft: Draft,
    site: Site,
    tree: ElectricalTree,
    chain: PowerChain,
    randomness: Randomness,
    block: int,
) -> None:
    """UPS systems, PDUs and IT inputs."""
    for column, ups in enumerate(tree.ups):
        if ups.output is not None:
            draft.power(ups.output.id, chain.ups_out_kw[:, column])
        if ups.input is not None:
            draft.power(ups.input.id, chain.ups_in_kw[:, column])
    for column, hall in enumerate(tree.halls):
        for meters, total in (
            (hall.pdu_outputs, chain.pdu_out_kw[:, column]),
            (hall.it_inputs, chain.device_kw[:, column]),
        ):
            if not meters:
                continue
            lean = [
                randomness.mixture(f"{d.id}/share", block, {504: 0.03, 48: 0.01}) for d in meters
            ]
            shares = weights_of(meters) * (1 + np.stack(lean, axis=1))
            shares = shares / shares.sum(axis=1, keepdims=True)
            for number, device in enumerate(meters):
                draft.power(device.id, total * shares[:, number])
    for device in site.with_role("battery"):
        # Float charge, part of the UPS losses.
        draft.power(device.id, np.full(len(chain.ups_in_kw), 0.0005 * tree.capacity_kw))
    draft.rates[SITE, "it_energy_kwh/1"] = chain.ups_out_kw.sum(axis=1)
    draft.rates[SITE, "it_energy_kwh/2"] = chain.pdu_out_kw.sum(axis=1)
    draft.rates[SITE, "it_energy_kwh/3"] = chain.device_kw.sum(axis=1)


def meter_plant(
    draft: Draft,
    site: Site,
    tree: ElectricalTree,
    cooling: Cooling,
    lighting_kw: Floats,
    house_kw: Floats,
    lead: Ints,
) -> None:
    """Cooling, lighting, auxiliaries; a `cooling` meter has what no meter of a part has."""
    unmetered = np.zeros_like(cooling.chiller_kw)
    chillers = site.with_role("chiller")
    if chillers:
        rated = [d.latest.rated_kw for d in chillers if d.latest.rated_kw is not None]
        unit = sum(rated) / len(chillers) if rated else 0.25 * tree.capacity_kw / len(chillers)
        split = split_stages(cooling.chiller_kw, unit, len(chillers), lead)
        for column, device in enumerate(chillers):
            draft.power(device.id, split[:, column])
    else:
        unmetered = unmetered + cooling.chiller_kw
    for role, total in (("pump", cooling.pump_kw), ("tower_fan", cooling.tower_fan_kw)):
        unmetered = unmetered + _meter_total(draft, site.with_role(role), total)
    unmetered = unmetered + _meter_air(draft, site, tree, cooling)
    _meter_total(draft, site.with_role("cooling"), unmetered)
    _meter_total(draft, site.with_role("lighting"), lighting_kw)
    _meter_total(draft, site.with_role("distribution"), house_kw)


def _meter_total(draft: Draft, devices: Sequence[Device], total_kw: Floats) -> Floats:
    """Meters a total by rating; returns what stays unmetered."""
    if not devices:
        return total_kw
    split = split_by_rating(total_kw, devices)
    for column, device in enumerate(devices):
        draft.power(device.id, split[:, column])
    return np.zeros_like(total_kw)


def _meter_air(draft: Draft, site: Site, tree: ElectricalTree, cooling: Cooling) -> Floats:
    devices = site.with_role("air_handling")
    names = [hall.name for hall in tree.halls]
    left = np.zeros_like(cooling.chiller_kw)
    for column, name in enumerate(names):
        left = left + _meter_total(
            draft,
            [d for d in devices if d.latest.hall == name],
            cooling.air_handling_kw[:, column],
        )
    left = _meter_total(draft, [d for d in devices if d.latest.hall not in names], left)
    for device in devices:
        draft.gauges[device.id, "supply_air_temperature_c"] = cooling.supply_air_c
    return left


def meter_heat_reuse(
    draft: Draft,
    site: Site,
    profile: SiteProfile,
    available_kw: Floats,
    weather: Weather,
    hum: Floats,
) -> None:
    """Waste heat for floors or snow: more the colder it is, at most a part of what there is."""
    span = profile.heat_below_c - profile.heat_full_c
    for device in site.with_role("heat_reuse"):
        rated = device.latest.rated_kw or 0.03 * float(available_kw.mean())
        cold = np.clip((profile.heat_below_c - weather.temperature_c) / span, 0.0, 1.0)
        wanted = rated * 0.9 * cold
        heat = np.minimum(wanted * (1 + 0.03 * hum), 0.5 * available_kw)
        draft.gauges[device.id, "heat_power_kw"] = heat
        draft.rates[device.id, "heat_energy_kwh"] = heat
        # The circulation pump is one of the auxiliaries on the distribution boards.
        draft.power(device.id, 0.01 * heat)


def meter_water(draft: Draft, site: Site, flows: WaterFlows, hum: Floats) -> None:
    """Water meters and the tank's level."""
    rain = flows.rain
    by_step = {
        "mains_supply": flows.mains,
        "reclaimed_supply": flows.reclaimed,
        "groundwater_supply": flows.groundwater,
    }
    if rain is not None:
        by_step |= {
            "rain_collected": rain.collected,
            "rain_used": rain.used,
            "rain_overflow": rain.overflow,
            "rain_drain": rain.drained,
            "tank_top_up": rain.top_up,
        }
    for role, steps in by_step.items():
        devices = site.with_role(role)
        for device in devices:
            draft.steps[device.id, "volume_m3"] = steps / len(devices)
            flow = steps / STEP_H / len(devices)
            draft.gauges[device.id, "flow_m3_per_h"] = np.append(flow, flow[-1])
    for role, nodes in (
        ("cooling_tower_make_up", flows.make_up_m3_per_h),
        ("blowdown", flows.blowdown_m3_per_h),
    ):
        devices = site.with_role(role)
        for device in devices:
            draft.gauges[device.id, "flow_m3_per_h"] = nodes / len(devices)
            draft.rates[device.id, "volume_m3"] = nodes / len(devices)
            salt = 1250.0 if role == "blowdown" else 260.0
            draft.gauges[device.id, "conductivity_us_per_cm"] = salt * (1 + 0.03 * hum)
    for device in site.with_role("rain_tank"):
        if rain is not None and site.rain is not None:
            # As volume, which is what is linear; the level follows when it is read.
            draft.gauges[device.id, "tank_level_m"] = rain.volume_m3
    draft.steps[SITE, "mains_m3"] = flows.mains
    draft.steps[SITE, "reclaimed_m3"] = flows.reclaimed
    draft.steps[SITE, "groundwater_m3"] = flows.groundwater
    used = rain.used - rain.top_up if rain is not None else np.zeros_like(flows.mains)
    draft.steps[SITE, "rain_reused_m3"] = used


def meter_solar(draft: Draft, site: Site, outputs: dict[str, ArrayOutput]) -> None:
    """PV arrays: the counter counts what is generated, the power also what the inverter takes."""
    retained = np.zeros(0)
    for device in site.with_role("pv_array"):
        output = outputs[device.id]
        draft.gauges[device.id, "ac_power_kw"] = output.generation_kw - output.night_draw_kw
        draft.rates[device.id, "ac_energy_kwh"] = output.generation_kw
        draft.gauges[device.id, "poa_irradiance_w_per_m2"] = output.poa_w_per_m2
        draft.gauges[device.id, "module_temperature_c"] = output.module_c
        if device.latest.certificates == "retained":
            retained = retained + output.generation_kw if len(retained) else output.generation_kw
    if len(retained):
        draft.rates[SITE, "pv_retained_kwh"] = retained


def meter_weather(draft: Draft, site: Site, weather: Weather, sky: Sky) -> None:
    """Weather stations; rain as a total, from which each reading takes its part."""
    for device in site.with_role("station"):
        for metric, name in _STATION_METRICS.items():
            draft.gauges[device.id, metric] = getattr(weather, name)
        draft.gauges[device.id, "ghi_w_per_m2"] = sky.ghi
        draft.gauges[device.id, "dni_w_per_m2"] = sky.dni
        draft.gauges[device.id, "dhi_w_per_m2"] = sky.dhi
        draft.steps[device.id, "rain_mm"] = weather.rain_mm


def meter_accelerators(draft: Draft, site: Site, group: AcceleratorGroup) -> None:
    """Accelerators or nodes, one by one."""
    for column, device_id in enumerate(group.devices):
        count = site.device(device_id).latest.count or 1
        power, use = group.power_w[:, column], group.utilization_percent[:, column]
        draft.gauges[device_id, "power_w"] = power
        draft.rates[device_id, "energy_kwh"] = power / 1000
        draft.gauges[device_id, "utilization_percent"] = use
        draft.gauges[device_id, "temperature_c"] = group.temperature_c[:, column]
        draft.gauges[device_id, "memory_used_gib"] = count * (2.0 + 0.7 * use)
        draft.rates[device_id, "throttled_seconds"] = np.where(
            group.temperature_c[:, column] > 66.0, 36.0, 0.0
        )
        draft.rates[device_id, "inferences"] = 3600.0 * count * 0.12 * use
        draft.rates[device_id, "tokens"] = 3600.0 * count * 25.0 * use


def meter_clusters(
    draft: Draft, site: Site, members: AcceleratorGroup, randomness: Randomness, block: int
) -> None:
    """A cluster's total: the sum over the members that report, and how many did."""
    for device in site.with_role("cluster_total"):
        reporting = simulate_reporting(randomness, members.devices, block)
        power: Floats = np.sum(members.power_w * reporting, axis=1)
        draft.gauges[device.id, "power_w"] = power
        draft.rates[device.id, "energy_kwh"] = power / 1000
        draft.gauges[device.id, "members_reporting"] = reporting.sum(axis=1)
        expected = float(len(members.devices))
        draft.gauges[device.id, "members_expected"] = np.full(len(power), expected)
        draft.gauges[device.id, "utilization_percent"] = members.utilization_percent.mean(axis=1)


def meter_unmetered_members(
    draft: Draft, site: Site, clusters: AcceleratorGroup, reporting: Floats
) -> None:
    """Clusters whose members are not metered: the power of those that report, alike in power."""
    for column, device_id in enumerate(clusters.devices):
        expected = float(site.device(device_id).latest.count or 1)
        counted = reporting[:, column]
        power = clusters.power_w[:, column] * counted / expected
        draft.gauges[device_id, "power_w"] = power
        draft.rates[device_id, "energy_kwh"] = power / 1000
        draft.gauges[device_id, "members_reporting"] = counted
        draft.gauges[device_id, "members_expected"] = np.full(len(power), expected)
        draft.gauges[device_id, "utilization_percent"] = clusters.utilization_percent[:, column]
