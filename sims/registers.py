"""Amounts of periods as the readings of a register that counts them.

A mean power of a day, or a consumption of a month, says how much there was between two instants and
nothing about what lies between. That is what two readings of a counter say, so such rows become
readings at the borders of their periods; nothing is invented inside (decision 0091).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from core.samples import Floats, Ints

# Low readings after which a counter that recovers is taken for one that dipped; one more is safe.
_LOW_READINGS = 2


@dataclass(frozen=True, slots=True, eq=False)
class Register:
    """Readings of a register, and how many periods are not in it.

    Attributes:
        time_ms: (n,) UTC epoch milliseconds, ascending.
        value: (n,) what it shows.
        left_out: Periods of runs so short that the register's next start could not be told from a
            meter that dipped.
    """

    time_ms: Ints
    value: Floats
    left_out: int = 0


def count_periods(start_ms: Ints, end_ms: Ints, amount: Floats) -> Register:
    """A register that counts the amounts of periods, ascending and without overlap.

    Where a period is missing the register starts again at zero, as a meter does that lost its
    count: what was used in between is not known, and the gap is covered by nothing.
    """
    if not len(start_ms):
        return Register(np.zeros(0, np.int64), np.zeros(0))
    breaks = np.flatnonzero(start_ms[1:] != end_ms[:-1]) + 1
    borders = [0, *breaks.tolist(), len(start_ms)]
    runs: list[slice] = []
    left_out = 0
    for first, last in pairwise(borders):
        # What the next start shows first must stay below what the run before it ended with.
        highest = float(np.cumsum(amount[first : min(first + _LOW_READINGS, last)]).max())
        while runs and float(amount[runs[-1]].sum()) <= highest:
            dropped = runs.pop()
            left_out += dropped.stop - dropped.start
        runs.append(slice(first, last))
    times = [np.concatenate([start_ms[run][:1], end_ms[run]]) for run in runs]
    values = [np.concatenate([[0.0], np.cumsum(amount[run])]) for run in runs]
    return Register(np.concatenate(times).astype(np.int64), np.concatenate(values), left_out)
