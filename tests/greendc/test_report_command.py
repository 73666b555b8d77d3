"""`greendc report`: shapes, exit codes, files complete or not at all."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from greendc.cli import main
from reports.pdf import FONTS
from storage.embedded.store import EmbeddedStore
from storage.records.store import Records
from tests.conftest import skip_loudly
from tests.reports.month_data import MONTH, SITES, MonthData, read_site

FONT_FOLDER = Path(__file__).resolve().parents[2] / "dashboard" / "build" / "report-fonts"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder that holds one month of one site, as analytics would have left it."""
    if not all((FONT_FOLDER / name).is_file() for name in FONTS):
        skip_loudly("no fonts for reports: `make board-files` brings them")
    folder = tmp_path_factory.mktemp("data")
    store = EmbeddedStore(folder / "timeseries", 400, role="all")
    memory, _ = MonthData(read_site("naver-gak-sejong")).write()
    store.write_intervals(list(memory.blocks.values()))
    store.close()
    Records.open(f"sqlite:///{folder / 'records.sqlite'}").close()
    return folder


@pytest.fixture(autouse=True)
def environment(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREENDC_DATA_DIR", str(data_dir))
    monkeypatch.setenv("GREENDC_SITES_DIR", str(SITES))


def ask(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    code = main(["report", *arguments])
    printed = capsys.readouterr()
    return code, json.loads(printed.out) if printed.out.startswith(("{", "[")) else printed.err


def test_build_list_and_show(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("build", "--site", "naver-gak-sejong", "--month", MONTH, "--json")
    code, built = ask(capsys, *arguments, "--out", str(out))
    assert code == 0
    assert {k: built[k] for k in ("id", "site", "month", "revision", "state")} == {
        "id": f"naver-gak-sejong_{MONTH}_r1",
        "site": "naver-gak-sejong",
        "month": MONTH,
        "revision": 1,
        "state": "draft",
    }
    assert [(f["kind"], f["lang"]) for f in built["files"]] == [
        ("json", ""),
        ("pdf", "ko"),
        ("pdf", "en"),
    ]
    for file in built["files"]:
        assert Path(file["path"]).parent == out
        assert hashlib.sha256(Path(file["path"]).read_bytes()).hexdigest() == file["sha256"]
    assert not [p for p in out.iterdir() if p.name.startswith(".")]

    code, again = ask(capsys, *arguments)
    assert code == 0
    assert again["id"] == built["id"]
    assert [f["sha256"] for f in again["files"]] == [f["sha256"] for f in built["files"]]
    assert all(Path(f["path"]).is_file() for f in again["files"])

    assert ask(capsys, "show", built["id"], "--json") == (0, again)
    assert ask(capsys, "list", "--json") == (0, [again])
    assert ask(capsys, "list", "--site", "kakao-ansan", "--json") == (0, [])

    document = json.loads(Path(again["files"][0]["path"]).read_bytes())
    code = main(
        [
            *("kpi", "--site", "naver-gak-sejong", "--resolution", "month", "--json"),
            *("--from", "2026-10-01", "--to", "2026-11-01"),
        ]
    )
    assert code == 0
    asked = {(r["kpi"], r["subject"]): r for r in json.loads(capsys.readouterr().out)}
    rows = {(r["kpi"], r["subject"]): r for r in document["kpis"]}
    assert set(asked) <= set(rows)
    for key, row in asked.items():
        assert rows[key]["verdict"] == row["verdict"]
        if row["value"] is not None:
            assert rows[key]["value"] == pytest.approx(row["value"], abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("build", "--site", "naver-gak-sejong", "--month", "2199-01"), 4, "has not ended"),
        (("build", "--site", "naver-gak-sejong", "--month", "2026-03"), 4, "no data"),
        (("build", "--site", "naver-gak-sejong", "--month", "2026-1"), 2, "YYYY-MM"),
        (("build", "--site", "nowhere", "--month", MONTH), 4, "no site"),
        (("show", "nothing"), 4, "no report"),
        (("list", "--site", "nowhere"), 4, "no site"),
    ],
)
def test_exit_codes(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, words: str
) -> None:
    assert main(["report", *arguments]) == code
    printed = capsys.readouterr()
    assert words in printed.err
    assert printed.out == ""
