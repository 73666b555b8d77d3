"""What came: mean powers of a site by quarter of an hour, from the stored intervals.

A quarter is known where its figure would be final or provisional: every meter of the sum covered as
the site's gate asks, and the figure possible. All else is not known, and stays so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from threading import Event

import numpy as np

from analytics.boundary import generators, grid_feeds, it_meters, pv_arrays
from analytics.electricity import facility_side, it_side, pv_terms
from analytics.energy import FlowReader
from analytics.figures import Question
from analytics.forecasting.history import History
from analytics.sides import Side, Term
from analytics.solar import MOST_OF_RATED
from analytics.tiling import Tiling
from core.forecasts import TARGETS
from core.ledger import HOUR_MS
from core.periods import INTERVAL_MS, INTERVAL_S, Period, from_ms
from core.ports import RollupRecords, TimeSeriesStore
from core.samples import Floats
from core.sites import Site

# What is read at once, so that a process can be told to end.
_CHUNK_MS = 14 * 86_400_000
_ROUNDING = 1e-9
_FACILITY, _IT, _PV = "facility_power_kw", "it_power_kw", "pv_power_kw"
_COLUMNS = (_FACILITY, _IT, _PV)


def targets_of(site: Site) -> list[str]:
    """Targets that a site can have by its declared devices, in the order of the catalogue."""
    has = {
        _FACILITY: bool(grid_feeds(site) or generators(site)),
        _IT: bool(it_meters(site, site.pue_category)),
        _PV: bool(pv_arrays(site)),
    }
    has["pue"] = has[_FACILITY] and has[_IT]
    return [name for name in TARGETS if has[name]]


@dataclass(slots=True, eq=False)
class SiteTruth:
    """The known quarters of one site, kept in memory and read again where they have changed.

    Attributes:
        start_ms: Start of the first quarter, on the grid.
    """

    store: TimeSeriesStore
    records: RollupRecords
    site: Site
    start_ms: int
    _columns: dict[str, Floats] = field(default_factory=dict)

    @property
    def end_ms(self) -> int:
        """End of the last quarter that was read."""
        held = self._columns.get(_FACILITY)
        return self.start_ms + (0 if held is None else len(held)) * INTERVAL_MS

    def extend(self, end_ms: int, stop: Event) -> None:
        """Read on up to `end_ms`; ends early when `stop` is set.

        Raises:
            StoreError: The store does not answer; what was read stays.
        """
        while self.end_ms < end_ms and not stop.is_set():
            start_ms = self.end_ms
            found = self._read(start_ms, min(start_ms + _CHUNK_MS, end_ms))
            for name in _COLUMNS:
                held = self._columns.get(name, np.empty(0))
                self._columns[name] = np.concatenate([held, found[name]])

    def read_again(self, hours: Iterable[int]) -> None:
        """Read hours again (numbers since 1970) that were changed; what lies outside is left."""
        for first_ms, last_ms in _runs(hours):
            start_ms, end_ms = max(first_ms, self.start_ms), min(last_ms, self.end_ms)
            if start_ms < end_ms:
                at = (start_ms - self.start_ms) // INTERVAL_MS
                for name, values in self._read(start_ms, end_ms).items():
                    self._columns[name][at : at + len(values)] = values

    def drop_before(self, start_ms: int) -> None:
        """Forget quarters before a time."""
        count = max((start_ms - self.start_ms) // INTERVAL_MS, 0)
        if count:
            self._columns = {name: held[count:] for name, held in self._columns.items()}
            self.start_ms += count * INTERVAL_MS

    def history(self, target: str) -> History:
        """The quarters of a target, from the first known one on."""
        above: Floats = self._columns[_FACILITY if target == "pue" else target]
        below: Floats | None = None
        known = np.isfinite(above)
        if target == "pue":
            below = self._columns[_IT]
            # A PUE below 1 is no PUE: one of the meters is wrong, and neither says so.
            known = (below > 0.0) & (above >= below)
            below = np.where(known, below, np.nan)
        first = int(known.argmax()) if known.any() else len(known)
        return History(
            self.start_ms + first * INTERVAL_MS,
            INTERVAL_S,
            np.where(known, above, np.nan)[first:],
            None if below is None else below[first:],
            self.site.zone,
        )

    def _read(self, start_ms: int, end_ms: int) -> dict[str, Floats]:
        tiling = Tiling.of(Period.of_ms(start_ms, end_ms), self.site.zone, "15m")
        question = Question(
            self.site,
            tiling,
            from_ms(end_ms),
            self.site.pue_category,
            FlowReader(self.store, self.records, self.site, tiling),
        )
        has = targets_of(self.site)
        sides: dict[str, Callable[[], Side]] = {
            _FACILITY: lambda: facility_side(question),
            _IT: lambda: it_side(question),
            _PV: lambda: Side("pv_energy_kwh", tiling, _anchored_pv(question)),
        }
        found = {
            name: _mean_power_kw(sides[name](), question)
            if name in has
            else np.full(tiling.grid.count, np.nan)
            for name in _COLUMNS
        }
        rated_kwp = sum(array.latest.rated_kwp or np.inf for array in pv_arrays(self.site))
        found[_PV][found[_PV] > MOST_OF_RATED * rated_kwp] = np.nan
        return found


def _anchored_pv(question: Question) -> list[Term]:
    terms = pv_terms(question, lambda state: state.role == "pv_array")
    return [Term(term.flow, term.weight, term.expected) for term in terms]


def _mean_power_kw(side: Side, question: Question) -> Floats:
    """(n,) mean power of each quarter over its covered seconds, NaN where not known."""
    total = np.zeros(side.tiling.grid.count)
    for term in side.terms:
        usable_s = term.flow.usable_s
        power = np.zeros_like(total)
        np.divide(term.amount * 3600.0, usable_s, out=power, where=usable_s > 0.0)
        total += power
    least = question.site.gate.provisional
    return np.where(side.interval_coverage() >= least - _ROUNDING, total, np.nan)


def _runs(hours: Iterable[int]) -> list[tuple[int, int]]:
    """Consecutive hours as spans of time in milliseconds."""
    found: list[tuple[int, int]] = []
    for hour in sorted(set(hours)):
        if found and found[-1][1] == hour * HOUR_MS:
            found[-1] = (found[-1][0], (hour + 1) * HOUR_MS)
        else:
            found.append((hour * HOUR_MS, (hour + 1) * HOUR_MS))
    return found
