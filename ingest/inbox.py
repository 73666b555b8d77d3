"""Messages between the network thread and the spool thread: bounded, handed over in batches."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

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

    def put(self, messages: Iterable[RawMessage]) -> None:
        """Add messages."""
        with self._condition:
            for message in messages:
                self._messages.append(message)
                self._bytes += len(message.payload)
            self._changed_at = time.monotonic()
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
                if len(self._messages) >= limits.quiet_messages:
                    until = min(until, self._changed_at + limits.quiet_ms / 1000)
                if now >= until:
                    break
                self._condition.wait(until - now)
            count = min(len(self._messages), limits.commit_messages)
            taken: list[RawMessage] = []
            size = 0
            for message in self._messages[:count]:
                if taken and size + len(message.payload) > 2 * limits.commit_bytes:
                    break
                taken.append(message)
                size += len(message.payload)
            del self._messages[: len(taken)]
            self._bytes -= size
            self._condition.notify_all()
        return taken

    def _is_enough(self) -> bool:
        limits = self._limits
        return len(self._messages) >= limits.commit_messages or self._bytes >= limits.commit_bytes
