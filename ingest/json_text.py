"""JSON exactly as the wire format wants it: what Python's parser lets through is refused here.

Python takes duplicate keys, NaN, byte-order marks, UTF-16, and runs out of stack on deep nesting.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from core.errors import RefusedReadingError

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_WHITESPACE = b" \t\r\n"
# An integer of more digits has no float; the parser itself would stop at 4300.
_MOST_DIGITS = 400


def parse_json(payload: bytes, most_nesting: int) -> Any:
    """Parse a payload strictly.

    Raises:
        RefusedReadingError: `empty_message`, `byte_order_mark`, `not_utf8`, `too_deep`, `not_json`,
            `not_a_number` (NaN, Infinity) or `duplicate_key`.
    """
    if payload.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise RefusedReadingError("byte_order_mark", f"the payload begins with {payload[:3].hex()}")
    if not payload.strip(_WHITESPACE):
        raise RefusedReadingError("empty_message", f"{len(payload)} bytes, none of them content")
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RefusedReadingError("not_utf8", f"byte {error.start}: {error.reason}") from None
    nesting = measure_nesting(payload)
    if nesting > most_nesting:
        raise RefusedReadingError("too_deep", f"nested {nesting} deep, {most_nesting} are allowed")
    try:
        document = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_int=_parse_int
        )
    except ValueError as error:
        raise RefusedReadingError("not_json", str(error)[:200]) from None
    if b"\\u" in payload:
        _refuse_surrogates(document)
    return document


def measure_nesting(payload: bytes) -> int:
    """Deepest nesting of objects and arrays, brackets in strings not counted."""
    depth = deepest = 0
    for bracket in _STRING.sub(b"", payload).translate(None, _NOT_BRACKETS):
        if bracket in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth -= 1
    return deepest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise RefusedReadingError("duplicate_key", f"{name[:64]!a} stands twice")
            seen.add(name)
    return members


def _parse_int(text: str) -> int | float:
    return int(text) if len(text) <= _MOST_DIGITS else math.inf


def _refuse_constant(name: str) -> NoReturn:
    raise RefusedReadingError("not_a_number", f"{name} is no number of JSON")


def _refuse_surrogates(document: Any) -> None:
    # A lone surrogate is JSON text but no Unicode: nothing could store or print it.
    try:
        json.dumps(document, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise RefusedReadingError("not_utf8", "a text holds a lone surrogate") from None
