"""Local times without an offset: none, one, or two instants."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from core.periods import to_ms


def instants_of(local: datetime, zone: ZoneInfo) -> tuple[int, ...]:
    """The instants, UTC epoch milliseconds, at which clocks of `zone` show a naive local time.

    Returns:
        None where the clocks were put forward over it, two where they were put back.
    """
    found = []
    for fold in (0, 1):
        aware = local.replace(tzinfo=zone, fold=fold)
        if aware.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == local:
            found.append(to_ms(aware))
    return tuple(dict.fromkeys(found))


def next_midnight_ms(day: date, zone: ZoneInfo) -> int:
    """End of a local day, UTC epoch milliseconds."""
    after = datetime.combine(day + timedelta(days=1), time(0), tzinfo=zone)
    return to_ms(after)
