"""Counters: readings to increases, events, and intervals.

The increase between two consecutive readings is spread evenly over the time between them. Readings
of quality `uncertain` are passed over: the total between the readings around one is known without
it. A decrease is one of these, in this order:

1. a dip: one or two low readings, then one at least as high as before. The low ones are ignored.
   (Where a rollover explains the same readings at the device's rating, it is taken instead: it
   needs no fault of the meter.)
2. a rollover: `wraps_at` is declared and the implied increase is physically possible.
3. a reset: the new value counts from zero.

Until the readings that could tell a dip from a reset have come (at most two more), nothing after
the decrease is credited: a meter that slips by 0.1 kWh must not show its whole register as
consumption for a while. Which case a reading falls under depends on two readings before it and two
after it, so that a recomputation of a few intervals finds the same as one of the whole history.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analytics.columns import Columns, count_readings, quality_seconds, worse_quality
from analytics.spans import (
    LONGEST_COUNTER_SPAN_MS,
    Flags,
    Grid,
    Timeline,
    cut_spans,
    sum_pieces,
)
from core.events import SeriesEvent
from core.metrics import CATALOGUE
from core.samples import Codes, Floats, Ints, Quality, SampleSeries
from core.sites import DeviceState

# Low readings that a dip may have.
LONGEST_DIP = 2
# Readings before and after a changed one whose meaning may change with it.
REACH_READINGS = 5
# What a device may exceed its rating by, and one step of a coarse register.
_RATING_MARGIN = 1.2
_STEP_SHARE = 1e-5


@dataclass(frozen=True, slots=True, eq=False)
class Increases:
    """Spans between accepted readings with what was counted on them.

    Attributes:
        start_ms, end_ms: (n,) times of the readings at either end.
        amount: (n,) increase credited to the span.
        covered: (n,) whether the span is at most three cadences long.
        quality: (n,) the weaker quality of its ends.
        events: What happened, by end.
    """

    start_ms: Ints
    end_ms: Ints
    amount: Floats
    covered: Flags
    quality: Codes
    events: tuple[SeriesEvent, ...]


def find_increases(samples: SampleSeries, timeline: Timeline) -> Increases:
    """What a counter counted between its readings, with the events.

    A span across a meter change has no amount, and neither has one longer than 35 days. A span
    longer than three cadences is a `counter_gap` when its total is known; across a reset it is not,
    because what was counted before the reset is lost.
    """
    certain = samples.quality != Quality.UNCERTAIN
    time_ms, value = samples.time_ms[certain], samples.value[certain]
    quality = samples.quality[certain]
    meter = timeline.meter_number[timeline.state_index(time_ms)]
    # linked[i]: readings i and i + 1 belong to one series of increases.
    linked = (np.diff(time_ms) <= LONGEST_COUNTER_SPAN_MS) & (np.diff(meter) == 0)
    decreases = np.flatnonzero(linked & (value[1:] < value[:-1]))
    low, known = _find_dips(samples, timeline, time_ms, value, linked, decreases)

    accepted = np.flatnonzero(~low[:known])
    start, end = accepted[:-1], accepted[1:]
    # A low reading is linked to both of its neighbours, so the pair's last link speaks for all.
    whole = linked[end - 1] if len(end) else np.zeros(0, dtype=np.bool_)
    amount = value[end] - value[start]
    covered = time_ms[end] - time_ms[start] <= timeline.longest_span_ms(
        time_ms[start], time_ms[end]
    )
    total_known = whole.copy()
    events: list[SeriesEvent] = []

    def note(kind: str, pair: int, credited: float) -> None:
        i, j = int(start[pair]), int(end[pair])
        before, after = float(value[i]), float(value[j])
        events.append(
            SeriesEvent(
                samples.key, kind, int(time_ms[i]), int(time_ms[j]), before, after, credited
            )
        )

    for pair in np.flatnonzero(~whole):
        if meter[start[pair]] != meter[end[pair]]:
            note("meter_change", int(pair), 0.0)
    for pair in np.flatnonzero(whole & (amount < 0.0)):
        i, j = int(start[pair]), int(end[pair])
        increase = _rollover_increase(samples, timeline, time_ms, value, i, j)
        if increase is None:
            amount[pair] = value[j]
            total_known[pair] = bool(covered[pair])
            note("counter_reset", int(pair), float(value[j]))
        else:
            amount[pair] = increase
            note("counter_rollover", int(pair), increase)
    for pair in np.flatnonzero(end - start > 1):
        note("counter_dip", int(pair), 0.0)
    for pair in np.flatnonzero(total_known & ~covered):
        note("counter_gap", int(pair), float(amount[pair]))
    events.sort(key=lambda event: (event.end_ms, event.kind))
    return Increases(
        time_ms[start][whole],
        time_ms[end][whole],
        amount[whole],
        covered[whole],
        worse_quality(quality[start], quality[end])[whole],
        tuple(events),
    )


def _find_dips(
    samples: SampleSeries,
    timeline: Timeline,
    time_ms: Ints,
    value: Floats,
    linked: Flags,
    decreases: Ints,
) -> tuple[Flags, int]:
    """Low readings of dips, and how many readings from the start are understood by now."""
    low = np.zeros(len(value), dtype=np.bool_)
    for anchor in decreases.tolist():
        if low[anchor]:
            continue
        recovery = None
        for reading in range(anchor + 2, anchor + 2 + LONGEST_DIP):
            if reading >= len(value):
                # What comes next decides; until then the series ends before the decrease.
                return low, anchor + 1
            if not linked[reading - 1]:
                break
            if value[reading] >= value[anchor]:
                recovery = reading
                break
        if recovery is None:
            continue
        wrapped = _rollover_increase(samples, timeline, time_ms, value, anchor, anchor + 1)
        last_low = recovery - 1
        if wrapped is not None and _is_possible(
            samples,
            timeline,
            int(time_ms[last_low]),
            int(time_ms[recovery]),
            float(value[recovery] - value[last_low]),
        ):
            continue
        low[anchor + 1 : recovery] = True
    return low, len(value)


def _rollover_increase(
    samples: SampleSeries, timeline: Timeline, time_ms: Ints, value: Floats, i: int, j: int
) -> float | None:
    """Increase from reading `i` to `j` when the register rolled over between them, else None."""
    state = timeline.state_at(int(time_ms[i]))
    if state.wraps_at is None:
        return None
    # The register wraps at a value of its own; what is stored was multiplied when it came in.
    wraps_at = state.wraps_at * state.multiplier
    increase = float(wraps_at - value[i] + value[j])
    if value[i] > wraps_at or increase < 0.0:
        return None
    start_ms, end_ms = int(time_ms[i]), int(time_ms[j])
    step = wraps_at * _STEP_SHARE
    possible = _is_possible(samples, timeline, start_ms, end_ms, increase, step)
    return increase if possible else None


def _is_possible(
    samples: SampleSeries,
    timeline: Timeline,
    start_ms: int,
    end_ms: int,
    increase: float,
    step: float = 0.0,
) -> bool:
    rate = largest_rate_per_hour(
        samples.key.family, samples.key.metric, timeline.state_at(start_ms)
    )
    if rate is None:
        return False
    return increase <= rate * _RATING_MARGIN * (end_ms - start_ms) / 3_600_000 + step


def largest_rate_per_hour(family: str, metric: str, state: DeviceState) -> float | None:
    """What a counter can grow by in an hour, in its own unit; None where nothing bounds it.

    The declared rating; without one, the catalogue's largest plausible value of the rate that the
    counter adds up (there is no rating to declare for a water meter).
    """
    if metric == "throttled_seconds":
        return 3600.0 * (state.count or 1)
    rates = [row for row in CATALOGUE.values() if row.family == family and row.counter == metric]
    if metric == "export_energy_kwh":
        rates = [CATALOGUE[(family, "active_power_kw")]]
    if not rates:
        return None
    rate = rates[0]
    if rate.integral_unit == "kWh":
        accelerator_kw = (state.count or 1) * state.rated_w / 1000.0 if state.rated_w else None
        for rated in (state.rated_kw, state.inverter_kw, state.rated_kwp, accelerator_kw):
            if rated is not None:
                return rated
    return rate.high * rate.integral_per_hour


def roll_up_counter(
    samples: SampleSeries, timeline: Timeline, grid: Grid
) -> tuple[Columns, tuple[SeriesEvent, ...]]:
    """Intervals of a counter, and every event found in the readings given.

    Args:
        samples: Readings in the grid and around it; for an exact result eight on either side, where
            so many lie within 35 days of each other.
    """
    found = find_increases(samples, timeline)
    pieces = cut_spans(found.start_ms, found.end_ms, grid)
    length = (found.end_ms - found.start_ms).astype(np.float64)
    share = (pieces.end_ms - pieces.start_ms) / length[pieces.span]
    amount = found.amount[pieces.span] * share
    of_gap = ~found.covered[pieces.span]
    # A gap between two readings by hand rests on them, too: a period that holds it says so.
    everywhere = np.ones(len(found.start_ms), dtype=np.bool_)
    estimated_quality_s, manual_s = quality_seconds(pieces, found.quality, everywhere, grid)
    nothing = np.full(grid.count, np.nan)
    columns = Columns(
        count_readings(samples.time_ms, grid),
        nothing,
        nothing,
        nothing,
        sum_pieces(pieces, amount, grid),
        sum_pieces(pieces, np.where(of_gap, 0.0, pieces.seconds), grid),
        sum_pieces(pieces, np.where(of_gap, pieces.seconds, 0.0), grid),
        sum_pieces(pieces, np.where(of_gap, amount, 0.0), grid),
        estimated_quality_s,
        manual_s,
    )
    return columns, found.events
