"""The column form of native JSON: lists of one length, one row a reading."""

from __future__ import annotations

from typing import Any

import numpy as np

from core.errors import RefusedReadingError
from core.samples import Ints
from ingest.messages import DecodedChunk, DecodedMessage

_KNOWN = frozenset({"ts", "device", "values", "units", "quality", "seq", "site"})


def decode_columns(document: dict[str, Any], *, gateway: bool, max_readings: int) -> DecodedMessage:
    """Decode `{"columns": {…}}`.

    Raises:
        RefusedReadingError: The message as a whole has not the agreed shape.
    """
    from ingest.native import MAX_NAME, parse_quality, parse_units

    columns = document["columns"]
    if not isinstance(columns, dict):
        raise RefusedReadingError("wrong_shape", "columns is not an object")
    values = columns.get("values")
    if values is None:
        raise RefusedReadingError("missing_values", "the columns have no values")
    if not isinstance(values, dict) or not all(isinstance(c, list) for c in values.values()):
        raise RefusedReadingError("wrong_shape", "values is not an object of lists")
    if not values:
        raise RefusedReadingError("missing_values", "values is empty")
    length = len(next(iter(values.values())))
    if any(len(column) != length for column in values.values()):
        raise RefusedReadingError("wrong_shape", "the lists of values differ in length")
    if length == 0:
        raise RefusedReadingError("empty_message", "the lists are empty")
    if length > max_readings:
        raise RefusedReadingError("too_many_readings", f"{length} rows, at most {max_readings}")
    for name in values:
        if len(name) > MAX_NAME:
            raise RefusedReadingError("name_too_long", f"metric {name[:MAX_NAME]!r}…")
    decoded = DecodedMessage(0)
    decoded.ignored.update(name[:MAX_NAME] for name in columns if name not in _KNOWN)
    decoded.ignored.update(name[:MAX_NAME] for name in document if name not in {"columns", "site"})
    for holder in (document, columns):
        site = holder.get("site")
        if site is not None:
            if not isinstance(site, str):
                raise RefusedReadingError("wrong_type", "site is not a string")
            decoded.sites.add(site)
    units = parse_units(columns.get("units"), values)
    quality = columns.get("quality")
    if isinstance(quality, list):
        if len(quality) != length:
            raise RefusedReadingError("wrong_shape", "quality has another length")
        codes = np.array([parse_quality(name) for name in quality], dtype=np.int8)
    else:
        codes = np.full(length, parse_quality(quality), dtype=np.int8)
    devices = _devices(columns.get("device"), length, gateway, decoded)
    numbers, present = _numbers(values, length, decoded)
    times, timed = _times(columns.get("ts"), length, decoded)
    decoded.count = int(present.sum())
    if decoded.count == 0:
        raise RefusedReadingError("empty_message", "every row holds nulls only")
    # A row of nulls is no reading, whatever else is wrong with it.
    for reason, rows in list(decoded.refusals.by_reason.items()):
        kept = sorted({row for row in rows if present[row]})
        if kept:
            decoded.refusals.by_reason[reason] = kept
        else:
            del decoded.refusals.by_reason[reason]
    refused = _first_reasons(decoded, length)
    good = present & timed & ~refused
    left: Ints = np.flatnonzero(good).astype(np.int64)
    if len(left):
        decoded.chunks.append(
            DecodedChunk(
                rows=left,
                devices=None if devices is None else [devices[row] for row in left],
                time_ms=times[left],
                quality=codes[left],
                units=units,
                values={name: column[left] for name, column in numbers.items()},
            )
        )
    return decoded


def _first_reasons(decoded: DecodedMessage, length: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    # A row may be wrong in several ways; it is refused once, for what was found first.
    refused = np.zeros(length, dtype=bool)
    for reason, rows in list(decoded.refusals.by_reason.items()):
        fresh = [row for row in rows if not refused[row]]
        refused[fresh] = True
        if fresh:
            decoded.refusals.by_reason[reason] = fresh
        else:
            del decoded.refusals.by_reason[reason]
    return refused


def _devices(column: Any, length: int, gateway: bool, decoded: DecodedMessage) -> list[str] | None:
    from ingest.native import MAX_NAME

    if column is None:
        if gateway:
            raise RefusedReadingError("missing_device", "columns on a gateway topic need device")
        return None
    if isinstance(column, str):
        column = [column] * length
    if not isinstance(column, list) or len(column) != length:
        raise RefusedReadingError("wrong_shape", "device is no list of the values' length")
    for row, device in enumerate(column):
        if device is None:
            decoded.refusals.add(row, "missing_device", "a row names no device")
        elif not isinstance(device, str):
            decoded.refusals.add(row, "wrong_type", "device is not a string")
        elif len(device) > MAX_NAME:
            decoded.refusals.add(row, "name_too_long", f"device {device[:MAX_NAME]!r}…")
    return column


def _numbers(
    values: dict[str, list[Any]], length: int, decoded: DecodedMessage
) -> tuple[dict[str, Any], np.ndarray[Any, np.dtype[np.bool_]]]:
    from ingest.native import parse_number

    present = np.zeros(length, dtype=bool)
    numbers = {}
    for name, column in values.items():
        try:
            # The common case at once: numbers and nulls only (numpy makes NaN of None).
            plain = all(type(value) in (int, float, type(None)) for value in column)
            parsed = np.array(column, dtype=np.float64) if plain else None
        except (OverflowError, ValueError, TypeError):
            parsed = None
        if parsed is not None:
            null = np.fromiter((value is None for value in column), dtype=bool, count=length)
            if np.isfinite(parsed[~null]).all():
                numbers[name] = parsed
                present |= ~null
                continue
        parsed = np.full(length, np.nan)
        for row, value in enumerate(column):
            if value is None:
                continue
            present[row] = True
            try:
                parsed[row] = parse_number(name, value)
            except RefusedReadingError as refusal:
                decoded.refusals.add(row, refusal.reason, refusal.detail)
        numbers[name] = parsed
    return numbers, present


def _times(
    column: Any, length: int, decoded: DecodedMessage
) -> tuple[Ints, np.ndarray[Any, np.dtype[np.bool_]]]:
    from ingest.native import _MAX_MS, parse_time

    if column is None:
        raise RefusedReadingError("missing_time", "the columns have no ts")
    if not isinstance(column, list):
        return np.full(length, parse_time(column), dtype=np.int64), np.ones(length, dtype=bool)
    if len(column) != length:
        raise RefusedReadingError("wrong_shape", "ts has another length than the values")
    if all(type(stamp) is int for stamp in column):
        try:
            times = np.array(column, dtype=np.int64)
            if ((times >= 0) & (times < _MAX_MS)).all():
                return times, np.ones(length, dtype=bool)
        except OverflowError:
            pass
    times = np.zeros(length, dtype=np.int64)
    good = np.ones(length, dtype=bool)
    for row, stamp in enumerate(column):
        try:
            times[row] = parse_time(stamp)
        except RefusedReadingError as refusal:
            good[row] = False
            decoded.refusals.add(row, refusal.reason, refusal.detail)
    return times, good
