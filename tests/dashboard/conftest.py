"""A board on memory, and browsers that are signed in as people of every kind."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from core.clock import FakeClock
from core.ports import Account
from core.sites import SiteRegistry
from dashboard.accounts import hash_password
from dashboard.app import create_app
from dashboard.readiness import ReadinessReport
from dashboard.settings import BoardSettings
from tests.dashboard.fakes import (
    FakeKpis,
    LiveStore,
    MemoryAccounts,
    NoEvents,
    fake_systems,
    real_registry,
)

# 14:32:08 in Seoul.
NOW = datetime(2026, 11, 20, 5, 32, 8, tzinfo=UTC)
PASSWORD = "a long enough password"
_HASH = hash_password(PASSWORD)
PEOPLE = {
    "admin": dict.fromkeys(("operator", "author", "reviewer", "admin"), ("*",)),
    "ansan": {"operator": ("kakao-ansan",)},
    "sejong": {"author": ("naver-gak-sejong",)},
    "ministry": {"reviewer": ("*",)},
    "office": {"admin": ("*",)},
    "nobody": {},
}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture(scope="session")
def registry() -> SiteRegistry:
    return real_registry()


@pytest.fixture
def accounts() -> MemoryAccounts:
    held = MemoryAccounts()
    for name, roles in PEOPLE.items():
        held.create_account(Account(name, _HASH, dict(roles)))
    return held


@pytest.fixture
def store(registry: SiteRegistry, clock: FakeClock) -> LiveStore:
    made = LiveStore(registry, clock.now_ms)
    made.stored = FakeKpis()
    return made


@pytest.fixture
def kpis() -> FakeKpis:
    return FakeKpis()


@pytest.fixture
def board_settings() -> BoardSettings:
    return BoardSettings(live_tick=timedelta(milliseconds=50))


@pytest.fixture
def make_app(
    registry: SiteRegistry,
    accounts: MemoryAccounts,
    store: LiveStore,
    kpis: FakeKpis,
    clock: FakeClock,
    board_settings: BoardSettings,
) -> Callable[..., FastAPI]:
    def make(**changed: object) -> FastAPI:
        parts: dict[str, object] = {
            "registry": registry,
            "store": store.as_store(),
            "records": accounts,
            "rollup_records": NoEvents().as_records(),
            "settings": board_settings,
            "clock": clock,
            "health": lambda: ReadinessReport(()),
            "compute_kpis": kpis,
            "read_systems": fake_systems,
            "read_forecast": lambda *_: None,
        }
        return create_app(**{**parts, **changed})  # type: ignore[arg-type]

    return make


@pytest.fixture
def app(make_app: Callable[..., FastAPI]) -> FastAPI:
    return make_app()


@pytest.fixture
def anonymous(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, base_url="http://board.test", follow_redirects=False) as client:
        yield client


def sign_in(client: TestClient, name: str, password: str = PASSWORD) -> TestClient:
    """Fill in the form as a browser would."""
    page = client.get("/login").text
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page))
    answer = client.post("/login", data={**fields, "username": name, "password": password})
    assert answer.status_code == 303, answer.text
    return client


@pytest.fixture
def person(app: FastAPI) -> Iterator[Callable[[str], TestClient]]:
    """A browser that is signed in under a name."""
    opened: list[TestClient] = []

    def enter(name: str) -> TestClient:
        client = TestClient(app, base_url="http://board.test", follow_redirects=False)
        client.__enter__()
        opened.append(client)
        return sign_in(client, name)

    yield enter
    for client in opened:
        client.__exit__(None, None, None)
