"""What travels between the steps of receiving: raw messages, decoded columns, refusals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import TypeAlias

import msgspec
import numpy as np

from core.intervals import Counts
from core.samples import Floats, Ints
from ingest.sparkplug_births import SparkplugNews


class DeviceList(tuple[str, ...]):
    """Names of devices that come again and again, as this object."""

    __slots__ = ()


Unit: TypeAlias = str
Units: TypeAlias = tuple[Unit, ...]


class RawMessage(msgspec.Struct, frozen=True, gc=False):
    """One PUBLISH as it came.

    Attributes:
        topic: The topic; bytes that are no UTF-8 are shown as backslash escapes.
        received_ms: When it was read from the socket, UTC epoch milliseconds.
        mid: Packet id of its acknowledgement; 0 where none is due.
        generation: The connection that it came on; an acknowledgement is worth nothing on another.
        repeated: The broker kept it (retained) or sends it again: it was measured some time before.
    """

    topic: str
    payload: bytes
    received_ms: int
    mid: int = 0
    generation: int = 0
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """Readings of one message that were refused for one reason.

    Attributes:
        message: Position of the message in its batch.
        reason: A code of `core.reasons.REASONS`.
        detail: What was found, one line for a person.
        count: Readings that this stands for.
        rows: Their positions inside the message; empty when the whole message is meant.
    """

    message: int
    reason: str
    detail: str
    count: int = 1
    rows: tuple[int, ...] = ()


def more(detail: str, count: int) -> str:
    """The detail of the first of so many."""
    return detail if count == 1 else f"{detail} (and {count - 1} more)"


class Columns:
    """Readings that share site, family, names of metrics and units, as sent; rows are readings.

    What comes as arrays is kept as it is, one piece a message: numbers are turned into arrays while
    they lie in the processor's cache. What comes reading by reading is gathered in lists first.

    Attributes:
        metrics: Names of the metrics.
        units: Unit as declared, or empty for the catalogue's own, for each metric.
        pieces: Names of devices, in turn.
    """

    __slots__ = (
        "_columns",
        "_count",
        "_devices",
        "_qualities",
        "_spans",
        "_times",
        "_values",
        "family",
        "metrics",
        "pieces",
        "site",
        "units",
    )

    def __init__(self, site: str, family: str, metrics: tuple[str, ...], units: Units) -> None:
        self.site = site
        self.family = family
        self.metrics = metrics
        self.units = units
        self.pieces: list[DeviceList | list[str]] = []
        # Closed pieces: times, and values as (metrics, n).
        self._columns: list[tuple[Ints, Floats]] = []
        # The open one.
        self._times: list[int] = []
        self._values: list[list[float]] = [[] for _ in metrics]
        self._qualities: list[int] | None = None
        # One entry for consecutive readings of one message: the message, the first row in it, the
        # number of rows.
        self._spans: tuple[list[int], list[int], list[int]] = ([], [], [])
        self._devices: list[str] | None = None
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def times(self) -> Ints:
        """(n,) epoch milliseconds."""
        return self._whole()[0]

    @property
    def values(self) -> Floats:
        """(metrics, n) numbers; NaN where the reading lacks it."""
        return self._whole()[1]

    @property
    def quality(self) -> list[int] | None:
        """(n,) codes, or None as long as every reading is good."""
        return self._qualities

    @property
    def devices(self) -> list[str]:
        """(n,) names."""
        if self._devices is None:
            self._devices = [name for piece in self.pieces for name in piece]
        return self._devices

    def extend(
        self,
        message: int,
        first_row: int,
        devices: Sequence[str],
        times: Sequence[int] | Ints,
        values: Sequence[Sequence[float]] | Floats,
        quality: Sequence[int] = (),
    ) -> None:
        """Add consecutive readings of one message.

        Args:
            times: (n,) array, or a sequence where there are few.
            values: (metrics, n) array where the times are one, else a sequence a metric.
        """
        self._extend(devices, times, values, quality)
        for entries, entry in zip(self._spans, (message, first_row, len(devices)), strict=True):
            entries.append(entry)

    def extend_many(
        self,
        messages: Sequence[int],
        counts: Sequence[int],
        devices: Sequence[str],
        times: Ints,
        values: Floats,
        quality: Sequence[int] = (),
    ) -> None:
        """Add all readings of several messages, so many of each."""
        self._extend(devices, times, values, quality)
        for entries, added in zip(
            self._spans, (messages, repeat(0, len(messages)), counts), strict=True
        ):
            entries.extend(added)

    def _extend(
        self,
        devices: Sequence[str],
        times: Sequence[int] | Ints,
        values: Sequence[Sequence[float]] | Floats,
        quality: Sequence[int],
    ) -> None:
        if self._qualities is None and quality:
            self._qualities = [0] * self._count
        last = self.pieces[-1] if self.pieces else ()
        if isinstance(devices, DeviceList):
            self.pieces.append(devices)
        elif isinstance(last, list):
            last.extend(devices)
        else:
            self.pieces.append(list(devices))
        self._devices = None
        self._count += len(devices)
        if isinstance(times, np.ndarray):
            self._close()
            self._columns.append((times, np.asarray(values, np.float64)))
        else:
            self._times.extend(times)
            for column, added in zip(self._values, values, strict=True):
                column.extend(added)
        if self._qualities is not None:
            self._qualities.extend(quality or [0] * len(devices))

    def _close(self) -> None:
        if self._times:
            self._columns.append(
                (np.array(self._times, np.int64), np.array(self._values, np.float64))
            )
            self._times = []
            self._values = [[] for _ in self.metrics]

    def _whole(self) -> tuple[Ints, Floats]:
        self._close()
        if not self._columns:
            return np.zeros(0, np.int64), np.zeros((len(self.metrics), 0))
        if len(self._columns) > 1:
            times = np.concatenate([piece for piece, _ in self._columns])
            values = np.concatenate([piece for _, piece in self._columns], axis=1)
            self._columns = [(times, values)]
        return self._columns[0]

    def positions(self) -> tuple[Counts, Counts]:
        """Message and row inside it for each reading, two (n,) int32 arrays."""
        messages, firsts, lengths = self._spans
        message = np.array(messages, np.int32)
        if len(messages) == len(self) and 0 not in lengths:
            return message, np.array(firsts, np.int32)
        counts = np.array(lengths, np.int64)
        # What to add to a position in these columns to get the row inside its message.
        moved = np.array(firsts, np.int64) - (np.cumsum(counts) - counts)
        row = np.arange(len(self)) + np.repeat(moved, counts)
        return np.repeat(message, counts), row.astype(np.int32)


ColumnsKey: TypeAlias = tuple[str, str, tuple[str, ...], Units]


@dataclass(slots=True)
class Decoded:
    """What a batch of messages came to before the registry was asked.

    Attributes:
        columns: Readings by site, family, metrics and units.
        refusals: What could not be read.
        ignored: Names of ignored members and how often each was seen.
        rows_apart: Whether each refused row is told by itself, where the decoder can do so.
        joined: (message, first row) -> all rows of a reading that several rows were joined to.
        messages: The batch itself, for dialects in which a sample may have no time of its own.
        sparkplug: What edge nodes said of themselves.
    """

    columns: dict[ColumnsKey, Columns] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    joined: dict[tuple[int, int], tuple[int, ...]] = field(default_factory=dict)
    rows_apart: bool = False
    messages: Sequence[RawMessage] = ()
    sparkplug: SparkplugNews = field(default_factory=SparkplugNews)

    def receipt_ms(self, message: int) -> int | None:
        """When a message was received, in epoch milliseconds.

        None where that says nothing about when it was measured.
        """
        found = self.messages[message]
        return None if found.repeated else found.received_ms

    def of(self, site: str, family: str, metrics: tuple[str, ...], units: Units) -> Columns:
        """The columns of this kind, made where they are new."""
        key = (site, family, metrics, units)
        columns = self.columns.get(key)
        if columns is None:
            columns = self.columns[key] = Columns(site, family, metrics, units)
        return columns
