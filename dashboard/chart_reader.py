"""Answers a chart's question: parses it, reads off the event loop, lets the chart draw itself."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from core.clock import Clock
from core.ports import RollupRecords, TimeSeriesStore
from core.sites import Site
from dashboard.chart_pages import PAGES, page_of
from dashboard.chart_spec import Chart, ChartAsk, ChartSpec, ReadForecast
from dashboard.held_reads import HeldReads
from dashboard.history import HistoryQuestion, parse_history
from dashboard.intake_desk import IntakeDesk
from dashboard.today import ComputeKpis, ReadSystems, SiteDays
from dashboard.words import Words


@dataclass(frozen=True, slots=True)
class Asked:
    """The question that was answered, and when.

    Attributes:
        is_faulty: Whether held figures of today could not be made anew.
    """

    history: HistoryQuestion
    now: datetime
    is_faulty: bool


class ChartReader:
    """Reads charts for callbacks and files alike."""

    def __init__(
        self,
        store: TimeSeriesStore,
        records: RollupRecords,
        days: SiteDays,
        clock: Clock,
        read_forecast: ReadForecast,
        read_systems: ReadSystems,
        compute_kpis: ComputeKpis,
        intake: IntakeDesk | None = None,
    ) -> None:
        self._store = store
        self._records = records
        self._days = days
        self._clock = clock
        self._read_forecast = read_forecast
        self._read_systems = read_systems
        self._compute_kpis = compute_kpis
        self._intake = intake
        self.held = HeldReads()

    def history(self, page: str, site: Site, query: Mapping[str, str]) -> HistoryQuestion:
        """The question of an address of this page.

        Raises:
            HistoryError: It cannot be shown.
        """
        return parse_history(query, site.zone, self._clock.now(), default=PAGES[page].default)

    async def ask(self, site: Site, history: HistoryQuestion, words: Words) -> ChartAsk:
        """What a builder needs, with today's held figures."""
        day = await self._days.get(site)
        return ChartAsk(
            site,
            history,
            words,
            self._store,
            self._records,
            day,
            self.held,
            self._read_forecast,
            self._read_systems,
            self._compute_kpis,
            intake=self._intake,
        )

    async def read(
        self, spec: ChartSpec, site: Site, query: Mapping[str, str], words: Words
    ) -> tuple[Asked, Chart]:
        """One chart for one question.

        Raises:
            HistoryError: The question cannot be shown.
            StoreError: The store does not answer.
        """
        now = self._clock.now()
        history = self.history(page_of(spec.id), site, query)
        ask = await self.ask(site, history, words)
        chart = await asyncio.to_thread(spec.build, replace(ask, height=spec.height))
        return Asked(history, now, self._days.is_faulty(site)), chart
