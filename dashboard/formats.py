"""Numbers, units, times and ages as people read them: the one formatter of the board."""

from __future__ import annotations

import math
from datetime import datetime
from zoneinfo import ZoneInfo

from core.kpis import KPIS, KpiDefinition
from dashboard.words import Words

NO_VALUE = "—"
MINUS = "−"
_UNITS = {
    "1": "",
    "m3": "m³",
    "m3/h": "m³/h",
    "W/m2": "W/m²",
    "degC": "°C",
    "uS/cm": "µS/cm",
    "kgCO2eq/kWh": "kgCO₂eq/kWh",
}
WEEKDAYS = (
    "weekday.monday",
    "weekday.tuesday",
    "weekday.wednesday",
    "weekday.thursday",
    "weekday.friday",
    "weekday.saturday",
    "weekday.sunday",
)


def format_number(value: float | None, decimals: int) -> str:
    """A number with a comma between thousands, a true minus and fixed decimals; — for none.

    Half a unit of the last digit rounds to even, as everywhere in greendc.
    """
    if value is None or not math.isfinite(value):
        return NO_VALUE
    text = f"{value:,.{decimals}f}"
    if text.startswith("-"):
        # A negative number that rounds to zero is zero.
        digits = text[1:]
        return MINUS + digits if any(digit in "123456789" for digit in digits) else digits
    return text


def format_signed(value: float | None, decimals: int) -> str:
    """As `format_number`, with a plus before what is above zero."""
    text = format_number(value, decimals)
    is_positive = value is not None and value > 0 and any(digit in "123456789" for digit in text)
    return f"+{text}" if is_positive else text


def display_unit(unit: str) -> str:
    """A unit of the catalogue as people write it; empty for a ratio."""
    return _UNITS.get(unit, unit)


def format_kpi(kpi: str, value: float | None) -> tuple[str, str]:
    """Value and unit of a KPI with the decimals that its definition sets.

    Returns:
        `("1.268", "")`, `("4.2", "%")`, `("—", "L/kWh")`.
    """
    definition: KpiDefinition = KPIS[kpi]
    if definition.percent:
        shown = None if value is None else value * 100.0
        return format_number(shown, definition.decimals), "%"
    return format_number(value, definition.decimals), display_unit(definition.unit)


def format_half_width(kpi: str, half_width: float) -> str:
    """An uncertainty with the decimals of its figure: `± 0.009`, `± <0.1` where it rounds to 0."""
    text, _ = format_kpi(kpi, half_width)
    if any(digit in "123456789" for digit in text):
        return f"± {text}"
    return f"± <{format_number(10.0 ** -KPIS[kpi].decimals, KPIS[kpi].decimals)}"


def format_share(share: float | None, decimals: int = 1) -> str:
    """A share 0..1 as a percentage with its sign: `99.4 %`."""
    if share is None:
        return NO_VALUE
    return f"{format_number(share * 100.0, decimals)} %"


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
