"""Samples to 15-minute intervals and events: pure, one series at a time, columns inside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from analytics.columns import Columns
from analytics.counters import roll_up_counter
from analytics.gauges import roll_up_gauge, roll_up_reported_sum
from analytics.spans import Grid, Timeline
from core.events import SeriesEvent
from core.intervals import IntervalBlock
from core.metrics import CATALOGUE, MetricKind
from core.periods import INTERVAL_MS
from core.samples import SampleSeries


@dataclass(slots=True)
class Rollup:
    """What a roll-up came to.

    Attributes:
        blocks: One block a series, in the order given; series without an interval are absent.
        events: Events that end inside the grid, by series.
    """

    blocks: list[IntervalBlock] = field(default_factory=list)
    events: list[SeriesEvent] = field(default_factory=list)


def roll_up(
    series: Iterable[SampleSeries], timelines: Mapping[str, Timeline], grid: Grid
) -> Rollup:
    """Roll several series up over one grid.

    Args:
        series: Readings in the grid and around it, see `analytics.recompute`. A series of a device
            or metric that is not declared is left out.
        timelines: By device id.
    """
    done = Rollup()
    for samples in series:
        timeline = timelines.get(samples.key.device)
        if timeline is None or (samples.key.family, samples.key.metric) not in CATALOGUE:
            continue
        block, events = roll_up_series(samples, timeline, grid)
        if block is not None:
            done.blocks.append(block)
        done.events.extend(events)
    return done


def roll_up_series(
    samples: SampleSeries, timeline: Timeline, grid: Grid
) -> tuple[IntervalBlock | None, list[SeriesEvent]]:
    """Intervals of one series and its events that end inside the grid.

    The block has every interval of the grid from the first that the series touches to the last,
    empty ones too: they replace what stood there before a correction. None where it touches none.
    """
    if not len(samples) or grid.count == 0:
        return None, []
    metric = CATALOGUE[(samples.key.family, samples.key.metric)]
    events: list[SeriesEvent] = []
    columns: Columns
    if metric.kind is MetricKind.COUNTER:
        columns, found = roll_up_counter(samples, timeline, grid)
        events = [e for e in found if grid.start_ms <= e.end_ms < grid.end_ms]
    elif metric.kind is MetricKind.INTERVAL:
        columns = roll_up_reported_sum(samples, timeline, grid)
    else:
        columns = roll_up_gauge(samples, timeline, metric, grid)
    before = int(samples.time_ms[0])
    if metric.kind is MetricKind.INTERVAL:
        before -= int(np.ceil(timeline.cadence_ms.max()))
    first = max((before - grid.start_ms) // INTERVAL_MS, 0)
    last = min((int(samples.time_ms[-1]) - grid.start_ms) // INTERVAL_MS + 1, grid.count)
    if first >= last:
        return None, events
    return columns.block(samples, grid, first, last), events
