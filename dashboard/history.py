"""Which stretch of time a page is asked about: read from its address, written back into it.

`?range=day|week|month` is relative and moves with the clock: today, and the seven or thirty local
days that end with it. `?from=…&to=…` is absolute: local dates of the site, or RFC 3339. `cmp=week`
sets the same weekdays of an earlier stretch beside it, `view=table` opens every chart as a table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Literal
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from core.errors import GreendcError
from core.periods import (
    INTERVAL_MS,
    Period,
    Resolution,
    floor_interval_ms,
    from_ms,
    local_midnight,
    parse_moment,
    to_ms,
)

RangeName = Literal["day", "week", "month", "custom"]
DAYS: dict[RangeName, int] = {"day": 1, "week": 7, "month": 30}
LONGEST_DAYS = 400
# An interval is asked for only when analytics has had time to compute it.
SETTLING_MS = 90_000
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
STEP_MS: dict[Resolution, int] = {"15m": INTERVAL_MS, "hour": HOUR_MS, "day": DAY_MS}
_MOST_QUARTERS_MS = 2 * DAY_MS + 2 * HOUR_MS
_MOST_HOURS_MS = 80 * DAY_MS
_WEEK_DAYS = 7


class HistoryError(GreendcError):
    """The address asks for a stretch of time that cannot be shown.

    Attributes:
        word: Id of the text that says why.
    """

    def __init__(self, word: str, message: str) -> None:
        super().__init__(message)
        self.word = word


@dataclass(frozen=True, slots=True)
class HistoryQuestion:
    """A validated stretch of time in a site's zone.

    Attributes:
        name: The relative range, or `custom` for an absolute one.
        period: Half-open, on the 15-minute grid; it may end after the present.
        now_ms: The present, UTC epoch milliseconds.
        compares: Whether the earlier stretch is drawn beside it.
        as_table: Whether charts open as tables.
    """

    name: RangeName
    period: Period
    zone: ZoneInfo
    now_ms: int
    compares: bool = False
    as_table: bool = False

    @property
    def now(self) -> datetime:
        """The present, aware UTC."""
        return from_ms(self.now_ms)

    @property
    def days(self) -> int:
        """Length in days, rounded up."""
        return max(1, -(-(self.period.end_ms - self.period.start_ms - 2 * HOUR_MS) // DAY_MS))

    @property
    def resolution(self) -> Resolution:
        """How fine a chart of it is: few enough points for the eye and the wire."""
        length = self.period.end_ms - self.period.start_ms
        if length <= _MOST_QUARTERS_MS:
            return "15m"
        return "hour" if length <= _MOST_HOURS_MS else "day"

    @property
    def step_ms(self) -> int:
        """Length of one step of `resolution`."""
        return STEP_MS[self.resolution]

    @property
    def settled_ms(self) -> int:
        """End of the last interval of the period that can have been computed; at least its start.

        A stretch in the past is settled as a whole.
        """
        settled = floor_interval_ms(self.now_ms - SETTLING_MS)
        return min(self.period.end_ms, max(self.period.start_ms, settled))

    @property
    def known(self) -> Period | None:
        """The part up to `settled_ms`; None where nothing can be known yet."""
        if self.settled_ms <= self.period.start_ms:
            return None
        return Period.of_ms(self.period.start_ms, self.settled_ms)

    @property
    def is_running(self) -> bool:
        """Whether the present lies in it."""
        return self.period.start_ms <= self.now_ms < self.period.end_ms

    @property
    def shift_days(self) -> int:
        """Days back to the comparison: whole weeks, so that weekdays meet, and no overlap."""
        return -(-self.days // _WEEK_DAYS) * _WEEK_DAYS

    def earlier_ms(self, time_ms: int) -> int:
        """The same local clock time in the comparison."""
        return _moved(time_ms, self.zone, -self.shift_days)

    def later_ms(self, time_ms: int) -> int:
        """Where a time of the comparison is drawn: the same local clock time, weeks later."""
        return _moved(time_ms, self.zone, self.shift_days)

    @property
    def before(self) -> Period:
        """The whole earlier stretch."""
        return Period.of_ms(
            self.earlier_ms(self.period.start_ms), self.earlier_ms(self.period.end_ms)
        )

    @property
    def before_known(self) -> Period | None:
        """The earlier stretch cut at the same elapsed time, so that sums compare."""
        known = self.known
        if known is None:
            return None
        return Period.of_ms(self.earlier_ms(known.start_ms), self.earlier_ms(known.end_ms))

    # ------------------------------------------------------------ addresses

    def query(self, **changed: str) -> str:
        """The query string that asks this again, with other members put in or, empty, left out."""
        members = {"range": self.name} if self.name != "custom" else self._absolute()
        return self._joined(members, changed)

    def frozen_query(self) -> str:
        """The same in absolute times, for sharing."""
        return self._joined(self._absolute(), {})

    def range_query(self, name: RangeName) -> str:
        """The query string of a relative range with the same comparison and view."""
        return self._joined({"range": name}, {})

    def previous_query(self) -> str:
        """The window before this one, of the same width."""
        return self._joined(self._absolute(-self.days), {})

    def next_query(self) -> str:
        """The window after this one; empty where it would lie in the future."""
        if self.period.end_ms > self.now_ms:
            return ""
        after = self._at(self.period.end_ms, self.days)
        for name, days in DAYS.items():
            if days == self.days and after > self.now_ms and self._is_whole_days():
                return self._joined({"range": name}, {})
        return self._joined(self._absolute(self.days), {})

    def _at(self, time_ms: int, days: int) -> int:
        return _moved(time_ms, self.zone, days)

    def _is_whole_days(self) -> bool:
        return all(
            moment.astimezone(self.zone).time() == time(0)
            for moment in (self.period.start, self.period.end)
        )

    def _absolute(self, days: int = 0) -> dict[str, str]:
        edges = {
            "from": from_ms(self._at(self.period.start_ms, days)).astimezone(self.zone),
            "to": from_ms(self._at(self.period.end_ms, days)).astimezone(self.zone),
        }
        if self._is_whole_days():
            return {name: edge.date().isoformat() for name, edge in edges.items()}
        return {name: edge.isoformat(timespec="seconds") for name, edge in edges.items()}

    def _joined(self, members: Mapping[str, str], changed: Mapping[str, str]) -> str:
        whole = dict(members)
        if self.compares:
            whole["cmp"] = "week"
        if self.as_table:
            whole["view"] = "table"
        whole.update(changed)
        return urlencode({name: value for name, value in whole.items() if value})


def _moved(time_ms: int, zone: ZoneInfo, days: int) -> int:
    local = from_ms(time_ms).astimezone(zone)
    wall = local.replace(tzinfo=None) + timedelta(days=days)
    return to_ms(wall.replace(tzinfo=zone, fold=local.fold))


def parse_history(
    query: Mapping[str, str], zone: ZoneInfo, now: datetime, *, default: RangeName = "day"
) -> HistoryQuestion:
    """Read the question of an address.

    Args:
        query: Members of the query string; others than ours are ignored.
        default: The range where the address names none.

    Raises:
        HistoryError: A range, a time or a length that cannot be shown, with the text that says why.
    """
    compares = _one_of(query, "cmp", ("week",))
    as_table = _one_of(query, "view", ("table",))
    if query.get("from") or query.get("to"):
        return HistoryQuestion(
            "custom", _absolute_period(query, zone, now), zone, to_ms(now), compares, as_table
        )
    name = query.get("range") or default
    if name not in DAYS:
        raise HistoryError("range.unknown", f"no range {name!r}; there are {', '.join(DAYS)}")
    return HistoryQuestion(
        name, _relative_period(name, zone, now), zone, to_ms(now), compares, as_table
    )


def _one_of(query: Mapping[str, str], name: str, known: tuple[str, ...]) -> bool:
    value = query.get(name, "")
    if value and value not in known:
        raise HistoryError("range.unknown", f"no {name}={value!r}; there is {', '.join(known)}")
    return bool(value)


def _relative_period(name: RangeName, zone: ZoneInfo, now: datetime) -> Period:
    today = now.astimezone(zone).date()
    return Period(
        local_midnight(today - timedelta(days=DAYS[name] - 1), zone),
        local_midnight(today + timedelta(days=1), zone),
    )


def _absolute_period(query: Mapping[str, str], zone: ZoneInfo, now: datetime) -> Period:
    try:
        start, end = (
            to_ms(parse_moment(query.get(name, "").replace(" ", "+"), zone))
            for name in ("from", "to")
        )
    except (ValueError, OverflowError) as error:
        raise HistoryError("range.unreadable", str(error)) from None
    start = floor_interval_ms(start)
    latest = to_ms(local_midnight(now.astimezone(zone).date() + timedelta(days=1), zone))
    end = min(floor_interval_ms(end + INTERVAL_MS - 1), latest)
    if start < 0 or start >= min(end, to_ms(now)):
        raise HistoryError("range.order", "from must lie before to, and before now")
    if end - start > LONGEST_DAYS * DAY_MS:
        raise HistoryError("range.long", f"at most {LONGEST_DAYS} days can be shown at once")
    return Period.of_ms(start, end)
