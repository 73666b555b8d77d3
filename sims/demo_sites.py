"""Site files for the demo: history at one cadence until it begins, live readings from then on."""

from __future__ import annotations

import math
import tomllib
from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import tomli_w

from core.periods import local_midnight

# Least days of history before the demo's start, and the margin of the late window beyond them.
HISTORY_DAYS = 60.0
_MARGIN_DAYS = 5


def history_days(demo_start: datetime, zones: Iterable[ZoneInfo]) -> float:
    """Days of history that hold the whole local month before the demo's start, and at least sixty.

    Args:
        demo_start: Aware instant at which live readings begin.
        zones: Zones of the sites' calendars; the earliest month's start counts.
    """
    starts = []
    for zone in zones:
        this_month = demo_start.astimezone(zone).date().replace(day=1)
        last_month = (this_month - timedelta(days=1)).replace(day=1)
        starts.append(demo_start - local_midnight(last_month, zone))
    # An hour more: what ends in a month's first interval began before it.
    longest = max(starts, default=timedelta(0)) + timedelta(hours=1)
    return max(HISTORY_DAYS, longest / timedelta(days=1))


def render_demo_site(
    text: str,
    *,
    history_cadence_s: float,
    demo_start: datetime,
    live_cadence_s: float,
    history_days: float = HISTORY_DAYS,
    accelerator_cadence_s: float | None = None,
) -> str:
    """A site file's text for the demo.

    Every device and group sends at the history's cadence until the demo begins and at the live one
    from then on, is valid early enough for the history, and the late window takes all of it. A
    planned site or one with measured data stays as it is.

    Args:
        text: A site file (TOML).
        demo_start: Aware instant at which live readings begin.
        accelerator_cadence_s: Cadence of accelerators in the history where it is another one:
            they are most of the devices and least of what is looked at day by day.

    Returns:
        TOML; comments are not kept.
    """
    site = tomllib.loads(text)
    if site.get("status") != "operating" or site.get("data") != "simulated":
        return text
    zone = ZoneInfo(site["zone"])
    earliest = demo_start - timedelta(days=history_days + 1)
    for section in ("devices", "device_groups"):
        states: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for entry in site.get(section, []):
            states[entry["id"]].append(entry)
        site[section] = [
            state
            for entries in states.values()
            for state in _demo_states(
                entries,
                zone,
                earliest,
                demo_start,
                _cadence_of(entries[0], history_cadence_s, accelerator_cadence_s),
                live_cadence_s,
            )
        ]
    window = site.get("late_window_days", 35)
    if window:
        site["late_window_days"] = max(window, math.ceil(history_days) + _MARGIN_DAYS)
    return tomli_w.dumps(site)


def _cadence_of(
    entry: dict[str, Any], history_cadence_s: float, accelerator_cadence_s: float | None
) -> float:
    if entry["family"] == "accelerator" and accelerator_cadence_s is not None:
        return accelerator_cadence_s
    return history_cadence_s


def _demo_states(
    entries: list[dict[str, Any]],
    zone: ZoneInfo,
    earliest: datetime,
    demo_start: datetime,
    history_cadence_s: float,
    live_cadence_s: float,
) -> list[dict[str, Any]]:
    dated = sorted(
        ((_instant(e["valid_from"], zone), e) for e in entries), key=lambda pair: pair[0]
    )
    first, first_entry = dated[0]
    dated[0] = (min(first, earliest), first_entry)
    before = [(begin, entry) for begin, entry in dated if begin < demo_start]
    after = [(begin, entry) for begin, entry in dated if begin > demo_start]
    at_start = next((entry for begin, entry in dated if begin == demo_start), before[-1][1])
    history = [
        entry | {"valid_from": begin, "cadence_s": history_cadence_s} for begin, entry in before
    ]
    live = [
        entry | {"valid_from": begin, "cadence_s": live_cadence_s}
        for begin, entry in [(demo_start, at_start), *after]
    ]
    return history + live


def _instant(value: datetime | date, zone: ZoneInfo) -> datetime:
    if isinstance(value, datetime):
        return value
    return local_midnight(value, zone)
