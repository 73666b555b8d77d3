"""The ingester against the plain Python pipeline: same broker, same InfluxDB, same readings.

Points a CPU-second of the ingesting process, from the first publish to the last point in the store,
in interleaved pairs; the ratio of each pair, its median and spread. Our side is durable before it
acknowledges; the baseline acknowledges on receipt and keeps nothing on disk.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from influxdb_client import InfluxDBClient

from bench import load, processes
from core.periods import from_ms
from core.site_files import build_registry
from greendc.local_broker import LocalBroker, start_local_broker
from tests.services.influxd import InfluxdServer

SHAPES = {1: 20_000, 50: 200_000, 500: 400_000}
_WARM_UP = 0.1


@dataclass(frozen=True, slots=True)
class Measurement:
    """One run of one pipeline."""

    points_per_cpu_s: float
    points_per_s: float
    influx_us: float
    broker_us: float
    resident_mib: float


class Bench:
    """Broker, store and working folder shared by all runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        registry = build_registry({"bench": load.SITE_FILE})
        (folder / "sites").mkdir(parents=True, exist_ok=True)
        (folder / "sites" / "bench-dc.toml").write_text(load.SITE_FILE, encoding="utf-8")
        self.broker: LocalBroker = start_local_broker(registry, folder / "broker")
        self.influxd = InfluxdServer(folder / "influxd", own_process=True).start()
        self.client = InfluxDBClient(
            url=self.influxd.url, token=self.influxd.token, org=self.influxd.org, timeout=120_000
        )
        self._runs = 0

    def close(self) -> None:
        """End the services."""
        self.client.close()
        self.influxd.stop()
        self.broker.stop()

    def run(self, pipeline: str, per_message: int, readings: int) -> Measurement:
        """Publish one load to one pipeline and measure it."""
        self._runs += 1
        bucket = f"run{self._runs}"
        now_ms = int(time.time()) * 1000
        start_ms = now_ms - 86_400_000 - readings // load.DEVICES * 1000
        whole = load.build_load(readings, per_message, start_ms=start_ms)
        cut = max(1, int(len(whole.messages) * _WARM_UP))
        warm = load.Load(whole.messages[:cut], 0, 0)
        rest = load.Load(whole.messages[cut:], 0, 0)
        process = self._start(pipeline, bucket)
        try:
            account = self.broker.connection(load.SITE)
            load.publish(account, warm)
            self._wait_stored(pipeline, bucket, start_ms, min(readings, cut * per_message))
            pids = [process.pid, self.influxd._process.pid, self._broker_pid()]
            before = [processes.cpu_seconds(pid) for pid in pids]
            started = time.perf_counter()
            load.publish(account, rest)
            self._wait_stored(pipeline, bucket, start_ms, readings)
            seconds = time.perf_counter() - started
            used = [processes.cpu_seconds(pid) - b for pid, b in zip(pids, before, strict=True)]
            self._check(pipeline, bucket, start_ms, whole)
            points = readings - cut * per_message
            return Measurement(
                points / max(used[0], 0.01),
                points / seconds,
                used[1] / points * 1e6,
                used[2] / points * 1e6,
                processes.resident_mib(process.pid),
            )
        finally:
            processes.end(process)

    def start_greendc(self) -> tuple[str, subprocess.Popen[bytes]]:
        """Start our ingester on a bucket of its own: the bucket's prefix, the process."""
        self._runs += 1
        bucket = f"run{self._runs}"
        return bucket, self._start("greendc", bucket)

    def values(self, bucket: str, start_ms: int) -> list[float]:
        """Every stored value from a time on."""
        flux = (
            "from(bucket: bucket) |> range(start: start, stop: 2100-01-01T00:00:00Z)\n"
            ' |> filter(fn: (r) => r._field == "active_power_kw") |> keep(columns: ["_value"])'
        )
        tables = self.client.query_api().query(
            flux, params={"bucket": f"{bucket}_raw", "start": from_ms(start_ms)}
        )
        return [float(record.get_value()) for table in tables for record in table.records]

    def _broker_pid(self) -> int:
        return self.broker._process.pid  # type: ignore[attr-defined]

    def _start(self, pipeline: str, bucket: str) -> subprocess.Popen[bytes]:
        connection = self.broker.connection()
        log = self.folder / f"{bucket}-{pipeline}.log"
        if pipeline == "plain":
            self.client.buckets_api().create_bucket(bucket_name=f"{bucket}_raw", org="greendc")
            command = [
                sys.executable,
                "-m",
                "bench.plain_pipeline",
                connection.host,
                str(connection.port),
                connection.username,
                connection.password,
                self.influxd.url,
                self.influxd.org,
                self.influxd.token,
                f"{bucket}_raw",
            ]
            process = processes.start(command, log, {})
            processes.wait_for(lambda: b"subscribed" in log.read_bytes(), "plain subscribed")
            return process
        environment = {
            "GREENDC_DATA_DIR": str(self.folder / bucket),
            "GREENDC_SITES_DIR": str(self.folder / "sites"),
            "GREENDC_MQTT__URL": connection.url,
            "GREENDC_MQTT__USERNAME": connection.username,
            "GREENDC_MQTT__PASSWORD": connection.password,
            "GREENDC_MQTT__CLIENT_ID": f"greendc-{bucket}",
            "GREENDC_TIMESERIES__URL": self.influxd.url,
            "GREENDC_TIMESERIES__ORG": self.influxd.org,
            "GREENDC_TIMESERIES__TOKEN": self.influxd.token,
            "GREENDC_TIMESERIES__BUCKET": bucket,
            "GREENDC_TIMESERIES__RAW_DAYS": "0",
            "GREENDC_HEALTH__PORT": "0",
            "GREENDC_LOG__FORMAT": "text",
        }
        process = processes.start([sys.executable, "-m", "greendc", "ingest"], log, environment)
        processes.wait_for(lambda: b"subscribed" in log.read_bytes(), "greendc subscribed")
        return process

    def _count(self, bucket: str, start_ms: int) -> tuple[int, float]:
        flux = (
            "data = from(bucket: bucket) |> range(start: start, stop: 2100-01-01T00:00:00Z)\n"
            ' |> filter(fn: (r) => r._field == "active_power_kw")\n'
            'data |> count() |> group() |> sum() |> yield(name: "count")\n'
            'data |> sum() |> group() |> sum() |> yield(name: "sum")\n'
        )
        start = from_ms(start_ms)
        found = {"count": 0.0, "sum": 0.0}
        tables = self.client.query_api().query(
            flux, params={"bucket": f"{bucket}_raw", "start": start}
        )
        for table in tables:
            for record in table.records:
                found[record.values["result"]] = float(record.get_value())
        return int(found["count"]), found["sum"]

    def _wait_stored(self, pipeline: str, bucket: str, start_ms: int, readings: int) -> None:
        processes.wait_for(
            lambda: self._count(bucket, start_ms)[0] >= readings,
            f"{pipeline}: {readings} readings in the store",
            seconds=240,
            step=0.25,
        )

    def _check(self, pipeline: str, bucket: str, start_ms: int, whole: load.Load) -> None:
        count, total = self._count(bucket, start_ms)
        if (count, total) != (whole.readings, whole.total):
            raise RuntimeError(f"{pipeline}: stored {count} with sum {total}, not {whole.readings}")


