"""Time from publish to stored: one reading every 50 ms, the store asked every 10 ms."""

from __future__ import annotations

import json
import statistics
import threading
import time
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from bench import load, processes
from bench.runs import Bench

_READINGS = 200
_EVERY_S = 0.05


def run(folder: Path, rounds: int) -> None:
    """Print p50 and p99 of each round, in milliseconds."""
    bench = Bench(folder)
    try:
        for number in range(rounds):
            lags = sorted(_measure(bench))
            p99 = lags[min(len(lags) - 1, int(0.99 * len(lags)))]
            print(
                f"round {number + 1}: publish to readable in InfluxDB p50 "
                f"{statistics.median(lags):.0f} ms, p99 {p99:.0f} ms, {len(lags)} readings",
                flush=True,
            )
    finally:
        bench.close()


def _measure(bench: Bench) -> list[float]:
    bucket, process = bench.start_greendc()
    connection = bench.broker.connection(load.SITE)
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.username_pw_set(connection.username, connection.password)
    client.connect(connection.host, connection.port)
    client.loop_start()
    sent: dict[float, float] = {}
    seen: dict[float, float] = {}
    stop = threading.Event()
    begin_ms = int(time.time() * 1000) - 60_000

    def poll() -> None:
        while not stop.wait(0.01):
            values = bench.values(bucket, begin_ms)
            now = time.perf_counter()
            for value in values:
                seen.setdefault(value, now)

    poller = threading.Thread(target=poll, daemon=True)
    poller.start()
    try:
        for number in range(_READINGS):
            value = float(number)
            payload = {"ts": int(time.time() * 1000), "values": {"active_power_kw": value}}
            sent[value] = time.perf_counter()
            client.publish(
                f"greendc/v1/{load.SITE}/energy/meter-001", json.dumps(payload).encode(), qos=1
            )
            time.sleep(_EVERY_S)
        processes.wait_for(lambda: len(seen) >= _READINGS, "every reading readable", seconds=30)
    finally:
        stop.set()
        poller.join()
        client.disconnect()
        client.loop_stop()
        processes.end(process)
    return [(seen[value] - sent[value]) * 1000 for value in sent]
