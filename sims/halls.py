"""The electrical tree of a site as its devices declare it: halls, PDUs, UPS units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.samples import Floats
from core.sites import Device, Site

# Capacity assumed where nothing is rated, and the IT part of a site's rated demand.
DEFAULT_CAPACITY_KW = 1000.0
IT_SHARE_OF_DEMAND = 0.6


@dataclass(frozen=True, slots=True)
class Hall:
    """One hall.

    Attributes:
        capacity_kw: IT power that it is built for.
        it_inputs: Meters at the inputs of the IT devices.
        pdu_outputs: Meters at the PDU outputs.
        has_accelerators: Whether accelerators stand in it; training jobs run there.
    """

    name: str
    capacity_kw: float
    it_inputs: tuple[Device, ...]
    pdu_outputs: tuple[Device, ...]
    has_accelerators: bool


@dataclass(frozen=True, slots=True)
class Ups:
    """One UPS system.

    Attributes:
        output, input: Its meters; None where it has none.
        rated_kw: Rating, for its losses.
        hall_shares: Share of each hall's demand that it carries; over all systems they sum to 1.
    """

    output: Device | None
    input: Device | None
    rated_kw: float
    hall_shares: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ElectricalTree:
    """Halls and UPS systems, and the capacity that the plant is scaled by."""

    halls: tuple[Hall, ...]
    ups: tuple[Ups, ...]
    capacity_kw: float
    rated_demand_kw: float


def weights_of(devices: Sequence[Device]) -> Floats:
    """How devices of one role share a total: by rating where all are rated, else equally."""
    rated = [device.latest.rated_kw for device in devices]
    known = [value for value in rated if value is not None]
    values = np.array(known if len(known) == len(rated) else [1.0] * len(rated))
    shares: Floats = values / values.sum()
    return shares


def read_tree(site: Site) -> ElectricalTree:
    """The tree that the site's devices declare by hall, parent and rating."""
    pdus, inputs = site.with_role("pdu_output"), site.with_role("it_input")
    outputs = site.with_role("ups_output")
    metered = pdus or inputs or outputs
    names = list(dict.fromkeys(device.latest.hall for device in metered)) or [""]
    demand = site.contract_power_kw or 2.0 * IT_SHARE_OF_DEMAND * _rated(
        outputs or pdus or inputs, DEFAULT_CAPACITY_KW
    )
    fallback = IT_SHARE_OF_DEMAND * demand / len(names)
    with_accelerators = {device.latest.hall for device in site.in_family("accelerator")}
    halls = []
    for name in names:
        here = [device for device in metered if device.latest.hall == name]
        halls.append(
            Hall(
                name,
                _rated(here, fallback),
                tuple(d for d in inputs if d.latest.hall == name),
                tuple(d for d in pdus if d.latest.hall == name),
                name in with_accelerators,
            )
        )
    capacity = sum(hall.capacity_kw for hall in halls)
    return ElectricalTree(
        tuple(halls), _ups(site, halls, outputs, capacity), capacity, max(demand, 1.2 * capacity)
    )


def _rated(devices: Sequence[Device], otherwise: float) -> float:
    rated = [device.latest.rated_kw for device in devices if device.latest.rated_kw is not None]
    return sum(rated) if rated and len(rated) == len(devices) else otherwise


def _ups(
    site: Site, halls: Sequence[Hall], outputs: Sequence[Device], capacity: float
) -> tuple[Ups, ...]:
    inputs = list(site.with_role("ups_input"))
    if not outputs:
        # Unmetered or metered at the inputs only: one system for each input, or one for all.
        share = weights_of(inputs) if inputs else np.ones(1)
        return tuple(
            Ups(None, inputs[i] if inputs else None, capacity * s, tuple([float(s)] * len(halls)))
            for i, s in enumerate(share)
        )
    carried = np.zeros((len(outputs), len(halls)))
    for column, hall in enumerate(halls):
        parents = {pdu.latest.parent for pdu in hall.pdu_outputs} - {""}
        serving = [i for i, ups in enumerate(outputs) if ups.id in parents]
        serving = serving or [i for i, u in enumerate(outputs) if u.latest.hall == hall.name]
        serving = serving or list(range(len(outputs)))
        carried[serving, column] = weights_of([outputs[i] for i in serving])
    systems = []
    for number, output in enumerate(outputs):
        by_parent = [d for d in inputs if d.id == output.latest.parent]
        # Without a declared parent, inputs and outputs belong together in their order.
        in_order = inputs[number : number + 1] if not any(o.latest.parent for o in outputs) else []
        meter = next(iter(by_parent or in_order), None)
        rated = output.latest.rated_kw or capacity / len(outputs)
        systems.append(Ups(output, meter, rated, tuple(float(s) for s in carried[number])))
    return tuple(systems)
