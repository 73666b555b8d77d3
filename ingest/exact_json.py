"""JSON read exactly as the wire format says: nothing repaired, nothing silently dropped."""

from __future__ import annotations

import json
from typing import Any

from core.errors import RefusedReadingError

MAX_DEPTH = 4
_BOM = b"\xef\xbb\xbf"


class _DuplicateKeyError(ValueError):
    pass


class _ConstantError(ValueError):
    pass


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise _DuplicateKeyError(name)
            seen.add(name)
    return members


def _constant(name: str) -> Any:
    raise _ConstantError(name)


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_constant)


def parse_exact(payload: bytes) -> Any:
    """Parse one JSON document of at most `MAX_DEPTH` nested containers.

    Raises:
        RefusedReadingError: `empty_message`, `byte_order_mark`, `not_utf8`, `too_deep`,
            `duplicate_key`, `not_a_number` (NaN, Infinity) or `not_json` (also trailing data).
    """
    if payload.startswith(_BOM) or payload[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        raise RefusedReadingError("byte_order_mark", "the payload begins with a byte-order mark")
    try:
        text = payload.decode("utf-8", "strict")
    except UnicodeDecodeError as error:
        raise RefusedReadingError("not_utf8", f"byte {error.start} is not UTF-8") from None
    stripped = text.strip(" \t\r\n")
    if not stripped:
        raise RefusedReadingError("empty_message", "the payload holds no text")
    _check_depth(stripped)
    try:
        document, end = _DECODER.raw_decode(stripped)
    except _DuplicateKeyError as error:
        raise RefusedReadingError("duplicate_key", f"{str(error)[:64]!r} stands twice") from None
    except _ConstantError as error:
        raise RefusedReadingError("not_a_number", f"{error} is no number of JSON") from None
    except (ValueError, RecursionError) as error:
        raise RefusedReadingError("not_json", str(error)[:200]) from None
    if end != len(stripped):
        raise RefusedReadingError("not_json", f"data after the document, at character {end}")
    _check_surrogates(document)
    return document


def _check_depth(text: str) -> None:
    # Counted before parsing: a deep document must not reach the recursive parser.
    depth = 0
    in_string = escaped = False
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    for character in text:
        if in_string:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                in_string = False
        elif character == '"':
            in_string = True
        elif character in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise RefusedReadingError("too_deep", f"nested more than {MAX_DEPTH} deep")
        elif character in "]}":
            depth -= 1


def _check_surrogates(document: Any) -> None:
    # A lone surrogate is valid JSON text but no Unicode: nothing could store or print it.
    if isinstance(document, str):
        try:
            document.encode("utf-8")
        except UnicodeEncodeError:
            raise RefusedReadingError("not_utf8", "a string holds a lone surrogate") from None
    elif isinstance(document, dict):
        for name, value in document.items():
            _check_surrogates(name)
            _check_surrogates(value)
    elif isinstance(document, list):
        for value in document:
            _check_surrogates(value)
