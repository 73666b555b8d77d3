"""The newest time of every device: what comes after it is new without a look-up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.intervals import Counts
from core.samples import Ints

NEVER = -(2**62)
# A time fits below the bits of a device's position in one int64 key.
_TIME_BITS = 43


def advance(newest: Ints, device_index: Counts, time_ms: Ints) -> NDArray[np.bool_]:
    """Move the newest times on by these readings, in this order.

    Args:
        newest: (devices,) newest time so far, moved in place.
        device_index: (n,) device of each reading.
        time_ms: (n,) times from 0 to 2**43.

    Returns:
        (n,) whether the reading is *not* newer than everything before it of its device.
    """
    count = len(time_ms)
    known = newest[device_index]
    if count <= 1:
        newest[device_index] = np.maximum(known, time_ms)
        return time_ms <= known
    if _all_newer_in_turn(newest, device_index, time_ms):
        return np.zeros(count, np.bool_)
    # Sorting small integers takes a fraction of the time.
    narrow = device_index.astype(np.int16) if len(newest) < 32_768 else device_index
    order = np.argsort(narrow, kind="stable")
    device = device_index[order].astype(np.int64)
    begins = np.empty(count, np.bool_)
    begins[0] = True
    np.not_equal(device[1:], device[:-1], out=begins[1:])
    if begins.all():
        newest[device_index] = np.maximum(known, time_ms)
        return time_ms <= known
    keys = (device << _TIME_BITS) + time_ms[order]
    running = np.maximum.accumulate(keys)
    older = time_ms[order] <= known[order]
    older[1:] |= ~begins[1:] & (keys[1:] <= running[:-1])
    ends = np.append(begins[1:], True)
    last = device[ends]
    newest[last] = np.maximum(newest[last], running[ends] - (last << _TIME_BITS))
    result = np.empty(count, np.bool_)
    result[order] = older
    return result


def _all_newer_in_turn(newest: Ints, device_index: Counts, time_ms: Ints) -> bool:
    """Move the newest times on where the same devices come again and again, each time newer.

    That is how gateways send, and it is seen without sorting. Nothing is moved where it is not so.
    """
    turn = int(np.argmax(device_index[1:] == device_index[0])) + 1
    if (
        (device_index[turn:] != device_index[:-turn]).any()
        or (time_ms[turn:] <= time_ms[:-turn]).any()
        or (time_ms[:turn] <= newest[device_index[:turn]]).any()
        or len(np.unique(device_index[:turn])) != turn
    ):
        return False
    newest[device_index[-turn:]] = time_ms[-turn:]
    return True
