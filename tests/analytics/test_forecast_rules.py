"""The four naive rules: known answers, gaps, clocks, and nothing from after the origin."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.forecasting.naive import NaiveForecaster
from analytics.forecasting.rules import predict, predict_all
from core.forecasts import TARGETS
from core.periods import to_ms
from tests.analytics.forecast_builders import FREE, QUARTERS, history_of

BERLIN = ZoneInfo("Europe/Berlin")


def said(rule: str, values: np.ndarray, origin: int, count: int = 4, **more: object) -> list[float]:
    history = history_of(values, **more)  # type: ignore[arg-type]
    return predict(history, rule, np.array([origin]), count)[0].tolist()


def test_persistence_repeats_the_last_value() -> None:
    assert said("persistence", np.arange(10.0), 7) == [6.0] * 4


def test_persistence_over_a_gap_takes_the_newest_known_value_of_six_hours() -> None:
    values = np.arange(60.0)
    values[30:54] = np.nan
    assert said("persistence", values, 54, 1) == [29.0]
    values[29] = np.nan
    assert np.isnan(said("persistence", values, 54, 1)).all()


def test_the_mean_takes_what_is_known_of_24_hours_and_half_of_it_at_least() -> None:
    values = np.concatenate([np.full(QUARTERS, 100.0), np.arange(96.0)])
    assert said("mean_24h", values, 192, 2) == [47.5, 47.5]
    values[96:144] = np.nan
    assert said("mean_24h", values, 192, 1) == [pytest.approx(np.arange(48, 96).mean())]
    values[144] = np.nan
    assert np.isnan(said("mean_24h", values, 192, 1)).all()


def test_a_ratio_is_a_ratio_of_sums_and_no_mean_of_ratios() -> None:
    facility = np.concatenate([np.full(48, 130.0), np.full(48, 2400.0)])
    it = np.concatenate([np.full(48, 100.0), np.full(48, 2000.0)])
    history = history_of(facility, it)
    found = predict(history, "mean_24h", np.array([96]), 1)[0, 0]
    assert found == pytest.approx((130 + 2400) / (100 + 2000))
    assert found != pytest.approx((1.3 + 1.2) / 2, abs=0.01)


@pytest.mark.parametrize(("rule", "days"), [("seasonal_24h", 1), ("seasonal_168h", 7)])
def test_seasons_repeat_and_go_on_repeating_beyond_one(rule: str, days: int) -> None:
    season = days * QUARTERS
    values = np.arange(3.0 * season)
    origin = 2 * season + 10
    found = said(rule, values, origin, 2 * season)
    expected = [origin + lead - season for lead in range(season)]
    assert found[:season] == expected
    # The second season ahead is not known either: the same values again.
    assert found[season:] == expected


def test_a_season_that_is_not_known_gives_way_to_the_one_before() -> None:
    values = np.arange(10.0 * QUARTERS)
    origin = 9 * QUARTERS
    values[origin - QUARTERS + 2] = np.nan
    found = said("seasonal_24h", values, origin, 4)
    assert found == [origin - 96, origin - 95, origin - 2 * 96 + 2, origin - 93]
    values[origin - 8 * QUARTERS + 2 :: QUARTERS] = np.nan
    assert np.isnan(said("seasonal_24h", values, origin, 4)[2])


def test_a_season_that_never_was_is_not_invented() -> None:
    found = predict_all(history_of(np.arange(40.0)), np.array([40]), 3)
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1:]).all()
    assert np.isnan(predict_all(history_of(np.array([])), np.array([0]), 3)).all()


@pytest.mark.parametrize(
    ("changes_at", "moved"),
    [
        (datetime(2026, 3, 29, 1, tzinfo=UTC), 4),  # one hour forward
        (datetime(2026, 10, 25, 1, tzinfo=UTC), -4),  # one hour back
    ],
)
def test_a_season_follows_the_clock_on_the_wall(changes_at: datetime, moved: int) -> None:
    start_ms = to_ms(changes_at) - 2 * 86_400_000
    values = np.arange(4.0 * QUARTERS)
    # 12:00 UTC of the day of the change: the same local time of the day before is an hour off.
    origin = 2 * QUARTERS + 44
    found = said("seasonal_24h", values, origin, 3, start_ms=start_ms, zone=BERLIN)
    assert found == [origin - QUARTERS + moved + lead for lead in range(3)]
    same = said("seasonal_24h", values, origin, 3, start_ms=start_ms)
    assert same == [origin - QUARTERS + lead for lead in range(3)]


@settings(max_examples=25, deadline=None)
@given(
    origin=st.integers(2 * QUARTERS, 17 * QUARTERS),
    seed=st.integers(0, 2**31),
    target=st.sampled_from(["pue", "pv_power_kw", "it_power_kw"]),
)
def test_nothing_after_the_origin_changes_a_byte(origin: int, seed: int, target: str) -> None:
    rng = np.random.default_rng(seed)
    count = 18 * QUARTERS
    below = rng.uniform(50.0, 100.0, count)
    above = below * rng.uniform(1.1, 1.5, count)
    above[rng.random(count) < 0.05] = np.nan
    other, under = above.copy(), below.copy()
    other[origin:] = rng.uniform(-1e6, 1e6, count - origin)
    under[origin:] = np.nan
    answers = []
    for numerator, denominator in ((above, below), (other, under), (above[:origin], below)):
        ratio = denominator[: len(numerator)] if target == "pue" else None
        history = history_of(numerator, ratio)
        forecaster = NaiveForecaster(TARGETS[target], FREE)
        answer = forecaster.issue(history, history.start_ms + origin * 900_000, 192)
        answers.append((answer.table.tobytes(), dict(answer.models)))
    assert answers[0] == answers[1] == answers[2]


def test_hours_are_known_where_all_their_quarters_are() -> None:
    values = np.arange(12.0)
    values[5] = np.nan
    hours = history_of(values).by_hour()
    assert hours.values.tolist()[0::2] == [1.5, 9.5]
    assert np.isnan(hours.values[1])
    late = history_of(values, start_ms=history_of(values).start_ms + 900_000).by_hour()
    assert len(late) == 2
    assert late.values[1] == 8.5
