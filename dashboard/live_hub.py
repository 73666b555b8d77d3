"""Live values for any number of listeners: one read of the store per site and tick.

Whoever asks first in a tick reads; whoever asks while the read runs waits for it; whoever asks
later in the tick gets the same answer. Without listeners nothing is read.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from anyio import to_thread

from core.clock import Clock
from core.errors import StoreError
from core.ports import TimeSeriesStore
from core.samples import Sample
from core.sites import Site
from dashboard.live_values import LiveSnapshot, live_snapshot, living_samples
from dashboard.settings import BoardSettings

_LOG = logging.getLogger(__name__)

# Site -> (site, device) -> since when it is declared dead, UTC epoch milliseconds.
ReadSilent = Callable[[str], Mapping[tuple[str, str], int]]


@dataclass(frozen=True, slots=True)
class LiveState:
    """The latest read of a site.

    Attributes:
        sequence: Grows by one with each read of this site.
        snapshot: The live values; None until a read has succeeded.
        is_faulty: Whether the store did not answer this time; the snapshot is then an older one.
        encoded: What listeners made of it, by their form; shared among them.
    """

    sequence: int
    snapshot: LiveSnapshot | None
    is_faulty: bool
    encoded: dict[str, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class _Entry:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    state: LiveState | None = None
    read_at: float = 0.0


class LiveHub:
    """Shares the live values of sites among listeners of one event loop.

    Args:
        read_silent: Devices of a site that were declared dead; without it none was.
    """

    def __init__(
        self,
        store: TimeSeriesStore,
        settings: BoardSettings,
        clock: Clock,
        read_silent: ReadSilent | None = None,
    ) -> None:
        self._store = store
        self._read_silent = read_silent
        self._tick_s = settings.live_tick.total_seconds()
        self._heartbeat_s = settings.heartbeat.total_seconds()
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._readings: set[asyncio.Future[LiveState]] = set()
        self._closed = asyncio.Event()

    async def latest(self, site: Site) -> LiveState:
        """The live values of a site, at most a tick old."""
        entry = self._entries.setdefault(site.id, _Entry())
        loop = asyncio.get_running_loop()
        async with entry.lock:
            if entry.state is None or loop.time() - entry.read_at >= self._tick_s:
                entry.state = await self._read(site, entry.state)
                entry.read_at = loop.time()
            return entry.state

    async def latest_within(self, site: Site, seconds: float) -> LiveState:
        """The live values of a site, read within so many seconds; otherwise those held before.

        The read goes on, so that whoever asks next finds it done.
        """
        reading = asyncio.ensure_future(self.latest(site))
        self._readings.add(reading)
        reading.add_done_callback(self._readings.discard)
        await asyncio.wait({reading}, timeout=seconds)
        if reading.done():
            return reading.result()
        entry = self._entries.get(site.id)
        held = None if entry is None else entry.state
        return held or LiveState(0, None, is_faulty=True)

    async def _read(self, site: Site, before: LiveState | None) -> LiveState:
        sequence = 1 if before is None else before.sequence + 1
        try:
            snapshot = await to_thread.run_sync(
                lambda: live_snapshot(site, self._latest(site.id), self._clock.now_ms())
            )
        except StoreError as error:
            if before is None or not before.is_faulty:
                _LOG.warning("live values of %s cannot be read: %s", site.id, error)
            return LiveState(sequence, None if before is None else before.snapshot, is_faulty=True)
        return LiveState(sequence, snapshot, is_faulty=False)

    def _latest(self, site: str) -> list[Sample]:
        samples = self._store.read_latest(site)
        silent = {} if self._read_silent is None else self._read_silent(site)
        return living_samples(samples, silent) if silent else samples

    async def watch(self, site: Site) -> AsyncIterator[LiveState | None]:
        """States of a site as they come, and None as a heartbeat; ends when the hub closes."""
        seen = 0
        step_s = min(self._tick_s, self._heartbeat_s)
        while not self._closed.is_set():
            state = await self.latest(site)
            yield state if state.sequence != seen else None
            seen = state.sequence
            if await self._closes_within(step_s):
                return

    async def watch_all(self, sites: Sequence[Site]) -> AsyncIterator[list[LiveState] | None]:
        """States of several sites at each tick, and None as a heartbeat while none has changed.

        A site whose read takes longer than a tick is given as it was, and holds nobody up.
        """
        seen: list[int] = []
        step_s = min(self._tick_s, self._heartbeat_s)
        while not self._closed.is_set():
            states = await asyncio.gather(*(self.latest_within(s, self._tick_s) for s in sites))
            sequences = [state.sequence for state in states]
            yield list(states) if sequences != seen else None
            seen = sequences
            if await self._closes_within(step_s):
                return

    async def _closes_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._closed.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """End every watch; call from the event loop."""
        self._closed.set()
