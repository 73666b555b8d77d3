"""Hand-read meters: a sheet of readings or consumptions through the broker, quality `manual`.

What a cell means is declared, never guessed; what is not clear is refused with its row and column,
all of it in one list, before anything is sent.
"""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from core.clock import Clock
from core.errors import ConfigurationError, Problem
from core.metrics import CATALOGUE, MetricKind
from core.periods import format_time, local_midnight, local_month, parse_rfc3339, to_ms
from core.sites import Device, Site, SiteRegistry
from core.units import convert
from sims.import_maps import ImportMap, MeterColumn, NumberSection, parse_import_map
from sims.local_times import instants_of, next_midnight_ms
from sims.publisher import ConnectionFor, Progress, PublishCount, Publisher
from sims.registers import count_periods
from sims.sheets import SheetForm, SheetRow, read_sheet
from sims.wire import Message, gateway_topic

_DAY_MS = 86_400_000
_AHEAD_MS = 300_000
# Far below the limits of a payload; hand-read sheets are small.
_READINGS_A_MESSAGE = 500


@dataclass(frozen=True, slots=True)
class HandReading:
    """One value of one meter, in the catalogue's unit."""

    device: str
    metric: str
    time_ms: int
    value: float


class _CellError(Exception):
    """What is wrong with a cell, and how to mend it."""

    def __init__(self, problem: str, hint: str) -> None:
        self.problem, self.hint = problem, hint
        super().__init__(problem)


def run_import(
    path: Path,
    map_path: Path,
    connection_for: ConnectionFor,
    *,
    registry: SiteRegistry,
    clock: Clock,
    stop: threading.Event,
    progress: Progress,
) -> PublishCount:
    """Publish a sheet.

    Raises:
        ConfigurationError: File or map cannot be used; every cell that is not clear.
        BrokerUnavailableError: The broker does not answer.
    """
    try:
        text = map_path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        hint = "name a readable file"
        raise ConfigurationError(
            [Problem(str(map_path), "", f"cannot be read: {error}", hint)]
        ) from None
    import_map = parse_import_map(text, str(map_path), registry)
    site = registry.site(import_map.site)
    readings = read_hand_readings(path, import_map, site, clock.now_ms())
    if not readings:
        progress(1.0, "the sheet holds no reading")
        return PublishCount()
    publisher = Publisher(connection_for(site.id), f"greendc-import-{site.id}", stop)
    publisher.open()
    try:
        for message in pack_hand_readings(site, readings):
            if not publisher.publish(message):
                break
        publisher.drain()
        progress(1.0, f"{publisher.count.acknowledged:,} readings acknowledged")
        return publisher.count
    finally:
        publisher.close()


def pack_hand_readings(site: Site, readings: list[HandReading]) -> Iterator[Message]:
    """Messages of the row form, one family each; a row is all that a device has at an instant."""
    rows: dict[str, dict[tuple[int, str], dict[str, float]]] = defaultdict(dict)
    for reading in readings:
        family = site.devices[reading.device].family
        values = rows[family].setdefault((reading.time_ms, reading.device), {})
        values[reading.metric] = reading.value
    for family, of_family in rows.items():
        ordered = sorted(of_family.items())
        for start in range(0, len(ordered), _READINGS_A_MESSAGE):
            part = ordered[start : start + _READINGS_A_MESSAGE]
            payload = msgspec.json.encode(
                {
                    "readings": [
                        {"device": device, "ts": time_ms, "quality": "manual", "values": values}
                        for (time_ms, device), values in part
                    ]
                }
            )
            yield Message(gateway_topic(site.id, family), payload, len(part))


