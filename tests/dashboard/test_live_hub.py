"""Live values: one read per site and tick, shared; feeds that end when they must."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from core.clock import FakeClock
from core.sites import SiteRegistry
from dashboard.live_feed import LiveCards, LiveFeed
from dashboard.live_hub import LiveHub
from dashboard.page_context import Pages
from dashboard.sessions import Sessions
from dashboard.settings import BoardSettings
from dashboard.static_files import StaticFiles
from dashboard.today import SiteDays
from tests.dashboard.conftest import PASSWORD
from tests.dashboard.fakes import FakeKpis, LiveStore, MemoryAccounts

TICK = timedelta(milliseconds=40)
SETTINGS = BoardSettings(live_tick=TICK, heartbeat=timedelta(milliseconds=20))


@pytest.fixture
def hub(store: LiveStore, clock: FakeClock) -> LiveHub:
    return LiveHub(store.as_store(), SETTINGS, clock)


def test_listeners_share_one_read_a_tick(
    hub: LiveHub, registry: SiteRegistry, store: LiveStore
) -> None:
    site = registry.site("kakao-ansan")

    async def listen(rounds: int) -> list[int]:
        seen = []
        async for state in hub.watch(site):
            if state is not None:
                seen.append(state.sequence)
            if len(seen) == rounds:
                return seen
        return seen

    async def run() -> list[list[int]]:
        return await asyncio.gather(*(listen(5) for _ in range(40)))

    answers = asyncio.run(run())
    assert all(answer == sorted(set(answer)) for answer in answers)
    assert store.reads <= max(answer[-1] for answer in answers)
    assert store.reads < 12


def test_a_device_that_was_declared_dead_is_missing_at_once(
    registry: SiteRegistry, store: LiveStore, clock: FakeClock
) -> None:
    site = registry.site("kakao-ansan")
    dead: dict[tuple[str, str], int] = {}
    hub = LiveHub(store.as_store(), SETTINGS, clock, lambda asked: dead)

    async def missing() -> tuple[str, ...]:
        state = await hub.latest(site)
        await asyncio.sleep(2 * TICK.total_seconds())
        assert state.snapshot is not None
        return state.snapshot.it.missing

    async def run() -> list[tuple[str, ...]]:
        before = await missing()
        dead[site.id, "pdu-2a"] = clock.now_ms()
        return [before, await missing()]

    assert asyncio.run(run()) == [(), ("pdu-2a",)]


def test_sites_are_read_apart(hub: LiveHub, registry: SiteRegistry, store: LiveStore) -> None:
    async def run() -> None:
        first = await hub.latest(registry.site("kakao-ansan"))
        second = await hub.latest(registry.site("naver-gak-sejong"))
        assert first.snapshot is not None
        assert second.snapshot is not None
        assert first.snapshot.site != second.snapshot.site
        assert (await hub.latest(registry.site("kakao-ansan"))) is first

    asyncio.run(run())
    assert store.reads == 2


def test_between_ticks_the_feed_beats(hub: LiveHub, registry: SiteRegistry) -> None:
    async def run() -> list[bool]:
        kinds = []
        async for state in hub.watch(registry.site("kakao-ansan")):
            kinds.append(state is None)
            if len(kinds) == 6:
                break
        return kinds

    kinds = asyncio.run(run())
    assert any(kinds)
    assert not all(kinds)


def test_an_outage_keeps_the_last_values_and_says_so(
    hub: LiveHub, registry: SiteRegistry, store: LiveStore
) -> None:
    site = registry.site("kakao-ansan")

    async def run() -> None:
        good = await hub.latest(site)
        store.is_down = True
        await asyncio.sleep(TICK.total_seconds() * 1.5)
        bad = await hub.latest(site)
        assert bad.is_faulty
        assert bad.snapshot is good.snapshot
        store.is_down = False
        await asyncio.sleep(TICK.total_seconds() * 1.5)
        assert not (await hub.latest(site)).is_faulty

    asyncio.run(run())


def test_closing_the_hub_ends_every_feed_at_once(hub: LiveHub, registry: SiteRegistry) -> None:
    async def run() -> float:
        loop = asyncio.get_running_loop()

        async def listen() -> None:
            async for _ in hub.watch(registry.site("kakao-ansan")):
                pass

        slow = [asyncio.create_task(listen()) for _ in range(20)]
        await asyncio.sleep(0.1)
        started = loop.time()
        hub.close()
        await asyncio.gather(*slow)
        return loop.time() - started

    assert asyncio.run(run()) < 1.0


# ------------------------------------------------------------ the feed


class Feed:
    """A feed on memory with its parts at hand."""

    def __init__(
        self, registry: SiteRegistry, store: LiveStore, accounts: MemoryAccounts, clock: FakeClock
    ) -> None:
        self.site = registry.site("kakao-ansan")
        self.clock = clock
        self.hub = LiveHub(store.as_store(), SETTINGS, clock)
        stores: Any = store
        self.days = SiteDays(stores, stores, SETTINGS, clock, FakeKpis())
        self.sessions = Sessions(accounts, SETTINGS, clock)
        self.pages = Pages(StaticFiles(SETTINGS.build_folder), SETTINGS)
        self.cards = LiveCards(self.pages)
        self.feed = LiveFeed(
            registry=registry,
            hub=self.hub,
            days=self.days,
            cards=self.cards,
            sessions=self.sessions,
            settings=SETTINGS,
            clock=clock,
        )
        token = self.sessions.sign_in("admin", PASSWORD, "10.0.0.1")
        assert token is not None
        self.token = token

    async def events(self, count: int) -> list[tuple[str, dict[str, Any]]]:
        encode = self.feed._card_encoder("ko")(self.site)
        found = []
        async for raw in self.feed._events(self.site, self.token, "cards-ko", "cards", encode):
            text = raw.decode()
            assert text.endswith("\n\n")
            fields = dict(line.split(": ", 1) for line in text.strip().split("\n"))
            found.append((fields["event"], json.loads(fields["data"])))
            if len(found) == count:
                break
        return found


@pytest.fixture
def feed(
    registry: SiteRegistry, store: LiveStore, accounts: MemoryAccounts, clock: FakeClock
) -> Feed:
    return Feed(registry, store, accounts, clock)


def test_the_feed_of_a_page(feed: Feed) -> None:
    events = asyncio.run(feed.events(3))
    assert events[0][0] == "cards"
    assert events[0][1]["now"] == feed.clock.now_ms()
    cards = events[0][1]["cards"]
    assert {"pue", "facility", "it", "wue", "ref", "rain", "solar", "accelerators"} <= set(cards)
    assert ">25,859<" in cards["facility"]["html"]
    assert cards["facility"]["time"] == feed.clock.now_ms() - 4_000
    assert (cards["facility"]["late"], cards["facility"]["stale"]) == (20_000, 50_000)


def test_a_body_changes_with_what_it_says_not_with_its_age(feed: Feed, store: LiveStore) -> None:
    async def run() -> list[str]:
        marks = []
        for age_ms, scale in ((1_000, 1.0), (5_000, 1.0), (5_000, 1.1)):
            store.age_ms, store.scale = age_ms, scale
            await asyncio.sleep(TICK.total_seconds() * 1.5)
            state = await feed.hub.latest(feed.site)
            body = feed.cards.encode(feed.site, "ko", state, await feed.days.get(feed.site))
            marks.append(body["cards"]["facility"]["mark"])
        return marks

    first, older, other = asyncio.run(run())
    assert first == older
    assert other != first


def test_a_feed_says_when_the_store_is_away(feed: Feed, store: LiveStore) -> None:
    store.is_down = True
    events = asyncio.run(feed.events(1))
    assert events[0][0] == "fault"


def test_a_feed_ends_with_its_session(feed: Feed, accounts: MemoryAccounts) -> None:
    async def run() -> list[str]:
        ended = asyncio.create_task(feed.events(1_000))
        await asyncio.sleep(0.05)
        accounts.end_sessions_of("admin")
        return [name for name, _ in await asyncio.wait_for(ended, 10.0)]

    assert asyncio.run(run())[-1] == "over"


def test_a_feed_ends_with_its_permission(feed: Feed, accounts: MemoryAccounts) -> None:
    async def run() -> list[str]:
        ended = asyncio.create_task(feed.events(1_000))
        await asyncio.sleep(0.05)
        accounts.write_account(replace(accounts.accounts["admin"], roles={"reviewer": ("*",)}))
        return [name for name, _ in await asyncio.wait_for(ended, 10.0)]

    assert asyncio.run(run())[-1] == "over"


# ------------------------------------------------------------ over HTTP


def test_the_snapshot_of_the_api(person: Callable[[str], TestClient], app: FastAPI) -> None:
    document = person("ansan").get("/api/v1/live/snapshot?site=kakao-ansan").json()
    values = {(row["id"], row["subject"]): row for row in document["values"]}
    facility = values["facility_power", "site"]
    assert facility["value"] == pytest.approx(25_859.2)
    assert facility["unit"] == "kW"
    assert facility["time"] == "2026-11-20T05:32:04.000Z"
    assert facility["state"] == "normal"
    assert (facility["expected"], facility["reporting"], facility["missing"]) == (6, 6, [])
    assert values["rain_tank_level", "site"]["volume_m3"] == pytest.approx(186.4)
    assert ("pv_power", "pv-roof-south") in values
    assert ("accelerator_power", "npu") in values
    assert {row["kpi"] for row in document["kpis"]} >= {"pue", "wue", "ref"}
    assert document["data"] == "simulated"


def test_the_snapshot_of_a_page_is_what_its_feed_sends(
    person: Callable[[str], TestClient],
) -> None:
    document = person("ansan").get("/_board/live/snapshot?site=kakao-ansan&lang=en").json()
    assert "PUE today" in document["cards"]["pue"]["html"]


def test_feeds_are_not_packed_and_not_held_back(app: FastAPI, accounts: MemoryAccounts) -> None:
    # A packed stream would be held until the packer has enough.
    from tests.dashboard.conftest import sign_in

    with TestClient(app, base_url="http://board.test", follow_redirects=False) as client:
        sign_in(client, "admin")
        app.state.live_hub.close()
        headers = {"Accept-Encoding": "gzip"}
        answer = client.get("/api/v1/live?site=kakao-ansan", headers=headers)
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert "content-encoding" not in answer.headers
        assert answer.headers["x-accel-buffering"] == "no"
