"""Real days through everything: daily mean powers of a data centre, replayed over MQTT.

The PUE of each day is the one that was published for it; a day that the file does not have, and the
hours inside a day, have no figure.
"""

from __future__ import annotations

import os
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
SITE = "nrel-esif"
# With the days on which clocks go forward and those that the file lacks: 02-24 and 02-25.
FROM, TO = "2018-02-10", "2018-03-20"
PARTS = ["cooling_kw", "hvac_kw", "it_power_kw", "plug_and_light_kw", "pump_kw"]


def test_the_days_have_the_published_pue(tmp_path: Path, test_data: Path) -> None:
    if find_mosquitto() is None:
        skip_loudly("no mosquitto on this machine: apt-get install mosquitto")
    source = test_data / "nrel-esif-pue-daily" / "esif_daily_2015_2021.csv"
    if not source.exists():
        skip_loudly(f"no {source.name} in {source.parent}")
    table = pd.read_csv(source)
    wanted = table[(table["date"] >= FROM) & (table["date"] < TO)]
    # Two faulty rows of the back-filled part come along and are left out.
    file = tmp_path / "days.csv"
    pd.concat([table[table["pue"] < 0], wanted]).to_csv(file, index=False)
    text = (CONFIG / "replay-sites" / f"{SITE}.toml").read_text("utf-8")
    for_ever = {"GREENDC_TIMESERIES__RAW_DAYS": "0"}
    made = Ingester(tmp_path / "one", for_ever, site_file=text, site=SITE)
    accounts = tmp_path / "accounts"
    accounts.write_text("".join(f"{n}:{p}\n" for n, p in made.broker.accounts.items()))
    environment = {**os.environ, **made.environment, "GREENDC_SIMS__ACCOUNTS_FILE": str(accounts)}
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
        assert "2 rows left out: before 2016-06-13" in done.stderr
        # Six devices at the border of each day, and at the start of both runs.
        readings = 6 * (len(wanted) + 2)
        assert f'"published": {readings}, "acknowledged": {readings}' in done.stdout
        assert made.drained(readings)["stored"] == readings
        analytics = subprocess.Popen([*command, "analytics"], env=environment)
        asked = ("kpi", "--site", SITE, "--from", FROM, "--to", TO, "--kpi", "pue")

        def rolled_up() -> bool:
            found = made.ask(*asked)
            return bool(found) and found[0]["verdict"] != "refused"

        wait_until(rolled_up, seconds=90, what="the days rolled up", every=2)
        days = made.ask(*asked, "--resolution", "day")
        assert len(days) == 38
        known = [day for day in days if day["verdict"] == "final"]
        assert len(known) == len(wanted) == 36
        of_parts = wanted[PARTS].sum(axis=1) / wanted["it_power_kw"]
        values = [day["value"] for day in known]
        assert values == pytest.approx(of_parts.tolist(), rel=1e-9)
        # The published mean of ratios is another figure on a few days of partial load.
        error = (pd.Series(values, index=wanted.index) - wanted["pue"]).abs()
        assert error.median() < 1e-4
        assert (error <= 2e-3).sum() == 32
        assert {day["shares"]["counted"] for day in known} == {1.0}
        refused = [day["start"][:10] for day in days if day["verdict"] == "refused"]
        assert refused == ["2018-02-24", "2018-02-25"]
        (whole,) = made.ask(*asked)
        assert whole["verdict"] == "provisional"
        assert whole["coverage"]["numerator"] == pytest.approx(36 / 38, abs=2e-3)
        hours = made.ask(
            *("kpi", "--site", SITE, "--from", "2018-03-01", "--to", "2018-03-02"),
            *("--kpi", "pue", "--resolution", "hour"),
        )
        assert {hour["verdict"] for hour in hours} == {"refused"}
        # No factor of the Korean grid is laid over a site in Colorado.
        (cue,) = made.ask(*asked[:-1], "cue_location")
        assert "for sites in America/Denver" in cue["reason"]
        analytics.send_signal(signal.SIGTERM)
        assert analytics.wait(timeout=10) == 0
    finally:
        if analytics is not None and analytics.poll() is None:
            analytics.kill()
        made.close()
