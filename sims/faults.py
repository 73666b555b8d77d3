"""Faults of meters, gateways and networks, put onto readings at publication and never in the truth.

A TOML file with one table a fault:

    [[faults]]
    kind = "unit_slip"                      # see FAULT_KINDS
    site = "kakao-ansan"
    device = "pdu-1a"
    metric = "active_power_kw"              # where it is meant; without it, every metric
    start = 2026-11-20T09:00:00+09:00       # inclusive, by the time of the measurement
    end = 2026-11-20T12:00:00+09:00         # exclusive; without it, for good
    factor = 1000                           # what the kind takes
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigurationError, Problem
from core.metrics import CATALOGUE, MetricKind
from core.periods import to_ms
from core.samples import Floats
from sims.grid import ORIGIN_MS
from sims.readings import OTHER_DECIMALS, WIRE_DECIMALS, ReadingSource
from sims.tables import ReadingTable
from sims.wire import Message, device_topic

Mask = NDArray[np.bool_]
_FOREVER = 2**62
# What a broken gateway sends instead of a reading, in turn.
GARBAGE: tuple[bytes, ...] = (
    b"not json",
    b'{"ts": 1, "values": {"active_power_kw": NaN}}',
    b"\xff\xfe\x00",
    b'{"ts": ',
    b'{"ts": "2026-01-01T00:00:00", "values": {"active_power_kw": 1.0}}',
    b'{"ts": 1, "ts": 2, "values": {}}',
)


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One kind of fault.

    Attributes:
        parameters: Name -> default; None where the file has to give it.
        text: What it does to the readings.
    """

    text: str
    parameters: dict[str, float | str | None] = field(default_factory=dict)


