"""Wire format version 1 (`docs/wire-format.md`), built here and by nobody else's code.

The ingester's decoder shares nothing with this module, so an error in one of them cannot cancel
itself out in the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from core.ids import NATIVE_PREFIX
from sims.tables import ReadingTable

MAX_PAYLOAD_BYTES = 256 * 1024
MAX_READINGS = 5000
# Families with few devices are sent as rows, so that both forms are in use at every site.
ROW_FAMILIES = frozenset({"water", "solar", "weather"})


@dataclass(frozen=True, slots=True)
class Message:
    """One MQTT message and the number of readings in it."""

    topic: str
    payload: bytes
    readings: int


def gateway_topic(site: str, family: str) -> str:
    """Topic of a gateway that speaks for many devices."""
    return f"{NATIVE_PREFIX}/{site}/{family}"


def device_topic(site: str, family: str, device: str) -> str:
    """Topic of one device."""
    return f"{NATIVE_PREFIX}/{site}/{family}/{device}"


def render_columns(table: ReadingTable) -> bytes:
    """The column form of all rows; a scalar `ts` where all rows share one.

    NaN becomes null: this row has no reading of that metric.
    """
    names = table.devices
    times = table.time_ms
    same = len(times) > 0 and bool((times == times[0]).all())
    columns: dict[str, Any] = {
        "ts": int(times[0]) if same else times.tolist(),
        "device": [names[index] for index in table.device_index.tolist()],
        "values": {
            metric: table.values[:, column].tolist() for column, metric in enumerate(table.metrics)
        },
    }
    return msgspec.json.encode({"columns": columns})


def render_rows(tables: Iterable[ReadingTable]) -> bytes:
    """The row form: `{"readings": [...]}`, metrics without a value left out."""
    readings = []
    for table in tables:
        rows = zip(
            table.device_index.tolist(), table.time_ms.tolist(), table.values.tolist(), strict=True
        )
        for device, time_ms, values in rows:
            present = {
                metric: value
                for metric, value in zip(table.metrics, values, strict=True)
                if value == value  # NaN is not equal to itself
            }
            readings.append({"device": table.devices[device], "ts": time_ms, "values": present})
    return msgspec.json.encode({"readings": readings})


def join_tables(tables: Sequence[ReadingTable]) -> ReadingTable:
    """Tables of one family as one, with NaN where a reading lacks a metric."""
    if len(tables) == 1:
        return tables[0]
    devices = tuple(dict.fromkeys(name for table in tables for name in table.devices))
    metrics = tuple(dict.fromkeys(name for table in tables for name in table.metrics))
    place = {name: number for number, name in enumerate(devices)}
    values = np.full((sum(len(table) for table in tables), len(metrics)), np.nan)
    row = 0
    index = []
    for table in tables:
        columns = [metrics.index(name) for name in table.metrics]
        values[row : row + len(table), columns] = table.values
        row += len(table)
        index.append(np.array([place[name] for name in table.devices])[table.device_index])
    return ReadingTable(
        tables[0].family,
        devices,
        np.concatenate(index),
        np.concatenate([table.time_ms for table in tables]),
        metrics,
        values,
    )


def pack_tick(site: str, tables: Iterable[ReadingTable]) -> Iterator[Message]:
    """One gateway message a family with the readings of all its devices at one instant."""
    by_family: dict[str, list[ReadingTable]] = {}
    for table in tables:
        by_family.setdefault(table.family, []).append(table)
    for family, found in by_family.items():
        readings = sum(len(table) for table in found)
        if family in ROW_FAMILIES and readings <= 200:
            yield Message(gateway_topic(site, family), render_rows(found), readings)
        else:
            yield from pack_columns(site, join_tables(found))


def pack_columns(site: str, table: ReadingTable) -> Iterator[Message]:
    """Column messages of as many readings as the limits of a payload allow."""
    topic = gateway_topic(site, table.family)
    start, size = 0, MAX_READINGS
    while start < len(table):
        part = table.take(np.arange(start, min(start + size, len(table)), dtype=np.intp))
        payload = render_columns(part)
        if len(payload) > MAX_PAYLOAD_BYTES and len(part) > 1:
            # The next parts are as dense as this one: keep what fits.
            size = max(1, int(len(part) * 0.97 * MAX_PAYLOAD_BYTES / len(payload)))
            continue
        yield Message(topic, payload, len(part))
        start += len(part)
