"""Which devices stand on which side of the boundary; KPIs choose by role, never by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from core.sites import Device, DeviceState, Site

# Where a device says nothing else, its role says at which point it meters IT energy.
CATEGORY_OF_ROLE = {"ups_output": 1, "pdu_output": 2, "it_input": 3}
WATER_SUPPLIES = ("mains_supply", "reclaimed_supply", "groundwater_supply")
ACCELERATOR_LEVELS = ("accelerator", "node", "cluster_total")


def has_role(*roles: str) -> Callable[[DeviceState], bool]:
    """A predicate of states with one of these roles."""
    return lambda state: state.role in roles


def meters_it(category: int) -> Callable[[DeviceState], bool]:
    """A predicate of states that meter IT energy at a category point."""

    def belongs(state: DeviceState) -> bool:
        if state.family != "energy":
            return False
        return (state.pue_category or CATEGORY_OF_ROLE.get(state.role)) == category

    return belongs


def devices_that(site: Site, belongs: Callable[[DeviceState], bool]) -> list[Device]:
    """Devices of which some state belongs, each flow counted once.

    Of two meters in line the lower one is left out: what it counts is in the upper one.
    """
    found = [d for d in site.devices.values() if any(belongs(state) for state in d.states)]
    return outermost(site, found)


def outermost(site: Site, devices: Iterable[Device]) -> list[Device]:
    """Devices without those that lie below another one of them in the meter tree."""
    devices = list(devices)
    chosen = {device.id for device in devices}
    return [device for device in devices if not chosen.intersection(_ancestors(site, device))]


def _ancestors(site: Site, device: Device) -> list[str]:
    found: list[str] = []
    parent = device.latest.parent
    while parent and parent not in found:
        found.append(parent)
        above = site.devices.get(parent)
        parent = above.latest.parent if above is not None else ""
    return found


def grid_feeds(site: Site) -> list[Device]:
    """Feeds from the grid."""
    return devices_that(site, has_role("grid_feed"))


def generators(site: Site) -> list[Device]:
    """Generators on site."""
    return devices_that(site, has_role("generator"))


def pv_arrays(site: Site) -> list[Device]:
    """Solar arrays."""
    return devices_that(site, has_role("pv_array"))


def it_meters(site: Site, category: int) -> list[Device]:
    """Meters of IT energy at a category point."""
    return devices_that(site, meters_it(category))


def accelerators(site: Site) -> tuple[str, list[Device]]:
    """The level at which accelerators are counted, and its devices.

    The finest level that the site has, and never two levels of one thing.
    """
    for role in ACCELERATOR_LEVELS:
        found: Sequence[Device] = [
            d for d in site.devices.values() if any(state.role == role for state in d.states)
        ]
        if found:
            return role, list(found)
    return "", []
