"""SenML packs (RFC 8428), JSON or CBOR: base values applied, one record after the other.

Pure; no mapping here. What is wrong with a base value is wrong with every record below it, so it
refuses the pack; what is wrong with a record refuses the record.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

from core.errors import RefusedReadingError
from ingest.cbor import parse_cbor
from ingest.json_text import parse_json

# CBOR label -> label of JSON.
_BASE_LABELS = {-1: "bver", -2: "bn", -3: "bt", -4: "bu", -5: "bv", -6: "bs"}
_LABELS = _BASE_LABELS | dict(enumerate(("n", "u", "v", "vs", "vb", "s", "t", "ut", "vd")))
_NUMBERS = ("bt", "bv", "bs", "v", "s", "t", "ut")
_TEXTS = ("bn", "bu", "n", "u", "vs")
_USUAL_TYPES = {**dict.fromkeys(_NUMBERS, float), **dict.fromkeys(_TEXTS, str)}
_INFINITE = (math.inf, -math.inf)
_KINDS = {"v": "number", "vs": "text", "vb": "boolean", "vd": "data"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9:./_-]*", re.ASCII)
# The first byte of a CBOR array, or of the tag that says "this is CBOR". No JSON begins with them.
_CBOR_FIRST = frozenset(range(0x80, 0xA0)) | {0xD9}
# Version 10 is RFC 8428; 26 adds the secondary units (RFC 9100).
_LATEST_VERSION, _WITH_SECONDARY_UNITS = 10, 26
# Smaller times are relative to now.
_FIRST_ABSOLUTE_S = 2**28
# Beyond it a time is no time (and milliseconds leave 64 bits).
_LAST_S = 10**12
_LONGEST_KEPT_NAME = 256
_SHOWN = 64


@dataclass(frozen=True, slots=True)
class Record:
    """One resolved record.

    Attributes:
        row: Position in the pack, from 0.
        name: Base name and name.
        unit: Empty where neither the record nor the base names one.
        value: None without a number.
        sum: Integral of the value over time, in the unit times seconds; None without one.
        other: What the value is where it is no number: `text`, `boolean` or `data`.
        time_ms: Epoch milliseconds, or relative to now.
        is_relative: Whether the time counts from now.
    """

    row: int
    name: str
    unit: str
    value: float | None
    sum: float | None
    other: str
    time_ms: int
    is_relative: bool


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record that cannot be read."""

    row: int
    error: RefusedReadingError


def parse_pack(payload: bytes, most_nesting: int) -> list[Record | BadRecord]:
    """The records of a pack; those that only set base values are none.

    Raises:
        RefusedReadingError: The pack cannot be read at all.
    """
    if payload[:1] and payload[0] in _CBOR_FIRST:
        document = parse_cbor(payload, most_nesting)
    else:
        document = parse_json(payload, most_nesting)
    if not isinstance(document, list):
        raise RefusedReadingError("wrong_shape", "a pack is an array of records")
    if not document:
        raise RefusedReadingError("empty_message", "a pack without a record")
    return list(_resolve(document))


@dataclass(slots=True)
class _Base:
    """The base values in force."""

    name: str = ""
    unit: str = ""
    time: Decimal | int = 0
    value: Decimal | int | None = None
    sum: Decimal | int | None = None
    version: int | None = None

    def set_from(self, members: Mapping[str, Any]) -> None:
        """Take the base values of a record.

        Raises:
            RefusedReadingError: One is no number or text, or the version is not ours.
        """
        if "bver" in members:
            self._check_version(members["bver"])
        if "bn" in members:
            self.name = members["bn"]
        if "bu" in members:
            self.unit = members["bu"]
        if "bt" in members:
            self.time = _exact(members["bt"])
        if "bv" in members:
            self.value = _exact(members["bv"])
        if "bs" in members:
            self.sum = _exact(members["bs"])

    def _check_version(self, version: Any) -> None:
        if isinstance(version, bool) or not isinstance(version, int) or version < 1:
            raise RefusedReadingError("wrong_type", "bver is no positive whole number")
        if version > _LATEST_VERSION and version != _WITH_SECONDARY_UNITS:
            raise RefusedReadingError(
                "wrong_shape", f"SenML version {version!s:.20} is not known here"
            )
        if self.version is not None and self.version != version:
            raise RefusedReadingError("wrong_shape", "the records have different versions (bver)")
        self.version = version


