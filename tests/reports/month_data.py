"""A month of intervals of a real site file, from closed formulas: no random numbers, no clock.

Everything adds up as at a real site: IT under UPS under the feeds, cooling beside it, a rain tank
whose balance closes but for 1 m3 a month.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from core.events import SeriesEvent
from core.intervals import IntervalBlock
from core.periods import INTERVAL_MS, Period, local_month
from core.ports import ResultRow
from core.samples import Floats, SeriesKey
from core.site_files import build_registry
from core.sites import Device, Site
from tests.analytics.memory_store import MemoryRecords, MemoryStore

SITES = Path(__file__).resolve().parents[2] / "config" / "sites"
MONTH = "2026-10"
NOW = datetime(2026, 11, 26, 3, 0, tzinfo=UTC)
SEOUL = ZoneInfo("Asia/Seoul")
_QUARTERS_A_DAY = 96


def read_site(name: str = "kakao-ansan", replace: Mapping[str, str] | None = None) -> Site:
    """A site of the repository, its text changed first where asked."""
    path = SITES / f"{name}.toml"
    text = path.read_text(encoding="utf-8")
    for old, new in (replace or {}).items():
        assert old in text, old
        text = text.replace(old, new)
    return next(iter(build_registry({str(path): text})))


def cut(block: IntervalBlock, period: Period) -> IntervalBlock:
    """Only the intervals that start in the period."""
    kept = (block.start_ms >= period.start_ms) & (block.start_ms < period.end_ms)
    columns = {f.name: getattr(block, f.name)[kept] for f in fields(block) if f.name != "key"}
    return IntervalBlock(block.key, **columns)


class MonthStore(MemoryStore):
    """Whole blocks instead of rows, and results that are given back."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks: dict[SeriesKey, IntervalBlock] = {}

    def write_intervals(self, blocks: Sequence[IntervalBlock]) -> None:
        self.blocks.update((block.key, block) for block in blocks)

    def read_intervals(
        self,
        site: str,
        period: Period,
        *,
        family: str | None = None,
        devices: Sequence[str] | None = None,
        metrics: Sequence[str] | None = None,
    ) -> list[IntervalBlock]:
        found = []
        for key in sorted(self.blocks):
            if key.site != site or (family is not None and key.family != family):
                continue
            if (devices is None or key.device in devices) and (
                metrics is None or key.metric in metrics
            ):
                found.append(cut(self.blocks[key], period))
        return [block for block in found if len(block)]

    def read_results(
        self,
        site: str,
        kind: str,
        period: Period,
        *,
        names: Sequence[str] | None = None,
        resolution: str | None = None,
        subject: str | None = None,
    ) -> list[ResultRow]:
        found = [
            row
            for row in self.results.values()
            if (row.site, row.kind) == (site, kind)
            and period.start_ms <= row.start_ms < period.end_ms
            and (names is None or row.name in names)
            and resolution in (None, row.resolution)
            and subject in (None, row.subject)
        ]
        return sorted(found, key=lambda r: (r.name, r.subject, r.resolution, r.start_ms))


