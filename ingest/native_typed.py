"""Native JSON by type: messages like ones seen before are decoded by generated types.

Names, types and missing members are checked by the decoder itself. What it lets through silently is
a key that stands twice: there the last one wins. A payload without a backslash has as many colons
as it has keys, and those inside texts that are known; one more, and a key stood twice. Whatever
does not fit takes the exact path (`ingest.native_exact`), which also names the reason.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec.structs import astuple

from core.metrics import CATALOGUE
from core.samples import QUALITY_BY_NAME, Floats, Ints
from core.units import UNITS
from ingest.device_lists import DeviceLists
from ingest.limits import IngestLimits
from ingest.messages import Decoded
from ingest.native_exact import MEMBERS, SEQ_LIMIT, TIME_LIMIT, Profile
from ingest.times import parse_times
from ingest.topics import Topic

# Without a colon, a quote or anything that would be escaped.
_PLAIN_NAME = re.compile(r"\A[A-Za-z0-9_.-]{1,64}\Z", re.ASCII)
_LINE_END, _COLON = b"\n:"
# Forms of which many are decoded in one pass: the first and the last byte of a document.
JOINED_FORMS = {"one": b"{}", "array": b"[]"}
# Below this a plain count is as fast as one in numpy.
_LONG = 512
_COLUMN_MEMBERS = frozenset({"device", "units"})

_Int = Annotated[int, msgspec.Meta(ge=-TIME_LIMIT, le=TIME_LIMIT)]
_Seq = Annotated[int, msgspec.Meta(ge=0, lt=SEQ_LIMIT)]
_Quality = Literal["good", "estimated", "manual", "uncertain"]


@dataclass(frozen=True, slots=True)
class ShapeKey:
    """What decides a generated type."""

    family: str
    form: str
    members: frozenset[str]
    metrics: tuple[str, ...]
    complete: bool
    units: tuple[tuple[str, str], ...]
    text_time: bool
    one_time: bool
    name_chars: int


class Shape:
    """A generated type with its decoder, and what its messages must add up to.

    Attributes:
        form: `one`, `array`, `readings` or `columns`.
    """

    def __init__(self, key: ShapeKey, lists: DeviceLists) -> None:
        self.key = key
        self.lists = lists
        self.form = key.form
        self.metrics = key.metrics
        declared = dict(key.units)
        self.units = tuple(declared.get(metric, "") for metric in key.metrics)
        self.expected_units = declared
        self.ignored = sorted(key.members - MEMBERS)
        self.has = {name: name in key.members for name in MEMBERS}
        # Keys of one reading (rows) or of the whole body (columns) besides the values' own.
        self.fixed_keys = 2 + len(key.members) + (len(declared) if self.has["units"] else 0)
        self.decoder: Any = msgspec.json.Decoder(_build_type(key, self.ignored))

    def values_of(self, rows: Sequence[Any]) -> Floats:
        """(metrics, n) numbers of decoded readings."""
        if len(self.metrics) == 1:
            numbers = [row.values.m0 for row in rows]
        else:
            numbers = list(chain.from_iterable(map(astuple, [row.values for row in rows])))
        # A third of the time that numpy takes to look at a list.
        packed = struct.pack(f"{len(numbers)}d", *numbers)
        return np.frombuffer(packed).reshape(len(rows), len(self.metrics)).T


def shape_key(profile: Profile, family: str, limits: IngestLimits) -> ShapeKey | None:
    """The key of a profile's type; None where such messages are left to the exact path."""
    metrics = sorted(set().union(*profile.metrics))
    known = all((family, metric) in CATALOGUE for metric in metrics)
    units = all(metric in metrics and unit in UNITS for metric, unit in profile.units)
    plain = all(_PLAIN_NAME.match(name) for name in profile.members)
    columns = profile.form == "columns"
    if not (known and units and plain) or (columns and not profile.members <= _COLUMN_MEMBERS):
        return None
    return ShapeKey(
        family,
        profile.form,
        profile.members,
        tuple(metrics),
        not profile.nulls if columns else len(profile.metrics) == 1,
        profile.units,
        profile.text_time,
        profile.one_time,
        limits.name_chars,
    )


def _struct(name: str, fields: list[tuple[Any, ...]], rename: dict[str, str] | None = None) -> Any:
    return msgspec.defstruct(
        name, fields, rename=rename, forbid_unknown_fields=True, gc=False, kw_only=True
    )


