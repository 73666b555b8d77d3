"""Reading issued forecasts: the newest for a page, earlier ones for forecast against actual."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from analytics.forecasting.documents import ISSUED, KIND, parse_forecast
from analytics.forecasting.scores import (
    HINDCAST_SCORE,
    ISSUED_SCORE,
    RECORD_DAYS,
    build_record,
    parse_score,
)
from core.errors import NotFoundError
from core.forecasts import STEPS, TARGETS, Forecast, SkillRecord
from core.periods import Period
from core.ports import TimeSeriesStore
from core.sites import Site

# How far back the newest forecast is looked for, in steps: the usual case reads two rows.
_LOOK_BACK = (timedelta(hours=2), timedelta(days=3))
_MOMENT = timedelta(milliseconds=1)


def read_forecast(
    store: TimeSeriesStore, site: Site, target: str, now: datetime, *, resolution: str = "15m"
) -> Forecast | None:
    """The newest forecast issued at or before `now`, with the record of its target.

    Args:
        target: Key of `core.forecasts.TARGETS`.
        resolution: Key of `core.forecasts.STEPS`.

    Returns:
        None where none was issued in the last three days.

    Raises:
        NotFoundError: An unknown target or resolution.
        StoreError: The store does not answer.
    """
    _check(target, resolution)
    for back in _LOOK_BACK:
        rows = store.read_results(
            site.id,
            KIND,
            Period(now - back, now + _MOMENT),
            names=[target],
            resolution=resolution,
            subject=ISSUED,
        )
        if rows:
            record = read_record(store, site, target, now, resolution=resolution)
            return replace(parse_forecast(rows[-1], site), record=record)
    return None


def read_forecasts(
    store: TimeSeriesStore, site: Site, target: str, period: Period, *, resolution: str = "15m"
) -> list[Forecast]:
    """Forecasts issued in the period, by issue time, without records; for forecast vs actual.

    Raises:
        NotFoundError: An unknown target or resolution.
        StoreError: The store does not answer.
    """
    _check(target, resolution)
    rows = store.read_results(
        site.id, KIND, period, names=[target], resolution=resolution, subject=ISSUED
    )
    return [parse_forecast(row, site) for row in rows]


def read_record(
    store: TimeSeriesStore, site: Site, target: str, now: datetime, *, resolution: str = "15m"
) -> SkillRecord | None:
    """What the forecasts issued in the last 90 days were worth, as far as it is known.

    Raises:
        NotFoundError: An unknown target or resolution.
        StoreError: The store does not answer.
    """
    _check(target, resolution)
    rows = [
        row
        for kind in (HINDCAST_SCORE, ISSUED_SCORE)
        for row in store.read_results(
            site.id,
            KIND,
            Period(now - timedelta(days=RECORD_DAYS), now + _MOMENT),
            names=[target],
            resolution=resolution,
            subject=kind,
        )
    ]
    return build_record([parse_score(row) for row in rows], site.zone)


def _check(target: str, resolution: str) -> None:
    if target not in TARGETS:
        raise NotFoundError(f"no forecast target {target!r}; one of {', '.join(TARGETS)}")
    if resolution not in STEPS:
        raise NotFoundError(f"no forecast step {resolution!r}; one of {', '.join(STEPS)}")