FAULT_KINDS: dict[str, FaultKind] = {
    "gap": FaultKind("the readings are never sent"),
    "flatline": FaultKind("every value stays at that of the start"),
    "counter_reset": FaultKind("counters count from zero again from the start on"),
    "counter_rollover": FaultKind(
        "counters wrap at `wraps_at`, so that the register passes zero at the start",
        {"wraps_at": None},
    ),
    "dip": FaultKind("counters show less by the share `share`", {"share": 0.5}),
    "duplicate": FaultKind("each reading is sent twice"),
    "late": FaultKind("each reading is sent `delay_s` later", {"delay_s": None}),
    "out_of_order": FaultKind("every second reading is sent `delay_s` later", {"delay_s": 30.0}),
    "spike": FaultKind("gauges are multiplied by `factor`", {"factor": 10.0}),
    "unit_slip": FaultKind("values are multiplied by `factor`", {"factor": 1000.0}),
    "clock_shift": FaultKind("time stamps are off by `shift_s`", {"shift_s": None}),
    "garbage": FaultKind("instead of each reading a payload that is none is sent"),
    "unknown_device": FaultKind("the readings name the device `name`", {"name": "unknown-device"}),
    "unknown_metric": FaultKind("the metric has the name `name`", {"name": "unknown_metric"}),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of one device over one span [start_ms, end_ms)."""

    kind: str
    site: str
    device: str
    metric: str
    start_ms: int
    end_ms: int
    parameters: dict[str, float | str]

    def number(self, name: str) -> float:
        """A numeric parameter."""
        return float(self.parameters[name])

    def text(self, name: str) -> str:
        """A textual parameter."""
        return str(self.parameters[name])

    def touches(self, metric: str) -> bool:
        """Whether the fault is meant for the metric."""
        return not self.metric or self.metric == metric


def parse_faults(text: str) -> tuple[Fault, ...]:
    """Parse a faults file.

    Raises:
        ConfigurationError: With every problem of the file.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(
            [Problem("faults file", "", f"is not TOML: {error}", "mend the syntax at that line")]
        ) from None
    problems = [
        Problem("faults file", key, "unknown key", "write [[faults]] tables")
        for key in document.keys() - {"faults"}
    ]
    entries = document.get("faults", [])
    if not isinstance(entries, list):
        entries = []
        problems.append(Problem("faults file", "faults", "is no list", "write [[faults]] tables"))
    faults = [_parse_fault(number, entry, problems) for number, entry in enumerate(entries)]
    if problems:
        raise ConfigurationError(problems)
    return tuple(fault for fault in faults if fault is not None)


def _parse_fault(number: int, entry: dict[str, Any], problems: list[Problem]) -> Fault | None:
    def problem(key: str, what: str, hint: str) -> None:
        problems.append(Problem("faults file", f"faults.{number}.{key}", what, hint))

    before = len(problems)
    kind = FAULT_KINDS.get(str(entry.get("kind", "")))
    if kind is None:
        problem("kind", f"{entry.get('kind')!r} is no fault", f"one of {', '.join(FAULT_KINDS)}")
        return None
    for key in ("site", "device"):
        if not isinstance(entry.get(key), str) or not entry[key]:
            problem(key, "is missing or no text", f"name the {key}")
    start, end = _time(entry, "start", problem), _time(entry, "end", problem, otherwise=_FOREVER)
    if start >= end:
        problem("end", "is not after the start", "give a later time")
    parameters: dict[str, float | str] = {}
    for name, default in kind.parameters.items():
        value = entry.get(name, default)
        wanted = str if isinstance(default, str) else (int, float)
        if not isinstance(value, wanted) or isinstance(value, bool):
            problem(name, "is missing or has the wrong type", f"{entry['kind']} needs it")
        else:
            parameters[name] = value
    known = {"kind", "site", "device", "metric", "start", "end", *kind.parameters}
    for key in entry.keys() - known:
        problem(key, "unknown key", f"{entry['kind']} takes {', '.join(sorted(known))}")
    if len(problems) > before:
        return None
    return Fault(
        str(entry["kind"]),
        str(entry["site"]),
        str(entry["device"]),
        str(entry.get("metric", "")),
        start,
        end,
        parameters,
    )


def _time(
    entry: dict[str, Any],
    key: str,
    problem: Callable[[str, str, str], None],
    otherwise: int | None = None,
) -> int:
    value = entry.get(key)
    if value is None and otherwise is not None:
        return otherwise
    if not isinstance(value, datetime) or value.tzinfo is None:
        problem(key, "is no time with an offset", "write 2026-11-20T09:00:00+09:00")
        return 0
    return to_ms(value)


@dataclass(frozen=True, slots=True)
class Faulty:
    """What is to be published after the faults: readings, and payloads that are none."""

    tables: list[ReadingTable]
    messages: list[Message]


class FaultInjector:
    """Puts the faults of one site onto its readings.

    Raises:
        ConfigurationError: A fault names a device or a metric that the site does not have.
    """

    def __init__(self, faults: Sequence[Fault], source: ReadingSource) -> None:
        self._source = source
        self._site = source.site.id
        self._faults: dict[str, list[Fault]] = {}
        self._held: list[tuple[int, ReadingTable]] = []
        self._garbage = 0
        problems = []
        for fault in faults:
            if fault.site != self._site:
                continue
            device = source.site.devices.get(fault.device)
            if device is None:
                problem = f"site {self._site} has no device {fault.device!r}"
                problems.append(Problem("faults file", "device", problem, "see its site file"))
            elif fault.metric and fault.metric not in device.metrics():
                problem = f"{fault.device} sends no {fault.metric!r}"
                hint = f"one of {', '.join(sorted(device.metrics()))}"
                problems.append(Problem("faults file", "metric", problem, hint))
            self._faults.setdefault(fault.device, []).append(fault)
        if problems:
            raise ConfigurationError(problems)

    def apply(self, tables: Iterable[ReadingTable], until_ms: int) -> Faulty:
        """The readings as they arrive by `until_ms`.

        Delayed readings are held back and come with a later call.
        """
        result = Faulty([], [])
        for table in tables:
            touched = [
                (number, self._faults[name])
                for number, name in enumerate(table.devices)
                if name in self._faults
            ]
            if not touched:
                result.tables.append(table)
                continue
            rest = ~np.isin(table.device_index, [number for number, _ in touched])
            if rest.any():
                result.tables.append(table.take(rest))
            for number, faults in touched:
                self._apply_device(table.take(table.device_index == number), faults, result)
        result.tables.extend(self._release(until_ms))
        return result

    def flush(self) -> list[ReadingTable]:
        """Everything that is still held back, at the end of a publication."""
        return self._release(_FOREVER)

    def _release(self, until_ms: int) -> list[ReadingTable]:
        due = [table for release_ms, table in self._held if release_ms <= until_ms]
        self._held = [entry for entry in self._held if entry[0] > until_ms]
        return due

    def _apply_device(self, table: ReadingTable, faults: list[Fault], result: Faulty) -> None:
        parts = [table]
        for fault in faults:
            parts = [part for whole in parts for part in self._apply_fault(whole, fault, result)]
        result.tables.extend(parts)

    def _apply_fault(self, table: ReadingTable, fault: Fault, result: Faulty) -> list[ReadingTable]:
        if fault.kind == "counter_rollover":
            # The register has to be high before: the whole series is moved.
            return [self._change(table, fault, np.ones(len(table), dtype=np.bool_))]
        inside = (table.time_ms >= fault.start_ms) & (table.time_ms < fault.end_ms)
        if not inside.any():
            return [table]
        hit, others = table.take(inside), [table.take(~inside)] if not inside.all() else []
        if fault.kind == "gap":
            return others
        if fault.kind == "duplicate":
            return [table, hit]
        if fault.kind in ("late", "out_of_order"):
            return others + self._delay(hit, fault)
        if fault.kind == "garbage":
            topic = device_topic(self._site, table.family, fault.device)
            for _ in range(len(hit)):
                payload = GARBAGE[self._garbage % len(GARBAGE)]
                self._garbage += 1
                result.messages.append(Message(topic, payload, 1))
            return others
        if fault.kind == "clock_shift":
            shift = round(fault.number("shift_s") * 1000)
            return [*others, replace(hit, time_ms=hit.time_ms + shift)]
        if fault.kind == "unknown_device":
            index = np.zeros(len(hit), dtype=np.intp)
            return [*others, replace(hit, devices=(fault.text("name"),), device_index=index)]
        if fault.kind == "unknown_metric":
            names = [fault.text("name") if fault.touches(m) else m for m in table.metrics]
            # Two columns of one name would be one key: only the first is renamed.
            seen = fault.metric or table.metrics[0]
            metrics = tuple(
                n if m == seen else m for n, m in zip(names, table.metrics, strict=True)
            )
            return [*others, replace(hit, metrics=metrics)]
        return [self._change(table, fault, inside)]

    def _delay(self, hit: ReadingTable, fault: Fault) -> list[ReadingTable]:
        delay_ms = round(fault.number("delay_s") * 1000)
        delayed = np.ones(len(hit), dtype=np.bool_)
        if fault.kind == "out_of_order":
            delayed = np.arange(len(hit)) % 2 == 0
            if len(hit) == 1:
                # One reading at a time, live: the cadence says which is every second one.
                step = self._source.cadence_ms(fault.device, int(hit.time_ms[0]))
                delayed = (hit.time_ms // step) % 2 == 0
        for row in np.flatnonzero(delayed):
            part = hit.take(np.array([row]))
            self._held.append((int(part.time_ms[0]) + delay_ms, part))
        return [hit.take(~delayed)] if not delayed.all() else []

    def _change(self, table: ReadingTable, fault: Fault, inside: Mask) -> ReadingTable:
        values = table.values.copy()
        for column, metric in enumerate(table.metrics):
            if not fault.touches(metric):
                continue
            known = CATALOGUE.get((table.family, metric))
            counter = known is not None and known.kind is MetricKind.COUNTER
            values[inside, column] = self._changed(
                values[inside, column], metric, fault, counter=counter
            )
        return replace(table, values=values)

    def _changed(self, values: Floats, metric: str, fault: Fault, *, counter: bool) -> Floats:
        kind = fault.kind
        if kind == "unit_slip" or (kind == "spike" and not counter):
            return values * fault.number("factor")
        if kind == "dip" and counter:
            return values * (1 - fault.number("share"))
        if kind == "flatline":
            return np.full(len(values), self._at_start(fault, metric), dtype=np.float64)
        if kind == "counter_reset" and counter:
            return np.round(values - self._at_start(fault, metric), 6)
        if kind == "counter_rollover" and counter:
            moved = values - self._at_start(fault, metric)
            return np.round(moved % fault.number("wraps_at"), 6)
        return values

    def _at_start(self, fault: Fault, metric: str) -> float:
        begun = self._source.site.device(fault.device).states[0].valid_from_ms
        start_ms = max(fault.start_ms, begun, ORIGIN_MS)
        value = self._source.value_at(fault.device, metric, start_ms)
        return round(value, WIRE_DECIMALS.get(metric, OTHER_DECIMALS))
