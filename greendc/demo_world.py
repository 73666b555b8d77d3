"""The demo's simulated sites: each sends its history, oldest readings first, and then goes live.

Histories follow each other site by site, in this one process: a site's physics is computed once for
both, its board is whole before the next one's begins, and no reading of a site is older than what
its device sent before, which the ingester judges without asking the store.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from core.clock import SystemClock
from core.errors import GreendcError
from core.sites import SiteRegistry
from greendc.settings import Settings
from greendc.wiring import connection_for_site
from sims.backfill import run_backfill
from sims.live import run_live
from sims.world import SimulatedSite

_LOG = logging.getLogger(__name__)
_RETRY_S = 2.0
_STOP_S = 5.0


class DemoWorld:
    """Publishes simulated sites on threads of its own until told to stop.

    Args:
        begun: Where history ends and live readings begin.
        days: Days of history before it.
        with_history: Whether the history is still to be published.
    """

    def __init__(
        self,
        settings: Settings,
        registry: SiteRegistry,
        site_ids: list[str],
        stop: threading.Event,
        *,
        seed: int,
        begun: datetime,
        days: float,
        with_history: bool,
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._site_ids = site_ids
        self._stop = stop
        self._seed = seed
        self._begun = begun
        self._days = days
        self._with_history = with_history
        self._shares = dict.fromkeys(site_ids, 0.0)
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []

    @property
    def published(self) -> float:
        """Acknowledged share of the whole history, 0..1; sites count alike."""
        return sum(self._shares.values()) / max(len(self._shares), 1)

    @property
    def has_ended(self) -> bool:
        """Whether no more of the history will be published."""
        return self._ended.is_set()

    def start(self) -> None:
        """Begin."""
        self._run_thread("history", self._simulate_all)

    def join(self) -> None:
        """Wait a few seconds for the threads to end, after `stop` was set."""
        for thread in list(self._threads):
            thread.join(_STOP_S)

    def _run_thread(self, name: str, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _simulate_all(self) -> None:
        try:
            for site_id in self._site_ids:
                if self._stop.is_set():
                    return
                world = SimulatedSite(self._registry.site(site_id), self._seed)
                if self._with_history:
                    self._publish_history(world)
                self._run_thread(f"live-{site_id}", self._publish_live, world)
        finally:
            self._ended.set()

    def _publish_history(self, world: SimulatedSite) -> None:
        site_id = world.site.id

        def progress(share: float, text: str) -> None:
            self._shares[site_id] = share

        try:
            run_backfill(
                self._registry,
                [site_id],
                lambda account: connection_for_site(self._settings, account),
                seed=self._seed,
                days=self._days,
                cadence_s=None,
                now=self._begun,
                stop=self._stop,
                progress=progress,
                worlds={site_id: world},
            )
        except GreendcError as error:
            _LOG.error("the history of %s could not be published: %s", site_id, error)

    def _publish_live(self, world: SimulatedSite) -> None:
        # After a history: from its end on, as fast as they are taken, until the present is reached.
        start = self._begun + timedelta(milliseconds=1) if self._with_history else None
        while not self._stop.is_set():
            try:
                run_live(
                    self._registry,
                    [world.site.id],
                    lambda account: connection_for_site(self._settings, account),
                    seed=self._seed,
                    speed=1.0 if start is None else math.inf,
                    clock=SystemClock(),
                    stop=self._stop,
                    start=start,
                    worlds={world.site.id: world},
                )
            except GreendcError as error:
                _LOG.error("site %s goes live again in a moment: %s", world.site.id, error)
                start = None
                self._stop.wait(_RETRY_S)
