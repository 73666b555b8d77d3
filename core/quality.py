"""Coverage of a period, the gate that decides whether a figure is printed, and source shares."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What a figure may be shown as."""

    FINAL = "final"
    PROVISIONAL = "provisional"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Gate:
    """Least coverage of numerator and denominator for each verdict; shares 0..1."""

    final: float = 0.95
    provisional: float = 0.80

    def __post_init__(self) -> None:
        if not 0.0 < self.provisional <= self.final <= 1.0:
            raise ValueError("a gate needs 0 < provisional <= final <= 1")

    def verdict(self, *coverages: float | None) -> Verdict:
        """The verdict for the least of the given coverages; None stands for a side without one."""
        known = [coverage for coverage in coverages if coverage is not None]
        least = min(known, default=0.0)
        # A share built from sums of seconds may miss the threshold by a rounding error.
        if least >= self.final - 1e-9:
            return Verdict.FINAL
        if least >= self.provisional - 1e-9:
            return Verdict.PROVISIONAL
        return Verdict.REFUSED


@dataclass(frozen=True, slots=True)
class Shares:
    """Shares of a figure by source, each 0..1, summing to 1 (all 0 where there is no figure)."""

    measured: float = 0.0
    counted: float = 0.0
    estimated: float = 0.0
    manual: float = 0.0
    simulated: float = 0.0
