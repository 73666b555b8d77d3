"""The files of a month: same bytes anywhere, and the PDF says what the JSON says."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigurationError
from core.reports import ReportRevision
from core.sites import Site
from core.text import LANGUAGES
from reports.pdf import render_pdf
from reports.revisions import ReportDesk, build_report
from reports.words import load_words
from tests.reports.conftest import REPOSITORY, report_desks, spoilt_month
from tests.reports.month_data import MONTH, NOW, MonthData, read_site


@pytest.fixture(scope="module")
def built(
    tmp_path_factory: pytest.TempPathFactory, fonts: Path
) -> Iterator[tuple[ReportDesk, ReportRevision]]:
    data = spoilt_month()
    with report_desks(tmp_path_factory.mktemp("built"), fonts) as make:
        desk = make(data)
        yield desk, build_report(desk, data.site, MONTH, author="somebody", now=NOW)


def path_of(built: tuple[ReportDesk, ReportRevision], kind: str, lang: str = "") -> Path:
    desk, revision = built
    file = revision.file(kind, lang)
    assert file is not None
    return desk.archive.path(file)


def document_of(built: tuple[ReportDesk, ReportRevision]) -> dict[str, Any]:
    document = json.loads(path_of(built, "json").read_bytes())
    assert isinstance(document, dict)
    return document


def test_the_bytes_are_the_same_in_any_environment(fonts: Path) -> None:
    script = REPOSITORY / "tests" / "reports" / "print_hashes.py"
    runs = []
    for seed, zone, locale in (
        ("0", "UTC", "C.UTF-8"),
        ("4242", "America/Los_Angeles", "ko_KR.UTF-8"),
    ):
        environment = {
            **os.environ,
            "PYTHONHASHSEED": seed,
            "TZ": zone,
            "LC_ALL": locale,
            "LANG": locale,
            "PYTHONPATH": str(REPOSITORY),
        }
        runs.append(
            subprocess.Popen(
                [sys.executable, str(script), str(fonts)],
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
    answers = [run.communicate(timeout=110)[0].split() for run in runs]
    assert len(answers[0]) == 3
    assert answers[0] == answers[1]


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_text_holds_every_figure_of_the_table(
    built: tuple[ReportDesk, ReportRevision], poppler: Callable[..., str], lang: str
) -> None:
    text = poppler("pdftotext", "-layout", path_of(built, "pdf", lang), "-")
    document = document_of(built)
    words = set(re.split(r"\s+", text))
    for row in document["kpis"]:
        assert row["shown"] in words, (row["kpi"], row["subject"])
        for share in row["shares_shown"]:
            assert share["shown"] in words
    for day in document["daily"]:
        for name in ("pue", "facility_energy", "it_energy", "water", "pv_energy"):
            assert day[name]["shown"] in words, (day["day"], name)
    for entry in document["water"]["rain_balance"]["entries"]:
        assert entry["shown"] in words
    first = poppler("pdftotext", "-l", "1", path_of(built, "pdf", lang), "-")
    sha256 = hashlib.sha256(path_of(built, "json").read_bytes()).hexdigest()
    assert sha256[:16] in first
    assert sha256 in text
    assert document["site"]["name"][lang] in first
    assert "\ufffd" not in text


def test_korean_stays_korean(
    built: tuple[ReportDesk, ReportRevision], poppler: Callable[..., str]
) -> None:
    text = poppler("pdftotext", path_of(built, "pdf", "ko"), "-")
    for words in (
        "지속가능성 월간 보고서",
        "2026년 10월",
        "기간 PUE",
        "빗물 수지",
        "부록 A. 일별 값",
    ):
        assert words in text, words
    english = poppler("pdftotext", path_of(built, "pdf", "en"), "-")
    assert set(re.findall(r"[가-힣]+", english)) == set()


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_page_is_marked_simulated(
    built: tuple[ReportDesk, ReportRevision], poppler: Callable[..., str], lang: str
) -> None:
    words = load_words()["ko" if lang == "ko" else "en"]
    info = poppler("pdfinfo", path_of(built, "pdf", lang))
    pages = int(re.findall(r"Pages:\s+(\d+)", info)[0])
    assert pages >= 4
    for page in range(1, pages + 1):
        text = poppler(
            "pdftotext", "-f", str(page), "-l", str(page), path_of(built, "pdf", lang), "-"
        )
        assert words("simulated.footer") in " ".join(text.split())
        assert re.search(rf"\b{page} ?/ ?{pages}\b", text)


def test_standards_fonts_and_tags(
    built: tuple[ReportDesk, ReportRevision], poppler: Callable[..., str]
) -> None:
    for lang in LANGUAGES:
        path = path_of(built, "pdf", lang)
        info = poppler("pdfinfo", path)
        assert re.search(r"Tagged:\s+yes", info)
        assert re.search(r"Page size:.*A4", info)
        metadata = poppler("pdfinfo", "-meta", path)
        assert "<pdfaid:part>3</pdfaid:part>" in metadata
        assert "<pdfaid:conformance>A</pdfaid:conformance>" in metadata
        assert "<pdfuaid:part>1</pdfuaid:part>" in metadata
        fonts = poppler("pdffonts", path).splitlines()[2:]
        assert len(fonts) >= 3
        assert all("yes yes yes" in line for line in fonts), fonts
        assert any("Pretendard" in line for line in fonts)
        # Each picture has words for who does not see it.
        structure = poppler("pdfinfo", "-struct", path)
        assert structure.count("Figure") >= 5
        assert "Table" in structure
        assert "TH" in structure


def test_the_json_is_attached_as_it_is(
    built: tuple[ReportDesk, ReportRevision], poppler: Callable[..., str], tmp_path: Path
) -> None:
    out = tmp_path / "attached.json"
    poppler("pdfdetach", "-save", "1", "-o", out, path_of(built, "pdf", "ko"))
    assert out.read_bytes() == path_of(built, "json").read_bytes()


def test_a_warm_pdf_takes_less_than_a_second_of_work(
    built: tuple[ReportDesk, ReportRevision],
) -> None:
    desk, _ = built
    written = path_of(built, "json").read_bytes()
    document = json.loads(written)
    words = load_words()["ko"]
    document["month"] = "2026-09"  # another text, so that nothing is taken from before
    before = time.process_time()
    render_pdf(document, written, "0" * 64, words, desk.fonts)
    assert time.process_time() - before < 1.0


def test_a_name_is_text_and_never_markup(
    new_desk: Callable[[MonthData], ReportDesk], poppler: Callable[..., str]
) -> None:
    name = 'A #panic("x") *b* $c$ <d> "e" & {f}'
    site = read_site(replace={'en = "Kakao Data Center Ansan"': f"en = '{name}'"})
    desk = new_desk(MonthData(site))
    revision = build_report(desk, site, MONTH, author="a", now=NOW)
    text = poppler("pdftotext", "-l", "1", path_of((desk, revision), "pdf", "en"), "-")
    assert '#panic("x") *b* $c$ <d> "e" & {f}' in text.replace("\n", " ")


@pytest.mark.parametrize("drop", ["solar", "water", "accelerator", "weather"])
def test_a_site_without_a_family_has_a_report_too(
    new_desk: Callable[[MonthData], ReportDesk], drop: str
) -> None:
    site: Site = read_site("naver-gak-sejong")
    devices = {name: d for name, d in site.devices.items() if d.family != drop}
    smaller = replace(site, devices=devices, targets=(), facts=())
    desk = new_desk(MonthData(smaller))
    revision = build_report(desk, smaller, MONTH, author="a", now=NOW)
    assert {f.kind for f in revision.files} == {"json", "pdf"}


def test_without_fonts_nothing_is_built(
    new_desk: Callable[[MonthData], ReportDesk], month: MonthData, tmp_path: Path
) -> None:
    desk = replace(new_desk(month), fonts=tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match="make board-files"):
        build_report(desk, month.site, MONTH, author="a", now=NOW)
    assert not desk.archive.folder.exists()
