"""The embedded store as files: locks, roles, versions, other processes, damage, retention."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from core.clock import FakeClock
from core.errors import (
    ConfigurationError,
    StoreMisconfiguredError,
    StoreRejectedError,
    StoreUnavailableError,
)
from core.intervals import FLOAT_COLUMNS, IntervalBlock
from core.periods import Period, from_ms
from core.ports import ResultRow
from core.samples import SeriesKey
from storage.embedded import raw
from storage.embedded.files import CorruptBlockError
from storage.embedded.store import EmbeddedStore
from tests.storage.readings import ALL_TIME, HOUR, T0, many_devices, one_device

RESULT = ResultRow("s1", "kpi", "pue", "site", "hour", 0, 1.2, b"{}")


def interval(start_ms: int = 0) -> IntervalBlock:
    columns = {name: np.ones(1) for name in FLOAT_COLUMNS}
    key = SeriesKey("s1", "energy", "a", "power_kw")
    return IntervalBlock(key, np.array([start_ms]), np.ones(1, np.int32), **columns)


def execute(path: Path, statement: str, *values: object) -> list[tuple[object, ...]]:
    with sqlite3.connect(path) as connection:
        rows = connection.execute(statement, values).fetchall()
    connection.close()
    return rows


@pytest.fixture
def folded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every write is packed into blocks at once."""
    monkeypatch.setattr(raw, "FOLD_POINTS", 1)


# ---------------------------------------------------------------- who may write


def test_a_second_writer_is_refused_and_told_who_writes(tmp_path: Path) -> None:
    first = EmbeddedStore(tmp_path, 0, role="all")
    for role in ("all", "ingest"):
        with pytest.raises(ConfigurationError, match=rf"raw\.lock.*process {os.getpid()}"):
            EmbeddedStore(tmp_path, 0, role=role)
    with pytest.raises(ConfigurationError, match=rf"derived\.lock.*process {os.getpid()}"):
        EmbeddedStore(tmp_path, 0, role="analytics")
    EmbeddedStore(tmp_path, 0, role="read").close()
    first.close()
    EmbeddedStore(tmp_path, 0, role="all").close()


def test_a_refused_writer_leaves_no_lock_behind(tmp_path: Path) -> None:
    analytics = EmbeddedStore(tmp_path, 0, role="analytics")
    with pytest.raises(ConfigurationError, match=r"derived\.lock"):
        EmbeddedStore(tmp_path, 0, role="all")
    EmbeddedStore(tmp_path, 0, role="ingest").close()
    analytics.close()


def test_ingest_and_analytics_write_a_file_each(tmp_path: Path) -> None:
    ingest = EmbeddedStore(tmp_path, 0, role="ingest")
    analytics = EmbeddedStore(tmp_path, 0, role="analytics")
    ingest.write_readings([one_device([T0], [1.0])])
    analytics.write_intervals([interval()])
    analytics.write_results([RESULT])
    assert len(analytics.read_samples("s1", "energy", ALL_TIME)[0]) == 1
    assert len(ingest.read_intervals("s1", ALL_TIME)) == 1
    with pytest.raises(StoreMisconfiguredError, match=r"raw\.sqlite is open for reading"):
        analytics.write_readings([one_device([T0], [1.0])])
    for write in (
        lambda: ingest.write_intervals([interval()]),
        lambda: ingest.write_results([RESULT]),
    ):
        with pytest.raises(StoreMisconfiguredError, match=r"derived\.sqlite is open for reading"):
            write()
    ingest.close()
    analytics.close()


def test_an_unknown_role_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="role"):
        EmbeddedStore(tmp_path, 0, role="write")


