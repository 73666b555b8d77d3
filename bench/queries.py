"""Questions to a filled store: one series for a day and a month, KPIs of a day and a month."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from core.periods import Period
from core.ports import TimeSeriesStore
from core.samples import ReadingBlock
from core.site_files import build_registry
from sims.demo_sites import render_demo_site
from tests.services.influxd import InfluxdServer

_DAYS = 31
_CADENCE_S = 300
_REPEATS = 7
_SITE_FILE = Path(__file__).parents[1] / "config" / "sites" / "kakao-ansan.toml"


def run(folder: Path, rounds: int) -> None:
    """Print a table: question, embedded, InfluxDB; medians in milliseconds."""
    from analytics.kpis import compute_kpis
    from analytics.recompute import recompute_period
    from storage.embedded.store import EmbeddedStore
    from storage.influx.store import InfluxStore
    from storage.records.store import Records

    end = datetime(2026, 11, 1, tzinfo=UTC)
    text = render_demo_site(
        _SITE_FILE.read_text(encoding="utf-8"),
        history_cadence_s=_CADENCE_S,
        demo_start=end,
        live_cadence_s=_CADENCE_S,
    )
    site = next(iter(build_registry({"site": text})))
    influxd = InfluxdServer(folder / "influxd", own_process=True).start()
    embedded = EmbeddedStore(folder / "embedded", 0, role="all")
    influx = InfluxStore(
        url=influxd.url, org=influxd.org, bucket="bench", token=influxd.token, raw_days=0
    )
    influx.prepare()
    month = Period(end - timedelta(days=_DAYS), end)
    day = Period(end - timedelta(days=1), end)
    stores: list[tuple[str, TimeSeriesStore, Records]] = []
    try:
        for name, store in (("embedded", embedded), ("InfluxDB", influx)):
            records = Records.open(f"sqlite:///{folder / name}.sqlite")
            _fill(store, site, month)
            recompute_period(store, records, site, month)
            stores.append((name, store, records))
        questions: list[tuple[str, Callable[[TimeSeriesStore, Records], object]]] = [
            (
                f"samples of one series, {label}",
                lambda s, _r, p=period: s.read_samples(
                    site.id, "energy", p, devices=["grid-a"], metrics=["active_power_kw"]
                ),
            )
            for label, period in (("day", day), ("month", month))
        ]
        questions += [
            (
                f"intervals of the site, {label}",
                lambda s, _r, p=period: s.read_intervals(site.id, p),
            )
            for label, period in (("day", day), ("month", month))
        ]
        questions += [
            (
                f"all KPIs of the site, {label}",
                lambda s, r, p=period: compute_kpis(s, r, site, p, now=end),
            )
            for label, period in (("day", day), ("month", month))
        ]
        questions.append(("latest values of the site", lambda s, _r: s.read_latest(site.id)))
        print(f"{'question':<36} {'embedded ms':>12} {'InfluxDB ms':>12} {'ratio':>6}")
        for text, ask in questions:
            times = [_median_ms(lambda s=s, r=r, ask=ask: ask(s, r)) for _, s, r in stores]
            print(f"{text:<36} {times[0]:>12.1f} {times[1]:>12.1f} {times[1] / times[0]:>5.1f}x")
    finally:
        for _, _, records in stores:
            records.close()
        embedded.close()
        influx.close()
        influxd.stop()


def _median_ms(ask: Callable[[], object]) -> float:
    ask()
    times = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        ask()
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


def _fill(store: TimeSeriesStore, site: object, period: Period) -> None:
    generator = np.random.default_rng(1)
    times = np.arange(period.start_ms, period.end_ms, _CADENCE_S * 1000, dtype=np.int64)
    hours = (times - times[0]) / 3_600_000
    for device in site.devices.values():  # type: ignore[attr-defined]
        values = {}
        for name in sorted(device.metrics()):
            level = 100.0 + 10.0 * generator.random(len(times))
            is_total = name.endswith(("energy_kwh", "volume_m3"))
            values[name] = 100.0 * hours if is_total else level
        block = ReadingBlock(
            site=site.id,  # type: ignore[attr-defined]
            family=device.family,
            devices=(device.id,),
            device_index=np.zeros(len(times), dtype=np.int32),
            time_ms=times,
            quality=np.zeros(len(times), dtype=np.int8),
            values=values,
        )
        store.write_readings([block])
