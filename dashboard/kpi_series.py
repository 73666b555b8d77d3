"""Stored KPI figures as series on an unbroken grid, for charts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from zoneinfo import ZoneInfo

from core.periods import Period, Resolution, calendar_periods, from_ms, local_day, to_ms
from core.ports import ResultRow
from core.quality import Verdict
from core.sites import Site
from dashboard.chart_spec import ChartAsk
from dashboard.figures.line_data import Series
from dashboard.history import STEP_MS, HistoryQuestion
from dashboard.power_day import PowerPoint

_VERDICT = re.compile(rb'"verdict":"(\w+)"')
_ESTIMATED = re.compile(rb'"estimated":([-+.\deE]+)')
# A stretch that runs is read anew; one that is past only changes by late readings.
_RUNNING_S, _PAST_S = 30.0, 600.0
_ENERGIES = ("facility_energy", "it_energy")


@dataclass(frozen=True, slots=True)
class Figure:
    """One stored figure: value, verdict, and whether part of it is a gap's share."""

    value: float | None
    verdict: Verdict
    is_estimated: bool = False

    @property
    def is_doubtful(self) -> bool:
        """Whether it is drawn hollow."""
        return self.value is not None and (self.verdict is not Verdict.FINAL or self.is_estimated)


REFUSED = Figure(None, Verdict.REFUSED)


def held_parts(history: HistoryQuestion, period: Period) -> list[tuple[Period, float]]:
    """A stretch cut at today's local midnight, with how long what is read of each may be held.

    What is past changes by late readings only, and is most of a month.
    """
    today = local_day(from_ms(history.now_ms).astimezone(history.zone).date(), history.zone)
    cut = min(max(period.start_ms, today.start_ms), period.end_ms)
    parts = []
    if cut > period.start_ms:
        parts.append((Period.of_ms(period.start_ms, cut), _PAST_S))
    if cut < period.end_ms:
        parts.append((Period.of_ms(cut, period.end_ms), _RUNNING_S))
    return parts


def grid_of(site: Site, period: Period, resolution: Resolution) -> tuple[int, ...]:
    """Starts of the calendar periods of a stretch in the site's zone."""
    return _grid(site.zone, period, resolution)


@lru_cache(maxsize=256)
def _grid(zone: ZoneInfo, period: Period, resolution: Resolution) -> tuple[int, ...]:
    return tuple(to_ms(p.start) for p in calendar_periods(period, zone, resolution))


def read_kpi_series(
    ask: ChartAsk,
    kpis: Sequence[str],
    period: Period,
    resolution: Resolution,
    *,
    subject: str = "site",
) -> dict[str, Series]:
    """Series of stored figures by KPI; a start without a stored figure is a gap.

    Quarters of the last 24 hours come from what is held for the page where analytics has not
    stored them yet.

    Args:
        period: Its part up to now is asked; the grid is that of the whole part.

    Raises:
        StoreError: The store does not answer.
    """
    site = ask.site
    found: dict[str, dict[int, Figure]] = {kpi: {} for kpi in kpis}
    for part, seconds in held_parts(ask.history, period):
        for kpi in kpis:
            held = ask.held.get(
                ("kpi", site.id, kpi, part, resolution, subject),
                seconds,
                lambda kpi=kpi, part=part: _read(ask, kpi, part, resolution, subject),  # type: ignore[misc]
            )
            found[kpi].update(held)
    starts = grid_of(site, period, resolution)
    if resolution == "15m" and subject == "site":
        _add_held_quarters(ask, found)
    return {
        kpi: _series(starts, [found[kpi].get(start, REFUSED) for start in starts], resolution)
        for kpi in kpis
    }


def _read(
    ask: ChartAsk, kpi: str, period: Period, resolution: Resolution, subject: str
) -> dict[int, Figure]:
    rows = ask.store.read_results(
        ask.site.id, "kpi", period, names=[kpi], resolution=resolution, subject=subject
    )
    return {row.start_ms: figure_of(row) for row in rows}


def figure_of(row: ResultRow) -> Figure:
    """Value and verdict of a stored row, without reading all of its document."""
    verdict = _VERDICT.search(row.document)
    estimated = _ESTIMATED.search(row.document)
    return Figure(
        row.value,
        Verdict(verdict.group(1).decode()) if verdict else Verdict.FINAL,
        estimated is not None and float(estimated.group(1)) > 0.0,
    )


def _series(starts: Sequence[int], figures: Sequence[Figure], resolution: Resolution) -> Series:
    return Series(
        start_ms=tuple(starts),
        values=tuple(figure.value for figure in figures),
        step_ms=STEP_MS[resolution],
        verdicts=tuple(figure.verdict for figure in figures),
        estimated=tuple(figure.is_estimated for figure in figures),
    )


def _add_held_quarters(ask: ChartAsk, found: dict[str, dict[int, Figure]]) -> None:
    power = ask.day.power if ask.day is not None else None
    if power is None:
        return
    sides = dict(zip(_ENERGIES, (power.facility, power.it), strict=True))
    for place, start in enumerate(power.start_ms):
        points = {kpi: side[place] for kpi, side in sides.items()}
        for kpi, mine in found.items():
            if start in mine:
                continue
            if kpi in sides:
                mine[start] = _energy(points[kpi])
            elif kpi == "pue":
                mine[start] = _ratio(*points.values())


def _energy(point: PowerPoint) -> Figure:
    return Figure(None if point.kw is None else point.kw / 4.0, point.verdict, point.is_estimated)


def _ratio(facility: PowerPoint, it: PowerPoint) -> Figure:
    if facility.kw is None or it.kw is None or it.kw <= 0.0 or facility.kw < it.kw:
        return REFUSED
    verdicts = {facility.verdict, it.verdict}
    verdict = Verdict.FINAL if verdicts == {Verdict.FINAL} else Verdict.PROVISIONAL
    return Figure(facility.kw / it.kw, verdict, facility.is_estimated or it.is_estimated)
