"""Live values of a site out of the newest sample of each series: pure, no I/O.

A sum over devices is never silently less: a device without a recent value is left out of the sum
and named in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from analytics import boundary
from core.ids import FAMILIES
from core.periods import from_ms
from core.samples import Sample
from core.sites import Device, DeviceState, Site

LATE_CADENCES = 2.0
STALE_CADENCES = 5.0


class ValueState(StrEnum):
    """How recent a value is, against the cadence at which it should come.

    LATE: older than two cadences. STALE: older than five; the value is no longer shown as present.
    """

    NORMAL = "normal"
    LATE = "late"
    STALE = "stale"
    NO_DATA = "no_data"


# Latest values of one site: (device, metric) -> sample.
Latest = Mapping[tuple[str, str], Sample]


def index_latest(samples: Iterable[Sample]) -> dict[tuple[str, str], Sample]:
    """The newest samples of a site by device and metric."""
    return {(sample.key.device, sample.key.metric): sample for sample in samples}


def living_samples(
    samples: Iterable[Sample], silent: Mapping[tuple[str, str], int]
) -> list[Sample]:
    """Samples without those of devices that were declared dead after them.

    A device that said that it died has no present value; it is not merely late.

    Args:
        silent: (site, device) -> since when it is declared dead, UTC epoch milliseconds.
    """
    return [
        sample
        for sample in samples
        if sample.time_ms > silent.get((sample.key.site, sample.key.device), -1)
    ]


def value_state(time_ms: int | None, cadence_s: float, now_ms: int) -> ValueState:
    """The state of a value of this time at this moment."""
    if time_ms is None:
        return ValueState.NO_DATA
    age_s = (now_ms - time_ms) / 1000.0
    if age_s > STALE_CADENCES * cadence_s:
        return ValueState.STALE
    return ValueState.LATE if age_s > LATE_CADENCES * cadence_s else ValueState.NORMAL


@dataclass(frozen=True, slots=True)
class LivePart:
    """What one device gives to a live sum; no value where it has none that is recent."""

    device: str
    role: str
    value: float | None
    time_ms: int | None


@dataclass(frozen=True, slots=True)
class LiveValue:
    """One live figure, perhaps a sum over devices.

    Attributes:
        value: In `unit`; None where nothing recent is known.
        time_ms: Time of the oldest reading in it, UTC epoch milliseconds; for a stale single value
            the time of that value.
        cadence_s: Slowest cadence of its devices.
        expected: Devices (or what they stand for) that should take part.
        reporting: Those that do.
        missing: Ids of the devices that do not, in declaration order.
        last: The newest known value of a single series even when it is stale.
        parts: The devices of a sum, for its evidence.
    """

    value: float | None
    unit: str
    time_ms: int | None
    cadence_s: float
    expected: int
    reporting: int
    missing: tuple[str, ...] = ()
    last: float | None = None
    parts: tuple[LivePart, ...] = ()

    @property
    def is_incomplete(self) -> bool:
        """Whether a device that should take part does not."""
        return bool(self.missing) and self.reporting > 0

    def state(self, now_ms: int) -> ValueState:
        """Normal, late, stale or without data at this moment."""
        return value_state(self.time_ms, self.cadence_s, now_ms)


@dataclass(frozen=True, slots=True)
class Term:
    """One series of a sum.

    Attributes:
        factor: Turns the stored value into the sum's unit; a meter's multiplier is part of it.
    """

    device: Device
    state: DeviceState
    metric: str
    factor: float = 1.0


def sum_latest(terms: Sequence[Term], latest: Latest, now_ms: int, unit: str) -> LiveValue:
    """Add up the newest values of the terms that are recent; name the others.

    With no recent term there is no value; the time is then that of the newest stale one, so that
    its age can be told.
    """
    total, oldest, newest_stale = 0.0, None, None
    missing: list[str] = []
    parts: list[LivePart] = []
    for term in terms:
        sample = latest.get((term.device.id, term.metric))
        time_ms = None if sample is None else sample.time_ms
        state = value_state(time_ms, term.state.cadence_s, now_ms)
        if sample is None or state in {ValueState.STALE, ValueState.NO_DATA}:
            missing.append(term.device.id)
            parts.append(LivePart(term.device.id, term.state.role, None, time_ms))
            if sample is not None:
                newest_stale = max(newest_stale or 0, sample.time_ms)
            continue
        value = sample.value * term.factor
        parts.append(LivePart(term.device.id, term.state.role, value, sample.time_ms))
        total += value
        oldest = sample.time_ms if oldest is None else min(oldest, sample.time_ms)
    reporting = len(terms) - len(missing)
    return LiveValue(
        value=total if reporting else None,
        unit=unit,
        time_ms=oldest if reporting else newest_stale,
        cadence_s=max((term.state.cadence_s for term in terms), default=0.0),
        expected=len(terms),
        reporting=reporting,
        missing=tuple(missing),
        parts=tuple(parts),
    )


def single_latest(term: Term, latest: Latest, now_ms: int, unit: str) -> LiveValue:
    """The newest value of one series; a stale one is kept as `last`."""
    summed = sum_latest([term], latest, now_ms, unit)
    sample = latest.get((term.device.id, term.metric))
    last = None if sample is None else sample.value * term.factor
    return LiveValue(
        value=summed.value,
        unit=unit,
        time_ms=summed.time_ms,
        cadence_s=summed.cadence_s,
        expected=1,
        reporting=summed.reporting,
        missing=summed.missing,
        last=last,
    )


@dataclass(frozen=True, slots=True)
class TankLevel:
    """The rain tank: level, and what it is as volume and share where the site says so.

    Attributes:
        level: In metres.
        volume_m3: None without a level table.
        share: Of the full tank, 0..1.
    """

    device: str
    level: LiveValue
    volume_m3: float | None
    share: float | None


@dataclass(frozen=True, slots=True)
class ArrayOutput:
    """The AC output of one PV array, in kW, with what describes it.

    Attributes:
        expected_kw: Rated power times the irradiance on its plane; None without a recent one.
    """

    device: str
    state: DeviceState
    power: LiveValue
    expected_kw: float | None = None


@dataclass(frozen=True, slots=True)
class AcceleratorPower:
    """The power of all accelerators of one kind.

    Attributes:
        kind: `gpu` or `npu`.
        power: In kW; `expected` and `reporting` count accelerators, not devices.
        rated_kw: Rated power of all of them; None where one has none declared.
        utilization_percent: Mean over the reporting accelerators; None where none says it.
    """

    kind: str
    power: LiveValue
    rated_kw: float | None
    utilization_percent: float | None


@dataclass(frozen=True, slots=True)
class FamilyReception:
    """How many devices of one family report now.

    Attributes:
        silent: Ids of those without a recent reading, in declaration order.
        cadence_s: The fastest cadence among them.
    """

    family: str
    expected: int
    silent: tuple[str, ...]
    cadence_s: float

    @property
    def reporting(self) -> int:
        """Devices with a recent reading."""
        return self.expected - len(self.silent)


@dataclass(frozen=True, slots=True)
class LiveSnapshot:
    """All live values of a site at one moment.

    Attributes:
        now_ms: The moment, UTC epoch milliseconds.
        newest_ms: Time of the newest sample of the site; None without any.
    """

    site: str
    now_ms: int
    newest_ms: int | None
    facility: LiveValue
    it: LiveValue
    pv: LiveValue
    tank: TankLevel | None
    arrays: tuple[ArrayOutput, ...]
    accelerators: tuple[AcceleratorPower, ...]
    families: tuple[FamilyReception, ...]


def live_snapshot(site: Site, samples: Iterable[Sample], now_ms: int) -> LiveSnapshot:
    """Compute the live values of a site from its newest samples.

    Facility power follows the energy boundary: grid (negative while exporting) + generators +
    on-site PV. IT power is metered at the site's declared category point. Which devices these are
    is what analytics says, so that a live value and a figure of today rest on the same meters.
    """
    latest = index_latest(samples)
    now = from_ms(now_ms)
    active = [
        (device, state) for device in site.devices.values() if (state := device.state_at(now))
    ]
    pv_terms = _terms(boundary.pv_arrays(site), now, "pv_array", "ac_power_kw")
    supply = [
        *_terms(boundary.grid_feeds(site), now, "grid_feed", "active_power_kw"),
        *_terms(boundary.generators(site), now, "generator", "active_power_kw"),
    ]
    meters = _terms(boundary.it_meters(site, site.pue_category), now, "", "active_power_kw")
    return LiveSnapshot(
        site=site.id,
        now_ms=now_ms,
        newest_ms=max((sample.time_ms for sample in latest.values()), default=None),
        facility=sum_latest([*supply, *pv_terms], latest, now_ms, "kW"),
        it=sum_latest(meters, latest, now_ms, "kW"),
        pv=sum_latest(pv_terms, latest, now_ms, "kW"),
        tank=_tank(site, active, latest, now_ms),
        arrays=tuple(
            ArrayOutput(
                term.device.id,
                term.state,
                single_latest(term, latest, now_ms, "kW"),
                _expected_kw(term, latest, now_ms),
            )
            for term in pv_terms
        ),
        accelerators=_accelerators(site, latest, now_ms),
        families=_families(active, latest, now_ms),
    )


_Active = Sequence[tuple[Device, DeviceState]]


def _terms(devices: Sequence[Device], now: datetime, role: str, metric: str) -> list[Term]:
    """Terms of the devices that are in this role now (any, if empty) and send the metric."""
    return [
        Term(device, state, metric, state.multiplier)
        for device in devices
        if (state := device.state_at(now)) is not None
        and role in {"", state.role}
        and metric in state.metrics
    ]


def _expected_kw(array: Term, latest: Latest, now_ms: int) -> float | None:
    sample = latest.get((array.device.id, "poa_irradiance_w_per_m2"))
    rated = array.state.rated_kwp
    if sample is None or rated is None:
        return None
    state = value_state(sample.time_ms, array.state.cadence_s, now_ms)
    if state in {ValueState.STALE, ValueState.NO_DATA}:
        return None
    return max(0.0, sample.value) / 1000.0 * rated


def _tank(site: Site, active: _Active, latest: Latest, now_ms: int) -> TankLevel | None:
    tanks = [pair for pair in active if pair[1].role == "rain_tank"]
    if not tanks:
        return None
    device, state = tanks[0]
    level = single_latest(Term(device, state, "tank_level_m"), latest, now_ms, "m")
    volume = None
    if site.rain is not None and level.last is not None:
        volume = site.rain.volume_m3(level.last)
    full = site.rain.tank_volume_m3 if site.rain is not None else None
    share = volume / full if volume is not None and full else None
    return TankLevel(device.id, level, volume, share)


def _accelerators(site: Site, latest: Latest, now_ms: int) -> tuple[AcceleratorPower, ...]:
    now = from_ms(now_ms)
    role, devices = boundary.accelerators(site)
    level = [
        (device, state)
        for device in devices
        if (state := device.state_at(now)) is not None and state.role == role
    ]
    kinds = dict.fromkeys(state.kind for _, state in level)
    return tuple(
        _accelerator_kind(kind, [pair for pair in level if pair[1].kind == kind], latest, now_ms)
        for kind in kinds
    )


def _accelerator_kind(kind: str, devices: _Active, latest: Latest, now_ms: int) -> AcceleratorPower:
    terms = [Term(device, state, "power_w", state.multiplier / 1000.0) for device, state in devices]
    power = sum_latest(terms, latest, now_ms, "kW")
    absent = set(power.missing)
    counts = {device.id: state.count or 1 for device, state in devices}
    # A rating is the whole device's: a node of eight accelerators declares the node's.
    rated = [None if state.rated_w is None else state.rated_w / 1000.0 for _, state in devices]
    known = [kw for kw in rated if kw is not None]
    weighted, weights = 0.0, 0
    for device, state in devices:
        sample = latest.get((device.id, "utilization_percent"))
        fresh = sample is not None and value_state(sample.time_ms, state.cadence_s, now_ms) in {
            ValueState.NORMAL,
            ValueState.LATE,
        }
        if sample is not None and fresh:
            weighted += sample.value * counts[device.id]
            weights += counts[device.id]
    return AcceleratorPower(
        kind=kind,
        power=LiveValue(
            value=power.value,
            unit=power.unit,
            time_ms=power.time_ms,
            cadence_s=power.cadence_s,
            expected=sum(counts.values()),
            reporting=sum(count for device, count in counts.items() if device not in absent),
            missing=power.missing,
        ),
        rated_kw=sum(known) if known and len(known) == len(rated) else None,
        utilization_percent=weighted / weights if weights else None,
    )


def _families(active: _Active, latest: Latest, now_ms: int) -> tuple[FamilyReception, ...]:
    newest: dict[str, int] = {}
    for (device, _), sample in latest.items():
        newest[device] = max(newest.get(device, sample.time_ms), sample.time_ms)
    rows = []
    for family in FAMILIES:
        members = [(device, state) for device, state in active if state.family == family]
        if not members:
            continue
        silent = tuple(
            device.id
            for device, state in members
            if value_state(newest.get(device.id), state.cadence_s, now_ms)
            in {ValueState.STALE, ValueState.NO_DATA}
        )
        cadence_s = min(state.cadence_s for _, state in members)
        rows.append(FamilyReception(family, len(members), silent, cadence_s))
    return tuple(rows)
