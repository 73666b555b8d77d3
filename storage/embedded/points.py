"""Samples of many series in columns, on their way to the disk and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.samples import Codes, Floats, Ints


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Samples of many series in columns, in any order.

    Attributes:
        series: (n,) int64 series numbers.
        time_ms: (n,) int64.
        value: (n,) float64.
        quality: (n,) int8.
    """

    series: Ints
    time_ms: Ints
    value: Floats
    quality: Codes

    def __len__(self) -> int:
        return len(self.series)

    def take(self, rows: NDArray[Any] | slice) -> Points:
        """Only these rows."""
        return Points(self.series[rows], self.time_ms[rows], self.value[rows], self.quality[rows])


NO_POINTS = Points(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int8))


def join_points(parts: Sequence[Points]) -> Points:
    """Parts one after another."""
    filled = [part for part in parts if len(part)]
    if not filled:
        return NO_POINTS
    if len(filled) == 1:
        return filled[0]
    return Points(
        np.concatenate([part.series for part in filled]),
        np.concatenate([part.time_ms for part in filled]),
        np.concatenate([part.value for part in filled]),
        np.concatenate([part.quality for part in filled]),
    )


def sort_points(points: Points) -> Points:
    """By series and time, each instant once: the one that came last."""
    series, time_ms = points.series, points.time_ms
    if len(points) < 2:
        return points
    step = np.diff(series)
    ordered = (step > 0) | ((step == 0) & (np.diff(time_ms) > 0))
    if ordered.all():
        return points
    # Stable: among equal instants the order of arrival remains.
    order = np.lexsort((time_ms, series))
    series, time_ms = series[order], time_ms[order]
    last = np.append((np.diff(series) != 0) | (np.diff(time_ms) != 0), True)
    return points.take(order[last])
