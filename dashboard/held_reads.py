"""Reads of the store that are held for a while, because several charts and people ask the same."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar, cast

T = TypeVar("T")
_MOST = 512


class HeldReads:
    """Values by key, each kept for the time that its reader allows. Thread-safe.

    Of several that ask for the same at once one reads and the others wait for it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._held: OrderedDict[Hashable, tuple[float, object]] = OrderedDict()
        self._reading: dict[Hashable, threading.Lock] = {}

    def get(self, key: Hashable, seconds: float, read: Callable[[], T]) -> T:
        """What is held under this key and younger than `seconds`; else what `read` gives."""
        with self._lock:
            reading = self._reading.setdefault(key, threading.Lock())
        with reading:
            found = self._young(key, seconds)
            if found is not None:
                return cast(T, found[0])
            value = read()
            self._keep(key, value)
            return value

    def _young(self, key: Hashable, seconds: float) -> tuple[object] | None:
        with self._lock:
            found = self._held.get(key)
            if found is None or self._clock() - found[0] >= seconds:
                return None
            self._held.move_to_end(key)
            return (found[1],)

    def _keep(self, key: Hashable, value: object) -> None:
        with self._lock:
            self._held[key] = (self._clock(), value)
            self._held.move_to_end(key)
            while len(self._held) > _MOST:
                gone, _ = self._held.popitem(last=False)
                self._reading.pop(gone, None)
