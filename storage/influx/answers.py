"""From columns of an answer to samples, intervals and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from core.intervals import FLOAT_COLUMNS, IntervalBlock
from core.ports import ResultRow
from core.samples import Codes, Floats, Ints, Quality, Sample, SampleSeries, SeriesKey
from storage.influx.line_protocol import (
    ABSENT,
    OMITTED_WHEN_ZERO,
    unfold_document,
    unpack_absent,
)
from storage.schema import QUALITY_SUFFIX

# (device, field) -> pieces of (times, values).
Columns = dict[tuple[str, str], list[tuple[Ints, Floats]]]
# (name, subject, resolution, start) -> field -> text of its value.
ResultFields = dict[tuple[str, str, str, int], dict[str, str]]


def in_order(pieces: Sequence[tuple[Ints, Floats]]) -> tuple[Ints, Floats]:
    """All pieces of one field as one run in time order."""
    if len(pieces) == 1:
        times, values = pieces[0]
    else:
        times = np.concatenate([piece[0] for piece in pieces])
        values = np.concatenate([piece[1] for piece in pieces])
    if len(times) > 1 and not (np.diff(times) > 0).all():
        order = np.argsort(times, kind="stable")
        times, values = times[order], values[order]
    return times, values


def _codes_at(times: Ints, marks: tuple[Ints, Floats] | None) -> Codes:
    """The quality code of each instant: its mark, or good."""
    codes = np.zeros(len(times), np.int8)
    if marks is not None and len(times):
        position = np.searchsorted(times, marks[0])
        position[position == len(times)] = 0
        hit = times[position] == marks[0]
        codes[position[hit]] = marks[1][hit].astype(np.int8)
    return codes


def sample_series(columns: Columns, site: str, family: str) -> list[SampleSeries]:
    """Every series with its qualities, sorted by key."""
    found = []
    for (device, field), pieces in columns.items():
        if field.endswith(QUALITY_SUFFIX):
            continue
        times, values = in_order(pieces)
        marks = columns.get((device, field + QUALITY_SUFFIX))
        codes = _codes_at(times, None if marks is None else in_order(marks))
        key = SeriesKey(site, family, device, field)
        # A copy: a slice would keep the whole answer in memory.
        found.append(SampleSeries(key, times.copy(), np.array(values), codes))
    return sorted(found, key=lambda series: series.key)


def edge_samples(columns: Columns, site: str, family: str) -> list[Sample]:
    """The one sample of each series that a `first` or `last` answered, sorted by key.

    A mark belongs to it only if it is of the same instant.
    """
    return [
        Sample(
            series.key, int(series.time_ms[0]), float(series.value[0]), Quality(series.quality[0])
        )
        for series in sample_series(columns, site, family)
    ]


def interval_block(
    key: SeriesKey, fields: Mapping[str, Sequence[tuple[Ints, Floats]]]
) -> IntervalBlock:
    """Intervals of one series from the fields of its lines; `absent` says what each line lacks."""
    start, mask = in_order(fields[ABSENT])
    columns: dict[str, Any] = {}
    for position, name in enumerate(FLOAT_COLUMNS):
        values = np.full(len(start), np.nan)
        if name in fields:
            at, held = in_order(fields[name])
            values[np.searchsorted(start, at)] = held
        is_nan, is_zero = unpack_absent(mask, position)
        values[is_nan] = np.nan
        if name in OMITTED_WHEN_ZERO:
            values[is_zero] = 0.0
        columns[name] = values
    at, counts = in_order(fields["count"])
    count = np.zeros(len(start), np.int32)
    count[np.searchsorted(start, at)] = counts.astype(np.int32)
    return IntervalBlock(key, start.copy(), count, **columns)


def result_rows(fields: ResultFields, site: str, kind: str) -> list[ResultRow]:
    """Figures by (name, subject, resolution, start)."""
    rows = []
    for (name, subject, resolution, start_ms), held in sorted(fields.items()):
        refused = float(held["refused"]) != 0.0
        value = None if refused else float(held["value"])
        document = unfold_document(held["document"])
        rows.append(ResultRow(site, kind, name, subject, resolution, start_ms, value, document))
    return rows
