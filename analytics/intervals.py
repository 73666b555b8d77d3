"""Intervals of one series as people ask for them: quarters, hours, local days and months."""

from __future__ import annotations

from typing import Any

import numpy as np

from analytics.dense import DenseSeries, known_gap_seconds, lay_out
from analytics.energy import FlowReader
from analytics.tiling import Tiling
from core.errors import NotFoundError
from core.intervals import IntervalBlock
from core.metrics import CATALOGUE, MetricKind
from core.periods import Period, Resolution, format_time
from core.ports import RollupRecords, TimeSeriesStore
from core.samples import Floats
from core.sites import Device, Site

_ROUNDING_S = 1e-6


def read_interval_rows(
    reader: TimeSeriesStore,
    records: RollupRecords,
    site: Site,
    device: Device,
    metric: str,
    period: Period,
    resolution: Resolution,
) -> list[dict[str, Any]]:
    """The rows of `greendc intervals`: one for each calendar period of the site's zone.

    Members: `start`, `end`, `seconds`, `count`, `min`, `max` (gauges), `mean` (gauges,
    time-weighted), `increase` (counters and reported sums), `coverage` (0..1, for a cluster's total
    times the share of members that reported), `source` (where most of the row comes from; null
    without any), and for powers `energy_kwh`. What is not known is null.

    Raises:
        ConfigurationError: The period is not on the 15-minute grid.
        NotFoundError: The device's family has no such metric.
    """
    definition = CATALOGUE.get((device.family, metric))
    if definition is None:
        raise NotFoundError(f"{device.family} has no metric {metric!r}; see docs/metrics.md")
    tiling = Tiling.of(period, site.zone, resolution)
    flows = FlowReader(reader, records, site, tiling)
    block = flows.block(device, metric)
    dense = DenseSeries.of(block, tiling.grid)
    is_gauge = definition.kind is MetricKind.GAUGE
    known_s = np.zeros(tiling.grid.count)
    if definition.kind is MetricKind.COUNTER:
        known_s = known_gap_seconds(flows.events_of(device, metric), tiling)
    known_s = np.minimum(known_s, dense.estimated_s)
    covered_s = dense.covered_s + known_s
    members = np.ones(tiling.grid.count)
    if not metric.startswith("members_"):
        members = flows.members(device)

    counts = tiling.sums(lay_out(block, "count", tiling.grid))
    coverage = np.minimum(tiling.sums(covered_s * members) / tiling.seconds(), 1.0)
    seconds = tiling.sums(covered_s)
    open_s = tiling.sums(dense.estimated_s - known_s)
    amount = tiling.sums(dense.amount)
    mean = _means(block, dense, tiling)
    low = _extreme(block, "low", tiling, np.minimum, np.inf)
    high = _extreme(block, "high", tiling, np.maximum, -np.inf)
    sources = _sources(site, dense, covered_s, open_s, tiling, is_gauge=is_gauge)
    rows: list[dict[str, Any]] = []
    for at, one in enumerate(tiling.periods):
        has_amount = seconds[at] + open_s[at] > _ROUNDING_S
        row = {
            "start": format_time(one.start),
            "end": format_time(one.end),
            "seconds": one.seconds,
            "count": round(counts[at]),
            "min": _known(low[at]) if is_gauge else None,
            "max": _known(high[at]) if is_gauge else None,
            "mean": _known(mean[at]) if is_gauge else None,
            "increase": float(amount[at]) if has_amount and not is_gauge else None,
            "coverage": float(coverage[at]),
            "source": sources[at],
        }
        if is_gauge and definition.integral_unit == "kWh":
            row["energy_kwh"] = float(amount[at]) if has_amount else None
        rows.append(row)
    return rows


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _means(block: IntervalBlock | None, dense: DenseSeries, tiling: Tiling) -> Floats:
    mean = lay_out(block, "mean", tiling.grid)
    seconds = tiling.sums(dense.covered_s)
    found = np.full(len(tiling.periods), np.nan)
    weighted = tiling.sums(mean * dense.covered_s)
    np.divide(weighted, seconds, out=found, where=seconds > 0.0)
    return found


def _extreme(
    block: IntervalBlock | None, column: str, tiling: Tiling, better: np.ufunc, missing: float
) -> Floats:
    values = lay_out(block, column, tiling.grid, missing=missing)
    return np.asarray(better.reduceat(values, tiling.cuts), dtype=np.float64)


def _sources(
    site: Site,
    dense: DenseSeries,
    covered_s: Floats,
    open_s: Floats,
    tiling: Tiling,
    *,
    is_gauge: bool,
) -> list[str | None]:
    """The source of most seconds of each period; a simulated site's own data are `simulated`."""
    estimated = tiling.sums(dense.estimated_quality_s) + open_s
    manual = tiling.sums(dense.manual_s)
    # Inside an open gap the quality of its ends says nothing of the interval.
    own = tiling.sums(covered_s - dense.estimated_quality_s - dense.manual_s)
    name = "simulated" if site.is_simulated else "measured" if is_gauge else "counted"
    words = (name, "estimated", "manual")
    table = np.array([own, estimated, manual])
    return [
        words[int(np.argmax(table[:, at]))] if table[:, at].max() > _ROUNDING_S else None
        for at in range(len(tiling.periods))
    ]
