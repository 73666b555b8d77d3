"""The only place that asks what time it is."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Source of the present."""

    def now(self) -> datetime:
        """The present as an aware UTC datetime."""
        ...

    def now_ms(self) -> int:
        """The present in milliseconds since 1970-01-01 UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present as an aware UTC datetime."""
        return datetime.now(UTC)

    def now_ms(self) -> int:
        """The present in milliseconds since 1970-01-01 UTC."""
        return time.time_ns() // 1_000_000


class FakeClock:
    """A clock that moves only when told; for tests and for accelerated simulation."""

    def __init__(self, now: datetime) -> None:
        if now.tzinfo is None:
            raise ValueError("FakeClock needs an aware datetime; add tzinfo=UTC")
        self._now = now.astimezone(UTC)

    def now(self) -> datetime:
        """The time that was set."""
        return self._now

    def now_ms(self) -> int:
        """The time that was set, in milliseconds since 1970-01-01 UTC."""
        return round(self._now.timestamp() * 1000)

    def advance(self, step: timedelta) -> None:
        """Move forward (or back, with a negative step)."""
        self._now += step
