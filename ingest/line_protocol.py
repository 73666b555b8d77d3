"""InfluxDB line protocol: text in, lines out, the bad ones apart. Pure syntax; no mapping here.

Measured against the corpus of `influxdata/line-protocol`, whose decoder is the model: escapes,
quoted texts over several lines, comments, blank lines, CR LF. Where this parser differs on purpose
is said in `docs/wire-format.md`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from core.errors import RefusedReadingError

Value: TypeAlias = float | int | bool | str

# What ends a token unless a backslash stands before it. Groups are possessive: what a backslash
# has taken is never given back.
_CONTROL = r"\x00-\x1f\x7f"
_NAME = rf"(?:\\[, ]|[^, {_CONTROL}])++"
_KEY = rf"(?:\\[,= ]|[^,= {_CONTROL}])++"
_HEAD = re.compile(rf"(?!#){_NAME}(?:,{_KEY}={_KEY})*+(?= )")
_TAG = re.compile(rf",({_KEY})=({_KEY})")
_MEASUREMENT = re.compile(_NAME)
_FIELD = re.compile(rf' *+({_KEY})=(?:"((?:\\[\s\S]|[^"\\])*+)"|([^, \r\n"][^, \r\n]*+))')
_END = re.compile(r"(?: ++(-?[0-9]++))?+ *+(?:\r?\n|\r?\Z)")
_SKIPPED = re.compile(rf" *+(?:#[^{_CONTROL}]*+)?+(?:\r?\n|\r?\Z)")
_SPACES = re.compile(r" *+")

_ESCAPED_NAME = re.compile(r"\\([, ])")
_ESCAPED_KEY = re.compile(r"\\([,= ])")
_ESCAPED_TEXT = re.compile(r'\\([\\"nrt])')
_CHARACTERS = {"n": "\n", "r": "\r", "t": "\t"}
_NOT_PLAIN = re.compile(r'[\x00-\x09\x0b-\x1f\x7f\\"#]')
_STAMP = re.compile(r"-?[0-9]{1,18}|1[0-9]{18}")
_NOT_UTF8 = re.compile(r"[\ud800-\udfff]")

FLOAT = r"-?(?:[0-9]++(?:\.[0-9]*+)?+|\.[0-9]++)(?:[eE][-+]?[0-9]++)?+"
_FLOAT = re.compile(FLOAT)
_INT = re.compile(r"-?[0-9]+")
_BOOLEANS = {
    **dict.fromkeys(("t", "T", "true", "True", "TRUE"), True),
    **dict.fromkeys(("f", "F", "false", "False", "FALSE"), False),
}
_INT64 = 2**63
_SHOWN = 48


@dataclass(slots=True)
class Line:
    """One well-formed line.

    Attributes:
        row: Position of its first text line in the payload, from 0.
        head: Measurement and tags as written; `parse_head` takes it apart.
        fields: In the order in which they were written.
        time: The time stamp as sent; None without one.
    """

    row: int
    head: str
    fields: list[Field]
    time: int | None


# Key, kind (`float`, `int`, `uint`, `bool` or `string`) and value of one field.
Field: TypeAlias = tuple[str, str, Value]


@dataclass(slots=True)
class BadLine:
    """A line that cannot be read."""

    row: int
    error: RefusedReadingError


def decode_text(payload: bytes) -> str:
    """The payload as text; bytes that are no UTF-8 are kept as lone surrogates."""
    return payload.decode("utf-8", "surrogateescape")


def parse_lines(text: str, known_heads: Container[str] = ()) -> Iterator[Line | BadLine]:
    """Every line that is no comment and not blank.

    A bad line ends at its first line end, also where a quote in it was never closed: so it takes
    no other with it.

    Args:
        known_heads: Heads that are known to be well-formed.
    """
    if text.isascii() and not _NOT_PLAIN.search(text):
        return _parse_plain_lines(text, known_heads)
    return _parse_any_lines(text)


def _parse_plain_lines(text: str, known_heads: Container[str]) -> Iterator[Line | BadLine]:
    """The same for texts without quotes, escapes and comments: lines end where they end."""
    for row, written in enumerate(text.split("\n")):
        line = _parse_plain_line(written, row, known_heads)
        if line is not None:
            yield line
        elif written.strip(" "):
            try:
                yield _parse_line(written, 0, row)[0]
            except RefusedReadingError as error:
                yield BadLine(row, error)


def _parse_plain_line(written: str, row: int, known_heads: Container[str]) -> Line | None:
    """A line of the usual kind; None where the exact way has to look at it."""
    parts = written.split(" ")
    if len(parts) != 3:
        return None
    head, body, stamp = parts
    if not _STAMP.fullmatch(stamp) or not (head in known_heads or is_head(head)):
        return None
    fields: list[Field] = []
    for part in body.split(","):
        name, _, value = part.partition("=")
        if not name or not value:
            return None
        if _FLOAT.fullmatch(value):
            number = float(value)
            if not math.isfinite(number):
                return None
            fields.append((name, "float", number))
        else:
            try:
                fields.append((name, *_parse_value(name, value)))
            except RefusedReadingError:
                return None
    if len(fields) > 1 and len({name for name, _, _ in fields}) < len(fields):
        return None
    return Line(row, head, fields, int(stamp))


def _parse_any_lines(text: str) -> Iterator[Line | BadLine]:
    position = row = 0
    size = len(text)
    while position < size:
        skipped = _SKIPPED.match(text, position)
        if skipped is not None:
            row += 1
            position = skipped.end()
            continue
        try:
            line, end = _parse_line(text, position, row)
        except RefusedReadingError as error:
            end = text.find("\n", position) + 1 or size
            yield BadLine(row, error)
            row += 1
        else:
            yield line
            row += text.count("\n", position, end)
        position = end


def is_head(text: str) -> bool:
    """Whether a text is a well-formed head."""
    found = _HEAD.match(f"{text} ")
    return found is not None and found.end() == len(text)


def parse_head(head: str) -> tuple[str, dict[str, str]]:
    """Measurement and tags of a well-formed head.

    Raises:
        RefusedReadingError: The same tag stands twice.
    """
    found = _MEASUREMENT.match(head)
    name = found[0] if found else ""
    tags: dict[str, str] = {}
    for raw_key, raw_value in _TAG.findall(head, len(name)):
        key = _ESCAPED_KEY.sub(r"\1", raw_key) if "\\" in raw_key else raw_key
        if key in tags:
            raise RefusedReadingError("duplicate_key", f"the tag {key[:_SHOWN]!a} stands twice")
        tags[key] = _ESCAPED_KEY.sub(r"\1", raw_value) if "\\" in raw_value else raw_value
    return (_ESCAPED_NAME.sub(r"\1", name) if "\\" in name else name), tags


def _parse_line(text: str, start: int, row: int) -> tuple[Line, int]:
    position = start
    if text[position] == " ":
        spaces = _SPACES.match(text, position)
        position = spaces.end() if spaces else position
    head = _HEAD.match(text, position)
    if head is None:
        raise _explain_head(text, position)
    position = head.end()
    fields: list[Field] = []
    while True:
        field = _FIELD.match(text, position)
        if field is None or (fields and text[position] == " "):
            raise _explain_field(text, position)
        raw, quoted, plain = field.groups()
        name = _ESCAPED_KEY.sub(r"\1", raw) if "\\" in raw else raw
        if quoted is None:
            fields.append((name, *_parse_value(name, plain)))
        else:
            if "\\" in quoted:
                quoted = _ESCAPED_TEXT.sub(
                    lambda found: _CHARACTERS.get(found[1], found[1]), quoted
                )
            fields.append((name, "string", quoted))
        position = field.end()
        if text[position : position + 1] != ",":
            break
        position += 1
    end = _END.match(text, position)
    if end is None:
        raise _malformed(f"{_shown(text, position)} where a time stamp or the end should be")
    if not text.isascii() and _NOT_UTF8.search(text, start, end.end()):
        raise RefusedReadingError("not_utf8", "the line holds bytes that are no UTF-8")
    if len({name for name, _, _ in fields}) < len(fields):
        raise RefusedReadingError("duplicate_key", "the same field stands twice")
    time = None
    if end[1] is not None:
        time = _integer(end[1])
        if not -_INT64 <= time < _INT64:
            raise _malformed(f"the time stamp {end[1][:_SHOWN]} is beyond 64 bits")
    return Line(row, head[0], fields, time), end.end()


def _parse_value(name: str, text: str) -> tuple[str, Value]:
    first, last = text[0], text[-1]
    if first in "tTfF":
        if text in _BOOLEANS:
            return "bool", _BOOLEANS[text]
    elif last in "iu":
        digits = text[:-1]
        signed = last == "i"
        if _INT.fullmatch(digits) and (signed or digits[0] != "-"):
            number = _integer(digits)
            if (-_INT64 <= number < _INT64) if signed else number < 2 * _INT64:
                return ("int" if signed else "uint"), number
            raise RefusedReadingError("not_a_number", f"{name[:_SHOWN]!a} is beyond 64 bits")
    elif _FLOAT.fullmatch(text):
        real = float(text)
        if math.isfinite(real):
            return "float", real
        raise RefusedReadingError("not_a_number", f"{name[:_SHOWN]!a} is beyond any float")
    raise _malformed(f"the value of {name[:_SHOWN]!a} is {text[:_SHOWN]!a}")


def _integer(digits: str) -> int:
    """A whole number; one of more digits than 64 bits have becomes 2**64 of its sign."""
    if len(digits) <= 18:
        return int(digits)
    significant = digits.lstrip("-").lstrip("0") or "0"
    number = int(significant) if len(significant) <= 20 else 2 * _INT64
    return -number if digits[0] == "-" else number


# ---------------------------------------------------------------- what is wrong, for a person


def _malformed(detail: str) -> RefusedReadingError:
    return RefusedReadingError("malformed_line", detail)


def _shown(text: str, position: int) -> str:
    rest = text[position : position + _SHOWN].partition("\n")[0].rstrip("\r")
    return ascii(rest) if rest else "the end of the line"


def _explain_head(text: str, position: int) -> RefusedReadingError:
    if text[position] == "#":
        return _malformed("a comment holds a control character")
    name = _MEASUREMENT.match(text, position)
    if name is None:
        return _malformed(f"{_shown(text, position)} where a measurement should be")
    position = name.end()
    while (tag := _TAG.match(text, position)) is not None:
        position = tag.end()
    if text[position : position + 1] in ("", "\n", "\r"):
        return _malformed("the line has no fields")
    return _malformed(f"{_shown(text, position)} where tags or fields should be")


def _explain_field(text: str, position: int) -> RefusedReadingError:
    rest = text[position : position + 4 * _SHOWN].lstrip(" ")
    if rest and re.match(rf'{_KEY}="', rest):
        return _malformed(f"the quote is not closed in {_shown(rest, 0)}")
    return _malformed(f"{_shown(rest, 0)} where a field should be")
