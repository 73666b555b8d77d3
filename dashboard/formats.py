"""Numbers, units, times and ages as people read them: the one formatter of the board."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from core.number_text import (
    MINUS,
    NO_VALUE,
    display_unit,
    format_half_width,
    format_kpi,
    format_number,
    format_share,
    format_signed,
)
from dashboard.words import Words

__all__ = [
    "MINUS",
    "NO_VALUE",
    "WEEKDAYS",
    "display_unit",
    "format_clock",
    "format_day",
    "format_duration",
    "format_half_width",
    "format_kpi",
    "format_number",
    "format_share",
    "format_signed",
    "format_span",
    "zone_name",
]

WEEKDAYS = (
    "weekday.monday",
    "weekday.tuesday",
    "weekday.wednesday",
    "weekday.thursday",
    "weekday.friday",
    "weekday.saturday",
    "weekday.sunday",
)


def format_clock(moment: datetime, zone: ZoneInfo) -> str:
    """Local hours and minutes: `14:30`."""
    return moment.astimezone(zone).strftime("%H:%M")


def format_span(start: datetime, end: datetime, zone: ZoneInfo) -> str:
    """A span of one local day: `00:00–14:30`; its end at midnight is written 24:00."""
    last = format_clock(end, zone)
    if last == "00:00" and end > start:
        last = "24:00"
    return f"{format_clock(start, zone)}–{last}"


def format_day(moment: datetime, zone: ZoneInfo, words: Words) -> str:
    """The local date with its weekday: `2026-11-20 (Fri)`."""
    local = moment.astimezone(zone)
    return f"{local:%Y-%m-%d} ({words(WEEKDAYS[local.weekday()])})"


def zone_name(moment: datetime, zone: ZoneInfo) -> str:
    """Short name of the zone: `KST`, or its offset where it has none."""
    return moment.astimezone(zone).tzname() or str(zone)


def format_duration(seconds: float, words: Words) -> str:
    """A duration in at most two units: `8 s`, `7 min`, `6 h 32 min`, `2 d 3 h`.

    The script of the page does the same; a browser test compares them.
    """
    whole = max(0, int(seconds))
    if whole < 60:
        return words("duration.seconds", n=whole)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86_400
    if minutes < 60:
        return words("duration.minutes", n=minutes)
    if hours < 24:
        return words("duration.hours", n=hours, m=minutes % 60)
    return words("duration.days", n=days, m=hours % 24)
