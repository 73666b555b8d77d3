"""Asking Sparkplug edge nodes to be born again; the only thing that an ingester ever publishes.

An edge node is asked once and then left in peace for a while, longer each time that it was asked in
vain: a node that cannot answer must not be flooded, and one that does needs a moment to do so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from core.clock import Clock
from core.ids import SPARKPLUG_PREFIX
from ingest.sparkplug_births import SparkplugNews
from ingest.sparkplug_wire import BOOLEAN

_LOG = logging.getLogger(__name__)
_FIRST_PAUSE_MS = 5_000
_LONGEST_PAUSE_MS = 600_000
_MOST_EDGES = 20_000
_REBIRTH = b"Node Control/Rebirth"

# Topic and payload; whether they left.
Publish = Callable[[str, bytes], bool]


class RebirthRequests:
    """Decides which requests are sent; for one thread.

    Attributes:
        sent: Requests since start.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # Edge node -> when it was asked, and how long it is left in peace.
        self._asked: dict[str, tuple[int, int]] = {}
        self.sent = 0

    def ask(self, news: SparkplugNews, publish: Publish) -> None:
        """Ask those edge nodes that should be born again and were not asked a short while ago."""
        if not news.unborn and not self._asked:
            return
        for key in news.born & self._asked.keys():
            # It answers: the next occasion is a new one, but none is sooner than this.
            self._asked[key] = (self._asked[key][0], _FIRST_PAUSE_MS)
        now_ms = self._clock.now_ms()
        for key, why in news.unborn.items():
            asked_ms, pause_ms = self._asked.get(key, (0, 0))
            quiet_ms = now_ms - asked_ms
            if 0 <= quiet_ms < pause_ms:
                continue
            if quiet_ms >= 2 * _LONGEST_PAUSE_MS:
                pause_ms = 0  # long ago: a new occasion
            group, _, edge = key.partition("/")
            topic = f"{SPARKPLUG_PREFIX}/{group}/NCMD/{edge}"
            if not publish(topic, render_rebirth(now_ms)):
                return
            if pause_ms == 0:
                _LOG.warning("%s is asked to be born again: %s", key, why)
            if len(self._asked) >= _MOST_EDGES:
                self._asked.clear()
            after_ms = min(max(2 * pause_ms, _FIRST_PAUSE_MS), _LONGEST_PAUSE_MS)
            self._asked[key] = (now_ms, after_ms)
            self.sent += 1


def render_rebirth(now_ms: int) -> bytes:
    """The payload of a rebirth request: `Node Control/Rebirth` = true, without a sequence."""
    metric = (
        b"\x0a" + _varint(len(_REBIRTH)) + _REBIRTH + b"\x18" + _varint(now_ms)
        + b"\x20" + _varint(BOOLEAN) + b"\x70\x01"
    )  # fmt: skip
    return b"\x08" + _varint(now_ms) + b"\x12" + _varint(len(metric)) + metric


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)
