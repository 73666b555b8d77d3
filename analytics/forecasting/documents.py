"""Issued forecasts as rows of the store: compact, exact to their written digits, never changed.

A row's key holds the issue time, so a forecast has one row for ever. Its document holds the medians
as whole numbers of `10^-decimals` units, each but the first as the difference to the one before,
and the other quantiles as runs of their distance from the median.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np

from analytics.forecasting.port import Quantiles
from core.forecasts import (
    QUANTILE_NAMES,
    STEPS,
    TARGETS,
    Forecast,
    ForecastPoint,
    ForecastState,
)
from core.ports import ResultRow
from core.samples import Floats
from core.sites import Site

KIND = "forecast"
ISSUED = "site"
_VERSION = 1
_RATIO_DECIMALS = 5
_DIGITS = 6
_OUTER = (0, 1, 3, 4)


def forecast_row(
    site: str,
    target: str,
    resolution: str,
    origin_ms: int,
    said: Quantiles,
    state: ForecastState,
    learning_day: int,
) -> ResultRow:
    """A forecast as the store keeps it; the row's value is the median of the first point."""
    median = said.table[2]
    decimals = _decimals(TARGETS[target].unit, median)
    unit = 10.0**decimals
    present = np.flatnonzero(np.isfinite(median))
    whole = np.round(median[present] * unit).astype(np.int64)
    document: dict[str, Any] = {
        "version": _VERSION,
        "state": state.value,
        "day": learning_day,
        "models": dict(said.models),
        "points": said.table.shape[1],
        "absent": np.flatnonzero(~np.isfinite(median)).tolist(),
        "decimals": decimals,
        "q50": np.diff(whole, prepend=0).tolist(),
    }
    for row in _OUTER:
        # The distance is rounded, not the quantile: so it stays the same while the band does.
        distance = np.round((said.table[row, present] - median[present]) * unit)
        document[QUANTILE_NAMES[row]] = _runs(distance)
    first = float(median[present[0]]) if len(present) else None
    text = json.dumps(document, separators=(",", ":"))
    return ResultRow(site, KIND, target, ISSUED, resolution, origin_ms, first, text.encode())


def parse_table(row: ResultRow) -> Floats:
    """(5, m) the quantiles of a stored forecast, NaN where there is none."""
    return _table(json.loads(row.document))


def parse_forecast(row: ResultRow, site: Site) -> Forecast:
    """A stored forecast, without its record."""
    document = json.loads(row.document)
    table = _table(document)
    step = STEPS[row.resolution]
    places = np.flatnonzero(np.isfinite(table[2])).tolist()
    columns: list[list[float | None]] = [
        [None if math.isnan(value) else value for value in column]
        for column in table[:, places].tolist()
    ]
    points = []
    for at, (q05, q10, q50, q90, q95) in zip(places, zip(*columns, strict=True), strict=True):
        assert q50 is not None
        points.append(
            ForecastPoint(row.start_ms + at * step.step_s * 1000, q05, q10, q50, q90, q95)
        )
    return Forecast(
        site=row.site,
        target=row.name,
        unit=TARGETS[row.name].unit,
        step_s=step.step_s,
        issued_at_ms=row.start_ms,
        models=document["models"],
        state=ForecastState(document["state"]),
        learning_day=document["day"],
        points=tuple(points),
        is_simulated=site.is_simulated,
    )


def _table(document: dict[str, Any]) -> Floats:
    table = np.full((len(QUANTILE_NAMES), document["points"]), np.nan)
    present = np.ones(document["points"], dtype=np.bool_)
    present[document["absent"]] = False
    whole = np.cumsum(np.array(document["q50"], dtype=np.int64))
    unit = 10.0 ** document["decimals"]
    table[2, present] = whole / unit
    for row in _OUTER:
        runs = document[QUANTILE_NAMES[row]]
        values = np.array([np.nan if one is None else one for one in runs[::2]], dtype=np.float64)
        distance = np.repeat(values, np.array(runs[1::2], dtype=np.int64))
        table[row, present] = (whole + distance) / unit
    return table


def _decimals(unit: str, median: Floats) -> int:
    if unit == "1":
        return _RATIO_DECIMALS
    size = np.nanmax(np.abs(median)) if np.isfinite(median).any() else 0.0
    # Six digits of the largest value; of a small one no more than it was measured to.
    return int(np.clip(_DIGITS - 1 - math.floor(math.log10(size)), 0, 4)) if size > 0.0 else 4


def _runs(values: Floats) -> list[int | None]:
    """Flattened pairs: value (null where there is none), how often it follows itself."""
    numbers: Sequence[int | None] = [
        None if math.isnan(value) else int(value) for value in values.tolist()
    ]
    return [item for value, run in groupby(numbers) for item in (value, len(list(run)))]
