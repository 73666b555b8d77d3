"""A small, exact history of the repository's sites for the browser tests.

Until `live_from` every device reports each 300 s, from then on each 2 s, so that a test sees values
grow late and stale in seconds. Powers have a daily shape and counters are their integrals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.periods import INTERVAL_MS, Period, floor_interval_ms, from_ms, to_ms
from core.ports import ResultRow, RollupRecords, TimeSeriesStore
from core.samples import ReadingBlock
from core.site_files import build_registry
from core.sites import Device, Site, SiteRegistry

HISTORY_CADENCE_S = 300.0
LIVE_CADENCE_S = 2.0
HISTORY = timedelta(hours=26)
_HOUR_MS = 3_600_000
Floats = NDArray[np.float64]

# Level of each quantity over the day, in the metric's unit (counters: its rate per hour).
_LEVELS: dict[tuple[str, str], float] = {
    ("grid_feed", "active_power_kw"): 12_800.0,
    ("generator", "active_power_kw"): 0.0,
    ("pdu_output", "active_power_kw"): 3_400.0,
    ("ups_output", "active_power_kw"): 3_600.0,
    ("ups_input", "active_power_kw"): 3_800.0,
    ("pv_array", "ac_power_kw"): 86.0,
    ("rain_tank", "tank_level_m"): 1.9,
    ("accelerator", "power_w"): 271.0,
    ("accelerator", "utilization_percent"): 71.0,
    ("mains_supply", "volume_m3"): 9.0,
    ("rain_used", "volume_m3"): 0.6,
    ("tank_top_up", "volume_m3"): 0.1,
    ("rain_collected", "volume_m3"): 0.4,
    ("rain_overflow", "volume_m3"): 0.0,
    ("rain_drain", "volume_m3"): 0.02,
    ("reclaimed_supply", "volume_m3"): 2.0,
    ("station", "rain_mm"): 0.01,
    ("pv_array", "poa_irradiance_w_per_m2"): 420.0,
}
_COUNTER_OF = {
    "active_energy_kwh": ("active_power_kw", 1.0),
    "ac_energy_kwh": ("ac_power_kw", 1.0),
    "energy_kwh": ("power_w", 1e-3),
}


def board_registry(sites_dir: Path, live_from: datetime) -> SiteRegistry:
    """The sites of a folder with the cadences of this history."""
    texts = {str(p): p.read_text(encoding="utf-8") for p in sorted(sites_dir.glob("*.toml"))}
    return SiteRegistry(
        replace(
            site,
            devices={
                device.id: _with_cadences(device, live_from) for device in site.devices.values()
            },
        )
        for site in build_registry(texts)
    )


def _with_cadences(device: Device, live_from: datetime) -> Device:
    before = tuple(replace(state, cadence_s=HISTORY_CADENCE_S) for state in device.states)
    live = replace(device.latest, cadence_s=LIVE_CADENCE_S, valid_from=live_from)
    return replace(device, states=(*before, live))


def write_history(
    store: TimeSeriesStore,
    records: RollupRecords,
    registry: SiteRegistry,
    live_from: datetime,
    *,
    gap: tuple[datetime, datetime] | None = None,
) -> None:
    """Write 26 hours before `live_from` and compute their intervals.

    Args:
        gap: A span without any reading of energy meters.
    """
    from analytics.recompute import recompute_period

    step_ms = round(HISTORY_CADENCE_S * 1000)
    end_ms = to_ms(live_from)
    start_ms = floor_interval_ms(end_ms - round(HISTORY.total_seconds() * 1000))
    time_ms = np.arange(start_ms, end_ms, step_ms, dtype=np.int64)
    for site in registry:
        for family in sorted({device.family for device in site.devices.values()}):
            times = time_ms
            if gap is not None and family == "energy":
                inside = (times >= to_ms(gap[0])) & (times < to_ms(gap[1]))
                times = times[~inside]
            store.write_readings([readings(site, family, times)])
        period = Period(from_ms(start_ms), from_ms(floor_interval_ms(end_ms) + INTERVAL_MS))
        recompute_period(store, records, site, period)


def write_hourly_figures(
    store: TimeSeriesStore, site: Site, live_from: datetime, *, days: int = 22
) -> None:
    """Stored hourly figures of the days before, as analytics keeps them; each day a little less."""
    rows = []
    end_ms = to_ms(live_from) // _HOUR_MS * _HOUR_MS
    for start_ms in range(end_ms - days * 24 * _HOUR_MS, end_ms, _HOUR_MS):
        factor = float(_shape(np.array([start_ms]))[0]) * (1.0 + (start_ms - end_ms) / 1e11)
        energies = {"facility_energy": 25_858.0 * factor, "it_energy": 20_400.0 * factor}
        values = {**energies, "pue": 1.2675 + 0.004 * math.sin(start_ms / 1.5e7)}
        document = b'{"verdict":"final","shares":{"estimated":0.0}}'
        rows += [
            ResultRow(site.id, "kpi", name, "site", "hour", start_ms, value, document)
            for name, value in values.items()
        ]
    store.write_results(rows)


def readings(
    site: Site, family: str, time_ms: NDArray[np.int64], *, scale: float = 1.0
) -> ReadingBlock:
    """Readings of all devices of a family at the same instants."""
    devices = site.in_family(family)
    count = len(time_ms)
    metrics = sorted({name for device in devices for name in device.metrics()})
    values = {name: np.full(count * len(devices), np.nan) for name in metrics}
    for position, device in enumerate(devices):
        rows = slice(position * count, (position + 1) * count)
        for metric in device.latest.metrics:
            values[metric][rows] = _values(device, metric, time_ms, scale)
    return ReadingBlock(
        site=site.id,
        family=family,
        devices=tuple(device.id for device in devices),
        device_index=np.repeat(np.arange(len(devices), dtype=np.int32), count),
        time_ms=np.tile(time_ms, len(devices)),
        quality=np.zeros(count * len(devices), dtype=np.int8),
        values=values,
    )


def _values(device: Device, metric: str, time_ms: NDArray[np.int64], scale: float) -> Floats:
    role = device.latest.role
    if metric in _COUNTER_OF:
        power, factor = _COUNTER_OF[metric]
        return 1_000.0 + _integral_h(time_ms) * _level(role, power) * factor
    if metric == "volume_m3":
        return 500.0 + _integral_h(time_ms) * _level(role, metric)
    return _shape(time_ms) * _level(role, metric) * scale


def _level(role: str, metric: str) -> float:
    return _LEVELS.get((role, metric), 10.0)


def _angle(time_ms: NDArray[np.int64]) -> Floats:
    # One sine a day, highest at 6:00 UTC: 15:00 in Seoul.
    return time_ms.astype(np.float64) / _HOUR_MS / 24.0 * 2.0 * math.pi


def _shape(time_ms: NDArray[np.int64]) -> Floats:
    return 1.0 + 0.06 * np.sin(_angle(time_ms))


def _integral_h(time_ms: NDArray[np.int64]) -> Floats:
    origin_h = 490_000.0  # late in 2025: counters stay small
    hours = time_ms.astype(np.float64) / _HOUR_MS - origin_h
    return hours - 0.06 * 24.0 / (2.0 * math.pi) * np.cos(_angle(time_ms))


def live_readings(
    site: Site, time_ms: int, *, scale: float = 1.0, silent: Sequence[str] = ()
) -> list[ReadingBlock]:
    """One reading of every device that is not silent."""
    blocks = []
    devices = {name: device for name, device in site.devices.items() if name not in set(silent)}
    present = replace(site, devices=devices)
    for family in sorted({device.family for device in devices.values()}):
        instant = np.array([time_ms], dtype=np.int64)
        blocks.append(readings(present, family, instant, scale=scale))
    return blocks