def run(folder: Path, rounds: int) -> None:
    """Print one table row per shape."""
    bench = Bench(folder)
    try:
        print(
            f"{'readings a message':>18} {'greendc pts/cpu-s':>18} {'plain pts/cpu-s':>16} "
            f"{'ratio':>6} {'(spread)':>12} {'greendc pts/s':>14} {'InfluxDB us/pt':>15} {'MiB':>5}"
        )
        for per_message, readings in SHAPES.items():
            pairs = []
            for _ in range(rounds):
                ours = bench.run("greendc", per_message, readings)
                plain = bench.run("plain", per_message, min(readings, 100_000))
                pairs.append((ours, plain))
            ratios = [o.points_per_cpu_s / p.points_per_cpu_s for o, p in pairs]
            mid = statistics.median
            print(
                f"{per_message:>18} {mid(o.points_per_cpu_s for o, _ in pairs):>18,.0f} "
                f"{mid(p.points_per_cpu_s for _, p in pairs):>16,.0f} {mid(ratios):>5.1f}x "
                f"{f'{min(ratios):.1f}-{max(ratios):.1f}':>12} "
                f"{mid(o.points_per_s for o, _ in pairs):>14,.0f} "
                f"{mid(o.influx_us for o, _ in pairs):>15.2f} "
                f"{max(o.resident_mib for o, _ in pairs):>5.0f}",
                flush=True,
            )
    finally:
        bench.close()