def _name_type(key: ShapeKey) -> Any:
    return Annotated[str, msgspec.Meta(max_length=key.name_chars)]


def _build_type(key: ShapeKey, ignored: list[str]) -> Any:
    columns = key.form == "columns"
    name = _name_type(key)
    number: Any = float
    if columns:
        number = list[float] if key.complete else list[float | None]
    fields: list[tuple[Any, ...]] = []
    for position in range(len(key.metrics)):
        absent = () if key.complete or columns else (math.nan,)
        fields.append((f"m{position}", number, *absent))
    rename = {f"m{position}": metric for position, metric in enumerate(key.metrics)}
    values = _struct("Values", fields, rename)
    time: Any = str if key.text_time else _Int
    one: list[tuple[Any, ...]] = [("values", values)]
    one.append(("ts", list[time] if columns and not key.one_time else time))
    types = {
        "device": msgspec.Raw if columns else name,
        "units": dict[str, str],
        "seq": _Seq,
        "quality": _Quality,
        "site": name,
    }
    one += [(member, types[member]) for member in sorted(key.members & MEMBERS)]
    one += [(f"x{position}", msgspec.Raw) for position in range(len(ignored))]
    reading = _struct("Reading", one, {f"x{n}": member for n, member in enumerate(ignored)})
    if key.form == "columns":
        return _struct("Message", [("columns", reading)])
    if key.form == "readings":
        return _struct("Message", [("readings", _list_of(reading))])
    return _list_of(reading) if key.form == "array" else reading


def _list_of(item: Any) -> Any:
    return list[item]


def decode_typed(
    shape: Shape,
    index: int,
    topic: Topic,
    payload: bytes,
    limits: IngestLimits,
    decoded: Decoded,
) -> bool:
    """Decode one payload by type; False (and nothing done) where it does not fit."""
    if b"\\" in payload or not payload.isascii():
        return False
    try:
        document = shape.decoder.decode(payload)
    except (msgspec.DecodeError, ValueError):
        return False
    if shape.form == "columns":
        return _take_columns(shape, index, topic, document.columns, payload, limits, decoded)
    if shape.form == "one":
        rows = [document]
    elif shape.form == "array":
        rows = document
    else:
        rows = document.readings
    if not 0 < len(rows) <= limits.readings:
        return False
    wrapper = 1 if shape.form == "readings" else 0
    named = _devices_of(shape, rows, topic.site, [topic.device] * len(rows))
    if named is None:
        return False
    found = _columns_of_rows(shape, rows, _count_colons(payload) - wrapper)
    if found is None:
        return False
    times, values, quality = found
    devices: Sequence[str] = named
    if shape.has["device"] and len(rows) > 1:
        devices = shape.lists.in_turn(named)
    decoded.of(topic.site, topic.family, shape.metrics, shape.units).extend(
        index, 0, devices, times, values, quality
    )
    if shape.ignored:
        decoded.ignored.update(dict.fromkeys(shape.ignored, len(rows)))
    return True


def decode_joined(
    shape: Shape,
    messages: Sequence[tuple[int, Topic, bytes]],
    limits: IngestLimits,
    decoded: Decoded,
) -> bool:
    """Decode many messages in one pass; False (and nothing done) where one does not fit.

    Args:
        shape: Of one of the `JOINED_FORMS`.
        messages: Of one site.
    """
    numbers, topics, payloads = zip(*messages, strict=True)
    joined = b"\n".join(payloads)
    opening, closing = JOINED_FORMS[shape.form]
    # A line may hold several documents and a document several lines. Only where every joint is `}`,
    # line end, `{` does each payload hold whole documents, at least one, and therefore exactly one.
    if b"\\" in joined or not joined.isascii():
        return False
    if joined[0] != opening or joined[-1] != closing:
        return False
    text = np.frombuffer(joined, np.uint8)
    joints = np.flatnonzero(text == _LINE_END)
    if (
        len(joints) != len(messages) - 1
        or (text[joints - 1] != closing).any()
        or (text[joints + 1] != opening).any()
    ):
        return False
    try:
        found = shape.decoder.decode_lines(joined)
    except (msgspec.DecodeError, ValueError):
        return False
    if len(found) != len(messages):
        return False
    devices = [topic.device for topic in topics]
    if shape.form == "one":
        rows, counts = found, [1] * len(found)
    else:
        rows, counts = list(chain.from_iterable(found)), list(map(len, found))
        if min(counts) == 0 or max(counts) > limits.readings:
            return False
        devices = list(chain.from_iterable(map(repeat, devices, counts)))
    site = topics[0].site
    named = _devices_of(shape, rows, site, devices)
    if named is None:
        return False
    columns = _columns_of_rows(shape, rows, int(np.count_nonzero(text == _COLON)))
    if columns is None:
        return False
    if shape.ignored:
        decoded.ignored.update(dict.fromkeys(shape.ignored, len(rows)))
    decoded.of(site, shape.key.family, shape.metrics, shape.units).extend_many(
        numbers, counts, named, *columns
    )
    return True