def test_a_reader_waits_for_nobody(tmp_path: Path) -> None:
    folder = tmp_path / "not yet"
    reader = EmbeddedStore(folder, 0)
    assert reader.read_samples("s1", "energy", ALL_TIME) == []
    assert reader.read_latest("s1") == []
    assert reader.read_intervals("s1", ALL_TIME) == []
    assert reader.read_results("s1", "kpi", ALL_TIME) == []
    assert "no samples yet" in reader.check()
    assert not folder.exists()
    # A file that the writer has only just made.
    folder.mkdir()
    (folder / "raw.sqlite").touch()
    assert reader.read_latest("s1") == []
    writer = EmbeddedStore(folder, 0, role="all")
    writer.write_readings([one_device([T0], [1.0])])
    assert [
        sample.value for sample in reader.read_last_before("s1", "energy", T0 + 1, not_before_ms=0)
    ] == [1.0]
    writer.close()
    # And when the writer has gone, with its files beside.
    assert len(reader.read_samples("s1", "energy", ALL_TIME)) == 1
    reader.close()
    again = EmbeddedStore(folder, 0)
    assert len(again.read_samples("s1", "energy", ALL_TIME)) == 1
    again.close()


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path, 0, role="all")
    store.close()
    store.close()
    with pytest.raises(StoreMisconfiguredError, match="closed"):
        store.read_samples("s1", "energy", ALL_TIME)
    with pytest.raises(StoreMisconfiguredError, match="closed"):
        store.write_readings([one_device([T0], [1.0])])


@pytest.mark.parametrize("name", ["raw.sqlite", "derived.sqlite"])
@pytest.mark.parametrize("role", ["all", "read"])
def test_what_a_newer_version_wrote_is_refused(tmp_path: Path, name: str, role: str) -> None:
    EmbeddedStore(tmp_path, 0, role="all").close()
    execute(tmp_path / name, "PRAGMA user_version=99")
    with pytest.raises(ConfigurationError, match=f"{name}.*schema 99.*newer"):
        EmbeddedStore(tmp_path, 0, role=role)
    # Nothing stays locked.
    execute(tmp_path / name, "PRAGMA user_version=1")
    EmbeddedStore(tmp_path, 0, role="all").close()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="file"):
        EmbeddedStore(tmp_path / "file" / "timeseries", 0, role="all")


# ---------------------------------------------------------------- other processes

WRITER = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from storage.embedded import raw
from storage.embedded.store import EmbeddedStore
from tests.storage.readings import T0, many_devices
raw.FOLD_POINTS = 500
store = EmbeddedStore(Path(sys.argv[1]), 0, role="all")
number = 0
while True:
    store.write_readings([many_devices(10, 5, start_ms=T0 + number * 50_000)])
    number += 1
    print(number, flush=True)
