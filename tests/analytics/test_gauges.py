"""Gauges and reported sums against a plain loop written from the definition."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.columns import Columns
from analytics.gauges import roll_up_gauge, roll_up_reported_sum
from analytics.spans import Grid
from core.metrics import CATALOGUE
from core.samples import Quality
from core.sites import Device
from tests.analytics.series_builders import (
    INTERVAL_S,
    START_MS,
    at,
    grid_of,
    make_device,
    make_state,
    series_of,
    timeline_of,
)

POWER = CATALOGUE[("energy", "active_power_kw")]
FEED = make_device("grid-a", "grid_feed", 60.0)
GOOD, ESTIMATED, MANUAL, UNCERTAIN = (int(q) for q in Quality)


def roll(rows: list[tuple[float, ...]], intervals: int = 4, device: Device = FEED) -> Columns:
    series = series_of(device, "active_power_kw", rows)
    return roll_up_gauge(series, timeline_of(device), POWER, grid_of(intervals))


def by_the_second(
    rows: list[tuple[float, ...]], intervals: int, cadence_s: float
) -> tuple[list[float], list[float]]:
    """Energy and covered seconds from sums over one-second steps; readings at whole seconds."""
    rows = sorted(rows)
    energy, covered = [0.0] * intervals, [0.0] * intervals
    for left, right in pairwise(rows):
        good = all(len(r) < 3 or r[2] != UNCERTAIN for r in (left, right))
        if right[0] - left[0] > 3 * cadence_s or not good:
            continue
        for second in range(round(left[0]), round(right[0])):
            middle = left[1] + (right[1] - left[1]) * (second + 0.5 - left[0]) / (
                right[0] - left[0]
            )
            where = second // INTERVAL_S
            if 0 <= where < intervals:
                energy[where] += middle / 3600.0
                covered[where] += 1.0
    return energy, covered


@settings(deadline=None, max_examples=60)
@given(
    st.dictionaries(
        st.integers(-400, 4 * INTERVAL_S + 400),
        st.tuples(st.floats(-1e4, 1e4), st.sampled_from([GOOD, GOOD, GOOD, ESTIMATED, UNCERTAIN])),
        min_size=1,
        max_size=60,
    ),
    st.sampled_from([20.0, 60.0, 300.0]),
)
def test_energy_and_coverage_are_those_of_a_plain_loop(
    readings: dict[int, tuple[float, int]], cadence_s: float
) -> None:
    rows = [(float(t), value, float(q)) for t, (value, q) in readings.items()]
    device = make_device("grid-a", "grid_feed", cadence_s)
    found = roll(rows, 4, device)
    energy, covered = by_the_second(rows, 4, cadence_s)
    np.testing.assert_allclose(found.covered_s, covered, atol=1e-9)
    np.testing.assert_allclose(found.amount, energy, atol=1e-7)
    for place in range(4):
        inside = [r for r in rows if 0 <= r[0] - place * INTERVAL_S < INTERVAL_S]
        certain = [r[1] for r in inside if r[2] != UNCERTAIN]
        assert found.count[place] == len(inside)
        assert np.isnan(found.low[place]) if not certain else found.low[place] == min(certain)
        assert np.isnan(found.high[place]) if not certain else found.high[place] == max(certain)
        if covered[place]:
            mean = energy[place] * 3600.0 / covered[place]
            assert found.mean[place] == pytest.approx(mean, abs=1e-6)
        else:
            assert math.isnan(found.mean[place])


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(0, 6 * INTERVAL_S * 1000), st.floats(-1e5, 1e5)),
        min_size=2,
        max_size=80,
        unique_by=lambda row: row[0],
    ),
    st.integers(0, 5),
    st.integers(1, 6),
)
def test_an_interval_is_bitwise_the_same_alone_and_in_a_longer_grid(
    readings: list[tuple[int, float]], first: int, length: int
) -> None:
    series = series_of(FEED, "active_power_kw", [(t / 1000.0, v) for t, v in readings])
    whole = roll_up_gauge(series, timeline_of(FEED), POWER, grid_of(6))
    part = Grid(START_MS + first * INTERVAL_S * 1000, min(length, 6 - first))
    alone = roll_up_gauge(series, timeline_of(FEED), POWER, part)
    rows = slice(first, first + part.count)
    for column in ("amount", "covered_s", "mean", "low", "high"):
        np.testing.assert_array_equal(getattr(alone, column), getattr(whole, column)[rows])


def test_a_span_of_three_cadences_is_covered_and_a_longer_one_not_at_all() -> None:
    assert roll([(0, 10.0), (180, 10.0)]).covered_s.sum() == 180
    longer = roll([(0, 10.0), (180.001, 10.0), (240, 10.0)])
    assert longer.covered_s.sum() == pytest.approx(59.999)
    assert longer.amount.sum() == pytest.approx(10.0 * 59.999 / 3600)


def test_a_span_over_a_border_is_cut_at_the_border() -> None:
    # 0 kW at 880 s, 60 kW at 940 s: 20 kW at the border after 900 s.
    found = roll([(880, 0.0), (940, 60.0)])
    assert found.amount[0] == pytest.approx(10.0 * 20 / 3600)
    assert found.amount[1] == pytest.approx(40.0 * 40 / 3600)
    assert list(found.covered_s[:2]) == [20.0, 40.0]


def test_the_longer_cadence_holds_while_it_is_being_changed() -> None:
    slow = make_state("grid_feed", 300.0)
    quick = make_state("grid_feed", 10.0, valid_from=at(1000))
    device = Device("grid-a", (slow, quick))
    found = roll([(100, 1.0), (400, 1.0), (900, 1.0), (1200, 1.0), (1260, 1.0)], 2, device)
    # 300 + 500 s under the slow cadence, 300 s across the change; 60 s are too long for the quick.
    assert found.covered_s.sum() == 1100.0


def test_an_uncertain_reading_breaks_the_line_but_is_counted() -> None:
    found = roll([(0, 5.0), (60, 900.0, UNCERTAIN), (120, 5.0), (180, 5.0)])
    assert found.covered_s[0] == 60.0
    assert found.count[0] == 4
    assert found.high[0] == 5.0


def test_seconds_of_estimated_and_manual_readings_are_told_apart() -> None:
    rows = [(0, 1.0), (60, 1.0, ESTIMATED), (120, 1.0), (180, 1.0, MANUAL), (240, 1.0)]
    found = roll([*rows, (300, 1.0)])
    assert found.estimated_quality_s[0] == 120.0
    assert found.manual_s[0] == 120.0
    assert found.covered_s[0] == 300.0


def test_a_negative_power_is_energy_too() -> None:
    assert roll([(0, -6.0), (60, -6.0)]).amount[0] == pytest.approx(-0.1)


STATION = make_device("weather-1", "station", 60.0)


def rain(rows: list[tuple[float, ...]], intervals: int = 3) -> Columns:
    series = series_of(STATION, "rain_mm", rows)
    return roll_up_reported_sum(series, timeline_of(STATION), grid_of(intervals))


def test_rain_is_spread_over_the_span_since_the_reading_before() -> None:
    found = rain([(840, 0.0), (960, 1.2)])
    # The first reading reaches back one cadence; the second lies half in either interval.
    assert list(found.covered_s[:2]) == [120.0, 60.0]
    assert found.amount[0] == pytest.approx(0.6)
    assert found.amount[1] == pytest.approx(0.6)


def test_rain_after_a_long_silence_belongs_to_its_own_cadence() -> None:
    found = rain([(60, 0.0), (1800, 2.0)])
    assert found.amount[1] == pytest.approx(2.0)
    assert found.covered_s[1] == 60.0


def test_an_uncertain_rain_reading_adds_nothing_but_ends_the_span() -> None:
    found = rain([(60, 0.0), (120, 5.0, UNCERTAIN), (180, 0.5)])
    assert found.amount[0] == pytest.approx(0.5)
    assert found.covered_s[0] == 120.0


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(120, 3 * INTERVAL_S), st.floats(0, 50)),
        min_size=1,
        max_size=50,
        unique_by=lambda row: row[0],
    )
)
def test_no_rain_is_lost_or_invented(readings: list[tuple[int, float]]) -> None:
    found = rain([(float(t), mm) for t, mm in readings])
    assert found.amount.sum() == pytest.approx(sum(mm for _, mm in readings))
    assert found.covered_s.max() <= INTERVAL_S + 1e-9
