"""What the devices of a simulated site would send: readings by device, at its cadence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from core.metrics import CATALOGUE, MetricKind
from core.samples import Floats, Ints
from core.sites import Device, DeviceState, Site
from sims.draft import Key
from sims.grid import ORIGIN_MS
from sims.tables import ReadingTable
from sims.world import SimulatedSite

# Digits after the point on the wire. Counters need many: ten seconds of a GPU are 0.001 kWh.
WIRE_DECIMALS = {
    "active_power_kw": 3,
    "active_energy_kwh": 4,
    "export_energy_kwh": 4,
    "heat_power_kw": 3,
    "heat_energy_kwh": 4,
    "power_factor": 4,
    "volume_m3": 5,
    "flow_m3_per_h": 5,
    "tank_level_m": 5,
    "conductivity_us_per_cm": 1,
    "ac_power_kw": 4,
    "ac_energy_kwh": 5,
    "power_w": 2,
    "energy_kwh": 6,
    "members_reporting": 0,
    "members_expected": 0,
    "inferences": 0,
    "tokens": 0,
}
OTHER_DECIMALS = 2
# Metrics that a current transformer's or a pulse meter's multiplier applies to.
_MULTIPLIED_UNITS = {"kW", "kWh", "W", "m3", "m3/h"}
RAIN_TIP_MM = 0.1


@dataclass(frozen=True, slots=True)
class _Segment:
    """Devices that send the same metrics at the same cadence over the same span."""

    family: str
    metrics: tuple[str, ...]
    cadence_ms: int
    from_ms: int
    to_ms: int
    devices: tuple[str, ...]
    states: tuple[DeviceState, ...]


class ReadingSource:
    """Readings of one simulated site.

    A device whose metrics the physics does not know (a `forecast` device, say) sends only those
    that it does.

    Args:
        cadence_s: Instead of the declared cadences, for history.
    """

    def __init__(self, world: SimulatedSite, cadence_s: float | None = None) -> None:
        self._world = world
        self._cadence_ms = None if cadence_s is None else round(cadence_s * 1000)
        self._segments = self._find_segments()
        self._meters = _Meters(world)

    @property
    def site(self) -> Site:
        """The site whose readings these are."""
        return self._world.site

    @property
    def cadences_ms(self) -> set[int]:
        """Every cadence that occurs, in milliseconds."""
        return {segment.cadence_ms for segment in self._segments}

    def count(self, first_ms: int, last_ms: int) -> int:
        """How many readings `read` gives for the span."""
        return sum(
            len(_instants(segment, first_ms, last_ms)) * len(segment.devices)
            for segment in self._segments
        )

    def read(self, first_ms: int, last_ms: int) -> Iterator[ReadingTable]:
        """All readings with first_ms <= time <= last_ms, device by device in time order.

        Instants are the multiples of the cadence since 1970, so that spans that follow each other
        neither repeat nor leave out one.
        """
        for segment in self._segments:
            times = _instants(segment, first_ms, last_ms)
            if len(times):
                yield self._table(segment, times)

    def value_at(self, device_id: str, metric: str, time_ms: int) -> float:
        """What one device would send for one metric at an instant, unrounded.

        Raises:
            KeyError: The device does not send the metric then.
        """
        for segment in self._segments:
            in_force = segment.from_ms <= time_ms < segment.to_ms
            if in_force and device_id in segment.devices and metric in segment.metrics:
                state = segment.states[segment.devices.index(device_id)]
                times = np.array([time_ms], dtype=np.int64)
                column = self._metric(segment, metric, (device_id,), (state,), times)
                return float(column[0, 0])
        raise KeyError((device_id, metric))

    def cadence_ms(self, device_id: str, time_ms: int) -> int:
        """Cadence of a device at an instant.

        Raises:
            KeyError: The device sends nothing then.
        """
        for segment in self._segments:
            if device_id in segment.devices and segment.from_ms <= time_ms < segment.to_ms:
                return segment.cadence_ms
        raise KeyError(device_id)

    def _find_segments(self) -> list[_Segment]:
        grouped: dict[tuple[str, tuple[str, ...], int, int, int], list[tuple[str, DeviceState]]]
        grouped = defaultdict(list)
        for device in self._world.site.devices.values():
            for state, from_ms, to_ms in _spans(device):
                metrics = tuple(m for m in state.metrics if self._knows(device.id, m))
                if metrics:
                    cadence = self._cadence_ms or round(state.cadence_s * 1000)
                    key = (device.family, metrics, cadence, from_ms, to_ms)
                    grouped[key].append((device.id, state))
        return [
            _Segment(*key, tuple(i for i, _ in members), tuple(s for _, s in members))
            for key, members in grouped.items()
        ]

    def _knows(self, device_id: str, metric: str) -> bool:
        key = (device_id, metric)
        return self._world.has_gauge(key) or self._world.has_counter(key)

    def _table(self, segment: _Segment, times: Ints) -> ReadingTable:
        columns = []
        for metric in segment.metrics:
            values = self._metric(segment, metric, segment.devices, segment.states, times)
            decimals = WIRE_DECIMALS.get(metric, OTHER_DECIMALS)
            # Adding zero turns the -0.0 of a rounded small negative into 0.0.
            columns.append(np.round(values, decimals).T.ravel() + 0.0)
        count = len(segment.devices)
        return ReadingTable(
            segment.family,
            segment.devices,
            np.repeat(np.arange(count, dtype=np.intp), len(times)),
            np.tile(times, count),
            segment.metrics,
            np.stack(columns, axis=1),
        )

    def _metric(
        self,
        segment: _Segment,
        metric: str,
        devices: Sequence[str],
        states: Sequence[DeviceState],
        times: Ints,
    ) -> Floats:
        """(times, devices) of one metric, as the devices send it."""
        kind = CATALOGUE[segment.family, metric]
        keys = [(device, metric) for device in devices]
        if kind.kind is MetricKind.COUNTER:
            values = self._meters.read(keys, states, times)
        elif kind.kind is MetricKind.INTERVAL:
            values = self._amounts(keys, times, segment.cadence_ms)
        else:
            values = self._world.gauges_at(times, keys)
            if metric == "tank_level_m":
                values = self._levels(values)
        multipliers = np.array([state.multiplier for state in states])
        if kind.unit in _MULTIPLIED_UNITS and (multipliers != 1.0).any():
            values = values / multipliers
        return values

    def _amounts(self, keys: Sequence[Key], times: Ints, cadence_ms: int) -> Floats:
        """Rain since the reading before, in whole tips of the gauge's bucket."""
        before = np.maximum(times - cadence_ms, ORIGIN_MS)
        tips_now = np.floor(self._world.counters_at(times, keys) / RAIN_TIP_MM)
        tips_before = np.floor(self._world.counters_at(before, keys) / RAIN_TIP_MM)
        amounts: Floats = (tips_now - tips_before) * RAIN_TIP_MM
        return amounts

    def _levels(self, volumes: Floats) -> Floats:
        rain = self._world.site.rain
        assert rain is not None  # a tank without a rain system has no volume to read
        table = rain.tank_table or ((0.0, 0.0), (3.0, rain.tank_volume_m3))
        levels = np.array([level for level, _ in table])
        return np.interp(volumes, np.array([volume for _, volume in table]), levels)


