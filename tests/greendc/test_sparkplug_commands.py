"""`greendc mapping test --before` and the access list, as a person with an edge node uses them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from greendc.cli import main
from tests.ingest.registry import REGISTRY_FILE, SPARKPLUG_FILE
from tests.ingest.sparkplug_encoder import payload

TIME_MS = 1_795_132_500_000


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("GREENDC_")]:
        if not name.startswith("GREENDC_TEST_"):
            monkeypatch.delenv(name)
    for kind, text in (("sites", REGISTRY_FILE), ("mappings", SPARKPLUG_FILE)):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "test-dc.toml").write_text(text, encoding="utf-8")
        monkeypatch.setenv(f"GREENDC_{kind.upper()}_DIR", str(tmp_path / kind))
    monkeypatch.setenv("GREENDC_DATA_DIR", str(tmp_path / "data"))
    return tmp_path


def test_data_is_tried_after_its_births(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metric = {"name": "Meters/a/Active Power", "alias": 5, "dataType": "Int32", "value": 1000}
    (folder / "birth").write_bytes(payload(1, TIME_MS, metric))
    data = {"alias": 5, "value": 812_400, "field": "int_value"}
    (folder / "data").write_bytes(payload(2, TIME_MS, data))
    group = "spBv1.0/Test Plant"
    command = [
        *("mapping", "test", str(folder / "mappings" / "test-dc.toml"), "--json"),
        *("--topic", f"{group}/DDATA/edge-1/PLC", "--payload", str(folder / "data")),
    ]
    assert main(command) == 1
    (refusal,) = json.loads(capsys.readouterr().out)["refusals"]
    assert (refusal["reason"], refusal["verdict"]) == ("no_birth", "quarantined")
    birth = str(folder / "birth")
    assert main([*command, "--before", f"{group}/DBIRTH/edge-1/PLC", birth]) == 0
    (reading,) = json.loads(capsys.readouterr().out)["readings"]
    assert (reading["device"], reading["values"]) == ("grid-a", {"active_power_kw": 812.4})


def test_the_access_list_knows_the_edge_nodes_of_the_mappings(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["broker", "acl"]) == 0
    lines = capsys.readouterr().out.splitlines()
    begin = lines.index("user test-dc")
    assert "topic write spBv1.0/Test Plant/DDATA/edge-1/+" in lines[begin : lines.index("", begin)]
    # What is said to all accounts comes behind what is said to one.
    assert begin < next(at for at, line in enumerate(lines) if line.startswith("pattern"))
    assert main(["broker", "config"]) == 0
    assert "queue_qos0_messages true" in capsys.readouterr().out.splitlines()
