"""Flux questions and their answers.

No value is ever part of a query's text: times, ids and names travel as parameters (an `extern`
syntax tree), which the server resolves before it plans, so that filters on them are still pushed
down to the storage engine. What stands in the text are names of parameters that are made here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv

from core.errors import StoreUnavailableError
from core.periods import from_ms
from core.samples import Ints
from storage.influx.arrow_columns import numbers_of
from storage.schema import LAST_TIME_MS, QUALITY_SUFFIX

Parameters = dict[str, object]

# A filter costs the server 0.25 ms a name. Beyond so many devices the whole site is fetched, and
# the caller picks.
MOST_NAMES = 1000

_TABLES_END = b"\r\n\r\n"
_MEANS = 'aggregateWindow(every: {:d}ms, fn: mean, createEmpty: false, timeSrc: "_start")'


class Question:
    """One Flux query in the making: its text and its parameters."""

    def __init__(self, bucket: str) -> None:
        self.parameters: Parameters = {"bucket": bucket}
        self._filters: list[str] = []

    def where(self, column: str, values: Sequence[str]) -> None:
        """Keep rows whose column has one of these values.

        An `or` of equalities is pushed down, `contains` is not (500 times slower). The equalities
        stand in a balanced tree, because the server refuses deep nesting.
        """
        names = []
        for value in values:
            name = f"p{len(self.parameters)}"
            self.parameters[name] = value
            names.append(f"r.{column} == {name}")
        self._filters.append(_any_of(names))

    def match_quality(self) -> None:
        """Keep the marks of quality only."""
        self._filters.append(f"r._field =~ /{QUALITY_SUFFIX}$/")

    def leave_quality(self) -> None:
        """Leave out the marks of quality."""
        self._filters.append(f"r._field !~ /{QUALITY_SUFFIX}$/")

    def text(
        self,
        start: datetime,
        stop: datetime,
        keep: Sequence[str],
        pick: str = "",
        *,
        mean_every_ms: int = 0,
    ) -> str:
        """The query over [start, stop).

        Args:
            keep: Columns that the answer carries.
            pick: `first` or `last` of every series, or nothing.
            mean_every_ms: Length of the windows whose means are wanted, by their beginning; 0 for
                the values themselves. In this form, and in no other, the storage engine makes the
                means itself (decision 0146).
        """
        suffix = len(self.parameters)
        self.parameters[f"start{suffix}"] = start
        self.parameters[f"stop{suffix}"] = stop
        columns = ", ".join(f'"{name}"' for name in keep)
        parts = [
            "from(bucket: bucket)",
            f"range(start: start{suffix}, stop: stop{suffix})",
            f"filter(fn: (r) => {' and '.join(self._filters)})",
            *([f"{pick}()"] if pick else []),
            *([_MEANS.format(mean_every_ms)] if mean_every_ms else []),
            f"keep(columns: [{columns}])",
        ]
        return " |> ".join(parts)

    def union(self, spans: Sequence[tuple[datetime, datetime]], keep: Sequence[str]) -> str:
        """The query over several spans of time."""
        if len(spans) == 1:
            return self.text(*spans[0], keep)
        return f"union(tables: [{', '.join(self.text(*span, keep) for span in spans)}])"


def _any_of(terms: Sequence[str]) -> str:
    if len(terms) == 1:
        return terms[0]
    half = len(terms) // 2
    return f"({_any_of(terms[:half])} or {_any_of(terms[half:])})"


def range_time(time_ms: int) -> datetime:
    """An instant as a bound of a range, cut to what the server can count."""
    return from_ms(min(max(time_ms, 0), LAST_TIME_MS))


class Answer:
    """One table of an answer: its rows in columns, with the edges of its series.

    Attributes:
        time_ms: (n,) int64.
        starts: First row of every series.
    """

    def __init__(self, table: Any, labels: Sequence[str]) -> None:
        self._table = table
        self.time_ms: Ints = numbers_of(table["_time"], "<i8")
        # The number of a series may come again in the next chunk of the answer; its labels decide.
        changes = np.zeros(max(len(self.time_ms) - 1, 0), bool)
        self._labels = {name: _Labels(table[name]) for name in labels}
        for column in self._labels.values():
            changes |= np.diff(column.codes) != 0
        self.starts = np.concatenate([[0], np.flatnonzero(changes) + 1]).astype(np.int64)

    def values(self) -> Any:
        """(n,) float64, or a list of texts where the column holds text."""
        column = self._table["_value"]
        if pa.types.is_floating(column.type):
            return numbers_of(column, "<f8")
        return column.to_pylist()

    def series(self) -> Iterator[tuple[dict[str, str], slice]]:
        """Each run of rows of one series: its labels and its rows."""
        ends = np.append(self.starts[1:], len(self.time_ms))
        for start, end in zip(self.starts.tolist(), ends.tolist(), strict=True):
            labels = {name: column.at(start) for name, column in self._labels.items()}
            yield labels, slice(start, end)


class _Labels:
    """A dictionary-encoded text column."""

    def __init__(self, column: Any) -> None:
        encoded = column.combine_chunks()
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.unify_dictionaries().chunk(0)
        self.codes = numbers_of(encoded.indices, "<i4")
        self._texts = encoded.dictionary.to_pylist()

    def at(self, row: int) -> str:
        return str(self._texts[int(self.codes[row])])


def parse_answer(
    body: bytes, labels: Sequence[str], *, text_values: bool = False
) -> Iterator[Answer]:
    """Read a CSV answer without annotations.

    Raises:
        StoreUnavailableError: The server broke the query off after it had begun to answer.
    """
    for part in _parts_of(body):
        line_end = bytes(part[:4096]).find(b"\r\n")
        header = bytes(part[: max(line_end, 0)]).split(b",")
        if b"error" in header:
            message = bytes(part[line_end:]).decode("utf-8", "replace").strip()
            raise StoreUnavailableError(f"InfluxDB broke a query off: {message[:500]}")
        dictionary = pa.dictionary(pa.int32(), pa.string())
        types: Mapping[str, Any] = {
            "_time": pa.timestamp("ms", "UTC"),
            "_value": pa.string() if text_values else pa.float64(),
            **dict.fromkeys(labels, dictionary),
        }
        options = csv.ConvertOptions(
            column_types=types,
            include_columns=list(types),
            strings_can_be_null=False,
        )
        # One block, so that a dictionary column is one dictionary.
        read = csv.ReadOptions(block_size=len(part) + 4096, use_threads=False)
        parse = csv.ParseOptions(newlines_in_values=False)
        table = csv.read_csv(
            pa.BufferReader(part),
            read_options=read,
            parse_options=parse,
            convert_options=options,
        )
        if table.num_rows:
            yield Answer(table, labels)


def _parts_of(body: bytes) -> Iterator[memoryview]:
    """Tables of one schema each: a header line and rows; without copies, they are large."""
    whole, start = memoryview(body), 0
    while start < len(body):
        end = body.find(_TABLES_END, start)
        end = len(body) if end < 0 else end
        if end > start and body[start : start + 2] != b"\r\n":
            yield whole[start:end]
        start = end + len(_TABLES_END)
