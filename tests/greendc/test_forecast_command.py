"""`greendc forecast` as a script sees it: the agreed document, a table, exit 4 with a reason."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from analytics.forecasting.schedule import ForecastPace, ForecastSchedule
from core.periods import INTERVAL_MS
from greendc.cli import main
from greendc.settings import load_settings
from greendc.wiring import open_records, open_registry, open_store
from tests.analytics.forecast_builders import QUARTERS, put_energy
from tests.greendc.test_cli import SITE

PDU = """
[[devices]]
id = "pdu-1"
family = "energy"
role = "pdu_output"
metrics = ["active_power_kw", "active_energy_kwh"]
cadence_s = 10
valid_from = 2026-01-01
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    sites = tmp_path / "sites"
    sites.mkdir()
    (sites / "test-dc.toml").write_text(SITE + PDU, encoding="utf-8")
    for name in [name for name in os.environ if name.startswith("GREENDC_")]:
        if not name.startswith("GREENDC_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("GREENDC_SITES_DIR", str(sites))
    monkeypatch.setenv("GREENDC_DATA_DIR", str(tmp_path / "data"))
    return tmp_path


@pytest.fixture
def issue(folder: Path) -> Callable[[int], datetime]:
    """Forecasts after so many days of history; the store stays open for writing meanwhile."""

    def issue(days: int) -> datetime:
        settings = load_settings(None).settings
        site = open_registry(settings).site("test-dc")
        now_ms = int(datetime.now(UTC).timestamp() * 1000)
        origin_ms = now_ms - now_ms % INTERVAL_MS
        settings.data_dir.mkdir(exist_ok=True)
        store, records = open_store(settings, role="all"), open_records(settings)
        rng = np.random.default_rng(3)
        it = 1000.0 + rng.normal(0.0, 10.0, days * QUARTERS)
        powers = {site.device("grid-a"): it * 1.25, site.device("pdu-1"): it}
        put_energy(store, site.id, powers, origin_ms - days * QUARTERS * INTERVAL_MS)
        pace = ForecastPace(lag_s=0.0, budget_s=60.0)
        ForecastSchedule(store, records, pace).run(site, origin_ms + 1, Event())
        records.close()
        store.close()
        return datetime.fromtimestamp(origin_ms / 1000, UTC)

    return issue


def test_the_agreed_document(
    issue: Callable[[int], datetime], capsys: pytest.CaptureFixture[str]
) -> None:
    origin = issue(17)
    assert main(["forecast", "--site", "test-dc", "--target", "pue", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert {"issued_at", "model", "state", "points", "record"} <= set(answer)
    assert answer["issued_at"] == origin.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    assert answer["state"] == "learning"
    assert answer["learning_day"] == 18 or answer["learning_day"] == 17
    assert len(answer["points"]) == 192
    assert set(answer["points"][0]) == {"time", "q05", "q10", "q50", "q90", "q95"}
    assert answer["points"][0]["time"] == answer["issued_at"]
    assert answer["points"][0]["q50"] == pytest.approx(1.25, abs=1e-4)
    record = answer["record"]
    assert record["origins"]["issued"] == 0
    assert record["origins"]["hindcast"] > 0
    assert set(record["naive"]) == {"persistence", "mean_24h", "seasonal_24h", "seasonal_168h"}
    assert [band["horizon"] for band in record["bands"]] == ["0-1h", "1-6h", "6-24h", "24-168h"]


def test_a_table_for_people(
    issue: Callable[[int], datetime], capsys: pytest.CaptureFixture[str]
) -> None:
    origin = issue(3)
    command = ["forecast", "--site", "test-dc", "--target", "it_power_kw", "--step", "15m"]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "IT power in kW, test-dc, issued" in shown
    assert "Learning" in shown
    assert "of 42)" in shown
    assert "no forecast of this target has been scored yet" in shown
    assert "simulated" in shown
    last = origin + timedelta(hours=48) - timedelta(minutes=15)
    assert last.strftime("%Y-%m-%dT%H:%M:%S.000Z") in shown


def test_no_forecast_is_exit_4_with_the_reason(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["forecast", "--site", "test-dc", "--target", "pv_power_kw", "--json"]) == 4
    said = capsys.readouterr()
    assert said.out == ""
    assert "declares no a solar array" not in said.err
    assert "it declares no solar array" in said.err
    assert main(["forecast", "--site", "test-dc", "--target", "pue"]) == 4
    assert "no forecast of pue of site test-dc" in capsys.readouterr().err
    assert main(["forecast", "--site", "test-dc", "--target", "humour"]) == 4
    assert "one of pue, facility_power_kw" in capsys.readouterr().err