def read_hand_readings(
    path: Path, import_map: ImportMap, site: Site, now_ms: int
) -> list[HandReading]:
    """The readings of a sheet, in time order.

    Raises:
        ConfigurationError: With every cell that is not clear, by row and column.
    """
    file = import_map.file
    form = SheetForm(file.sheet, file.encoding, file.delimiter, file.header_row)
    names = [import_map.time.column, *(meter.column for meter in import_map.meters)]
    rows = read_sheet(path, form, dict.fromkeys(names))
    problems: list[Problem] = []

    def note(row: SheetRow, column: str, problem: str, hint: str) -> None:
        problems.append(Problem(str(path), f"row {row.number}, {column!r}", problem, hint))

    timed: list[tuple[int, int, SheetRow]] = []
    for row in rows:
        try:
            timed.append((*_span(row.cells[import_map.time.column], import_map, site.zone), row))
        except _CellError as error:
            note(row, import_map.time.column, error.problem, error.hint)
    timed.sort(key=lambda item: item[0])
    for (before, _, _), (at, _, row) in pairwise(timed):
        if before == at:
            hint = "keep one row"
            note(row, import_map.time.column, "another row has the same time", hint)
    found: list[HandReading] = []
    for meter in import_map.meters:
        cells: list[tuple[int, int, SheetRow, float]] = []
        for start_ms, end_ms, row in timed:
            cell = row.cells[meter.column]
            if cell is None:
                continue
            try:
                value = parse_number(cell, import_map.numbers)
            except _CellError as error:
                note(row, meter.column, error.problem, error.hint)
                continue
            cells.append((start_ms, end_ms, row, value))
        device = site.devices[meter.device]
        for row, problem, hint in _doubts(meter, device, site, cells, now_ms):
            note(row, meter.column, problem, hint)
        if not problems:
            found += _readings(meter, device, cells)
    if problems:
        raise ConfigurationError(problems)
    return sorted(found, key=lambda reading: (reading.time_ms, reading.device, reading.metric))


def parse_number(cell: Any, form: NumberSection) -> float:
    """A number, or a text written in the declared way."""
    if isinstance(cell, bool) or not isinstance(cell, int | float | str):
        raise _CellError(f"{cell!r} is no number", "write a number, or leave the cell empty")
    if not isinstance(cell, str):
        return float(cell)
    decimal, thousands = re.escape(form.decimal), re.escape(form.thousands)
    grouped = rf"|\d{{1,3}}(?:{thousands}\d{{3}})+" if form.thousands else ""
    if re.fullmatch(rf"[+-]?(?:\d+{grouped})(?:{decimal}\d+)?", cell, re.ASCII) is None:
        if re.fullmatch(r"[+-]?[\d.,  ]+", cell, re.ASCII):
            hint = 'declare decimal and thousands in [numbers] of the map, like thousands = ","'
            raise _CellError(f"{cell!r} is written with other separators than declared", hint)
        raise _CellError(f"{cell!r} is no number", "write a number, or leave the cell empty")
    plain = cell.replace(form.thousands, "") if form.thousands else cell
    return float(plain.replace(form.decimal, "."))


def _span(cell: Any, import_map: ImportMap, zone: ZoneInfo) -> tuple[int, int]:
    """Start and end of what a row is of; the same for a reading."""
    spec = import_map.time
    if cell is None:
        raise _CellError("a row without a time", "write when the meters were read")
    local = _local(cell, spec.format)
    if not spec.period:
        instant = _instant(local, spec.at, zone)
        return instant, instant
    day = local.date() if isinstance(local, datetime) else local
    if isinstance(local, datetime) and (local.tzinfo is not None or local.time() != time(0)):
        raise _CellError(f"{cell} is a time of day, not a {spec.period}", "write its first day")
    if spec.period == "day":
        return to_ms(local_midnight(day, zone)), next_midnight_ms(day, zone)
    if day.day != 1:
        raise _CellError(f"{day} is not the first day of a month", "write the month's first day")
    month = local_month(day.year, day.month, zone)
    return month.start_ms, month.end_ms


def _local(cell: Any, form: str) -> datetime | date:
    if isinstance(cell, datetime | date):
        return cell
    if not isinstance(cell, str):
        raise _CellError(f"{cell!r} is no time", "format the cell as a date")
    if form:
        try:
            read = datetime.strptime(cell, form)  # noqa: DTZ007 - the zone comes from the map
        except ValueError:
            raise _CellError(f"{cell!r} is not written as {form}", "correct the cell") from None
        return read if re.search(r"%[HIMSpTXcr]", form) else read.date()
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", cell, re.ASCII):
            return date.fromisoformat(cell)
        if re.search(r"[Zz]$|[+-]\d{2}:\d{2}$", cell):
            return parse_rfc3339(cell)
        return datetime.fromisoformat(cell)
    except ValueError:
        hint = "write 2026-11-01 09:00, or declare format in [time] of the map"
        raise _CellError(f"{cell!r} is no time", hint) from None


