"""Power by system: the newest quarter hour and the last 24 hours as a small line: pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analytics.systems import CALCULATED, SYSTEMS, SystemEnergies
from core.periods import INTERVAL_S
from core.samples import Floats
from dashboard import formats
from dashboard.anatomy import SYSTEM_WORDS
from dashboard.words import Words

_QUARTERS_PER_HOUR = 3600.0 / INTERVAL_S
_DAY_QUARTERS = 96
SPARK_WIDTH, SPARK_HEIGHT = 96, 22


@dataclass(frozen=True, slots=True)
class SystemRow:
    """One system's line.

    Attributes:
        power: Mean of the newest known quarter hour, in kW.
        paths: Points of the line's unbroken pieces, for an SVG of `SPARK_WIDTH` x `SPARK_HEIGHT`.
        range: What the line spans, for those who do not see it.
    """

    name: str
    mark: str
    power: str
    paths: tuple[str, ...]
    range: str


def system_rows(systems: SystemEnergies | None, words: Words) -> tuple[SystemRow, ...]:
    """A row for each system that the site has."""
    if systems is None:
        return ()
    rows = []
    for name in SYSTEMS:
        if name != "rest" and name not in systems.energy_alone:
            continue
        kw = systems.alone(name)[-_DAY_QUARTERS:] * _QUARTERS_PER_HOUR
        known = kw[~np.isnan(kw)]
        last = float(kw[-1]) if len(kw) and not np.isnan(kw[-1]) else None
        spread = ""
        if len(known):
            spread = words(
                "systems.range",
                low=formats.format_number(float(known.min()), 0),
                high=formats.format_number(float(known.max()), 0),
            )
        rows.append(
            SystemRow(
                name=words(SYSTEM_WORDS[name]),
                mark=words("mark.calculated" if name in CALCULATED else "mark.metered"),
                power=formats.format_number(last, 0),
                paths=spark_paths(kw),
                range=spread,
            )
        )
    return tuple(rows)


def spark_paths(values: Floats) -> tuple[str, ...]:
    """Points of a small line, one string for each unbroken piece; its own range fills the height.

    A range below two percent of the values is drawn as two percent, so that noise stays flat.
    """
    known = values[~np.isnan(values)]
    if len(known) < 2:
        return ()
    middle = (float(known.min()) + float(known.max())) / 2.0
    span = max(float(known.max() - known.min()), 0.02 * abs(middle), 1e-9)
    low = middle - span / 2.0
    step = SPARK_WIDTH / max(len(values) - 1, 1)
    pieces: list[list[str]] = [[]]
    for at, value in enumerate(values):
        if np.isnan(value):
            if pieces[-1]:
                pieces.append([])
            continue
        y = 1.0 + (SPARK_HEIGHT - 2.0) * (1.0 - (float(value) - low) / span)
        pieces[-1].append(f"{at * step:.1f},{y:.1f}")
    return tuple(" ".join(piece) for piece in pieces if len(piece) > 1)
