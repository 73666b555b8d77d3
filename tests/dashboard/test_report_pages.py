"""`/reports`: who sees which months, what is downloaded, and under which name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from core.errors import NotFoundError
from core.reports import ReportRevision, report_id
from reports.archive import ReportArchive
from tests.dashboard.conftest import sign_in

BUILT = datetime(2026, 11, 2, 0, 30, tzinfo=UTC)


class MemoryReports:
    """The port of the reports in a list."""

    def __init__(self) -> None:
        self.held: list[ReportRevision] = []

    def read_report_revisions(
        self, *, sites: list[str] | None = None, month: str | None = None
    ) -> list[ReportRevision]:
        return list(self.held)

    def read_report_revision(self, report_id: str) -> ReportRevision:
        for revision in self.held:
            if revision.id == report_id:
                return revision
        raise NotFoundError(report_id)


@pytest.fixture
def archive(tmp_path: Path) -> ReportArchive:
    return ReportArchive(tmp_path / "reports")


@pytest.fixture
def reports(archive: ReportArchive) -> MemoryReports:
    held = MemoryReports()
    for site, number, state in (
        ("kakao-ansan", 2, "draft"),
        ("kakao-ansan", 1, "submitted"),
        ("naver-gak-sejong", 1, "draft"),
    ):
        name = report_id(site, "2026-10", number)
        files = archive.write(
            site,
            "2026-10",
            number,
            {
                (f"{name}.json", "json", ""): f'{{"id":"{name}"}}'.encode(),
                (f"{name}_ko.pdf", "pdf", "ko"): b"%PDF ko " + name.encode(),
                (f"{name}_en.pdf", "pdf", "en"): b"%PDF en " + name.encode(),
            },
        )
        held.held.append(
            ReportRevision(
                name,
                site,
                "2026-10",
                number,
                state,
                BUILT,
                "kim",
                "c" * 64,
                files,
                {"simulated": True, "pue": "1.287", "final": 30, "refused": 2, "met": 1},
            )
        )
    return held


@pytest.fixture
def enter(
    make_app: Callable[..., FastAPI], reports: MemoryReports, archive: ReportArchive
) -> Iterator[Callable[[str], TestClient]]:
    app = make_app(report_records=reports, report_archive=archive)
    opened: list[TestClient] = []

    def open_as(name: str) -> TestClient:
        client = TestClient(app, base_url="http://board.test", follow_redirects=False)
        client.__enter__()
        opened.append(client)
        return sign_in(client, name)

    yield open_as
    for client in opened:
        client.__exit__(None, None, None)


def test_the_list_says_state_figures_and_fingerprints(
    enter: Callable[[str], TestClient], reports: MemoryReports
) -> None:
    page = enter("admin").get("/reports?lang=ko").text
    for words in (
        "월간 보고서",
        "2026-10",
        "r2</span> · 초안",
        "이전 판",
        "1.287",
        "산출 안 함 2",
        "모의",
    ):
        assert words in page, words
    for revision in reports.held:
        for file in revision.files:
            assert file.sha256 in page
    assert "2026-11-02 09:30" in page
    assert 'href="/reports" aria-current="page"' in page
    english = enter("admin").get("/reports?lang=en").text
    assert "Monthly reports" in english
    assert "PDF Korean" in english


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("ansan", {"kakao-ansan_2026-10_r1", "kakao-ansan_2026-10_r2"}),
        ("sejong", {"naver-gak-sejong_2026-10_r1"}),
        ("ministry", {"kakao-ansan_2026-10_r1"}),
        ("office", set()),
        ("nobody", set()),
    ],
)
def test_people_see_and_get_what_is_theirs_and_nothing_else(
    enter: Callable[[str], TestClient], reports: MemoryReports, name: str, seen: set[str]
) -> None:
    client = enter(name)
    page = client.get("/reports").text
    for revision in reports.held:
        assert (f"/reports/{revision.id}/pdf" in page) == (revision.id in seen)
        for address in (f"{revision.id}/json", f"{revision.id}/pdf?of=ko"):
            answer = client.get(f"/reports/{address}")
            assert answer.status_code == (200 if revision.id in seen else 404), address


def test_nobody_without_a_session(
    make_app: Callable[..., FastAPI], reports: MemoryReports, archive: ReportArchive
) -> None:
    app = make_app(report_records=reports, report_archive=archive)
    with TestClient(app, base_url="http://board.test", follow_redirects=False) as client:
        for path in ("/reports", "/reports/kakao-ansan_2026-10_r1/pdf?of=ko"):
            assert client.get(path).status_code == 303


def test_a_download_is_the_file_under_a_korean_name(
    enter: Callable[[str], TestClient], reports: MemoryReports
) -> None:
    answer = enter("ansan").get("/reports/kakao-ansan_2026-10_r2/pdf?of=ko")
    assert answer.headers["content-type"] == "application/pdf"
    disposition = answer.headers["content-disposition"]
    assert disposition.startswith('attachment; filename="kakao-ansan_2026-10_r2_ko.pdf"')
    encoded = disposition.partition("filename*=UTF-8''")[2]
    assert encoded.isascii()
    assert unquote(encoded) == "카카오 데이터센터 안산 2026-10 월간보고서 r2.pdf"
    (file,) = [f for f in reports.held[0].files if f.lang == "ko"]
    assert hashlib.sha256(answer.content).hexdigest() == file.sha256


@pytest.mark.parametrize(
    "path",
    [
        "/reports/no-such/json",
        "/reports/kakao-ansan_2026-10_r1/xlsx",
        "/reports/kakao-ansan_2026-10_r1/pdf?of=fr",
        "/reports/kakao-ansan_2026-10_r1/pdf",
        "/reports/..%2f..%2fetc/json",
    ],
)
def test_what_is_not_there(enter: Callable[[str], TestClient], path: str) -> None:
    assert enter("admin").get(path).status_code == 404


def test_a_file_that_was_changed_on_disk_is_not_given_out(
    enter: Callable[[str], TestClient], reports: MemoryReports, archive: ReportArchive
) -> None:
    file = reports.held[0].files[0]
    archive.path(file).write_bytes(b"another")
    answer = enter("ansan").get(f"/reports/{reports.held[0].id}/json")
    assert answer.status_code >= 500
    assert b"another" not in answer.content


def test_a_path_never_leaves_the_folder(archive: ReportArchive, reports: MemoryReports) -> None:
    file = replace(reports.held[0].files[0], path="../../records.sqlite")
    with pytest.raises(ValueError, match="below the folder"):
        archive.path(file)


def test_without_any_report_the_page_says_so(person: Callable[[str], TestClient]) -> None:
    assert "아직 보고서가 없습니다." in person("ansan").get("/reports?lang=ko").text
    assert "읽을 수 있는 보고서가 없습니다." in person("nobody").get("/reports?lang=ko").text
