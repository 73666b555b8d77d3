"""The list of sites and the page of facts as they leave the server, for people of every role."""

from __future__ import annotations

import csv
import io
import re
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from core.ledger import Imbalance, LedgerCounts, LedgerHour
from core.periods import Period
from core.sites import SiteRegistry
from dashboard.settings import BoardSettings
from tests.dashboard.conftest import sign_in
from tests.dashboard.fakes import FakeKpis, LiveStore
from tests.dashboard.seven_sites import seven_sites


@pytest.fixture(scope="session")
def registry() -> SiteRegistry:
    """The seven sites take the place of the repository's two."""
    return seven_sites()


def lines(page: str) -> dict[str, str]:
    """Site id -> its line of the table."""
    found = re.findall(r'<tbody id="card-row-([\w-]+)".*?</tbody>', page, re.DOTALL)
    bodies = re.findall(r'<tbody id="card-row-[\w-]+".*?</tbody>', page, re.DOTALL)
    return dict(zip(found, bodies, strict=True))


def test_the_first_paint_holds_the_last_known_values(
    person: Callable[[str], TestClient],
) -> None:
    page = person("admin").get("/?lang=en").text
    before_scripts = page.split('<script type="application/json"')[0]
    for text in ("77.3", "1.268", "PUE today", "Dokdo", "East Sea", "simulated", "4 s ago"):
        assert text in before_scripts, text
    assert page.count('class="korea ') == 2
    assert list(lines(page))[-2:] == ["national-ai-haenam", "sk-aws-ulsan"]


def test_sites_are_listed_worst_first(
    person: Callable[[str], TestClient], store: LiveStore
) -> None:
    store.silent_site, store.silent_age_ms = "naver-gak-sejong", 600_000
    page = person("admin").get("/?lang=en").text
    assert next(iter(lines(page))) == "naver-gak-sejong"
    assert "silent for 10 min" in page
    assert "4 of 5 sites" in page
    assert "missing: Sejong" in page


def test_people_see_their_own_sites_only(person: Callable[[str], TestClient]) -> None:
    page = person("ansan").get("/?lang=en").text
    assert list(lines(page)) == ["kakao-ansan"]
    assert "naver" not in page.lower()
    assert "1 sites: 1 operating" in page


def test_a_reviewer_knows_the_sites_and_sees_no_live_value(
    person: Callable[[str], TestClient],
) -> None:
    client = person("ministry")
    page = client.get("/?lang=en").text
    assert list(lines(page))[-2:] == ["national-ai-haenam", "sk-aws-ulsan"]
    assert len(lines(page)) == 7
    assert "/s/kakao-ansan/about" in page
    for text in ("1.268", "86 kW", "4 s ago", "portfolio.csv", "data-evidence-at", 'id="conn"'):
        assert text not in page, text
    assert '"feed": ""' in page or '"feed":""' in page
    assert client.get("/api/v1/portfolio.csv").status_code == 403
    assert client.get("/_board/portfolio/live").status_code == 403
    assert client.get("/_board/portfolio/live/snapshot").status_code == 403
    address = "/_board/portfolio/evidence?site=kakao-ansan&figure=pue&range=today"
    assert client.get(address).status_code == 403


def test_a_person_without_sites_is_told_so(person: Callable[[str], TestClient]) -> None:
    page = person("nobody").get("/?lang=en")
    assert page.status_code == 200
    assert "compare-table" not in page.text


def test_the_span_is_part_of_the_address(person: Callable[[str], TestClient]) -> None:
    client = person("admin")
    week = client.get("/?range=7d&lang=en").text
    assert "PUE 7 days" in week
    assert 'href="/?range=7d" class="on" aria-current="true"' in week
    assert "2026-11-14–11-20 14:30" in week
    assert "range=7d" in re.findall(r'"feed": ?"([^"]*)"', week)[0]
    month = client.get("/?range=30d&lang=en").text
    assert re.search(r"PUE<br>today", month)
    assert "PUE today" in client.get("/?range=<x>&lang=en").text


def test_a_category_shows_only_what_may_be_compared(person: Callable[[str], TestClient]) -> None:
    client = person("admin")
    everything = client.get("/?lang=en").text
    assert "not comparable" in everything
    chosen = client.get("/?category=2&range=7d&lang=en").text
    assert set(lines(chosen)) == {"kakao-ansan", "nhn-gwangju"}
    assert "Only sites of category 2 are shown." in chosen
    assert 'href="/?range=30d&amp;category=2"' in chosen
    assert len(lines(client.get("/?category=9").text)) == 7


def test_evidence_of_a_cell_is_of_its_span(person: Callable[[str], TestClient]) -> None:
    client = person("admin")
    address = "/_board/portfolio/evidence?lang=en&site=nhn-gwangju&figure="
    week = client.get(f"{address}pue&range=7d").text
    assert "2026-11-14 00:00 – 2026-11-20 14:30 KST" in week
    assert "NHN Cloud" in week
    for figure in ("facility", "solar", "rain", "water"):
        assert client.get(f"{address}{figure}").status_code == 200, figure
    assert client.get(f"{address}nothing").status_code == 404
    assert client.get(address.replace("nhn-gwangju", "nowhere") + "pue").status_code == 404


def test_the_table_as_a_file(person: Callable[[str], TestClient]) -> None:
    client = person("admin")
    answer = client.get("/api/v1/portfolio.csv?range=7d&lang=en")
    assert answer.content.startswith(b"\xef\xbb\xbf")
    assert 'filename="greendc-sites-7d-20261120T1432.csv"' in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert len(rows) == 5
    assert {row["data"] for row in rows} == {"simulated"}
    assert {row["pue_verdict"] for row in rows} == {"final"}
    assert all(float(row["pue"]) == 1.2683 for row in rows)
    own = person("ansan").get("/api/v1/portfolio.csv").content.decode("utf-8-sig")
    assert [row["site"] for row in csv.DictReader(io.StringIO(own))] == ["kakao-ansan"]
    one = client.get("/api/v1/portfolio.csv?category=3").content.decode("utf-8-sig")
    assert [row["site"] for row in csv.DictReader(io.StringIO(one))] == ["kisti-daejeon"]


