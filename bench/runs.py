"""One run of one pipeline: broker, InfluxDB, a load, and what each process spent on it.

CPU seconds come from each process's own clock. The clock of a run stops when the store has counted
the last line; what asking for that count costs InfluxDB is measured before and taken off.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from influxdb_client import InfluxDBClient

from bench import load as loads
from bench import processes, telegraf
from bench.load import Form, Load, Shape
from bench.publisher import encode_packets, forget_session, publish
from core.periods import from_ms
from core.site_files import build_registry
from greendc.local_broker import LocalBroker, start_local_broker
from tests.services.influxd import InfluxdServer

Pipeline = Literal["greendc", "telegraf", "plain"]
_WARM_UP = 0.1
_ACCEPTED = re.compile(rb"^storage_writer_ok_points_sum\{[^}]*\} (\S+)$", re.MULTILINE)
# Asking costs InfluxDB 20 ms of CPU.
_ASK_S = 0.5


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one run came to.

    Attributes:
        ingester_us, influx_us, broker_us: CPU microseconds a point.
        points_per_s: By the clock on the wall.
        resident_mib: Of the ingester at the end.
        foreign: Share of the machine that others used meanwhile.
    """

    ingester_us: float
    influx_us: float
    broker_us: float
    points_per_s: float
    resident_mib: float
    foreign: float

    @property
    def all_us(self) -> float:
        """CPU microseconds a point of all three."""
        return self.ingester_us + self.influx_us + self.broker_us


