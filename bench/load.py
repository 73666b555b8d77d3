"""What the benchmarks publish: one site of 500 devices, readings encoded before the clock.

The same readings in three encodings: rows and columns of native JSON, and line protocol as Telegraf
writes it. A reading has one metric (a power meter) or eight (an accelerator).
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Literal

from core.metrics import CATALOGUE

SITE = "bench-dc"
DEVICES = 500
Form = Literal["rows", "columns", "lines"]

# Family, device prefix and metrics by the number of metrics in a reading.
_KINDS = {
    1: ("energy", "meter", ("active_power_kw",)),
    8: (
        "accelerator",
        "accel",
        (
            "power_w",
            "energy_kwh",
            "utilization_percent",
            "temperature_c",
            "memory_used_gib",
            "throttled_seconds",
            "inferences",
            "tokens",
        ),
    ),
}

SITE_FILE = f"""
schema = 1
id = "{SITE}"
name = {{ ko = "측정", en = "Bench" }}
operator = "Nobody"
status = "operating"
data = "simulated"
zone = "Asia/Seoul"
location = {{ latitude = 37.3, longitude = 126.8 }}
pue_category = 2
late_window_days = 0

[[device_groups]]
id = "meter-{{001..{DEVICES}}}"
family = "energy"
role = "pdu_output"
metrics = ["active_power_kw"]
cadence_s = 1
valid_from = 2020-01-01

[[device_groups]]
id = "accel-{{001..{DEVICES}}}"
family = "accelerator"
role = "accelerator"
kind = "gpu"
metrics = {json.dumps(_KINDS[8][2])}
cadence_s = 1
valid_from = 2020-01-01
"""


def render_mapping() -> str:
    """The mapping file of our door for line protocol: the same names on both sides."""
    parts = ['schema = 1\ndialect = "line-protocol"\ntopic = "telegraf/+/#"\nprecision = "ns"\n']
    for family, _, metrics in _KINDS.values():
        parts.append(f'[[rules]]\nmeasurement = "{family}"\nfamily = "{family}"')
        parts.append('device = "{device}"\n\n[rules.fields]')
        for name in metrics:
            unit = CATALOGUE[family, name].unit
            parts.append(f'{name} = {{ metric = "{name}", unit = "{unit}" }}')
        parts.append("")
    return "\n".join(parts)


@dataclass(frozen=True, slots=True)
class Shape:
    """How readings are packed into messages."""

    per_message: int
    metrics: int = 1

    def __str__(self) -> str:
        return f"{self.per_message} x {self.metrics}"


@dataclass(frozen=True, slots=True)
class Load:
    """Messages ready to send, with what a store has to hold afterwards.

    Values are multiples of 0.25, so that a sum in the store is exact.

    Attributes:
        readings: One device at one instant each.
        points: Values in them.
        total: Sum of all values.
    """

    shape: Shape
    family: str
    messages: list[tuple[str, bytes]]
    readings: int
    points: int
    total: float


def build_load(shape: Shape, form: Form, readings: int, *, start_ms: int) -> Load:
    """`readings` readings, one a device and second, `shape.per_message` in each message."""
    family, prefix, metrics = _KINDS[shape.metrics]
    pack = {"rows": _rows, "columns": _columns, "lines": _lines}[form]
    messages = []
    total = 0.0
    for begin in range(0, readings, shape.per_message):
        rows = []
        for number in range(begin, min(begin + shape.per_message, readings)):
            device = f"{prefix}-{number % DEVICES + 1:03d}"
            values = {name: _value(number, at) for at, name in enumerate(metrics)}
            total += sum(values.values())
            rows.append((start_ms + number // DEVICES * 1000, device, values))
        messages.append(pack(family, rows))
    return Load(shape, family, messages, readings, readings * len(metrics), total)


_Row = tuple[int, str, dict[str, float]]


def _value(number: int, metric: int) -> float:
    # At most 100, so that it is plausible for every metric.
    return 0.25 * ((number + 37 * metric) % 400)


def _rows(family: str, rows: list[_Row]) -> tuple[str, bytes]:
    topic = f"greendc/v1/{SITE}/{family}"
    if len(rows) > 1:
        readings = [{"ts": ms, "values": values, "device": device} for ms, device, values in rows]
        return topic, json.dumps(readings).encode()
    ((ms, device, values),) = rows
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms // 1000))
    reading = {"ts": f"{stamp}.{ms % 1000:03d}+00:00", "values": values}
    return f"{topic}/{device}", json.dumps(reading).encode()


def _columns(family: str, rows: list[_Row]) -> tuple[str, bytes]:
    body = {
        "ts": [ms for ms, _, _ in rows],
        "device": [device for _, device, _ in rows],
        "values": {name: [values[name] for _, _, values in rows] for name in rows[0][2]},
    }
    text = json.dumps({"columns": body}, separators=(",", ":"))
    return f"greendc/v1/{SITE}/{family}", text.encode()


def _lines(family: str, rows: list[_Row]) -> tuple[str, bytes]:
    text = "\n".join(
        f"{family},device={device},site={SITE} "
        + ",".join(f"{name}={value!r}" for name, value in values.items())
        + f" {ms * 1_000_000}"
        for ms, device, values in rows
    )
    topic = f"telegraf/{SITE}/{family}"
    return (f"{topic}/{rows[0][1]}" if len(rows) == 1 else topic), text.encode()
