"""`greendc mapping test` and what `doctor` says of mappings, as a person at a gateway uses them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cbor2
import pytest

from greendc.cli import main
from tests.ingest.registry import MAPPING_FILE, REGISTRY_FILE, SENML_MAPPING

GPUS = """
[[device_groups]]
id = "node01-gpu{0..3}"
family = "accelerator"
role = "accelerator"
kind = "gpu"
metrics = ["power_w", "utilization_percent", "temperature_c", "memory_used_gib"]
cadence_s = 10
valid_from = 2026-01-01
"""
# As Telegraf's plugins write them: the modbus input in request style, and nvidia_smi.
MODBUS = (
    "modbus,host=gw-1,name=grid-a,slave_id=1,type=holding_register "
    "current_l1=1203.2,energy=99184412.5,frequency=60.01,power=812400,voltage_l1=229.8 "
    "1795132500000000000\n"
    "modbus,host=gw-1,name=grid-b,slave_id=2,type=holding_register power=790100i "
    "1795132500000000000\n"
)
NVIDIA_SMI = (
    r"nvidia_smi,arch=Hopper,compute_mode=Default,host=node01,index=2,name=NVIDIA\ H100\ 80GB\ HBM3"
    ",pstate=P0,uuid=GPU-f9ba66fc-a7f5-94c5-da19-019ef2f9c665 "
    'clocks_current_graphics=1980i,clocks_current_memory=2619i,cuda_version="12.4",'
    'driver_version="550.54.15",encoder_stats_session_count=0i,fan_speed=0i,memory_free=5120i,'
    "memory_reserved=551i,memory_total=81559i,memory_used=76439i,pcie_link_gen_current=5i,"
    "power_draw=612.4,temperature_gpu=63i,utilization_gpu=97i,utilization_memory=41i "
    "1795132500000000000\n"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "sites").mkdir()
    (tmp_path / "sites" / "test-dc.toml").write_text(REGISTRY_FILE + GPUS, encoding="utf-8")
    (tmp_path / "mappings").mkdir()
    for name in [name for name in os.environ if name.startswith("GREENDC_")]:
        if not name.startswith("GREENDC_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("GREENDC_SITES_DIR", str(tmp_path / "sites"))
    monkeypatch.setenv("GREENDC_MAPPINGS_DIR", str(tmp_path / "mappings"))
    monkeypatch.setenv("GREENDC_DATA_DIR", str(tmp_path / "data"))
    return tmp_path


def tried(folder: Path, mapping: Path, payload: str, *more: str) -> list[str]:
    (folder / "payload").write_text(payload, encoding="utf-8")
    return [
        *("mapping", "test", str(mapping), "--topic", "telegraf/test-dc/meters/gw-1"),
        *("--payload", str(folder / "payload"), *more),
    ]


def asked(command: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> Any:
    assert main([*command, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_the_ready_mapping_for_modbus(
    folder: Path, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mapping = repository / "config" / "mappings" / "telegraf-modbus.toml"
    answer = asked(tried(folder, mapping, MODBUS), 0, capsys)
    assert answer["refusals"] == []
    assert answer["readings"] == [
        {
            "site": "test-dc",
            "device": "grid-a",
            "family": "energy",
            "ts": "2026-11-19T23:55:00.000Z",
            "quality": "good",
            "values": {"active_energy_kwh": 99184412.5, "active_power_kw": 812.4},
            "line": 1,
        },
        {
            "site": "test-dc",
            "device": "grid-b",
            "family": "energy",
            "ts": "2026-11-19T23:55:00.000Z",
            "quality": "good",
            "values": {"active_power_kw": 790.1},
            "line": 2,
        },
    ]


def test_the_ready_mapping_for_nvidia_smi(
    folder: Path, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mapping = repository / "config" / "mappings" / "telegraf-nvidia-smi.toml"
    (reading,) = asked(tried(folder, mapping, NVIDIA_SMI), 0, capsys)["readings"]
    assert reading["device"] == "node01-gpu2"
    assert reading["values"] == {
        "memory_used_gib": 76439 / 1024,
        "power_w": 612.4,
        "temperature_c": 63.0,
        "utilization_percent": 97.0,
    }


def test_the_ready_mapping_for_dcgm_and_a_pack_in_cbor(
    folder: Path, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mapping = repository / "config" / "mappings" / "dcgm-exporter.toml"
    scrape = (
        "# greendc-time 2026-11-20T09:15:00+09:00\n"
        'DCGM_FI_DEV_POWER_USAGE{gpu="2",Hostname="node01"} 612.4\n'
        'DCGM_FI_DEV_GPU_UTIL{gpu="2",Hostname="node01"} NaN\n'
    )
    command = tried(folder, mapping, scrape)
    command[command.index("--topic") + 1] = "prometheus/test-dc/node01"
    answer = asked(command, 1, capsys)
    (reading,) = answer["readings"]
    assert (reading["device"], reading["ts"], reading["values"], reading["line"]) == (
        "node01-gpu2",
        "2026-11-20T00:15:00.000Z",
        {"power_w": 612.4},
        2,
    )
    assert [(r["reason"], r["line"]) for r in answer["refusals"]] == [("not_a_number", 3)]
    mapping = folder / "senml.toml"
    mapping.write_text(SENML_MAPPING, encoding="utf-8")
    command = tried(folder, mapping, "")
    command[command.index("--topic") + 1] = "senml/test-dc/gw-1"
    pack = [{-2: "urn:dev:ow:01:", -3: 1795133700, 0: "power", 2: 1000}, {0: "power", 6: -1, 2: 2}]
    (folder / "payload").write_bytes(cbor2.dumps(pack))
    answer = asked(command, 0, capsys)
    assert [reading["values"] for reading in answer["readings"]] == [
        {"active_power_kw": 1.0},
        {"active_power_kw": 0.002},
    ]


def test_refusals_name_line_reason_and_detail(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mapping = folder / "m.toml"
    mapping.write_text(MAPPING_FILE, encoding="utf-8")
    head = "modbus,slave_id={},type=input_register"
    payload = (
        f"# read at noon\n{head.format(1)} power=1000 1795132500000000000\n"
        f"{head.format(3)} power=1000 1795132500000000000\n"
        f"{head.format(4)} power=1000 1795132500000000000\n"
        f"{head.format(9)} power=1000 1795132500000000000\n"
        f"{head.format(2)} power=1000 1795132500\n"
    )
    answer = asked(tried(folder, mapping, payload), 1, capsys)
    assert [reading["line"] for reading in answer["readings"]] == [2]
    assert [(r["line"], r["reason"]) for r in answer["refusals"]] == [
        (3, "unknown_device"),
        (4, "unknown_device"),
        (5, "unknown_device"),
        (6, "time_too_old"),
    ]
    assert "'4'" in answer["refusals"][1]["detail"]
    assert "not-there" in answer["refusals"][2]["detail"]
    assert main(tried(folder, mapping, payload)) == 1
    table = capsys.readouterr().out
    assert "grid-a" in table
    assert "time_too_old" in table


def test_the_time_window_is_judged_where_the_receipt_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mapping = folder / "m.toml"
    mapping.write_text(MAPPING_FILE, encoding="utf-8")
    payload = "modbus,slave_id=1,type=input_register power=1000 1762000000000000000\n"
    assert asked(tried(folder, mapping, payload), 0, capsys)["refusals"] == []
    late = tried(folder, mapping, payload, "--at", "2026-11-20T09:15:00+09:00")
    assert asked(late, 1, capsys)["refusals"][0]["reason"] == "time_too_old"
    assert main(tried(folder, mapping, payload, "--at", "yesterday")) == 2


def test_another_topic_and_another_site_are_refused_whole(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mapping = folder / "m.toml"
    mapping.write_text(MAPPING_FILE.replace("/meters/", "/other/"), encoding="utf-8")
    (refusal,) = asked(tried(folder, mapping, "x y=1 1"), 1, capsys)["refusals"]
    assert (refusal["reason"], refusal["line"]) == ("unknown_topic", None)
    command = tried(folder, mapping, "x y=1 1")
    command[command.index("--topic") + 1] = "telegraf/nowhere/x"
    (refusal,) = asked(command, 1, capsys)["refusals"]
    assert refusal["reason"] == "unknown_site"


def test_a_wrong_file_ends_with_2_and_tells_everything(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mapping = folder / "m.toml"
    mapping.write_text(
        MAPPING_FILE.replace('"degF"', '"F"').replace("scale = -1", "scale = 0"), encoding="utf-8"
    )
    assert main(tried(folder, mapping, MODBUS)) == 2
    said = capsys.readouterr().err
    assert "rules.2.fields.temperature.unit: unknown unit 'F'" in said
    assert "rules.1.fields.p sum.scale" in said
    assert main(tried(folder, folder / "none.toml", MODBUS)) == 2
    assert "none.toml" in capsys.readouterr().err


def test_the_site_folder_may_be_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mapping = folder / "m.toml"
    mapping.write_text(MAPPING_FILE, encoding="utf-8")
    payload = "modbus,slave_id=1,type=input_register power=1000 1795132500000000000\n"
    other = folder / "others"
    other.mkdir()
    (other / "x.toml").write_text(REGISTRY_FILE.replace('"grid-a"', '"grid-x"'), encoding="utf-8")
    command = tried(folder, mapping, payload, "--site-dir", str(other))
    assert asked(command, 1, capsys)["refusals"][0]["reason"] == "unknown_device"


def test_doctor_and_the_ingester_name_what_is_wrong(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def mappings_check() -> Any:
        main(["doctor", "--json"])
        rows = json.loads(capsys.readouterr().out)
        return next(row for row in rows if row["check"] == "mappings")

    own = MAPPING_FILE.replace("telegraf/+/", "telegraf/test-dc/")
    file = folder / "mappings" / "own.toml"
    file.write_text(own.replace("not-there", "grid-b").replace("export =", "exported ="))
    assert not mappings_check()["ok"]  # grid-a declares no export_energy_kwh
    file.write_text(MAPPING_FILE, encoding="utf-8")
    found = mappings_check()
    assert found["ok"]
    assert "1 files" in found["detail"]
    file.write_text(MAPPING_FILE.replace('"degF"', '"F"'), encoding="utf-8")
    found = mappings_check()
    assert not found["ok"]
    assert "rules.2.fields.temperature.unit" in found["detail"]
    for process in ("ingest", "serve"):
        assert main([process]) == 2
        assert "rules.2.fields.temperature.unit" in capsys.readouterr().err
