"""The bytes of a Sparkplug B payload: protobuf, walked by hand; and what a metric's value is.

The declaration of the format is ours: the numbers of the fields below are all that is needed to
read numbers, names and flags. What is no number (data sets, templates, texts) is stepped over and
kept by kind only. A payload that breaks off or lies about its lengths is refused with the byte.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from core.errors import RefusedReadingError

DATATYPES = (
    *("Unknown", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64"),
    *("Float", "Double", "Boolean", "String", "DateTime", "Text", "UUID", "DataSet", "Bytes"),
    *("File", "Template", "PropertySet", "PropertySetList"),
)
INT8, INT16, INT32, INT64, UINT8, UINT16, UINT32, UINT64, FLOAT, DOUBLE, BOOLEAN = range(1, 12)
_SIGNED_BITS = {INT8: 8, INT16: 16, INT32: 32, INT64: 64}
_UNSIGNED_BITS = {UINT8: 8, UINT16: 16, UINT32: 32, UINT64: 64}
_SHOWN = 64

# Kinds of value as they stand on the wire.
INTEGER, REAL, BOOL, OTHER = "integer", "real", "boolean", "other"
_OTHER_KINDS = {
    15: "a text",
    16: "bytes",
    17: "a data set",
    18: "a template",
    19: "an extension",
}

_float = struct.Struct("<f").unpack_from
_double = struct.Struct("<d").unpack_from
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class WireMetric(msgspec.Struct, gc=False):
    """One metric of a payload.

    Attributes:
        name: Folder and name; empty where only the alias is given.
        time_ms: UTC epoch milliseconds.
        datatype: Position in `DATATYPES`, or larger for arrays; None where it is left to the birth.
        quality: Value of the property `Quality`; None without one.
        kind: `integer`, `real`, `boolean`, `other`; empty without a value.
        value: An integer is the wire's unsigned one; of `other` it is what it is, in words.
    """

    name: str = ""
    alias: int | None = None
    time_ms: int | None = None
    datatype: int | None = None
    is_historical: bool = False
    is_transient: bool = False
    is_null: bool = False
    quality: int | None = None
    kind: str = ""
    value: Any = None


@dataclass(frozen=True, slots=True)
class WirePayload:
    """A whole payload.

    Attributes:
        time_ms: When it was sent, by the sender's clock, UTC epoch milliseconds.
        seq: Sequence number as sent.
        has_body: Whether it carries bytes instead of metrics, as a compressed payload does.
    """

    time_ms: int | None
    seq: int | None
    metrics: list[WireMetric]
    has_body: bool = False

    def integer(self, name: str) -> int | None:
        """Value of the integer metric of this name; None without one."""
        for metric in self.metrics:
            if metric.name == name and metric.kind == INTEGER:
                return int(metric.value)
        return None


def parse_payload(data: bytes) -> WirePayload:
    """Read a payload.

    Raises:
        RefusedReadingError: `malformed_protobuf`, or `empty_message` without a byte.
    """
    if not data:
        raise RefusedReadingError("empty_message", "the payload has no byte")
    time_ms: int | None = None
    seq: int | None = None
    metrics: list[WireMetric] = []
    has_body = False
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at, end)
        if tag == 0x12:
            size, at = _varint(data, at, end)
            after = at + size
            if after > end:
                raise _broken(at, f"a metric of {size} bytes where {end - at} are left")
            metrics.append(_parse_metric(data, at, after))
            at = after
        elif tag == 0x08:
            time_ms, at = _varint(data, at, end)
        elif tag == 0x18:
            seq, at = _varint(data, at, end)
        else:
            has_body = has_body or tag == 0x2A
            at = _skip(data, at, end, tag)
    return WirePayload(time_ms, seq, metrics, has_body)


def _parse_metric(data: bytes, at: int, end: int) -> WireMetric:
    metric = WireMetric()
    while at < end:
        tag = data[at]
        at += 1
        if tag > 127:
            tag, at = _varint(data, at - 1, end)
        if tag == 0x10:
            metric.alias, at = _varint(data, at, end)
        elif tag == 0x18:
            metric.time_ms, at = _varint(data, at, end)
        elif tag == 0x69:
            metric.kind, metric.value, at = REAL, _double(data, _within(at, 8, end))[0], at + 8
        elif tag == 0x65:
            metric.kind, metric.value, at = REAL, _float(data, _within(at, 4, end))[0], at + 4
        elif tag == 0x50:
            value, at = _varint(data, at, end)
            metric.kind, metric.value = INTEGER, value & 0xFFFFFFFF
        elif tag == 0x58:
            value, at = _varint(data, at, end)
            metric.kind, metric.value = INTEGER, value
        elif tag == 0x0A:
            metric.name, at = _text(data, at, end)
        elif tag == 0x20:
            value, at = _varint(data, at, end)
            metric.datatype = value & 0xFFFFFFFF
        elif tag == 0x70:
            value, at = _varint(data, at, end)
            metric.kind, metric.value = BOOL, bool(value)
        elif tag == 0x4A:
            size, at = _varint(data, at, end)
            metric.quality = _quality(data, at, _within(at, size, end) + size)
            at += size
        elif tag in _FLAGS:
            value, at = _varint(data, at, end)
            _FLAGS[tag](metric, bool(value))
        else:
            number = tag >> 3
            at = _skip(data, at, end, tag)
            if number in _OTHER_KINDS and tag & 7 == _BYTES:
                metric.kind, metric.value = OTHER, _OTHER_KINDS[number]
    return metric


def _set_historical(metric: WireMetric, value: bool) -> None:
    metric.is_historical = value


def _set_transient(metric: WireMetric, value: bool) -> None:
    metric.is_transient = value


def _set_null(metric: WireMetric, value: bool) -> None:
    metric.is_null = value


_FLAGS: dict[int, Callable[[WireMetric, bool], None]] = {
    0x28: _set_historical,
    0x30: _set_transient,
    0x38: _set_null,
}


def _quality(data: bytes, at: int, end: int) -> int | None:
    """The property `Quality` of a property set, where it is an integer."""
    keys: list[str] = []
    values: list[int | None] = []
    while at < end:
        tag, at = _varint(data, at, end)
        if tag == 0x0A:
            key, at = _text(data, at, end)
            keys.append(key)
        elif tag == 0x12:
            size, at = _varint(data, at, end)
            values.append(_property_integer(data, at, _within(at, size, end) + size))
            at += size
        else:
            at = _skip(data, at, end, tag)
    return dict(zip(keys, values, strict=False)).get("Quality")


def _property_integer(data: bytes, at: int, end: int) -> int | None:
    found: int | None = None
    while at < end:
        tag, at = _varint(data, at, end)
        if tag in (0x18, 0x20):
            found, at = _varint(data, at, end)
        else:
            at = _skip(data, at, end, tag)
    return found


# ---------------------------------------------------------------- bytes


def _broken(at: int, what: str) -> RefusedReadingError:
    return RefusedReadingError("malformed_protobuf", f"byte {at + 1}: {what}")


def _within(at: int, size: int, end: int) -> int:
    if at + size > end:
        raise _broken(at, f"{size} bytes where {end - at} are left")
    return at


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """An unsigned integer of at most 64 bits, and where it ends."""
    if at >= end:
        raise _broken(at, "breaks off in a number")
    byte = data[at]
    if byte < 128:
        return byte, at + 1
    value, shift, start = byte & 127, 7, at
    while byte > 127:
        at += 1
        if at >= end:
            raise _broken(at, "breaks off in a number")
        if shift > 63:
            raise _broken(start, "a number of more than ten bytes")
        byte = data[at]
        value |= (byte & 127) << shift
        shift += 7
    return value & 0xFFFFFFFFFFFFFFFF, at + 1


def _text(data: bytes, at: int, end: int) -> tuple[str, int]:
    size, at = _varint(data, at, end)
    after = _within(at, size, end) + size
    try:
        return data[at:after].decode("utf-8"), after
    except UnicodeDecodeError:
        raise _broken(at, "a name that is no UTF-8") from None


def _skip(data: bytes, at: int, end: int, tag: int) -> int:
    """Step over a field that says nothing to us."""
    if tag < 8:
        raise _broken(at - 1, "a field without a number")
    kind = tag & 7
    if kind == _VARINT:
        return _varint(data, at, end)[1]
    if kind == _FIXED64:
        return _within(at, 8, end) + 8
    if kind == _FIXED32:
        return _within(at, 4, end) + 4
    if kind == _BYTES:
        size, at = _varint(data, at, end)
        return _within(at, size, end) + size
    raise _broken(at - 1, f"a field of the unknown wire type {kind}")


# ---------------------------------------------------------------- values


def name_datatype(datatype: int) -> str:
    """The type's name, for people."""
    return DATATYPES[datatype] if datatype < len(DATATYPES) else f"type {datatype}"


