"""Scores: only what has come, by known answers; days add up; issued and hindcast apart."""

from __future__ import annotations

import numpy as np
import pytest

from analytics.forecasting.assessment import PastErrors
from analytics.forecasting.bounds import Bounds
from analytics.forecasting.scores import (
    HINDCAST_SCORE,
    ISSUED_SCORE,
    BandSums,
    DayScore,
    build_record,
    parse_score,
    score,
    score_row,
)
from core.forecasts import TARGETS
from tests.analytics.forecast_builders import BEGIN_MS, DAY_MS, FREE, QUARTERS, history_of
from tests.analytics.series_builders import SEOUL

IT = TARGETS["it_power_kw"]


def scored(values, table, until, target=IT, bounds=FREE, below=None) -> DayScore:  # type: ignore[no-untyped-def]
    history = history_of(values, below)
    past = PastErrors.at(history, np.array([QUARTERS]), table.shape[2])
    return score(target, past, table, bounds, until, BEGIN_MS, ISSUED_SCORE)


def flat(median: float, half: float, count: int = 192) -> np.ndarray:
    table = median + np.array([-2 * half, -half, 0.0, half, 2 * half])[:, None, None]
    return np.broadcast_to(table, (5, 1, count)).copy()


def test_a_known_answer() -> None:
    values = np.concatenate([np.full(QUARTERS, 90.0), [100.0, 112.0, 125.0, 70.0], np.zeros(188)])
    day = scored(values, flat(100.0, 15.0), QUARTERS + 4)
    first = day.bands["0-1h"].skill("0-1h")
    assert first.points == 4
    assert first.mae == pytest.approx((0 + 12 + 25 + 30) / 4)
    assert first.wape == pytest.approx(67 / 407)
    assert first.coverage_80 == 0.5
    assert first.coverage_90 == 1.0
    assert first.naive["persistence"] == pytest.approx((10 + 22 + 35 + 20) / 4)
    assert first.skill == pytest.approx(1 - 67 / 87)
    assert first.best_naive in {"persistence", "mean_24h", "seasonal_24h"}
    assert "seasonal_168h" not in first.naive


def test_nothing_is_scored_before_it_has_ended() -> None:
    values = np.full(3 * QUARTERS, 100.0)
    for until, points in ((QUARTERS, 0), (QUARTERS + 1, 1), (QUARTERS + 30, 30)):
        day = scored(values, flat(100.0, 1.0), until)
        assert sum(band.points for band in day.bands.values()) == points
        assert not day.is_complete
        assert day.origins == (1 if points else 0)
    assert scored(values, flat(100.0, 1.0), 3 * QUARTERS).is_complete


def test_what_is_not_known_is_not_scored() -> None:
    values = np.full(3 * QUARTERS, 100.0)
    values[QUARTERS + 10 : QUARTERS + 20] = np.nan
    table = flat(100.0, 1.0)
    table[:, 0, 0] = np.nan
    table[[0, 1, 3, 4], 0, 1] = np.nan
    day = scored(values, table, 3 * QUARTERS)
    assert sum(band.points for band in day.bands.values()) == 192 - 11
    assert day.bands["0-1h"].banded == 2


def test_pue_is_scored_by_energy_and_by_what_it_has_above_one() -> None:
    below = np.full(3 * QUARTERS, 100.0)
    below[QUARTERS + 1] = 300.0
    ratio = np.full(3 * QUARTERS, 1.2)
    ratio[QUARTERS + 1] = 1.4
    day = scored(ratio * below, flat(1.3, 0.1), QUARTERS + 2, TARGETS["pue"], below=below)
    first = day.bands["0-1h"].skill("0-1h")
    assert first.mae == pytest.approx(0.1)
    assert first.wape == pytest.approx(0.1 * 400 / (0.2 * 100 + 0.4 * 300))
    assert first.naive["persistence"] == pytest.approx(0.2 * 300 / 400)


def test_solar_is_scored_by_day_only() -> None:
    bounds = Bounds(0.0, 500.0, True, 37.0, 127.0)
    values = np.full(3 * QUARTERS, 10.0)
    day = scored(values, flat(10.0, 1.0), 3 * QUARTERS, TARGETS["pv_power_kw"], bounds)
    points = sum(band.points for band in day.bands.values())
    assert 2 * 50 < points < 2 * 58


def test_a_row_gives_the_day_back() -> None:
    values = np.concatenate([np.full(QUARTERS, 90.0), np.linspace(80.0, 120.0, 192)])
    day = scored(values, flat(100.0, 15.0), 3 * QUARTERS)
    row = score_row("site-a", "it_power_kw", "15m", day)
    assert (row.kind, row.subject, row.start_ms) == ("forecast", ISSUED_SCORE, BEGIN_MS)
    assert row.value == pytest.approx(np.abs(values[QUARTERS:] - 100.0).mean())
    assert parse_score(row) == day
    assert len(row.document) < 1_500


def day_of(number: int, missed: float, within: float, kind: str = HINDCAST_SCORE) -> DayScore:
    sums = BandSums(10.0, 10.0, missed, 1000.0, 10.0, within, 10.0, {"persistence": (10.0, 20.0)})
    return DayScore(BEGIN_MS + number * DAY_MS, kind, 24, True, {"0-1h": sums})


def test_days_add_up_and_issued_ones_take_the_place_of_hindcast_ones() -> None:
    days = [day_of(0, 10.0, 8.0), day_of(1, 500.0, 0.0), day_of(1, 30.0, 9.0, ISSUED_SCORE)]
    for order in (days, days[::-1]):
        record = build_record(order, SEOUL)
        assert record is not None
        assert (record.days, record.origins_issued, record.origins_hindcast) == (2, 24, 24)
        assert record.overall.mae == pytest.approx(2.0)
        assert record.overall.coverage_80 == pytest.approx(0.85)
        assert record.overall.skill == pytest.approx(0.0)
        assert record.end_ms == BEGIN_MS + 2 * DAY_MS
        assert record.worst_30d_coverage_80 is None
    assert build_record([], SEOUL) is None


def test_the_worst_30_days_are_found() -> None:
    days = [day_of(number, 10.0, 5.0 if number < 15 else 9.0) for number in range(60)]
    record = build_record(days, SEOUL)
    assert record is not None
    assert record.worst_30d_coverage_80 == pytest.approx((15 * 5 + 15 * 9) / 300)
    assert record.overall.coverage_80 == pytest.approx((15 * 5 + 45 * 9) / 600)
