"""Topics of the wire format."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import RefusedReadingError
from core.ids import FAMILIES, NATIVE_PREFIX, is_id

SUBSCRIPTIONS = (f"{NATIVE_PREFIX}/#",)
_PREFIX = f"{NATIVE_PREFIX}/"


@dataclass(frozen=True, slots=True)
class NativeTopic:
    """Parts of a native topic; `device` is empty on a gateway topic."""

    site: str
    family: str
    device: str


def site_of(topic: str) -> str:
    """The site that a topic names, also of a topic that is otherwise wrong; empty without one."""
    if not topic.startswith(_PREFIX):
        return ""
    site = topic[len(_PREFIX) :].partition("/")[0]
    return site if is_id(site) else ""


def parse_topic(topic: str) -> NativeTopic:
    """Parse `greendc/v1/{site}/{family}[/{device}]`.

    Raises:
        RefusedReadingError: `unknown_topic`.
    """
    parts = topic[len(_PREFIX) :].split("/") if topic.startswith(_PREFIX) else []
    well_formed = (
        2 <= len(parts) <= 3
        and is_id(parts[0])
        and parts[1] in FAMILIES
        and (len(parts) == 2 or is_id(parts[2]))
    )
    if not well_formed:
        raise RefusedReadingError(
            "unknown_topic", f"{topic!r} is not {_PREFIX}<site>/<family>[/<device>]"
        )
    return NativeTopic(parts[0], parts[1], parts[2] if len(parts) == 3 else "")
