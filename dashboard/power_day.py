"""Facility and IT power of the last 24 hours as 15-minute means, with what is missing."""

from __future__ import annotations

from dataclasses import dataclass

from core.periods import INTERVAL_MS
from core.quality import Verdict

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class PowerPoint:
    """The mean power of one side over one interval.

    Attributes:
        kw: None where the energy of the interval is refused.
        verdict: Of that energy.
        is_estimated: Whether part of it is the share of a longer gap whose total is known.
    """

    kw: float | None
    verdict: Verdict
    is_estimated: bool = False

    @property
    def is_doubtful(self) -> bool:
        """Whether it is shown as a hollow point."""
        return self.kw is not None and (self.verdict is not Verdict.FINAL or self.is_estimated)


@dataclass(frozen=True, slots=True)
class PowerDay:
    """Both series on one grid.

    Attributes:
        start_ms: (n,) interval starts, UTC epoch milliseconds, 15 minutes apart without a hole.
        facility: One point an interval.
        it: One point an interval.
        now_ms: When it was computed.
    """

    start_ms: tuple[int, ...]
    facility: tuple[PowerPoint, ...]
    it: tuple[PowerPoint, ...]
    now_ms: int

    @property
    def end_ms(self) -> int:
        """End of the last interval."""
        return self.start_ms[-1] + INTERVAL_MS
