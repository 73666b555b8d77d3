"""A calendar for tests of a running board, in which it is never just after midnight.

A board has nothing to say of a day that has just begun. Tests that look at today's figures run at
any hour, so near midnight in Korea their sites keep UTC, where it is then afternoon.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

from core.sites import Site, SiteRegistry

_SEOUL = ZoneInfo("Asia/Seoul")
_UTC = ZoneInfo("UTC")


def zone_of_tests(now: datetime) -> ZoneInfo:
    """Seoul's zone from two in the morning to ten at night, else UTC."""
    return _SEOUL if 2 <= now.astimezone(_SEOUL).hour < 22 else _UTC


def by_day(registry: Iterable[Site], now: datetime) -> SiteRegistry:
    """The sites with a calendar in which `now` is far from midnight."""
    zone = zone_of_tests(now)
    return SiteRegistry(replace(site, zone=zone) for site in registry)
