"""Half-open periods, the 15-minute grid, and calendar days and months of a site's zone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

INTERVAL_S = 900
INTERVAL_MS = INTERVAL_S * 1000

Resolution = Literal["period", "15m", "hour", "day", "month"]
RESOLUTIONS: tuple[Resolution, ...] = ("period", "15m", "hour", "day", "month")

_RFC3339 = re.compile(
    r"\A(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2}:\d{2})(\.\d+)?(Z|[+-]\d{2}:\d{2})\Z", re.ASCII
)
_DATE = re.compile(r"\A\d{4}-\d{2}-\d{2}\Z", re.ASCII)


def to_ms(moment: datetime) -> int:
    """UTC epoch milliseconds of an aware datetime (finer fractions are cut).

    Raises:
        ValueError: The datetime is naive.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no zone; only aware times are used inside")
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1000 + delta.microseconds // 1000


def from_ms(time_ms: int) -> datetime:
    """Aware UTC datetime of epoch milliseconds."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(time_ms))


def format_time(moment: datetime | int) -> str:
    """RFC 3339 UTC with milliseconds, the form of every time that leaves greendc."""
    aware = from_ms(moment) if isinstance(moment, int) else moment.astimezone(UTC)
    return aware.strftime("%Y-%m-%dT%H:%M:%S.") + f"{aware.microsecond // 1000:03d}Z"


def parse_rfc3339(text: str) -> datetime:
    """Parse RFC 3339 with offset: upper-case `T` and `Z`, seconds required, fraction optional.

    Raises:
        ValueError: Another form, an impossible date, or no offset.
    """
    match = _RFC3339.match(text)
    if match is None:
        raise ValueError(f"{text!r} is not RFC 3339 with an offset, like 2026-11-01T09:00:00+09:00")
    day, clock, fraction, zone = match.groups()
    micro = (fraction or ".0")[1:7].ljust(6, "0")
    return datetime.fromisoformat(f"{day}T{clock}.{micro}{'+00:00' if zone == 'Z' else zone}")


def parse_moment(text: str, zone: ZoneInfo) -> datetime:
    """A time on the command line: RFC 3339 with offset, or a local date of the site's zone.

    Raises:
        ValueError: Neither of the two.
    """
    if _DATE.match(text):
        return local_midnight(date.fromisoformat(text), zone)
    return parse_rfc3339(text).astimezone(UTC)


def local_midnight(day: date, zone: ZoneInfo) -> datetime:
    """The UTC instant at which `day` begins in `zone`."""
    return datetime.combine(day, time(0), zone).astimezone(UTC)


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """A half-open span of time [start, end), both aware UTC.

    Raises:
        ValueError: A naive time, or an end that is not after the start.
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("a period needs aware times")
        if self.end <= self.start:
            raise ValueError(
                f"a period ends after it starts: {format_time(self.start)}, {format_time(self.end)}"
            )

    @classmethod
    def of_ms(cls, start_ms: int, end_ms: int) -> Period:
        """The period between two epoch-millisecond instants."""
        return cls(from_ms(start_ms), from_ms(end_ms))

    @property
    def start_ms(self) -> int:
        """Start in UTC epoch milliseconds, inclusive."""
        return to_ms(self.start)

    @property
    def end_ms(self) -> int:
        """End in UTC epoch milliseconds, exclusive."""
        return to_ms(self.end)

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return (self.end - self.start).total_seconds()

    def contains(self, moment: datetime) -> bool:
        """Whether `moment` lies in [start, end)."""
        return self.start <= moment < self.end


def local_day(day: date, zone: ZoneInfo) -> Period:
    """The calendar day in `zone`: 23, 24 or 25 hours long."""
    return Period(local_midnight(day, zone), local_midnight(day + timedelta(days=1), zone))


def local_month(year: int, month: int, zone: ZoneInfo) -> Period:
    """The calendar month in `zone`."""
    after = date(year + month // 12, month % 12 + 1, 1)
    return Period(local_midnight(date(year, month, 1), zone), local_midnight(after, zone))


def floor_interval_ms(time_ms: int) -> int:
    """Start of the 15-minute interval that holds `time_ms` (grid aligned to the epoch)."""
    return time_ms - time_ms % INTERVAL_MS


def calendar_periods(period: Period, zone: ZoneInfo, resolution: Resolution) -> Iterator[Period]:
    """Cut `period` at the calendar of `zone`; the first and last piece may be shorter.

    Hours and quarters are cut on the UTC grid moved by the zone's offset, so that a zone with a
    half-hour offset still has its own full hours.
    """
    if resolution == "period":
        yield period
        return
    start = period.start
    while start < period.end:
        end = min(_next_boundary(start, zone, resolution), period.end)
        yield Period(start, end)
        start = end


def _next_boundary(moment: datetime, zone: ZoneInfo, resolution: Resolution) -> datetime:
    local = moment.astimezone(zone)
    if resolution == "month":
        after = date(local.year + local.month // 12, local.month % 12 + 1, 1)
        return local_midnight(after, zone)
    if resolution == "day":
        return local_midnight(local.date() + timedelta(days=1), zone)
    step_ms = 3_600_000 if resolution == "hour" else INTERVAL_MS
    offset = local.utcoffset() or timedelta(0)
    offset_ms = round(offset.total_seconds() * 1000)
    moment_ms = to_ms(moment)
    return from_ms(moment_ms + step_ms - (moment_ms + offset_ms) % step_ms)
