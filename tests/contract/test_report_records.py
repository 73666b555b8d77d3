"""What the records promise of report revisions, on SQLite and, where given, on PostgreSQL."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy.exc import SQLAlchemyError

from core.errors import NotFoundError, StoreError
from core.reports import REPORT_STATES, ReportFile, ReportRevision, report_id
from storage.records.store import Records
from tests.contract.test_records import POSTGRES

NOW = datetime(2026, 11, 2, 9, 30, 0, 123456, tzinfo=UTC)


@pytest.fixture(scope="module", params=["sqlite", *(["postgresql"] if POSTGRES else [])])
def records(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Records]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('records') / 'records.sqlite'}"
    else:
        url = str(POSTGRES)
    opened = Records.open(url)
    yield opened
    opened.close()


@pytest.fixture
def site() -> str:
    return f"site-{secrets.token_hex(6)}"


def revision(site: str, number: int = 1, month: str = "2026-10") -> ReportRevision:
    name = report_id(site, month, number)
    return ReportRevision(
        name,
        site,
        month,
        number,
        "draft",
        NOW,
        "김 작성자",
        "c" * 64,
        (
            ReportFile(f"{site}/{month}/r{number}/{name}.json", "json", "", "a" * 64),
            ReportFile(f"{site}/{month}/r{number}/{name}_ko.pdf", "pdf", "ko", "b" * 64),
        ),
        {"simulated": True, "pue": "1.260", "refused": 2},
    )


def test_a_revision_comes_back_as_it_was(records: Records, site: str) -> None:
    added = revision(site)
    assert records.add_report_revision(added)
    assert records.read_report_revision(added.id) == added
    assert records.read_report_revisions(sites=[site]) == [added]
    assert added.file("pdf", "ko") == added.files[1]
    assert added.file("pdf", "en") is None


def test_a_number_is_taken_once_and_the_first_stands(records: Records, site: str) -> None:
    first = revision(site)
    assert records.add_report_revision(first)
    assert not records.add_report_revision(replace(first, author="somebody else"))
    assert not records.add_report_revision(replace(first, id=f"{first.id}-other"))
    assert records.read_report_revisions(sites=[site]) == [first]


def test_the_newest_month_and_revision_come_first(records: Records, site: str) -> None:
    for number, month in ((1, "2026-09"), (1, "2026-10"), (2, "2026-09")):
        records.add_report_revision(revision(site, number, month))
    found = records.read_report_revisions(sites=[site])
    assert [(r.month, r.revision) for r in found] == [
        ("2026-10", 1),
        ("2026-09", 2),
        ("2026-09", 1),
    ]
    assert [r.revision for r in records.read_report_revisions(sites=[site], month="2026-09")] == [
        2,
        1,
    ]
    assert records.read_report_revisions(sites=[]) == []
    assert {r.site for r in records.read_report_revisions()} >= {site}


@pytest.mark.parametrize("state", REPORT_STATES)
def test_every_state_can_be_kept(records: Records, site: str, state: str) -> None:
    records.add_report_revision(replace(revision(site), state=state))
    assert records.read_report_revisions(sites=[site])[0].state == state


def test_another_state_is_refused(records: Records, site: str) -> None:
    with pytest.raises((StoreError, SQLAlchemyError)):
        records.add_report_revision(replace(revision(site), state="lost"))
    assert records.read_report_revisions(sites=[site]) == []


def test_what_is_not_there_says_so(records: Records) -> None:
    with pytest.raises(NotFoundError, match="report list"):
        records.read_report_revision("no-such-report")
