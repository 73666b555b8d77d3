"""Canonical JSON: one document, one text, on every machine.

Sorted keys, no white space, UTF-8, a line end; integers as they are; every other number with six
decimals. Six decimals are finer than any meter and coarser than the last bits of a sum, which may
differ between processors.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

_DECIMALS = 6


def canonical_json(document: Any) -> bytes:
    """The canonical bytes of a document of mappings, sequences, texts, numbers and None.

    Raises:
        ValueError: A number that is not finite.
        TypeError: Something that JSON does not know.
    """
    return (_write(document) + "\n").encode("utf-8")


def sha256_of(document: Any) -> str:
    """SHA-256 of the canonical bytes, hexadecimal."""
    return hashlib.sha256(canonical_json(document)).hexdigest()


def _write(value: Any) -> str:
    if value is None or isinstance(value, bool | int | str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, Mapping):
        members = (f"{_write(str(key))}:{_write(value[key])}" for key in sorted(value))
        return "{" + ",".join(members) + "}"
    if isinstance(value, Sequence):
        return "[" + ",".join(_write(item) for item in value) + "]"
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def _number(value: float) -> str:
    if not math.isfinite(value):
        raise ValueError(f"{value} is no number of a document; what is not known is null")
    text = f"{value:.{_DECIMALS}f}"
    # Zero has no sign.
    return text[1:] if text.startswith("-") and not text.strip("-0.") else text
