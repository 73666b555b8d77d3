"""Today's figures and the last 24 hours of a site, computed by analytics and held for a while.

The answer to a page is never made to wait for a refresh: while figures are computed anew, or the
store is away, the held ones are given with their time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

from anyio import to_thread

from analytics.kpis import applicable_kpis
from analytics.systems import SystemEnergies
from core.clock import Clock
from core.errors import StoreError
from core.kpis import KpiValue
from core.ledger import Imbalance, LedgerHour
from core.periods import (
    INTERVAL_MS,
    Period,
    floor_interval_ms,
    from_ms,
    local_day,
    to_ms,
)
from core.ports import RollupRecords, TimeSeriesStore
from core.quality import Verdict
from core.sites import Site
from dashboard.power_day import DAY_MS, PowerDay, PowerPoint
from dashboard.settings import BoardSettings

_LOG = logging.getLogger(__name__)

# An interval is asked for only when analytics has had time to compute it.
SETTLING = timedelta(seconds=90)
# What every site is asked for, and refused with what to declare where it has no meters for it.
_ALWAYS_ASKED = ("pue", "facility_energy", "it_energy")
# What a site is asked for that can have it by its devices.
_ASKED_WHERE_APPLICABLE = (
    "wue",
    "wue_potable",
    "ref",
    "rain_reuse_ratio",
    "rain_unexplained",
    "pv_energy",
)
# Figures older than so many times the holding time are not shown without trying again first.
_OLDEST_HOLDS = 4
ComputeKpis = Callable[..., list[KpiValue]]
ReadSystems = Callable[..., SystemEnergies | None]


class Ledger(Protocol):
    """What the board asks of the ledger: booked hours of receipt, and what is wrong with them."""

    def read_ledger(self, site: str, period: Period) -> list[LedgerHour]:
        """Booked hours that start in the period, ascending."""
        ...

    def read_imbalances(self, site: str | None = None) -> list[Imbalance]:
        """Hours that disagree with what they count, newest first."""
        ...


@dataclass(frozen=True, slots=True)
class SiteDay:
    """What a site's page shows beside live values.

    Attributes:
        now_ms: When it was computed, UTC epoch milliseconds.
        window: From local midnight to the last settled interval; None in the first minutes of a
            day.
        kpis: Figures of the window by (KPI, subject).
        power: The last 24 hours; None for a site without meters on both sides.
        systems: Energy by system of the last 24 hours and of the window.
        imbalances: Hours of the ledger that disagree with what they count, newest first.
    """

    now_ms: int
    window: Period | None
    kpis: dict[tuple[str, str], KpiValue]
    power: PowerDay | None
    systems: SystemEnergies | None = None
    imbalances: tuple[Imbalance, ...] = ()

    def site_kpi(self, kpi: str) -> KpiValue | None:
        """The figure of the whole site, if there is one."""
        return self.kpis.get((kpi, "site"))


def today_window(site: Site, now_ms: int) -> Period | None:
    """From local midnight to the end of the last settled interval; None before there is one."""
    midnight = local_day(from_ms(now_ms).astimezone(site.zone).date(), site.zone).start
    end_ms = settled_end_ms(now_ms)
    return Period(midnight, from_ms(end_ms)) if end_ms > to_ms(midnight) else None


def settled_end_ms(now_ms: int) -> int:
    """End of the last interval that analytics has had time to compute."""
    return floor_interval_ms(now_ms - round(SETTLING.total_seconds() * 1000))


def today_kpis(site: Site) -> list[str]:
    """KPIs of a site's page of today."""
    able = applicable_kpis(site)
    return [*_ALWAYS_ASKED, *(name for name in _ASKED_WHERE_APPLICABLE if name in able)]


def compute_site_day(
    site: Site,
    store: TimeSeriesStore,
    records: RollupRecords,
    now_ms: int,
    compute: ComputeKpis,
    read_systems: ReadSystems | None = None,
    ledger: Ledger | None = None,
) -> SiteDay:
    """Ask analytics for today's figures and for the energies of the last 24 hours.

    Args:
        read_systems: Reads energies by system; `analytics.systems.read_systems`.
        ledger: Tells where the ledger disagrees with itself; without it that is not said.

    Raises:
        StoreError: The store does not answer.
    """
    now = from_ms(now_ms)
    window = today_window(site, now_ms)
    figures: list[KpiValue] = []
    if window is not None:
        figures = compute(
            store, records, site, window, resolution="period", kpis=today_kpis(site), now=now
        )
    return SiteDay(
        now_ms=now_ms,
        window=window,
        kpis={(value.kpi, value.subject): value for value in figures},
        power=_power_day(site, store, records, now_ms, compute),
        systems=None
        if read_systems is None
        else read_systems(store, records, site, _systems_period(window, now_ms), now),
        imbalances=tuple(ledger.read_imbalances(site.id)) if ledger is not None else (),
    )


