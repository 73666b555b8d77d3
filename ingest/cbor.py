"""CBOR (RFC 8949) as far as SenML uses it: strict, bounded, and nothing that a tag could set off.

Numbers, texts, byte strings, arrays, maps and decimal fractions (tag 4). Other tags are refused,
except for the one that only says "this is CBOR" (55799).
"""

from __future__ import annotations

import math
import struct
from typing import Any

from core.errors import RefusedReadingError

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG = range(7)
_BREAK = 0xFF
_INDEFINITE = 31
_DECIMAL_FRACTION = 4
_SELF_DESCRIBED = 55_799
_FLOATS = {25: struct.Struct(">e"), 26: struct.Struct(">f"), 27: struct.Struct(">d")}
_SIMPLE = {20: False, 21: True, 22: None, 23: None}
# Larger exponents make every mantissa zero or infinite.
_LARGEST_EXPONENT = 400
_SHOWN = 64


def parse_cbor(payload: bytes, most_nesting: int) -> Any:
    """The one item that a payload holds.

    Raises:
        RefusedReadingError: `not_cbor`, `too_deep`, `duplicate_key`, `not_utf8` or `wrong_type` (a
            tag that SenML has no use for).
    """
    reader = _Reader(payload, most_nesting)
    item = reader.item(0)
    if reader.position < len(payload):
        raise _broken(f"{len(payload) - reader.position} bytes behind the end of the item")
    return item


class _Reader:
    """Walks through the bytes; every length is checked against what is left before it is used."""

    def __init__(self, payload: bytes, most_nesting: int) -> None:
        self._payload = payload
        self._most_nesting = most_nesting
        self.position = 0

    def item(self, nesting: int) -> Any:
        """The next item."""
        kind, info = self._head()
        if kind in (_BYTES, _TEXT):
            return self._string(kind, info)
        if kind in (_ARRAY, _MAP):
            if nesting >= self._most_nesting:
                raise self._too_deep()
            return self._array(info, nesting) if kind == _ARRAY else self._map(info, nesting)
        if kind == _UNSIGNED:
            return self._argument(info)
        if kind == _NEGATIVE:
            return -1 - self._argument(info)
        if kind == _TAG:
            return self._tagged(self._argument(info), nesting)
        return self._simple(info)

    def _too_deep(self) -> RefusedReadingError:
        return RefusedReadingError("too_deep", f"nested more than {self._most_nesting} deep")

    def _take(self, count: int) -> bytes:
        end = self.position + count
        if end > len(self._payload):
            raise _broken(f"it ends {end - len(self._payload)} bytes too early")
        taken = self._payload[self.position : end]
        self.position = end
        return taken

    def _head(self) -> tuple[int, int]:
        first = self._take(1)[0]
        return first >> 5, first & 31

    def _argument(self, info: int) -> int:
        if info < 24:
            return info
        if info > 27:
            raise _broken(f"additional information {info} at byte {self.position - 1}")
        return int.from_bytes(self._take(1 << (info - 24)), "big")

    def _ends(self) -> bool:
        """Whether a break comes next; it is taken."""
        if self.position < len(self._payload) and self._payload[self.position] == _BREAK:
            self.position += 1
            return True
        return False

    def _string(self, kind: int, info: int) -> str | bytes:
        if info != _INDEFINITE:
            return self._chunk(kind, info)
        chunks = []
        while not self._ends():
            chunk_kind, chunk_info = self._head()
            if chunk_kind != kind or chunk_info == _INDEFINITE:
                raise _broken("a string of pieces holds something else")
            chunks.append(self._chunk(kind, chunk_info))
        return "".join(chunks) if kind == _TEXT else b"".join(chunks)  # type: ignore[arg-type]

    def _chunk(self, kind: int, info: int) -> str | bytes:
        taken = self._take(self._argument(info))
        if kind == _BYTES:
            return taken
        try:
            return taken.decode("utf-8")
        except UnicodeDecodeError as error:
            raise RefusedReadingError(
                "not_utf8", f"byte {error.start} of a text: {error.reason}"
            ) from None

    def _array(self, info: int, nesting: int) -> list[Any]:
        if info == _INDEFINITE:
            items = []
            while not self._ends():
                items.append(self.item(nesting + 1))
            return items
        # One after the other: a length that lies ends at the end of the payload.
        return [self.item(nesting + 1) for _ in range(self._argument(info))]

    def _map(self, info: int, nesting: int) -> dict[Any, Any]:
        members: dict[Any, Any] = {}
        left = -1 if info == _INDEFINITE else self._argument(info)
        while left != 0 and not (left < 0 and self._ends()):
            key = self.item(nesting + 1)
            if not isinstance(key, (int, str)) or isinstance(key, bool):
                raise RefusedReadingError("wrong_type", "a label is neither a number nor a text")
            if key in members:
                raise RefusedReadingError("duplicate_key", f"{str(key)[:_SHOWN]!a} stands twice")
            members[key] = self.item(nesting + 1)
            left -= 1
        return members

    def _tagged(self, tag: int, nesting: int) -> Any:
        if tag == _SELF_DESCRIBED and self.position == 3:
            return self.item(nesting)
        if tag != _DECIMAL_FRACTION:
            raise RefusedReadingError("wrong_type", f"tag {tag}, for which SenML has no use")
        if nesting >= self._most_nesting:
            raise self._too_deep()
        parts = self.item(nesting + 1)
        if (
            not isinstance(parts, list)
            or len(parts) != 2
            or any(not isinstance(part, int) or isinstance(part, bool) for part in parts)
        ):
            raise _broken("a decimal fraction that is not [exponent, mantissa]")
        exponent, mantissa = parts
        if mantissa == 0 or exponent < -_LARGEST_EXPONENT:
            return 0.0
        if exponent > _LARGEST_EXPONENT:
            return math.copysign(math.inf, mantissa)
        return float(f"{mantissa}e{exponent}")

    def _simple(self, info: int) -> Any:
        if info in _FLOATS:
            layout = _FLOATS[info]
            return layout.unpack(self._take(layout.size))[0]
        if info in _SIMPLE:
            return _SIMPLE[info]
        raise _broken(f"the simple value {info}")


def _broken(detail: str) -> RefusedReadingError:
    return RefusedReadingError("not_cbor", detail)
