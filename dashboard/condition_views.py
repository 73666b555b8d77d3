"""The list of conditions of a site, as a template takes it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Condition:
    """One line.

    Attributes:
        kind: `imbalanced`, `stale`, `refused` or `provisional`.
        word: The state in words.
        what: What it is about.
        detail: Which meters, or why.
    """

    kind: str
    word: str
    what: str
    detail: str


@dataclass(frozen=True, slots=True)
class ConditionsView:
    """The list, worst first.

    Attributes:
        more: Words for what is left off; empty where nothing is.
    """

    lines: tuple[Condition, ...]
    more: str
