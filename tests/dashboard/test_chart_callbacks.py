"""Charts as browsers ask for them: every chart of every page, its people, its file."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from dashboard.callback_guard import CallbackGuard
from dashboard.chart_pages import CHARTS, PAGES, page_of
from dashboard.figures.lines import MOST_POINTS
from tests.dashboard.fakes import LiveStore

SITE = "kakao-ansan"
Person = Callable[[str], TestClient]


def ask(
    client: TestClient,
    chart: str,
    *,
    site: object = SITE,
    query: object = "",
    language: str = "en",
    page: object = None,
) -> Any:
    """Ask for a chart as Dash's renderer does."""
    (entry,) = [
        one
        for one in client.get("/_dash-dependencies").json()
        if one["clientside_function"] is None
    ]
    told = page if page is not None else {"site": site, "language": language, "query": query}
    inputs = [_input(one, chart, told) for one in entry["inputs"]]
    state = [_input(one, chart, told) for one in entry["state"]]
    answer_id = {"chart": chart, "part": "answer"}
    body = {
        "output": entry["output"],
        "outputs": {"id": answer_id, "property": "data"},
        "inputs": inputs,
        "state": state,
        "changedPropIds": ["page.data"],
    }
    return client.post("/_dash-update-component", json=body)


def _input(one: dict[str, Any], chart: str, page: object) -> dict[str, Any]:
    if one["id"].startswith("{"):
        part = json.loads(one["id"])["part"]
        mine = {"chart": chart, "part": part}
        return {
            "id": mine,
            "property": one["property"],
            "value": mine if one["property"] == "id" else None,
        }
    return {**one, "value": page if one["id"] == "page" else None}


def data_of(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    (part,) = answer.json()["response"].values()
    return dict(part["data"])


def test_every_chart_has_one_page_and_a_title_of_its_own_id() -> None:
    listed = [spec.id for page in PAGES.values() for spec in page.charts]
    assert len(listed) == len(set(listed)) == len(CHARTS)
    assert all(re.fullmatch(r"[a-z0-9-]+", name) for name in listed)


@pytest.mark.parametrize(
    "query", ["", "?range=week&cmp=week", "?range=month", "?from=2026-10-01&to=2026-10-03"]
)
def test_every_chart_answers_every_window(person: Person, query: str) -> None:
    client = person("ansan")
    for chart in sorted(CHARTS):
        told = data_of(ask(client, chart, query=query))
        assert told["fault"] is False
        assert told["summary"].strip()
        assert told["columns"]
        assert told["figure"]["layout"]["height"] == CHARTS[chart].height
        for trace in told["figure"]["data"]:
            assert len(trace["x"]) <= 2 * MOST_POINTS
        assert "bdata" not in json.dumps(told["figure"])
        assert all(len(row) == len(told["columns"]) for row in told["rows"])


def test_every_chart_speaks_both_languages(person: Person) -> None:
    client = person("ansan")
    for chart in sorted(CHARTS):
        english = json.dumps(data_of(ask(client, chart, query="?cmp=week")), ensure_ascii=False)
        assert not re.search(r"[\uac00-\ud7a3]", english)
        korean = json.dumps(data_of(ask(client, chart, language="ko")), ensure_ascii=False)
        assert re.search(r"[\uac00-\ud7a3]", korean)


@pytest.mark.parametrize("name", ["sejong", "ministry", "office", "nobody"])
def test_a_chart_is_drawn_for_its_people_only(person: Person, name: str) -> None:
    client = person(name)
    for chart in sorted(CHARTS):
        answer = ask(client, chart)
        assert answer.status_code in {200, 204}
        assert "figure" not in answer.text
        refused = client.get(f"/api/v1/sites/{SITE}/charts/{chart}.csv")
        assert refused.status_code in {403, 404}


def test_a_file_holds_the_numbers_of_the_table(person: Person) -> None:
    client = person("admin")
    for chart in sorted(CHARTS):
        query = "range=week&cmp=week"
        told = data_of(ask(client, chart, query=f"?{query}"))
        answer = client.get(f"/api/v1/sites/{SITE}/charts/{chart}.csv?{query}")
        assert answer.status_code == 200, answer.text
        assert answer.content.startswith(b"\xef\xbb\xbf")
        rows = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))))
        assert rows[0][:2] == ["start", "end"]
        assert rows[0][-1] == "data"
        assert len(rows) - 1 == len(told["rows"])
        assert all(row[-1] == "simulated" for row in rows[1:])
        assert f'filename="{SITE}-{chart}-' in answer.headers["content-disposition"]