def _devices_of(
    shape: Shape, rows: Sequence[Any], site: str, of_topics: list[str]
) -> list[str] | None:
    """The device of each row; None where one has none, or is of another place than its topic.

    Args:
        of_topics: For each row the device that its topic names, or nothing.
    """
    if shape.has["site"] and any(row.site != site for row in rows):
        return None
    if not shape.has["device"]:
        return None if "" in of_topics else of_topics
    named = [row.device for row in rows]
    if any(of_topics) and any(
        topic and topic != name for topic, name in zip(of_topics, named, strict=True)
    ):
        return None
    return named


def _count_colons(payload: bytes) -> int:
    if len(payload) < _LONG:
        return payload.count(b":")
    return int(np.count_nonzero(np.frombuffer(payload, np.uint8) == _COLON))


def _columns_of_rows(
    shape: Shape, rows: Sequence[Any], colons: int
) -> tuple[Ints, Floats, list[int]] | None:
    """Times, values and quality of rows; None where a key stood twice or a rule is broken."""
    count = len(rows)
    expected = count * shape.fixed_keys
    if shape.key.text_time:
        texts = [row.ts for row in rows]
        expected += "".join(texts).count(":")
        parsed = parse_times(texts)
        if parsed is None:
            return None
        times = parsed
    else:
        times = np.fromiter([row.ts for row in rows], np.int64, count)
    values = shape.values_of(rows)
    if shape.key.complete:
        expected += count * len(shape.metrics)
    else:
        absent = np.isnan(values)
        if absent.all(axis=0).any():
            return None
        expected += absent.size - int(absent.sum())
    if colons != expected:
        return None
    if shape.has["units"] and any(row.units != shape.expected_units for row in rows):
        return None
    for position in range(len(shape.ignored)):
        # Only plain values are skipped here: the exact path measures nesting.
        if any(bytes(getattr(row, f"x{position}"))[:1] in (b"{", b"[") for row in rows):
            return None
    quality: list[int] = []
    if shape.has["quality"]:
        quality = [QUALITY_BY_NAME[row.quality].value for row in rows]
    return times, values, quality


def _take_columns(
    shape: Shape,
    index: int,
    topic: Topic,
    body: Any,
    payload: bytes,
    limits: IngestLimits,
    decoded: Decoded,
) -> bool:
    values = [getattr(body.values, f"m{position}") for position in range(len(shape.metrics))]
    count = len(values[0])
    if not 0 < count <= limits.readings or any(len(column) != count for column in values):
        return False
    expected = 1 + shape.fixed_keys + len(shape.metrics)
    texts = [body.ts] if shape.key.one_time else body.ts
    if len(texts) != (1 if shape.key.one_time else count):
        return False
    if shape.key.text_time:
        expected += "".join(texts).count(":")
        times = parse_times(texts)
        if times is None:
            return False
    else:
        times = np.array(texts, np.int64)
    if shape.key.one_time:
        times = np.repeat(times, count)
    if _count_colons(payload) != expected:
        return False
    if shape.has["units"] and body.units != shape.expected_units:
        return False
    devices: Sequence[str]
    if shape.has["device"]:
        try:
            devices = shape.lists.of_text(bytes(body.device))
        except (msgspec.DecodeError, ValueError):
            return False
        if len(devices) != count:
            return False
        if topic.device and any(device != topic.device for device in devices):
            return False
    elif topic.device:
        devices = [topic.device] * count
    else:
        return False
    columns = np.array(values, np.float64)  # null becomes NaN
    if not shape.key.complete and np.isnan(columns).all(axis=0).any():
        return False  # a row of nulls only is none
    decoded.of(topic.site, topic.family, shape.metrics, shape.units).extend(
        index, 0, devices, times, columns
    )
    return True