def number_of(metric: WireMetric, datatype: int) -> float:
    """The metric's value as a number, by its type.

    Negative integers stand on the wire as two's complement of their own width or of 32 bits: both
    are read. A finite integer beyond 2**53 loses its last digits, as in any float64.

    Raises:
        RefusedReadingError: `wrong_type`, `not_a_number`.
    """
    if metric.kind == REAL:
        if datatype not in (FLOAT, DOUBLE):
            raise _wrong(datatype, "a floating-point value")
        value = float(metric.value)
        if value - value != 0.0:
            raise RefusedReadingError("not_a_number", f"the value is {value}")
        return value
    if metric.kind == INTEGER:
        sent = int(metric.value)
        bits = _UNSIGNED_BITS.get(datatype)
        if bits is not None:
            if sent >> bits:
                raise _wrong(datatype, f"the value {sent}")
            return float(sent)
        bits = _SIGNED_BITS.get(datatype)
        if bits is not None:
            return float(_signed(sent, bits, datatype))
        raise _wrong(datatype, "an integer value")
    if not metric.kind:
        raise _wrong(datatype, "no value, and is not marked as null")
    what = "true or false" if metric.kind == BOOL else str(metric.value)
    raise RefusedReadingError("wrong_type", f"the value is {what}, not a number")


def _signed(sent: int, bits: int, datatype: int) -> int:
    for width in (bits, 32, 64):
        value = sent - (1 << width) if sent >> (width - 1) == 1 else sent
        if -(1 << (bits - 1)) <= value < 1 << (bits - 1):
            return value
    raise _wrong(datatype, f"the value {sent}")


def _wrong(datatype: int, found: str) -> RefusedReadingError:
    return RefusedReadingError("wrong_type", f"{name_datatype(datatype)} with {found}")
