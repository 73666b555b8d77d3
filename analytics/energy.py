"""Energy and volume of a device per interval: counted where it counts, else measured.

The counter gives the amount (`counted`); in intervals where it is absent the integral of the power
or flow stands in (`measured`). Where both exist they check each other, see `cross_check`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from analytics.dense import DenseSeries, known_gap_seconds, member_share
from analytics.spans import Flags, Timeline
from analytics.tiling import Tiling
from core.events import SeriesEvent
from core.intervals import IntervalBlock
from core.periods import INTERVAL_S
from core.ports import RollupRecords, TimeSeriesStore
from core.samples import Floats, Ints
from core.sites import Device, Site

_MEMBERS = ("members_reporting", "members_expected")
# A stand-in for a counter's estimate has to cover nearly all of the interval.
_STAND_IN_S = 0.95 * INTERVAL_S
_ROUNDING_S = 1e-6


@dataclass(frozen=True, slots=True)
class Quantity:
    """What adds up: its counter, and the rate whose integral stands in for the counter.

    Attributes:
        opposite: Counter that counts the other direction, to be taken off; empty without.
    """

    family: str
    counter: str
    rate: str
    opposite: str = ""


ENERGY = Quantity("energy", "active_energy_kwh", "active_power_kw")
NET_ENERGY = Quantity("energy", "active_energy_kwh", "active_power_kw", "export_energy_kwh")
EXPORT = Quantity("energy", "export_energy_kwh", "")
HEAT = Quantity("energy", "heat_energy_kwh", "heat_power_kw")
VOLUME = Quantity("water", "volume_m3", "flow_m3_per_h")
RAIN = Quantity("weather", "rain_mm", "")
PV = Quantity("solar", "ac_energy_kwh", "ac_power_kw")
IRRADIATION = Quantity("solar", "", "poa_irradiance_w_per_m2")
ACCELERATOR = Quantity("accelerator", "energy_kwh", "power_w")


@dataclass(frozen=True, slots=True, eq=False)
class Flow:
    """A quantity of one device over a grid; arrays are (n,).

    Attributes:
        state: Position of the device's state in force at the interval's start, -1 before the first.
        amount: kWh or m3, counter gaps' shares included.
        usable_s: Covered seconds, 0..900: readings, counter gaps that a period holds whole, and for
            a cluster's total the share of its members that reported.
        counted, measured, estimated, manual: What `amount` rests on, as absolute amounts.
        by_counter, by_rate: Which of the two series the interval used.
    """

    device: Device
    quantity: Quantity
    state: Ints
    amount: Floats
    usable_s: Floats
    counted: Floats
    measured: Floats
    estimated: Floats
    manual: Floats
    by_counter: Flags
    by_rate: Flags

    def series_names(self) -> list[tuple[str, Flags]]:
        """`device/metric` of each series with the intervals that used it."""
        names = [(f"{self.device.id}/{self.quantity.counter}", self.by_counter)]
        if self.quantity.opposite in self.device.metrics():
            names.append((f"{self.device.id}/{self.quantity.opposite}", self.by_counter))
        names.append((f"{self.device.id}/{self.quantity.rate}", self.by_rate))
        return names

    def main_series(self) -> str:
        """The series that a reader should look at first."""
        metrics = self.device.metrics()
        metric = self.quantity.counter if self.quantity.counter in metrics else self.quantity.rate
        return f"{self.device.id}/{metric}"


@dataclass(frozen=True, slots=True)
class CrossCheck:
    """Counter and integrated power of one device over the intervals that both cover."""

    device: str
    seconds: float
    counted: float
    measured: float

    @property
    def ratio(self) -> float:
        """Counted over measured; NaN where nothing was measured."""
        return self.counted / self.measured if self.measured else float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class _Amounts:
    """What a counter or a rate says about each interval."""

    amount: Floats
    usable_s: Floats
    open_estimate: Floats
    estimated_share: Floats
    manual_share: Floats


@dataclass(slots=True)
class _Held:
    """What has been read, by device and metric; no events before they were asked for."""

    blocks: dict[tuple[str, str], IntervalBlock] = field(default_factory=dict)
    read: set[tuple[str, str]] = field(default_factory=set)
    dense: dict[tuple[str, str], DenseSeries] = field(default_factory=dict)
    events: dict[tuple[str, str], list[SeriesEvent]] | None = None


@dataclass(slots=True)
class FlowReader:
    """Reads the intervals of devices in bulk and turns them into flows; one question's worth.

    Counters are read first; powers and flows only of devices whose counter leaves something open.
    """

    store: TimeSeriesStore
    records: RollupRecords
    site: Site
    tiling: Tiling
    _held: _Held = field(default_factory=_Held)
    _flows: dict[tuple[str, Quantity], Flow] = field(default_factory=dict)
    _checks: dict[tuple[str, Quantity], CrossCheck] = field(default_factory=dict)

    def retiled(self, tiling: Tiling) -> FlowReader:
        """A reader for another cut of the same intervals; what one reads the other has read."""
        return FlowReader(self.store, self.records, self.site, tiling, self._held)

    def flows(self, devices: Sequence[Device], quantity: Quantity) -> list[Flow]:
        """The flow of each device, in the order given."""
        missing = [d for d in devices if (d.id, quantity) not in self._flows]
        if missing:
            counters = [quantity.counter, *([quantity.opposite] if quantity.opposite else [])]
            self.load(missing, [*counters, *_MEMBERS])
            self.load([d for d in missing if not self._is_counted(d, quantity)], [quantity.rate])
            for device in missing:
                self._flows[(device.id, quantity)] = self._flow(device, quantity)
        return [self._flows[(device.id, quantity)] for device in devices]

    def load(self, devices: Iterable[Device], metrics: Sequence[str]) -> None:
        """Read the intervals of these metrics, where declared and not read before."""
        wanted: defaultdict[str, set[str]] = defaultdict(set)
        names: set[str] = set()
        for device in devices:
            for metric in device.metrics().intersection(metrics):
                if (device.id, metric) not in self._held.read:
                    wanted[device.family].add(device.id)
                    names.add(metric)
                    self._held.read.add((device.id, metric))
        for family, ids in wanted.items():
            for block in self.store.read_intervals(
                self.site.id,
                self.tiling.whole,
                family=family,
                devices=sorted(ids),
                metrics=sorted(names),
            ):
                self._held.blocks[(block.key.device, block.key.metric)] = block

    def block(self, device: Device, metric: str) -> IntervalBlock | None:
        """The intervals of one series, None without any."""
        self.load([device], [metric])
        return self._held.blocks.get((device.id, metric))

    def dense(self, device: Device, metric: str) -> DenseSeries:
        """One series over the grid, as far as it was read."""
        key = (device.id, metric)
        found = self._held.dense.get(key)
        if found is None:
            found = DenseSeries.of(self._held.blocks.get(key), self.tiling.grid)
            if key in self._held.read:
                self._held.dense[key] = found
        return found

    def cross_check(self, device: Device, quantity: Quantity) -> CrossCheck:
        """Counter against integrated power where both cover whole intervals."""
        key = (device.id, quantity)
        if key not in self._checks:
            self._checks[key] = self._cross_check(device, quantity)
        return self._checks[key]

    def _cross_check(self, device: Device, quantity: Quantity) -> CrossCheck:
        self.load([device], [quantity.counter, quantity.opposite, quantity.rate])
        counter, rate = self._counted(device, quantity), self._measured(device, quantity)
        both = (counter.usable_s >= _STAND_IN_S) & (rate.usable_s >= _STAND_IN_S)
        return CrossCheck(
            device.id,
            float(both.sum()) * INTERVAL_S,
            float(counter.amount[both].sum()),
            float(rate.amount[both].sum()),
        )

    def members(self, device: Device) -> Floats:
        """(n,) share of the device's members that reported; 1 for what has no members."""
        grid = self.tiling.grid
        if device.latest.role != "cluster_total" or _MEMBERS[0] not in device.metrics():
            return np.ones(grid.count)
        reporting, expected = (self.block(device, metric) for metric in _MEMBERS)
        return member_share(reporting, expected, device.latest.count, grid)

    def events_of(self, device: Device, metric: str) -> list[SeriesEvent]:
        """Events of one series that overlap the question's period."""
        if self._held.events is None:
            self._held.events = {}
            for event in self.records.read_events(self.site.id, self.tiling.whole):
                key = (event.key.device, event.key.metric)
                self._held.events.setdefault(key, []).append(event)
        return self._held.events.get((device.id, metric), [])

    def _is_counted(self, device: Device, quantity: Quantity) -> bool:
        """Whether the counter alone covers every interval since the device exists."""
        if quantity.counter not in device.metrics():
            return False
        usable_s = self._counted(device, quantity).usable_s
        exists = self._state(device) >= 0
        return bool((usable_s[exists] >= INTERVAL_S - _ROUNDING_S).all())

    def _state(self, device: Device) -> Ints:
        starts = self.tiling.grid.starts_ms()
        valid_from = Timeline.of(device).valid_from_ms
        return (np.searchsorted(valid_from, starts, side="right") - 1).astype(np.int64)

    def _counted(self, device: Device, quantity: Quantity) -> _Amounts:
        found = self._of_counter(device, quantity.counter)
        if quantity.opposite and quantity.opposite in device.metrics():
            other = self._of_counter(device, quantity.opposite)
            return _Amounts(
                found.amount - other.amount,
                np.minimum(found.usable_s, other.usable_s),
                found.open_estimate + other.open_estimate,
                np.maximum(found.estimated_share, other.estimated_share),
                np.maximum(found.manual_share, other.manual_share),
            )
        return found

    def _of_counter(self, device: Device, metric: str) -> _Amounts:
        dense = self.dense(device, metric)
        known_s = np.minimum(
            known_gap_seconds(self.events_of(device, metric), self.tiling), dense.estimated_s
        )
        open_share = np.zeros_like(known_s)
        np.divide(
            dense.estimated_s - known_s,
            dense.estimated_s,
            out=open_share,
            where=dense.estimated_s > 0.0,
        )
        return _Amounts(
            dense.amount,
            dense.covered_s + known_s,
            dense.estimated_amount * open_share,
            _share(dense.estimated_quality_s, dense.covered_s + dense.estimated_s),
            _share(dense.manual_s, dense.covered_s + dense.estimated_s),
        )

    def _measured(self, device: Device, quantity: Quantity) -> _Amounts:
        # Where the counter leaves nothing open, nobody asked for the rate: then it is all zero.
        dense = self.dense(device, quantity.rate)
        return _Amounts(
            dense.amount,
            dense.covered_s,
            np.zeros_like(dense.amount),
            _share(dense.estimated_quality_s, dense.covered_s),
            _share(dense.manual_s, dense.covered_s),
        )

    def _flow(self, device: Device, quantity: Quantity) -> Flow:
        counter = self._counted(device, quantity)
        rate = self._measured(device, quantity)
        # An estimate of the counter gives way to a measurement of nearly the whole interval only:
        # part of an interval would say less than the estimate does.
        stands_in = (rate.usable_s > counter.usable_s + _ROUNDING_S) & (
            (counter.open_estimate == 0.0) | (rate.usable_s >= _STAND_IN_S)
        )
        chosen = _Amounts(
            np.where(stands_in, rate.amount, counter.amount),
            np.where(stands_in, rate.usable_s, counter.usable_s),
            np.where(stands_in, 0.0, counter.open_estimate),
            np.where(stands_in, rate.estimated_share, counter.estimated_share),
            np.where(stands_in, rate.manual_share, counter.manual_share),
        )
        size = np.abs(chosen.amount)
        known = np.maximum(size - chosen.open_estimate, 0.0)
        estimated = known * chosen.estimated_share
        manual = known * chosen.manual_share
        rest = known - estimated - manual
        said = (chosen.usable_s > 0.0) | (size > 0.0)
        return Flow(
            device,
            quantity,
            self._state(device),
            chosen.amount,
            chosen.usable_s * self.members(device),
            np.where(stands_in, 0.0, rest),
            np.where(stands_in, rest, 0.0),
            estimated + np.minimum(chosen.open_estimate, size),
            manual,
            said & ~stands_in,
            said & stands_in,
        )


def _share(seconds: Floats, covered_s: Floats) -> Floats:
    share = np.zeros_like(seconds)
    np.divide(seconds, covered_s, out=share, where=covered_s > 0.0)
    return share
