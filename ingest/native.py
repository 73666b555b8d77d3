"""Native JSON: one reading, rows, columns.

The fast way decodes rows with typed msgspec structures. It is used only where it cannot differ from
the exact way: the number of keys in the payload has to be the number that the decoded readings
explain, so duplicate keys, unknown members and strings that look like keys all take the exact way,
which names reason codes.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from core.errors import RefusedReadingError
from core.periods import parse_rfc3339, to_ms
from core.samples import QUALITY_BY_NAME
from ingest.exact_json import parse_exact
from ingest.messages import DecodedChunk, DecodedMessage, zeros
from ingest.native_columns import decode_columns

MAX_READINGS = 5_000
MAX_NAME = 64
_KNOWN = frozenset({"ts", "values", "units", "seq", "quality", "device", "site"})
_MAX_SEQ = 2**32 - 1
# Epoch milliseconds of the years 1970 to 9999; a number outside is no time.
_MAX_MS = 253_402_300_800_000


class _Row(msgspec.Struct, gc=False):
    """A reading as most devices send it; anything else is for the exact way."""

    ts: int | str
    values: dict[str, float]
    device: str | msgspec.UnsetType = msgspec.UNSET
    seq: int | msgspec.UnsetType = msgspec.UNSET


_ROW = msgspec.json.Decoder(_Row)
_ROWS = msgspec.json.Decoder(list[_Row])


def decode_native(
    payload: bytes, *, gateway: bool, site: str, max_readings: int = MAX_READINGS
) -> DecodedMessage:
    """Decode one payload.

    Args:
        payload: Bytes within the size limit.
        gateway: Whether the topic leaves the device to the readings.
        site: The topic's site; a reading that names another is refused.

    Returns:
        Good rows in columns, refused rows with their reasons.

    Raises:
        RefusedReadingError: The message as a whole cannot be read; it counts as one reading.
    """
    single = decode_row(payload) if payload[:1] == b"{" else None
    rows = [single] if single is not None else _decode_fast(payload)
    if rows is not None and 0 < len(rows) <= max_readings:
        decoded = _from_rows(rows, payload, gateway=gateway)
        if decoded is not None:
            return decoded
    document = parse_exact(payload)
    return _decode_document(document, gateway=gateway, site=site, max_readings=max_readings)


def _decode_fast(payload: bytes) -> list[_Row] | None:
    try:
        return _ROWS.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def decode_row(payload: bytes) -> _Row | None:
    """One plain reading by the typed decoder; None where the exact way has to judge.

    The caller checks that the payload holds exactly the keys of the result.
    """
    try:
        return _ROW.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _from_rows(rows: list[_Row], payload: bytes, *, gateway: bool) -> DecodedMessage | None:
    names = tuple(rows[0].values)
    if not names or max(map(len, names)) > MAX_NAME:
        return None
    has_device = rows[0].device is not msgspec.UNSET
    has_seq = rows[0].seq is not msgspec.UNSET
    first = set(names)
    for row in rows:
        if row.values.keys() != first:
            return None
        if (row.device is not msgspec.UNSET) is not has_device:
            return None
        if (row.seq is not msgspec.UNSET) is not has_seq:
            return None
    keys = len(rows) * (2 + len(names) + has_device + has_seq)
    if payload.count(b'":') != keys or payload.count(b":") < keys:
        return None
    if has_device is not gateway:
        return None
    if has_seq and not all(0 <= row.seq <= _MAX_SEQ for row in rows):  # type: ignore[operator]
        return None
    times = _times([row.ts for row in rows])
    if times is None:
        return None
    values = {
        name: np.fromiter((row.values[name] for row in rows), np.float64, len(rows))
        for name in names
    }
    if not all(np.isfinite(column).all() for column in values.values()):
        return None
    devices = [str(row.device) for row in rows] if has_device else None
    if devices is not None and max(map(len, devices)) > MAX_NAME:
        return None
    chunk = DecodedChunk(
        np.arange(len(rows), dtype=np.int64), devices, times, zeros(len(rows)), {}, values
    )
    return DecodedMessage(len(rows), [chunk])


def _times(stamps: list[int | str]) -> np.ndarray[Any, np.dtype[np.int64]] | None:
    result = np.empty(len(stamps), dtype=np.int64)
    last: int | str = ""
    last_ms = 0
    for position, stamp in enumerate(stamps):
        if stamp != last or position == 0:
            try:
                last_ms = parse_time(stamp)
            except RefusedReadingError:
                return None
            last = stamp
        result[position] = last_ms
    return result


def parse_time(stamp: object) -> int:
    """Epoch milliseconds of a `ts` member.

    Raises:
        RefusedReadingError: `missing_time`, `time_without_offset`, `malformed_time`, `wrong_type`.
    """
    if stamp is None:
        raise RefusedReadingError("missing_time", "the reading has no ts")
    if isinstance(stamp, bool) or not isinstance(stamp, int | str):
        raise RefusedReadingError("wrong_type", f"ts is a {type(stamp).__name__}")
    if isinstance(stamp, int):
        if not 0 <= stamp < _MAX_MS:
            raise RefusedReadingError("malformed_time", f"{stamp} is no epoch millisecond")
        return stamp
    try:
        moment = parse_rfc3339(stamp)
        return to_ms(moment)
    except (ValueError, OverflowError):
        pass
    try:
        parse_rfc3339(stamp + "Z")
    except (ValueError, OverflowError):
        raise RefusedReadingError("malformed_time", f"{stamp[:64]!r} is not RFC 3339") from None
    raise RefusedReadingError("time_without_offset", f"{stamp[:64]!r} has no offset from UTC")


def _decode_document(
    document: Any, *, gateway: bool, site: str, max_readings: int
) -> DecodedMessage:
    if isinstance(document, dict) and "columns" in document:
        return decode_columns(document, gateway=gateway, max_readings=max_readings)
    wrapper_ignored: list[str] = []
    if isinstance(document, dict) and "readings" in document:
        readings = document["readings"]
        wrapper_ignored = [name for name in document if name != "readings"]
        if not isinstance(readings, list):
            raise RefusedReadingError("wrong_shape", "readings is not a list")
    elif isinstance(document, dict):
        readings = [document]
    elif isinstance(document, list):
        readings = document
    else:
        raise RefusedReadingError("wrong_shape", f"a {type(document).__name__} is no reading")
    if not readings:
        raise RefusedReadingError("empty_message", "the list of readings is empty")
    if len(readings) > max_readings:
        raise RefusedReadingError(
            "too_many_readings", f"{len(readings)} readings, at most {max_readings}"
        )
    decoded = DecodedMessage(len(readings))
    decoded.ignored.update(wrapper_ignored)
    if isinstance(document, dict) and isinstance(document.get("site"), str) and wrapper_ignored:
        decoded.sites.add(document["site"])
        del decoded.ignored["site"]
    _collect(readings, decoded, gateway=gateway, site=site)
    return decoded


def _collect(readings: list[Any], decoded: DecodedMessage, *, gateway: bool, site: str) -> None:
    groups: dict[tuple[Any, ...], list[tuple[int, str, int, int, dict[str, float]]]] = {}
    for row, reading in enumerate(readings):
        try:
            device, time_ms, quality, units, values = _decode_reading(
                reading, decoded, gateway=gateway, site=site
            )
        except RefusedReadingError as refusal:
            decoded.refusals.add(row, refusal.reason, refusal.detail)
            continue
        key = (tuple(sorted(values)), tuple(sorted(units.items())), bool(device))
        groups.setdefault(key, []).append((row, device, time_ms, quality, values))
    for (names, units_key, has_device), members in groups.items():
        decoded.chunks.append(
            DecodedChunk(
                rows=np.array([member[0] for member in members], dtype=np.int64),
                devices=[member[1] for member in members] if has_device else None,
                time_ms=np.array([member[2] for member in members], dtype=np.int64),
                quality=np.array([member[3] for member in members], dtype=np.int8),
                units=dict(units_key),
                values={
                    name: np.array([member[4][name] for member in members], dtype=np.float64)
                    for name in names
                },
            )
        )


def _decode_reading(
    reading: Any, decoded: DecodedMessage, *, gateway: bool, site: str
) -> tuple[str, int, int, dict[str, str], dict[str, float]]:
    if not isinstance(reading, dict):
        raise RefusedReadingError("wrong_type", f"a reading is a {type(reading).__name__}")
    for name in reading:
        if name not in _KNOWN:
            decoded.ignored[name[:MAX_NAME]] += 1
    named = reading.get("site")
    if named is not None and not isinstance(named, str):
        raise RefusedReadingError("wrong_type", "site is not a string")
    if named is not None and named != site:
        raise RefusedReadingError("site_mismatch", f"the reading names site {named[:64]!r}")
    device = _device(reading, gateway)
    time_ms = parse_time(reading.get("ts"))
    quality = parse_quality(reading.get("quality"))
    seq = reading.get("seq")
    if seq is not None and (
        isinstance(seq, bool) or not isinstance(seq, int) or not 0 <= seq <= _MAX_SEQ
    ):
        raise RefusedReadingError(
            "bad_sequence", f"seq {str(seq)[:32]} is no unsigned 32-bit integer"
        )
    values = _values(reading.get("values"))
    units = parse_units(reading.get("units"), values)
    return device, time_ms, quality, units, values


def _device(reading: dict[str, Any], gateway: bool) -> str:
    device = reading.get("device")
    if device is None:
        if gateway:
            raise RefusedReadingError("missing_device", "a reading on a gateway topic names none")
        return ""
    if not isinstance(device, str):
        raise RefusedReadingError("wrong_type", "device is not a string")
    if len(device) > MAX_NAME:
        raise RefusedReadingError("name_too_long", f"device {device[:MAX_NAME]!r}…")
    return device


def parse_quality(name: object) -> int:
    """Code of a `quality` member; good where it is absent.

    Raises:
        RefusedReadingError: `bad_quality`.
    """
    if name is None:
        return 0
    if not isinstance(name, str) or name not in QUALITY_BY_NAME:
        raise RefusedReadingError("bad_quality", f"{str(name)[:32]!r} is none of the four")
    return int(QUALITY_BY_NAME[name])


def _values(values: Any) -> dict[str, float]:
    if values is None:
        raise RefusedReadingError("missing_values", "the reading has no values")
    if not isinstance(values, dict):
        raise RefusedReadingError("wrong_type", "values is not an object")
    if not values:
        raise RefusedReadingError("missing_values", "values is empty")
    numbers: dict[str, float] = {}
    for name, value in values.items():
        if len(name) > MAX_NAME:
            raise RefusedReadingError("name_too_long", f"metric {name[:MAX_NAME]!r}…")
        numbers[name] = parse_number(name, value)
    return numbers


def parse_number(name: str, value: object) -> float:
    """A finite number.

    Raises:
        RefusedReadingError: `not_a_number` for null, NaN, infinities and overflow; `wrong_type`
            for strings, booleans and containers.
    """
    if value is None:
        raise RefusedReadingError("not_a_number", f"{name} is null")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RefusedReadingError("wrong_type", f"{name} is a {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:
        number = float("inf")
    if number - number != 0.0:  # NaN and infinities
        raise RefusedReadingError("not_a_number", f"{name} is not finite")
    return number


def parse_units(units: Any, values: dict[str, Any]) -> dict[str, str]:
    """Declared units of the metrics that the reading carries.

    Raises:
        RefusedReadingError: `wrong_type`, or `unknown_metric` for a unit of no metric.
    """
    if units is None:
        return {}
    if not isinstance(units, dict):
        raise RefusedReadingError("wrong_type", "units is not an object")
    for name, spelling in units.items():
        if not isinstance(spelling, str):
            raise RefusedReadingError("wrong_type", f"the unit of {name[:MAX_NAME]} is no string")
        if name not in values:
            raise RefusedReadingError(
                "unknown_metric", f"a unit is declared for {name[:MAX_NAME]!r}, which is not sent"
            )
    return dict(units)
