"""Identifiers of sites and devices, and the topics that carry them.

The grammar is the wire format's: ids are compared as bytes, without Unicode folding.
"""

from __future__ import annotations

import re

ID_PATTERN = r"[a-z0-9][a-z0-9_-]{0,63}"
_ID = re.compile(rf"\A{ID_PATTERN}\Z", re.ASCII)

NATIVE_PREFIX = "greendc/v1"
LINE_PREFIX = "telegraf"
SENML_PREFIX = "senml"
PROMETHEUS_PREFIX = "prometheus"
SPARKPLUG_PREFIX = "spBv1.0"
# No site can have this id: an ingester's own probe readings travel under it.
PROBE_SITE = "_probe"
FAMILIES = ("energy", "water", "solar", "accelerator", "weather")


def is_id(text: str) -> bool:
    """Whether `text` may name a site or a device."""
    return _ID.match(text) is not None
