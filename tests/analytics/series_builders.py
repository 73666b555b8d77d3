"""Short ways to write devices and samples in tests of analytics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from analytics.spans import Grid, Timeline
from core.periods import INTERVAL_MS, to_ms
from core.quality import Gate
from core.samples import SampleSeries, SeriesKey
from core.sites import Device, DeviceState, RainSystem, Site
from core.supply_contracts import SupplyContract
from core.text import Text

# A quarter of an hour on the grid, and midnight in Seoul.
START = datetime(2026, 10, 31, 15, tzinfo=UTC)
START_MS = to_ms(START)
SEOUL = ZoneInfo("Asia/Seoul")
FIRST = datetime(2020, 1, 1, tzinfo=UTC)

METRICS = {
    "energy": ("active_power_kw", "active_energy_kwh"),
    "water": ("volume_m3",),
    "solar": ("ac_power_kw", "ac_energy_kwh"),
    "accelerator": ("power_w", "energy_kwh"),
    "weather": ("rain_mm",),
}
FAMILY = {
    "grid_feed": "energy",
    "generator": "energy",
    "ups_output": "energy",
    "pdu_output": "energy",
    "it_input": "energy",
    "pv_array": "solar",
    "accelerator": "accelerator",
    "node": "accelerator",
    "cluster_total": "accelerator",
    "station": "weather",
}


def make_state(role: str, cadence_s: float = 60.0, **more: object) -> DeviceState:
    family = FAMILY.get(role, "water")
    arguments: dict[str, object] = {
        "valid_from": FIRST,
        "family": family,
        "metrics": METRICS[family],
        **more,
    }
    return DeviceState(role=role, cadence_s=cadence_s, **arguments)  # type: ignore[arg-type]


def make_device(
    device_id: str, role: str, cadence_s: float = 60.0, group: str = "", **more: object
) -> Device:
    return Device(device_id, (make_state(role, cadence_s, **more),), group)


def make_site(
    *devices: Device,
    data: str = "measured",
    zone: ZoneInfo = SEOUL,
    category: int = 2,
    rain: RainSystem | None = None,
    gate: Gate | None = None,
    supply_contracts: tuple[SupplyContract, ...] = (),
) -> Site:
    return Site(
        id="site-a",
        name=Text("가", "A"),
        operator="",
        status="operating",
        data=data,
        zone=zone,
        latitude=37.0,
        longitude=127.0,
        place=None,
        late_window_days=35,
        pue_category=category,
        gate=gate or Gate(),
        rain=rain,
        supply_contracts=supply_contracts,
        devices={device.id: device for device in devices},
    )


def key_of(device: Device, metric: str) -> SeriesKey:
    return SeriesKey("site-a", device.family, device.id, metric)


def series_of(
    device: Device, metric: str, rows: Iterable[Sequence[float]], start_ms: int = START_MS
) -> SampleSeries:
    """Rows are (seconds after start, value) or (seconds, value, quality)."""
    table = sorted((start_ms + round(row[0] * 1000), *row[1:]) for row in rows)
    return SampleSeries(
        key_of(device, metric),
        np.array([row[0] for row in table], dtype=np.int64),
        np.array([row[1] for row in table], dtype=np.float64),
        np.array([row[2] if len(row) > 2 else 0 for row in table], dtype=np.int8),
    )


def grid_of(intervals: int, start_ms: int = START_MS) -> Grid:
    return Grid(start_ms, intervals)


def timeline_of(device: Device) -> Timeline:
    return Timeline.of(device)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


INTERVAL_S = INTERVAL_MS // 1000
