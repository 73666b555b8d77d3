"""The sites of one person at one moment: live values and held figures put together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from core.clock import Clock
from core.ports import Account
from core.sites import Site, SiteRegistry
from dashboard.live_hub import LiveHub, LiveState
from dashboard.permissions import allowed_sites, is_allowed
from dashboard.portfolio_spans import SpanFigures
from dashboard.portfolio_views import SiteNow

# Whoever opens the page waits so long for a site that has never been read, and no longer.
FIRST_PATIENCE_S = 1.5


class PortfolioSource:
    """Gathers what the list of sites, its feed and its file show.

    Attributes:
        registry: All sites.
    """

    def __init__(
        self, *, registry: SiteRegistry, hub: LiveHub, figures: SpanFigures, clock: Clock
    ) -> None:
        self.registry = registry
        self._hub = hub
        self._figures = figures
        self._clock = clock

    def known(self, account: Account) -> list[Site]:
        """Every site that the person may know."""
        return allowed_sites(account, "know", self.registry)

    def live(self, account: Account) -> list[Site]:
        """Those with live values that the person may see."""
        return [
            site
            for site in self.known(account)
            if site.status != "planned" and is_allowed(account, "live", site.id)
        ]

    async def gather(
        self, account: Account, *, patience_s: float = FIRST_PATIENCE_S
    ) -> list[SiteNow]:
        """The person's sites; what cannot be read within the patience is as it was."""
        live = self.live(account)
        states, _ = await asyncio.gather(
            self._states(live, patience_s),
            self._figures.get_all(live, patience_s=patience_s),
        )
        return await self.put_together(account, live, states)

    async def put_together(
        self, account: Account, live: Sequence[Site], states: Sequence[LiveState]
    ) -> list[SiteNow]:
        """The person's sites with these states of those that live, and the held figures."""
        by_site: Mapping[str, LiveState] = {
            site.id: state for site, state in zip(live, states, strict=True)
        }
        spans = await self._figures.get_all(live, patience_s=0.0)
        now_ms = self._clock.now_ms()
        return [
            SiteNow(
                site=site,
                now_ms=now_ms,
                state=by_site.get(site.id),
                spans=spans.get(site.id),
                is_faulty=self._figures.is_faulty(site),
            )
            for site in self.known(account)
        ]

    async def _states(self, live: Sequence[Site], patience_s: float) -> list[LiveState]:
        return list(
            await asyncio.gather(*(self._hub.latest_within(site, patience_s) for site in live))
        )
