"""Computed KPIs as rows of the store: quarters, hours, days and months that have ended."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from threading import Event

from analytics.energy import FlowReader
from analytics.factors import Factors
from analytics.figures import Question
from analytics.kpis import answer, applicable_kpis
from analytics.tiling import Tiling
from core.kpis import KpiValue
from core.ledger import HOUR_MS
from core.periods import Period, Resolution, from_ms, local_midnight, local_month, to_ms
from core.ports import ResultRow, RollupRecords, TimeSeriesStore
from core.sites import Site

# Of quarters only what a chart of a day or a forecast needs; of hours what is about the whole site.
_QUARTER_KPIS = ("facility_energy", "it_energy", "pue")
# Members that a quarter's or an hour's row leaves out: its day has them.
_LONG_MEMBERS = ("series", "parts", "factors")
_MOST_DAYS_AT_ONCE = 7


class KpiResults:
    """Writes the KPIs of what was computed anew; remembers what is still to be written.

    What is forgotten by a restart is written again when the next reading of its day comes; every
    reader of KPIs may compute them from the intervals instead.
    """

    def __init__(
        self,
        store: TimeSeriesStore,
        records: RollupRecords,
        factors: Factors | None = None,
    ) -> None:
        self._store = store
        self._records = records
        self._factors = factors or {}
        self._hours: defaultdict[str, set[int]] = defaultdict(set)
        self._months: defaultdict[str, set[tuple[int, int]]] = defaultdict(set)

    def touch(self, site: Site, start_ms: int, end_ms: int) -> None:
        """Note that intervals in [start_ms, end_ms) of a site were written."""
        first, last = start_ms // HOUR_MS, -(-end_ms // HOUR_MS)
        self._hours[site.id].update(range(first, last))

    def waiting(self, site: Site) -> int:
        """Hours of a site whose figures are still to be written."""
        return len(self._hours[site.id])

    def write(self, site: Site, now: datetime, stop: Event) -> int:
        """Write the figures of every touched period of a site that has ended; returns how many.

        Hours that have not ended stay noted, and so does what is left when `stop` is set.
        """
        hours = self._hours[site.id]
        now_ms = to_ms(now)
        written = 0
        for days in list(_runs_of_days(site, hours)):
            if stop.is_set():
                return written
            period = Period(
                local_midnight(days[0], site.zone),
                local_midnight(days[-1] + timedelta(days=1), site.zone),
            )
            mine = {
                hour
                for hour in hours
                if (hour + 1) * HOUR_MS > period.start_ms and hour * HOUR_MS < period.end_ms
            }
            written += self._write_days(site, period, mine, now)
            hours -= {hour for hour in mine if (hour + 1) * HOUR_MS <= now_ms}
        for year, month in sorted(self._months[site.id]):
            period = local_month(year, month, site.zone)
            if period.end <= now:
                tiling = Tiling.of(period, site.zone, "month")
                question = self._question(site, tiling, now)
                written += self._store_rows(site, "month", answer(question))
                self._months[site.id].discard((year, month))
        return written

    def _write_days(self, site: Site, period: Period, hours: set[int], now: datetime) -> int:
        """Quarters, hours and days of a run of days."""
        start_ms = max(period.start_ms, _local_hour(site, min(hours) * HOUR_MS))
        end_ms = min(period.end_ms, _local_hour(site, (max(hours) + 1) * HOUR_MS - 1) + HOUR_MS)
        has_ended_day = (
            local_midnight(period.start.astimezone(site.zone).date() + timedelta(days=1), site.zone)
            <= now
        )
        # A day needs all of its hours; while it runs, only its touched hours are read.
        wanted = period if has_ended_day else Period.of_ms(start_ms, end_ms)
        question = self._question(site, Tiling.of(wanted, site.zone, "15m"), now)
        written = 0
        plans: list[tuple[Resolution, Sequence[str] | None]] = [("15m", _QUARTER_KPIS)]
        if to_ms(now) - wanted.start_ms >= HOUR_MS:
            plans.append(("hour", None))
        if has_ended_day:
            plans.append(("day", None))
        for resolution, kpis in plans:
            tiling = Tiling.of(wanted, site.zone, resolution)
            part = Question(
                site,
                tiling,
                now,
                question.category,
                question.reader.retiled(tiling),
                self._factors,
            )
            values = [
                value
                for value in _askable(part, kpis)
                if value.end <= now
                and (resolution == "day" or _touches(value, hours))
                and (resolution == "day" or value.subject == "site")
            ]
            written += self._store_rows(site, resolution, values)
        for day in _days_between(site, wanted):
            self._months[site.id].add((day.year, day.month))
        return written

    def _question(self, site: Site, tiling: Tiling, now: datetime) -> Question:
        reader = FlowReader(self._store, self._records, site, tiling)
        return Question(site, tiling, now, site.pue_category, reader, self._factors)

    def _store_rows(self, site: Site, resolution: Resolution, values: Sequence[KpiValue]) -> int:
        rows = [result_row(site, resolution, value) for value in values]
        if rows:
            self._store.write_results(rows)
        return len(rows)


def result_row(site: Site, resolution: Resolution, value: KpiValue) -> ResultRow:
    """A figure as the store keeps it; its document is the row of `greendc kpi --json`.

    The documents of quarters and hours leave out what their day's has: series, parts, factors.
    """
    document = value.as_json()
    if resolution in {"15m", "hour"}:
        for member in _LONG_MEMBERS:
            document.pop(member)
    return ResultRow(
        site.id,
        "kpi",
        value.kpi,
        value.subject,
        resolution,
        to_ms(value.start),
        value.value,
        json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(),
    )


def _askable(question: Question, kpis: Sequence[str] | None) -> list[KpiValue]:
    if kpis is None:
        return answer(question)
    able = applicable_kpis(question.site, question.category)
    return answer(question, [name for name in kpis if name in able])


def _touches(value: KpiValue, hours: set[int]) -> bool:
    first, last = to_ms(value.start) // HOUR_MS, (to_ms(value.end) - 1) // HOUR_MS
    return any(hour in hours for hour in range(first, last + 1))


def _runs_of_days(site: Site, hours: Iterable[int]) -> Iterator[list[date]]:
    """Local days that the hours lie in, in runs of consecutive days."""
    touched = sorted(
        {
            from_ms(moment).astimezone(site.zone).date()
            for hour in hours
            for moment in (hour * HOUR_MS, (hour + 1) * HOUR_MS - 1)
        }
    )
    run: list[date] = []
    for day in touched:
        if run and (day - run[-1] != timedelta(days=1) or len(run) == _MOST_DAYS_AT_ONCE):
            yield run
            run = []
        run.append(day)
    if run:
        yield run


def _local_hour(site: Site, time_ms: int) -> int:
    """Start of the hour of the site's clock that holds a time."""
    offset = from_ms(time_ms).astimezone(site.zone).utcoffset() or timedelta(0)
    return time_ms - (time_ms + offset // timedelta(milliseconds=1)) % HOUR_MS


def _days_between(site: Site, period: Period) -> list[date]:
    first = period.start.astimezone(site.zone).date()
    last = (period.end - timedelta(milliseconds=1)).astimezone(site.zone).date()
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]
