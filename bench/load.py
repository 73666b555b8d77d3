"""What the benchmarks publish: one site of 500 power meters, readings encoded before the clock."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from core.connections import MqttConnection

SITE = "bench-dc"
DEVICES = 500
SITE_FILE = f"""
schema = 1
id = "{SITE}"
name = {{ ko = "측정", en = "Bench" }}
operator = "Nobody"
status = "operating"
data = "simulated"
zone = "Asia/Seoul"
location = {{ latitude = 37.3, longitude = 126.8 }}
pue_category = 2
late_window_days = 0

[[device_groups]]
id = "meter-{{001..{DEVICES}}}"
family = "energy"
role = "pdu_output"
metrics = ["active_power_kw"]
cadence_s = 1
valid_from = 2020-01-01
"""


@dataclass(frozen=True, slots=True)
class Load:
    """Messages ready to send, with what a store has to hold afterwards.

    Values are multiples of 0.25, so that a sum in the store is exact.
    """

    messages: list[tuple[str, bytes]]
    readings: int
    total: float


def build_load(readings: int, per_message: int, *, start_ms: int) -> Load:
    """`readings` readings, one a device and second, `per_message` in each message."""
    messages = []
    total = 0.0
    rows = []
    for number in range(readings):
        device = f"meter-{number % DEVICES + 1:03d}"
        value = 0.25 * (number % 4000)
        total += value
        time_ms = start_ms + number // DEVICES * 1000
        row = {"ts": time_ms, "values": {"active_power_kw": value}}
        if per_message == 1:
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time_ms // 1000))
            row["ts"] = f"{stamp}.{time_ms % 1000:03d}+00:00"
            messages.append((f"greendc/v1/{SITE}/energy/{device}", json.dumps(row).encode()))
            continue
        row["device"] = device
        rows.append(row)
        if len(rows) == per_message or number == readings - 1:
            messages.append((f"greendc/v1/{SITE}/energy", json.dumps(rows).encode()))
            rows = []
    return Load(messages, readings, total)


def publish(connection: MqttConnection, load: Load, *, window: int = 1_000) -> float:
    """Send every message at QoS 1 and wait for the broker; returns the seconds it took."""
    slots = threading.Semaphore(window)
    acknowledged = threading.Event()
    left = [len(load.messages)]

    def on_publish(*_: object) -> None:
        left[0] -= 1
        slots.release()
        if not left[0]:
            acknowledged.set()

    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
    client.username_pw_set(connection.username, connection.password)
    client.max_inflight_messages_set(window)
    client.on_publish = on_publish
    connected = threading.Event()
    client.on_connect = lambda *_: connected.set()
    client.connect(connection.host, connection.port)
    client.loop_start()
    if not connected.wait(10):
        raise RuntimeError("the broker did not answer")
    started = time.perf_counter()
    for topic, payload in load.messages:
        slots.acquire()
        client.publish(topic, payload, qos=1)
    if not acknowledged.wait(120):
        raise RuntimeError("the broker did not acknowledge everything")
    seconds = time.perf_counter() - started
    client.disconnect()
    client.loop_stop()
    return seconds
