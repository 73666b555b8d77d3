"""Reading back: a million rows against the client's own parser, and means made by the server.

100 series of accelerators (20 devices, five metrics each) every ten seconds for 30 days.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from influxdb_client import InfluxDBClient

from bench import processes
from core.periods import INTERVAL_MS, Period
from core.samples import ReadingBlock
from storage.influx.store import InfluxStore
from tests.services.influxd import InfluxdServer

_DAYS = 30
_DEVICES = 20
_METRICS = (
    "power_w",
    "energy_kwh",
    "utilization_percent",
    "temperature_c",
    "memory_used_gib",
)
_CADENCE_MS = 10_000
_END = datetime(2026, 11, 1, tzinfo=UTC)
_PLACE = ("bench-dc", "accelerator")


def run(folder: Path, rounds: int) -> None:
    """Print CPU and wall of each question."""
    influxd = InfluxdServer(folder / "influxd", own_process=True).start()
    store = InfluxStore(influxd.url, influxd.org, "bench", influxd.token, 0, timeout_s=300)
    client = InfluxDBClient(influxd.url, influxd.token, org=influxd.org, timeout=600_000)
    try:
        _fill(store)
        pid = influxd._process.pid
        day = Period(_END - timedelta(days=1), _END)
        month = Period(_END - timedelta(days=_DAYS), _END)
        flux = "from(bucket: b) |> range(start: t0, stop: t1) |> filter(fn: (r) => r.site == s)"
        place = {"b": "bench_raw", "s": _PLACE[0], "t0": day.start, "t1": day.end}

        def ours() -> int:
            return sum(len(series) for series in store.read_samples(*_PLACE, day))

        def theirs() -> int:
            return len(client.query_api().query_data_frame(flux, params=place))

        def means() -> int:
            found = store.read_means(*_PLACE, month, INTERVAL_MS)
            return sum(len(times) for times, _ in found.values())

        pairs = [(_ask(ours, pid), _ask(theirs, pid)) for _ in range(rounds)]
        rows = pairs[0][0][0]
        mid = statistics.median
        print(
            f"calibration {processes.calibrate():.1f} us; CPU seconds of the client, wall seconds"
        )
        for place_in, name in enumerate(("read_samples", "query_data_frame")):
            cpu = mid(pair[place_in][1] for pair in pairs)
            wall = mid(pair[place_in][2] for pair in pairs)
            print(f"{rows:,} rows, {name}: {cpu:.2f}, {wall:.2f}")
        ratios = [b[1] / a[1] for a, b in pairs]
        walls = [b[2] / a[2] for a, b in pairs]
        print(
            f"ratio of CPU {mid(ratios):.1f}x ({min(ratios):.1f}-{max(ratios):.1f}), "
            f"of wall {mid(walls):.1f}x ({min(walls):.1f}-{max(walls):.1f})"
        )
        asked = [_ask(means, pid) for _ in range(max(rounds, 3))]
        print(
            f"15-minute means of {_DEVICES * len(_METRICS)} series over {_DAYS} days, "
            f"{asked[0][0]:,} rows: wall {min(one[2] for one in asked):.2f} s (best), "
            f"{mid(one[2] for one in asked):.2f} s (median), client CPU "
            f"{mid(one[1] for one in asked):.2f} s, InfluxDB CPU "
            f"{mid(one[3] for one in asked):.2f} s"
        )
    finally:
        client.close()
        store.close()
        influxd.stop()


def _ask(question: Callable[[], int], pid: int) -> tuple[int, float, float, float]:
    """Rows, CPU of this process, wall, CPU of the server."""
    server, cpu, wall = processes.cpu_seconds(pid), time.process_time(), time.perf_counter()
    rows = question()
    return (
        rows,
        time.process_time() - cpu,
        time.perf_counter() - wall,
        processes.cpu_seconds(pid) - server,
    )


def _fill(store: InfluxStore) -> None:
    chance = np.random.default_rng(1)
    names = tuple(f"accel-{number:03d}" for number in range(_DEVICES))
    per_day = 86_400_000 // _CADENCE_MS
    index = np.repeat(np.arange(_DEVICES, dtype=np.int32), per_day)
    for back in range(_DAYS, 0, -1):
        begin_ms = Period(_END - timedelta(days=back), _END).start_ms
        times = np.tile(begin_ms + _CADENCE_MS * np.arange(per_day, dtype=np.int64), _DEVICES)
        values = {
            name: np.round(50.0 + np.cumsum(chance.normal(0, 0.01, len(times))), 1)
            for name in _METRICS
        }
        quality = np.zeros(len(times), np.int8)
        store.write_readings([ReadingBlock(*_PLACE, names, index, times, quality, values)])
