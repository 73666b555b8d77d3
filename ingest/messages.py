"""What passes between the steps of the ingester."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from core.samples import Codes, Floats, Ints


@dataclass(frozen=True, slots=True)
class RawMessage:
    """A message as the broker delivered it.

    Attributes:
        received_ms: UTC epoch milliseconds at which the network thread took it.
        mid: MQTT packet id, to be acknowledged.
        generation: Number of the connection that delivered it; an acknowledgement on another
            connection would acknowledge another message.
    """

    topic: str
    payload: bytes
    received_ms: int
    mid: int = 0
    qos: int = 1
    generation: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class DecodedChunk:
    """Readings of one message that carry the same metrics and units, in columns, unit as sent.

    Attributes:
        rows: (n,) positions inside the message.
        devices: Device names as sent, one a row; None where the topic names the device.
        time_ms: (n,) UTC epoch milliseconds.
        quality: (n,) quality codes.
        units: Declared units, metric -> spelling.
        values: Metric -> (n,) values as sent; NaN only where a column message had null.
    """

    rows: Ints
    devices: list[str] | None
    time_ms: Ints
    quality: Codes
    units: Mapping[str, str]
    values: Mapping[str, Floats]


@dataclass(slots=True)
class Refusals:
    """Refused rows of one message: (reason, detail) -> positions."""

    by_reason: dict[str, list[int]] = field(default_factory=dict)
    details: dict[str, str] = field(default_factory=dict)

    def add(self, row: int, reason: str, detail: str) -> None:
        """Refuse one row; the first detail of a reason is kept for people."""
        self.by_reason.setdefault(reason, []).append(row)
        self.details.setdefault(reason, detail)

    def add_rows(self, rows: Ints, reason: str, detail: str) -> None:
        """Refuse many rows for one reason."""
        if len(rows):
            self.by_reason.setdefault(reason, []).extend(int(row) for row in rows)
            self.details.setdefault(reason, detail)

    @property
    def count(self) -> int:
        """Refused rows."""
        return sum(len(rows) for rows in self.by_reason.values())


@dataclass(slots=True)
class DecodedMessage:
    """A decoded payload: chunks of good rows, refused rows, and names that nobody knows.

    Attributes:
        count: Readings that the message holds, good and refused.
    """

    count: int
    chunks: list[DecodedChunk] = field(default_factory=list)
    refusals: Refusals = field(default_factory=Refusals)
    ignored: Counter[str] = field(default_factory=Counter)
    sites: set[str] = field(default_factory=set)


def zeros(length: int) -> Codes:
    """Quality codes of readings that say nothing: good."""
    return np.zeros(length, dtype=np.int8)