"""


@pytest.fixture
def start_writer(repository: Path) -> Callable[[Path], subprocess.Popen[str]]:
    """A function that starts a process that writes blocks of 100 samples without end."""

    def start(folder: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", WRITER, str(folder), str(repository)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    return start


def test_readers_read_while_another_process_writes(
    tmp_path: Path, start_writer: Callable[[Path], subprocess.Popen[str]]
) -> None:
    with start_writer(tmp_path) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(ConfigurationError, match=f"process {process.pid}"):
            EmbeddedStore(tmp_path, 0, role="ingest")
        reader = EmbeddedStore(tmp_path, 0)
        sizes = []
        deadline = time.monotonic() + 30
        while len(set(sizes)) < 20:
            assert time.monotonic() < deadline
            series = reader.read_samples("s1", "energy", ALL_TIME)
            # One snapshot: every series has the same instants, in whole calls of five.
            lengths = {len(one) for one in series}
            assert len(lengths) == 1
            assert lengths.pop() % 5 == 0
            assert len(series) == 20
            sizes.append(len(series[0]))
            newest = {sample.time_ms for sample in reader.read_latest("s1")}
            assert len(newest) == 1
        assert sizes == sorted(sizes)
        process.kill()
    reader.close()


def test_a_killed_writer_loses_nothing_that_it_has_written(
    tmp_path: Path, start_writer: Callable[[Path], subprocess.Popen[str]]
) -> None:
    written = 0
    choose = random.Random(7)
    for _ in range(4):
        with start_writer(tmp_path) as process:
            assert process.stdout is not None
            calls = choose.randint(1, 12)
            for _ in range(calls):
                said = int(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
        written = max(written, said)
        store = EmbeddedStore(tmp_path, 0, role="all")
        series = store.read_samples("s1", "energy", ALL_TIME)
        assert len(series) == 20
        for one in series:
            # What it had said, and perhaps the call that it was just in: whole.
            assert len(one) % 5 == 0
            assert len(one) >= 5 * written
            assert np.array_equal(one.time_ms, T0 + np.arange(len(one)) * 10_000)
        store.close()


# ---------------------------------------------------------------- damage


def harmed_store(tmp_path: Path, key: int, data: bytes) -> EmbeddedStore:
    execute(tmp_path / "raw.sqlite", "UPDATE block SET data = ? WHERE key = ?", data, key)
    return EmbeddedStore(tmp_path, 0, role="all")


@pytest.mark.usefixtures("folded")
def test_a_damaged_block_is_named_and_the_others_are_served(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path, 0, role="all")
    start = T0 - T0 % HOUR
    store.write_readings([many_devices(3, 36, start_ms=start, cadence_ms=300_000)])
    store.close()
    keys = [key for (key,) in execute(tmp_path / "raw.sqlite", "SELECT key FROM block")]
    assert len(keys) == 18
    harmed = keys[4]  # second hour of the second series
    ((data,),) = execute(tmp_path / "raw.sqlite", "SELECT data FROM block WHERE key = ?", harmed)
    assert isinstance(data, bytes)
    store = harmed_store(tmp_path, int(str(harmed)), data[:-1] + bytes([data[-1] ^ 1]))

    with pytest.raises(CorruptBlockError) as caught:
        store.read_samples("s1", "energy", ALL_TIME)
    error = caught.value
    assert isinstance(error, StoreRejectedError)
    assert error.key == SeriesKey("s1", "energy", "d001", "power_kw")
    assert error.hour == from_ms(start + HOUR)
    assert "s1/energy/d001/power_kw" in str(error)
    assert "checksum" in str(error)

    assert len(store.read_samples("s1", "energy", ALL_TIME, devices=["d000", "d002"])) == 4
    assert len(store.read_samples("s1", "energy", ALL_TIME, metrics=["energy_kwh"])) == 3
    first_hour = Period.of_ms(start, start + HOUR)
    assert len(store.read_samples("s1", "energy", first_hour)) == 6
    assert len(store.read_latest("s1")) == 6
    with pytest.raises(CorruptBlockError):
        store.read_instants("s1", "energy", "d001", [start + HOUR])
    assert store.read_instants("s1", "energy", "d001", [start]) != {}
    with pytest.raises(CorruptBlockError):
        store.read_last_before("s1", "energy", start + 2 * HOUR, not_before_ms=start)

    # New samples of this very hour are kept; the damaged bytes are set aside for a person.
    late = one_device([start + HOUR + 7], [7.0], device="d001")
    store.write_readings([late])
    (series,) = store.read_samples("s1", "energy", ALL_TIME, devices=["d001"], metrics=["power_kw"])
    assert len(series) == 25
    assert 7.0 in series.value
    assert "1 damaged" in store.check()
    store.close()
    aside = execute(tmp_path / "raw.sqlite", "SELECT key, problem FROM damaged")
    assert aside == [(harmed, "its checksum is wrong")]


def test_a_damaged_batch_is_seen_and_set_aside(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path, 0, role="all")
    store.write_readings([one_device([T0], [1.0])])
    store.write_readings([one_device([T0 + 1], [2.0])])
    store.close()
    path = tmp_path / "raw.sqlite"
    execute(path, "UPDATE batch SET data = substr(data, 1, length(data) - 1) WHERE id = 1")
    store = EmbeddedStore(tmp_path, 0, role="all")
    with pytest.raises(CorruptBlockError, match="batch"):
        store.read_samples("s1", "energy", ALL_TIME)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(raw, "FOLD_POINTS", 1)
        store.write_readings([one_device([T0 + 2], [3.0])])
    (series,) = store.read_samples("s1", "energy", ALL_TIME)
    assert series.value.tolist() == [2.0, 3.0]
    store.close()


def ask_everything(store: EmbeddedStore) -> list[tuple[object, ...]]:
    """Rows of every kind of answer; an answer that is refused gives none."""
    rows: list[tuple[object, ...]] = []

    def samples() -> None:
        for one in store.read_samples("s1", "energy", ALL_TIME):
            columns = (one.time_ms.tolist(), one.value.tolist(), one.quality.tolist())
            rows.extend((one.key, *row) for row in zip(*columns, strict=True))

    def intervals() -> None:
        for one in store.read_intervals("s1", ALL_TIME):
            names = ("start_ms", "count", *FLOAT_COLUMNS)
            columns = [getattr(one, name).tolist() for name in names]
            rows.extend((one.key, *row) for row in zip(*columns, strict=True))

    questions = (
        samples,
        intervals,
        lambda: rows.extend(("latest", one) for one in store.read_latest("s1")),
        lambda: rows.extend(("result", one) for one in store.read_results("s1", "kpi", ALL_TIME)),
    )
    for ask in questions:
        with contextlib.suppress(StoreRejectedError, StoreMisconfiguredError):
            ask()
    return rows


@pytest.mark.parametrize("seed", range(4))
def test_a_flipped_bit_never_gives_a_wrong_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(raw, "FOLD_POINTS", 500)
    clock = FakeClock(from_ms(T0 + 2 * HOUR))
    whole = tmp_path / "whole"
    store = EmbeddedStore(whole, 0, role="all", clock=clock)
    store.write_readings([many_devices(5, 50, cadence_ms=60_000)])
    store.write_readings([many_devices(3, 10, start_ms=T0 + HOUR)])
    store.write_intervals([interval(number * 900_000) for number in range(20)])
    store.write_results([replace(RESULT, start_ms=number) for number in range(20)])
    wanted = set(ask_everything(store))
    assert len(wanted) == 500 + 60 + 20 + 10 + 20
    store.close()
    choose = random.Random(seed)
    noticed = 0
    for number in range(40):
        folder = tmp_path / str(number)
        shutil.copytree(whole, folder)
        path = folder / choose.choice(["raw.sqlite", "derived.sqlite"])
        content = bytearray(path.read_bytes())
        position = choose.choice([at for at in range(len(content)) if content[at]])
        content[position] ^= 1 << choose.randrange(8)
        path.write_bytes(content)
        try:
            store = EmbeddedStore(folder, 0, role="all", clock=clock)
        except (ConfigurationError, StoreMisconfiguredError):
            noticed += 1
            continue
        found = ask_everything(store)
        store.close()
        assert set(found) <= wanted, position
        noticed += len(found) < len(wanted)
    assert noticed > 10


@pytest.mark.parametrize("name", ["raw.sqlite", "derived.sqlite"])
def test_a_cut_file_never_gives_a_wrong_value(tmp_path: Path, name: str) -> None:
    clock = FakeClock(from_ms(T0 + 2 * HOUR))
    whole = tmp_path / "whole"
    store = EmbeddedStore(whole, 0, role="all", clock=clock)
    store.write_readings([many_devices(5, 50)])
    store.write_intervals([interval(number * 900_000) for number in range(20)])
    wanted = set(ask_everything(store))
    store.close()
    size = (whole / name).stat().st_size
    for part in range(20):
        folder = tmp_path / str(part)
        shutil.copytree(whole, folder)
        os.truncate(folder / name, size * part // 20)
        try:
            store = EmbeddedStore(folder, 0, role="all", clock=clock)
        except (ConfigurationError, StoreMisconfiguredError):
            continue
        assert set(ask_everything(store)) <= wanted
        store.close()


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "raw.sqlite").write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreMisconfiguredError, match=r"raw\.sqlite.*damaged"):
        EmbeddedStore(tmp_path, 0, role="all")
    with pytest.raises(StoreMisconfiguredError, match=r"raw\.sqlite.*damaged"):
        EmbeddedStore(tmp_path, 0)


def test_a_full_disk_loses_nothing_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path, 0, role="all")
    store.write_readings([many_devices(10, 10)])
    connection = store._raw._file._writer
    assert connection is not None
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count={pages + 1}")
    more = many_devices(50, 100, start_ms=T0 + HOUR)
    with pytest.raises(StoreUnavailableError, match="full"):
        store.write_readings([more])
    assert sum(map(len, store.read_samples("s1", "energy", ALL_TIME))) == 200
    connection.execute("PRAGMA max_page_count=1000000")
    store.write_readings([more])
    assert sum(map(len, store.read_samples("s1", "energy", ALL_TIME))) == 200 + 10_000
    store.close()


def test_a_refused_write_leaves_no_half_of_itself(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path, 0, role="all")
    good, bad = one_device([T0], [1.0]), one_device([T0], [float("inf")], device="b")
    with pytest.raises(StoreRejectedError):
        store.write_readings([good, bad])
    store.write_readings([one_device([T0], [2.0], device="c")])
    (series,) = store.read_samples("s1", "energy", ALL_TIME)
    assert series.key.device == "c"
    store.close()


def test_a_writer_that_failed_forgets_the_series_it_had_numbered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = EmbeddedStore(tmp_path, 0, role="all")

    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(raw, "_write_latest", fail)
        with pytest.raises(StoreMisconfiguredError):
            store.write_readings([one_device([T0], [1.0], device="lost")])
    store.write_readings([one_device([T0], [2.0], device="kept")])
    store.write_readings([one_device([T0], [3.0], device="lost")])
    found = store.read_samples("s1", "energy", ALL_TIME)
    assert [(one.key.device, one.value[0]) for one in found] == [("kept", 2.0), ("lost", 3.0)]
    store.close()


# ---------------------------------------------------------------- retention, shape of the file


@pytest.mark.parametrize("fold_points", [1, 10**9])
def test_old_hours_are_dropped_and_the_rest_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fold_points: int
) -> None:
    monkeypatch.setattr(raw, "FOLD_POINTS", fold_points)
    day = 86_400_000
    now_ms = T0 - T0 % HOUR + 10 * day + HOUR // 2
    store = EmbeddedStore(tmp_path, 10, role="all", clock=FakeClock(from_ms(now_ms)))
    limit = now_ms - 10 * day
    times = [limit - HOUR // 2 - 1, limit - HOUR // 2, limit - 1, limit, now_ms]
    store.write_readings([one_device(times, [1.0, 2.0, 3.0, 4.0, 5.0])])
    store.write_readings([one_device(times[:1], [1.0], device="gone")])
    store.write_intervals([interval()])
    store.write_results([RESULT])
    store.apply_retention(now_ms)
    # Whole hours go: the hour in which the limit lies stays until it has passed.
    (series,) = store.read_samples("s1", "energy", ALL_TIME)
    assert series.value.tolist() == [2.0, 3.0, 4.0, 5.0]
    assert [sample.key.device for sample in store.read_latest("s1")] == ["a"]
    assert len(store.read_intervals("s1", ALL_TIME)) == 1
    assert len(store.read_results("s1", "kpi", ALL_TIME)) == 1
    store.apply_retention(now_ms + HOUR)
    assert store.read_samples("s1", "energy", ALL_TIME)[0].value.tolist() == [5.0]
    store.close()


def test_for_ever_is_for_ever(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path, 0, role="all")
    store.write_readings([one_device([5], [1.0])])
    store.apply_retention(T0)
    assert len(store.read_samples("s1", "energy", ALL_TIME)) == 1
    store.close()


def test_a_reader_drops_nothing(tmp_path: Path) -> None:
    writer = EmbeddedStore(tmp_path, 1, role="all")
    writer.write_readings([one_device([5], [1.0])])
    reader = EmbeddedStore(tmp_path, 1)
    reader.apply_retention(T0)
    assert len(reader.read_samples("s1", "energy", ALL_TIME)) == 1
    reader.close()
    writer.close()


def test_live_values_end_with_the_retention(tmp_path: Path) -> None:
    clock = FakeClock(datetime(2026, 11, 20, tzinfo=UTC))
    store = EmbeddedStore(tmp_path, 30, role="all", clock=clock)
    day = 86_400_000
    old, young = clock.now_ms() - 31 * day, clock.now_ms() - 29 * day
    store.write_readings([one_device([old], [1.0], device="old")])
    store.write_readings([one_device([young], [1.0], device="young")])
    assert [sample.key.device for sample in store.read_latest("s1")] == ["young"]
    store.close()


def test_many_small_writes_are_folded_into_few_rows(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path, 0, role="all")
    start = T0 - T0 % HOUR
    for number in range(2 * raw.FOLD_BATCHES):
        store.write_readings([one_device([start + number * 1000], [float(number)])])
    path = tmp_path / "raw.sqlite"
    assert execute(path, "SELECT count(*) FROM block") == [(1,)]
    ((batches,),) = execute(path, "SELECT count(*) FROM batch")
    assert int(str(batches)) < raw.FOLD_BATCHES
    (series,) = store.read_samples("s1", "energy", ALL_TIME)
    assert series.value.tolist() == [float(number) for number in range(2 * raw.FOLD_BATCHES)]
    store.close()
