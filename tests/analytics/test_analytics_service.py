"""The service: what arrives is computed, once, and again when it changes; nothing is forgotten."""

from __future__ import annotations

import json
import threading
import time
from datetime import timedelta

import pytest

from analytics.dirty import Pace
from analytics.kpis import compute_kpi_rows
from analytics.recompute import recompute_period
from analytics.service import AnalyticsConfig, AnalyticsService
from core.clock import FakeClock
from core.errors import StoreUnavailableError
from core.ledger import DirtySpan
from core.periods import Period
from core.sites import Site, SiteRegistry
from tests.analytics.memory_store import MemoryRecords, MemoryStore
from tests.analytics.series_builders import START, START_MS, key_of, make_device, make_site
from tests.analytics.test_recompute import computed, events_of

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
FEED = make_device("grid-a", "grid_feed", 60.0)
PDU = make_device("pdu-1", "pdu_output", 60.0)
SITE = make_site(FEED, PDU, data="simulated")


class Running:
    """A service with its stores and a clock, and a way to let readings arrive."""

    def __init__(self, site: Site = SITE, raw_days: int = 400) -> None:
        self.site = site
        self.store, self.records = MemoryStore(), MemoryRecords()
        self.clock = FakeClock(START + timedelta(days=2, seconds=90))
        self.service = AnalyticsService(
            SiteRegistry([site]),
            self.store,  # type: ignore[arg-type]
            self.records,
            AnalyticsConfig(raw_days=raw_days, pace=Pace(), forecasts=None),
            self.clock,
        )

    def arrive(self, start_ms: int, end_ms: int, step_ms: int = 60_000) -> None:
        """Readings of both meters with their powers in [start, end)."""
        times = range(start_ms, end_ms, step_ms)
        for device, level in ((FEED, 130.0), (PDU, 100.0)):
            hours = [(t - START_MS) / HOUR_MS for t in times]
            rows = [(t, level * hour) for t, hour in zip(times, hours, strict=True)]
            self.store.add(key_of(device, "active_energy_kwh"), rows)
            self.store.add(key_of(device, "active_power_kw"), [(t, level) for t in times])
            self.records.add_dirty(DirtySpan("site-a", "energy", device.id, start_ms, times[-1]))

    def settle(self, seconds: float = 60.0) -> None:
        """Let a minute pass with a look every five seconds."""
        for _ in range(int(seconds // 5)):
            self.service.run_pass()
            self.clock.advance(timedelta(seconds=5))

    def whole(self) -> tuple[object, object]:
        fresh, records = MemoryStore(), MemoryRecords()
        fresh.samples = self.store.samples
        period = Period(START - timedelta(days=1), self.clock.now() + timedelta(hours=1))
        recompute_period(fresh, records, self.site, period)  # type: ignore[arg-type]
        return computed(fresh), events_of(records)


def test_what_arrives_is_computed_within_a_minute() -> None:
    running = Running()
    running.arrive(START_MS, START_MS + DAY_MS)
    running.settle()
    assert not running.records.dirty
    assert computed(running.store) == running.whole()[0]
    status = running.service.status()
    assert status.computed_to_ms["site-a"] >= START_MS + DAY_MS
    assert status.error == ""
    assert status.intervals_written > 0


def test_a_day_that_arrives_in_many_messages_is_computed_few_times() -> None:
    running = Running()
    step = DAY_MS // 24
    for piece in range(24):
        running.arrive(START_MS + piece * step, START_MS + (piece + 1) * step)
        running.service.run_pass()
        running.clock.advance(timedelta(seconds=2))
    running.settle()
    rows = sum(len(rows) for rows in running.store.intervals.values())
    assert running.store.intervals_written <= 3 * rows
    assert computed(running.store) == running.whole()[0]


def test_a_late_reading_changes_what_it_touches_and_nothing_else() -> None:
    running = Running()
    running.arrive(START_MS, START_MS + 6 * HOUR_MS)
    running.arrive(START_MS + 9 * HOUR_MS, START_MS + DAY_MS)
    running.settle()
    assert [event.kind for event in running.records.events] == ["counter_gap"] * 2
    before = computed(running.store)
    running.arrive(START_MS + 7 * HOUR_MS, START_MS + 8 * HOUR_MS)
    running.store.intervals_written = 0
    running.settle()
    whole, events = running.whole()
    assert computed(running.store) == whole
    assert events_of(running.records) == events
    after = computed(running.store)
    changed = {
        start
        for key, rows in after.items()
        for start, row in rows.items()
        if before.get(key, {}).get(start) != row
    }
    assert min(changed) >= START_MS + 5.75 * HOUR_MS
    assert max(changed) < START_MS + 9 * HOUR_MS


def test_the_same_spans_again_change_nothing() -> None:
    running = Running()
    running.arrive(START_MS, START_MS + DAY_MS)
    running.settle()
    first, events = computed(running.store), events_of(running.records)
    results = dict(running.store.results)
    running.arrive(START_MS, START_MS + DAY_MS)
    running.settle()
    assert computed(running.store) == first
    assert events_of(running.records) == events
    assert running.store.results == results


def test_figures_of_ended_periods_are_kept() -> None:
    running = Running()
    running.arrive(START_MS - HOUR_MS, START_MS + DAY_MS + 2 * HOUR_MS)
    running.settle(120)
    rows = [row for row in running.store.results.values() if row.name == "pue"]
    by_resolution = {
        name: [row for row in rows if row.resolution == name] for name in ("15m", "hour", "day")
    }
    (day,) = [row for row in by_resolution["day"] if row.start_ms == START_MS]
    assert day.value == pytest.approx(1.3)
    document = json.loads(day.document)
    assert document["verdict"] == "final"
    assert document["parts"]["it_energy_kwh"] == pytest.approx(2400.0)
    hour = next(row for row in by_resolution["hour"] if row.start_ms == START_MS)
    assert hour.value == pytest.approx(1.3)
    assert "parts" not in json.loads(hour.document)
    assert len([r for r in by_resolution["15m"] if r.start_ms >= START_MS and r.value]) >= 96
    asked = compute_kpi_rows(
        running.store,  # type: ignore[arg-type]
        running.records,
        SITE,
        Period(START, START + timedelta(days=1)),
        resolution="day",
        kpis=["pue"],
        now=running.clock.now(),
    )
    assert asked[0].as_json() == document


def test_figures_follow_a_late_correction() -> None:
    running = Running()
    running.arrive(START_MS - HOUR_MS, START_MS + DAY_MS + HOUR_MS)
    running.settle(120)
    key = ("site-a", "kpi", "it_energy", "site", "day", START_MS)
    assert running.store.results[key].value == pytest.approx(2400.0)
    late = START_MS + 5 * HOUR_MS
    counter = key_of(PDU, "active_energy_kwh")
    rows = running.store.samples[counter]
    running.store.add(counter, [(t, value + 12.0) for t, (value, _) in rows.items() if t > late])
    running.records.add_dirty(DirtySpan("site-a", "energy", "pdu-1", late, max(rows)))
    running.settle(120)
    assert running.store.results[key].value == pytest.approx(2412.0)


def test_a_month_is_kept_once_it_has_ended() -> None:
    running = Running()
    running.clock.advance(timedelta(days=31))
    running.arrive(START_MS + DAY_MS, START_MS + 3 * DAY_MS)
    running.settle(120)
    months = [row for row in running.store.results.values() if row.resolution == "month"]
    assert {row.start_ms for row in months} == {START_MS}
    (pue,) = [row for row in months if row.name == "pue"]
    assert pue.value is None
    assert "of the period" in json.loads(pue.document)["reason"]


def test_nothing_is_forgotten_while_the_store_is_away() -> None:
    running = Running()
    running.arrive(START_MS, START_MS + HOUR_MS)
    running.store.error = StoreUnavailableError("the store is away")
    running.settle()
    assert running.records.dirty
    assert "the store is away" in running.service.status().error
    assert running.service.status().failures >= 1
    running.store.error = None
    running.settle()
    assert not running.records.dirty
    assert running.service.status().error == ""
    assert computed(running.store) == running.whole()[0]


def test_an_expired_interval_is_never_computed_from_raw_again() -> None:
    running = Running(raw_days=1)
    running.arrive(START_MS, START_MS + 2 * DAY_MS)
    running.settle()
    oldest = min(min(rows) for rows in running.store.intervals.values())
    assert oldest >= START_MS + DAY_MS
    assert not running.records.dirty


def test_a_span_of_the_family_computes_every_device_and_is_forgotten() -> None:
    running = Running()
    running.arrive(START_MS, START_MS + 2 * HOUR_MS)
    running.records.dirty.clear()
    end_ms = START_MS + 2 * HOUR_MS
    running.records.add_dirty(DirtySpan("site-a", "energy", "", START_MS, end_ms))
    running.settle()
    assert not running.records.dirty
    assert computed(running.store) == running.whole()[0]


def test_spans_of_what_is_no_longer_declared_are_dropped() -> None:
    running = Running()
    running.records.add_dirty(
        DirtySpan("site-x", "energy", "grid-a", START_MS, START_MS),
        DirtySpan("site-a", "energy", "gone", START_MS, START_MS),
    )
    running.settle()
    assert not running.records.dirty


def test_it_serves_until_it_is_told_to_stop() -> None:
    running = Running()
    running.clock.advance(timedelta(days=-2))
    assert running.service.status().last_pass_ms is None
    running.arrive(START_MS - 600_000, START_MS)
    stop = threading.Event()
    runner = threading.Thread(target=running.service.run_until, args=(stop,))
    runner.start()
    deadline = time.monotonic() + 10
    while running.records.dirty and time.monotonic() < deadline:
        time.sleep(0.01)
    assert running.service.status().is_running
    stop.set()
    runner.join(5)
    running.service.stop()
    assert not running.records.dirty
    status = running.service.status()
    assert not status.is_running
    assert status.passes >= 1
    assert status.error == ""


def test_a_fault_in_a_pass_does_not_end_the_service() -> None:
    running = Running()
    running.store.error = ZeroDivisionError("a fault of ours")
    running.arrive(START_MS, START_MS + HOUR_MS)
    running.service._run_pass_safely()
    running.clock.advance(timedelta(seconds=10))
    running.service._run_pass_safely()
    status = running.service.status()
    assert "a fault of ours" in status.error
    assert status.failures == 1
    assert running.records.dirty
    running.store.error = None
    running.settle()
    assert not running.records.dirty


def test_a_damaged_device_does_not_hold_up_the_others() -> None:
    running = Running()
    running.store.damaged = {"grid-a"}
    running.arrive(START_MS, START_MS + HOUR_MS)
    running.settle(120)
    assert {span.device for span in running.records.dirty.values()} == {"grid-a"}
    assert "a block of grid-a is damaged" in running.service.status().error
    assert key_of(PDU, "active_energy_kwh") in running.store.intervals
    assert any(row.name == "it_energy" for row in running.store.results.values())
    running.store.damaged = set()
    running.settle(60)
    assert not running.records.dirty
    assert computed(running.store) == running.whole()[0]


def test_figures_that_were_not_written_are_written_after_a_restart() -> None:
    running = Running()
    running.arrive(START_MS - HOUR_MS, START_MS + DAY_MS + HOUR_MS)
    write = running.store.write_results

    def away(rows: object) -> None:
        raise StoreUnavailableError("the store is away")

    running.store.write_results = away  # type: ignore[method-assign,assignment]
    running.settle(120)
    assert running.records.dirty
    assert "figures of site site-a" in running.service.status().error
    running.store.write_results = write  # type: ignore[method-assign]
    anew = AnalyticsService(
        SiteRegistry([SITE]),
        running.store,  # type: ignore[arg-type]
        running.records,
        AnalyticsConfig(),
        running.clock,
    )
    running.service = anew
    running.settle(120)
    assert not running.records.dirty
    assert ("site-a", "kpi", "pue", "site", "day", START_MS) in running.store.results


def test_told_to_stop_it_keeps_what_is_not_done() -> None:
    running = Running()
    running.arrive(START_MS, START_MS + DAY_MS)
    running.service.stop()
    running.settle()
    assert running.records.dirty