@pytest.mark.parametrize(
    "query",
    [
        "range=year",
        "from=x&to=y",
        "from=2026-11-02&to=2026-11-01",
        "cmp=x",
        "from=2020-01-01&to=2026-01-01",
    ],
)
def test_a_window_that_cannot_be_shown_is_a_problem(person: Person, query: str) -> None:
    client = person("admin")
    answer = client.get(f"/api/v1/sites/{SITE}/charts/power.csv?{query}")
    assert answer.status_code == 400
    assert answer.json()["detail"]
    page = client.get(f"/s/{SITE}?{query}&lang=en")
    assert page.status_code == 200
    assert "cannot be shown; this is the usual one" in page.text
    assert data_of(ask(client, "power", query=f"?{query}")) == {"fault": True}


def test_a_store_that_is_away_leaves_the_last_picture(person: Person, store: LiveStore) -> None:
    client = person("admin")
    store.is_down = True
    told = data_of(ask(client, "facility-power", query="?range=week"))
    assert told == {"fault": True}
    assert client.get(f"/api/v1/sites/{SITE}/charts/facility-power.csv").status_code == 503


@pytest.mark.parametrize(
    "page",
    [7, SITE, [], {}, {"site": 7}, {"site": {"$gt": ""}}, {"site": "../x"}, {"site": "nowhere"}],
)
def test_whatever_a_browser_sends_is_no_site(person: Person, page: object) -> None:
    answer = ask(person("admin"), "power", page=page)
    assert answer.status_code in {200, 204}
    assert "figure" not in answer.text


@pytest.mark.parametrize("chart", ["", "nothing", "../power", "page"])
def test_whatever_a_browser_sends_is_no_chart(person: Person, chart: str) -> None:
    client = person("admin")
    answer = ask(client, chart)
    assert answer.status_code in {200, 204}
    assert "figure" not in answer.text
    assert client.get(f"/api/v1/sites/{SITE}/charts/nothing.csv").status_code == 404


@pytest.mark.parametrize("page", sorted(PAGES))
def test_a_page_carries_the_layout_of_its_own_charts_only(person: Person, page: str) -> None:
    path = f"/s/{SITE}" if page == "overview" else f"/s/{SITE}/{page}"
    html = person("admin").get(f"{path}?lang=en").text
    found = re.search(r'<script type="application/json" id="charts-layout">(.*?)</script>', html)
    assert found is not None
    cards = json.loads(found.group(1))
    assert [card["props"]["id"] for card in cards] == [
        f"chart-{spec.id}" for spec in PAGES[page].charts
    ]
    # A skeleton of the final size stands in the first paint for each of them.
    assert html.count('skeleton" aria-hidden') == len(cards)
    for spec in PAGES[page].charts:
        assert page_of(spec.id) == page
        assert f"height:{spec.height}px" in html


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b"{}",
        b'{"output": "no-such.callback"}',
        b'{"output": ["x"]}',
        b'{"output": 7, "inputs": 7}',
        b"[" * 100_000,
        b'{"output": "power-graph.figure", "inputs": "x"}',
    ],
)
def test_a_malformed_call_is_a_400(person: Callable[[str], TestClient], body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = person("admin").post("/_dash-update-component", content=body, headers=headers)
    assert answer.status_code == 400


def test_every_server_callback_asks_for_permission(app: FastAPI) -> None:
    """A callback that is added without an entry here has not been thought about."""
    (guard,) = [m for m in app.user_middleware if m.cls is CallbackGuard]
    served = [name for name, one in guard.kwargs["outputs"].items() if "callback" in one]
    assert served == ['{"chart":["MATCH"],"part":"answer"}.data']
