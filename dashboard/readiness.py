"""What `/readyz` answers: the checks of whoever started the board."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class ReadinessCheck(Protocol):
    """One thing that has to be true for the board to be of use."""

    @property
    def name(self) -> str:
        """Short name, such as `store`."""
        ...

    @property
    def ok(self) -> bool:
        """Whether it is true now."""
        ...

    @property
    def detail(self) -> str:
        """What was found, for a person; may name hosts and folders."""
        ...


@dataclass(frozen=True, slots=True)
class ReadinessReport:
    """All checks of one moment."""

    checks: Sequence[ReadinessCheck]

    @property
    def is_ready(self) -> bool:
        """Whether every check is true."""
        return all(check.ok for check in self.checks)
