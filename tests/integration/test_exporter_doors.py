"""SenML and Prometheus from outside: published on a real broker, stored, refused, replayed."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import cbor2
import pytest

from greendc.local_broker import find_mosquitto
from tests.conftest import skip_loudly
from tests.ingest.registry import PROMETHEUS_MAPPING, SENML_MAPPING
from tests.integration.ingester import SITE, Ingester

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.fixture
def ingester(tmp_path: Path) -> Iterator[Ingester]:
    if find_mosquitto() is None:
        skip_loudly("no mosquitto on this machine: apt-get install mosquitto")
    receipt = PROMETHEUS_MAPPING.replace("schema = 1", 'schema = 1\ntime = "receipt"')
    made = Ingester(tmp_path / "one", mapping=receipt)
    (made.mappings / "senml.toml").write_text(SENML_MAPPING, encoding="utf-8")
    yield made
    made.close()


def test_packs_and_scrapes_are_stored_and_what_has_no_time_is_not_made_up(
    ingester: Ingester,
) -> None:
    client = ingester.publisher()

    def publish(topic: str, payload: bytes, *, retain: bool = False) -> None:
        message = client.publish(topic, payload, qos=1, retain=retain)
        message.wait_for_publish(timeout=20)

    at = int(time.time())
    scrape = b'meter_power_watts{feed="b",phase="total"} 2000\n'
    # Kept by the broker from before: whoever subscribes later cannot know when it was measured.
    publish(f"prometheus/{SITE}/gw-1", scrape, retain=True)
    ingester.start()
    publish(
        f"senml/{SITE}/gw-1",
        json.dumps(
            [
                {"bn": "urn:dev:ow:01:", "bt": at, "n": "power", "u": "W", "v": 1000, "s": 7200000},
                {"n": "power", "u": "kW", "t": -10, "v": 3},
            ]
        ).encode(),
    )
    publish(
        f"senml/{SITE}/gw-1",
        cbor2.dumps([{-2: "urn:dev:ow:01:", -3: at - 20, 0: "power", 1: "W", 2: 5000}]),
    )
    publish(f"senml/{SITE}/gw-1", b'[{"n":"urn:dev:ow:01:power","v":7}]')  # no time, no receipt
    publish(f"prometheus/{SITE}/gw-1", scrape.replace(b"2000", b"4000"))
    header = f"# greendc-time {at - 30}000\n".encode()
    publish(f"prometheus/{SITE}/gw-1", header + scrape.replace(b"2000", b"6000"))
    client.disconnect()
    client.loop_stop()
    ledger = ingester.drained(7)
    assert (ledger["stored"], ledger["quarantined"], ledger["balanced"]) == (5, 2, True)
    assert sorted(ingester.values("grid-a")) == [1.0, 3.0, 5.0]
    assert ingester.values("grid-a", "active_energy_kwh") == pytest.approx([2.0])
    assert sorted(ingester.values("grid-b")) == [4.0, 6.0]
    entries = ingester.ask("quarantine", "list")
    assert [entry["reason"] for entry in entries] == ["missing_time", "missing_time"]
    assert {entry["topic"] for entry in entries} == {
        f"prometheus/{SITE}/gw-1",
        f"senml/{SITE}/gw-1",
    }
    (kept,) = [entry for entry in entries if entry["topic"].startswith("prometheus/")]
    assert "retained" in kept["detail"]
    assert ingester.end(signal.SIGTERM) == 0
