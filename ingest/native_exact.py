"""Native JSON, read exactly: every rule of the wire format and a reason for every refusal.

This is the law for native payloads. The typed path (`ingest.native_typed`) may only take what this
one would take in the same way, and hands everything else here.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.errors import RefusedReadingError
from core.samples import QUALITY_BY_NAME
from ingest.json_text import parse_json
from ingest.limits import IngestLimits
from ingest.messages import Decoded, Refusal, more
from ingest.times import parse_time
from ingest.topics import Topic

MEMBERS = frozenset({"ts", "values", "units", "seq", "quality", "device", "site"})
SEQ_LIMIT = 2**32
# Far beyond any clock, well inside int64.
TIME_LIMIT = 2**53
_SHOWN = 64


@dataclass(slots=True)
class Profile:
    """What a well-formed message looked like, so that its like may be decoded by type.

    Attributes:
        form: `one`, `array`, `readings` or `columns`.
        members: Optional members that every reading has, and ignored ones with plain values.
        metrics: Names of the metrics of each reading; several where readings differ.
        units: The units that every reading declares, sorted by metric.
        text_time: Whether `ts` is a text.
        one_time: Columns only: whether `ts` is one value for all rows.
        nulls: Columns only: whether a row lacks a metric.
    """

    form: str
    members: frozenset[str]
    metrics: set[tuple[str, ...]]
    units: tuple[tuple[str, str], ...]
    text_time: bool
    one_time: bool = False
    nulls: bool = False


@dataclass(slots=True)
class _Message:
    """One message while it is read."""

    index: int
    topic: Topic
    limits: IngestLimits
    decoded: Decoded
    # (reason -> rows and first detail), so that one entry stands for all readings of one reason.
    refused: dict[str, tuple[list[int], str]] = field(default_factory=dict)
    ignored: Counter[str] = field(default_factory=Counter)
    # Sites named around the readings: they speak for every reading inside.
    sites: list[Any] = field(default_factory=list)

    def refuse(self, row: int, error: RefusedReadingError) -> None:
        rows, _ = self.refused.setdefault(error.reason, ([], error.detail))
        rows.append(row)

    def ignore(self, names: Any) -> None:
        for name in names:
            shown = name.encode("utf-8", "backslashreplace").decode("utf-8")
            self.ignored[shown[:_SHOWN]] += 1


def decode_exactly(
    index: int, topic: Topic, payload: bytes, limits: IngestLimits, decoded: Decoded
) -> Profile | None:
    """Decode one native payload into `decoded`.

    Args:
        index: Position of the message in its batch.
        topic: Topic without a problem, of the native prefix.

    Returns:
        The profile of the message where every reading of it was well-formed; else None.
    """
    message = _Message(index, topic, limits, decoded)
    try:
        profile = _decode_document(parse_json(payload, limits.nesting), message)
    except RefusedReadingError as error:
        decoded.refusals.append(Refusal(index, error.reason, error.detail))
        return None
    for reason, (rows, detail) in message.refused.items():
        decoded.refusals.append(
            Refusal(index, reason, more(detail, len(rows)), len(rows), tuple(rows))
        )
    decoded.ignored.update(message.ignored)
    return None if message.refused else profile


def _decode_document(document: Any, message: _Message) -> Profile | None:
    if isinstance(document, list):
        return _decode_rows(document, message, "array")
    if not isinstance(document, dict):
        raise RefusedReadingError(
            "wrong_shape", f"{_kind(document)} instead of a reading, a list or columns"
        )
    if "readings" in document or "columns" in document:
        return _decode_wrapped(document, message)
    return _decode_rows([document], message, "one")


def _decode_wrapped(document: dict[str, Any], message: _Message) -> Profile | None:
    if "readings" in document and "columns" in document:
        raise RefusedReadingError("wrong_shape", "readings and columns in one message")
    form = "readings" if "readings" in document else "columns"
    body = document[form]
    wanted = list if form == "readings" else dict
    if not isinstance(body, wanted):
        kind = "a list" if form == "readings" else "an object"
        raise RefusedReadingError("wrong_shape", f"{form} is {_kind(body)}, not {kind}")
    others = [name for name in document if name not in (form, "site")]
    message.ignore(others)
    if "site" in document:
        message.sites.append(document["site"])
    if isinstance(body, list):
        profile = _decode_rows(body, message, "readings")
    else:
        profile = _decode_columns(body, message)
    return None if others or "site" in document else profile


# ---------------------------------------------------------------- rows


def _decode_rows(rows: list[Any], message: _Message, form: str) -> Profile | None:
    if not rows:
        raise RefusedReadingError("empty_message", "the list of readings is empty")
    _check_count(len(rows), message.limits)
    profile: Profile | None = None
    alike = True
    for number, row in enumerate(rows):
        try:
            found = _decode_row(number, row, message, form)
        except RefusedReadingError as error:
            message.refuse(number, error)
            alike = False
            continue
        if profile is None:
            profile = found
        elif (
            found.members != profile.members
            or found.units != profile.units
            or found.text_time != profile.text_time
        ):
            alike = False
        else:
            profile.metrics |= found.metrics
    return profile if alike else None


def _decode_row(number: int, row: Any, message: _Message, form: str) -> Profile:
    if not isinstance(row, dict):
        raise RefusedReadingError("wrong_type", f"a reading is {_kind(row)}, not an object")
    # First of all: what speaks of another site is another site's business, right or wrong.
    for site in (*message.sites, *([row["site"]] if "site" in row else [])):
        _check_site(site, message.topic)
    device = _device(row, message)
    time_ms = _time(row)
    quality = _quality(row.get("quality", "good"))
    if "seq" in row:
        _check_seq(row["seq"])
    values = _values(row, message.limits)
    units = _units(row.get("units", {}))
    ignored = [name for name in row if name not in MEMBERS]
    message.ignore(ignored)
    metrics = tuple(sorted(values))
    columns = message.decoded.of(
        message.topic.site,
        message.topic.family,
        metrics,
        tuple(units.get(metric, "") for metric in metrics),
    )
    columns.extend(
        message.index,
        number,
        (device,),
        (time_ms,),
        [(values[metric],) for metric in metrics],
        (quality,) if quality else (),
    )
    return Profile(
        form,
        frozenset(row) - {"ts", "values"},
        {metrics},
        tuple(sorted(units.items())),
        isinstance(row["ts"], str),
    )


def _device(row: Mapping[str, Any], message: _Message) -> str:
    topic = message.topic
    if "device" not in row:
        if not topic.device:
            raise RefusedReadingError(
                "missing_device", "a reading on a gateway's topic names its device"
            )
        return topic.device
    return _check_device(row["device"], message)


def _check_device(device: Any, message: _Message) -> str:
    if not isinstance(device, str):
        if device is None and not message.topic.device:
            raise RefusedReadingError("missing_device", "device is null")
        raise RefusedReadingError("wrong_type", f"device is {_kind(device)}, not a text")
    if len(device) > message.limits.name_chars:
        raise RefusedReadingError("name_too_long", f"device {device[:_SHOWN]!a}…")
    if message.topic.device and device != message.topic.device:
        raise RefusedReadingError(
            "device_mismatch", f"{device!a} on the topic of {message.topic.device!r}"
        )
    return device


def _check_site(site: Any, topic: Topic) -> None:
    if not isinstance(site, str):
        raise RefusedReadingError("wrong_type", f"site is {_kind(site)}, not a text")
    if site != topic.site:
        raise RefusedReadingError(
            "site_mismatch", f"{site[:_SHOWN]!a} on a topic of {topic.site!r}"
        )


def _time(row: Mapping[str, Any]) -> int:
    if row.get("ts") is None:
        raise RefusedReadingError("missing_time", "ts is missing")
    return _check_time(row["ts"])


def _check_time(value: Any) -> int:
    if isinstance(value, str):
        return parse_time(value)
    if isinstance(value, int) and not isinstance(value, bool):
        # Beyond the limit it is refused as future or past by the time window all the same.
        return max(-TIME_LIMIT, min(TIME_LIMIT, value))
    raise RefusedReadingError(
        "wrong_type", f"ts is {_kind(value)}, not RFC 3339 or integer milliseconds"
    )


def _quality(value: Any) -> int:
    code = QUALITY_BY_NAME.get(value) if isinstance(value, str) else None
    if code is None:
        shown = ascii(value[:_SHOWN]) if isinstance(value, str) else _kind(value)
        raise RefusedReadingError(
            "bad_quality", f"quality is {shown}; one of {', '.join(QUALITY_BY_NAME)}"
        )
    return int(code)


def _check_seq(value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < SEQ_LIMIT:
        raise RefusedReadingError("bad_sequence", f"seq is {ascii(value)[:_SHOWN]}")


def _values(row: Mapping[str, Any], limits: IngestLimits) -> dict[str, float]:
    values = row.get("values")
    if values is None:
        raise RefusedReadingError("missing_values", "values is missing")
    if not isinstance(values, dict):
        raise RefusedReadingError("wrong_type", f"values is {_kind(values)}, not an object")
    if not values:
        raise RefusedReadingError("missing_values", "values is empty")
    return {
        _check_metric(metric, limits): _number(metric, value) for metric, value in values.items()
    }


def _check_metric(metric: str, limits: IngestLimits) -> str:
    if len(metric) > limits.name_chars:
        raise RefusedReadingError("name_too_long", f"metric {metric[:_SHOWN]!a}…")
    return metric


def _number(metric: str, value: Any) -> float:
    if value is None:
        raise RefusedReadingError("not_a_number", f"{metric!a} is null")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise RefusedReadingError("wrong_type", f"{metric!a} is {_kind(value)}, not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise RefusedReadingError("not_a_number", f"{metric!a} is beyond any float")
    return number


def _units(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise RefusedReadingError("wrong_type", f"units is {_kind(value)}, not an object")
    for metric, unit in value.items():
        if not isinstance(unit, str):
            raise RefusedReadingError(
                "wrong_type", f"the unit of {metric[:_SHOWN]!a} is {_kind(unit)}, not a text"
            )
        if not unit:
            raise RefusedReadingError("unknown_unit", f"the unit of {metric[:_SHOWN]!a} is empty")
    return value


def _check_count(rows: int, limits: IngestLimits) -> None:
    if rows > limits.readings:
        raise RefusedReadingError(
            "too_many_readings", f"{rows} readings, {limits.readings} are allowed"
        )


# ---------------------------------------------------------------- columns


def _decode_columns(body: dict[str, Any], message: _Message) -> Profile | None:
    if "site" in body:
        message.sites.append(body["site"])
    if body.get("ts") is None:
        raise RefusedReadingError("missing_time", "columns has no ts")
    values = body.get("values")
    if values is None:
        raise RefusedReadingError("missing_values", "columns has no values")
    if not isinstance(values, dict):
        raise RefusedReadingError("wrong_type", f"values is {_kind(values)}, not an object")
    units = _units(body.get("units", {}))
    count = _count_rows(body, values)
    if not count or not values:
        raise RefusedReadingError("empty_message", "columns without a row")
    _check_count(count, message.limits)
    present = 0
    nulls = False
    for number in range(count):
        row = {
            metric: column[number]
            for metric, column in values.items()
            if column[number] is not None
        }
        nulls = nulls or len(row) < len(values)
        if not row:
            continue  # a row of nulls only is none
        present += 1
        try:
            _decode_column_row(number, row, body, units, message)
        except RefusedReadingError as error:
            message.refuse(number, error)
    if not present:
        raise RefusedReadingError("empty_message", "columns of nulls only")
    ignored = [name for name in body if name not in MEMBERS]
    message.ignore(ignored)
    times = body["ts"]
    return Profile(
        "columns",
        frozenset(body) - {"ts", "values"},
        {tuple(sorted(values))},
        tuple(sorted(units.items())),
        isinstance(times[0] if isinstance(times, list) else times, str),
        not isinstance(times, list),
        nulls,
    )


def _count_rows(body: Mapping[str, Any], values: Mapping[str, Any]) -> int:
    """Rows of a column message; all its lists have one length."""
    # No mapping: a metric may be called `ts`.
    lengths: list[tuple[str, int]] = []
    for metric, column in values.items():
        if not isinstance(column, list):
            raise RefusedReadingError(
                "wrong_shape", f"the column of {metric[:_SHOWN]!a} is {_kind(column)}"
            )
        lengths.append((metric, len(column)))
    if "device" in body and not isinstance(body["device"], list):
        raise RefusedReadingError("wrong_shape", f"device is {_kind(body['device'])}, not a list")
    lengths += [
        (name, len(body[name]))
        for name in ("ts", "device", "quality", "seq")
        if isinstance(body.get(name), list)
    ]
    if len({length for _, length in lengths}) > 1:
        shown = ", ".join(f"{name[:32]!a} {length}" for name, length in lengths[:8])
        raise RefusedReadingError("wrong_shape", f"lists of different lengths: {shown}")
    return lengths[0][1] if lengths else 0


def _decode_column_row(
    number: int,
    row: dict[str, Any],
    body: Mapping[str, Any],
    units: Mapping[str, str],
    message: _Message,
) -> None:
    for site in message.sites:
        _check_site(site, message.topic)
    if "device" in body:
        device = _check_device(body["device"][number], message)
    else:
        device = _device({}, message)
    times = body["ts"]
    time_ms = _check_time(times[number] if isinstance(times, list) else times)
    quality = body.get("quality", "good")
    code = _quality(quality[number] if isinstance(quality, list) else quality)
    if "seq" in body:
        sequence = body["seq"]
        _check_seq(sequence[number] if isinstance(sequence, list) else sequence)
    values = {
        _check_metric(metric, message.limits): _number(metric, value)
        for metric, value in row.items()
    }
    metrics = tuple(sorted(values))
    columns = message.decoded.of(
        message.topic.site,
        message.topic.family,
        metrics,
        tuple(units.get(metric, "") for metric in metrics),
    )
    columns.extend(
        message.index,
        number,
        (device,),
        (time_ms,),
        [(values[metric],) for metric in metrics],
        (code,) if code else (),
    )


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, Sequence):
        return "a list"
    return "an object" if isinstance(value, Mapping) else repr(value)
