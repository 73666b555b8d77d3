"""The site registry: sites, their devices, and the dated states of each device.

What describes a device (role, category point, parent meter, orientation) lives here with dates of
validity, not in the tags of a database.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from zoneinfo import ZoneInfo

from core.errors import NotFoundError
from core.periods import to_ms
from core.quality import Gate
from core.supply_contracts import SupplyContract
from core.text import Text


@dataclass(frozen=True, slots=True)
class DeviceState:
    """What is true of a device from `valid_from` until its next state begins.

    Attributes:
        valid_from: Aware UTC instant at which this state begins, inclusive.
        family: Metric family.
        role: Key of `core.roles.ROLES`.
        metrics: Names of the metrics that the device sends.
        cadence_s: Seconds between two readings in normal operation.
        meter: Serial of the meter; another serial is a meter change. Empty where not declared.
        multiplier: Factor applied to energies, powers and volumes (a current transformer's ratio).
        wraps_at: Counter value at which the register starts again at zero; None: it never wraps.
        rated_kw: Largest power that is physically possible, in kW.
        pue_category: Category point 1, 2 or 3 at which the device meters IT energy.
        kind: `gpu` or `npu` for accelerators.
        count: How many accelerators the device stands for.
        fuel_l_per_kwh: Fuel that a generator burns per kWh that it gives, in litres.
    """

    valid_from: datetime
    family: str
    role: str
    metrics: tuple[str, ...]
    cadence_s: float
    meter: str = ""
    hall: str = ""
    parent: str = ""
    multiplier: float = 1.0
    accuracy_class: float | None = None
    wraps_at: float | None = None
    rated_kw: float | None = None
    pue_category: int | None = None
    rated_kwp: float | None = None
    tilt_deg: float | None = None
    azimuth_deg: float | None = None
    surface: str = ""
    inverter_kw: float | None = None
    certificates: str = ""
    kind: str = ""
    model: str = ""
    count: int | None = None
    idle_w: float | None = None
    rated_w: float | None = None
    fuel_l_per_kwh: float | None = None

    @property
    def valid_from_ms(self) -> int:
        """`valid_from` in UTC epoch milliseconds."""
        return to_ms(self.valid_from)


@dataclass(frozen=True, slots=True)
class Device:
    """One device with its states, oldest first.

    Attributes:
        group: Id of the device group it was declared in, as written; empty for a single device.
    """

    id: str
    states: tuple[DeviceState, ...]
    group: str = ""

    @property
    def family(self) -> str:
        """The family of every state; a device never changes it."""
        return self.states[0].family

    @property
    def latest(self) -> DeviceState:
        """The state declared last."""
        return self.states[-1]

    def state_at(self, moment: datetime) -> DeviceState | None:
        """The state in force at `moment`; None before the first one."""
        current = None
        for state in self.states:
            if state.valid_from > moment:
                break
            current = state
        return current

    def metrics(self) -> frozenset[str]:
        """Every metric that the device sends in any of its states."""
        return frozenset(name for state in self.states for name in state.metrics)


@dataclass(frozen=True, slots=True)
class RainSystem:
    """The site's rainwater system.

    Attributes:
        catchment_m2: Roof area that drains into the tank.
        runoff: Run-off coefficient, 0..1.
        tank_volume_m3: Volume of the full tank.
        tank_table: Ascending (level_m, volume_m3) pairs; with it, levels become volumes by linear
            interpolation. Without it no level can be turned into a volume.
    """

    catchment_m2: float
    runoff: float
    tank_volume_m3: float
    tank_table: tuple[tuple[float, float], ...] = ()

    def volume_m3(self, level_m: float) -> float | None:
        """Stored volume at a level, in m3; None where no table says it."""
        if not self.tank_table:
            return None
        (level_low, volume_low) = self.tank_table[0]
        if level_m <= level_low:
            return volume_low
        for level_high, volume_high in self.tank_table[1:]:
            if level_m <= level_high:
                share = (level_m - level_low) / (level_high - level_low)
                return volume_low + share * (volume_high - volume_low)
            level_low, volume_low = level_high, volume_high
        return volume_low


@dataclass(frozen=True, slots=True)
class Target:
    """A KPI target from a day on."""

    kpi: str
    value: float
    valid_from: date


@dataclass(frozen=True, slots=True)
class Fact:
    """A public statement about a site with its source; never turned into telemetry."""

    text: Text
    source: str
    date: date


@dataclass(frozen=True, slots=True)
class Site:
    """One data centre.

    Attributes:
        data: `measured` or `simulated`; printed wherever a number of the site is shown.
        zone: IANA zone of its calendar.
        late_window_days: How late a reading may come; 0 means no limit.
        pue_category: The declared category point.
        supply_contracts: By which imported electricity is bought; for market-based figures.
        gateways: Names of further gateways, each with a broker account of its own.
    """

    id: str
    name: Text
    operator: str
    status: str
    data: str
    zone: ZoneInfo
    latitude: float
    longitude: float
    place: Text | None
    late_window_days: int
    pue_category: int
    gate: Gate
    contract_power_kw: float | None = None
    daily_water_limit_m3: float | None = None
    rain: RainSystem | None = None
    targets: tuple[Target, ...] = ()
    facts: tuple[Fact, ...] = ()
    supply_contracts: tuple[SupplyContract, ...] = ()
    gateways: tuple[str, ...] = ()
    devices: Mapping[str, Device] = field(default_factory=dict)

    @property
    def is_simulated(self) -> bool:
        """Whether every figure of the site carries the simulated mark."""
        return self.data == "simulated"

    def device(self, device_id: str) -> Device:
        """The device of this id.

        Raises:
            NotFoundError: The site has no such device.
        """
        device = self.devices.get(device_id)
        if device is None:
            raise NotFoundError(
                f"site {self.id} has no device {device_id!r}; its site file declares them"
            )
        return device

    def with_role(self, *roles: str) -> list[Device]:
        """Devices whose latest state has one of `roles`, in declaration order."""
        return [device for device in self.devices.values() if device.latest.role in roles]

    def in_family(self, family: str) -> list[Device]:
        """Devices of one family, in declaration order."""
        return [device for device in self.devices.values() if device.family == family]

    def target(self, kpi: str, day: date) -> Target | None:
        """The target of `kpi` in force on `day`."""
        in_force = [t for t in self.targets if t.kpi == kpi and t.valid_from <= day]
        return max(in_force, key=lambda t: t.valid_from, default=None)


class SiteRegistry:
    """All sites, by id, in the order of their files."""

    def __init__(self, sites: Iterable[Site]) -> None:
        self._sites = {site.id: site for site in sites}

    def __iter__(self) -> Iterator[Site]:
        return iter(self._sites.values())

    def __len__(self) -> int:
        return len(self._sites)

    def __contains__(self, site_id: object) -> bool:
        return site_id in self._sites

    def find(self, site_id: str) -> Site | None:
        """The site of this id, or None."""
        return self._sites.get(site_id)

    def site(self, site_id: str) -> Site:
        """The site of this id.

        Raises:
            NotFoundError: No such site.
        """
        site = self._sites.get(site_id)
        if site is None:
            known = ", ".join(self._sites) or "none"
            raise NotFoundError(f"no site {site_id!r} in the registry (known: {known})")
        return site
