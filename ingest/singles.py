"""Messages of one reading each, gathered into columns before they are judged.

A message costs far more than a reading once it is in a column, so messages that hold one plain
reading of the topic's device share one chunk per site, family and set of metrics.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
import numpy as np

from core.errors import RefusedReadingError
from ingest.messages import DecodedChunk, RawMessage, zeros
from ingest.native import MAX_NAME, decode_row, parse_time
from ingest.topics import NativeTopic

_LARGEST = 4096


@dataclass(slots=True)
class _Columns:
    received_ms: int = 0
    numbers: list[int] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    values: list[tuple[float, ...]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class SingleGroup:
    """One chunk of many messages; its rows are message numbers."""

    site: str
    family: str
    received_ms: int
    chunk: DecodedChunk


class SingleReadings:
    """Collects the messages that the fast way can read; the others are the caller's."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str, int, tuple[str, ...]], _Columns] = {}

    def take(self, number: int, topic: NativeTopic, message: RawMessage) -> bool:
        """Take one message; False when it has to be decoded by itself."""
        payload = message.payload
        if len(payload) > _LARGEST or payload[:1] != b"{":
            return False
        row = decode_row(payload)
        if row is None or row.device is not msgspec.UNSET:
            return False
        names = tuple(row.values)
        keys = 2 + len(names) + (row.seq is not msgspec.UNSET)
        if not names or payload.count(b'":') != keys or max(map(len, names)) > MAX_NAME:
            return False
        if row.seq is not msgspec.UNSET and not 0 <= row.seq < 2**32:
            return False
        try:
            time_ms = parse_time(row.ts)
        except RefusedReadingError:
            return False
        values = tuple(row.values.values())
        if not all(value - value == 0.0 for value in values):
            return False
        # One group an hour of receipt: a block belongs to one hour of the ledger.
        key = (topic.site, topic.family, message.received_ms // 3_600_000, names)
        columns = self._groups.get(key)
        if columns is None:
            columns = self._groups[key] = _Columns()
        columns.received_ms = max(columns.received_ms, message.received_ms)
        columns.numbers.append(number)
        columns.devices.append(topic.device)
        columns.times.append(time_ms)
        columns.values.append(values)
        return True

    def groups(self) -> Iterator[SingleGroup]:
        """The chunks."""
        for (site, family, _, names), columns in self._groups.items():
            table = np.array(columns.values, dtype=np.float64)
            chunk = DecodedChunk(
                rows=np.array(columns.numbers, dtype=np.int64),
                devices=columns.devices,
                time_ms=np.array(columns.times, dtype=np.int64),
                quality=zeros(len(columns.numbers)),
                units={},
                values={name: table[:, place].copy() for place, name in enumerate(names)},
            )
            yield SingleGroup(site, family, columns.received_ms, chunk)