def test_pieces_of_the_feed_are_those_of_the_page(person: Callable[[str], TestClient]) -> None:
    client = person("admin")
    told = client.get("/_board/portfolio/live/snapshot?lang=en&range=today").json()
    page = client.get("/?lang=en").text
    assert set(told["cards"]) == {
        "attention", "totals", "map", "row-kakao-ansan", "row-kisti-daejeon",
        "row-naver-gak-chuncheon", "row-naver-gak-sejong", "row-nhn-gwangju",
    }  # fmt: skip
    assert told["order"] == [f"card-row-{site}" for site in lines(page)]

    def squeeze(html: str) -> str:
        return re.sub(r'<span class="age">.*?</span>|\s+', "", html)

    for name in ("totals", "map", "row-nhn-gwangju"):
        assert squeeze(told["cards"][name]["html"]) in squeeze(page), name
    row = told["cards"]["row-nhn-gwangju"]
    assert (row["late"], row["stale"]) == (20_000, 50_000)
    assert "s ago" not in row["html"]


def test_the_stream_is_a_stream(app: FastAPI, person: Callable[[str], TestClient]) -> None:
    client = person("admin")
    app.state.live_hub.close()  # it then ends at once instead of never
    with client.stream("GET", "/_board/portfolio/live?lang=ko") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-accel-buffering"] == "no"


def test_without_the_outline_the_sites_are_listed(
    make_app: Callable[..., FastAPI], board_settings: BoardSettings, tmp_path: Path
) -> None:
    app = make_app(settings=replace(board_settings, build_folder=tmp_path))
    with TestClient(app, base_url="http://board.test", follow_redirects=False) as client:
        page = sign_in(client, "admin").get("/?lang=en").text
    assert "no map file here" in page
    assert 'class="korea' not in page
    assert page.count('href="/s/kakao-ansan"') >= 2


def test_a_slow_store_holds_nobody_up(make_app: Callable[..., FastAPI], store: LiveStore) -> None:
    answered = threading.Event()

    class Slow:
        def read_latest(self, site: str) -> object:
            if site == "nhn-gwangju":
                answered.wait(60.0)
            return store.read_latest(site)

    app = make_app(store=Slow())
    with TestClient(app, base_url="http://board.test", follow_redirects=False) as client:
        sign_in(client, "admin")
        page = client.get("/?lang=en").text
        assert not answered.is_set()
        answered.set()
    rows = lines(page)
    assert "not readable" in rows["nhn-gwangju"]
    assert "4 s ago" in rows["kakao-ansan"]


def test_a_store_that_never_answered(
    make_app: Callable[..., FastAPI], store: LiveStore, kpis: FakeKpis
) -> None:
    store.is_down = kpis.is_down = True
    with TestClient(make_app(), base_url="http://board.test", follow_redirects=False) as client:
        page = sign_in(client, "admin").get("/?lang=en")
    assert page.status_code == 200
    assert 'id="fault" role="status">' in page.text
    assert "not readable" in lines(page.text)["kakao-ansan"]


def test_readings_put_aside_are_told(make_app: Callable[..., FastAPI]) -> None:
    class Ledger:
        def read_imbalances(self, site: str | None = None) -> list[Imbalance]:
            return []

        def read_ledger(self, site: str, period: Period) -> list[LedgerHour]:
            count = 7 if site == "kakao-ansan" else 0
            return [LedgerHour(site, 0, LedgerCounts(received=count, quarantined=count))]

    app = make_app(ledger=Ledger())
    with TestClient(app, base_url="http://board.test", follow_redirects=False) as client:
        page = sign_in(client, "admin").get("/?lang=en").text
    assert "7 readings of today are in quarantine" in page
    assert page.count("in quarantine") == 1


# ------------------------------------------------------------ facts


def test_facts_of_a_site_have_source_and_day(person: Callable[[str], TestClient]) -> None:
    page = person("ministry").get("/s/kakao-ansan/about?lang=en").text
    for text in (
        "Twelve standby generators", "m.ajunews.com/view/20240612112046185", "2024-06-12",
        "Category 2 (PDU output)", "40.0 MW", "Only the public facts with a source are real",
        "1.300",
    ):  # fmt: skip
        assert text in page, text
    assert 'aria-current="page"' in page
    assert 'href="/s/kakao-ansan"' not in page


def test_a_planned_site_has_facts_and_nothing_that_lives(
    person: Callable[[str], TestClient],
) -> None:
    client = person("admin")
    answer = client.get("/s/sk-aws-ulsan")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/s/sk-aws-ulsan/about"
    page = client.get("/s/sk-aws-ulsan/about?lang=en").text
    assert "To open in 2028" in page
    assert "no telemetry yet" in page
    assert "simbar" not in page
    assert "Equipment" not in page
    (menu,) = re.findall(r"<nav.*?</nav>", page, re.DOTALL)
    assert 'href="/s/sk-aws-ulsan"' not in menu
    assert re.search(r'"feed": ?""', page)


def test_a_site_that_is_not_ones_own_has_no_facts(person: Callable[[str], TestClient]) -> None:
    assert person("ansan").get("/s/nhn-gwangju/about").status_code == 404
    assert person("nobody").get("/s/kakao-ansan/about").status_code == 404
