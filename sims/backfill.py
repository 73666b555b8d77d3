"""History of simulated sites, sent through the broker in column messages."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from core.errors import BrokerUnavailableError, ConfigurationError, Problem
from core.periods import to_ms
from core.sites import Site, SiteRegistry
from sims.faults import Fault
from sims.publisher import ConnectionFor, Progress, PublishCount
from sims.session import (
    SimulatedPublication,
    close_publications,
    open_publications,
    total_count,
    truth_file,
)
from sims.world import SimulatedSite

_LOG = logging.getLogger(__name__)

# Instants of every device that are read at once: a day of history at 300 s.
_CHUNK_INSTANTS = 288
_CHUNK_OF_DECLARED_MS = 86_400_000
_REPORT_S = 1.0


def run_backfill(
    registry: SiteRegistry,
    site_ids: Sequence[str],
    connection_for: ConnectionFor,
    *,
    seed: int,
    days: float,
    cadence_s: float | None,
    now: datetime,
    stop: threading.Event,
    progress: Progress,
    faults: Sequence[Fault] | None = None,
    truth_path: Path | None = None,
    worlds: Mapping[str, SimulatedSite] | None = None,
) -> PublishCount:
    """Publish [now - days, now], both ends included, at one cadence; return when acknowledged.

    The sites advance together, oldest readings first.

    Args:
        cadence_s: Seconds between two readings of a device. The site files should declare it for
            that time, or gauges are not covered. None: what the site files declare.
        now: End of the history; not after the present.
        progress: Called with the acknowledged share, 0..1, and a text; with 1.0 once all of it is
            acknowledged.
        worlds: As in `open_publications`.

    Raises:
        ConfigurationError: A site is planned or measured, the history is older than a site's late
            window, or the broker refuses an account.
        BrokerUnavailableError: The broker does not answer.
    """
    start_ms, end_ms = to_ms(now - timedelta(days=days)), to_ms(now)
    problems = [
        problem
        for site_id in site_ids
        if (problem := _window_problem(registry.site(site_id), days)) is not None
    ]
    if not days > 0 or (cadence_s is not None and not cadence_s > 0):
        problems.append(
            Problem("arguments", "days, cadence", "must be positive", "for example 60 and 300")
        )
    if problems:
        raise ConfigurationError(problems)
    try:
        publications = open_publications(
            registry,
            site_ids,
            connection_for,
            stop,
            seed=seed,
            faults=faults,
            cadence_s=cadence_s,
            window=24,
            worlds=worlds,
        )
    except BrokerUnavailableError:
        if stop.is_set():
            return PublishCount()
        raise
    try:
        if cadence_s is not None:
            _warn_of_cadences(publications, start_ms, cadence_s)
        total = sum(p.source.count(start_ms, end_ms) for p in publications)
        report = _Report(publications, total, progress)
        chunk_ms = (
            _CHUNK_OF_DECLARED_MS
            if cadence_s is None
            else round(cadence_s * 1000) * _CHUNK_INSTANTS
        )
        with truth_file(truth_path, publications, dict.fromkeys(site_ids, start_ms)) as truth:
            complete = True
            for first in range(start_ms, end_ms + 1, chunk_ms):
                last = min(first + chunk_ms - 1, end_ms)
                complete = all(p.publish_span(first, last, tick=False) for p in publications)
                if not complete:
                    break
                report.tell()
                if truth is not None:
                    truth.advance(last)
            if complete:
                complete = all(p.publish_held() for p in publications)
        report.watch(stop)
        drained = all(p.publisher.drain() for p in publications)
        count = total_count(publications)
        if complete and drained and count.published == count.acknowledged:
            progress(1.0, f"all {count.acknowledged:,} readings acknowledged")
        return count
    finally:
        close_publications(publications)


class _Report:
    """Tells how far the acknowledgements are, about once a second."""

    def __init__(
        self, publications: Sequence[SimulatedPublication], total: int, progress: Progress
    ) -> None:
        self._publications = publications
        self._total = max(total, 1)
        self._progress = progress
        self._told = time.monotonic()

    def tell(self) -> None:
        """Report if it is time to."""
        if time.monotonic() - self._told < _REPORT_S:
            return
        self._told = time.monotonic()
        acknowledged = total_count(self._publications).acknowledged
        share = min(acknowledged / self._total, 0.999)
        self._progress(share, f"{acknowledged:,} of {self._total:,} readings acknowledged")

    def watch(self, stop: threading.Event) -> None:
        """Go on reporting while the last messages are acknowledged."""
        last, seen = time.monotonic(), -1
        while not stop.is_set():
            count = total_count(self._publications)
            if count.acknowledged >= count.published:
                return
            if count.acknowledged != seen:
                last, seen = time.monotonic(), count.acknowledged
            elif time.monotonic() - last > _REPORT_S:
                return
            self.tell()
            stop.wait(0.05)


def _window_problem(site: Site, days: float) -> Problem | None:
    if site.late_window_days == 0 or days < site.late_window_days:
        return None
    return Problem(
        f"site {site.id}",
        "late_window_days",
        f"{days:g} days of history are older than the site's late window of "
        f"{site.late_window_days} days and would be quarantined",
        f"send fewer days, or declare late_window_days = {int(days) + 2} (0 = no limit)",
    )


def _warn_of_cadences(
    publications: Sequence[SimulatedPublication], start_ms: int, cadence_s: float
) -> None:
    for publication in publications:
        declared = {
            state.cadence_s
            for device in publication.world.site.devices.values()
            for state in device.states[:1]
            if state.valid_from_ms <= start_ms and 3 * state.cadence_s < cadence_s
        }
        if declared:
            _LOG.warning(
                "site %s declares cadences of %s s: gauges sent every %g s are not covered",
                publication.site_id,
                ", ".join(f"{value:g}" for value in sorted(declared)),
                cadence_s,
            )
