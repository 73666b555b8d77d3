"""The command line as a script sees it: exit codes, one JSON document, fast start."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from greendc.cli import COMMANDS, main

SITE = """
schema = 1
id = "test-dc"
name = { ko = "시험", en = "Test" }
operator = "Nobody"
status = "operating"
data = "simulated"
zone = "Asia/Seoul"
location = { latitude = 37.3, longitude = 126.8 }
pue_category = 2
[[devices]]
id = "grid-a"
family = "energy"
role = "grid_feed"
metrics = ["active_power_kw", "active_energy_kwh"]
cadence_s = 10
valid_from = 2026-01-01
"""
HEAVY = "pandas sklearn influxdb_client dash plotly pvlib pyarrow paho sqlalchemy numpy uvicorn"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    sites = tmp_path / "sites"
    sites.mkdir()
    (sites / "test-dc.toml").write_text(SITE, encoding="utf-8")
    for name in [name for name in os.environ if name.startswith("GREENDC_")]:
        if not name.startswith("GREENDC_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("GREENDC_SITES_DIR", str(sites))
    monkeypatch.setenv("GREENDC_DATA_DIR", str(tmp_path / "data"))
    return tmp_path


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from greendc.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        f"found = sorted(set('{HEAVY}'.split()) & set(sys.modules))\n"
        "sys.exit(repr(found) if found else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in COMMANDS)


def test_sites_check_counts_and_lists(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sites", "check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"sites": 1, "devices": 1, "problems": []}
    bad = folder / "sites" / "bad.toml"
    bad.write_text(SITE.replace("grid_feed", "grid_fed").replace("test-dc", "other"))
    assert main(["sites", "check", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["sites"] == 1
    assert [set(problem) for problem in answer["problems"]] == [{"file", "key", "problem", "hint"}]
    assert answer["problems"][0]["file"] == str(bad)


def test_a_wrong_setting_ends_with_2_and_names_itself(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GREENDC_BORAD__PORT", "1")
    for command in (["config", "show"], ["ingest"], ["dashboard"], ["serve"]):
        assert main(command) == 2
        assert "GREENDC_BORAD__PORT: is no setting of greendc" in capsys.readouterr().err


def test_config_show_masks_and_names_origins(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GREENDC_MQTT__PASSWORD", "hunter2")
    assert main(["config", "show", "--json"]) == 0
    out = capsys.readouterr().out
    rows = {row["key"]: row for row in json.loads(out)}
    assert "hunter2" not in out
    assert rows["mqtt.password"]["origin"] == "GREENDC_MQTT__PASSWORD"


def test_an_unknown_site_ends_with_4(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--site", "nowhere", "--from", "2026-11-01", "--to", "2026-11-02"]
    assert main(["ledger", *arguments]) == 4
    assert "known: test-dc" in capsys.readouterr().err


def test_a_store_that_cannot_be_reached_ends_with_3(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    free_port: Callable[[], int],
) -> None:
    monkeypatch.setenv("GREENDC_TIMESERIES__URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("GREENDC_TIMESERIES__TOKEN", "none")
    series = ["--site", "test-dc", "--device", "grid-a", "--metric", "active_power_kw"]
    arguments = [*series, "--from", "2026-11-01", "--to", "2026-11-02"]
    assert main(["samples", *arguments]) == 3
    assert "127.0.0.1" in capsys.readouterr().err


def test_a_time_without_offset_ends_with_2(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--site", "test-dc", "--from", "2026-11-01T00:00:00", "--to", "2026-11-02"]
    assert main(["kpi", *arguments]) == 2
    assert "--from" in capsys.readouterr().err


def test_the_table_of_reasons_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quarantine", "reasons", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["verdict"] for row in rows} == {"quarantined", "rejected"}
    assert all(set(row["text"]) == {"ko", "en"} for row in rows)
    assert {"unknown_topic", "conflicting_value", "rate_cap"} <= {row["reason"] for row in rows}


def test_a_data_folder_that_cannot_be_written_ends_with_2(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # A file where the folder should be: true for every account, root too.
    blocked = folder / "blocked"
    blocked.write_text("")
    monkeypatch.setenv("GREENDC_DATA_DIR", str(blocked))
    for command in ("ingest", "analytics", "dashboard", "serve"):
        assert main([command]) == 2
        err = capsys.readouterr().err
        assert str(blocked) in err
        assert "GREENDC_DATA_DIR" in err


def test_raw_data_must_outlive_the_late_window(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GREENDC_TIMESERIES__RAW_DAYS", "35")
    assert main(["ingest"]) == 2
    assert "late window of site test-dc (35 days)" in capsys.readouterr().err
    replayed = SITE.replace("pue_category = 2", "pue_category = 2\nlate_window_days = 0")
    (folder / "sites" / "test-dc.toml").write_text(replayed, encoding="utf-8")
    monkeypatch.setenv("GREENDC_TIMESERIES__RAW_DAYS", "400")
    assert main(["ingest"]) == 2
    assert "late window of site test-dc (no limit)" in capsys.readouterr().err
