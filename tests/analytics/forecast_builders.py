"""Histories and stored intervals for tests of forecasts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np

from analytics.forecasting.bounds import Bounds
from analytics.forecasting.history import History
from core.intervals import IntervalBlock
from core.periods import INTERVAL_MS, to_ms
from core.ports import TimeSeriesStore
from core.samples import Floats, SeriesKey
from core.sites import Device
from tests.analytics.series_builders import SEOUL

# Midnight in Seoul.
BEGIN_MS = to_ms(datetime(2026, 9, 1, 15, tzinfo=UTC))
DAY_MS = 86_400_000
QUARTERS = 96
FREE = Bounds(-np.inf, np.inf, False, 37.0, 127.0)


def history_of(
    values: Floats,
    below: Floats | None = None,
    *,
    step_s: int = 900,
    start_ms: int = BEGIN_MS,
    zone: ZoneInfo = SEOUL,
) -> History:
    return History(start_ms, step_s, np.asarray(values, dtype=np.float64), below, zone)


def put_energy(
    store: TimeSeriesStore,
    site: str,
    powers_kw: Mapping[Device, Floats],
    start_ms: int,
) -> None:
    """Write whole intervals of a mean power each, NaN for none, as a counter would give them."""
    blocks = []
    for device, power in powers_kw.items():
        known = np.isfinite(power)
        starts = start_ms + INTERVAL_MS * np.flatnonzero(known).astype(np.int64)
        count = len(starts)
        nothing, zeros = np.full(count, np.nan), np.zeros(count)
        metric = "ac_energy_kwh" if device.family == "solar" else "active_energy_kwh"
        blocks.append(
            IntervalBlock(
                SeriesKey(site, device.family, device.id, metric),
                starts,
                np.full(count, 15, dtype=np.int32),
                nothing,
                nothing,
                nothing,
                power[known] / 4.0,
                np.full(count, 900.0),
                zeros,
                zeros,
                zeros,
                zeros,
            )
        )
    store.write_intervals([block for block in blocks if len(block)])
