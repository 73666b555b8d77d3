"""Figures of a stretch of time for the pages of water, sun and accelerators, held for a while.

A page never waits for a refresh: while figures are computed anew, or the store is away, the held
ones are given.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from core.clock import Clock
from core.errors import StoreError
from core.kpis import KpiValue
from core.periods import Period, Resolution
from core.ports import RollupRecords, TimeSeriesStore
from core.sites import Site
from dashboard.history import HistoryQuestion
from dashboard.settings import BoardSettings
from dashboard.today import ComputeKpis

_LOG = logging.getLogger(__name__)
# A stretch that is past only changes by late readings.
_PAST_HOLD_S = 600.0
# Older than so many holding times: not shown without trying again first.
_OLDEST_HOLDS = 20
_MOST = 200


@dataclass(frozen=True, slots=True)
class FigureAsk:
    """Which figures a page shows of a stretch.

    Attributes:
        name: The page's.
        kpis: Of the whole stretch.
        daily: Of each local day in it.
    """

    name: str
    kpis: tuple[str, ...]
    daily: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Figures:
    """Computed figures of one stretch.

    Attributes:
        period: Up to the last settled interval; None where the stretch has only just begun.
        rows: By (KPI, subject).
        days: Daily figures by KPI, of the whole site, in order.
    """

    period: Period | None
    rows: Mapping[tuple[str, str], KpiValue] = field(default_factory=dict)
    days: Mapping[str, tuple[KpiValue, ...]] = field(default_factory=dict)

    def row(self, kpi: str, subject: str = "site") -> KpiValue | None:
        """One figure, if there is one."""
        return self.rows.get((kpi, subject))

    def part(self, kpi: str, name: str, subject: str = "site") -> float | None:
        """A named sum of a figure; None where it is not known."""
        row = self.row(kpi, subject)
        return None if row is None else row.parts.get(name)


@dataclass(slots=True)
class _Held:
    lock: threading.Lock = field(default_factory=threading.Lock)
    figures: Figures | None = None
    tried_at: float | None = None
    is_faulty: bool = False


@dataclass(frozen=True, slots=True)
class FigureAnswer:
    """What is held, and whether the latest attempt to renew it failed."""

    figures: Figures | None
    is_faulty: bool


def _in_background(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="figures", daemon=True).start()


class FigureReads:
    """Holds figures by site, stretch and page; one computation at a time for each. Thread-safe."""

    def __init__(
        self,
        store: TimeSeriesStore,
        records: RollupRecords,
        settings: BoardSettings,
        clock: Clock,
        compute: ComputeKpis,
        *,
        later: Callable[[Callable[[], None]], None] = _in_background,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the parts.

        Args:
            later: Runs a refresh without making its caller wait.
        """
        self._store = store
        self._records = records
        self._hold_s = settings.kpi_refresh.total_seconds()
        self._clock = clock
        self._compute = compute
        self._later = later
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._held: OrderedDict[tuple[str, str, int, int], _Held] = OrderedDict()

    def get(self, site: Site, ask: FigureAsk, history: HistoryQuestion) -> FigureAnswer:
        """Figures of a stretch; the first caller waits, later ones get what is held."""
        held = self._slot((site.id, ask.name, history.period.start_ms, history.period.end_ms))
        hold_s = self._hold_s if history.is_running else max(_PAST_HOLD_S, self._hold_s)
        age_s = self._age_s(held)
        if age_s is None or held.figures is None or age_s >= _OLDEST_HOLDS * hold_s:
            with held.lock:
                # Another caller may have read it while this one waited.
                if (age := self._age_s(held)) is None or age >= hold_s or held.figures is None:
                    self._renew(site, ask, history, held)
        elif age_s >= hold_s and held.lock.acquire(blocking=False):
            self._later(lambda: self._renew_held(site, ask, history, held))
        return FigureAnswer(held.figures, held.is_faulty)

    def _slot(self, key: tuple[str, str, int, int]) -> _Held:
        with self._lock:
            held = self._held.setdefault(key, _Held())
            self._held.move_to_end(key)
            while len(self._held) > _MOST:
                self._held.popitem(last=False)
            return held

    def _age_s(self, held: _Held) -> float | None:
        return None if held.tried_at is None else self._monotonic() - held.tried_at

    def _renew_held(
        self, site: Site, ask: FigureAsk, history: HistoryQuestion, held: _Held
    ) -> None:
        try:
            self._renew(site, ask, history, held)
        finally:
            held.lock.release()

    def _renew(self, site: Site, ask: FigureAsk, history: HistoryQuestion, held: _Held) -> None:
        try:
            held.figures = self._read(site, ask, history)
            held.is_faulty = False
        except StoreError as error:
            if not held.is_faulty:
                _LOG.warning("figures of %s cannot be computed: %s", site.id, error)
            held.is_faulty = True
        except Exception:  # noqa: BLE001 - a figure must not take the page away
            _LOG.exception("figures of %s cannot be computed", site.id)
            held.is_faulty = True
        finally:
            held.tried_at = self._monotonic()

    def _read(self, site: Site, ask: FigureAsk, history: HistoryQuestion) -> Figures:
        known = history.known
        if known is None:
            return Figures(None)
        rows = self._ask(site, known, ask.kpis, "period")
        daily = self._ask(site, known, ask.daily, "day") if ask.daily else []
        return Figures(
            known,
            {(row.kpi, row.subject): row for row in rows},
            {
                kpi: tuple(row for row in daily if row.kpi == kpi and row.subject == "site")
                for kpi in ask.daily
            },
        )

    def _ask(
        self, site: Site, period: Period, kpis: tuple[str, ...], resolution: Resolution
    ) -> list[KpiValue]:
        return self._compute(
            self._store,
            self._records,
            site,
            period,
            resolution=resolution,
            kpis=list(kpis),
            now=self._clock.now(),
        )