class MonthData:
    """Intervals and events of one month, to be spoilt by a test before they are read."""

    def __init__(self, site: Site, month: str = MONTH) -> None:
        self.site = site
        year, number = (int(part) for part in month.split("-"))
        self.period = local_month(year, number, site.zone)
        self.store, self.records = MonthStore(), MemoryRecords()
        self.start_ms = self.period.start_ms
        self.count = (self.period.end_ms - self.period.start_ms) // INTERVAL_MS
        self.columns: dict[tuple[str, str], tuple[Floats, Floats, Floats]] = {}
        for device in site.devices.values():
            for metric in device.metrics():
                amount, mean = self._amounts(device, metric)
                if amount is not None:
                    self.columns[(device.id, metric)] = (
                        amount,
                        mean,
                        np.full(self.count, 900.0),
                    )

    # ------------------------------------------------------------ spoiling

    def lose(self, device: str, first: int, last: int) -> None:
        """Nothing of this device in the intervals [first, last)."""
        for (name, _), (amount, mean, covered) in self.columns.items():
            if name == device:
                amount[first:last] = 0.0
                mean[first:last] = np.nan
                covered[first:last] = 0.0

    def scale(self, device: str, factor: float) -> None:
        """Another factor on every amount of this device."""
        for (name, _), (amount, _mean, _covered) in self.columns.items():
            if name == device:
                np.multiply(amount, factor, out=amount)

    def bridge(self, device: str, metric: str, first: int, last: int) -> None:
        """A silence of a counter whose two ends are known."""
        amount, _mean, covered = self.columns[(device, metric)]
        covered[first:last] = 0.0
        key = self._key(device, metric)
        start, end = (self.start_ms + at * INTERVAL_MS for at in (first, last))
        total = float(amount[first:last].sum())
        self.records.events.append(
            SeriesEvent(key, "counter_gap", start, end, 1000.0, 1000.0 + total, total)
        )

    def note(self, device: str, metric: str, kind: str, at: int) -> None:
        """An event of this kind between two intervals."""
        start = self.start_ms + at * INTERVAL_MS
        key = self._key(device, metric)
        self.records.events.append(SeriesEvent(key, kind, start, start + 60_000, 900.0, 10.0, 0.0))

    def write(self) -> tuple[MonthStore, MemoryRecords]:
        """Put everything into the stores."""
        gaps = {
            (
                event.key.device,
                event.key.metric,
                (event.start_ms - self.start_ms) // INTERVAL_MS,
                (event.end_ms - self.start_ms) // INTERVAL_MS,
            )
            for event in self.records.events
            if event.kind == "counter_gap"
        }
        for (device, metric), (amount, mean, covered) in self.columns.items():
            estimated_s = np.zeros(self.count)
            for of_device, of_metric, first, last in gaps:
                if (of_device, of_metric) == (device, metric):
                    estimated_s[first:last] = 900.0
            kept = (covered > 0.0) | (estimated_s > 0.0)
            blank = np.full(self.count, np.nan)
            zero = np.zeros(self.count)
            block = IntervalBlock(
                self._key(device, metric),
                (self.start_ms + INTERVAL_MS * np.arange(self.count, dtype=np.int64))[kept],
                np.full(self.count, 15, dtype=np.int32)[kept],
                blank[kept],
                blank[kept],
                mean[kept],
                amount[kept],
                covered[kept],
                estimated_s[kept],
                np.where(estimated_s > 0.0, amount, 0.0)[kept],
                zero[kept],
                zero[kept],
            )
            self.store.write_intervals([block])
        return self.store, self.records

    # ------------------------------------------------------------ the world

    def _key(self, device: str, metric: str) -> SeriesKey:
        return SeriesKey(self.site.id, self.site.devices[device].family, device, metric)

    def _wave(self, phase: float = 0.0) -> Floats:
        """-1..1 over the day, a little stronger in some days than in others."""
        quarter = np.arange(self.count)
        day = quarter / _QUARTERS_A_DAY
        return np.sin(2 * np.pi * (day - 0.375 + phase)) * (0.8 + 0.2 * np.sin(day / 3.0))

    def _it_kw(self) -> Floats:
        return 20_000.0 + 900.0 * self._wave() + 12.0 * np.arange(self.count) / _QUARTERS_A_DAY

    def _cooling_kw(self) -> Floats:
        day = np.arange(self.count) / _QUARTERS_A_DAY
        return 4_300.0 + 500.0 * self._wave(0.05) - 25.0 * day + 160.0 * np.sin(day * 1.7)

    def _sun(self) -> Floats:
        """0..1."""
        return np.maximum(self._wave(0.125), 0.0)

    def _power_kw(self, device: Device) -> Floats | None:
        site, role = self.site, device.latest.role
        it, cooling = self._it_kw(), self._cooling_kw()
        alike = len([d for d in site.devices.values() if d.latest.role == role])
        total = it / 0.955 + cooling + 260.0 + 120.0
        sun = sum((self._pv_kw(d) for d in site.with_role("pv_array")), np.zeros(self.count))
        shares: dict[str, Callable[[], Floats]] = {
            "pdu_output": lambda: it / alike,
            "it_input": lambda: it * 0.99 / alike,
            "ups_output": lambda: it * 1.005 / alike,
            "ups_input": lambda: it / 0.955 / alike,
            "chiller": lambda: cooling * 0.6 / alike,
            "pump": lambda: cooling * 0.15 / alike,
            "tower_fan": lambda: cooling * 0.05 / alike,
            "air_handling": lambda: cooling * 0.2 / alike,
            "lighting": lambda: np.full(self.count, 260.0 / alike),
            "distribution": lambda: np.full(self.count, 120.0 / alike),
            "generator": lambda: np.zeros(self.count),
            "grid_feed": lambda: (total - sun) / alike,
        }
        made = shares.get(role)
        return made() if made is not None else None

    def _pv_kw(self, device: Device) -> Floats:
        rated = device.latest.rated_kwp or 0.0
        facing = {"roof": 1.0}.get(device.latest.surface, 0.62)
        return rated * 0.72 * facing * self._sun() - 0.05

    def _flow_m3(self, device: Device) -> Floats | None:
        quarter = np.arange(self.count)
        rain = np.where((quarter // 96) % 6 == 2, 0.5, 0.0)
        flat = np.ones(self.count)
        amounts = {
            "mains_supply": 2.9 * flat + 0.4 * self._wave(),
            "reclaimed_supply": 0.3 * flat,
            "groundwater_supply": 0.2 * flat,
            "cooling_tower_make_up": 2.8 * flat,
            "blowdown": 0.6 * flat,
            "rain_collected": rain,
            "rain_used": 0.05 * flat,
            "rain_overflow": rain * 0.1,
            "rain_drain": 0.002 * flat,
            "tank_top_up": 0.005 * flat,
        }
        return amounts.get(device.latest.role)

    def _amounts(self, device: Device, metric: str) -> tuple[Floats | None, Floats]:
        blank = np.full(self.count, np.nan)
        if metric in {"active_energy_kwh", "active_power_kw"}:
            power = self._power_kw(device)
            return (None, blank) if power is None else (power / 4.0, power)
        if metric in {"ac_energy_kwh", "ac_power_kw"}:
            power = self._pv_kw(device)
            return power / 4.0, power
        if metric == "poa_irradiance_w_per_m2":
            light = 870.0 * {"roof": 1.0}.get(device.latest.surface, 0.62) * self._sun()
            return light / 4.0, light
        if metric in {"volume_m3", "flow_m3_per_h"}:
            flow = self._flow_m3(device)
            return (None, blank) if flow is None else (flow.copy(), flow * 4.0)
        if metric == "tank_level_m":
            level = 1.0 + 0.75 * np.arange(self.count) / self.count
            return level / 4.0, level
        if metric in {"energy_kwh", "power_w"}:
            watts = (device.latest.rated_w or 500.0) * (0.6 + 0.2 * self._wave())
            watts = watts * (device.latest.count or 1)
            return watts / 4000.0, watts
        if metric == "rain_mm":
            day = (np.arange(self.count) // 96) % 6 == 2
            return np.where(day, 0.1, 0.0), blank
        if metric == "temperature_c":
            return (15.0 + 6.0 * self._wave()) / 4.0, 15.0 + 6.0 * self._wave()
        return None, blank
