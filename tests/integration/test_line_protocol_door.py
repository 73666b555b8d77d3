"""Line protocol from outside: mosquitto_pub on the site's account, store, quarantine, ledger."""

from __future__ import annotations

import base64
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from greendc.local_broker import find_mosquitto
from tests.conftest import skip_loudly
from tests.ingest.registry import MAPPING_FILE
from tests.integration.ingester import SITE, Ingester

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
TOPIC = f"telegraf/{SITE}/meters/gw-1"
HEAD = "modbus,host=gw-1,name=meters,slave_id={},type=holding_register"


@pytest.fixture
def ingester(tmp_path: Path) -> Iterator[Ingester]:
    if find_mosquitto() is None:
        skip_loudly("no mosquitto on this machine: apt-get install mosquitto")
    made = Ingester(tmp_path / "one", mapping=MAPPING_FILE)
    yield made
    made.close()


def publish(ingester: Ingester, topic: str, payload: str) -> None:
    """One message by mosquitto_pub, or by our own client where that is not installed."""
    if shutil.which("mosquitto_pub") is None:
        client = ingester.publisher()
        client.publish(topic, payload.encode(), qos=1).wait_for_publish(timeout=20)
        client.disconnect()
        client.loop_stop()
        return
    connection = ingester.broker.connection(SITE)
    file = ingester.folder / "payload"
    file.write_text(payload, encoding="utf-8")
    subprocess.run(
        [
            *("mosquitto_pub", "-h", connection.host, "-p", str(connection.port), "-q", "1"),
            *("-u", connection.username, "-P", connection.password, "-t", topic, "-f", str(file)),
        ],
        check=True,
        timeout=20,
    )


def quarantined(ingester: Ingester) -> dict[str, Any]:
    return {entry["reason"]: entry for entry in ingester.ask("quarantine", "list")}


def test_telegraf_s_lines_are_stored_refused_mended_and_replayed(ingester: Ingester) -> None:
    ingester.start()
    at = int(time.time()) * 10**9
    publish(ingester, TOPIC, f"internal,host=gw-1 metrics_gathered=5i {at}\n")  # no reading at all
    batch = "".join(
        f"{HEAD.format(1 + number % 2)} power={1000 * (number + 1)},voltage_l1=229.8 "
        f"{at - number * 10**9}\n"
        for number in range(20)
    )
    publish(ingester, TOPIC, batch)
    publish(ingester, TOPIC, batch)  # a gateway that sends again: duplicates
    bad = (
        f"# a comment\n{HEAD.format(1)} energy=1234500i {at}\n"  # a held instant gains a metric
        f"{HEAD.format(2)} power=broken {at}\n"
        f"{HEAD.format(1)} watts=5000 {at + 10**9}\n{HEAD.format(1)} power=5000 {at + 2 * 10**9}\n"
        f"{HEAD.format(2)} power=7\n"
        f"internal,host=gw-1 metrics_gathered=5i {at}\n"
    )
    publish(ingester, TOPIC, bad)
    publish(ingester, f"telegraf/{SITE}/elsewhere", f"x y=1 {at}")
    ledger = ingester.drained(20 + 20 + 5 + 1)
    assert (ledger["stored"], ledger["duplicate"]) == (22, 20)
    assert (ledger["quarantined"], ledger["rejected"], ledger["balanced"]) == (4, 0, True)
    assert sorted(ingester.values("grid-a")) == sorted([*map(float, range(1, 21, 2)), 5.0])
    assert sorted(ingester.values("grid-b")) == [float(number) for number in range(2, 21, 2)]
    assert ingester.values("grid-a", "active_energy_kwh") == [12345.0]
    entries = quarantined(ingester)
    assert set(entries) == {"malformed_line", "unknown_metric", "missing_time", "unknown_topic"}
    assert all(entry["count"] == 1 for entry in entries.values())
    assert base64.b64decode(entries["unknown_metric"]["payload_base64"]).decode() == bad
    assert "line 4" in entries["unknown_metric"]["detail"]

    # The mapping is mended, a topic without one gets one, the ingester is started again.
    mended = 'watts = {metric = "active_power_kw", unit = "W"}\n#'
    (ingester.mappings / "test.toml").write_text(
        MAPPING_FILE.replace("power = {", mended, 1), encoding="utf-8"
    )
    other = MAPPING_FILE.replace("/meters/#", "/elsewhere").replace('"station"', '"x"')
    (ingester.mappings / "more.toml").write_text(
        other.replace("temperature =", "y ="), encoding="utf-8"
    )
    assert ingester.end(signal.SIGTERM) == 0
    ingester.start()
    chosen = [entries[reason]["id"] for reason in ("unknown_metric", "unknown_topic")]
    outcomes = ingester.ask("quarantine", "replay", *chosen)
    assert [outcome["outcome"] for outcome in outcomes] == ["replayed", "replayed"]
    ledger = ingester.drained(46)
    assert (ledger["stored"], ledger["quarantined"], ledger["balanced"]) == (24, 2, True)
    assert sorted(ingester.values("grid-a")) == sorted([*map(float, range(1, 21, 2)), 5.0, 5.0])
    assert ingester.values("roof", "temperature_c") == pytest.approx([(1 - 32) * 5 / 9])
    assert ingester.end(signal.SIGTERM) == 0
