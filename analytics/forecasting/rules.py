"""The four naive rules: each uses only steps before its origin, and is silent where it knows none.

A rule answers for many origins at once: the same lines make the forecast of now and those of the
past by which it is judged.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from analytics.forecasting.history import History
from core.forecasts import MODELS
from core.samples import Floats, Ints

_DAY_S = 86_400
# The last value stands for the present at most so long.
PERSISTENCE_REACH_S = 6 * 3600
# Of the last 24 hours so much has to be known.
_MEAN_SHARE = 0.5
# Where the step a season before is not known, so many seasons further back are tried.
_MORE_DAYS = 7
_MORE_WEEKS = 4


def predict(history: History, rule: str, origins: Ints, count: int) -> Floats:
    """(p, count) what a rule says of the `count` steps from each origin on, NaN where nothing.

    Args:
        rule: Key of `core.forecasts.MODELS`.
        origins: (p,) positions in the history of the first step that is not known.
    """
    return _RULES[rule](history, origins, count)


def predict_all(history: History, origins: Ints, count: int) -> Floats:
    """(rules, p, count) as `predict`, in the order of `MODELS`."""
    return np.stack([predict(history, rule, origins, count) for rule in MODELS])


def _persistence(history: History, origins: Ints, count: int) -> Floats:
    last = history.last_known(origins)
    is_near = (last >= 0) & ((origins - 1 - last) * history.step_s <= PERSISTENCE_REACH_S)
    values = np.where(is_near, _at(history.values, last), np.nan)
    return np.repeat(values[:, None], count, axis=1)


def _mean_24h(history: History, origins: Ints, count: int) -> Floats:
    steps = _DAY_S // history.step_s
    above, below, known = history.sums(origins - steps, origins)
    values = np.full(len(origins), np.nan)
    np.divide(above, below, out=values, where=(known >= _MEAN_SHARE * steps) & (below > 0.0))
    return np.repeat(values[:, None], count, axis=1)


def _seasonal(season_s: int, more: int) -> Callable[[History, Ints, int], Floats]:
    def rule(history: History, origins: Ints, count: int) -> Floats:
        season = season_s // history.step_s
        filled = history.filled(season, more)
        # The newest season that ended before the origin.
        leads = np.arange(count)
        source = origins[:, None] + (leads % season - season)
        if history.clock_changes:
            back = leads - (leads % season - season)
            valid = origins[:, None] + leads
            source = history.same_clock(valid, np.broadcast_to(back, valid.shape))
            source = np.where(source < origins[:, None], source, source - season)
        found = _at(filled, source)
        found[source < 0] = np.nan
        return found

    return rule


def _at(values: Floats, places: Ints) -> Floats:
    if not len(values):
        return np.full(places.shape, np.nan)
    return values.take(places, mode="clip")


_RULES: dict[str, Callable[[History, Ints, int], Floats]] = {
    "persistence": _persistence,
    "mean_24h": _mean_24h,
    "seasonal_24h": _seasonal(_DAY_S, _MORE_DAYS),
    "seasonal_168h": _seasonal(7 * _DAY_S, _MORE_WEEKS),
}
