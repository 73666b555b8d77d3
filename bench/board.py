"""What the charts of the board ask of a store that holds 60 days of a site."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from core.intervals import IntervalBlock
from core.kpis import KPIS, Coverages, KpiValue
from core.metrics import CATALOGUE, MetricKind
from core.periods import INTERVAL_MS, Period, from_ms
from core.ports import ResultRow, TimeSeriesStore
from core.quality import Shares, Verdict
from core.samples import ReadingBlock, SeriesKey
from core.site_files import build_registry
from core.sites import Site
from tests.services.influxd import InfluxdServer

_DAYS = 60
_DAYS_OF_MANY = 7
_REPEATS = 20
_TARGET_MS = 60.0
_MOST_POINTS = 2000
_SITE_FILE = Path(__file__).parents[1] / "config" / "sites" / "kakao-ansan.toml"
_END = datetime(2026, 11, 1, tzinfo=UTC)
_QUARTERS = ("facility_energy", "it_energy", "pue")
_HOUR_MS = 4 * INTERVAL_MS
_RESOLUTIONS = {"15m": INTERVAL_MS, "hour": _HOUR_MS, "day": 24 * _HOUR_MS}

# A question's answer and the points that it holds.
Ask = Callable[[TimeSeriesStore], int]


def run(folder: Path, rounds: int) -> None:
    """Print a table: question, points, p50 and p95 of both stores in milliseconds."""
    from storage.embedded.store import EmbeddedStore
    from storage.influx.store import InfluxStore

    site = next(iter(build_registry({"site": _SITE_FILE.read_text(encoding="utf-8")})))
    influxd = InfluxdServer(folder / "influxd", own_process=True).start()
    embedded = EmbeddedStore(folder / "embedded", 0, role="all")
    influx = InfluxStore(
        url=influxd.url, org=influxd.org, bucket="bench", token=influxd.token, raw_days=0
    )
    influx.prepare()
    try:
        for store in (embedded, influx):
            fill(store, site)
        print(f"{site.id}: {len(site.devices)} devices, {_DAYS} days; p50 / p95 of {_REPEATS}, ms")
        print(f"{'question':<46} {'points':>7} {'embedded':>15} {'InfluxDB':>15}")
        for text, ask in questions(site):
            told = []
            points = 0
            for store in (embedded, influx):
                points, times = _times(store, ask)
                p50, p95 = statistics.median(times), times[int(0.95 * (len(times) - 1))]
                mark = "" if p95 <= _TARGET_MS else " !"
                told.append(f"{p50:6.1f} / {p95:5.1f}{mark}")
            print(f"{text:<46} {points:>7} {told[0]:>15} {told[1]:>15}", flush=True)
        print(f"! more than {_TARGET_MS:.0f} ms; at most {_MOST_POINTS} points go into a trace")
    finally:
        embedded.close()
        influx.close()
        influxd.stop()


def questions(site: Site) -> Iterator[tuple[str, Ask]]:
    """What the board asks, by chart."""

    def results(text: str, days: int, resolution: str, *names: str) -> tuple[str, Ask]:
        period = Period(_END - timedelta(days=days), _END)

        def ask(store: TimeSeriesStore) -> int:
            rows = store.read_results(
                site.id, "kpi", period, names=names, resolution=resolution, subject="site"
            )
            return len(rows)

        return text, ask

    def intervals(text: str, days: int, **more: Sequence[str] | str) -> tuple[str, Ask]:
        period = Period(_END - timedelta(days=days), _END)

        def ask(store: TimeSeriesStore) -> int:
            blocks = store.read_intervals(site.id, period, **more)  # type: ignore[arg-type]
            return sum(len(block) for block in blocks)

        return text, ask

    yield results("PUE of a day, 15 min", 1, "15m", "pue")
    yield results("facility and IT energy of a day, 15 min", 1, "15m", *_QUARTERS[:2])
    yield results("PUE of a week, 15 min", 7, "15m", "pue")
    yield results("facility and IT energy of a week, hours", 7, "hour", *_QUARTERS[:2])
    yield results("PUE of a month, hours", 30, "hour", "pue")
    yield results("PUE of 60 days, days", 60, "day", "pue")
    yield intervals("one feed, a day", 1, devices=["grid-a"], metrics=["active_power_kw"])
    yield intervals("one feed, a week", 7, devices=["grid-a"], metrics=["active_power_kw"])
    arrays = [device.id for device in site.with_role("pv_array")]
    yield intervals("solar by array, a week", 7, devices=arrays, metrics=["ac_energy_kwh"])
    yield intervals(
        "power of all accelerators, a day", 1, family="accelerator", metrics=["power_w"]
    )
    yield intervals("every series of the site, a day", 1)
    yield "latest values of the site", lambda store: len(store.read_latest(site.id))


def fill(store: TimeSeriesStore, site: Site) -> None:
    """60 days of figures and of the main meters' intervals, a week of all, a quarter of raw."""
    chance = np.random.default_rng(1)
    start_ms = Period(_END - timedelta(days=_DAYS), _END).start_ms
    for device in site.devices.values():
        # No chart asks for more than a week of all of the many alike.
        days = _DAYS if device.latest.role in {"grid_feed", "pv_array"} else _DAYS_OF_MANY
        starts = start_ms + INTERVAL_MS * np.arange(96 * (_DAYS - days), 96 * _DAYS, dtype=np.int64)
        nothing, zeros = np.full(len(starts), np.nan), np.zeros(len(starts))
        blocks = []
        for name in sorted(device.metrics()):
            is_gauge = CATALOGUE[device.family, name].kind is MetricKind.GAUGE
            level = 100.0 + 10.0 * chance.random(len(starts))
            blocks.append(
                IntervalBlock(
                    SeriesKey(site.id, device.family, device.id, name),
                    starts,
                    np.full(len(starts), 90, dtype=np.int32),
                    level - 1.0 if is_gauge else nothing,
                    level + 1.0 if is_gauge else nothing,
                    level if is_gauge else nothing,
                    level / 4.0,
                    np.full(len(starts), 900.0),
                    *(zeros, zeros, zeros, zeros),
                )
            )
        store.write_intervals(blocks)
        times = _END.timestamp() * 1000 - 10_000 * np.arange(90, 0, -1)
        store.write_readings(
            [
                ReadingBlock(
                    site=site.id,
                    family=device.family,
                    devices=(device.id,),
                    device_index=np.zeros(len(times), dtype=np.int32),
                    time_ms=times.astype(np.int64),
                    quality=np.zeros(len(times), dtype=np.int8),
                    values={name: 50.0 + chance.random(len(times)) for name in device.metrics()},
                )
            ]
        )
    for resolution, length_ms in _RESOLUTIONS.items():
        kpis = _QUARTERS if resolution == "15m" else tuple(KPIS)
        count = _DAYS * 24 * _HOUR_MS // length_ms
        for kpi in kpis:
            places = [start_ms + length_ms * at for at in range(count)]
            store.write_results([_row(site, kpi, resolution, at, length_ms) for at in places])


def _row(site: Site, kpi: str, resolution: str, start_ms: int, length_ms: int) -> ResultRow:
    from analytics.results import result_row

    value = KpiValue(
        kpi=kpi,
        subject="site",
        start=from_ms(start_ms),
        end=from_ms(start_ms + length_ms),
        interim=True,
        value=1.2 + (start_ms // length_ms % 97) / 1000.0,
        unit=KPIS[kpi].unit,
        verdict=Verdict.FINAL,
        reason="",
        category=2,
        coverage=Coverages(1.0, 1.0),
        shares=Shares(simulated=1.0),
        formula_version=f"{kpi}/1",
        uncertainty=0.01,
        series=("grid-a/active_energy_kwh", "grid-b/active_energy_kwh"),
        parts={"facility_energy_kwh": 1.0, "it_energy_kwh": 1.0},
    )
    return result_row(site, resolution, value)  # type: ignore[arg-type]


def _times(store: TimeSeriesStore, ask: Ask) -> tuple[int, list[float]]:
    points = ask(store)
    times = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        ask(store)
        times.append((time.perf_counter() - started) * 1000.0)
    return points, sorted(times)
