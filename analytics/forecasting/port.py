"""The forecast port: whatever forecasts stands behind it and is scored in the same way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from analytics.forecasting.history import History
from core.samples import Floats


@dataclass(frozen=True, slots=True, eq=False)
class Quantiles:
    """What a forecaster says of the steps from an origin on.

    Attributes:
        table: (5, m) by `core.forecasts.QUANTILES`, never crossing. The median is NaN where nothing
            can be said; the others are NaN, too, where no errors of that lead have been measured.
        models: Horizon band -> name of the model that speaks in it.
    """

    table: Floats
    models: Mapping[str, str]


class ForecasterProtocol(Protocol):
    """One target of one site. An answer depends on nothing from the origin on."""

    def issue(self, history: History, origin_ms: int, count: int) -> Quantiles:
        """The quantiles of the `count` steps from the origin on.

        Args:
            history: What is known at the origin; what it holds of later steps is not looked at.
            origin_ms: The first instant that is not known, on the grid of the history.
        """
        ...
