"""Telegraf itself as the sender: its mock input, its mqtt output, its own line protocol."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from bench import telegraf
from greendc.local_broker import find_mosquitto
from tests.conftest import skip_loudly
from tests.integration.ingester import SITE, Ingester
from tests.services.processes import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]
MAPPING = Path(__file__).parents[2] / "config" / "mappings" / "telegraf-modbus.toml"

# Two meters as its modbus input would tell them, and one that no site file declares. Telegraf
# writes whole numbers as floats or integers, as they come.
METER = """
[[inputs.mock]]
  metric_name = "modbus"
  [inputs.mock.tags]
    name = "{name}"
    type = "holding_register"
  [[inputs.mock.step]]
    name = "power"
    start = {start}
    step = 1000.0
  [[inputs.mock.constant]]
    name = "energy"
    value = {energy}
  [[inputs.mock.random]]
    name = "voltage_l1"
    min = 225.0
    max = 235.0
"""
AGENT = """
[agent]
  interval = "100ms"
  flush_interval = "200ms"
  precision = "1ms"
  hostname = "gateway with space"

[[outputs.mqtt]]
  servers = ["tcp://{host}:{port}"]
  topic = 'telegraf/{site}/{{{{ .Name }}}}'
  username = "{username}"
  password = "{password}"
  client_id = "gateway-{layout}"
  qos = 1
  layout = "{layout}"
  data_format = "influx"
"""


@pytest.mark.parametrize("layout", ["non-batch", "batch"])
def test_what_telegraf_publishes_is_stored_or_quarantined(tmp_path: Path, layout: str) -> None:
    if find_mosquitto() is None or not telegraf.is_there():
        skip_loudly("no mosquitto or no Telegraf here: bench/build_telegraf.sh builds it")
    made = Ingester(tmp_path / "one", mapping=MAPPING.read_text(encoding="utf-8"))
    try:
        made.start()
        connection = made.broker.connection(SITE)
        text = AGENT.format(
            host=connection.host,
            port=connection.port,
            site=SITE,
            username=connection.username,
            password=connection.password,
            layout=layout,
        )
        for name, start, energy in (("grid-a", 0.0, "10"), ("grid-b", 500.0, "20.5")):
            text += METER.format(name=name, start=start, energy=energy)
        text += METER.format(name="not-declared", start=0.0, energy="1")
        path = tmp_path / "telegraf.conf"
        path.write_text(text, encoding="utf-8")
        with (tmp_path / "telegraf.log").open("wb") as log:
            command = [str(telegraf.program()), "--config", str(path)]
            process = subprocess.Popen(command, stdout=log, stderr=log)
            try:
                wait_until(
                    lambda: made.ledger()["received"] >= 90, seconds=60, what="readings of Telegraf"
                )
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(timeout=20)
        assert b"E! " not in (tmp_path / "telegraf.log").read_bytes()
        # One session: when this has come, so has everything that Telegraf sent before it ended.
        client = made.publisher()
        body = json.dumps({"ts": int(time.time() * 1000), "values": {"power_factor": 1.0}})
        topic = f"greendc/v1/{SITE}/energy/ct-1"
        client.publish(topic, body, qos=1).wait_for_publish(timeout=30)
        client.disconnect()
        client.loop_stop()
        wait_until(
            lambda: made.values("ct-1", "power_factor") == [1.0],
            seconds=60,
            what="the last reading",
            every=0.5,
        )
        wait_until(lambda: not made.ledger()["spooled"], seconds=60, what="the spool drained")
        ledger = made.ledger()
        assert ledger["balanced"]
        assert ledger["received"] == ledger["stored"] + ledger["quarantined"]
        # Watts become kilowatts; every step of the counter has come, each once.
        for device, first, energy in (("grid-a", 0.0, 10.0), ("grid-b", 0.5, 20.5)):
            power = made.values(device)
            assert len(power) >= 30
            assert power == [first + step for step in range(len(power))]
            assert set(made.values(device, "active_energy_kwh")) == {energy}
        assert ledger["stored"] == 1 + sum(len(made.values(d)) for d in ("grid-a", "grid-b"))
        # The meter that nobody declared waits for somebody to declare it, with its bytes.
        entries = made.ask("quarantine", "list", "--site", SITE)
        assert {entry["reason"] for entry in entries} == {"unknown_device"}
        assert ledger["quarantined"] == sum(entry["count"] for entry in entries)
    finally:
        made.close()
