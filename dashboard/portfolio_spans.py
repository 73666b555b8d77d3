"""Figures of a day, a week, 30 days and the running month of each site, held beside each other.

A site's page has figures of today only; a list of sites compares spans. As in `dashboard.today`
the held ones are given while they are computed anew, and here nobody waits longer than they said:
one slow store must not keep the others' lines from being shown.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, get_args

from anyio import to_thread

from core.clock import Clock
from core.errors import StoreError
from core.kpis import KpiValue
from core.ledger import Imbalance
from core.periods import Period, from_ms, local_midnight, local_month
from core.ports import RollupRecords, TimeSeriesStore
from core.sites import Site
from dashboard.settings import BoardSettings
from dashboard.today import ComputeKpis, Ledger, settled_end_ms, today_window

_LOG = logging.getLogger(__name__)

Span = Literal["today", "7d", "30d"]
SPANS: tuple[Span, ...] = get_args(Span)
_DAYS: Mapping[Span, int] = {"today": 1, "7d": 7, "30d": 30}
# Figures of today are computed anew after so many times the board's holding time, or with the next
# interval; a list is read more calmly than a site's page.
_HOLDS = 4
_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class SiteSpans:
    """A site's figures for the list of sites.

    Attributes:
        now_ms: When they were computed, UTC epoch milliseconds.
        window: Today, from local midnight to the last settled interval; None in its first minutes.
        pue: Of each span that has a window.
        wue_today: Its parts hold the water taken today; None for a site without water meters.
        rain_month: Rain reuse ratio of the running local month.
        quarantined_today: Readings put into quarantine since local midnight; None where not known.
        imbalances: Hours of the ledger that disagree with what they count, newest first.
    """

    now_ms: int
    window: Period | None
    pue: Mapping[Span, KpiValue]
    wue_today: KpiValue | None = None
    rain_month: KpiValue | None = None
    quarantined_today: int | None = None
    imbalances: tuple[Imbalance, ...] = ()


def span_window(site: Site, span: Span, now_ms: int) -> Period | None:
    """The last so many local days, the running one among them, up to the last settled interval.

    Of the running day there is nothing in its first minutes; of several days there is.
    """
    today = from_ms(now_ms).astimezone(site.zone).date()
    start = local_midnight(today - timedelta(days=_DAYS[span] - 1), site.zone)
    end = from_ms(settled_end_ms(now_ms))
    return Period(start, end) if end > start else None


def compute_site_spans(
    site: Site,
    store: TimeSeriesStore,
    records: RollupRecords,
    now_ms: int,
    compute: ComputeKpis,
    *,
    before: SiteSpans | None = None,
    ledger: Ledger | None = None,
) -> SiteSpans:
    """Ask analytics for the figures of every span.

    Args:
        before: The figures held so far: those of more than a day are taken over while no further
            interval has settled.

    Raises:
        StoreError: The store does not answer.
    """
    now = from_ms(now_ms)

    def ask(window: Period | None, *kpis: str) -> dict[str, KpiValue]:
        if window is None:
            return {}
        rows = compute(store, records, site, window, resolution="period", kpis=list(kpis), now=now)
        return {row.kpi: row for row in rows if row.subject == "site"}

    window = today_window(site, now_ms)
    today = ask(window, "pue", "wue")
    pue: dict[Span, KpiValue] = {"today": today["pue"]} if "pue" in today else {}
    if before is not None and before.window == window:
        rain = before.rain_month
        pue = {**before.pue, **pue}
    else:
        for span in SPANS[1:]:
            found = ask(span_window(site, span, now_ms), "pue").get("pue")
            if found is not None:
                pue[span] = found
        month = _month_window(site, now_ms)
        rain = ask(month, "rain_reuse_ratio").get("rain_reuse_ratio")
    return SiteSpans(
        now_ms=now_ms,
        window=window,
        pue=pue,
        wue_today=today.get("wue"),
        rain_month=rain,
        quarantined_today=_quarantined(ledger, site, window),
        imbalances=tuple(ledger.read_imbalances(site.id)) if ledger is not None else (),
    )


def _month_window(site: Site, now_ms: int) -> Period | None:
    today = from_ms(now_ms).astimezone(site.zone).date()
    start = local_month(today.year, today.month, site.zone).start
    end = from_ms(settled_end_ms(now_ms))
    return Period(start, end) if end > start else None


def _quarantined(ledger: Ledger | None, site: Site, window: Period | None) -> int | None:
    if ledger is None or window is None:
        return None
    hours = ledger.read_ledger(site.id, window)
    return sum(hour.counts.quarantined for hour in hours)


@dataclass(slots=True)
class _Held:
    spans: SiteSpans | None = None
    tried_at: float = 0.0
    is_faulty: bool = False
    refresh: asyncio.Task[None] | None = None


class SpanFigures:
    """Holds each site's spans; one computation at a time per site, two over all sites."""

    def __init__(
        self,
        store: TimeSeriesStore,
        records: RollupRecords,
        settings: BoardSettings,
        clock: Clock,
        compute: ComputeKpis,
        ledger: Ledger | None = None,
    ) -> None:
        self._store = store
        self._records = records
        self._hold_s = settings.kpi_refresh.total_seconds() * _HOLDS
        self._clock = clock
        self._compute = compute
        self._ledger = ledger
        self._held: dict[str, _Held] = {}
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def get_all(
        self, sites: Sequence[Site], *, patience_s: float
    ) -> dict[str, SiteSpans | None]:
        """The spans of several sites, by id; None for those not computed within the patience.

        Only figures that were never computed are waited for; older ones are given as they are.
        """
        waiting = []
        for site in sites:
            held = self._held.setdefault(site.id, _Held())
            self._refresh_if_due(site, held)
            if held.spans is None and held.refresh is not None and not held.refresh.done():
                waiting.append(held.refresh)
        if waiting and patience_s > 0.0:
            await asyncio.wait(waiting, timeout=patience_s)
        return {site.id: self._held[site.id].spans for site in sites}

    def is_faulty(self, site: Site) -> bool:
        """Whether the latest attempt failed."""
        held = self._held.get(site.id)
        return held is not None and held.is_faulty

    def _refresh_if_due(self, site: Site, held: _Held) -> None:
        if held.refresh is not None and not held.refresh.done():
            return
        age_s = asyncio.get_running_loop().time() - held.tried_at
        settled = today_window(site, self._clock.now_ms())
        has_grown = held.spans is not None and held.spans.window != settled
        is_due = held.tried_at == 0.0 or age_s >= self._hold_s
        # A store that fails is not asked at every look.
        if is_due or (has_grown and not held.is_faulty):
            held.refresh = asyncio.create_task(self._refresh(site, held))

    async def _refresh(self, site: Site, held: _Held) -> None:
        async with self._turn:
            try:
                held.spans = await to_thread.run_sync(self._job(site, held.spans))
                held.is_faulty = False
            except StoreError as error:
                if not held.is_faulty:
                    _LOG.warning("spans of %s cannot be computed: %s", site.id, error)
                held.is_faulty = True
            except Exception:  # noqa: BLE001 - a figure must not take live values away
                _LOG.exception("spans of %s cannot be computed", site.id)
                held.is_faulty = True
            finally:
                held.tried_at = asyncio.get_running_loop().time()

    def _job(self, site: Site, before: SiteSpans | None) -> Any:
        return lambda: compute_site_spans(
            site,
            self._store,
            self._records,
            self._clock.now_ms(),
            self._compute,
            before=before,
            ledger=self._ledger,
        )
