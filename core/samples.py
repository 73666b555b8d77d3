"""Readings and samples in columns.

A reading is what one device measured at one instant: several metrics, one time, one quality. On the
way in, readings travel in `ReadingBlock`s (rows are readings); on the way out, samples come as one
`SampleSeries` per series.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Codes: TypeAlias = NDArray[np.int8]


class Quality(IntEnum):
    """Quality of a sample as sent; the code is what the stores keep."""

    GOOD = 0
    ESTIMATED = 1
    MANUAL = 2
    UNCERTAIN = 3


QUALITY_BY_NAME: dict[str, Quality] = {quality.name.lower(): quality for quality in Quality}


@dataclass(frozen=True, slots=True, order=True)
class SeriesKey:
    """Identity of a series: one metric of one device of one site."""

    site: str
    family: str
    device: str
    metric: str


@dataclass(frozen=True, slots=True, eq=False)
class ReadingBlock:
    """Readings of one site and one family, in the catalogue's units.

    Attributes:
        site: Site id.
        family: Metric family.
        devices: Table of the device ids that occur.
        device_index: (n,) int32, row -> position in `devices`.
        time_ms: (n,) int64, UTC epoch milliseconds of the measurement.
        quality: (n,) int8, `Quality` codes.
        values: Metric name -> (n,) float64; NaN where this reading does not carry the metric.
    """

    site: str
    family: str
    devices: tuple[str, ...]
    device_index: NDArray[np.int32]
    time_ms: Ints
    quality: Codes
    values: Mapping[str, Floats]

    def __len__(self) -> int:
        return len(self.time_ms)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> ReadingBlock:
        """Only these rows (indices or a mask); metrics left without a value are dropped."""
        values = {}
        for name, column in self.values.items():
            taken = column[rows]
            if not np.isnan(taken).all():
                values[name] = taken
        return ReadingBlock(
            self.site,
            self.family,
            self.devices,
            self.device_index[rows],
            self.time_ms[rows],
            self.quality[rows],
            values,
        )


@dataclass(frozen=True, slots=True, eq=False)
class SampleSeries:
    """Samples of one series, each stored row once, in time order.

    Attributes:
        key: The series.
        time_ms: (n,) int64, strictly increasing UTC epoch milliseconds.
        value: (n,) float64, in the catalogue's unit, never NaN.
        quality: (n,) int8, `Quality` codes.
    """

    key: SeriesKey
    time_ms: Ints
    value: Floats
    quality: Codes

    def __len__(self) -> int:
        return len(self.time_ms)


@dataclass(frozen=True, slots=True)
class Sample:
    """One stored value with its series: what `read_latest` and the edge reads answer."""

    key: SeriesKey
    time_ms: int
    value: float
    quality: Quality
