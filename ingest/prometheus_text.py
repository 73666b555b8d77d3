"""Prometheus text exposition and OpenMetrics text: text in, samples out, the bad lines apart.

Pure syntax; no mapping here. A text whose last line is `# EOF` is OpenMetrics, whose time stamps
are seconds and whose samples may carry exemplars; every other one is the exposition format, whose
time stamps are milliseconds. Both may say when they were scraped in a comment of our own,
`# greendc-time 2026-11-20T09:15:00+09:00`, which holds for the samples below it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from core.errors import RefusedReadingError
from ingest.times import parse_time

# Groups are possessive: no text makes the matching slow.
_QUOTED = r'"(?:[^"\\]++|\\.)*+"'
_NAME = r"[A-Za-z_:][A-Za-z0-9_:]*+"
_BRACES = rf'\{{(?:[^"{{}}]++|{_QUOTED})*+\}}'
_SAMPLE = re.compile(
    rf"[ \t]*+({_NAME}(?:[ \t]*+{_BRACES}|(?=[ \t]))|{_BRACES})"
    r"[ \t]*+([^ \t#{}]++)(?:[ \t]++([^ \t#{}]++))?+[ \t]*+(\#.*+)?+"
)
_NUMBER_TEXT = r"[-+]?+(?:[0-9]++(?:\.[0-9]*+)?+|\.[0-9]++)(?:[eE][-+]?+[0-9]++)?+"
_NUMBER = re.compile(_NUMBER_TEXT)
_NOT_FINITE = re.compile(r"[-+]?(?:nan|inf|infinity)", re.IGNORECASE)
# Few enough digits to compute with exactly, enough for every time.
_SECONDS = re.compile(r"[-+]?[0-9]{1,18}(?:\.[0-9]{0,18})?(?:[eE][-+]?[0-9]{1,2})?")
_MILLISECONDS = re.compile(r"-?[0-9]{1,19}")
_EXEMPLAR = re.compile(
    rf"\#[ \t]*+({_BRACES})[ \t]++({_NUMBER_TEXT})(?:[ \t]++({_NUMBER_TEXT}))?+[ \t]*+"
)
_SCRAPED = re.compile(r"[ \t]*+#[ \t]*+greendc-time(.*+)")
_LABEL = re.compile(
    rf"[ \t]*+(?:([A-Za-z_][A-Za-z0-9_]*+)|({_QUOTED}))[ \t]*+=[ \t]*+({_QUOTED})[ \t]*+(,|\Z)"
)
_QUOTED_NAME = re.compile(rf"[ \t]*+({_QUOTED})[ \t]*+(,|\Z)")
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"\\": "\\", '"': '"', "n": "\n"}
_NOT_UTF8 = re.compile(r"[\ud800-\udfff]")
_EOF = "# EOF"
_SHOWN = 48


@dataclass(slots=True)
class Sample:
    """One sample.

    Attributes:
        row: Position of its line in the text, from 0.
        series: Name and labels as written; `parse_series` takes them apart.
        value: May be NaN or infinite.
        time_ms: Its own time, else when the text says that it was scraped; None without either.
    """

    row: int
    series: str
    value: float
    time_ms: int | None


@dataclass(slots=True)
class BadSample:
    """A line that cannot be read."""

    row: int
    error: RefusedReadingError


def parse_samples(text: str) -> Iterator[Sample | BadSample]:
    """Every line that is a sample or should be one.

    Args:
        text: May hold lone surrogates for bytes that are no UTF-8.

    Raises:
        RefusedReadingError: The time of scraping cannot be read (`malformed_time`,
            `time_without_offset`): nothing below it has a time.
    """
    lines = text.split("\n")
    last = len(lines) - 1
    while last > 0 and not lines[last].strip(" \t\r"):
        last -= 1
    is_open_metrics = lines[last].rstrip("\r") == _EOF
    is_cut_off = last == len(lines) - 1 and not is_open_metrics
    scraped_ms: int | None = None
    for row, line in enumerate(lines):
        written = line.removesuffix("\r")
        stripped = written.lstrip(" \t")
        if not stripped:
            continue
        if stripped[0] == "#":
            found = _SCRAPED.fullmatch(written)
            if found is not None:
                scraped_ms = _scraped_ms(found[1].strip(" \t"))
            elif stripped == _EOF and row < last:
                yield BadSample(row, _malformed("# EOF stands before the end"))
            continue
        try:
            sample = _parse_sample(written, row, is_open_metrics)
        except RefusedReadingError as error:
            yield BadSample(row, error)
            continue
        if is_cut_off and row == last:
            detail = "no line feed behind the last sample: it may have been cut off"
            yield BadSample(row, _malformed(detail))
            continue
        if sample.time_ms is None:
            sample.time_ms = scraped_ms
        yield sample


def parse_series(series: str) -> tuple[str, dict[str, str]]:
    """Name and labels of a series as written.

    Raises:
        RefusedReadingError: `malformed_line` or `duplicate_key`.
    """
    before, brace, rest = series.partition("{")
    name = before.rstrip(" \t")
    labels: dict[str, str] = {}
    body = rest[:-1] if brace else ""
    position = 0
    if not name:
        # UTF-8 names stand as a quoted text among the labels.
        found = _QUOTED_NAME.match(body)
        if found is None:
            raise _malformed(f"{_shown(series)} has no name")
        name = _unquote(found[1])
        position = found.end()
    while body[position:].strip(" \t"):
        label = _LABEL.match(body, position)
        if label is None:
            raise _malformed(f"{_shown(body[position:])} where a label should be")
        key = label[1] or _unquote(label[2])
        if key in labels:
            raise RefusedReadingError("duplicate_key", f"the label {key[:_SHOWN]!a} stands twice")
        labels[key] = _unquote(label[3])
        position = label.end()
    return name, labels


def _parse_sample(line: str, row: int, is_open_metrics: bool) -> Sample:
    found = _SAMPLE.fullmatch(line)
    if found is None:
        raise _malformed(f"{_shown(line)} is no sample")
    if not line.isascii() and _NOT_UTF8.search(line):
        raise RefusedReadingError("not_utf8", "the line holds bytes that are no UTF-8")
    series, number, stamp, rest = found.groups()
    if rest is not None and not (is_open_metrics and _EXEMPLAR.fullmatch(rest)):
        raise _malformed(f"{_shown(rest)} behind the sample")
    if _NUMBER.fullmatch(number):
        value = float(number)
    elif _NOT_FINITE.fullmatch(number):
        value = math.nan
    else:
        raise _malformed(f"the value is {_shown(number)}")
    return Sample(row, series, value, _time_ms(stamp, is_open_metrics) if stamp else None)


def _time_ms(stamp: str, is_open_metrics: bool) -> int:
    if not is_open_metrics:
        if not _MILLISECONDS.fullmatch(stamp):
            raise _malformed(f"the time stamp {_shown(stamp)} is no whole number of milliseconds")
        return int(stamp)
    if not _SECONDS.fullmatch(stamp):
        raise _malformed(f"the time stamp {_shown(stamp)} is no number of seconds")
    return math.floor(Decimal(stamp) * 1000)


def _scraped_ms(text: str) -> int:
    if _MILLISECONDS.fullmatch(text):
        return int(text)
    return parse_time(text)


def _unquote(quoted: str) -> str:
    text = quoted[1:-1]
    if "\\" not in text:
        return text
    return _ESCAPE.sub(_unescape, text)


def _unescape(found: re.Match[str]) -> str:
    meant = _ESCAPES.get(found[1])
    if meant is None:
        raise _malformed(f"{_shown(found[0])} is no escape of a label")
    return meant


def _malformed(detail: str) -> RefusedReadingError:
    return RefusedReadingError("malformed_line", detail)


def _shown(text: str) -> str:
    return ascii(text[:_SHOWN])
