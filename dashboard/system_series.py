"""Power by system over the asked window, read in parts that may be held."""

from __future__ import annotations

import numpy as np

from analytics.systems import SystemEnergies
from core.periods import INTERVAL_MS, Period, Resolution
from dashboard.chart_spec import ChartAsk
from dashboard.figures.line_data import HOUR_MS, Series
from dashboard.history import STEP_MS
from dashboard.kpi_series import grid_of, held_parts

# A step of many quarters has a value when so much of it is known.
_LEAST_SHARE = 0.8


def read_system_energies(ask: ChartAsk, period: Period) -> list[SystemEnergies]:
    """Energy by system of a stretch up to what has settled, in one or two parts.

    Raises:
        StoreError: The store does not answer.
    """
    end_ms = min(period.end_ms, ask.history.settled_ms)
    if end_ms <= period.start_ms:
        return []
    found = []
    for part, seconds in held_parts(ask.history, Period.of_ms(period.start_ms, end_ms)):
        # The running part's end moves; it is held under its start.
        energies = ask.held.get(
            ("systems", ask.site.id, part.start_ms, part.end_ms),
            seconds,
            lambda part=part: ask.read_systems(  # type: ignore[misc]
                ask.store, ask.records, ask.site, part, ask.history.now
            ),
        )
        if energies is not None:
            found.append(energies)
    return found


def power_series(
    ask: ChartAsk, parts: list[SystemEnergies], system: str, period: Period, resolution: Resolution
) -> Series:
    """Mean power of one system in MW on the grid of a resolution.

    A step of which less than four fifths is known is a gap.
    """
    starts = grid_of(ask.site, period, resolution)
    length = (period.end_ms - period.start_ms) // INTERVAL_MS
    quarters = np.full(length, np.nan)
    for part in parts:
        first = (int(part.start_ms[0]) - period.start_ms) // INTERVAL_MS
        values = part.alone(system)
        quarters[first : first + len(values)] = values
    edges = [*starts, period.end_ms]
    cuts = [(edge - period.start_ms) // INTERVAL_MS for edge in edges]
    is_known = ~np.isnan(quarters)
    begins = np.array(cuts[:-1], np.int64)
    sums = np.add.reduceat(np.where(is_known, quarters, 0.0), begins)
    counts = np.add.reduceat(is_known.astype(np.int64), begins)
    enough = counts >= np.maximum(1.0, _LEAST_SHARE * np.diff(cuts))
    megawatts = sums / np.maximum(counts, 1) * (HOUR_MS / INTERVAL_MS / 1000.0)
    means = tuple(
        value if there else None
        for value, there in zip(megawatts.tolist(), enough.tolist(), strict=True)
    )
    return Series(starts, means, STEP_MS[resolution])
