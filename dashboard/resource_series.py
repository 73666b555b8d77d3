"""Series for the charts of water, sun and accelerators: computed from intervals, held for a while.

Hours are stored for the whole site only, and without what they are made of; arrays, kinds and
sources are computed anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from core.intervals import IntervalBlock
from core.kpis import KpiValue
from core.periods import Resolution, from_ms, to_ms
from core.quality import Verdict
from core.sites import Site
from dashboard.chart_spec import ChartAsk
from dashboard.figures.line_data import Series
from dashboard.history import DAY_MS, HOUR_MS, STEP_MS, HistoryQuestion
from dashboard.kpi_series import grid_of

# What has settled changes by late readings only; what settles next is asked for anew.
_RUNNING_S, _PAST_S = 300.0, 600.0
# Of a step, so much has to be covered for its mean or sum to be drawn.
_LEAST_COVERED = 0.8
_MOST_HOURLY_BARS_MS = 2 * DAY_MS + 2 * HOUR_MS


def bar_resolution(history: HistoryQuestion) -> Resolution:
    """How wide bars are: hours of a day or two, else days."""
    length = history.period.end_ms - history.period.start_ms
    return "hour" if length <= _MOST_HOURLY_BARS_MS else "day"


def hold_s(history: HistoryQuestion) -> float:
    """How long what was read for a stretch is held."""
    return _RUNNING_S if history.is_running else _PAST_S


def computed_rows(ask: ChartAsk, kpis: Sequence[str], resolution: Resolution) -> list[KpiValue]:
    """Figures of every step of the known part of the window.

    Raises:
        StoreError: The store does not answer.
    """
    from analytics.kpis import compute_kpi_rows

    history, site = ask.history, ask.site
    known = history.known
    if known is None:
        return []
    key = ("figures", site.id, tuple(kpis), resolution, history.period.start_ms, known.end_ms)
    return ask.held.get(
        key,
        hold_s(history),
        lambda: compute_kpi_rows(
            ask.store,
            ask.records,
            site,
            known,
            resolution=resolution,
            kpis=kpis,
            now=from_ms(history.now_ms),
        ),
    )


def series_of(
    rows: Iterable[KpiValue],
    ask: ChartAsk,
    resolution: Resolution,
    value: Callable[[KpiValue], float | None] = lambda row: row.value,
) -> Series:
    """A series on the whole window's grid; steps that are refused or to come have no value.

    Args:
        value: What is drawn of a figure.
    """
    starts = _grid(ask, resolution)
    found = {to_ms(row.start): row for row in rows}
    values: list[float | None] = []
    verdicts, estimated = [], []
    for start in starts:
        row = found.get(start)
        known = row is not None and row.value is not None
        values.append(value(row) if known and row is not None else None)
        verdicts.append(row.verdict if row is not None else Verdict.REFUSED)
        estimated.append(known and row is not None and row.shares.estimated > 0.0)
    return Series(starts, tuple(values), STEP_MS[resolution], tuple(verdicts), tuple(estimated))


def _grid(ask: ChartAsk, resolution: Resolution) -> tuple[int, ...]:
    period = ask.history.period
    key = ("grid", ask.site.id, resolution, period.start_ms, period.end_ms)
    return ask.held.get(key, _PAST_S, lambda: grid_of(ask.site, period, resolution))


def gauge_series(
    ask: ChartAsk, family: str, device: str, metric: str, resolution: Resolution
) -> Series:
    """Time-weighted means of a gauge; a step that is hardly covered has none.

    Raises:
        StoreError: The store does not answer.
    """
    block = _block(ask, family, device, metric)
    if block is None:
        return _on_grid(ask, resolution, {})
    weights = np.where(np.isnan(block.mean), 0.0, block.covered_s)
    sums = np.where(np.isnan(block.mean), 0.0, block.mean) * weights
    starts = _grid(ask, resolution)
    settled = ask.history.settled_ms
    found: dict[int, float] = {}
    for start, (total, seconds, length) in _by_step(
        block, starts, ask.history.period.end_ms, sums, weights
    ).items():
        # The running step is drawn with what it has.
        elapsed = min(length, (settled - start) / 1000.0)
        if elapsed > 0.0 and seconds >= _LEAST_COVERED * elapsed:
            found[start] = total / seconds
    return _on_grid(ask, resolution, found)


def summed_series(
    ask: ChartAsk, family: str, device: str, metric: str, resolution: Resolution
) -> Series:
    """Sums of what adds up (rain, an energy); a step that is hardly covered has none.

    Raises:
        StoreError: The store does not answer.
    """
    block = _block(ask, family, device, metric)
    if block is None:
        return _on_grid(ask, resolution, {})
    amounts = np.where(np.isnan(block.amount), 0.0, block.amount)
    starts = _grid(ask, resolution)
    settled = ask.history.settled_ms
    found: dict[int, float] = {}
    for start, (total, seconds, length) in _by_step(
        block, starts, ask.history.period.end_ms, amounts, block.covered_s
    ).items():
        elapsed = min(length, (settled - start) / 1000.0)
        if elapsed > 0.0 and seconds >= _LEAST_COVERED * elapsed:
            found[start] = total
    return _on_grid(ask, resolution, found)


def _block(ask: ChartAsk, family: str, device: str, metric: str) -> IntervalBlock | None:
    history, site = ask.history, ask.site
    key = ("intervals", site.id, device, metric, history.period.start_ms, history.period.end_ms)
    blocks = ask.held.get(
        key,
        hold_s(history),
        lambda: ask.store.read_intervals(
            site.id, history.period, family=family, devices=[device], metrics=[metric]
        ),
    )
    return blocks[0] if blocks else None


def _by_step(
    block: IntervalBlock,
    starts: Sequence[int],
    end_ms: int,
    amounts: np.ndarray[tuple[int], np.dtype[np.float64]],
    seconds: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> dict[int, tuple[float, float, float]]:
    """Start -> (amount, covered seconds, length in seconds) of each step with an interval."""
    edges = np.array([*starts, end_ms], dtype=np.int64)
    step = np.searchsorted(edges, block.start_ms, side="right") - 1
    count = len(starts)
    inside = (step >= 0) & (step < count)
    sums = np.bincount(step[inside], weights=amounts[inside], minlength=count)
    covered = np.bincount(step[inside], weights=seconds[inside], minlength=count)
    held = np.bincount(step[inside], minlength=count)
    return {
        starts[place]: (
            float(sums[place]),
            float(covered[place]),
            float(edges[place + 1] - edges[place]) / 1000.0,
        )
        for place in range(count)
        if held[place]
    }


def _on_grid(ask: ChartAsk, resolution: Resolution, found: dict[int, float]) -> Series:
    starts = _grid(ask, resolution)
    return Series(starts, tuple(found.get(start) for start in starts), STEP_MS[resolution])


def mean_power(row: KpiValue) -> float | None:
    """An energy as its mean power; the running step over the time that has passed."""
    if row.value is None:
        return None
    return row.value * 3600.0 / (row.end - row.start).total_seconds()


def first_device(site: Site, role: str, metric: str) -> str:
    """The first device of a role that sends a metric; empty without one."""
    return next((d.id for d in site.with_role(role) if metric in d.metrics()), "")
