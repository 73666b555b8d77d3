"""Decoded readings to samples in the catalogue's units, judged against the site registry.

A reading is judged whole: the first reason found refuses it, in the order device, family, metric,
unit, range, time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.intervals import Counts
from core.periods import format_time
from core.samples import Codes, Floats, Ints, ReadingBlock
from core.units import conversion
from ingest.families import FamilyTable, SiteTables
from ingest.limits import IngestLimits
from ingest.messages import Columns, Refusal, more

_Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class NormalisedBlock:
    """Good readings of one site and family.

    Attributes:
        table: The family's devices; the block's device table.
        message: (n,) int32, position of the message in its batch.
        row: (n,) int32, position of the reading inside its message.
    """

    table: FamilyTable
    block: ReadingBlock
    message: Counts
    row: Counts

    def __len__(self) -> int:
        return len(self.message)

    def take(self, rows: _Rows | NDArray[np.bool_]) -> NormalisedBlock:
        """Only these rows."""
        return NormalisedBlock(
            self.table, self.block.take(rows), self.message[rows], self.row[rows]
        )


class _Judgement:
    """Which rows still stand, and why the others do not."""

    def __init__(self, columns: Columns, message: Counts, row: Counts) -> None:
        self.columns = columns
        self.message, self.row = message, row
        self.good = np.ones(len(columns), np.bool_)
        self.refusals: list[Refusal] = []

    def refuse(self, bad: NDArray[np.bool_], reason: str, detail: Callable[[int], str]) -> None:
        """Refuse the rows of a mask that still stand; `detail` tells of one row."""
        rows = np.flatnonzero(bad & self.good)
        if not len(rows):
            return
        self.good[rows] = False
        messages = self.message[rows]
        # Rows of one message lie together.
        for part in np.split(rows, np.flatnonzero(np.diff(messages)) + 1):
            self.refusals.append(
                Refusal(
                    int(self.message[part[0]]),
                    reason,
                    more(detail(int(part[0])), len(part)),
                    len(part),
                    tuple(self.row[part].tolist()),
                )
            )


def normalise(
    columns: Columns, tables: SiteTables, received_ms: Ints, limits: IngestLimits
) -> tuple[NormalisedBlock | None, list[Refusal]]:
    """Judge and convert readings of one kind.

    Args:
        received_ms: Receipt of each message of the batch, by position; the time window is judged
            against it.

    Returns:
        The good readings (None without one), and the refused ones.
    """
    message, row = columns.positions()
    judgement = _Judgement(columns, message, row)
    table = tables.families[columns.family]
    index = _device_index(columns, tables, table, judgement)
    if not judgement.good.any():
        return None, judgement.refusals
    time_ms, sent = columns.times, columns.values
    factors = table.multipliers(index, time_ms)
    values: dict[str, Floats] = {}
    for position, name in enumerate(columns.metrics):
        converted = _convert(
            name, columns.units[position], sent[position], index, table, factors, judgement
        )
        if converted is not None:
            values[name] = converted
    _check_time(time_ms, received_ms[message], tables, limits, judgement)
    quality: Codes = np.zeros(len(columns), np.int8)
    if columns.quality:
        quality = np.array(columns.quality, np.int8)
    refusals = judgement.refusals
    if not values or not judgement.good.any():
        return None, refusals
    block = ReadingBlock(
        columns.site, columns.family, table.devices, index, time_ms, quality, values
    )
    normalised = NormalisedBlock(table, block, message, row)
    return (normalised.take(judgement.good) if refusals else normalised), refusals


def _device_index(
    columns: Columns, tables: SiteTables, table: FamilyTable, judgement: _Judgement
) -> Counts:
    found = [table.positions(piece) for piece in columns.pieces]
    index = found[0] if len(found) == 1 else np.concatenate(found)
    if index.min() < 0:
        names = columns.devices
        missing = index < 0
        site = tables.site.id
        elsewhere = np.zeros(len(names), np.bool_)
        for row in np.flatnonzero(missing).tolist():
            elsewhere[row] = bool(tables.family_of(names[row]))
        judgement.refuse(
            missing & ~elsewhere,
            "unknown_device",
            lambda row: f"{names[row][:64]!a} is not declared in the site file of {site}",
        )
        judgement.refuse(
            missing,
            "family_mismatch",
            lambda row: f"{names[row]} is of {tables.family_of(names[row])}, not {columns.family}",
        )
    return index


def _convert(
    name: str,
    unit: str,
    sent: Floats,
    index: Counts,
    table: FamilyTable,
    factors: Floats | None,
    judgement: _Judgement,
) -> Floats | None:
    """Values in the catalogue's unit, after the checks of metric, unit and range."""
    metric = table.metric(name)
    if metric is None or not (table.all_declare(name) or table.declares(name)[index].all()):
        declared = (
            table.declares(name)[index] if metric is not None else np.zeros(len(index), np.bool_)
        )
        judgement.refuse(
            ~declared & ~np.isnan(sent),
            "unknown_metric",
            lambda row: f"{name!a} is not declared for {judgement.columns.devices[row]}",
        )
        if metric is None:
            return None
    converted = sent
    if unit and unit != metric.unit:
        try:
            scale, offset = conversion(unit, metric.unit)
        except (KeyError, ValueError):
            judgement.refuse(
                ~np.isnan(sent),
                "unknown_unit",
                lambda row: f"{unit[:32]!a} is no unit of {metric.name} [{metric.unit}]",
            )
            return sent
        converted = converted * scale + offset
    if factors is not None and table.is_scaled(name):
        converted = converted * factors
    if converted.min() >= metric.low and converted.max() <= metric.high:
        return converted
    # Compared this way round NaN, the absent value, is not outside.
    outside = (converted < metric.low) | (converted > metric.high)
    if outside.any():
        judgement.refuse(
            outside,
            "out_of_range",
            lambda row: (
                f"{name} = {float(converted[row])!r} {metric.unit}, "
                f"plausible are {metric.low:g} to {metric.high:g}"
            ),
        )
    return converted


def _check_time(
    time_ms: Ints,
    received_ms: Ints,
    tables: SiteTables,
    limits: IngestLimits,
    judgement: _Judgement,
) -> None:
    lateness = received_ms - time_ms
    if lateness.min() < -limits.future_ms:
        judgement.refuse(
            lateness < -limits.future_ms,
            "time_in_future",
            lambda row: f"{-int(lateness[row]) / 1000:.0f} s ahead of the server",
        )
    days = tables.site.late_window_days
    old = (lateness > tables.late_ms) if tables.late_ms else (time_ms < 0)
    if old.any():
        judgement.refuse(
            old,
            "time_too_old",
            lambda row: (
                f"{_shown(int(time_ms[row]))} is more than {days} days ago"
                if tables.late_ms
                else f"{_shown(int(time_ms[row]))} is before 1970"
            ),
        )


def _shown(time_ms: int) -> str:
    try:
        return format_time(time_ms)
    except (OverflowError, ValueError):
        return f"{time_ms} ms"
