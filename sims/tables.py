"""Readings as a table: what the sources of this room give and what the wire takes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from core.samples import Floats, Ints


@dataclass(frozen=True, slots=True, eq=False)
class ReadingTable:
    """Readings of devices of one family that send the same metrics; rows are readings.

    Attributes:
        devices: Table of device ids.
        device_index: (n,) row -> position in `devices`.
        time_ms: (n,) UTC epoch milliseconds.
        metrics: Names, one for each column.
        values: (n, metrics) as sent; NaN where a reading does not carry the metric.
    """

    family: str
    devices: tuple[str, ...]
    device_index: NDArray[np.intp]
    time_ms: Ints
    metrics: tuple[str, ...]
    values: Floats

    def __len__(self) -> int:
        return len(self.time_ms)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> ReadingTable:
        """Only these rows, in this order."""
        return replace(
            self,
            device_index=self.device_index[rows],
            time_ms=self.time_ms[rows],
            values=self.values[rows],
        )
