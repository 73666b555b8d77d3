"""A sheet of hand-read meters through everything: the month's figures say `manual`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from greendc.local_broker import find_mosquitto
from tests.conftest import skip_loudly
from tests.integration.ingester import Ingester
from tests.services.processes import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
SITE = "test-dc"
SEOUL = ZoneInfo("Asia/Seoul")
SITE_FILE = """
schema = 1
id = "test-dc"
name = { ko = "시험", en = "Test" }
operator = "x"
status = "operating"
data = "measured"
zone = "Asia/Seoul"
location = { latitude = 37, longitude = 127 }
pue_category = 2

[[devices]]
id = "grid-a"
family = "energy"
role = "grid_feed"
metrics = ["active_energy_kwh"]
cadence_s = 3600
valid_from = 2024-01-01

[[devices]]
id = "pdu-1"
family = "energy"
role = "pdu_output"
metrics = ["active_energy_kwh"]
cadence_s = 3600
valid_from = 2024-01-01

[[devices]]
id = "mains-1"
family = "water"
role = "mains_supply"
metrics = ["volume_m3"]
cadence_s = 3600
valid_from = 2024-01-01
"""
MAP = """
schema = 1
site = "test-dc"

[file]
encoding = "cp949"

[numbers]
thousands = ","

[time]
column = "검침일"
zone = "Asia/Seoul"
at = "00:00"

[[meters]]
column = "한전 수전 (kWh)"
device = "grid-a"
metric = "active_energy_kwh"
unit = "kWh"
kind = "reading"

[[meters]]
column = "전산실 PDU (MWh)"
device = "pdu-1"
metric = "active_energy_kwh"
unit = "MWh"
kind = "reading"

[[meters]]
column = "상수도 (m³)"
device = "mains-1"
metric = "volume_m3"
unit = "m³"
kind = "reading"
"""


def test_a_sheet_gives_the_figures_of_its_span(tmp_path: Path) -> None:
    if find_mosquitto() is None:
        skip_loudly("no mosquitto on this machine: apt-get install mosquitto")
    made = Ingester(tmp_path / "one", site_file=SITE_FILE, site=SITE)
    accounts = tmp_path / "accounts"
    accounts.write_text("".join(f"{n}:{p}\n" for n, p in made.broker.accounts.items()))
    environment = {**os.environ, **made.environment, "GREENDC_SIMS__ACCOUNTS_FILE": str(accounts)}
    today = datetime.now(UTC).astimezone(SEOUL).date()
    first, last = today - timedelta(days=21), today - timedelta(days=1)
    middle = today - timedelta(days=11)
    rows = (
        f'{last},"1,037,000","720.0",412\r\n{first},"1,000,000","692.0",400\r\n'
        f'{middle},"1,013,000","702.0",405\r\n'
    )
    header = "검침일,한전 수전 (kWh),전산실 PDU (MWh),상수도 (m³)\r\n"
    sheet, map_file = tmp_path / "검침.csv", tmp_path / "map.toml"
    sheet.write_bytes((header + rows).encode("cp949"))
    map_file.write_text(MAP, encoding="utf-8")
    command = [sys.executable, "-m", "greendc"]

    def bring_in() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, "import", str(sheet), "--map", str(map_file), "--json"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    analytics = None
    try:
        made.start()
        done = bring_in()
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == '{"published": 9, "acknowledged": 9}'
        assert made.drained(9)["stored"] == 9
        # The same sheet once more: what is held is a duplicate, nothing is counted twice.
        assert bring_in().returncode == 0
        again = made.drained(18)
        assert (again["stored"], again["duplicate"], again["quarantined"]) == (9, 9, 0)
        analytics = subprocess.Popen([*command, "analytics"], env=environment)
        asked = ("kpi", "--site", SITE, "--from", str(first), "--to", str(last))

        def row(kpi: str, *more: str) -> Any:
            (found,) = made.ask(*asked, "--kpi", kpi, *more)
            return found

        wait_until(
            lambda: row("wue")["verdict"] == "final" and row("pue")["verdict"] == "final",
            seconds=90,
            what="the sheet rolled up",
            every=2,
        )
        for kpi, value in (
            ("facility_energy", 37_000.0),
            ("it_energy", 28_000.0),
            ("pue", 37 / 28),
            ("wue", 12_000 / 28_000),
        ):
            found = row(kpi)
            assert found["value"] == pytest.approx(value)
            assert found["verdict"] == "final"
            assert found["shares"]["manual"] == pytest.approx(1.0), kpi
            assert found["shares"]["counted"] == 0.0
        # A day in the middle of a silence of ten days is not known.
        day = middle + timedelta(days=3)
        (inside,) = made.ask(
            *("kpi", "--site", SITE, "--from", str(day)),
            *("--to", str(day + timedelta(days=1)), "--kpi", "facility_energy"),
        )
        assert inside["verdict"] == "refused"
        sheet.write_bytes((header + "2026-13-01,5,5,5\r\n").encode("cp949"))
        wrong = bring_in()
        assert wrong.returncode == 2
        assert "row 2, '검침일'" in wrong.stderr
        analytics.send_signal(signal.SIGTERM)
        assert analytics.wait(timeout=10) == 0
    finally:
        if analytics is not None and analytics.poll() is None:
            analytics.kill()
        made.close()
