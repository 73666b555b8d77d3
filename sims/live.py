"""Simulated sites at real time, or accelerated until they have caught up with the present."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from core.clock import Clock
from core.errors import BrokerUnavailableError
from core.periods import to_ms
from core.sites import Site, SiteRegistry
from sims.faults import Fault
from sims.publisher import ConnectionFor, PublishCount
from sims.session import (
    SimulatedPublication,
    close_publications,
    open_publications,
    total_count,
    truth_file,
)
from sims.world import SimulatedSite

# Where a device's state began so recently, a start without a time goes back to it: the demo's
# history ends there, and live readings take over without a gap.
_MEET_HISTORY_MS = 15 * 60_000
# An accelerated start without a time begins so long ago.
_ACCELERATED_FROM_MS = 86_400_000
# Most simulated time that one round publishes while it catches up.
_ROUND_MS = 10 * 60_000
_DRAIN_S = 3.0


def run_live(
    registry: SiteRegistry,
    site_ids: Sequence[str],
    connection_for: ConnectionFor,
    *,
    seed: int,
    speed: float,
    clock: Clock,
    stop: threading.Event,
    faults: Sequence[Fault] | None = None,
    truth_path: Path | None = None,
    start: datetime | None = None,
    until: datetime | None = None,
    worlds: Mapping[str, SimulatedSite] | None = None,
) -> PublishCount:
    """Publish until told to stop.

    Every device sends at its declared cadence, at multiples of it since 1970. Nothing is published
    ahead of the clock. While the broker is away nothing is skipped: readings follow in order when
    it is back.

    Args:
        speed: Simulated seconds a second; infinity is as fast as the broker takes them. Once
            accelerated time has caught up with the clock it goes on in step with it.
        start: First instant, inclusive. Without it: now; or when the devices' states began, if
            that was within the last quarter of an hour (exclusive, because history ends there); or
            a day ago when accelerated.
        until: Last instant, inclusive; without it, until `stop`.
        worlds: As in `open_publications`.

    Returns:
        Readings published and acknowledged.

    Raises:
        ConfigurationError: A site is planned or measured, the start lies before the simulated
            world begins, or the broker refuses an account.
        BrokerUnavailableError: The broker does not answer at the start.
    """
    if not speed > 0:
        raise ValueError(f"speed must be positive, not {speed}")
    try:
        publications = open_publications(
            registry,
            site_ids,
            connection_for,
            stop,
            seed=seed,
            faults=faults,
            window=1000,
            worlds=worlds,
        )
    except BrokerUnavailableError:
        if stop.is_set():
            return PublishCount()
        raise
    now_ms = clock.now_ms()
    # The last instant that counts as published.
    done = {
        p.site_id: to_ms(start) - 1
        if start is not None
        else _default_start(p.world.site, now_ms, speed)
        for p in publications
    }
    catch_up = start is None and speed == 1.0
    pace = _Pace(clock, math.inf if catch_up else speed, min(done.values()) + 1)
    limit = to_ms(until) if until is not None else None
    try:
        begun = done if start is None else dict.fromkeys(done, to_ms(start))
        with truth_file(truth_path, publications, begun) as truth:
            while not stop.is_set():
                reached = pace.now_ms() if limit is None else min(pace.now_ms(), limit)
                behind = False
                for publication in publications:
                    done[publication.site_id] = _advance(
                        publication, done[publication.site_id], reached
                    )
                    behind |= done[publication.site_id] < reached
                if truth is not None:
                    truth.advance(min(done.values()))
                if behind:
                    continue
                if limit is not None and reached >= limit:
                    break
                stop.wait(pace.wait_s(_next_instant(publications, done)))
        deadline = time.monotonic() + _DRAIN_S
        for publication in publications:
            if limit is not None and not stop.is_set():
                publication.publish_held()
            left = deadline - time.monotonic() if stop.is_set() else _DRAIN_S
            publication.publisher.drain(max(left, 0.1))
        return total_count(publications)
    finally:
        close_publications(publications)


class _Pace:
    """Simulated time: it runs at a speed from a start and never overtakes the clock."""

    def __init__(self, clock: Clock, speed: float, start_ms: int) -> None:
        self._clock = clock
        self._speed = speed
        self._start_ms = start_ms
        self._begun = time.monotonic()

    def now_ms(self) -> int:
        """Simulated present in epoch milliseconds."""
        present = self._clock.now_ms()
        if math.isinf(self._speed):
            return present
        elapsed_ms = (time.monotonic() - self._begun) * 1000 * self._speed
        return min(present, self._start_ms + int(elapsed_ms))

    def wait_s(self, instant_ms: int) -> float:
        """Seconds until an instant comes; at most one, so that a changed clock is noticed."""
        left = (instant_ms - self.now_ms()) / 1000
        speed = 1.0 if math.isinf(self._speed) else self._speed
        return min(max(left / speed, 0.001), 1.0)


def _default_start(site: Site, now_ms: int, speed: float) -> int:
    """The last instant that counts as published already."""
    if speed != 1.0:
        return now_ms - _ACCELERATED_FROM_MS
    begun = [
        state.valid_from_ms
        for device in site.devices.values()
        for state in device.states
        if now_ms - _MEET_HISTORY_MS <= state.valid_from_ms <= now_ms
    ]
    return max(begun, default=now_ms)


def _advance(publication: SimulatedPublication, done_ms: int, reached_ms: int) -> int:
    """Publish one round of what is due; returns the last instant that is published."""
    if reached_ms <= done_ms:
        return done_ms
    last = min(reached_ms, done_ms + _ROUND_MS)
    step = math.gcd(*publication.source.cadences_ms)
    ticks = last // step - done_ms // step
    if ticks and not publication.publish_span(done_ms + 1, last, tick=ticks == 1):
        return done_ms
    return last


def _next_instant(publications: Sequence[SimulatedPublication], done: dict[str, int]) -> int:
    """The next instant at which any device of any site sends."""
    return min(
        (done[p.site_id] // cadence + 1) * cadence
        for p in publications
        for cadence in p.source.cadences_ms
    )