class _Meters:
    """Registers: each meter begins at a value of its own when it is fitted, and may wrap."""

    def __init__(self, world: SimulatedSite) -> None:
        self._world = world
        self._begins: dict[tuple[str, str, str], float] = {}

    def read(self, keys: Sequence[Key], states: Sequence[DeviceState], times: Ints) -> Floats:
        """Register values: (times, keys), in the unit and before the multiplier of the state."""
        totals = self._world.counters_at(times, keys)
        offsets = np.array(
            [self._begin(key, state) for key, state in zip(keys, states, strict=True)]
        )
        values: Floats = totals + offsets
        for column, state in enumerate(states):
            if state.wraps_at is not None:
                limit = state.wraps_at * state.multiplier
                values[:, column] = np.mod(values[:, column], limit)
        return values

    def _begin(self, key: Key, state: DeviceState) -> float:
        """What the register shows beyond the total since the origin."""
        device_id, metric = key
        place = (device_id, metric, state.meter)
        if place not in self._begins:
            stream = self._world.stream(f"register/{device_id}/{metric}/{state.meter}")
            begin = round(float(stream.uniform(0.2, 1.0)) * _register_scale(metric), 1)
            fitted_ms = _fitted_ms(self._world.site.device(device_id), state.meter)
            if fitted_ms is not None:
                # A meter that replaces another: nearly new, whatever went through the other one.
                times = np.array([fitted_ms], dtype=np.int64)
                begin = 0.001 * begin - float(self._world.counters_at(times, [key])[0, 0])
            self._begins[place] = begin
        return self._begins[place]


def _register_scale(metric: str) -> float:
    return {"active_energy_kwh": 4e7, "volume_m3": 2e5, "ac_energy_kwh": 3e5}.get(metric, 5e3)


def _fitted_ms(device: Device, meter: str) -> int | None:
    """When a meter replaced another one; None for the device's first meter."""
    for before, state in pairwise(device.states):
        if state.meter == meter and before.meter != meter:
            return max(state.valid_from_ms, ORIGIN_MS)
    return None


def _spans(device: Device) -> Iterator[tuple[DeviceState, int, int]]:
    """Each state with the span in which it is in force, in epoch milliseconds."""
    ends = [state.valid_from_ms for state in device.states[1:]] + [2**62]
    for state, end in zip(device.states, ends, strict=True):
        yield state, state.valid_from_ms, end


def _instants(segment: _Segment, first_ms: int, last_ms: int) -> Ints:
    low = max(first_ms, segment.from_ms)
    high = min(last_ms, segment.to_ms - 1)
    first = -(-low // segment.cadence_ms) * segment.cadence_ms
    return np.arange(first, high + 1, segment.cadence_ms, dtype=np.int64)
