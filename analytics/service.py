"""The analytics process: dirty spans to intervals, intervals to stored KPI figures, on schedule.

Everything is driven by the dirty spans that the ingester files with every commit, and idempotent:
a span is forgotten only after its intervals, events and figures are written, so a pass that was cut
off is done again and comes to the same.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from analytics.dirty import DirtyQueue, Group, Pace, RollupJob, Waiting, plan_jobs
from analytics.factors import Factors
from analytics.forecasting.schedule import ForecastCounts, ForecastPace, ForecastSchedule
from analytics.recompute import Recomputation, Recomputed, by_cadence
from analytics.results import KpiResults
from core.clock import Clock
from core.errors import GreendcError, StoreRejectedError
from core.ports import RollupRecords, TimeSeriesStore
from core.sites import Device, Site, SiteRegistry

_LOG = logging.getLogger(__name__)
_DAY_MS = 86_400_000
_DIRTY_AT_ONCE = 50_000
# A group that failed is left alone for so long: what it needs will not be there in five seconds.
_AFTER_FAILURE_MS = 20_000


@dataclass(frozen=True, slots=True)
class AnalyticsConfig:
    """What the service needs to know.

    Attributes:
        raw_days: Days that raw samples are kept, 0 for ever: no older interval is computed again.
        tick_s: Time between two looks at what waits.
        results_s: Least time between two writes of a site's KPI figures.
        forecasts: When forecasts are issued; None: none are.
        factors: Dated emission factors by name.
    """

    raw_days: int = 400
    tick_s: float = 5.0
    results_s: float = 30.0
    pace: Pace = field(default_factory=Pace)
    forecasts: ForecastPace | None = field(default_factory=ForecastPace)
    factors: Factors = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AnalyticsStatus:
    """How the service is doing; times are UTC epoch milliseconds, None before the first pass.

    Attributes:
        is_running: Whether its thread lives.
        last_pass_ms: When the last pass ended.
        last_pass_s: How long it took.
        waiting_spans: Dirty spans that waited at the start of the last pass.
        oldest_wait_s: How long the oldest of them had waited.
        intervals_written, samples_read, results_written, passes, failures: Since the start.
        computed_to_ms: End of the newest interval written, by site.
        forecasts: What was issued and scored since the start.
        forecast_ms: Newest issue time of a forecast, by site.
        error: What the last pass could not do, empty when it did everything.
    """

    is_running: bool
    last_pass_ms: int | None
    last_pass_s: float
    waiting_spans: int
    oldest_wait_s: float
    intervals_written: int
    samples_read: int
    results_written: int
    passes: int
    failures: int
    computed_to_ms: Mapping[str, int]
    forecasts: ForecastCounts
    forecast_ms: Mapping[str, int]
    error: str


@dataclass(slots=True)
class _Counters:
    last_pass_ms: int | None = None
    last_pass_s: float = 0.0
    waiting_spans: int = 0
    oldest_wait_s: float = 0.0
    intervals: int = 0
    samples: int = 0
    results: int = 0
    passes: int = 0
    failures: int = 0
    computed_to_ms: dict[str, int] = field(default_factory=dict)
    error: str = ""


class AnalyticsService:
    """Computes what readings have changed; keeps nothing that a restart would lose.

    One thread works; `status` may be asked from any.
    """

    def __init__(
        self,
        registry: SiteRegistry,
        store: TimeSeriesStore,
        records: RollupRecords,
        config: AnalyticsConfig,
        clock: Clock,
    ) -> None:
        self._registry = registry
        self._store = store
        self._records = records
        self._config = config
        self._clock = clock
        self._queue = DirtyQueue(config.pace)
        self._results = KpiResults(store, records, config.factors)
        self._results_ms: dict[str, int] = {}
        self._forecasts = ForecastSchedule(store, records, config.forecasts)
        # What could not be done at the last try: when, and why.
        self._failed: dict[Group, tuple[int, str]] = {}
        self._failed_results: dict[str, str] = {}
        self._failed_forecasts: dict[str, str] = {}
        # Spans whose intervals are written and whose figures are not yet, by site.
        self._computed: defaultdict[str, set[int]] = defaultdict(set)
        self._counters = _Counters()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._said = ""

    def start(self) -> None:
        """Begin on a thread of its own."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._loop, name="analytics", daemon=True)
        self._thread.start()

    def run_until(self, stop: threading.Event) -> None:
        """Serve until `stop` is set; starts the thread where it does not run yet."""
        if self._thread is None:
            self.start()
        stop.wait()

    def stop(self, timeout_s: float = 8.0) -> None:
        """End after the job in hand, at the latest after `timeout_s`."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
            self._thread = None

    def status(self) -> AnalyticsStatus:
        """How it is doing."""
        counters = self._counters
        return AnalyticsStatus(
            is_running=self._thread is not None and self._thread.is_alive(),
            last_pass_ms=counters.last_pass_ms,
            last_pass_s=counters.last_pass_s,
            waiting_spans=counters.waiting_spans,
            oldest_wait_s=counters.oldest_wait_s,
            intervals_written=counters.intervals,
            samples_read=counters.samples,
            results_written=counters.results,
            passes=counters.passes,
            failures=counters.failures,
            computed_to_ms=dict(counters.computed_to_ms),
            forecasts=replace(self._forecasts.counts),
            forecast_ms=self._forecasts.issued_to_ms(),
            error=counters.error,
        )

    def run_pass(self) -> int:
        """One look at what waits: compute what is due and write the figures that follow from it.

        Returns:
            Spans that were computed.

        Raises:
            StoreError: What waits cannot be read. A job that fails is kept for the next pass and
                does not keep others from being done.
        """
        counters, began = self._counters, time.monotonic()
        now_ms = self._clock.now_ms()
        done = {number for numbers in self._computed.values() for number in numbers}
        waiting = [one for one in self._records.read_dirty(_DIRTY_AT_ONCE) if one[0] not in done]
        counters.waiting_spans = len(waiting)
        due = self._queue.due(waiting, now_ms)
        counters.oldest_wait_s = self._queue.oldest_wait_s(now_ms)
        computed: set[int] = set()
        waiting_groups = {(span.site, span.family) for _, span in waiting}
        self._failed = {g: told for g, told in self._failed.items() if g in waiting_groups}
        for group, spans in due.items():
            if self._stopping.is_set():
                break
            failed = self._failed.get(group)
            if failed is None or now_ms - failed[0] >= _AFTER_FAILURE_MS:
                problems: list[str] = []
                computed |= self._compute(group, spans, problems)
                if problems:
                    self._failed[group] = (now_ms, problems[0])
                else:
                    self._failed.pop(group, None)
        for number, span in waiting:
            if number in computed:
                self._computed[span.site].add(number)
        past_ms = now_ms - self._config.pace.live_reach_s * 1000
        busy = {
            span.site
            for number, span in waiting
            if number not in computed
            and span.start_ms < past_ms
            and (span.site, span.family) not in self._failed
        }
        self._write_results(busy, now_ms)
        self._write_forecasts(busy, now_ms)
        standing = [problem for _, problem in self._failed.values()]
        told = [*standing, *self._failed_results.values(), *self._failed_forecasts.values()]
        counters.error = next(iter(told), "")
        counters.passes += 1
        counters.last_pass_ms = self._clock.now_ms()
        counters.last_pass_s = time.monotonic() - began
        return len(computed)

    def _compute(self, group: Group, spans: Sequence[Waiting], problems: list[str]) -> set[int]:
        """Compute the spans of one site and family; the numbers of those that are done.

        A device whose samples cannot be read (a damaged block) keeps its own spans waiting and no
        others.
        """
        site = self._registry.find(group[0])
        if site is None:
            return {number for number, _ in spans}
        failed: set[str] = set()
        everyone = [device.id for device in site.in_family(group[1])]
        for job in plan_jobs([span for _, span in spans], everyone):
            devices = [site.devices[name] for name in job.devices if name in site.devices]
            for alike in by_cadence(devices):
                failed |= self._compute_apart(site, group[1], alike, job, problems)
            if self._stopping.is_set():
                return set()
        return {
            number
            for number, span in spans
            if (span.device not in failed if span.device else not failed)
        }

    def _compute_apart(
        self,
        site: Site,
        family: str,
        devices: Sequence[Device],
        job: RollupJob,
        problems: list[str],
    ) -> set[str]:
        """Compute devices together, where the store refuses in halves; ids of those that fail."""
        try:
            self._compute_alike(site, family, devices, job.first_ms, job.last_ms)
        except StoreRejectedError as problem:
            if len(devices) > 1:
                half = len(devices) // 2
                parts = (devices[:half], devices[half:])
                return set().union(
                    *(self._compute_apart(site, family, part, job, problems) for part in parts)
                )
            self._note(f"site {site.id}, {family}, {devices[0].id}: {problem}", problems)
        except GreendcError as problem:
            self._note(f"site {site.id}, {family}: {problem}", problems)
        else:
            return set()
        return {device.id for device in devices}

    def _note(self, problem: str, problems: list[str]) -> None:
        self._counters.failures += 1
        problems.append(problem)

    def _compute_alike(
        self, site: Site, family: str, devices: Sequence[Device], first_ms: int, last_ms: int
    ) -> bool:
        raw_days = self._config.raw_days
        floor_ms = self._clock.now_ms() - raw_days * _DAY_MS if raw_days else 0
        job = Recomputation(self._store, self._records, site, family, devices, floor_ms=floor_ms)
        for start_ms, end_ms in job.chunks(max(first_ms, floor_ms), last_ms + 1):
            if self._stopping.is_set():
                return False
            self._book(site, job.run(start_ms, end_ms - 1))
        return True

    def _book(self, site: Site, done: Recomputed) -> None:
        counters = self._counters
        counters.intervals += done.intervals
        counters.samples += done.samples
        if done.end_ms > done.start_ms:
            self._results.touch(site, done.start_ms, done.end_ms)
            if self._config.forecasts is not None:
                now_ms = self._clock.now_ms()
                self._forecasts.touch(site, done.start_ms, done.end_ms, now_ms)
            newest = counters.computed_to_ms.get(site.id, 0)
            counters.computed_to_ms[site.id] = max(newest, done.end_ms)

    def _write_results(self, busy: set[str], now_ms: int) -> None:
        """Write figures of sites of which no past waits, then forget the spans they rest on."""
        for site in self._registry:
            since_ms = now_ms - self._results_ms.get(site.id, 0)
            if site.id in busy or since_ms < self._config.results_s * 1000:
                continue
            self._results_ms[site.id] = now_ms
            try:
                self._counters.results += self._results.write(
                    site, self._clock.now(), self._stopping
                )
            except GreendcError as problem:
                self._counters.failures += 1
                self._failed_results[site.id] = f"figures of site {site.id}: {problem}"
                continue
            self._failed_results.pop(site.id, None)
            if self._stopping.is_set():
                return
            numbers = self._computed.pop(site.id, set())
            if numbers:
                self._records.clear_dirty(sorted(numbers))
        unknown = [name for name in self._computed if name not in self._registry]
        for name in unknown:
            self._records.clear_dirty(sorted(self._computed.pop(name)))

    def _write_forecasts(self, busy: set[str], now_ms: int) -> None:
        """Issue and score forecasts of sites of which no past waits."""
        if self._config.forecasts is None:
            return
        for site in self._registry:
            if site.id in busy or self._stopping.is_set():
                continue
            try:
                self._forecasts.run(site, now_ms, self._stopping)
            except GreendcError as problem:
                self._counters.failures += 1
                self._failed_forecasts[site.id] = f"forecasts of site {site.id}: {problem}"
            else:
                self._failed_forecasts.pop(site.id, None)

    def _loop(self) -> None:
        while not self._stopping.is_set():
            self._run_pass_safely()
            self._stopping.wait(self._config.tick_s)

    def _run_pass_safely(self) -> None:
        try:
            self.run_pass()
        except GreendcError as error:
            self._counters.failures += 1
            self._counters.error = str(error)
        except Exception as error:  # noqa: BLE001
            # A fault of ours must not end the process silently: it is told and tried again.
            _LOG.exception("a pass of analytics failed")
            self._counters.failures += 1
            self._counters.error = f"{type(error).__name__}: {error}"
        problem = self._counters.error
        if problem and problem != self._said:
            _LOG.warning("not everything could be computed, it is kept: %s", problem)
        elif self._said and not problem:
            _LOG.info("what was kept is computed")
        self._said = problem