class Bench:
    """Broker, store and working folder shared by all runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        registry = build_registry({"bench": loads.SITE_FILE})
        for name, text in (("sites", loads.SITE_FILE), ("mappings", loads.render_mapping())):
            (folder / name).mkdir(parents=True, exist_ok=True)
            (folder / name / "bench-dc.toml").write_text(text, encoding="utf-8")
        self.broker: LocalBroker = start_local_broker(registry, folder / "broker")
        self.influxd = InfluxdServer(folder / "influxd", own_process=True).start()
        self.client = InfluxDBClient(
            url=self.influxd.url, token=self.influxd.token, org=self.influxd.org, timeout=120_000
        )
        self._runs = 0
        self._count_s = self._cost_of_counting()

    def close(self) -> None:
        """End the services."""
        self.client.close()
        self.influxd.stop()
        self.broker.stop()

    def run(self, pipeline: Pipeline, shape: Shape, form: Form, readings: int) -> Measurement:
        """Publish one load to one pipeline, check what arrived, and measure it.

        Raises:
            RuntimeError: Count or sum in the store differ from what was published.
        """
        self._runs += 1
        bucket = f"run{self._runs}"
        start_ms = int(time.time()) * 1000 - 86_400_000 - readings // loads.DEVICES * 1000
        load = loads.build_load(shape, form, readings, start_ms=start_ms)
        packets = encode_packets(load.messages)
        cut = max(1, int(len(packets) * _WARM_UP))
        client_id = f"{self.broker.connection().username}-{bucket}"
        process = self._start(pipeline, bucket, client_id, load, form)
        try:
            account = self.broker.connection(loads.SITE)
            held = self._accepted()
            publish(account, packets[:cut])
            self._wait_accepted(held + cut * shape.per_message)
            pids = [process.pid, self._influxd_pid(), self._broker_pid()]
            before = [processes.cpu_seconds(pid) for pid in pids]
            busy = processes.machine_seconds() - processes.cpu_seconds(os.getpid())
            started = time.perf_counter()
            publish(account, packets[cut:])
            asked = self._wait_accepted(held + readings)
            seconds = time.perf_counter() - started
            used = [processes.cpu_seconds(pid) - b for pid, b in zip(pids, before, strict=True)]
            busy = processes.machine_seconds() - processes.cpu_seconds(os.getpid()) - busy
            used[1] -= asked * self._count_s
            resident = processes.resident_mib(process.pid)
            self._check(pipeline, bucket, load, start_ms)
        finally:
            processes.end(process)
            session = f"{client_id}-0" if pipeline == "greendc" else client_id
            forget_session(self.broker.connection(), session)
            self._remove(bucket)
        points = (readings - cut * shape.per_message) * shape.metrics
        cores = os.cpu_count() or 1
        foreign = max(0.0, busy - sum(used) - asked * self._count_s) / seconds / cores
        return Measurement(
            *(cpu / points * 1e6 for cpu in used), points / seconds, resident, min(1.0, foreign)
        )

    def start_greendc(self) -> tuple[str, subprocess.Popen[bytes]]:
        """Start our ingester on a bucket of its own: the bucket's prefix, the process."""
        self._runs += 1
        bucket = f"run{self._runs}"
        return bucket, self._start_greendc(bucket, f"{self.broker.connection().username}-{bucket}")

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

    # ------------------------------------------------------------ processes

    def _broker_pid(self) -> int:
        return self.broker._process.pid  # type: ignore[attr-defined]

    def _influxd_pid(self) -> int:
        return self.influxd._process.pid

    def _start(
        self, pipeline: Pipeline, bucket: str, client_id: str, load: Load, form: Form
    ) -> subprocess.Popen[bytes]:
        if pipeline == "greendc":
            return self._start_greendc(bucket, client_id)
        self.client.buckets_api().create_bucket(bucket_name=f"{bucket}_raw", org=self.influxd.org)
        log = self.folder / f"{bucket}-{pipeline}.log"
        connection = self.broker.connection()
        store = {"url": self.influxd.url, "org": self.influxd.org, "token": self.influxd.token}
        if pipeline == "plain":
            place = [connection.host, str(connection.port), connection.username]
            command = [sys.executable, "-m", "bench.plain_pipeline", *place, connection.password]
            command += [client_id, *store.values(), f"{bucket}_raw"]
            process = processes.start(command, log, {})
            processes.wait_for(lambda: b"subscribed" in log.read_bytes(), "plain subscribed")
            return process
        path = self.folder / f"{bucket}.conf"
        path.write_text(
            telegraf.render_configuration(
                connection, client_id, load, form, **store, bucket=f"{bucket}_raw"
            )
        )
        command = [str(telegraf.program()), "--config", str(path)]
        process = processes.start(command, log, telegraf.ENVIRONMENT)
        processes.wait_for(lambda: b"Connected [" in log.read_bytes(), "Telegraf connected")
        # It subscribes after it has said so.
        time.sleep(1.0)
        return process

    def _start_greendc(self, bucket: str, client_id: str) -> subprocess.Popen[bytes]:
        connection = self.broker.connection()
        log = self.folder / f"{bucket}-greendc.log"
        environment = {
            "GREENDC_DATA_DIR": str(self.folder / bucket),
            "GREENDC_SITES_DIR": str(self.folder / "sites"),
            "GREENDC_MAPPINGS_DIR": str(self.folder / "mappings"),
            "GREENDC_MQTT__URL": connection.url,
            "GREENDC_MQTT__USERNAME": connection.username,
            "GREENDC_MQTT__PASSWORD": connection.password,
            "GREENDC_MQTT__CLIENT_ID": client_id,
            "GREENDC_TIMESERIES__URL": self.influxd.url,
            "GREENDC_TIMESERIES__ORG": self.influxd.org,
            "GREENDC_TIMESERIES__TOKEN": self.influxd.token,
            "GREENDC_TIMESERIES__BUCKET": bucket,
            "GREENDC_TIMESERIES__RAW_DAYS": "0",
            "GREENDC_INGEST__SITE_READINGS_PER_S": "10000000",
            "GREENDC_HEALTH__PORT": "0",
            "GREENDC_LOG__FORMAT": "text",
        }
        process = processes.start([sys.executable, "-m", "greendc", "ingest"], log, environment)
        processes.wait_for(lambda: b"subscribed" in log.read_bytes(), "greendc subscribed")
        return process

    # ------------------------------------------------------------ the store

    def _accepted(self) -> int:
        """Lines that the store has accepted since it began."""
        with urllib.request.urlopen(f"{self.influxd.url}/metrics", timeout=60) as answer:
            text = answer.read()
        return round(sum(float(value) for value in _ACCEPTED.findall(text)))

    def _cost_of_counting(self) -> float:
        self._accepted()
        pid = self._influxd_pid()
        before = processes.cpu_seconds(pid)
        for _ in range(10):
            self._accepted()
        return (processes.cpu_seconds(pid) - before) / 10

    def _wait_accepted(self, lines: int) -> int:
        """Wait until so many lines are accepted; how often the store was asked."""
        asked = 0

        def is_there() -> bool:
            nonlocal asked
            asked += 1
            return self._accepted() >= lines

        processes.wait_for(is_there, f"{lines} lines in the store", seconds=400, step=_ASK_S)
        return asked

    def _check(self, pipeline: str, bucket: str, load: Load, start_ms: int) -> None:
        flux = (
            "data = from(bucket: bucket) |> range(start: start, stop: 2100-01-01T00:00:00Z)\n"
            " |> filter(fn: (r) => r._measurement == family)\n"
            'data |> count() |> group() |> sum() |> yield(name: "count")\n'
            'data |> sum() |> group() |> sum() |> yield(name: "sum")\n'
        )
        place = {"bucket": f"{bucket}_raw", "start": from_ms(start_ms), "family": load.family}
        found = {"count": 0.0, "sum": 0.0}
        for table in self.client.query_api().query(flux, params=place):
            for record in table.records:
                found[record.values["result"]] = float(record.get_value())
        if (found["count"], found["sum"]) != (load.points, load.total):
            raise RuntimeError(
                f"{pipeline}, {load.shape}: stored {found['count']:.0f} values with sum "
                f"{found['sum']}, published {load.points} with sum {load.total}"
            )

    def _remove(self, bucket: str) -> None:
        """Give the disk back, and let the store rest from compacting it."""
        buckets = self.client.buckets_api()
        for end in ("raw", "intervals", "results"):
            found = buckets.find_bucket_by_name(f"{bucket}_{end}")
            if found is not None:
                buckets.delete_bucket(found)
