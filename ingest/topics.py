"""Topics: what they say, and which filters a partition subscribes to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from core.ids import FAMILIES, NATIVE_PREFIX, PROBE_SITE, is_id

# Longer names are cut in what is kept for people; a site or device id never is that long.
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Topic:
    """What a topic says.

    Attributes:
        text: The topic itself.
        prefix: Key of the decoder table; empty where no dialect has this topic.
        site: Site id; empty where the topic names none that could exist.
        family: Metric family; empty where `problem` is set, and in dialects whose mapping says it.
        device: Device id; empty on a gateway's topic, and in dialects whose mapping says it.
        problem: Why it is not a topic of the wire format, for a person; empty when it is.
    """

    text: str
    prefix: str
    site: str
    family: str = ""
    device: str = ""
    problem: str = ""


def parse_native_topic(topic: str) -> Topic:
    """Parse `greendc/v1/{site}/{family}[/{device}]`."""
    levels = topic.split("/")[2:]
    site = levels[0] if levels and (is_id(levels[0]) or levels[0] == PROBE_SITE) else ""
    if len(levels) not in (2, 3):
        problem = f"{len(levels) + 2} levels instead of 4 (gateway) or 5 (device)"
        return Topic(topic, NATIVE_PREFIX, site, problem=problem)
    if levels[1] not in FAMILIES:
        problem = f"{levels[1][:_SHOWN]!r} is no family; one of {', '.join(FAMILIES)}"
        return Topic(topic, NATIVE_PREFIX, site, problem=problem)
    if len(levels) == 3 and not is_id(levels[2]):
        problem = f"{levels[2][:_SHOWN]!r} is no device id ([a-z0-9][a-z0-9_-]{{0,63}})"
        return Topic(topic, NATIVE_PREFIX, site, problem=problem)
    return Topic(topic, NATIVE_PREFIX, site, levels[1], levels[2] if len(levels) == 3 else "")


def native_filters(sites: Iterable[str] | None) -> list[str]:
    """Topic filters of the native prefix for these sites, or for all and unknown ones (None)."""
    if sites is None:
        return [f"{NATIVE_PREFIX}/#"]
    return [f"{NATIVE_PREFIX}/{site}/#" for site in sites]


def parse_mapped_topic(prefix: str) -> Callable[[str], Topic]:
    """A parser of `{prefix}/{site}/…`; what follows the site is the mappings' business."""

    def parse(topic: str) -> Topic:
        levels = topic.split("/")[1:]
        if not levels:
            return Topic(topic, prefix, "", problem=f"no site behind {prefix}/")
        return Topic(topic, prefix, levels[0] if is_id(levels[0]) else "")

    return parse


def mapped_filters(prefix: str) -> Callable[[Iterable[str] | None], list[str]]:
    """Topic filters of a prefix for sites, or for all and unknown ones (None)."""

    def filters(sites: Iterable[str] | None) -> list[str]:
        if sites is None:
            return [f"{prefix}/#"]
        return [f"{prefix}/{site}/#" for site in sites]

    return filters
