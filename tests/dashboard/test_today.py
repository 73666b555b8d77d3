"""Today's figures: their window, how long they are held, what happens when the store is away."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.clock import FakeClock
from core.periods import INTERVAL_MS, format_time, to_ms
from core.quality import Verdict
from core.sites import Site, SiteRegistry
from dashboard.settings import BoardSettings
from dashboard.today import SiteDays, compute_site_day, today_window
from tests.dashboard.fakes import FakeKpis

STORES: Any = None


@pytest.fixture
def ansan(registry: SiteRegistry) -> Site:
    return registry.site("kakao-ansan")


@pytest.mark.parametrize(
    ("utc", "end"),
    [
        ("2026-11-20T05:32:08", "2026-11-20T05:30:00.000Z"),
        # An interval that has just ended is not asked for yet.
        ("2026-11-20T05:31:00", "2026-11-20T05:15:00.000Z"),
        ("2026-11-20T05:31:30", "2026-11-20T05:30:00.000Z"),
        ("2026-11-19T15:16:30", "2026-11-19T15:15:00.000Z"),
        ("2026-11-19T15:16:29", None),
        ("2026-11-19T15:00:00", None),
        ("2026-11-19T14:59:59", "2026-11-19T14:45:00.000Z"),
    ],
)
def test_the_window_is_today_to_the_last_settled_interval(
    ansan: Site, utc: str, end: str | None
) -> None:
    moment = datetime.fromisoformat(utc).replace(tzinfo=UTC)
    window = today_window(ansan, to_ms(moment))
    assert (None if window is None else format_time(window.end)) == end
    if window is not None:
        assert format_time(window.start)[10:] == "T15:00:00.000Z"


def test_the_last_day_of_power(ansan: Site, clock: FakeClock) -> None:
    kpis = FakeKpis()
    kpis.missing_hours = frozenset({4})
    day = compute_site_day(ansan, STORES, STORES, clock.now_ms(), kpis)
    assert day.power is not None
    assert len(day.power.start_ms) == 96
    assert day.power.end_ms == to_ms(datetime(2026, 11, 20, 5, 30, tzinfo=UTC))
    missing = [
        start
        for start, point in zip(day.power.start_ms, day.power.facility, strict=True)
        if point.kw is None
    ]
    assert len(missing) == 4
    assert missing[0] == to_ms(datetime(2026, 11, 19, 19, 0, tzinfo=UTC))
    assert all(b - a == INTERVAL_MS for a, b in itertools.pairwise(missing))
    known = [point.kw for point in day.power.facility if point.kw is not None]
    assert 20_000 < min(known) < max(known) < 30_000
    assert all(point.verdict is not Verdict.REFUSED for point in day.power.it if point.kw)


def make_days(kpis: FakeKpis, clock: FakeClock, hold_ms: int) -> SiteDays:
    settings = BoardSettings(kpi_refresh=timedelta(milliseconds=hold_ms))
    return SiteDays(STORES, STORES, settings, clock, kpis)


def test_many_askers_share_one_computation(ansan: Site, clock: FakeClock) -> None:
    kpis = FakeKpis()
    days = make_days(kpis, clock, 60_000)

    async def run() -> None:
        answers = await asyncio.gather(*(days.get(ansan) for _ in range(20)))
        assert len({id(answer) for answer in answers}) == 1

    asyncio.run(run())
    assert kpis.calls == 2  # the window, and the quarter hours


def test_an_old_answer_is_given_while_a_new_one_is_made(ansan: Site, clock: FakeClock) -> None:
    kpis = FakeKpis()
    days = make_days(kpis, clock, 50)

    async def run() -> None:
        first = await days.get(ansan)
        await asyncio.sleep(0.06)
        clock.advance(timedelta(minutes=1))
        assert await days.get(ansan) is first
        deadline = asyncio.get_running_loop().time() + 5.0
        while await days.get(ansan) is first:
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.005)

    asyncio.run(run())


def test_an_answer_of_long_ago_is_not_given(ansan: Site, clock: FakeClock) -> None:
    days = make_days(FakeKpis(), clock, 10)

    async def run() -> None:
        first = await days.get(ansan)
        await asyncio.sleep(0.06)
        assert await days.get(ansan) is not first

    asyncio.run(run())


def test_the_held_figures_outlive_an_outage(ansan: Site, clock: FakeClock) -> None:
    kpis = FakeKpis()
    days = make_days(kpis, clock, 10)

    async def run() -> None:
        first = await days.get(ansan)
        kpis.is_down = True
        await asyncio.sleep(0.06)
        assert await days.get(ansan) is first
        assert days.is_faulty(ansan)
        kpis.is_down = False
        await asyncio.sleep(0.06)
        await days.get(ansan)
        assert not days.is_faulty(ansan)

    asyncio.run(run())


def test_a_fault_of_analytics_takes_nothing_else_along(ansan: Site, clock: FakeClock) -> None:
    def broken(*_: object, **__: object) -> list[Any]:
        raise ZeroDivisionError

    days = SiteDays(STORES, STORES, BoardSettings(), clock, broken)
    assert asyncio.run(days.get(ansan)) is None
    assert days.is_faulty(ansan)
