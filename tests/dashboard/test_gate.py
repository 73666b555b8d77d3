"""Deny by default: every path there is, asked by nobody, by a stranger, and by another site."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from dashboard.gate import is_same_origin
from dashboard.settings import BoardSettings
from tests.dashboard.fakes import real_registry

OPEN = {"/healthz", "/readyz", "/login", "/favicon.ico"}


def walk_routes(app: FastAPI) -> list[Any]:
    def inside(routes: list[Any]) -> Iterator[Any]:
        for route in routes:
            inner = getattr(route, "original_router", None) or getattr(route, "app", None)
            if hasattr(inner, "routes"):
                yield from inside(inner.routes)
            else:
                yield route

    return list(inside(app.routes))


def concrete(path: str) -> str:
    known = {"site_id": "kakao-ansan", "package_name": "dash", "fingerprint": "x"}
    return re.sub(r"\{(\w+)(?::path)?\}", lambda m: known.get(m.group(1), "some/where"), path)


def http_paths(app: FastAPI) -> set[str]:
    return {
        concrete(route.path)
        for route in walk_routes(app)
        if getattr(route, "methods", None) and hasattr(route, "path")
    }


def test_the_walk_sees_pages_api_and_dash(app: FastAPI) -> None:
    paths = http_paths(app)
    assert {
        "/",
        "/s/kakao-ansan",
        "/login",
        "/api/v1/sites",
        "/api/v1/live",
        "/api/v1/openapi.json",
        "/_dash-update-component",
        "/_dash-layout",
        "/_dash-dependencies",
        "/_board/live",
    } <= paths


def test_every_path_refuses_who_is_not_signed_in(app: FastAPI, anonymous: TestClient) -> None:
    paths = http_paths(app) | {"/never/heard/of", "/api", "/api/v1", "/_mcp", "/assets/board.css"}
    for path in sorted(paths - OPEN):
        if path.startswith("/static/"):
            continue
        answers = (anonymous.get(path), anonymous.head(path), anonymous.post(path, json={}))
        for answer in answers:
            assert answer.status_code in {303, 401}, (path, answer.request.method)
            if path.startswith(("/api", "/_")):
                assert answer.status_code == 401, path
                assert answer.headers["content-type"] == "application/problem+json"
            else:
                assert answer.headers["location"].startswith("/login"), path
            assert answer.headers["cache-control"] == "no-store"


def test_a_page_is_remembered_through_sign_in(anonymous: TestClient) -> None:
    answer = anonymous.get("/s/kakao-ansan?lang=en&view=table")
    assert answer.headers["location"] == "/login?next=%2Fs%2Fkakao-ansan%3Flang%3Den%26view%3Dtable"


def test_open_paths_answer(anonymous: TestClient) -> None:
    assert anonymous.get("/healthz").status_code == 200
    assert anonymous.get("/readyz").json() == []
    assert anonymous.get("/login").status_code == 200
    style = re.search(r'href="(/static/\w+/board.css)"', anonymous.get("/login").text)
    assert style is not None
    assert anonymous.get(style.group(1)).status_code == 200


@pytest.mark.parametrize("path", ["/static/../s/kakao-ansan", "/static/x/../../accounts.py"])
def test_static_paths_lead_nowhere_else(anonymous: TestClient, path: str) -> None:
    answer = anonymous.get(path)
    assert answer.status_code in {303, 404}
    assert "kakao" not in answer.text


@pytest.mark.parametrize(
    ("name", "path", "status"),
    [
        ("ansan", "/s/kakao-ansan", 200),
        ("ansan", "/s/naver-gak-sejong", 404),
        ("ansan", "/s/no-such-site", 404),
        ("sejong", "/s/naver-gak-sejong", 200),
        ("sejong", "/s/kakao-ansan", 404),
        ("ministry", "/s/kakao-ansan", 403),
        ("office", "/s/kakao-ansan", 403),
        ("nobody", "/s/kakao-ansan", 404),
        ("admin", "/s/kakao-ansan", 200),
        ("ansan", "/api/v1/sites/kakao-ansan", 200),
        ("ansan", "/api/v1/sites/naver-gak-sejong", 404),
        ("ministry", "/api/v1/sites/kakao-ansan", 200),
        ("ansan", "/api/v1/live/snapshot?site=kakao-ansan", 200),
        ("ansan", "/api/v1/live/snapshot?site=naver-gak-sejong", 404),
        ("ministry", "/api/v1/live/snapshot?site=kakao-ansan", 403),
        ("ministry", "/api/v1/live?site=kakao-ansan", 403),
        ("ansan", "/api/v1/live?site=naver-gak-sejong", 404),
        ("ministry", "/api/v1/sites/kakao-ansan/power.csv", 403),
        ("ansan", "/api/v1/sites/naver-gak-sejong/power.csv", 404),
        ("ansan", "/_board/live/snapshot?site=naver-gak-sejong&lang=ko", 404),
        ("ministry", "/_board/live?site=kakao-ansan&lang=ko", 403),
        ("ansan", "/_board/evidence?site=naver-gak-sejong&id=pue", 404),
        ("ministry", "/_board/evidence?site=kakao-ansan&id=pue", 403),
    ],
)
def test_a_site_is_for_its_people(
    person: Callable[[str], TestClient], name: str, path: str, status: int
) -> None:
    answer = person(name).get(path)
    assert answer.status_code == status
    if status != 200:
        assert "26,3" not in answer.text


def test_an_unknown_and_a_forbidden_site_are_told_apart_by_nothing(
    person: Callable[[str], TestClient],
) -> None:
    client = person("ansan")
    for path in ("/s/{}", "/api/v1/sites/{}", "/api/v1/live/snapshot?site={}"):
        forbidden = client.get(path.format("naver-gak-sejong"))
        unknown = client.get(path.format("no-such-site"))
        assert forbidden.status_code == unknown.status_code == 404
        assert forbidden.text.replace("naver-gak-sejong", "X") == unknown.text.replace(
            "no-such-site", "X"
        )


def test_the_sites_listed_are_those_that_one_may_know(
    person: Callable[[str], TestClient],
) -> None:
    assert [s["id"] for s in person("ansan").get("/api/v1/sites").json()] == ["kakao-ansan"]
    assert len(person("ministry").get("/api/v1/sites").json()) == len(real_registry())
    page = person("ansan").get("/?lang=en").text
    assert "/s/kakao-ansan" in page
    assert "sejong" not in page
    assert "no site that you may see" in person("nobody").get("/?lang=en").text


@pytest.mark.parametrize("path", ["/login", "/logout", "/_dash-update-component", "/api/v1/sites"])
@pytest.mark.parametrize("origin", ["https://evil.test", "http://board.test.evil.test", "null"])
def test_a_post_from_another_site_is_refused(
    person: Callable[[str], TestClient], path: str, origin: str
) -> None:
    answer = person("admin").post(path, headers={"Origin": origin}, data={"username": "admin"})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("public_url", "origin", "host", "same"),
    [
        ("", "", "board:8050", True),
        ("", "http://board:8050", "board:8050", True),
        ("", "http://BOARD:8050", "board:8050", True),
        ("", "http://board:8051", "board:8050", False),
        ("", "http://board", "board:8050", False),
        ("", "file://", "", False),
        ("https://board.example", "https://board.example", "10.0.0.3:8050", True),
        ("https://board.example", "http://board.example", "board.example", False),
        ("https://board.example", "https://other.example", "other.example", False),
        ("http://board.example:81", "http://board.example:81", "x", True),
    ],
)
def test_what_counts_as_our_own_origin(public_url: str, origin: str, host: str, same: bool) -> None:
    assert is_same_origin(origin, host, BoardSettings(public_url=public_url)) is same


def test_no_websocket_is_accepted(person: Callable[[str], TestClient], app: FastAPI) -> None:
    client = person("admin")
    sockets = [r.path for r in walk_routes(app) if "WebSocket" in type(r).__name__]
    assert "/_dash-ws-callback" in sockets
    for path in [*sockets, "/anything"]:
        with pytest.raises(WebSocketDisconnect), client.websocket_connect(path):
            pass


@pytest.mark.parametrize("path", ["/_mcp", "/console", "/_reload-hash-x", "/assets/board.css"])
def test_doors_of_the_library_are_shut(person: Callable[[str], TestClient], path: str) -> None:
    client = person("admin")
    assert client.get(path).status_code == 404
    assert client.post(path, json={}).status_code in {404, 405}


def test_no_mcp_server_whatever_the_environment_says(
    make_app: Callable[..., FastAPI], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASH_MCP_ENABLED", "true")
    app = make_app()
    assert not any("mcp" in path for path in http_paths(app))


@pytest.mark.parametrize(
    "path", ["/login", "/", "/s/kakao-ansan", "/api/v1/sites", "/healthz", "/never"]
)
def test_every_answer_carries_the_security_headers(
    person: Callable[[str], TestClient], path: str
) -> None:
    headers = person("admin").get(path).headers
    policy = headers["content-security-policy"]
    scripts = next(part for part in policy.split("; ") if part.startswith("script-src"))
    assert "unsafe" not in scripts
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert "strict-transport-security" not in headers
    assert "access-control-allow-origin" not in headers


def test_inline_scripts_of_a_page_are_those_of_the_policy(
    person: Callable[[str], TestClient],
) -> None:
    import base64
    import hashlib

    answer = person("admin").get("/s/kakao-ansan")
    policy = answer.headers["content-security-policy"]
    blocks = re.findall(r"<script(?![^>]*\ssrc=)([^>]*)>(.*?)</script>", answer.text, re.DOTALL)
    run = [body for attributes, body in blocks if "application/json" not in attributes]
    assert len(run) == 1
    for body in run:
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert not re.search(r"\son\w+=", re.sub(r"<script.*?</script>", "", answer.text, flags=re.S))


def test_behind_https_cookies_are_secure_and_http_is_forbidden(
    make_app: Callable[..., FastAPI],
) -> None:
    from tests.dashboard.conftest import sign_in

    app = make_app(settings=BoardSettings(public_url="https://board.test"))
    with TestClient(app, base_url="https://board.test", follow_redirects=False) as client:
        answer = client.get("/login")
        assert answer.headers["strict-transport-security"]
        assert answer.headers["set-cookie"].startswith("__Host-greendc_form=")
        sign_in(client, "admin")
        cookie = client.cookies.get("__Host-greendc_session")
        assert cookie
        assert client.get("/").status_code == 200


def test_a_body_that_is_too_large_is_refused(person: Callable[[str], TestClient]) -> None:
    answer = person("admin").post("/_dash-update-component", content=b"x" * 300_000)
    assert answer.status_code == 413


def test_a_fault_tells_a_number_and_nothing_else(
    person: Callable[[str], TestClient], store: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(site: str) -> None:
        raise ZeroDivisionError("a secret inside")

    client = person("admin")
    store.read_latest = broken
    page = client.get("/s/kakao-ansan")
    assert page.status_code == 500
    assert "secret" not in page.text
    document = client.get("/api/v1/live/snapshot?site=kakao-ansan")
    assert document.status_code == 500
    assert "secret" not in document.text
    assert document.json()["instance"] in caplog.text


def test_the_session_store_away_is_said(person: Callable[[str], TestClient], accounts: Any) -> None:
    from core.errors import StoreUnavailableError

    def away(token: str) -> None:
        raise StoreUnavailableError("records away")

    client = person("admin")
    accounts.read_session = away
    assert client.get("/").status_code == 503
    assert client.get("/healthz").status_code == 200
