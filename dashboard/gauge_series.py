"""Means of a gauge by the hour, from its stored intervals, for charts."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from core.periods import INTERVAL_S, Period
from dashboard.chart_spec import ChartAsk
from dashboard.figures.line_data import HOUR_MS
from dashboard.kpi_series import held_parts

_LEAST_SHARE = 0.8


def read_hourly_means(
    ask: ChartAsk, family: str, device: str, metric: str, period: Period
) -> dict[int, float]:
    """Start of a full UTC hour -> time-weighted mean, of hours that are covered for four fifths.

    Raises:
        StoreError: The store does not answer.
    """
    sums: defaultdict[int, float] = defaultdict(float)
    seconds: defaultdict[int, float] = defaultdict(float)
    for part, hold_s in held_parts(ask.history, period):
        blocks = ask.held.get(
            ("intervals", ask.site.id, family, device, metric, part),
            hold_s,
            lambda part=part: ask.store.read_intervals(  # type: ignore[misc]
                ask.site.id, part, family=family, devices=[device], metrics=[metric]
            ),
        )
        for block in blocks:
            for start, mean, covered in zip(
                block.start_ms.tolist(), block.mean.tolist(), block.covered_s.tolist(), strict=True
            ):
                if covered > 0.0 and not np.isnan(mean):
                    hour = start - start % HOUR_MS
                    sums[hour] += mean * covered
                    seconds[hour] += covered
    least = _LEAST_SHARE * HOUR_MS / 1000.0
    return {
        hour: sums[hour] / covered
        for hour, covered in seconds.items()
        if covered >= least - INTERVAL_S * 1e-9
    }
