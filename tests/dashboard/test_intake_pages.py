"""Data intake on the board: who sees it, what it shows, and what its form may ask for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from core.clock import FakeClock
from core.ledger import (
    HOUR_MS,
    CommitOutcome,
    Imbalance,
    LedgerCounts,
    LedgerHour,
    QuarantineEntry,
)
from core.periods import Period, to_ms
from dashboard import intake_pages
from dashboard.intake_desk import IntakeDesk
from dashboard.intake_views import render_payload
from storage.records.store import Records
from tests.dashboard.conftest import NOW, sign_in

SITE, OTHER = "kakao-ansan", "naver-gak-sejong"
PAGE = f"/s/{SITE}/intake"
HOUR = to_ms(NOW) - to_ms(NOW) % HOUR_MS
MARKUP = b'{"ts": "<script>alert(1)</script>"} \x1b[31m\xe2\x80\xaeabc'
BINARY = bytes(range(256))


def entry(site: str, payload: bytes, *, count: int = 1, reason: str = "not_json") -> Any:
    return QuarantineEntry(
        "", HOUR + 5, site, f"greendc/v1/{site}/energy/<b>", reason, "line 1: <i>", count, (),
        payload,
    )  # fmt: skip


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    opened = Records.open(f"sqlite:///{tmp_path / 'records.sqlite'}")
    entries = (
        entry(SITE, MARKUP),
        entry(SITE, BINARY, count=3, reason="not_utf8"),
        entry(SITE, b"", reason="empty_message"),
        entry(OTHER, b"theirs"),
    )
    hours = (
        LedgerHour(SITE, HOUR, LedgerCounts(1005, 990, 10, 5, 0, 0, late=7)),
        LedgerHour(SITE, HOUR - 24 * HOUR_MS, LedgerCounts(2000, 2000)),
        LedgerHour(OTHER, HOUR, LedgerCounts(1, quarantined=1)),
    )
    opened.apply_commit(CommitOutcome(0, 1, hours=hours, quarantined=entries))
    yield opened
    opened.close()


@pytest.fixture
def enter(
    make_app: Callable[..., FastAPI], records: Records, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], TestClient]]:
    monkeypatch.setattr(intake_pages, "_WAIT_S", 0.0)

    def read_ledger(site: str, period: Period) -> list[LedgerHour]:
        spooled = LedgerHour(site, HOUR, LedgerCounts(4, spooled=4))
        return [*records.read_ledger(site, period), spooled]

    app = make_app(intake=IntakeDesk(read_ledger, records), ledger=records)
    opened: list[TestClient] = []

    def open_as(name: str) -> TestClient:
        client = TestClient(app, base_url="http://board.test", follow_redirects=False)
        client.__enter__()
        opened.append(client)
        return sign_in(client, name)

    yield open_as
    for client in opened:
        client.__exit__(None, None, None)


def ids(records: Records, site: str = SITE) -> list[str]:
    return records.read_quarantine_ids(sites=[site])


def csrf(client: TestClient) -> str:
    (found, *_) = re.findall(r'name="csrf" value="([^"]+)"', client.get(PAGE).text)
    return str(found)


def send(client: TestClient, token: str | None = None, **fields: object) -> Any:
    data = {"csrf": csrf(client) if token is None else token, **fields}
    return client.post(PAGE, data=data)


def equation(page: str) -> dict[str, str]:
    (block,) = re.findall(r'<dl class="equation">(.*?)</dl>', page, re.DOTALL)
    return dict(re.findall(r"<dt>(.*?)</dt><dd class=\"num\">(.*?)</dd>", block))


# ------------------------------------------------------------ seen


def test_the_ledger_adds_up_on_the_page(enter: Callable[[str], TestClient]) -> None:
    page = enter("ansan").get(f"{PAGE}?lang=ko").text
    told = equation(page)
    assert told["수신"] == "3,009"
    parts = ("저장", "중복", "격리", "거부", "저장 대기")
    assert [told[name] for name in parts] == ["2,990", "10", "5", "0", "4"]
    assert told["지연 수신"] == "7"
    assert page.count(">일치<") == 3  # the whole, and two hours
    assert "11-20 14:00" in page
    assert 'aria-current="page">데이터 수신' in page
    english = enter("ansan").get(f"{PAGE}?lang=en&range=day").text
    assert equation(english)["Received"] == "1,009"
    assert not re.search(r"[\uac00-\ud7a3]", re.sub(r'<a [^>]*lang="ko".*?</a>', "", english))
    assert "The payload is not valid JSON" in english


def test_reasons_and_entries_are_listed_for_this_site_only(
    enter: Callable[[str], TestClient], records: Records
) -> None:
    client = enter("ansan")
    page = client.get(f"{PAGE}?lang=ko").text
    for one in ids(records):
        assert f'value="{one}"' in page
    for one in ids(records, OTHER):
        assert one not in page
    assert "UTF-8이 아닙니다" in page
    assert "3개 / 1건" in page
    assert "<b>not" not in page
    assert "energy/&lt;b&gt;" in page
    assert "line 1: &lt;i&gt;" in page
    cut = client.get(f"{PAGE}?reason=not_utf8").text
    assert [one for one in ids(records) if f'value="{one}"' in cut] == ids(records)[1:2]
    assert client.get(f"{PAGE}?reason=<script>&request=x&fault=<b>").status_code == 200


def test_bytes_are_shown_and_never_run(
    enter: Callable[[str], TestClient], records: Records
) -> None:
    client = enter("ansan")
    text, binary, empty = ids(records)
    page = client.get(f"{PAGE}/{text}?lang=ko").text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert" not in page
    assert "\\x1b[31m\\u202eabc" in page
    assert "JSON이 아닙니다 (not_json)" in page
    page = client.get(f"{PAGE}/{binary}?lang=en").text
    assert "000000  00 01 02 03" in page
    assert "000020  20 21 22" in page
    assert client.get(f"{PAGE}/{empty}").status_code == 200
    answer = client.get(f"{PAGE}/{binary}/payload")
    assert answer.content == BINARY
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == f'attachment; filename="{binary}.bin"'


@given(st.binary(max_size=300))
def test_any_bytes_can_be_shown(payload: bytes) -> None:
    shown, is_text, count = render_payload(payload)
    assert all(c.isprintable() or c in "\n\t" for c in shown)
    assert count == len(payload)
    if not is_text:
        assert bytes.fromhex("".join(row[8:56] for row in shown.splitlines())) == payload


def test_long_payloads_are_cut(enter: Callable[[str], TestClient], records: Records) -> None:
    long = entry(SITE, "가".encode() * 10_000)
    hour = LedgerHour(SITE, HOUR, LedgerCounts(1, quarantined=1))
    records.apply_commit(CommitOutcome(0, 2, hours=(hour,), quarantined=(long,)))
    page = enter("ansan").get(f"{PAGE}/{ids(records)[-1]}?lang=en").text
    assert "The first 16,383 of 30,000 bytes are shown." in page


# ------------------------------------------------------------ who may


@pytest.mark.parametrize(
    ("name", "status"),
    [("ansan", 200), ("admin", 200), ("sejong", 404), ("ministry", 403), ("nobody", 404)],
)
def test_only_people_of_the_site_see_and_act(
    enter: Callable[[str], TestClient], records: Records, name: str, status: int
) -> None:
    client = enter(name)
    (one, *_) = ids(records)
    for path in (PAGE, f"{PAGE}/{one}", f"{PAGE}/{one}/payload"):
        assert client.get(path).status_code == status, path
    if status != 200:
        assert client.post(PAGE, data={"work": "discard", "entry": one}).status_code == status
        assert PAGE not in client.get("/").text
        assert records.read_quarantine_requests() == []


def test_an_author_works_at_the_own_site(
    enter: Callable[[str], TestClient], records: Records
) -> None:
    client = enter("sejong")
    (theirs,) = ids(records, OTHER)
    assert client.get(f"/s/{OTHER}/intake/{theirs}").status_code == 200
    # An entry of another site is none, whatever the address says.
    assert client.get(f"/s/{OTHER}/intake/{ids(records)[0]}").status_code == 404
    assert client.get(f"/s/{OTHER}/intake/nonsense").status_code == 404


def test_without_a_session_nothing_is_shown(anonymous: TestClient) -> None:
    assert anonymous.get(PAGE).status_code == 303
    assert anonymous.post(PAGE, data={"work": "replay"}).status_code == 303


# ------------------------------------------------------------ work


def test_a_replay_is_filed_under_the_persons_name(
    enter: Callable[[str], TestClient], records: Records
) -> None:
    client = enter("ansan")
    chosen = ids(records)[:2]
    answer = send(client, work="replay", entry=[*chosen, *ids(records, OTHER), "q1", "<x>"])
    (request,) = records.read_quarantine_requests()
    assert answer.headers["location"] == f"{PAGE}?request={request.id}"
    assert (request.action, request.as_correction) == ("replay", False)
    assert request.entry_ids == tuple(chosen)
    assert request.requested_by == "ansan"
    waiting = client.get(f"{answer.headers['location']}&lang=en").text
    assert "Asked for: 2 entries" in waiting
    assert "has not carried it out yet" in waiting
    told = "still refused: not_json (line 1: <b>), 1 of 1 readings"
    records.finish_quarantine_request(request.id, {chosen[0]: "replayed", chosen[1]: told})
    done = client.get(f"{answer.headers['location']}&lang=ko").text
    assert "처리 결과: 재처리 1건, 여전히 거절 1건" in done
    assert f"{chosen[1]}: JSON이 아닙니다" in done
    # Another site's people learn nothing of it.
    assert (
        "Outcome" not in enter("sejong").get(f"/s/{OTHER}/intake?request={request.id}&lang=en").text
    )


def test_discarding_and_correcting_need_a_reason(
    enter: Callable[[str], TestClient], records: Records
) -> None:
    client = enter("ansan")
    (one, *_) = ids(records)
    for work in ("discard", "correct"):
        answer = send(client, work=work, entry=one, note="  ")
        assert answer.headers["location"] == f"{PAGE}?fault=note#quarantine"
    assert records.read_quarantine_requests() == []
    assert "need a reason" in client.get(f"{PAGE}?fault=note&lang=en").text
    send(client, work="discard", entry=one, note=" test rig ")
    send(client, work="correct", entry=one, note="x" * 600)
    discard, correct = records.read_quarantine_requests()
    assert (discard.action, discard.note) == ("discard", "test rig")
    assert (correct.action, correct.as_correction, len(correct.note)) == ("replay", True, 500)


def test_all_of_a_reason_may_be_asked_for(
    enter: Callable[[str], TestClient], records: Records
) -> None:
    client = enter("ansan")
    send(client, work="replay", all="yes", reason="not_utf8")
    send(client, work="replay", all="yes")
    cut, whole = records.read_quarantine_requests()
    assert cut.entry_ids == tuple(ids(records)[1:2])
    assert whole.entry_ids == tuple(ids(records))


def test_what_another_page_sends_is_refused(
    enter: Callable[[str], TestClient], records: Records
) -> None:
    client = enter("ansan")
    (one, *_) = ids(records)
    fields = {"work": "replay", "entry": one}
    refused = client.post(PAGE, data=fields, headers={"Origin": "https://elsewhere.example"})
    assert refused.status_code == 403
    assert send(client, token="", **fields).headers["location"] == f"{PAGE}?fault=form"
    assert send(client, token="wrong", **fields).headers["location"] == f"{PAGE}?fault=form"
    assert client.post(PAGE, json=fields).status_code == 400
    assert send(client, work="delete", entry=one).status_code == 400
    assert send(client, work="replay").headers["location"] == f"{PAGE}?fault=none#quarantine"
    assert records.read_quarantine_requests() == []


# ------------------------------------------------------------ alarms


def test_a_ledger_that_does_not_balance_is_said_here_and_in_the_list_of_sites(
    enter: Callable[[str], TestClient], records: Records, clock: FakeClock
) -> None:
    records.write_imbalances("test", [Imbalance(SITE, HOUR, "received", 1005, 1006)])
    client = enter("ansan")
    page = client.get(f"{PAGE}?lang=ko").text
    assert "장부 불일치" in page
    assert "수신 시각 2026-11-20 14:00의 수신: 장부 1,005, 실제 집계 1,006" in page
    assert page.count(">일치<") == 1  # the other hour
    portfolio = client.get("/?lang=en").text
    assert "Ledger does not balance" in portfolio
    assert "Hour of receipt 2026-11-20 14:00, Received: 1,005 in the ledger" in portfolio
    clock.advance(timedelta(seconds=1))


def test_a_board_without_a_ledger_says_so(person: Callable[[str], TestClient]) -> None:
    page = person("ansan").get(f"{PAGE}?lang=en")
    assert page.status_code == 200
    assert "This board has no ledger to read." in page.text
