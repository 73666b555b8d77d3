"""Forecasts on schedule on the embedded store: issued once, kept, scored when the truth comes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from analytics.forecasting.documents import ISSUED, KIND
from analytics.forecasting.reading import read_forecast, read_forecasts, read_record
from analytics.forecasting.schedule import ForecastPace, ForecastSchedule
from analytics.forecasting.scores import ISSUED_SCORE, parse_score
from analytics.forecasting.truth import targets_of
from analytics.service import AnalyticsConfig, AnalyticsService
from core.clock import FakeClock
from core.errors import NotFoundError
from core.forecasts import ForecastState
from core.ledger import CommitOutcome, DirtySpan
from core.periods import INTERVAL_MS, Period, from_ms
from core.ports import ResultRow
from core.samples import ReadingBlock
from core.sites import SiteRegistry
from storage.embedded.store import EmbeddedStore
from storage.records.store import Records
from tests.analytics.forecast_builders import BEGIN_MS, DAY_MS, QUARTERS, put_energy
from tests.analytics.series_builders import make_device, make_site

FEED = make_device("grid-a", "grid_feed", 60.0)
PDU = make_device("pdu-1", "pdu_output", 60.0)
SITE = make_site(FEED, PDU, data="simulated")
PACE = ForecastPace(budget_s=60.0)
NEVER = Event()
HOUR_MS = 3_600_000


class Running:
    """A schedule on real stores, and the world that it forecasts."""

    def __init__(self, folder: Path, days: int = 60) -> None:
        rng = np.random.default_rng(7)
        quarters = np.arange(days * QUARTERS)
        it = 1000.0 + 100.0 * np.sin(2 * np.pi * quarters / QUARTERS)
        self.it = it + rng.normal(0.0, 10.0, len(it))
        self.facility = self.it * 1.3 + rng.normal(0.0, 5.0, len(it))
        self.store = EmbeddedStore(folder / "timeseries", 0, role="all")
        self.records = Records.open(f"sqlite:///{folder / 'records.sqlite'}")
        self.schedule = ForecastSchedule(self.store, self.records, PACE)
        self.written = 0

    def close(self) -> None:
        self.records.close()
        self.store.close()

    def restart(self) -> None:
        self.schedule = ForecastSchedule(self.store, self.records, PACE)

    def put(self, first: int, last: int, *, touch: bool = True) -> None:
        start_ms = BEGIN_MS + first * INTERVAL_MS
        powers = {FEED: self.facility[first:last], PDU: self.it[first:last]}
        put_energy(self.store, SITE.id, powers, start_ms)
        self.written = max(self.written, last)
        if touch:
            now_ms = BEGIN_MS + self.written * INTERVAL_MS + 60_000
            end_ms = BEGIN_MS + last * INTERVAL_MS
            self.schedule.touch(SITE, start_ms, end_ms, now_ms)

    def run(self, quarter: int, after_s: float = 120.0) -> int:
        now_ms = BEGIN_MS + quarter * INTERVAL_MS + round(after_s * 1000)
        return self.schedule.run(SITE, now_ms, NEVER)

    def live(self, first: int, last: int) -> None:
        """Quarters come one by one, each followed by a run."""
        for quarter in range(first, last):
            self.put(quarter, quarter + 1)
            self.run(quarter + 1)

    def rows(self, subject: str, target: str = "pue", resolution: str = "15m") -> list[ResultRow]:
        whole = Period.of_ms(BEGIN_MS, BEGIN_MS + 200 * DAY_MS)
        return self.store.read_results(
            SITE.id, KIND, whole, names=[target], resolution=resolution, subject=subject
        )

    def read(self, quarter: int, target: str = "pue"):  # type: ignore[no-untyped-def]
        now = from_ms(BEGIN_MS + quarter * INTERVAL_MS + 120_000)
        return read_forecast(self.store, SITE, target, now)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path)
    yield running
    running.close()


def test_targets_are_what_the_devices_can_tell() -> None:
    assert targets_of(SITE) == ["pue", "facility_power_kw", "it_power_kw"]
    assert targets_of(make_site(FEED)) == ["facility_power_kw"]
    assert targets_of(make_site(make_device("pv-1", "pv_array"))) == ["pv_power_kw"]
    assert targets_of(make_site()) == []


def test_stored_history_gives_a_record_at_once_marked_as_hindcast(running: Running) -> None:
    running.put(0, 45 * QUARTERS, touch=False)
    running.run(45 * QUARTERS)
    forecast = running.read(45 * QUARTERS)
    assert forecast is not None
    assert forecast.state is ForecastState.BASELINE
    assert forecast.issued_at_ms == BEGIN_MS + 45 * DAY_MS
    assert len(forecast.points) == 192
    assert forecast.points[0].q50 == pytest.approx(1.3, abs=0.05)
    assert forecast.record is not None
    assert forecast.record.origins_issued == 0
    assert forecast.record.origins_hindcast == 24 * forecast.record.days
    assert forecast.record.days == 45 - 14
    assert forecast.record.overall.coverage_80 == pytest.approx(0.8, abs=0.03)
    hours = read_forecast(
        running.store,
        SITE,
        "it_power_kw",
        from_ms(BEGIN_MS + 45 * DAY_MS + 1),
        resolution="hour",
    )
    assert hours is not None
    assert len(hours.points) == 168
    assert hours.record is not None
    assert [band.horizon for band in hours.record.bands] == ["0-1h", "1-6h", "6-24h", "24-168h"]


def test_a_young_site_learns_and_says_so(running: Running) -> None:
    running.live(0, 3)
    (first, *_) = running.rows(ISSUED)
    assert first.start_ms == BEGIN_MS + INTERVAL_MS
    running.put(3, 2 * QUARTERS, touch=False)
    running.restart()
    running.live(2 * QUARTERS, 2 * QUARTERS + 10)
    forecast = running.read(2 * QUARTERS + 10)
    assert forecast is not None
    assert forecast.state is ForecastState.LEARNING
    assert forecast.learning_day == 3
    assert forecast.points[0].q05 is not None
    assert forecast.points[-1].q05 is None


def test_forecasts_are_scored_when_their_truth_has_come(running: Running) -> None:
    first = 20 * QUARTERS
    running.put(0, first, touch=False)
    running.live(first, first + QUARTERS)
    assert len(running.rows(ISSUED)) == QUARTERS
    (day,) = running.rows(ISSUED_SCORE)
    now = from_ms(BEGIN_MS + (first + QUARTERS) * INTERVAL_MS + 120_000)
    record = read_record(running.store, SITE, "pue", now)
    assert record is not None
    # Origins of today whose first point has ended by the last scoring, at the full hour.
    assert 90 <= record.origins_issued <= 96
    assert parse_score(day).bands["0-1h"].points < 4 * (QUARTERS - 1)
    running.put(first + QUARTERS, first + 3 * QUARTERS + 1)
    running.run(first + 3 * QUARTERS + 1)
    after = running.rows(ISSUED_SCORE)
    assert after[0].start_ms == day.start_ms
    assert parse_score(after[0]).is_complete
    issued = read_forecasts(
        running.store, SITE, "pue", Period.of_ms(day.start_ms, day.start_ms + DAY_MS)
    )
    # By hand: what was issued on the first day against what came, in the first hour ahead.
    pue = running.facility / running.it
    missed, weights = [], []
    for forecast in issued:
        for point in forecast.points[:4]:
            at = (point.start_ms - BEGIN_MS) // INTERVAL_MS
            missed.append(abs(point.q50 - pue[at]) * running.it[at])
            weights.append(running.it[at])
    band = parse_score(after[0]).bands["0-1h"]
    assert band.points == len(missed) == (QUARTERS - 1) * 4
    assert band.missed / band.weight == pytest.approx(sum(missed) / sum(weights), rel=1e-6)


def test_an_issued_forecast_is_never_written_again(running: Running) -> None:
    first = 16 * QUARTERS
    running.put(0, first, touch=False)
    running.run(first)
    held = running.rows(ISSUED)
    assert len(held) == 1
    running.restart()
    # The past is changed under it, and everything is forgotten.
    running.it[first - 40 : first] *= 1.1
    running.put(first - 40, first, touch=False)
    running.run(first)
    assert running.rows(ISSUED) == held


def test_a_restart_comes_to_the_same(tmp_path: Path) -> None:
    first, last = 16 * QUARTERS - 20, 16 * QUARTERS + 9
    found = []
    for name, stops in (("a", ()), ("b", (first + 5, first + 20))):
        running = Running(tmp_path / name)
        running.put(0, first, touch=False)
        for quarter in range(first, last):
            if quarter in stops:
                running.restart()
            running.live(quarter, quarter + 1)
        found.append(
            [
                running.rows(subject, target, resolution)
                for subject in (ISSUED, ISSUED_SCORE)
                for target in ("pue", "it_power_kw")
                for resolution in ("15m", "hour")
            ]
        )
        running.close()
    assert all(found[0])
    assert found[0] == found[1]


def test_late_truth_changes_the_scores_and_no_forecast(running: Running) -> None:
    first = 16 * QUARTERS
    running.put(0, first, touch=False)
    running.live(first, first + 30)
    issued, scores = running.rows(ISSUED), running.rows(ISSUED_SCORE)
    running.facility[first + 8 : first + 12] += 400.0
    running.put(first + 8, first + 12)
    running.live(first + 30, first + 35)
    assert running.rows(ISSUED)[: len(issued)] == issued
    assert running.rows(ISSUED_SCORE)[0].value > 1.5 * scores[0].value  # type: ignore[operator]


def test_nothing_is_issued_while_a_history_comes_in(running: Running) -> None:
    first = 20 * QUARTERS
    running.put(0, first, touch=False)
    now_ms = BEGIN_MS + first * INTERVAL_MS + 100_000
    running.schedule.touch(SITE, BEGIN_MS, BEGIN_MS + DAY_MS, now_ms)
    assert running.schedule.run(SITE, now_ms, NEVER) == 0
    assert running.schedule.run(SITE, now_ms + 61_000, NEVER) > 0


def test_a_history_that_comes_in_late_is_hindcast_on_the_same_day(running: Running) -> None:
    # A demo or an import: the service runs for a while before anything of the past is there.
    now = 45 * QUARTERS
    running.run(now, after_s=700.0)
    assert running.read(now) is None
    running.put(0, now + 1)
    running.run(now + 1)
    running.run(now + 1, after_s=300.0)
    forecast = running.read(now + 1)
    assert forecast is not None
    assert forecast.record is not None
    assert forecast.record.origins_hindcast > 0


def test_a_quarter_is_waited_for_and_then_done_without(running: Running) -> None:
    first = 16 * QUARTERS
    running.put(0, first - 1, touch=False)
    assert running.run(first, 30.0) == 0
    assert running.run(first, 300.0) == 0
    assert running.run(first, 601.0) > 0
    forecast = running.read(first)
    assert forecast is not None
    assert forecast.issued_at_ms == BEGIN_MS + first * INTERVAL_MS
    # A day without any reading: nothing to forecast from.
    before = len(running.rows(ISSUED))
    running.run(first + QUARTERS + 2, 700.0)
    assert len(running.rows(ISSUED)) == before


def test_reading_is_fast_and_names_what_it_does_not_know(running: Running) -> None:
    running.put(0, 50 * QUARTERS, touch=False)
    running.run(50 * QUARTERS)
    took = []
    for _ in range(7):
        began = time.process_time()
        running.read(50 * QUARTERS)
        took.append(time.process_time() - began)
    assert sorted(took)[3] < 0.04
    now = from_ms(BEGIN_MS + 40 * DAY_MS)
    assert read_forecast(running.store, SITE, "pue", now) is None
    with pytest.raises(NotFoundError, match="no forecast target 'pu'"):
        read_forecast(running.store, SITE, "pu", now)
    with pytest.raises(NotFoundError, match="no forecast step"):
        read_forecast(running.store, SITE, "pue", now, resolution="day")


def test_the_service_forecasts_from_readings(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "timeseries", 0, role="all")
    records = Records.open(f"sqlite:///{tmp_path / 'records.sqlite'}")
    begin = from_ms(BEGIN_MS)
    clock = FakeClock(begin + timedelta(days=3))
    service = AnalyticsService(
        SiteRegistry([SITE]), store, records, AnalyticsConfig(raw_days=0), clock
    )
    commits = 0

    def arrive(first_ms: int, last_ms: int) -> None:
        nonlocal commits
        times = np.arange(first_ms, last_ms, 60_000, dtype=np.int64)
        hours = (times - BEGIN_MS) / HOUR_MS
        spans = []
        for device, level in ((FEED, 130.0), (PDU, 100.0)):
            total = level * hours + 20.0 * np.sin(2 * np.pi * hours / 24.0)
            block = ReadingBlock(
                SITE.id,
                "energy",
                (device.id,),
                np.zeros(len(times), dtype=np.int32),
                times,
                np.zeros(len(times), dtype=np.int8),
                {"active_energy_kwh": total},
            )
            store.write_readings([block])
            spans.append(DirtySpan(SITE.id, "energy", device.id, first_ms, int(times[-1])))
        commits += 1
        records.apply_commit(CommitOutcome(0, commits, dirty=tuple(spans)))

    try:
        arrive(BEGIN_MS, clock.now_ms())
        for _ in range(45):
            service.run_pass()
            clock.advance(timedelta(seconds=30))
            arrive(clock.now_ms() - 30_000 - clock.now_ms() % 60_000, clock.now_ms())
        status = service.status()
        assert status.error == ""
        assert status.forecasts.issued >= 3
        forecast = read_forecast(store, SITE, "pue", clock.now())
        assert forecast is not None
        assert status.forecast_ms == {SITE.id: forecast.issued_at_ms}
        assert forecast.issued_at_ms == clock.now_ms() - clock.now_ms() % INTERVAL_MS
        assert forecast.learning_day == 4
        level = 20.0 * 2 * np.pi / 24.0
        assert forecast.points[0].q50 == pytest.approx((130 + level) / (100 + level), abs=0.001)
    finally:
        records.close()
        store.close()
