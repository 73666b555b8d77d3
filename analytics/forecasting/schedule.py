"""When forecasts are issued and scored: after each quarter of an hour, once, for ever.

Everything that is kept is in the store. What is remembered here is read again after a restart and
comes to the same: an issue time that has its row is never issued again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event

import numpy as np

from analytics.forecasting.assessment import PastErrors
from analytics.forecasting.bounds import bounds_of
from analytics.forecasting.documents import ISSUED, KIND, forecast_row, parse_table
from analytics.forecasting.hindcast import Hindcast, hindcast_days
from analytics.forecasting.history import History
from analytics.forecasting.naive import NaiveForecaster, first_known_ms
from analytics.forecasting.scores import (
    HINDCAST_SCORE,
    ISSUED_SCORE,
    RECORD_DAYS,
    parse_score,
    score,
    score_row,
)
from analytics.forecasting.truth import SiteTruth, targets_of
from core.forecasts import LEARNING_DAYS, STEPS, TARGETS, ForecastState, ForecastStep
from core.ledger import HOUR_MS
from core.periods import INTERVAL_MS, Period, from_ms, local_midnight, to_ms
from core.ports import ResultRow, RollupRecords, TimeSeriesStore
from core.sites import Site

_DAY_MS = 86_400_000
# What the record's oldest day needs before it: its window, and the longest season looked back.
_HISTORY_DAYS = RECORD_DAYS + LEARNING_DAYS + 14
# Without anything known for so long nothing is forecast.
_SILENT_MS = _DAY_MS


@dataclass(frozen=True, slots=True)
class ForecastPace:
    """When things are done; seconds.

    Attributes:
        lag_s: After the end of a quarter, before it is looked at: its last readings take a while.
        longest_lag_s: So long a quarter that is not known yet is waited for.
        settled_s: Nothing is issued until for so long no reading older than `old_s` has come: a
            history is being filled in.
        budget_s: Time given to scoring and hindcasts of a site at a time.
        late_days: Late readings change the scores of at most so many days.
    """

    lag_s: float = 90.0
    longest_lag_s: float = 600.0
    settled_s: float = 60.0
    old_s: float = 2 * 86_400.0
    budget_s: float = 1.0
    late_days: int = 35


@dataclass(slots=True)
class ForecastCounts:
    """What was done since the start."""

    issued: int = 0
    scored_days: int = 0
    hindcast_days: int = 0
    seconds: float = 0.0


@dataclass(slots=True, eq=False)
class _SiteState:
    truth: SiteTruth
    targets: list[str]
    forecasters: dict[tuple[str, str], NaiveForecaster]
    changed: set[int] = field(default_factory=set)
    settled_at_ms: int = 0
    # The newest issue time that is done with.
    done_ms: int = 0
    scored_hour: int = -1
    hindcast_day_ms: int = -1
    # Local midnights whose issued forecasts have to be scored again.
    touched_days: set[int] = field(default_factory=set)
    work: Iterator[None] | None = None
    newest_issue_ms: int = 0


class ForecastSchedule:
    """Issues, scores and hindcasts the forecasts of every site; one thread uses it."""

    def __init__(
        self, store: TimeSeriesStore, records: RollupRecords, pace: ForecastPace | None = None
    ) -> None:
        self._store = store
        self._records = records
        self._pace = pace or ForecastPace()
        self._sites: dict[str, _SiteState] = {}
        self.counts = ForecastCounts()

    def issued_to_ms(self) -> dict[str, int]:
        """Newest issue time by site."""
        return {
            site: state.newest_issue_ms
            for site, state in list(self._sites.items())
            if state.newest_issue_ms
        }

    def touch(self, site: Site, start_ms: int, end_ms: int, now_ms: int) -> None:
        """Note that intervals in [start_ms, end_ms) of a site were written."""
        state = self._state(site, now_ms)
        state.changed.update(range(start_ms // HOUR_MS, -(-end_ms // HOUR_MS)))
        if start_ms < now_ms - self._pace.old_s * 1000:
            state.settled_at_ms = now_ms + round(self._pace.settled_s * 1000)

    def run(self, site: Site, now_ms: int, stop: Event) -> int:
        """Issue what is due for a site, then work at scores for a bounded time.

        Returns:
            Rows written.

        Raises:
            StoreError: The store does not answer; what is not done is done next time.
        """
        state = self._state(site, now_ms)
        if not state.targets or now_ms < state.settled_at_ms:
            return 0
        began = time.monotonic()
        origin_ms = now_ms - now_ms % INTERVAL_MS
        is_due = now_ms - origin_ms >= self._pace.lag_s * 1000
        written = 0
        if is_due and state.done_ms < origin_ms:
            self._refresh(state, origin_ms, stop)
            if not stop.is_set() and self._may_issue(state, origin_ms, now_ms):
                written = self._issue(state, origin_ms)
        written += self._work(state, now_ms, stop)
        self.counts.seconds += time.monotonic() - began
        return written

    # ------------------------------------------------------------ what is known

    def _state(self, site: Site, now_ms: int) -> _SiteState:
        state = self._sites.get(site.id)
        if state is None or state.truth.site is not site:
            state = self._sites[site.id] = _SiteState(
                SiteTruth(self._store, self._records, site, _history_start_ms(site, now_ms)),
                targets_of(site),
                {},
            )
        return state

    def _refresh(self, state: _SiteState, origin_ms: int, stop: Event) -> None:
        truth = state.truth
        known_to_ms = truth.end_ms
        truth.extend(origin_ms, stop)
        if state.changed:
            truth.read_again(hour for hour in state.changed if hour * HOUR_MS < known_to_ms)
            self._note_late(state, known_to_ms)
            state.changed = {hour for hour in state.changed if (hour + 1) * HOUR_MS > truth.end_ms}
        truth.drop_before(_history_start_ms(truth.site, origin_ms))

    def _note_late(self, state: _SiteState, known_to_ms: int) -> None:
        """Days whose scores rest on hours that were read again, and judgements that do."""
        zone = state.truth.site.zone
        floor_ms = known_to_ms - self._pace.late_days * _DAY_MS
        late = [h for h in state.changed if floor_ms <= h * HOUR_MS < known_to_ms - 2 * HOUR_MS]
        if any(hour * HOUR_MS < known_to_ms - _DAY_MS for hour in state.changed):
            for forecaster in state.forecasters.values():
                forecaster.forget()
            # A history that has come in only now has days that were not there to be hindcast.
            state.work, state.hindcast_day_ms = None, -1
        reach_ms = max(step.horizon_s for step in STEPS.values()) * 1000
        for hour in late:
            day = from_ms(hour * HOUR_MS - reach_ms).astimezone(zone).date()
            last = from_ms(hour * HOUR_MS).astimezone(zone).date()
            while day <= last:
                state.touched_days.add(to_ms(local_midnight(day, zone)))
                day += timedelta(days=1)

    def _may_issue(self, state: _SiteState, origin_ms: int, now_ms: int) -> bool:
        """Whether the last quarter of every target is known, or has been waited for."""
        if now_ms - origin_ms >= self._pace.longest_lag_s * 1000:
            return True
        return all(
            bool(history.known[-1:].all()) and history.end_ms == origin_ms
            for history in map(state.truth.history, state.targets)
        )

    # ------------------------------------------------------------ issuing

    def _issue(self, state: _SiteState, origin_ms: int) -> int:
        site = state.truth.site
        rows: list[ResultRow] = []
        for step in STEPS.values():
            if origin_ms % (step.step_s * 1000):
                continue
            held = self._issued_at(site, step, origin_ms)
            for target in state.targets:
                if target not in held:
                    row = self._issue_one(state, target, step, origin_ms)
                    if row is not None:
                        rows.append(row)
        if rows:
            self._store.write_results(rows)
            state.newest_issue_ms = origin_ms
        state.done_ms = origin_ms
        self.counts.issued += len(rows)
        return len(rows)

    def _issued_at(self, site: Site, step: ForecastStep, origin_ms: int) -> set[str]:
        """Targets that have a forecast of this issue time: it is never written again."""
        rows = self._store.read_results(
            site.id,
            KIND,
            Period.of_ms(origin_ms, origin_ms + 1),
            names=list(TARGETS),
            resolution=step.resolution,
            subject=ISSUED,
        )
        return {row.name for row in rows}

    def _issue_one(
        self, state: _SiteState, target: str, step: ForecastStep, origin_ms: int
    ) -> ResultRow | None:
        site = state.truth.site
        history = _history(state, target, step)
        known_ms = history.start_ms + _last_known_end(history) * step.step_s * 1000
        first_ms = first_known_ms(history)
        if first_ms is None or origin_ms - known_ms > _SILENT_MS:
            return None
        forecaster = self._forecaster(state, target, step, origin_ms)
        said = forecaster.issue(history, origin_ms, step.count)
        if not np.isfinite(said.table[2]).any():
            return None
        first_day = from_ms(first_ms).astimezone(site.zone).date()
        day = (from_ms(origin_ms).astimezone(site.zone).date() - first_day).days + 1
        is_learning = day <= LEARNING_DAYS
        verdict = ForecastState.LEARNING if is_learning else ForecastState.BASELINE
        return forecast_row(site.id, target, step.resolution, origin_ms, said, verdict, day)

    def _forecaster(
        self, state: _SiteState, target: str, step: ForecastStep, origin_ms: int
    ) -> NaiveForecaster:
        key = (target, step.resolution)
        bounds = bounds_of(state.truth.site, TARGETS[target], from_ms(origin_ms))
        forecaster = state.forecasters.get(key)
        if forecaster is None or forecaster.bounds != bounds:
            forecaster = state.forecasters[key] = NaiveForecaster(TARGETS[target], bounds)
        return forecaster

    # ------------------------------------------------------------ scores

    def _work(self, state: _SiteState, now_ms: int, stop: Event) -> int:
        """Go on with scores and hindcasts for a while; returns the rows written."""
        if state.work is None and state.done_ms:
            state.work = self._scoring(state, now_ms)
        began, before = time.monotonic(), self._rows_scored()
        while state.work is not None and not stop.is_set():
            try:
                next(state.work)
            except StopIteration:
                state.work = None
            except BaseException:
                # A generator that has raised is spent; what it did not do is found again.
                state.work = None
                state.scored_hour = state.hindcast_day_ms = -1
                raise
            if time.monotonic() - began >= self._pace.budget_s:
                break
        return self._rows_scored() - before

    def _rows_scored(self) -> int:
        return self.counts.scored_days + self.counts.hindcast_days

    def _scoring(self, state: _SiteState, now_ms: int) -> Iterator[None]:
        """Each step of this does one bounded piece of work."""
        site = state.truth.site
        known_ms = state.truth.end_ms
        today = from_ms(known_ms).astimezone(site.zone).date()
        today_ms = to_ms(local_midnight(today, site.zone))
        if state.hindcast_day_ms != today_ms:
            for target in state.targets:
                for step in STEPS.values():
                    yield from self._hindcast(state, target, step, today_ms, known_ms)
            state.hindcast_day_ms = today_ms
        if state.scored_hour != known_ms // HOUR_MS:
            touched, state.touched_days = state.touched_days, set()
            for target in state.targets:
                for step in STEPS.values():
                    history = _history(state, target, step)
                    for day_ms in sorted(touched | _open_days(site, step, today_ms)):
                        self._score_issued(site, target, step, history, day_ms, known_ms)
                        yield
            state.scored_hour = known_ms // HOUR_MS

    def _hindcast(
        self, state: _SiteState, target: str, step: ForecastStep, today_ms: int, known_ms: int
    ) -> Iterator[None]:
        """Score days without issued forecasts that have no complete hindcast yet."""
        site = state.truth.site
        history = _history(state, target, step)
        first_ms = today_ms - RECORD_DAYS * _DAY_MS
        held = {
            day.day_ms
            for kind in (ISSUED_SCORE, HINDCAST_SCORE)
            for day in map(parse_score, self._rows(site, target, step, kind, first_ms, known_ms))
            if kind == ISSUED_SCORE or day.is_complete
        }
        days = [d for d in hindcast_days(history, today_ms) if d >= first_ms and d not in held]
        if not days:
            return
        bounds = bounds_of(site, TARGETS[target], from_ms(known_ms))
        hindcast = Hindcast.over(TARGETS[target], bounds, history, step.count)
        yield
        rows = []
        for day_ms in days:
            rows.append(score_row(site.id, target, step.resolution, hindcast.day(day_ms, known_ms)))
            yield
        self._store.write_results(rows)
        self.counts.hindcast_days += len(rows)

    def _score_issued(
        self,
        site: Site,
        target: str,
        step: ForecastStep,
        history: History,
        day_ms: int,
        known_ms: int,
    ) -> None:
        """Score what was issued on a local day, as far as its outcomes have come."""
        after = from_ms(day_ms).astimezone(site.zone).date() + timedelta(days=1)
        end_ms = to_ms(local_midnight(after, site.zone))
        rows = self._rows(site, target, step, ISSUED, day_ms, end_ms)
        if not rows:
            return
        origins = np.array([history.index_of(row.start_ms) for row in rows], dtype=np.int64)
        table = np.full((5, len(rows), step.count), np.nan)
        for place, row in enumerate(rows):
            found = parse_table(row)[:, : step.count]
            table[:, place, : found.shape[1]] = found
        usable = origins >= 0
        past = PastErrors.at(history, origins[usable], step.count)
        bounds = bounds_of(site, TARGETS[target], from_ms(known_ms))
        until = min(history.index_of(known_ms), len(history))
        day = score(TARGETS[target], past, table[:, usable], bounds, until, day_ms, ISSUED_SCORE)
        if day.origins:
            self._store.write_results([score_row(site.id, target, step.resolution, day)])
            self.counts.scored_days += 1

    def _rows(
        self,
        site: Site,
        target: str,
        step: ForecastStep,
        subject: str,
        start_ms: int,
        end_ms: int,
    ) -> list[ResultRow]:
        return self._store.read_results(
            site.id,
            KIND,
            Period.of_ms(start_ms, end_ms),
            names=[target],
            resolution=step.resolution,
            subject=subject,
        )


def _history(state: _SiteState, target: str, step: ForecastStep) -> History:
    history = state.truth.history(target)
    return history.by_hour() if step.resolution == "hour" else history


def _last_known_end(history: History) -> int:
    places = np.flatnonzero(history.known)
    return int(places[-1]) + 1 if len(places) else 0


def _open_days(site: Site, step: ForecastStep, today_ms: int) -> set[int]:
    """Local days of issue of which some outcome may have come since the last scoring."""
    today = from_ms(today_ms).astimezone(site.zone).date()
    reach = -(-step.horizon_s // 86_400) + 1
    return {
        to_ms(local_midnight(today - timedelta(days=back), site.zone)) for back in range(reach + 1)
    }


def _history_start_ms(site: Site, now_ms: int) -> int:
    day = from_ms(now_ms).astimezone(site.zone).date() - timedelta(days=_HISTORY_DAYS)
    return to_ms(local_midnight(day, site.zone))
