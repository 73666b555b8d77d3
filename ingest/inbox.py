"""Messages between the network thread and the spool thread: bounded, handed over in batches."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from ingest.limits import IngestLimits
from ingest.messages import RawMessage


class Inbox:
    """A bounded queue of messages. Thread-safe.

    It is filled by whole reads of the socket, so it may exceed its bounds by one of them.
    """

    def __init__(self, limits: IngestLimits) -> None:
        self._limits = limits
        self._messages: list[RawMessage] = []
        self._bytes = 0
        self._changed_at = 0.0
        self._condition = threading.Condition()

    def put(self, messages: Sequence[RawMessage]) -> None:
        """Add messages."""
        size = sum([len(message.payload) for message in messages])
        with self._condition:
            before = len(self._messages)
            self._messages.extend(messages)
            self._bytes += size
            self._changed_at = time.monotonic()
            # Only for what changes how long the commit waits: messages come in a thousand reads a
            # second, and to wake somebody costs as much as to read.
            quiet = self._limits.quiet_messages
            if not before or before < quiet <= len(self._messages) or self._is_enough():
                self._condition.notify_all()

    def _is_full(self) -> bool:
        limits = self._limits
        return len(self._messages) >= limits.inbox_messages or self._bytes >= limits.inbox_bytes

    def has_room(self, seconds: float) -> bool:
        """Whether there is room; waits for it so long."""
        with self._condition:
            return self._condition.wait_for(lambda: not self._is_full(), seconds)

    def __len__(self) -> int:
        return len(self._messages)

    def take(self, seconds: float) -> list[RawMessage]:
        """The messages of one commit; empty when none came within `seconds`.

        A commit begins when enough waits, when the oldest has waited long enough, or when nothing
        more comes: a broker whose window is full sends no more until it is acknowledged.
        """
        limits = self._limits
        with self._condition:
            if not self._condition.wait_for(lambda: bool(self._messages), seconds):
                return []
            deadline = time.monotonic() + limits.commit_ms / 1000
            while not self._is_enough():
                now = time.monotonic()
                until = deadline
                waiting = len(self._messages)
                if waiting >= limits.quiet_messages:
                    # A window of so many is no bottleneck, and to look every time is not free.
                    patience = 4 if waiting >= 16 * limits.quiet_messages else 1
                    until = min(until, self._changed_at + patience * limits.quiet_ms / 1000)
                if now >= until:
                    break
                self._condition.wait(until - now)
            taken = self._messages[: limits.commit_messages]
            sizes = [len(message.payload) for message in taken]
            size = sum(sizes)
            while len(taken) > 1 and size > 2 * limits.commit_bytes:
                size -= sizes.pop()
                taken.pop()
            del self._messages[: len(taken)]
            self._bytes -= size
            self._condition.notify_all()
        return taken

    def _is_enough(self) -> bool:
        limits = self._limits
        return len(self._messages) >= limits.commit_messages or self._bytes >= limits.commit_bytes