def _systems_period(window: Period | None, now_ms: int) -> Period:
    end_ms = floor_interval_ms(now_ms - round(SETTLING.total_seconds() * 1000))
    start_ms = end_ms - DAY_MS
    return Period.of_ms(min(start_ms, window.start_ms) if window else start_ms, end_ms)


def _power_day(
    site: Site, store: TimeSeriesStore, records: RollupRecords, now_ms: int, compute: ComputeKpis
) -> PowerDay | None:
    end_ms = settled_end_ms(now_ms)
    period = Period(from_ms(end_ms - DAY_MS), from_ms(end_ms))
    rows = compute(
        store,
        records,
        site,
        period,
        resolution="15m",
        kpis=["facility_energy", "it_energy"],
        now=from_ms(now_ms),
    )
    starts = tuple(range(end_ms - DAY_MS, end_ms, INTERVAL_MS))
    sides = []
    for kpi in ("facility_energy", "it_energy"):
        mine = {to_ms(row.start): row for row in rows if row.kpi == kpi and row.subject == "site"}
        if not mine:
            return None
        sides.append(tuple(_point(mine.get(start)) for start in starts))
    return PowerDay(starts, sides[0], sides[1], now_ms)


def _point(row: KpiValue | None) -> PowerPoint:
    if row is None or row.value is None:
        return PowerPoint(None, Verdict.REFUSED)
    hours = (row.end - row.start).total_seconds() / 3600.0
    return PowerPoint(row.value / hours, row.verdict, is_estimated=row.shares.estimated > 0.0)


@dataclass(slots=True)
class _Held:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    day: SiteDay | None = None
    tried_at: float = 0.0
    is_faulty: bool = False
    refresh: asyncio.Task[Any] | None = None


class SiteDays:
    """Holds each site's figures of today; one computation at a time per site."""

    def __init__(
        self,
        store: TimeSeriesStore,
        records: RollupRecords,
        settings: BoardSettings,
        clock: Clock,
        compute: ComputeKpis,
        read_systems: ReadSystems | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._records = records
        self._hold_s = settings.kpi_refresh.total_seconds()
        self._clock = clock
        self._compute = compute
        self._read_systems = read_systems
        self._held: dict[str, _Held] = {}

    async def get(self, site: Site) -> SiteDay | None:
        """Today's figures; the first caller waits, later ones get what is held.

        None while the store has never answered.
        """
        held = self._held.setdefault(site.id, _Held())
        if held.day is None or self._age_s(held) >= _OLDEST_HOLDS * self._hold_s:
            await self._refresh(site, held)
        elif self._age_s(held) >= self._hold_s and (held.refresh is None or held.refresh.done()):
            held.refresh = asyncio.create_task(self._refresh(site, held))
        return held.day

    async def get_all(self, sites: Sequence[Site]) -> dict[str, SiteDay | None]:
        """Today's figures of several sites, by id."""
        days = await asyncio.gather(*(self.get(site) for site in sites))
        return {site.id: day for site, day in zip(sites, days, strict=True)}

    def is_faulty(self, site: Site) -> bool:
        """Whether the latest attempt failed."""
        held = self._held.get(site.id)
        return held is not None and held.is_faulty

    @staticmethod
    def _age_s(held: _Held) -> float:
        return asyncio.get_running_loop().time() - held.tried_at

    async def _refresh(self, site: Site, held: _Held) -> None:
        async with held.lock:
            if held.tried_at and self._age_s(held) < self._hold_s:
                return
            try:
                held.day = await to_thread.run_sync(
                    lambda: compute_site_day(
                        site,
                        self._store,
                        self._records,
                        self._clock.now_ms(),
                        self._compute,
                        self._read_systems,
                        self._ledger,
                    )
                )
                held.is_faulty = False
            except StoreError as error:
                if not held.is_faulty:
                    _LOG.warning("figures of %s cannot be computed: %s", site.id, error)
                held.is_faulty = True
            except Exception:  # noqa: BLE001 - a figure must not take live values away
                _LOG.exception("figures of %s cannot be computed", site.id)
                held.is_faulty = True
            finally:
                held.tried_at = asyncio.get_running_loop().time()
