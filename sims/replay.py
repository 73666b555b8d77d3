"""Real data files sent through the broker as if their devices were reporting now."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from core.clock import SystemClock
from core.errors import ConfigurationError, Problem
from core.metrics import CATALOGUE
from core.periods import from_ms, parse_rfc3339, to_ms
from core.samples import Floats, Ints
from core.sites import SiteRegistry
from core.units import conversion
from sims.publisher import ConnectionFor, Progress, PublishCount, Publisher
from sims.replay_maps import MetricColumn, ReplayMap, parse_replay_map
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
    table = read_readings(path, replay_map)
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
    """Read a file as readings in time order, in the catalogue's units; a row is one reading.

    Rows without any value are left out.

    Raises:
        ConfigurationError: The file cannot be read, lacks a column, or a value cannot be what the
            map says.
    """
    table = _read_table(path, replay_map.columns())
    times = _times(path, table, replay_map)
    values = np.stack(
        [_values(path, table, replay_map.family, column) for column in replay_map.metrics], axis=1
    )
    if replay_map.device_column:
        names = pc.dictionary_encode(
            pc.cast(table[replay_map.device_column].combine_chunks(), pa.string())
        )
        devices = tuple(names.dictionary.to_pylist())
        index = names.indices.to_numpy(zero_copy_only=False).astype(np.intp)
    else:
        devices, index = (replay_map.device,), np.zeros(table.num_rows, dtype=np.intp)
    # What is constant alone is no reading.
    measured = [number for number, m in enumerate(replay_map.metrics) if m.constant is None]
    present = ~np.isnan(values[:, measured]).all(axis=1)
    order = np.flatnonzero(present)
    order = order[np.argsort(times[order], kind="stable")]
    metrics = tuple(column.metric for column in replay_map.metrics)
    return ReadingTable(
        replay_map.family, devices, index[order], times[order], metrics, values[order]
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


def _read_table(path: Path, columns: list[str]) -> pa.Table:
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            names = pyarrow.parquet.read_schema(path).names
            _check_columns(path, columns, names)
            return pyarrow.parquet.read_table(path, columns=columns)
        table = pyarrow.csv.read_csv(path)
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


def _times(path: Path, table: pa.Table, replay_map: ReplayMap) -> Ints:
    spec = replay_map.time
    column = table[spec.column]
    if column.null_count:
        raise _problem(path, spec.column, "rows without a time", "remove them from the file")
    if pa.types.is_timestamp(column.type):
        if column.type.tz is None:
            if not spec.zone:
                hint = 'add zone = "…" to [time] of the map'
                raise _problem(path, spec.column, "times without a zone", hint)
            column = pc.assume_timezone(column, spec.zone)
        moments = pc.cast(column, pa.timestamp("ms", tz="UTC"), safe=False)
        return pc.cast(moments, pa.int64()).to_numpy().astype(np.int64)
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        if spec.unit == "rfc3339":
            hint = 'add unit = "s", "ms", "us" or "ns" to [time] of the map'
            raise _problem(path, spec.column, "times are numbers without a unit", hint)
        offsets = np.round(column.to_numpy() * _PER_UNIT_MS[spec.unit]).astype(np.int64)
        return to_ms(spec.base) + offsets
    zone = ZoneInfo(spec.zone) if spec.zone else None
    return np.array([_parse_time(path, spec.column, t, zone) for t in column.to_pylist()])


def _parse_time(path: Path, column: str, text: str, zone: ZoneInfo | None) -> int:
    try:
        return to_ms(parse_rfc3339(text))
    except ValueError as error:
        if zone is not None:
            try:
                return to_ms(datetime.fromisoformat(text).replace(tzinfo=zone))
            except ValueError:
                pass
        hint = 'write RFC 3339 with an offset, or add zone = "…" to [time] of the map'
        raise _problem(path, column, str(error), hint) from None


def _values(path: Path, table: pa.Table, family: str, spec: MetricColumn) -> Floats:
    if spec.constant is not None:
        return np.full(table.num_rows, spec.constant)
    column = table[spec.column]
    if spec.count_pattern:
        try:
            return count_names(pc.cast(column, pa.string()), spec.count_pattern)
        except ValueError as error:
            raise _problem(path, spec.column, str(error), "correct count_pattern") from None
    try:
        numbers = pc.cast(column, pa.float64())
    except pa.ArrowInvalid as error:
        raise _problem(path, spec.column, f"is no number: {error}", "name another column") from None
    values: Floats = pc.fill_null(numbers, float("nan")).to_numpy().astype(np.float64)
    unit = CATALOGUE[family, spec.metric].unit
    scale, offset = conversion(spec.unit or unit, unit)
    return values * scale + offset


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
