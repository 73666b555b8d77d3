"""Which rule is served, and how wide its bands are: measured, bounded, never crossing."""

from __future__ import annotations

import numpy as np
import pytest

from analytics.forecasting.bounds import Bounds, bounds_of, sun_elevation_deg
from analytics.forecasting.hindcast import Hindcast, hindcast_days
from analytics.forecasting.naive import NaiveForecaster
from analytics.forecasting.scores import build_record
from core.forecasts import LEARNING_DAYS, TARGETS
from core.periods import from_ms
from tests.analytics.forecast_builders import BEGIN_MS, DAY_MS, FREE, QUARTERS, history_of
from tests.analytics.series_builders import SEOUL, make_device, make_site

RNG = np.random.default_rng(20261126)
IT = TARGETS["it_power_kw"]


def daily(days: int, noise: float = 0.0) -> np.ndarray:
    quarters = np.arange(days * QUARTERS)
    wave = 1000.0 + 200.0 * np.sin(2 * np.pi * quarters / QUARTERS)
    return wave + RNG.normal(0.0, noise, len(quarters))


def issue(values: np.ndarray, count: int = 192, name: str = "it_power_kw", bounds: Bounds = FREE):  # type: ignore[no-untyped-def]
    history = history_of(values)
    return NaiveForecaster(TARGETS[name], bounds).issue(history, history.end_ms, count)


def test_a_random_walk_is_answered_by_persistence() -> None:
    walk = 1000.0 + np.cumsum(RNG.normal(0.0, 1.0, 50 * QUARTERS))
    models = issue(walk).models
    assert models["0-1h"] == models["1-6h"] == models["6-24h"] == "persistence"


def test_a_day_that_repeats_is_answered_by_the_day_before() -> None:
    days = 1.0 + 0.02 * np.repeat(RNG.normal(0.0, 1.0, 50).cumsum(), QUARTERS)
    assert set(issue(daily(50) * days, count=96).models.values()) <= {
        "seasonal_24h",
        "persistence",
    }
    assert issue(daily(50) * days, count=96).models["6-24h"] == "seasonal_24h"


def test_a_week_that_repeats_is_answered_by_the_week_before() -> None:
    weekend = np.repeat(np.where(np.arange(56) % 7 < 2, 0.6, 1.0), QUARTERS)
    assert issue(daily(56, 2.0) * weekend).models["24-168h"] == "seasonal_168h"


def test_bands_of_known_noise_hold_what_they_promise() -> None:
    """Repeating days with independent noise of 10 kW: errors are normal with 10 times root 2."""
    values = daily(100, 10.0)
    table = issue(values[: 60 * QUARTERS]).table
    width = table[3] - table[1]
    assert width.mean() == pytest.approx(2 * 1.2816 * 10.0 * 2**0.5, rel=0.06)
    assert (table[4] - table[0]).mean() == pytest.approx(2 * 1.6449 * 10.0 * 2**0.5, rel=0.06)
    hindcast = Hindcast.over(IT, FREE, history_of(values), 192)
    record = build_record(
        [
            hindcast.day(day, hindcast.errors.history.end_ms)
            for day in hindcast_days(hindcast.errors.history, hindcast.errors.history.end_ms)
        ],
        SEOUL,
    )
    assert record is not None
    assert record.overall.coverage_80 == pytest.approx(0.80, abs=0.02)
    assert record.overall.coverage_90 == pytest.approx(0.90, abs=0.02)
    for band in record.bands:
        assert band.coverage_80 == pytest.approx(0.80, abs=0.03)
    assert record.worst_30d_coverage_80 is not None
    assert 0.74 < record.worst_30d_coverage_80 <= record.overall.coverage_80
    assert record.overall.skill == pytest.approx(0.0, abs=0.03)
    # Two independent noises: their mean absolute difference.
    assert record.overall.mae == pytest.approx(10.0 * 2**0.5 * (2 / np.pi) ** 0.5, rel=0.03)


