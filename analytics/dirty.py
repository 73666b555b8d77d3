"""Dirty spans: when they are computed, and how they are cut into jobs.

Live readings dirty the running interval all the time; they are computed at a steady pace. Spans of
the past (late readings, a backfill) wait until no more of them come for a few seconds, so that a
day that arrives in a hundred messages is computed once, but never longer than a bound.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from core.ledger import HOUR_MS, DirtySpan

Waiting: TypeAlias = tuple[int, DirtySpan]
Group: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Pace:
    """When dirty spans are computed; seconds.

    Attributes:
        live_s: Time between two computations of what is live.
        quiet_s: Spans of the past are computed when none has come for so long,
        longest_wait_s: or when the oldest has waited so long.
        live_reach_s: Spans that begin at most so long ago are live.
    """

    live_s: float = 30.0
    quiet_s: float = 5.0
    longest_wait_s: float = 40.0
    live_reach_s: float = 1800.0


@dataclass(slots=True)
class _Arrivals:
    first_seen_ms: dict[int, int] = field(default_factory=dict)
    newest_ms: int = 0
    live_done_ms: int | None = None


class DirtyQueue:
    """Decides which of the waiting spans are due; keeps nothing that has to survive a restart."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._groups: defaultdict[Group, _Arrivals] = defaultdict(_Arrivals)

    def due(self, waiting: Sequence[Waiting], now_ms: int) -> dict[Group, list[Waiting]]:
        """Spans to compute now, by site and family.

        Args:
            waiting: All spans that wait, as the records hold them.
        """
        by_group: defaultdict[Group, list[Waiting]] = defaultdict(list)
        for number, span in waiting:
            by_group[(span.site, span.family)].append((number, span))
        found: dict[Group, list[Waiting]] = {}
        for group, members in by_group.items():
            due = self._due_of(self._groups[group], members, now_ms)
            if due:
                found[group] = due
        for group in self._groups.keys() - by_group.keys():
            self._groups[group].first_seen_ms.clear()
        return found

    def oldest_wait_s(self, now_ms: int) -> float:
        """How long the oldest span that waits has been seen to wait."""
        seen = [t for group in self._groups.values() for t in group.first_seen_ms.values()]
        return (now_ms - min(seen)) / 1000.0 if seen else 0.0

    def _due_of(
        self, arrivals: _Arrivals, members: Sequence[Waiting], now_ms: int
    ) -> list[Waiting]:
        pace = self._pace
        is_past = {
            number: span.start_ms < now_ms - pace.live_reach_s * 1000 for number, span in members
        }
        seen = arrivals.first_seen_ms
        fresh = [number for number in is_past if number not in seen]
        arrivals.first_seen_ms = seen = {number: seen.get(number, now_ms) for number in is_past}
        if any(is_past[number] for number in fresh):
            arrivals.newest_ms = now_ms
        past_seen = [seen[number] for number, past in is_past.items() if past]
        takes_past = bool(past_seen) and (
            now_ms - arrivals.newest_ms >= pace.quiet_s * 1000
            or now_ms - min(past_seen) >= pace.longest_wait_s * 1000
        )
        done_ms = arrivals.live_done_ms
        takes_live = done_ms is None or now_ms - done_ms >= pace.live_s * 1000
        due = [
            (number, span)
            for number, span in members
            if (takes_past if is_past[number] else takes_live)
        ]
        if takes_live and not all(is_past.values()):
            arrivals.live_done_ms = now_ms
        return due


@dataclass(frozen=True, slots=True)
class RollupJob:
    """Readings of these devices arrived in [first_ms, last_ms], both inclusive."""

    site: str
    family: str
    devices: tuple[str, ...]
    first_ms: int
    last_ms: int


def plan_jobs(spans: Sequence[DirtySpan], everyone: Sequence[str] = ()) -> list[RollupJob]:
    """Cut spans of one site and family into jobs, oldest first.

    Devices whose spans lie in the same hours are computed together, in one read of the store.

    Args:
        everyone: The devices of the family, which a span without a device stands for.
    """
    if not spans:
        return []
    borders = sorted(
        {span.start_ms // HOUR_MS for span in spans}
        | {span.end_ms // HOUR_MS + 1 for span in spans}
    )
    within: defaultdict[int, list[DirtySpan]] = defaultdict(list)
    for span in spans:
        first = bisect_left(borders, span.start_ms // HOUR_MS)
        last = bisect_left(borders, span.end_ms // HOUR_MS + 1)
        for place in range(first, last):
            within[place].append(span)
    jobs: list[RollupJob] = []
    for at, inside in sorted(within.items()):
        begin_ms, end_ms = borders[at] * HOUR_MS, borders[at + 1] * HOUR_MS
        job = RollupJob(
            inside[0].site,
            inside[0].family,
            tuple(sorted(_devices_of(inside, everyone))),
            max(min(span.start_ms for span in inside), begin_ms),
            min(max(span.end_ms for span in inside), end_ms - 1),
        )
        before = jobs[-1] if jobs else None
        if (
            before is not None
            and before.devices == job.devices
            and before.last_ms + 1 == job.first_ms
        ):
            job = RollupJob(job.site, job.family, job.devices, before.first_ms, job.last_ms)
            jobs.pop()
        jobs.append(job)
    return jobs


def _devices_of(spans: Sequence[DirtySpan], everyone: Sequence[str]) -> set[str]:
    named = {span.device for span in spans}
    return named if "" not in named else (named - {""}).union(everyone)
