"""Pages as they leave the server: values in the first paint, languages, brightness, files."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from dashboard.figures.palette import DARK, LIGHT
from dashboard.graphs import GRAPH_CONFIG, graph
from dashboard.readiness import ReadinessReport
from dashboard.static_files import StaticFiles
from tests.dashboard.fakes import REPOSITORY, FakeKpis, LiveStore


def test_the_first_paint_holds_the_last_known_values(
    person: Callable[[str], TestClient],
) -> None:
    page = person("admin").get("/s/kakao-ansan?lang=ko").text
    before_scripts = page.split('<script type="application/json"')[0]
    for text in (">25,859<", "kW", "4초 전", ">1.268<", "확정", "수집 99.4 %", "모의", "62.1"):
        assert text in before_scripts, text
    assert "모의 데이터" in page
    assert 'id="react-entry-point"' in page
    assert "_dash-loading" not in page


def test_every_card_says_when_it_becomes_late_by_itself(
    person: Callable[[str], TestClient],
) -> None:
    page = person("admin").get("/s/kakao-ansan").text
    cards = re.findall(r'id="card-(\w+)"[^>]*data-late="(\d+)" data-stale="(\d+)"', page)
    assert [name for name, _, _ in cards] == [
        "pue",
        "conditions",
        "facility",
        "rain",
        "solar",
        "accelerators",
        "it",
        "wue",
        "ref",
        "reception",
    ]
    assert {name: (late, stale) for name, late, stale in cards}["facility"] == (
        "20000",
        "50000",
    )


def test_language_of_a_page(person: Callable[[str], TestClient]) -> None:
    client = person("admin")
    assert '<html lang="ko"' in client.get("/s/kakao-ansan").text
    english = client.get("/s/kakao-ansan?lang=en")
    assert '<html lang="en"' in english.text
    assert "Kakao Data Center Ansan" in english.text
    assert not re.search(r"[\uac00-\ud7a3]", re.sub(r'<a [^>]*lang="ko".*?</a>', "", english.text))
    assert '<html lang="en"' in client.get("/s/kakao-ansan").text


def test_brightness_of_a_page(person: Callable[[str], TestClient]) -> None:
    client = person("admin")
    assert "data-theme=" not in client.get("/").text.split("<body", 1)[0]
    assert 'data-theme="dark"' in client.get("/?theme=dark").text
    assert 'data-theme="dark"' in client.get("/").text
    assert "data-theme=" not in client.get("/?theme=auto").text.split("<body", 1)[0]


def test_a_query_is_never_run(person: Callable[[str], TestClient]) -> None:
    client = person("admin")
    page = client.get('/s/kakao-ansan?x="><script>alert(1)</script>&lang=xx&theme="').text
    assert "<script>alert" not in page


def test_no_page_has_a_way_to_upload_or_leave(person: Callable[[str], TestClient]) -> None:
    client = person("admin")
    for path in ("/", "/s/kakao-ansan", "/nothing"):
        page = client.get(path).text
        assert 'type="file"' not in page
        addresses = re.findall(r'(?:href|src|action)="([^"#][^"]*)"', page)
        assert all(address.startswith("/") for address in addresses), addresses
        assert "http://" not in page.replace("http://www.w3.org", "")
        assert "https://" not in page.replace("https://dash-version.plotly.com", "")


def test_pages_are_linked_in_the_menu(person: Callable[[str], TestClient]) -> None:
    page = person("admin").get("/s/kakao-ansan").text
    (menu,) = re.findall(r"<nav.*?</nav>", page, re.DOTALL)
    assert 'href="/"' in menu
    assert 'href="/s/kakao-ansan" aria-current="page"' in menu


def test_a_store_that_is_away_is_said_and_the_last_values_stay(
    person: Callable[[str], TestClient], store: LiveStore
) -> None:
    import time

    client = person("admin")
    assert client.get("/s/kakao-ansan").status_code == 200
    store.is_down = True
    deadline = time.monotonic() + 5.0
    while 'id="fault" role="status" hidden' in (page := client.get("/s/kakao-ansan").text):
        assert time.monotonic() < deadline
    assert ">25,859<" in page


def test_a_store_that_never_answered(
    make_app: Callable[..., FastAPI], store: LiveStore, kpis: FakeKpis
) -> None:
    from tests.dashboard.conftest import sign_in

    store.is_down = kpis.is_down = True
    with TestClient(make_app(), base_url="http://board.test", follow_redirects=False) as client:
        sign_in(client, "admin")
        page = client.get("/s/kakao-ansan?lang=en")
        assert page.status_code == 200
        assert "cannot be read now" in page.text
        assert client.get("/?lang=en").status_code == 200
        assert client.get("/api/v1/live/snapshot?site=kakao-ansan").status_code == 503
        assert client.get("/api/v1/sites/kakao-ansan/power.csv").status_code == 503


def test_evidence_of_a_card(person: Callable[[str], TestClient]) -> None:
    client = person("admin")
    piece = client.get("/_board/evidence?site=kakao-ansan&id=pue&lang=en")
    assert piece.status_code == 200
    assert "where it comes from" in piece.text
    assert "<html" not in piece.text
    assert client.get("/_board/evidence?site=kakao-ansan&id=<x>").status_code == 404


def test_readiness_lists_checks_and_tells_strangers_no_details(
    make_app: Callable[..., FastAPI],
) -> None:
    from greendc.health import Check

    checks = [Check("store", True, "ok"), Check("broker", False, "10.1.2.3 refuses")]
    app = make_app(health=lambda: ReadinessReport(checks))
    with TestClient(app, base_url="http://board.test") as client:
        answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == [{"check": "store", "ok": True}, {"check": "broker", "ok": False}]


# ------------------------------------------------------------ API


def test_the_schema_is_served_and_names_the_routes(person: Callable[[str], TestClient]) -> None:
    schema = person("admin").get("/api/v1/openapi.json").json()
    assert set(schema["paths"]) == {
        "/api/v1/sites",
        "/api/v1/sites/{site_id}",
        "/api/v1/sites/{site_id}/power.csv",
        "/api/v1/portfolio.csv",
        "/api/v1/sites/{site_id}/charts/{chart_id}.csv",
        "/api/v1/sites/{site_id}/intervals.csv",
        "/api/v1/live",
        "/api/v1/live/snapshot",
    }


def test_a_site_in_full(person: Callable[[str], TestClient]) -> None:
    site = person("admin").get("/api/v1/sites/kakao-ansan").json()
    assert site["name"] == {"ko": "카카오 데이터센터 안산", "en": "Kakao Data Center Ansan"}
    assert site["data"] == "simulated"
    assert site["targets"][0] == {"kpi": "pue", "value": 1.3, "valid_from": "2026-01-01"}
    assert all(fact["source"] and fact["date"] for fact in site["facts"])
    assert {"id": "grid-a", "family": "energy"}.items() <= site["devices"][0].items()


def test_problems_are_documents_in_both_languages(person: Callable[[str], TestClient]) -> None:
    answer = person("admin").get("/api/v1/sites/nowhere")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["titles"] == {"ko": "없습니다", "en": "Not found"}
    assert person("admin").get("/api/v1/live").status_code == 400
    assert person("admin").delete("/api/v1/sites").status_code == 405


def test_the_power_of_a_day_as_a_file(person: Callable[[str], TestClient], kpis: FakeKpis) -> None:
    kpis.missing_hours = frozenset({4})
    answer = person("admin").get("/api/v1/sites/kakao-ansan/power.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert 'filename="kakao-ansan-power-20261120T1430.csv"' in answer.headers["content-disposition"]
    assert answer.content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert len(rows) == 96
    assert rows[0]["start"] == "2026-11-19T14:30:00+09:00"
    assert rows[0]["end"] == "2026-11-19T14:45:00+09:00"
    assert float(rows[0]["facility_power_kw"]) > 20_000
    gap = [row for row in rows if row["facility_power_kw"] == ""]
    assert len(gap) == 4
    assert {row["facility_verdict"] for row in gap} == {"refused"}


def test_cells_cannot_be_formulas() -> None:
    from dashboard.api import write_csv

    text = write_csv(("a",), [("=1+1",), ("-3.5",), ("@x",), ("ok",)])
    assert text.splitlines()[1:] == ["'=1+1", "-3.5", "'@x", "ok"]


# ------------------------------------------------------------ files, tokens, charts


@pytest.fixture(scope="module")
def static() -> StaticFiles:
    return StaticFiles(REPOSITORY / "dashboard" / "build")


def test_files_are_kept_for_a_year_under_their_fingerprint(
    anonymous: TestClient, static: StaticFiles
) -> None:
    for encoding in ("br", "gzip", "identity"):
        headers = {"Accept-Encoding": encoding}
        answer = anonymous.get(static.url("board.css"), headers=headers)
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers.get("content-encoding", "identity") == encoding
        assert "Accept-Encoding" in answer.headers["vary"]
        if encoding != "br":
            assert "--surface" in answer.text
    old = anonymous.get("/static/0123456789ab/board.css")
    assert old.status_code == 200
    assert old.headers["cache-control"] == "public, max-age=300"
    assert anonymous.get(f"/static/{static.fingerprint}/axe/axe.min.js").status_code == 404
    assert anonymous.get(f"/static/{static.fingerprint}/manifest.json").status_code == 404


def test_a_missing_file_of_others_is_said(static: StaticFiles) -> None:
    with pytest.raises(KeyError, match="make board-files"):
        static.url("plotly/no-such-file.js")


def test_the_style_sheet_and_the_figures_have_the_same_tokens() -> None:
    style = (REPOSITORY / "dashboard/assets/board.css").read_text(encoding="utf-8")
    blocks = {
        "light": re.search(r"^:root \{(.*?)^\}", style, re.DOTALL | re.MULTILINE),
        "system": re.search(r"prefers-color-scheme: dark\) \{(.*?)^\}", style, re.S | re.M),
        "dark": re.search(r'^:root\[data-theme="dark"\] \{(.*?)^\}', style, re.S | re.M),
    }
    for name, block in blocks.items():
        assert block is not None
        tokens = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block.group(1)))
        for token, colour in (LIGHT if name == "light" else DARK).items():
            assert tokens[token] == colour, (name, token)


def test_charts_offer_nothing_to_the_outside() -> None:
    assert GRAPH_CONFIG["showSendToCloud"] is False
    assert GRAPH_CONFIG["plotlyServerURL"] == ""
    assert GRAPH_CONFIG["displaylogo"] is False
    assert GRAPH_CONFIG["displayModeBar"] is False
    drawn = graph("x", 123)
    assert drawn.style == {"height": "123px"}
    assert drawn.figure["layout"]["height"] == 123


def test_every_graph_comes_from_the_one_factory() -> None:
    board = REPOSITORY / "dashboard"
    for path in sorted(board.glob("*.py")):
        if path.name != "graphs.py":
            text = path.read_text(encoding="utf-8")
            assert "dcc.Graph(" not in text, path
            assert "dcc.Upload" not in text, path
            assert "Markdown" not in text, path


def test_the_page_opens_no_websocket(person: Callable[[str], TestClient]) -> None:
    page = person("admin").get("/s/kakao-ansan").text
    config = re.search(r'<script id="_dash-config"[^>]*>(.*?)</script>', page)
    assert config is not None
    assert "websocket" not in json.loads(config.group(1))
