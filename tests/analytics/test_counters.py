"""Counters: the increases are the true total whatever the register does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.columns import Columns
from analytics.counters import find_increases, largest_rate_per_hour, roll_up_counter
from analytics.spans import Grid
from core.events import SeriesEvent
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

METER = make_device("grid-a", "grid_feed", 60.0, rated_kw=1000.0)
WRAPPING = make_device("grid-a", "grid_feed", 60.0, rated_kw=1000.0, wraps_at=100_000.0)
UNCERTAIN = int(Quality.UNCERTAIN)
MANUAL = int(Quality.MANUAL)


def roll(
    rows: list[tuple[float, ...]], intervals: int = 4, device: Device = METER
) -> tuple[Columns, tuple[SeriesEvent, ...]]:
    series = series_of(device, "active_energy_kwh", rows)
    return roll_up_counter(series, timeline_of(device), grid_of(intervals))


def every_minute(values: list[float], start_s: float = 0.0) -> list[tuple[float, ...]]:
    return [(start_s + 60.0 * i, value) for i, value in enumerate(values)]


@dataclass(frozen=True)
class Case:
    values: list[float]
    total: float
    kinds: list[str]
    device: Device = METER


CASES = {
    "plain growth": Case([10, 11, 13, 13, 14], 4, []),
    "a reset counts from zero": Case([10, 12, 1, 3, 4, 5], 2 + 1 + 2 + 1 + 1, ["counter_reset"]),
    "a reset to zero itself": Case([10, 12, 0, 3, 4], 2 + 0 + 3 + 1, ["counter_reset"]),
    "two resets": Case(
        [10, 12, 1, 2, 4, 0.5, 1, 2], 2 + 1 + 1 + 2 + 0.5 + 0.5 + 1, ["counter_reset"] * 2
    ),
    "a dip of one reading": Case([10, 12, 3, 13, 14], 4, ["counter_dip"]),
    "a dip of two readings": Case([10, 12, 3, 4, 13, 14], 4, ["counter_dip"]),
    "a dip that comes back to the same value": Case([10, 12, 0, 12, 13], 3, ["counter_dip"]),
    "three low readings are a reset": Case(
        [10, 12, 3, 4, 5, 13, 14], 2 + 3 + 1 + 1 + 8 + 1, ["counter_reset"]
    ),
    "a slip by the last digit": Case(
        [1e6, 1e6 + 0.2, 1e6 + 0.1, 1e6 + 0.3, 1e6 + 0.4], 0.4, ["counter_dip"]
    ),
    "two dips in a row": Case([10, 12, 3, 13, 2, 14, 15], 5, ["counter_dip"] * 2),
    "a rollover that is declared and possible": Case(
        [99_990, 99_998, 5, 10, 20], 30, ["counter_rollover"], WRAPPING
    ),
    "a rollover that the rating cannot explain is a reset": Case(
        [50_000, 50_010, 5, 10, 20], 10 + 5 + 5 + 10, ["counter_reset"], WRAPPING
    ),
    "a decrease without wraps_at is never a rollover": Case(
        [99_990, 99_998, 5, 10, 20], 8 + 5 + 5 + 10, ["counter_reset"]
    ),
    "a dip near the wrap is a dip": Case(
        [99_990, 99_998, 2, 99_999, 99_999.5], 9.5, ["counter_dip"], WRAPPING
    ),
    "a register beyond its declared wrap is a reset": Case(
        [100_005, 100_006, 2, 4, 6], 1 + 2 + 2 + 2, ["counter_reset"], WRAPPING
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_increase_and_events(case: Case) -> None:
    columns, events = roll(every_minute(case.values), 2, case.device)
    assert columns.amount.sum() == pytest.approx(case.total, rel=1e-9)
    assert [event.kind for event in events] == case.kinds
    assert columns.covered_s.sum() == 60.0 * (len(case.values) - 1)


@pytest.mark.parametrize(
    ("values", "total", "covered_s"),
    [
        ([10, 12, 3], 2, 60),
        ([10, 12, 3, 4], 2, 60),
        ([10, 12, 3, 4, 5], 2 + 3 + 1 + 1, 240),
        ([10, 12, 3, 4, 12.5], 2.5, 240),
        ([10, 12, 3, 12], 2, 180),
    ],
)
def test_a_decrease_is_credited_only_once_it_is_understood(
    values: list[float], total: float, covered_s: float
) -> None:
    columns, _ = roll(every_minute(values))
    assert columns.amount.sum() == pytest.approx(total)
    assert columns.covered_s.sum() == covered_s


def test_a_wrapping_register_counts_in_its_own_unit_before_the_multiplier() -> None:
    device = make_device(
        "grid-a", "grid_feed", 60.0, rated_kw=1000.0, wraps_at=1000.0, multiplier=100.0
    )
    columns, events = roll(every_minute([99_990, 99_998, 5, 10, 20]), 1, device)
    assert columns.amount.sum() == pytest.approx(30)
    assert [event.kind for event in events] == ["counter_rollover"]


def test_a_gap_is_spread_and_marked_and_its_total_is_known() -> None:
    # 10 kWh on 40 minutes of silence, from 600 s to 3000 s.
    columns, events = roll([(0, 5.0), (600 - 60, 14.0), (600, 15.0), (3000, 25.0), (3060, 26.0)])
    assert [event.kind for event in events] == ["counter_gap", "counter_gap"]
    gap = events[1]
    assert (gap.start_ms, gap.end_ms) == (START_MS + 600_000, START_MS + 3_000_000)
    assert (gap.before, gap.after, gap.amount) == (15.0, 25.0, 10.0)
    assert list(columns.estimated_s) == [540.0 + 300.0, 900.0, 900.0, 300.0]
    assert list(columns.covered_s) == [60.0, 0.0, 0.0, 60.0]
    assert columns.estimated_amount[1] == pytest.approx(10.0 * 900 / 2400)
    assert columns.amount.sum() == pytest.approx(21.0)
    assert columns.estimated_amount.sum() == pytest.approx(9.0 + 10.0)


def test_across_a_reset_in_silence_the_total_is_not_known() -> None:
    columns, events = roll([(0, 500.0), (60, 501.0), (3000, 7.0), (3060, 8.0), (3120, 9.0)])
    assert [event.kind for event in events] == ["counter_reset"]
    assert columns.amount.sum() == pytest.approx(1 + 7 + 1 + 1)
    assert columns.estimated_amount.sum() == pytest.approx(7.0)
    assert columns.covered_s.sum() == 60 + 60 + 60


def test_a_rollover_in_silence_is_known() -> None:
    rows = [(0.0, 99_990.0), (60, 99_991.0), (3000, 7.0), (3060, 8.0), (3120, 9.0)]
    columns, events = roll(rows, 4, WRAPPING)
    assert sorted(event.kind for event in events) == ["counter_gap", "counter_rollover"]
    assert columns.amount.sum() == pytest.approx(1 + 16 + 1 + 1)


def test_a_meter_change_leaves_the_energy_between_unknown() -> None:
    old = make_state("grid_feed", 60.0, meter="SN-1")
    new = make_state("grid_feed", 60.0, meter="SN-2", valid_from=at(150))
    device = Device("grid-a", (old, new))
    rows = every_minute([100.0, 101.0, 102.0, 5000.0, 5001.0])
    columns, events = roll(rows, 1, device)
    assert columns.amount.sum() == pytest.approx(2 + 1)
    assert columns.covered_s.sum() == 180.0
    assert columns.estimated_s.sum() == 0.0
    (event,) = events
    assert (event.kind, event.before, event.after, event.amount) == (
        "meter_change",
        102.0,
        5000.0,
        0.0,
    )


def test_another_state_of_the_same_meter_changes_nothing() -> None:
    old = make_state("grid_feed", 60.0, meter="SN-1")
    new = make_state("grid_feed", 10.0, meter="SN-1", valid_from=at(150))
    columns, events = roll(every_minute([100.0, 101.0, 102.0, 103.0]), 1, Device("g", (old, new)))
    assert columns.amount.sum() == pytest.approx(3.0)
    assert not events


def test_a_meter_that_was_exchanged_and_put_back_is_still_changed() -> None:
    states = tuple(
        make_state("grid_feed", 60.0, meter=meter, valid_from=at(seconds))
        for meter, seconds in (("SN-1", -9e6), ("SN-2", 90), ("SN-1", 110))
    )
    columns, events = roll(every_minute([100.0, 101.0, 102.0, 103.0]), 1, Device("g", states))
    assert columns.amount.sum() == pytest.approx(2.0)
    assert [event.kind for event in events] == ["meter_change"]


def test_an_uncertain_reading_is_passed_over() -> None:
    columns, events = roll([(0, 10.0), (60, 9999.0, UNCERTAIN), (120, 12.0), (180, 13.0)])
    assert columns.amount.sum() == pytest.approx(3.0)
    assert columns.covered_s[0] == 180.0
    assert columns.count[0] == 4
    assert not events


def test_a_hand_read_counter_covers_by_hand() -> None:
    columns, _ = roll([(0, 10.0), (60, 11.0, MANUAL), (120, 12.0), (180, 13.0)])
    assert columns.manual_s[0] == 120.0


def test_more_than_35_days_of_silence_are_not_bridged() -> None:
    day = 86_400.0
    columns, events = roll([(0, 10.0), (60, 11.0), (36 * day, 900.0), (36 * day + 60, 901.0)])
    assert not events
    assert columns.amount.sum() == pytest.approx(1.0)
    assert columns.estimated_s.sum() == 0.0


@pytest.mark.parametrize(
    ("family", "metric", "state", "rate"),
    [
        ("energy", "active_energy_kwh", make_state("grid_feed", rated_kw=40.0), 40.0),
        ("energy", "export_energy_kwh", make_state("grid_feed", rated_kw=40.0), 40.0),
        ("energy", "active_energy_kwh", make_state("grid_feed"), 500_000.0),
        ("solar", "ac_energy_kwh", make_state("pv_array", rated_kwp=320.0), 320.0),
        ("accelerator", "energy_kwh", make_state("node", rated_w=400.0, count=8), 3.2),
        ("accelerator", "throttled_seconds", make_state("node", count=8), 28_800.0),
        ("accelerator", "tokens", make_state("node", count=8), None),
        ("water", "volume_m3", make_state("mains_supply"), 20_000.0),
    ],
)
def test_what_a_counter_can_grow_by(
    family: str, metric: str, state: object, rate: float | None
) -> None:
    assert largest_rate_per_hour(family, metric, state) == rate  # type: ignore[arg-type]


@st.composite
def registers(draw: st.DrawFn) -> tuple[list[tuple[float, ...]], float]:
    """Readings of a wrapping register with faults, and what truly flowed between its ends.

    Every value stays far above what a dip or reset shows, faults are three readings apart, and no
    energy flows in the span of a reset, so that the truth is beyond doubt.
    """
    wraps = 100_000.0
    register = draw(st.floats(5_000.0, 99_999.0))
    count = draw(st.integers(8, 90))
    true = 0.0
    rows: list[tuple[float, ...]] = [(0.0, register)]
    quiet = 4
    for i in range(1, count):
        fault = draw(st.sampled_from(["", "", "", "reset", "dip", "lost", "uncertain"]))
        if quiet > 0 or i >= count - 4:
            fault = ""
            quiet -= 1
        step = draw(st.floats(0.0, 16.0))
        seconds = 60.0 * i
        if fault == "reset" and register > 1000.0:
            register, quiet = 0.0, 4
        else:
            register += step
            true += step
            if register >= wraps:
                register -= wraps
                quiet = 4
        if fault in {"lost", "uncertain"}:
            # What flowed in silence before a reset is lost with the register.
            quiet = max(quiet, 2)
        if fault == "lost":
            continue
        if fault == "dip" and register > 5000.0:
            rows.append((seconds, register / 2))
            quiet = 4
        elif fault == "uncertain":
            rows.append((seconds, draw(st.floats(0.0, 1e6)), UNCERTAIN))
        else:
            rows.append((seconds, register))
    return rows, true


@settings(deadline=None, max_examples=150)
@given(registers(), st.randoms(use_true_random=False))
def test_the_increases_are_the_true_total(
    drawn: tuple[list[tuple[float, ...]], float], random: object
) -> None:
    rows, true = drawn
    random.shuffle(rows)  # type: ignore[attr-defined]
    columns, _ = roll(rows, 8, WRAPPING)
    assert columns.amount.sum() == pytest.approx(true, rel=1e-9, abs=1e-6)
    assert columns.covered_s.max() <= INTERVAL_S
    assert columns.amount.min() >= 0.0


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.tuples(st.integers(1, 500), st.floats(0, 100)), min_size=2, max_size=60),
    st.integers(0, 7),
    st.integers(1, 8),
)
def test_an_interval_is_bitwise_the_same_alone_and_in_a_longer_grid(
    steps: list[tuple[int, float]], first: int, length: int
) -> None:
    seconds = np.cumsum([step for step, _ in steps])
    rows = [(float(t), value) for t, (_, value) in zip(seconds, steps, strict=True)]
    whole, _ = roll(rows, 8)
    series = series_of(METER, "active_energy_kwh", rows)
    part = Grid(START_MS + first * INTERVAL_S * 1000, min(length, 8 - first))
    alone, _ = roll_up_counter(series, timeline_of(METER), part)
    for column in ("amount", "covered_s", "estimated_s", "estimated_amount"):
        np.testing.assert_array_equal(
            getattr(alone, column), getattr(whole, column)[first : first + part.count]
        )


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.floats(0, 20).map(lambda v: round(v, 1)), min_size=20, max_size=40),
    st.integers(8, 11),
    st.integers(0, 3),
)
def test_what_a_reading_means_depends_on_its_neighbours_only(
    values: list[float], middle: int, width: int
) -> None:
    rows = every_minute(values)
    series = series_of(METER, "active_energy_kwh", rows)
    whole = find_increases(series, timeline_of(METER))
    near = series_of(METER, "active_energy_kwh", rows[middle - 8 : middle + width + 9])
    part = find_increases(near, timeline_of(METER))
    low, high = START_MS + middle * 60_000, START_MS + (middle + width) * 60_000

    def spans(found: object) -> list[tuple[int, int, float]]:
        table = zip(found.start_ms, found.end_ms, found.amount, strict=True)  # type: ignore[attr-defined]
        return [(int(a), int(b), float(v)) for a, b, v in table if b > low and a <= high]

    if middle + width + 9 <= len(values):
        assert spans(part) == spans(whole)
