"""How much of what the devices should have sent is there, and what happened to the series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analytics.dense import known_gap_seconds
from analytics.energy import FlowReader
from analytics.spans import Flags
from analytics.tiling import Tiling
from core.events import SeriesEvent
from core.metrics import CATALOGUE
from core.number_text import format_amount, format_number, format_share
from core.periods import INTERVAL_MS, INTERVAL_S, format_time, from_ms
from core.samples import Floats
from core.sites import Device, Site

# What a device is judged by: the counter that figures rest on, else the first of its metrics.
_MAIN_METRICS = ("active_energy_kwh", "volume_m3", "ac_energy_kwh", "energy_kwh", "rain_mm")
# A shorter silence is in the coverage, but no line of its own.
_LEAST_SILENCE_S = 3600.0
_WORST = 5


@dataclass(frozen=True, slots=True, eq=False)
class _Covered:
    """Covered seconds of one device's main series over the grid; (n,)."""

    device: Device
    metric: str
    exists: Flags
    covered_s: Floats


def completeness(site: Site, reader: FlowReader, daily: FlowReader) -> dict[str, Any]:
    """Coverage by family: of the month, of each day, and the worst meters by name.

    Args:
        reader: Cut as the month.
        daily: The same intervals cut into days: a gap that only the month holds whole leaves a hole
            in the days.
    """
    families = []
    for family in dict.fromkeys(device.family for device in site.devices.values()):
        covered = _covered(site, reader, family)
        if not covered:
            continue
        by_day = _covered(site, daily, family)
        days = _shares(
            daily.tiling.sums(_total([c.covered_s for c in by_day])),
            daily.tiling.sums(_total([np.where(c.exists, float(INTERVAL_S), 0.0) for c in by_day])),
        )
        whole = _share(
            sum(float(c.covered_s.sum()) for c in covered),
            sum(float(c.exists.sum()) for c in covered) * INTERVAL_S,
        )
        meters = sorted(
            (
                (_share(float(c.covered_s.sum()), float(c.exists.sum()) * INTERVAL_S) or 0.0, c)
                for c in covered
            ),
            key=lambda pair: (pair[0], pair[1].device.id),
        )
        families.append(
            {
                "family": family,
                "devices": len(covered),
                "devices_shown": format_number(float(len(covered)), 0),
                "coverage": whole,
                "shown": _floor_share(whole),
                "days": days,
                "worst": [
                    {
                        "series": f"{c.device.id}/{c.metric}",
                        "coverage": share,
                        "shown": _floor_share(share),
                    }
                    for share, c in meters[:_WORST]
                    if share < 1.0
                ],
            }
        )
    return {"families": families}


def silences(site: Site, reader: FlowReader) -> list[dict[str, Any]]:
    """Runs of at least an hour in which a device's main series covers nothing, by start."""
    grid = reader.tiling.grid
    found = []
    for family in dict.fromkeys(device.family for device in site.devices.values()):
        for c in _covered(site, reader, family):
            silent = c.exists & (c.covered_s <= 0.0)
            edges = np.flatnonzero(np.diff(silent.astype(np.int8), prepend=0, append=0))
            for first, last in edges.reshape(-1, 2).tolist():
                seconds = (last - first) * INTERVAL_S
                if seconds >= _LEAST_SILENCE_S:
                    found.append(
                        {
                            "kind": "missing_data",
                            "device": c.device.id,
                            "metric": c.metric,
                            "start": format_time(grid.start_ms + first * INTERVAL_MS),
                            "end": format_time(grid.start_ms + last * INTERVAL_MS),
                            "amount": None,
                            "amount_shown": "",
                            "hours_shown": format_number(seconds / 3600.0, 1),
                        }
                    )
    return sorted(found, key=_by_start)


def event_rows(site: Site, events: Sequence[SeriesEvent]) -> list[dict[str, Any]]:
    """Gaps of counters, resets, rollovers, dips and meter changes, by start."""
    rows = []
    for event in events:
        metric = CATALOGUE.get((event.key.family, event.key.metric))
        unit = metric.unit if metric is not None else ""
        is_known = event.kind in {"counter_gap", "counter_rollover"}
        rows.append(
            {
                "kind": event.kind,
                "device": event.key.device,
                "metric": event.key.metric,
                "start": format_time(event.start_ms),
                "end": format_time(event.end_ms),
                "amount": event.amount if is_known else None,
                "amount_unit": unit,
                "amount_shown": format_amount(event.amount, unit) if is_known else "",
                "hours_shown": format_number((event.end_ms - event.start_ms) / 3_600_000.0, 1),
            }
        )
    return sorted(rows, key=_by_start)


def has_any_data(site: Site, reader: FlowReader) -> bool:
    """Whether any device of the site has an interval that rests on readings."""
    return any(
        bool((c.covered_s > 0.0).any())
        for family in dict.fromkeys(device.family for device in site.devices.values())
        for c in _covered(site, reader, family)
    )


def _covered(site: Site, reader: FlowReader, family: str) -> list[_Covered]:
    devices = [d for d in site.in_family(family) if d.latest.role != "forecast"]
    mains = {device.id: _main_metric(device) for device in devices}
    reader.load(devices, sorted(set(mains.values())))
    starts = reader.tiling.grid.starts_ms()
    found = []
    for device in devices:
        metric = mains[device.id]
        dense = reader.dense(device, metric)
        known_s = known_gap_seconds(reader.events_of(device, metric), reader.tiling)
        exists = starts >= device.states[0].valid_from_ms
        covered_s = dense.covered_s + np.minimum(known_s, dense.estimated_s)
        if exists.any():
            found.append(_Covered(device, metric, exists, np.where(exists, covered_s, 0.0)))
    return found


def _main_metric(device: Device) -> str:
    metrics = device.metrics()
    return next((name for name in _MAIN_METRICS if name in metrics), device.latest.metrics[0])


def _total(columns: Sequence[Floats]) -> Floats:
    return np.asarray(np.sum(columns, axis=0), dtype=np.float64)


def _share(there: float, wanted: float) -> float | None:
    return min(there / wanted, 1.0) if wanted > 0.0 else None


def _shares(there: Floats, wanted: Floats) -> list[float | None]:
    pairs = zip(there.tolist(), wanted.tolist(), strict=True)
    return [_share(a, b) for a, b in pairs]


def _floor_share(share: float | None) -> str:
    # Never rounded up to a threshold that was missed.
    return format_share(None if share is None else np.floor(share * 1000.0 + 1e-6) / 1000.0)


def _by_start(row: dict[str, Any]) -> tuple[str, str, str, str]:
    return (row["start"], row["device"], row["metric"], row["kind"])


def day_labels(tiling: Tiling, site: Site) -> list[str]:
    """Local dates of the periods of a tiling by days."""
    return [
        from_ms(period.start_ms).astimezone(site.zone).date().isoformat()
        for period in tiling.periods
    ]
