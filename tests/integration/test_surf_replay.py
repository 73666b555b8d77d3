"""Real data through everything: a measured week of a cluster, replayed over MQTT.

The energy is the one that pandas computes from the file under the same gap rule, and the coverage
the one that its reporting nodes give.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from greendc.local_broker import find_mosquitto
from tests.conftest import skip_loudly
from tests.integration.ingester import Ingester
from tests.services.processes import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
CONFIG = Path(__file__).parents[2] / "config"
SITE, DEVICE = "surf-lisa", "lisa-cpu-nodes"
# The week's whole days: the file begins at 2022-10-06 22:00 UTC, local midnight in Amsterdam.
FROM, TO = "2022-10-07", "2022-10-14"
START = pd.Timestamp("2022-10-06T22:00:00Z")
MAX_GAP_S = 3 * 30.0


def expected(file: Path) -> tuple[float, float]:
    """Energy in kWh and covered share of the week, by pandas and the gap rule alone."""
    table = pd.read_parquet(file, columns=["timestamp", "power_draw", "host"])
    table = table.sort_values("timestamp")
    time_s = table["timestamp"].astype("int64") / 1000
    nodes = table["host"].map(lambda text: len(re.findall(r"r\d{1,2}n\d{1,2}", text)))
    week_s = 7 * 86_400
    inside = time_s <= week_s
    time_s, power, nodes = time_s[inside], table["power_draw"][inside], nodes[inside]
    length = time_s.diff()
    joined = length <= MAX_GAP_S
    mean = (power + power.shift()) / 2
    energy = float((mean * length)[joined].sum()) / 3.6e6
    share = ((nodes + nodes.shift()) / 2 / nodes.max())[joined]
    return energy, float((share * length[joined]).sum() / week_s)


def test_the_week_gives_the_files_own_energy(tmp_path: Path, test_data: Path) -> None:
    if find_mosquitto() is None:
        skip_loudly("no mosquitto on this machine: apt-get install mosquitto")
    file = test_data / "surf-lisa-power-week" / "consumption.parquet"
    if not file.exists():
        skip_loudly(f"no {file.name} in {file.parent}")
    text = (CONFIG / "replay-sites" / f"{SITE}.toml").read_text("utf-8")
    # History of any age is taken, so raw data are kept for ever.
    for_ever = {"GREENDC_TIMESERIES__RAW_DAYS": "0"}
    made = Ingester(tmp_path / "one", for_ever, site_file=text, site=SITE)
    accounts = tmp_path / "accounts"
    accounts.write_text("".join(f"{n}:{p}\n" for n, p in made.broker.accounts.items()))
    environment = {
        **os.environ,
        **made.environment,
        "GREENDC_SIMS__ACCOUNTS_FILE": str(accounts),
    }
    analytics = None
    try:
        made.start()
        command = [sys.executable, "-m", "greendc"]
        replay_map = CONFIG / "replay" / f"{SITE}.toml"
        done = subprocess.run(
            [*command, "replay", str(file), "--map", str(replay_map), "--fast", "--json"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        rows = len(pd.read_parquet(file, columns=["timestamp"]))
        assert f'"published": {rows}, "acknowledged": {rows}' in done.stdout
        assert made.drained(rows)["stored"] == rows
        analytics = subprocess.Popen([*command, "analytics"], env=environment)
        asked = ("--site", SITE, "--from", FROM, "--to", TO)

        def rolled_up() -> bool:
            found = made.ask("kpi", *asked, "--kpi", "accelerator_energy")
            return bool(found) and found[0]["verdict"] == "final"

        wait_until(rolled_up, seconds=90, what="the week rolled up", every=2)
        energy_kwh, coverage = expected(file)
        (row,) = [
            row
            for row in made.ask("kpi", *asked, "--kpi", "accelerator_energy")
            if row["subject"] == "site"
        ]
        assert row["value"] == pytest.approx(energy_kwh, rel=1e-4)
        assert row["coverage"]["numerator"] == pytest.approx(coverage, abs=1e-3)
        assert row["shares"]["simulated"] == 0
        assert row["shares"]["measured"] == pytest.approx(1.0, abs=1e-6)
        days = made.ask(
            *("intervals", "--site", SITE, "--device", DEVICE, "--metric", "power_w"),
            *("--from", FROM, "--to", TO, "--resolution", "day"),
        )
        assert len(days) == 7
        assert sum(day["energy_kwh"] for day in days) == pytest.approx(energy_kwh, rel=1e-4)
        analytics.send_signal(signal.SIGTERM)
        assert analytics.wait(timeout=10) == 0
    finally:
        if analytics is not None and analytics.poll() is None:
            analytics.kill()
        made.close()
