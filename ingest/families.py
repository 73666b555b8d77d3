"""Look-up tables of a site's devices, one for each family that it has."""

from __future__ import annotations

from sys import intern

import numpy as np
from numpy.typing import NDArray

from core.ids import FAMILIES
from core.intervals import Counts
from core.metrics import CATALOGUE, Metric
from core.samples import Floats, Ints
from core.sites import Device, Site
from core.units import UNITS
from ingest.messages import DeviceList

# A current transformer's ratio (or a pulse weight) scales what the meter counts, not its cos phi.
_SCALED_DIMENSIONS = frozenset({"power", "energy", "volume", "flow"})
_NONE = np.zeros(0, np.bool_)
# Lists of devices whose positions are kept: more gateways than one ingester has.
_MOST_LISTS = 2_000


class FamilyTable:
    """Devices of one family of one site, as arrays by position.

    Attributes:
        devices: Device ids; the table of every block that is built here.
        index: Device id -> position.
    """

    def __init__(self, site: str, family: str, devices: list[Device]) -> None:
        self.site = site
        self.family = family
        # The one text of each name, which lists of names that come again share.
        self.devices = tuple(intern(device.id) for device in devices)
        self.index = {device_id: position for position, device_id in enumerate(self.devices)}
        self._positions: dict[int, tuple[DeviceList, Counts]] = {}
        declared = [device.metrics() for device in devices]
        self._declares: dict[str, NDArray[np.bool_]] = {
            name: np.array([name in metrics for metrics in declared], np.bool_)
            for (of, name) in CATALOGUE
            if of == family
        }
        self._all_declare = {name for name, sends in self._declares.items() if sends.all()}
        self._scaled = [
            (position, device)
            for position, device in enumerate(devices)
            if any(state.multiplier != 1.0 for state in device.states)
        ]

    def positions(self, names: DeviceList | list[str]) -> Counts:
        """Position of each device, -1 where the family has none of this name."""
        known = self._positions.get(id(names))
        if known is not None and known[0] is names:
            return known[1]
        lookup = self.index
        found = np.array([lookup.get(name, -1) for name in names], np.int32)
        if isinstance(names, DeviceList):
            if len(self._positions) >= _MOST_LISTS:
                self._positions.clear()
            self._positions[id(names)] = (names, found)
        return found

    def metric(self, name: str) -> Metric | None:
        """The family's metric of this name."""
        return CATALOGUE.get((self.family, name))

    def declares(self, name: str) -> NDArray[np.bool_]:
        """Which devices send a metric of the family in any of their states."""
        return self._declares.get(name, _NONE)

    def all_declare(self, name: str) -> bool:
        """Whether every device of the family sends a metric."""
        return name in self._all_declare

    def multipliers(self, device_index: NDArray[np.int32], time_ms: Ints) -> Floats | None:
        """Factor of each reading by the device's state at that time; None where all are 1.

        Before its first state a device is taken to be what it was first declared to be.
        """
        if not self._scaled:
            return None
        factors = np.ones(len(device_index))
        for position, device in self._scaled:
            rows = np.flatnonzero(device_index == position)
            if not len(rows):
                continue
            begins = np.array([state.valid_from_ms for state in device.states], np.int64)
            by_state = np.array([state.multiplier for state in device.states])
            at = np.searchsorted(begins, time_ms[rows], side="right") - 1
            factors[rows] = by_state[np.maximum(at, 0)]
        return factors

    def is_scaled(self, name: str) -> bool:
        """Whether a metric is multiplied by the device's factor."""
        metric = self.metric(name)
        return metric is not None and UNITS[metric.unit].dimension in _SCALED_DIMENSIONS


class SiteTables:
    """The families of one site."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.late_ms = site.late_window_days * 86_400_000
        self.families = {
            family: FamilyTable(site.id, family, site.in_family(family)) for family in FAMILIES
        }

    def family_of(self, device: str) -> str:
        """The family of a device of the site; empty where it has none of this name."""
        for family, table in self.families.items():
            if device in table.index:
                return family
        return ""