def _instant(local: datetime | date, at: time | None, zone: ZoneInfo) -> int:
    if not isinstance(local, datetime):
        if at is None:
            hint = 'declare at = "09:00" in [time] of the map, or write the time'
            raise _CellError(f"{local} has no time of day", hint)
        local = datetime.combine(local, at)
    elif at is not None and local.tzinfo is None and local.time() == time(0):
        # A spreadsheet keeps a date as its midnight.
        local = datetime.combine(local.date(), at)
    if local.tzinfo is not None:
        return to_ms(local)
    instants = instants_of(local, zone)
    if len(instants) != 1:
        how_often = "twice" if instants else "never"
        problem = f"clocks of {zone.key} show {local.isoformat(sep=' ')} {how_often}"
        raise _CellError(problem, "write it with an offset, like 2026-11-01T01:30:00-04:00")
    return instants[0]


_Cells = list[tuple[int, int, SheetRow, float]]


def _doubts(
    meter: MeterColumn, device: Device, site: Site, cells: _Cells, now_ms: int
) -> Iterator[tuple[SheetRow, str, str]]:
    """Cells that are numbers and still cannot be taken: row, what is wrong, how to mend it."""
    oldest_ms = now_ms - site.late_window_days * _DAY_MS if site.late_window_days else 0
    metric = CATALOGUE[device.family, meter.metric]
    for start_ms, end_ms, row, value in cells:
        canonical = convert(value, meter.unit, metric.unit)
        if start_ms < oldest_ms:
            problem = (
                f"is older than the late window of site {site.id} ({site.late_window_days} days)"
            )
            yield row, problem, "raise late_window_days in the site file, or leave the row out"
        elif end_ms > now_ms + (_AHEAD_MS if meter.kind == "reading" else 0):
            yield row, f"{format_time(end_ms)} has not come yet", "correct the time"
        elif start_ms < device.states[0].valid_from_ms:
            problem = f"{device.id} is declared from {format_time(device.states[0].valid_from)} on"
            yield row, problem, "correct the time, or valid_from in the site file"
        elif meter.kind == "consumption" and value < 0.0:
            yield row, "a consumption is not negative", "correct the cell"
        elif not metric.low <= canonical <= metric.high:
            problem = f"{value:g} {meter.unit} is not plausible for {meter.metric}"
            yield row, problem, "correct the cell or the unit"
    follow = pairwise(cells)
    if meter.kind == "consumption":
        if cells and meter.begins is not None:
            first = to_ms(local_midnight(meter.begins, site.zone))
            if cells[0][0] != first:
                problem = f"the first period is not the one that begins on {meter.begins}"
                yield (
                    cells[0][2],
                    problem,
                    "keep the sheet's first rows: the total counts from them",
                )
        for (_, end_ms, _, _), (start_ms, _, row, _) in follow:
            if start_ms != end_ms:
                problem = "a period before this one is missing: its consumption is not known"
                yield row, problem, "fill it in, or begin after it with begins"
        return
    if metric.kind is not MetricKind.COUNTER:
        return
    for (before_ms, _, _, before), (at_ms, _, row, value) in follow:
        if value < before and not _may_decrease(device, before_ms, at_ms):
            problem = f"{value:g} is less than {before:g} before it"
            yield row, problem, "correct the cell, or declare the meter change in the site file"


def _may_decrease(device: Device, before_ms: int, at_ms: int) -> bool:
    """Whether the meter was changed between two readings, or its register wraps."""
    states = [state for state in device.states if state.valid_from_ms <= at_ms]
    changed = {state.meter for state in states if state.valid_from_ms > before_ms}
    old = [state for state in states if state.valid_from_ms <= before_ms]
    return bool(old) and (
        old[-1].wraps_at is not None or any(serial != old[-1].meter for serial in changed)
    )


def _readings(meter: MeterColumn, device: Device, cells: _Cells) -> list[HandReading]:
    unit = CATALOGUE[device.family, meter.metric].unit
    values = [convert(value, meter.unit, unit) for _, _, _, value in cells]
    times = [start_ms for start_ms, _, _, _ in cells]
    if meter.kind == "consumption":
        register = count_periods(
            np.array(times, dtype=np.int64),
            np.array([end_ms for _, end_ms, _, _ in cells], dtype=np.int64),
            np.array(values),
        )
        times, values = register.time_ms.tolist(), register.value.tolist()
    return [
        HandReading(meter.device, meter.metric, time_ms, value)
        for time_ms, value in zip(times, values, strict=True)
    ]