def test_quantiles_never_cross_and_the_median_is_the_rule() -> None:
    drift = daily(50, 5.0) + np.arange(50 * QUARTERS) * 0.5
    table = issue(drift).table
    assert (np.diff(table, axis=0) >= 0.0).all()


def test_before_errors_are_measured_there_is_a_median_and_no_band() -> None:
    table = issue(daily(1)[:8]).table
    assert np.isfinite(table[2]).all()
    assert np.isnan(table[[0, 1, 3, 4]]).all()
    assert np.isnan(issue(np.full(20, np.nan)).table).all()


def test_short_leads_have_bands_before_long_ones() -> None:
    table = issue(daily(3, 5.0)[: 2 * QUARTERS + 40]).table
    assert np.isfinite(table[:, :24]).all()
    assert np.isnan(table[0, 191])


def test_a_point_that_the_best_rule_cannot_give_comes_from_the_next_with_its_own_errors() -> None:
    values = daily(30, 3.0)
    gap = values.copy()
    # Nothing of the last eight days but its last hours: both seasons of this time are gone.
    gap[20 * QUARTERS : 29 * QUARTERS + 90] = np.nan
    table = issue(gap, 24).table
    assert np.isfinite(table).all()


def test_pue_is_never_below_one() -> None:
    it = daily(50, 5.0)
    level = np.clip(RNG.normal(1.2, 0.1, len(it)), 1.0, None)
    level[-QUARTERS:] = 1.02
    history = history_of(it * level, it)
    bounds = Bounds(TARGETS["pue"].least, np.inf, False, 37.0, 127.0)
    table = NaiveForecaster(TARGETS["pue"], bounds).issue(history, history.end_ms, 192).table
    assert np.nanmin(table) == 1.0
    assert (np.diff(table, axis=0) >= 0.0).all()


def test_sun_at_noon_and_at_midnight() -> None:
    # Seoul, 21 June 2026, 12:33 KST: the sun's highest, 90 - 37.57 + 23.44 degrees.
    noon = np.array([1_782_012_780_000])
    assert sun_elevation_deg(noon, 37.57, 126.98)[0] == pytest.approx(75.87, abs=0.15)
    # Greenwich at the March equinox of 2026 (20 March 14:46 UTC), local midnight: -51.5 + 90.
    midnight = np.array([1_774_051_440_000])
    assert sun_elevation_deg(midnight, 51.48, 0.0)[0] == pytest.approx(-38.4, abs=0.3)


def test_solar_power_is_zero_at_night_within_its_rating_and_banded_by_the_hour() -> None:
    array = make_device("pv-1", "pv_array", rated_kwp=300.0, inverter_kw=250.0)
    other = make_device("pv-2", "pv_array", rated_kwp=100.0)
    site = make_site(array, other)
    target = TARGETS["pv_power_kw"]
    bounds = bounds_of(site, target, from_ms(BEGIN_MS))
    assert bounds.most == 350.0
    starts = BEGIN_MS + 900_000 * np.arange(50 * QUARTERS)
    height = np.maximum(np.sin(np.radians(sun_elevation_deg(starts, 37.0, 127.0))), 0.0)
    power = 400.0 * height * np.repeat(RNG.uniform(0.2, 1.0, 50), QUARTERS)
    history = history_of(power)
    table = NaiveForecaster(target, bounds).issue(history, history.end_ms, 192).table
    ahead = history.end_ms + 900_000 * np.arange(192)
    night = sun_elevation_deg(ahead, 37.0, 127.0) < -6.0
    assert night.sum() > 60
    assert (table[:, night] == 0.0).all()
    assert table.max() <= 350.0
    noon = height[-192:].argmax()
    assert table[4, noon] - table[0, noon] > 50.0


def test_the_window_forgets_what_is_older_than_42_days() -> None:
    wild = daily(40, 200.0)
    calm = daily(LEARNING_DAYS + 3, 1.0)
    table = issue(np.concatenate([wild, calm]), 96).table
    assert (table[3] - table[1]).max() < 8.0
    assert DAY_MS * LEARNING_DAYS == 42 * 86_400_000
