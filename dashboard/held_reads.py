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

    Two that ask for the same at once may both read it: a read twice costs less than a lock held
    over a store that is slow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._held: OrderedDict[Hashable, tuple[float, object]] = OrderedDict()

    def get(self, key: Hashable, seconds: float, read: Callable[[], T]) -> T:
        """What is held under this key and younger than `seconds`; else what `read` gives."""
        now = self._clock()
        with self._lock:
            found = self._held.get(key)
            if found is not None and now - found[0] < seconds:
                self._held.move_to_end(key)
                return cast(T, found[1])
        value = read()
        with self._lock:
            self._held[key] = (now, value)
            self._held.move_to_end(key)
            while len(self._held) > _MOST:
                self._held.popitem(last=False)
        return value
