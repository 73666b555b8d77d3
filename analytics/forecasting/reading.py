"""Reading issued forecasts: the newest for a page, earlier ones for forecast against actual."""

from __future__ import annotations

from datetime import datetime

from core.forecasts import Forecast
from core.periods import Period
from core.ports import TimeSeriesStore
from core.sites import Site


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
    return None


def read_forecasts(
    store: TimeSeriesStore, site: Site, target: str, period: Period, *, resolution: str = "15m"
) -> list[Forecast]:
    """Forecasts issued in the period, by issue time, without records; for forecast vs actual."""
    return []
