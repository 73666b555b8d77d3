"""Pieces of a message to readings: what one device measured at one instant belongs together.

A piece is a line, sample or record that gives some metrics of one device and instant. Pieces of one
message become one reading as long as they add metrics to it. A piece that repeats a metric begins
another reading, which is then judged as a duplicate or a contradiction; unless the mapping says how
several values of one message make the metric (`combine`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from core.errors import RefusedReadingError
from ingest.limits import IngestLimits
from ingest.mappings import FieldTarget
from ingest.messages import Columns, Decoded, Refusal, more
from ingest.topics import Topic

# Metric -> value in that unit, unit, and how it combines with others (empty: not at all).
Values: TypeAlias = Mapping[str, tuple[float, str, str]]


def decode_each(
    messages: Sequence[tuple[int, Topic, bytes]],
    decoded: Decoded,
    decode_one: Callable[[int, Topic, bytes, Decoded], None],
) -> None:
    """Decode messages one by one; one that is refused as a whole takes no other with it."""
    for index, topic, payload in messages:
        try:
            decode_one(index, topic, payload, decoded)
        except RefusedReadingError as error:
            decoded.refusals.append(Refusal(index, error.reason, error.detail))


def give_value(values: dict[str, tuple[float, str, str]], target: FieldTarget, sent: float) -> None:
    """Add a number as sent to the values of a piece."""
    scaled = sent * target.scale if target.scale != 1.0 else sent
    values[target.metric] = (scaled, target.unit, target.combine)


@dataclass(slots=True)
class _Reading:
    """One reading while its pieces are gathered."""

    rows: list[int]
    device: str
    family: str
    time_ms: int
    values: dict[str, tuple[float, str, str]]
    quality: int = 0
    parts: dict[str, list[float]] = field(default_factory=dict)

    def take(self, row: int, values: Values) -> bool:
        """Take in a piece; False (and nothing done) where it repeats a metric."""
        again = [metric for metric in values if metric in self.values]
        for metric in again:
            _, unit, combine = values[metric]
            if not combine or self.values[metric][1:] != (unit, combine):
                return False
        for metric in again:
            parts = self.parts.setdefault(metric, [self.values[metric][0]])
            parts.append(values[metric][0])
        for metric, value in values.items():
            self.values.setdefault(metric, value)
        self.rows.append(row)
        return True

    def combine(self) -> None:
        """Turn the parts of each metric into its value."""
        for metric, parts in self.parts.items():
            _, unit, how = self.values[metric]
            value = max(parts) if how == "max" else math.fsum(parts) / len(parts)
            self.values[metric] = (value, unit, how)


class Joiner:
    """Gathers the readings and refusals of one message.

    Args:
        piece: What a piece is called in what is told to people: `line`, `record`.
    """

    def __init__(self, index: int, site: str, piece: str = "line") -> None:
        self._index = index
        self._site = site
        self._piece = piece
        self._latest: dict[tuple[str, int], _Reading] = {}
        self._readings: list[_Reading] = []
        self._refused: list[tuple[int, RefusedReadingError]] = []

    def add(
        self,
        row: int,
        device: str,
        family: str,
        time_ms: int,
        values: Values,
        quality: int = 0,
    ) -> None:
        """Add a piece.

        Args:
            row: Its position in the message, from 0.
            quality: A code of `core.samples.Quality`; a reading has the worst of its pieces.
        """
        key = (device, time_ms)
        reading = self._latest.get(key)
        if reading is None or not reading.take(row, values):
            reading = _Reading([row], device, family, time_ms, dict(values))
            self._latest[key] = reading
            self._readings.append(reading)
        reading.quality = max(reading.quality, quality)

    def refuse(self, row: int, error: RefusedReadingError) -> None:
        """Refuse a piece."""
        self._refused.append((row, error))

    @property
    def all_apart(self) -> int:
        """Number of readings where none was refused and each is one piece; else 0."""
        if self._refused or any(len(reading.rows) > 1 for reading in self._readings):
            return 0
        return len(self._readings)

    def deliver(self, limits: IngestLimits, decoded: Decoded) -> None:
        """Hand over what was gathered.

        Raises:
            RefusedReadingError: `too_many_readings`; nothing is handed over then.
        """
        count = len(self._readings) + len(self._refused)
        if count > limits.readings:
            raise RefusedReadingError(
                "too_many_readings", f"{count} readings, {limits.readings} are allowed"
            )
        _add_readings(self._index, self._site, self._readings, decoded)
        _add_refusals(self._index, self._piece, self._refused, decoded)


def _add_readings(index: int, site: str, readings: Sequence[_Reading], decoded: Decoded) -> None:
    # Metrics and units of readings in the order in which they came -> their columns.
    kinds: dict[Any, tuple[Columns, tuple[str, ...]]] = {}
    for reading in readings:
        if reading.parts:
            reading.combine()
        values = reading.values
        kind = (reading.family, *((metric, value[1]) for metric, value in values.items()))
        found = kinds.get(kind)
        if found is None:
            metrics = tuple(sorted(values))
            units = tuple(values[metric][1] for metric in metrics)
            found = kinds[kind] = decoded.of(site, reading.family, metrics, units), metrics
        columns, metrics = found
        columns.extend(
            index,
            reading.rows[0],
            (reading.device,),
            (reading.time_ms,),
            [(values[metric][0],) for metric in metrics],
            (reading.quality,) if reading.quality else (),
        )
        if len(reading.rows) > 1:
            decoded.joined[index, reading.rows[0]] = tuple(reading.rows)


def _add_refusals(
    index: int, piece: str, refused: Sequence[tuple[int, RefusedReadingError]], decoded: Decoded
) -> None:
    if decoded.rows_apart:
        decoded.refusals += [
            Refusal(index, error.reason, error.detail, 1, (row,)) for row, error in refused
        ]
        return
    by_reason: dict[str, list[tuple[int, RefusedReadingError]]] = {}
    for row, error in refused:
        by_reason.setdefault(error.reason, []).append((row, error))
    for reason, found in by_reason.items():
        first_row, first = found[0]
        decoded.refusals.append(
            Refusal(
                index,
                reason,
                more(f"{piece} {first_row + 1}: {first.detail}", len(found)),
                len(found),
                tuple(row for row, _ in found),
            )
        )