def _resolve(document: list[Any]) -> Iterator[Record | BadRecord]:
    base = _Base()
    for row, sent in enumerate(document):
        if not isinstance(sent, dict):
            raise RefusedReadingError("wrong_shape", f"record {row + 1} is no object")
        members = _members(sent)
        try:
            for label in members:
                if label.startswith("b"):
                    _check_type(label, members[label])
            base.set_from(members)
        except RefusedReadingError as error:
            detail = f"record {row + 1}: {error.detail}"
            raise RefusedReadingError(error.reason, detail) from None
        if all(label.startswith("b") for label in members):
            continue
        try:
            yield _record(row, members, base)
        except RefusedReadingError as error:
            yield BadRecord(row, error)


def _members(sent: Mapping[Any, Any]) -> dict[str, Any]:
    """The members of a record under the labels of JSON.

    Raises:
        RefusedReadingError: `duplicate_key`, or `wrong_shape` for a label that has to be
            understood and is not.
    """
    members: dict[str, Any] = {}
    for key, value in sent.items():
        label = _LABELS.get(key) if isinstance(key, int) else key
        if label is None:
            raise RefusedReadingError("wrong_shape", f"the label {key} is none of SenML")
        if label in members:
            raise RefusedReadingError("duplicate_key", f"{label[:_SHOWN]!a} stands twice")
        if label.endswith("_"):
            raise RefusedReadingError(
                "wrong_shape", f"{label[:_SHOWN]!a} has to be understood, and is not"
            )
        members[label] = value
    return members


def _check_type(label: str, value: Any) -> None:
    if label in _NUMBERS:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise RefusedReadingError("wrong_type", f"{label} is no number")
        if not math.isfinite(value if isinstance(value, float) else 0.0):
            raise RefusedReadingError("not_a_number", f"{label} is not finite")
    elif label in _TEXTS and not isinstance(value, str):
        raise RefusedReadingError("wrong_type", f"{label} is no text")


def _record(row: int, members: Mapping[str, Any], base: _Base) -> Record:
    for label, member in members.items():
        # Most are what they should be, and finite; only the others are looked at closely.
        if type(member) is not _USUAL_TYPES.get(label) or member in _INFINITE or member != member:
            _check_type(label, member)
    name = base.name + members.get("n", "")
    if not _is_name(name):
        raise RefusedReadingError(
            "wrong_shape", f"the name {name[:_SHOWN]!a} is empty or holds what SenML does not allow"
        )
    kinds = [label for label in _KINDS if label in members]
    if len(kinds) > 1:
        raise RefusedReadingError("wrong_shape", f"several values: {', '.join(kinds)}")
    other = _KINDS[kinds[0]] if kinds and kinds[0] != "v" else ""
    value = None if other else _added(base.value, members.get("v"))
    total = _added(base.sum, members.get("s"))
    if value is None and total is None and not other:
        raise RefusedReadingError("missing_values", "the record has neither a value nor a sum")
    seconds = base.time + _exact(members.get("t", 0))
    if not -_LAST_S < seconds < _LAST_S:
        raise RefusedReadingError("malformed_time", "the time lies beyond every clock")
    return Record(
        row,
        name,
        members.get("u", base.unit),
        value,
        total,
        other,
        seconds * 1000 if isinstance(seconds, int) else math.floor(seconds * 1000),
        seconds < _FIRST_ABSOLUTE_S,
    )


def _added(base: Decimal | int | None, sent: float | int | None) -> float | None:
    """Base value and value; either may be missing. Infinite beyond any float."""
    if sent is None:
        total: Decimal | float | int | None = base
    elif base is None:
        total = sent
    else:
        total = base + _exact(sent)
    try:
        return None if total is None else float(total)
    except OverflowError:
        return math.inf


def _exact(number: float | int) -> Decimal | int:
    """A number as it was written, so that sums of base and record are those of the decimals."""
    return Decimal(repr(number)) if isinstance(number, float) else number


def _is_name(name: str) -> bool:
    if len(name) > _LONGEST_KEPT_NAME:
        return _NAME.fullmatch(name) is not None
    return _is_short_name(name)


@lru_cache(maxsize=16_384)
def _is_short_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None
