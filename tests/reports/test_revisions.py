"""Revisions: the same content is the same one again, other content the next with its changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import StoreUnavailableError
from reports.archive import copy_files
from reports.revisions import ReportDesk, build_report
from tests.reports.month_data import MONTH, NOW, MonthData, read_site

Desks = Callable[[MonthData], ReportDesk]


def test_the_same_content_is_the_same_revision(new_desk: Desks, month: MonthData) -> None:
    desk = new_desk(month)
    first = build_report(desk, month.site, MONTH, author="kim", now=NOW)
    assert (first.id, first.revision, first.state) == (f"kakao-ansan_{MONTH}_r1", 1, "draft")
    again = build_report(desk, month.site, MONTH, author="lee", now=NOW)
    assert again == first
    assert desk.records.read_report_revisions() == [first]
    document = json.loads(desk.archive.read(first.files[0]))
    assert "changes" not in document
    assert document["fingerprints"]["content"]["sha256"] == first.content_sha256


def test_changed_content_is_the_next_revision_with_its_changes(
    new_desk: Desks, month: MonthData
) -> None:
    first = build_report(new_desk(month), month.site, MONTH, author="kim", now=NOW)
    corrected = MonthData(month.site)
    corrected.scale("lighting-1", 1.5)
    corrected.scale("grid-a", 1.02)
    desk = new_desk(corrected)
    second = build_report(desk, month.site, MONTH, author="lee", now=NOW)
    assert (second.revision, second.state) == (2, "draft")
    assert desk.archive.holds(first)
    file = second.file("json")
    assert file is not None
    document = json.loads(desk.archive.read(file))
    changes = {(c["kpi"], c["subject"]): c for c in document["changes"]}
    pue = changes[("pue", "site")]
    before = json.loads(desk.archive.read(first.files[0]))
    old = next(r for r in before["kpis"] if (r["kpi"], r["subject"]) == ("pue", "site"))
    new = next(r for r in document["kpis"] if (r["kpi"], r["subject"]) == ("pue", "site"))
    assert (pue["before"], pue["after"]) == (old["value"], new["value"])
    assert (pue["before_shown"], pue["after_shown"]) == (old["shown"], new["shown"])
    assert (pue["category"], pue["cause"], pue["author"]) == (2, "inputs", "lee")
    assert ("accelerator_energy", "gpu") not in changes


def test_a_changed_site_file_is_named_as_the_cause(new_desk: Desks) -> None:
    build_report(new_desk(MonthData(read_site())), read_site(), MONTH, author="a", now=NOW)
    other = read_site(replace={"catchment_m2 = 6000": "catchment_m2 = 7000"})
    desk = new_desk(MonthData(other))
    second = build_report(desk, other, MONTH, author="a", now=NOW)
    document = json.loads(desk.archive.read(second.files[0]))
    causes = {c["kpi"]: c["cause"] for c in document["changes"]}
    assert causes == {"rain_collection_efficiency": "configuration"}


def test_lost_files_are_made_again_as_they_were(new_desk: Desks, month: MonthData) -> None:
    desk = new_desk(month)
    first = build_report(desk, month.site, MONTH, author="a", now=NOW)
    path = desk.archive.path(first.files[1])
    held = path.read_bytes()
    path.write_bytes(b"something else")
    assert build_report(desk, month.site, MONTH, author="a", now=NOW) == first
    assert path.read_bytes() == held


def test_files_that_would_come_out_differently_are_not_replaced(
    new_desk: Desks, month: MonthData
) -> None:
    from dataclasses import replace

    desk = new_desk(month)
    first = build_report(desk, month.site, MONTH, author="a", now=NOW)
    desk.archive.path(first.files[0]).unlink()
    newer = replace(desk, software={"greendc": "9.9.9"})
    with pytest.raises(StoreUnavailableError, match="backup"):
        build_report(newer, month.site, MONTH, author="a", now=NOW)
    assert desk.records.read_report_revisions() == [first]


def test_nothing_unfinished_is_left_in_a_folder(
    new_desk: Desks, month: MonthData, tmp_path: Path
) -> None:
    desk = new_desk(month)
    first = build_report(desk, month.site, MONTH, author="a", now=NOW)
    out = tmp_path / "out"
    copied = copy_files(desk.archive, first.files, out)
    assert sorted(p.name for p in out.iterdir()) == sorted(f.name for f in first.files)
    assert [Path(f.path).read_bytes() for f in copied] == [
        desk.archive.read(f) for f in first.files
    ]
    hidden = [p for p in desk.archive.folder.rglob("*") if p.name.startswith(".")]
    assert hidden == []
