"""Real data files sent through the broker as if their devices were reporting now."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from datetime import time as time_of_day
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from core.clock import SystemClock
from core.errors import ConfigurationError, Problem
from core.metrics import CATALOGUE
from core.periods import from_ms, local_midnight, parse_rfc3339, to_ms
from core.samples import Floats, Ints
from core.sites import SiteRegistry
from core.units import conversion
from sims.local_times import instants_of, next_midnight_ms
from sims.publisher import ConnectionFor, Progress, PublishCount, Publisher
from sims.registers import count_periods
from sims.replay_maps import MetricColumn, ReplayMap, TimeColumn, parse_replay_map
from sims.tables import ReadingTable
from sims.wire import pack_columns

_PER_UNIT_MS = {"s": 1000.0, "ms": 1.0, "us": 1e-3, "ns": 1e-6}
_DAY_MS = 86_400_000


def run_replay(
    path: Path,
    map_path: Path,
    connection_for: ConnectionFor,
    *,
    speed: float | None,
    registry: SiteRegistry,
    stop: threading.Event,
    progress: Progress,
) -> PublishCount:
    """Publish every row of a file under its own time stamps, in time order.

    Args:
        path: Parquet (`.parquet`, `.pq`) or CSV.
        map_path: What its columns mean, see `sims.replay_maps`.
        speed: Recorded seconds a second; None: as fast as the broker takes them.
        progress: Called with the share published, 0..1, and a text.

    Raises:
        ConfigurationError: File or map cannot be read or do not fit the registry, or rows are
            older than the site's late window.
        BrokerUnavailableError: The broker does not answer.
    """
    try:
        text = map_path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _problem(map_path, "", f"cannot be read: {error}", "name a readable file") from None
    replay_map = parse_replay_map(text, str(map_path), registry)
    table, left_out = read_replay(path, replay_map)
    for reason, count in left_out.items():
        progress(0.0, f"{count:,} rows left out: {reason}")
    _check_readings(path, replay_map, table, registry)
    if not len(table):
        progress(1.0, "the file holds no reading")
        return PublishCount()
    publisher = Publisher(
        connection_for(replay_map.site), f"greendc-replay-{replay_map.site}", stop, window=24
    )
    publisher.open()
    try:
        done = 0
        for part in _paced(table, speed, stop):
            messages = pack_columns(replay_map.site, part)
            if not all(publisher.publish(message) for message in messages):
                break
            done += len(part)
            progress(0.999 * done / len(table), f"{done:,} of {len(table):,} readings published")
        if publisher.drain() and done == len(table):
            progress(1.0, f"all {publisher.count.acknowledged:,} readings acknowledged")
        return publisher.count
    finally:
        publisher.close()


def read_readings(path: Path, replay_map: ReplayMap) -> ReadingTable:
    """The readings of `read_replay`; raises as it does."""
    return read_replay(path, replay_map)[0]


def read_replay(path: Path, replay_map: ReplayMap) -> tuple[ReadingTable, dict[str, int]]:
    """Read a file as readings in time order, in the catalogue's units.

    Without a period a row is one reading at its time. A row that is the mean of a period gives a
    reading in the middle of it for a gauge, where a linear course has its mean, and readings at its
    borders for what is accumulated. Rows without any value are left out.

    Returns:
        The readings, and how many rows were left out, by reason.

    Raises:
        ConfigurationError: The file cannot be read, lacks a column, or a value cannot be what the
            map says.
    """
    table = _read_table(path, replay_map)
    times, placed, left_out = _times(path, table, replay_map)
    values = np.stack(
        [_values(path, table, replay_map.family, column) for column in replay_map.metrics], axis=1
    )
    # What is constant alone is no reading.
    measured = [number for number, m in enumerate(replay_map.metrics) if m.constant is None]
    present = ~np.isnan(values[:, measured]).all(axis=1) & placed
    order = np.flatnonzero(present)
    order = order[np.argsort(times[order], kind="stable")]
    if replay_map.device_column:
        names = pc.dictionary_encode(
            pc.cast(table[replay_map.device_column].combine_chunks(), pa.string())
        )
        index = names.indices.to_numpy(zero_copy_only=False).astype(np.intp)
        metrics = tuple(column.metric for column in replay_map.metrics)
        devices = tuple(names.dictionary.to_pylist())
        family = replay_map.family
        found = ReadingTable(family, devices, index[order], times[order], metrics, values[order])
        return found, left_out
    columns, uncounted = _columns(path, replay_map, times[order], values[order])
    if uncounted:
        left_out["runs too short for the register that counts them"] = uncounted
    return _joined(replay_map.family, columns), left_out


@dataclass(frozen=True, slots=True, eq=False)
class _Column:
    """What one device said of one metric; NaN where it said nothing."""

    device: str
    metric: str
    time_ms: Ints
    value: Floats


def _columns(
    path: Path, replay_map: ReplayMap, times: Ints, values: Floats
) -> tuple[list[_Column], int]:
    """The column of each metric, and how many of its rows are in no register."""
    spec = replay_map.time
    ends = _ends(times, spec)
    if spec.period and (times[1:] < ends[:-1]).any():
        at = int(np.flatnonzero(times[1:] < ends[:-1])[0]) + 1
        problem = f"two rows for {from_ms(int(times[at])):%Y-%m-%dT%H:%MZ}"
        raise _problem(path, spec.column, problem, "keep one row for each period")
    stands = times if not spec.period else (times + ends) // 2
    found, left_out = [], 0
    for number, column in enumerate(replay_map.metrics):
        device, value = replay_map.device_of(column), values[:, number]
        if not column.accumulate:
            found.append(_Column(device, column.metric, stands, value))
            continue
        known = ~np.isnan(value)
        hours = (ends[known] - times[known]) / 3_600_000.0
        register = count_periods(times[known], ends[known], value[known] * hours)
        left_out = max(left_out, register.left_out)
        found.append(_Column(device, column.metric, register.time_ms, register.value))
    return found, left_out


def _ends(times: Ints, spec: TimeColumn) -> Ints:
    if spec.period == "hour":
        return times + 3_600_000
    if spec.period == "day":
        zone = ZoneInfo(spec.zone)
        days = [from_ms(t).astimezone(zone).date() for t in times.tolist()]
        return np.array([next_midnight_ms(day, zone) for day in days], dtype=np.int64)
    return times


def _joined(family: str, columns: Sequence[_Column]) -> ReadingTable:
    """One reading for each device and instant, with all metrics that it has there."""
    devices = tuple(dict.fromkeys(column.device for column in columns))
    metrics = tuple(dict.fromkeys(column.metric for column in columns))
    times = np.unique(np.concatenate([column.time_ms for column in columns]))
    values = np.full((len(times), len(devices), len(metrics)), np.nan)
    for column in columns:
        place = np.searchsorted(times, column.time_ms)
        values[place, devices.index(column.device), metrics.index(column.metric)] = column.value
    said = ~np.isnan(values).all(axis=2)
    at, device = np.nonzero(said)
    return ReadingTable(
        family, devices, device.astype(np.intp), times[at], metrics, values[at, device]
    )


def count_names(texts: pa.ChunkedArray, pattern: str) -> Floats:
    """How many distinct names each text holds; NaN for null.

    A text is a run of names without a separator, or with spaces or commas.

    Raises:
        ValueError: A text is not made of names only.
    """
    name = re.compile(pattern)
    # Few different texts repeat over many rows: each is counted once.
    encoded = pc.dictionary_encode(texts.combine_chunks())
    counts = np.empty(len(encoded.dictionary) + 1)
    counts[-1] = np.nan
    for number, text in enumerate(encoded.dictionary.to_pylist()):
        found = [match.group() for match in name.finditer(text)]
        rest = re.sub(r"[\s,;]+", "", name.sub("", text))
        if rest:
            raise ValueError(f"{rest[:40]!r} in {text[:60]!r} is no name by {pattern!r}")
        counts[number] = len(set(found))
    index = pc.fill_null(encoded.indices, len(counts) - 1).to_numpy(zero_copy_only=False)
    counted: Floats = counts[index]
    return counted


def _read_table(path: Path, replay_map: ReplayMap) -> pa.Table:
    columns, form = replay_map.columns(), replay_map.file
    footer = re.compile(form.footer) if form.footer else None

    def other(row: Any) -> str:
        return "skip" if footer is not None and footer.fullmatch(row.text) else "error"

    options = pyarrow.csv.ParseOptions(delimiter=form.delimiter, invalid_row_handler=other)
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            names = pyarrow.parquet.read_schema(path).names
            _check_columns(path, columns, names)
            return pyarrow.parquet.read_table(path, columns=columns)
        table = pyarrow.csv.read_csv(path, parse_options=options)
    except (OSError, pa.ArrowInvalid) as error:
        raise _problem(path, "", f"cannot be read: {error}", "name a Parquet or CSV file") from None
    _check_columns(path, columns, table.column_names)
    return table.select(columns)


def _check_columns(path: Path, wanted: list[str], present: list[str]) -> None:
    problems = [
        Problem(str(path), name, "the file has no such column", f"it has {', '.join(present)}")
        for name in wanted
        if name not in present
    ]
    if problems:
        raise ConfigurationError(problems)


def _times(
    path: Path, table: pa.Table, replay_map: ReplayMap
) -> tuple[Ints, NDArray[np.bool_], dict[str, int]]:
    """The instant of each row, whether it has one that counts, and what is left out."""
    spec = replay_map.time
    column = table[spec.column]
    if column.null_count:
        raise _problem(path, spec.column, "rows without a time", "remove them from the file")
    left_out: dict[str, int] = {}
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        if spec.unit == "rfc3339":
            hint = 'add unit = "s", "ms", "us" or "ns" to [time] of the map'
            raise _problem(path, spec.column, "times are numbers without a unit", hint)
        offsets = np.round(column.to_numpy() * _PER_UNIT_MS[spec.unit]).astype(np.int64)
        times = to_ms(spec.base) + offsets
        placed = np.ones(len(times), dtype=np.bool_)
    elif pa.types.is_timestamp(column.type) and column.type.tz is not None:
        moments = pc.cast(column, pa.timestamp("ms", tz="UTC"), safe=False)
        times = pc.cast(moments, pa.int64()).to_numpy().astype(np.int64)
        placed = np.ones(len(times), dtype=np.bool_)
    else:
        found = [_instant(path, spec, value) for value in _time_values(column)]
        placed = np.array([time_ms is not None for time_ms in found], dtype=np.bool_)
        times = np.array([time_ms or 0 for time_ms in found], dtype=np.int64)
        if not placed.all():
            left_out[f"local times that clocks of {spec.zone} show twice or never"] = int(
                (~placed).sum()
            )
    if spec.first_day is not None:
        first_ms = to_ms(local_midnight(spec.first_day, ZoneInfo(spec.zone)))
        early = placed & (times < first_ms)
        if early.any():
            left_out[f"before {spec.first_day}, the first day of the map"] = int(early.sum())
        placed &= ~early
    return times, placed, left_out


def _time_values(column: pa.ChunkedArray) -> list[Any]:
    if pa.types.is_timestamp(column.type):
        return list(pc.cast(column, pa.timestamp("us")).to_pylist())
    return list(column.to_pylist())


def _instant(path: Path, spec: TimeColumn, value: Any) -> int | None:
    """The instant of one time; None for a local time that the map leaves out."""
    local = value
    if isinstance(value, str):
        try:
            return to_ms(parse_rfc3339(value))
        except ValueError as error:
            try:
                local = datetime.fromisoformat(value)
            except ValueError:
                local = None
            if local is None or not spec.zone:
                hint = 'write RFC 3339 with an offset, or add zone = "…" to [time] of the map'
                raise _problem(path, spec.column, str(error), hint) from None
    if not spec.zone:
        hint = 'add zone = "…" to [time] of the map'
        raise _problem(path, spec.column, "times without a zone", hint)
    if not isinstance(local, datetime):
        local = datetime.combine(local, time_of_day(0))
    if local.tzinfo is not None:
        return to_ms(local)
    instants = instants_of(local, ZoneInfo(spec.zone))
    if len(instants) == 1:
        return instants[0]
    if spec.unplaceable == "leave_out":
        return None
    how_often = "twice" if instants else "never"
    problem = f"clocks of {spec.zone} show {local.isoformat(sep=' ')} {how_often}"
    hint = 'add an offset to it, or unplaceable = "leave_out" to [time] of the map'
    raise _problem(path, spec.column, problem, hint)


def _values(path: Path, table: pa.Table, family: str, spec: MetricColumn) -> Floats:
    if spec.constant is not None:
        return np.full(table.num_rows, spec.constant)
    if spec.count_pattern:
        column = table[spec.column]
        try:
            return count_names(pc.cast(column, pa.string()), spec.count_pattern)
        except ValueError as error:
            raise _problem(path, spec.column, str(error), "correct count_pattern") from None
    total = np.zeros(table.num_rows)
    for name in spec.sources:
        try:
            numbers = pc.cast(table[name], pa.float64())
        except pa.ArrowInvalid as error:
            raise _problem(path, name, f"is no number: {error}", "name another column") from None
        # A sum that lacks one of its columns is not the sum.
        total += pc.fill_null(numbers, float("nan")).to_numpy().astype(np.float64)
    unit = "kW" if spec.accumulate else CATALOGUE[family, spec.metric].unit
    scale, offset = conversion(spec.unit or unit, unit)
    return (total * scale + offset) * spec.times


def _check_readings(
    path: Path, replay_map: ReplayMap, table: ReadingTable, registry: SiteRegistry
) -> None:
    site = registry.site(replay_map.site)
    problems = []
    for name in table.devices:
        device = site.devices.get(name)
        if device is None or device.family != replay_map.family:
            problem = f"site {site.id} has no {replay_map.family} device {name!r}"
            problems.append(Problem(str(path), "device", problem, "declare it in the site file"))
    window_ms = site.late_window_days * _DAY_MS
    oldest = int(table.time_ms.min()) if len(table) else 0
    if len(table) and window_ms and oldest < SystemClock().now_ms() - window_ms:
        problem = (
            f"readings from {from_ms(oldest):%Y-%m-%d} on are older than the late window of "
            f"site {site.id} ({site.late_window_days} days) and would be quarantined"
        )
        hint = "declare late_window_days = 0 in the site file of replayed history"
        problems.append(Problem(str(path), replay_map.time.column, problem, hint))
    if problems:
        raise ConfigurationError(problems)


def _paced(
    table: ReadingTable, speed: float | None, stop: threading.Event
) -> Iterator[ReadingTable]:
    """Parts of the table, each when its time has come."""
    if speed is None:
        size = 5000
        for start in range(0, len(table), size):
            if stop.is_set():
                return
            yield table.take(np.arange(start, min(start + size, len(table)), dtype=np.intp))
        return
    begun, first = time.monotonic(), int(table.time_ms[0])
    done = 0
    while done < len(table) and not stop.is_set():
        reached = first + (time.monotonic() - begun) * 1000 * speed
        due = int(np.searchsorted(table.time_ms, reached, side="right"))
        if due > done:
            yield table.take(np.arange(done, due, dtype=np.intp))
            done = due
            continue
        wait_s = (int(table.time_ms[done]) - reached) / 1000 / speed
        stop.wait(min(max(wait_s, 0.001), 1.0))


def _problem(path: Path, key: str, problem: str, hint: str) -> ConfigurationError:
    return ConfigurationError([Problem(str(path), key, problem, hint)])
