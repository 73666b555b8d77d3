"""What the store keeps of a forecast: all of it, to its written digits, in few bytes."""

from __future__ import annotations

import json

import numpy as np

from analytics.forecasting.documents import forecast_row, parse_forecast, parse_table
from analytics.forecasting.naive import NaiveForecaster
from analytics.forecasting.port import Quantiles
from core.forecasts import TARGETS, ForecastState
from tests.analytics.forecast_builders import BEGIN_MS, FREE, QUARTERS, history_of
from tests.analytics.series_builders import make_device, make_site

SITE = make_site(make_device("grid-a", "grid_feed"), data="simulated")
MODELS = {"0-1h": "persistence", "1-6h": "persistence", "6-24h": "seasonal_24h"}


def row_of(table: np.ndarray, target: str = "facility_power_kw"):  # type: ignore[no-untyped-def]
    said = Quantiles(table, MODELS)
    return forecast_row(
        SITE.id, target, "15m", BEGIN_MS, said, ForecastState.LEARNING, learning_day=3
    )


def test_what_is_kept_comes_back() -> None:
    rng = np.random.default_rng(1)
    median = 15_000.0 + rng.normal(0.0, 300.0, 192)
    table = median + np.array([-200.0, -100.0, 0.0, 110.0, 220.0])[:, None]
    table[0, :7] = table[1, :7] = np.nan
    table[3:, :7] = np.nan
    table[:, 100:103] = np.nan
    found = parse_table(row_of(table))
    np.testing.assert_allclose(found, table, atol=0.11)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(table))
    ratio = 1.3 + rng.normal(0.0, 0.01, 96) + np.zeros((5, 1))
    np.testing.assert_allclose(parse_table(row_of(ratio, "pue")), ratio, atol=0.6e-5)
    assert np.isnan(parse_table(row_of(np.full((5, 4), np.nan)))).all()
    np.testing.assert_array_equal(parse_table(row_of(np.zeros((5, 4)))), np.zeros((5, 4)))


def test_a_forecast_as_others_read_it() -> None:
    table = np.array([[1.0], [2.0], [3.0], [4.0], [5.0]]) + np.array([0.0, np.nan, 10.0, 20.0])
    table[[0, 1, 3, 4], 3] = np.nan
    forecast = parse_forecast(row_of(table), SITE)
    assert [point.start_ms - BEGIN_MS for point in forecast.points] == [0, 1_800_000, 2_700_000]
    answer = forecast.as_json()
    assert answer["issued_at"] == "2026-09-01T15:00:00.000Z"
    assert answer["model"] == "persistence 0-6h, seasonal_24h 6-24h"
    assert (answer["state"], answer["learning_day"]) == ("learning", 3)
    assert answer["simulated"] is True
    assert answer["points"][0] == {
        "time": "2026-09-01T15:00:00.000Z",
        "q05": 1.0,
        "q10": 2.0,
        "q50": 3.0,
        "q90": 4.0,
        "q95": 5.0,
    }
    assert answer["points"][2]["q50"] == 23.0
    assert answer["points"][2]["q05"] is None
    assert answer["record"] is None
    json.dumps(answer, allow_nan=False)


def test_two_days_of_quarters_take_less_than_two_kilobytes() -> None:
    rng = np.random.default_rng(2)
    quarters = np.arange(50 * QUARTERS)
    power = 20_000.0 + 900.0 * np.sin(2 * np.pi * quarters / QUARTERS)
    history = history_of(power + rng.normal(0.0, 120.0, len(power)))
    said = NaiveForecaster(TARGETS["it_power_kw"], FREE).issue(history, history.end_ms, 192)
    assert len(row_of(said.table, "it_power_kw").document) < 2_000
