"""The country's accelerators on one ingester: 260,000 of them, eight metrics every ten seconds.

Gateways send columns, 500 devices a message. The store is one that takes everything and keeps
nothing, so that it is the ingester that is measured; broker, spool and records are real.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from bench import processes
from bench.load import SITE, SITE_FILE
from bench.publisher import encode_packets, publish
from core.site_files import build_registry
from greendc.local_broker import start_local_broker

DEVICES = 260_000
_HALLS = 4
_PER_MESSAGE = 500
_EVERY_S = 10.0
_WARM_TICKS = 2
_TICKS = 4
_SLICES = 20
_TARGET_CORES = 0.15
_METRICS = (
    "power_w",
    "energy_kwh",
    "utilization_percent",
    "temperature_c",
    "memory_used_gib",
    "throttled_seconds",
    "inferences",
    "tokens",
)


def run(folder: Path, rounds: int) -> None:
    """Print the cores and the memory that the ingester takes."""
    text = _site_file()
    (folder / "sites").mkdir()
    (folder / "sites" / f"{SITE}.toml").write_text(text, encoding="utf-8")
    (folder / "mappings").mkdir()
    broker = start_local_broker(build_registry({"fleet": text}), folder / "broker")
    store = subprocess.Popen(
        [sys.executable, "-m", "bench.null_store"], stdout=subprocess.PIPE, text=True
    )
    ingester = None
    try:
        assert store.stdout is not None
        url = f"http://127.0.0.1:{int(store.stdout.readline())}"
        connection = broker.connection()
        log = folder / "ingest.log"
        environment = {
            "GREENDC_DATA_DIR": str(folder / "data"),
            "GREENDC_SITES_DIR": str(folder / "sites"),
            "GREENDC_MAPPINGS_DIR": str(folder / "mappings"),
            "GREENDC_MQTT__URL": connection.url,
            "GREENDC_MQTT__USERNAME": connection.username,
            "GREENDC_MQTT__PASSWORD": connection.password,
            "GREENDC_TIMESERIES__URL": url,
            "GREENDC_TIMESERIES__ORG": "greendc",
            "GREENDC_TIMESERIES__TOKEN": "any",
            "GREENDC_TIMESERIES__RAW_DAYS": "0",
            "GREENDC_HEALTH__PORT": "0",
            "GREENDC_LOG__FORMAT": "text",
        }
        ingester = processes.start([sys.executable, "-m", "greendc", "ingest"], log, environment)
        processes.wait_for(lambda: b"subscribed" in log.read_bytes(), "greendc subscribed")
        templates = _templates()
        account = broker.connection(SITE)
        sent = 0
        for tick in range(_WARM_TICKS + _TICKS):
            if tick == _WARM_TICKS:
                before, started = processes.cpu_seconds(ingester.pid), time.perf_counter()
            due = time.perf_counter() + _EVERY_S
            now = str(int(time.time()) * 1000).encode()
            messages = [(topic, payload.replace(b"@", now)) for topic, payload in templates]
            step = -(-len(messages) // _SLICES)
            for number in range(_SLICES):
                publish(account, encode_packets(messages[number * step : (number + 1) * step]))
                left = due - time.perf_counter() - (_SLICES - 1 - number) * _EVERY_S / _SLICES
                time.sleep(max(0.0, left))
            sent += DEVICES
        behind = sent - _lines(url)
        cores = (processes.cpu_seconds(ingester.pid) - before) / (time.perf_counter() - started)
        resident = processes.resident_mib(ingester.pid)
        processes.wait_for(lambda: _lines(url) >= sent, "every reading in the store", seconds=120)
        print(
            f"{DEVICES:,} devices, {len(_METRICS)} metrics every {_EVERY_S:g} s: "
            f"{cores:.3f} core of the ingester (target {_TARGET_CORES}), {resident:.0f} MiB, "
            f"{behind:,} readings behind at the end; {_lines(url):,} lines for {sent:,} readings; "
            f"calibration {processes.calibrate():.1f} us, {os.cpu_count()} cores"
        )
    finally:
        if ingester is not None:
            processes.end(ingester)
        store.kill()
        broker.stop()


def _lines(url: str) -> int:
    with urllib.request.urlopen(f"{url}/lines", timeout=60) as answer:
        return int(answer.read())


def _site_file() -> str:
    head = SITE_FILE.partition("[[device_groups]]")[0]
    of_hall = DEVICES // _HALLS
    groups = [
        f"""
[[device_groups]]
id = "gpu-{hall}-{{00001..{of_hall:05d}}}"
family = "accelerator"
role = "accelerator"
kind = "gpu"
metrics = {json.dumps(_METRICS)}
cadence_s = {_EVERY_S:g}
valid_from = 2020-01-01
"""
        for hall in range(_HALLS)
    ]
    return head + "".join(groups)


def _templates() -> list[tuple[str, bytes]]:
    """One message for each gateway, `@` where the time belongs."""
    names = [
        f"gpu-{hall}-{number:05d}"
        for hall in range(_HALLS)
        for number in range(1, DEVICES // _HALLS + 1)
    ]
    made = []
    for first in range(0, DEVICES, _PER_MESSAGE):
        devices = names[first : first + _PER_MESSAGE]
        values = {
            metric: [
                round((first + row * 7 + at * 13) % 997 / 10.0, 1) for row in range(len(devices))
            ]
            for at, metric in enumerate(_METRICS)
        }
        body = json.dumps({"columns": {"ts": 0, "device": devices, "values": values}})
        payload = body.replace('"ts": 0', '"ts": @').replace(" ", "").encode()
        made.append((f"greendc/v1/{SITE}/accelerator", payload))
    return made
