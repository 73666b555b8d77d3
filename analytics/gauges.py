"""Gauges and reported sums: readings to intervals.

A gauge is linear between two consecutive readings at most three cadences apart, and that span is
covered; a longer span is not covered at all. A reading of quality `uncertain` is stored but breaks
the line: no span begins or ends at it, because the meter itself says that it does not know, and a
span drawn past it would claim that we do.
"""

from __future__ import annotations

import numpy as np

from analytics.columns import Columns, count_readings, extremes, quality_seconds, worse_quality
from analytics.spans import Grid, Timeline, cut_spans, sum_pieces
from core.metrics import Metric
from core.samples import Quality, SampleSeries


def roll_up_gauge(samples: SampleSeries, timeline: Timeline, metric: Metric, grid: Grid) -> Columns:
    """Intervals of a gauge: trapezoids between readings, cut exactly at the borders.

    `amount` is the time integral over the covered seconds: in the metric's `integral_unit` for a
    rate (power, flow), else in unit x hours.

    Args:
        samples: Readings in the grid and those around it: three cadences on either side.
    """
    time_ms, value, quality = samples.time_ms, samples.value, samples.quality
    certain = quality != Quality.UNCERTAIN
    before, after = time_ms[:-1], time_ms[1:]
    covered = (
        (after - before <= timeline.longest_span_ms(before, after))
        & certain[:-1]
        & certain[1:]
        & (after > grid.start_ms)
        & (before < grid.end_ms)
    )
    at = np.flatnonzero(covered)
    start, end = before[at], after[at]
    pieces = cut_spans(start, end, grid)
    span = pieces.span
    value_start, rise = value[:-1][at], value[1:][at] - value[:-1][at]
    length = (end - start).astype(np.float64)
    share_start = (pieces.start_ms - start[span]) / length[span]
    share_end = (pieces.end_ms - start[span]) / length[span]
    middle = value_start[span] + rise[span] * (0.5 * (share_start + share_end))
    area = sum_pieces(pieces, middle * pieces.seconds, grid)
    covered_s = sum_pieces(pieces, pieces.seconds, grid)
    of_span = worse_quality(quality[:-1][at], quality[1:][at])
    estimated_quality_s, manual_s = quality_seconds(
        pieces, of_span, np.ones(len(at), dtype=np.bool_), grid
    )
    mean = np.full(grid.count, np.nan)
    np.divide(area, covered_s, out=mean, where=covered_s > 0.0)
    low, high = extremes(time_ms[certain], value[certain], grid)
    per_hour = metric.integral_per_hour or 1.0
    zeros = np.zeros(grid.count)
    return Columns(
        count_readings(time_ms, grid),
        low,
        high,
        mean,
        area * (per_hour / 3600.0),
        covered_s,
        zeros,
        zeros,
        estimated_quality_s,
        manual_s,
    )


def roll_up_reported_sum(samples: SampleSeries, timeline: Timeline, grid: Grid) -> Columns:
    """Intervals of a metric whose every reading is the sum since the reading before (rain).

    The sum is spread evenly over the span since the reading before when that is at most three
    cadences long, else over the one cadence before the reading: what fell in a longer silence is
    not known to be in it. An uncertain reading adds neither amount nor coverage.

    Args:
        samples: Readings in the grid and those around it: three cadences on either side.
    """
    time_ms, value, quality = samples.time_ms, samples.value, samples.quality
    cadence = timeline.cadence_ms[timeline.state_index(time_ms)]
    start = np.round(time_ms - cadence).astype(np.int64)
    if len(time_ms) > 1:
        before, after = time_ms[:-1], time_ms[1:]
        near = after - before <= timeline.longest_span_ms(before, after)
        start[1:] = np.where(near, before, np.maximum(start[1:], before))
    at = np.flatnonzero(
        (quality != Quality.UNCERTAIN) & (time_ms > grid.start_ms) & (start < grid.end_ms)
    )
    start, end = start[at], time_ms[at]
    pieces = cut_spans(start, end, grid)
    share = (pieces.end_ms - pieces.start_ms) / (end - start).astype(np.float64)[pieces.span]
    of_span = worse_quality(quality[at], quality[at])
    estimated_quality_s, manual_s = quality_seconds(
        pieces, of_span, np.ones(len(at), dtype=np.bool_), grid
    )
    nothing = np.full(grid.count, np.nan)
    zeros = np.zeros(grid.count)
    return Columns(
        count_readings(time_ms, grid),
        nothing,
        nothing,
        nothing,
        sum_pieces(pieces, value[at][pieces.span] * share, grid),
        sum_pieces(pieces, pieces.seconds, grid),
        zeros,
        zeros,
        estimated_quality_s,
        manual_s,
    )
