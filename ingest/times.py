"""Time stamps of the wire: RFC 3339 texts to epoch milliseconds, one by one or in columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from core.errors import RefusedReadingError
from core.periods import parse_rfc3339, to_ms
from core.samples import Ints

# What RFC 3339 would take if only the offset were there.
_WITHOUT_OFFSET = re.compile(r"\A\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?\Z", re.ASCII)
_LAYOUT = re.compile(r"\A.{19}(\.\d+)?(Z|[+-]\d{2}:\d{2})\Z", re.ASCII)
# Below this many texts the column form costs more than it saves.
_COLUMN_MIN = 24
_DIGIT_COLUMNS = (0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18)
_DAY_MS = 86_400_000


def parse_time(text: str) -> int:
    """Epoch milliseconds of an RFC 3339 time with offset; finer fractions are cut.

    Raises:
        RefusedReadingError: `time_without_offset` or `malformed_time`.
    """
    try:
        return _parse_cached(text)
    except (ValueError, OverflowError):
        shown = ascii(text[:64])
        if _WITHOUT_OFFSET.match(text):
            raise RefusedReadingError(
                "time_without_offset", f"{shown} has no offset such as Z or +09:00"
            ) from None
        raise RefusedReadingError(
            "malformed_time", f"{shown} is not RFC 3339 like 2026-11-20T09:15:00+09:00"
        ) from None


@lru_cache(maxsize=16_384)
def _parse_cached(text: str) -> int:
    return to_ms(parse_rfc3339(text))


def parse_times(texts: Sequence[str]) -> Ints | None:
    """Epoch milliseconds of many texts; None where one of them cannot be read.

    Args:
        texts: RFC 3339 with offset.
    """
    if len(texts) >= _COLUMN_MIN:
        column = _parse_column(texts)
        if column is not None:
            return column
    try:
        return np.array([_parse_cached(text) for text in texts], np.int64)
    except (ValueError, OverflowError):
        return None


def _begins_of_days(year: Ints, month: Ints, date: Ints) -> Ints | None:
    """Epoch milliseconds at which days begin; None where one of them does not exist."""
    # Nearly always all of one day.
    if all((part == part[0]).all() for part in (date, month, year)):
        year, month, date = year[:1], month[:1], date[:1]
    if (year < 1900).any() or (month < 1).any() or (month > 12).any() or (date < 1).any():
        return None
    months = (year - 1970) * 12 + month - 1
    first = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    after = (months + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    if (first + date > after).any():
        return None
    begin_ms: Ints = (first + date - 1) * _DAY_MS
    return begin_ms


def _parse_column(texts: Sequence[str]) -> Ints | None:
    """All texts at once where they have one layout and nothing unusual; else None."""
    layout = _LAYOUT.match(texts[0])
    if layout is None:
        return None
    joined = "".join(texts)
    length = len(texts[0])
    if len(joined) != length * len(texts) or not joined.isascii():
        return None
    # Texts of other lengths would shift the separators of some row, which is seen below.
    chars = np.frombuffer(joined.encode("ascii"), np.uint8).reshape(len(texts), length)
    if not (
        (chars[:, (4, 7)] == 45).all()
        and (chars[:, 10] == 84).all()
        and (chars[:, (13, 16)] == 58).all()
    ):
        return None
    digits = chars[:, _DIGIT_COLUMNS] - 48  # uint8: what lies below "0" wraps above 9
    if (digits > 9).any():
        return None
    century, year, month, date, hour, minute, second = (
        (digits[:, 0::2] * 10 + digits[:, 1::2]).astype(np.int64).T  # at most 99, fits uint8
    )
    if (hour > 23).any() or (minute > 59).any() or (second > 59).any():
        return None
    begin_ms = _begins_of_days(century * 100 + year, month, date)
    if begin_ms is None:
        return None
    time_ms = begin_ms + (hour * 3600 + minute * 60 + second) * 1000
    fraction, zone = layout.group(1) or "", layout.group(2)
    if fraction:
        if (chars[:, 19] != 46).any():
            return None
        part = chars[:, 20 : 19 + len(fraction)] - 48
        if (part > 9).any():
            return None
        for weight, column in zip((100, 10, 1), part.T, strict=False):
            time_ms += weight * column.astype(np.int64)
    at = 19 + len(fraction)
    if zone == "Z":
        return None if (chars[:, at] != 90).any() else time_ms.astype(np.int64)
    sign = chars[:, at]
    offset = chars[:, (at + 1, at + 2, at + 4, at + 5)] - 48
    if (
        not ((sign == 43) | (sign == 45)).all()
        or (chars[:, at + 3] != 58).any()
        or (offset > 9).any()
        or (offset[:, 2] > 5).any()
    ):
        return None
    o = offset.astype(np.int64)
    hours = o[:, 0] * 10 + o[:, 1]
    if (hours > 23).any():
        return None
    moved = (hours * 60 + o[:, 2] * 10 + o[:, 3]) * 60_000
    result: Ints = time_ms - np.where(sign == 43, moved, -moved)
    return result
