"""The spool: what goes in comes out, whatever happens to the file, the disk or the numbers."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from core.errors import ConfigurationError, SpoolFullError
from core.ledger import LedgerCounts, LedgerHour, QuarantineEntry, RejectedEntry
from core.periods import Period, to_ms
from core.samples import ReadingBlock
from ingest.commits import Commit, CommitBlock, pack_commit, unpack_commit
from ingest.intake import Intake
from ingest.ledger import read_ledger
from ingest.messages import RawMessage
from ingest.spool import Spool
from ingest.spool_files import READINGS, REFUSALS, pack_verdicts, spool_path, unpack_verdicts
from tests.conftest import skip_loudly
from tests.ingest.test_forward import NOW, REGISTRY, TOPIC, Bench, bench, reading
from tests.services.processes import memory_folder

__all__ = ["bench"]

NAMES = st.text("abcdefghijklmnop-0123456789", min_size=1, max_size=8)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
COUNTS = st.integers(0, 10**6)


@st.composite
def blocks(draw: st.DrawFn) -> CommitBlock:
    count = draw(st.integers(1, 6))
    devices = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    floats = hnp.arrays(np.float64, count, elements=st.floats(allow_infinity=False))
    metrics = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))

    def integers(kind: Any, low: int, high: int) -> Any:
        return draw(hnp.arrays(kind, count, elements=st.integers(low, high)))

    block = ReadingBlock(
        draw(NAMES),
        draw(NAMES),
        tuple(devices),
        integers(np.int32, 0, len(devices) - 1),
        integers(np.int64, 0, 2**43),
        integers(np.int8, 0, 3),
        {name: draw(floats) for name in metrics},
    )
    return CommitBlock(
        block,
        draw(st.integers(0, 2**43)),
        integers(np.int32, 0, 100),
        integers(np.int32, 0, 5000),
        draw(st.sampled_from(["", "q00000001"])),
        draw(st.booleans()),
    )


ENTRIES = st.builds(
    QuarantineEntry,
    st.just(""),
    st.integers(0, 2**43),
    NAMES,
    TEXTS,
    NAMES,
    TEXTS,
    COUNTS,
    st.lists(st.integers(0, 5000), max_size=3).map(tuple),
    st.binary(max_size=20),
)
REJECTED = st.builds(
    RejectedEntry,
    st.integers(0, 2**43),
    NAMES,
    TEXTS,
    NAMES,
    TEXTS,
    COUNTS,
    NAMES,
    st.binary(max_size=20),
)
COMMITS = st.builds(
    Commit,
    st.lists(blocks(), max_size=3),
    st.just([]),
    st.lists(ENTRIES, max_size=2),
    st.lists(REJECTED, max_size=2),
    st.dictionaries(
        st.integers(0, 99), st.tuples(TEXTS, st.binary(max_size=9), st.integers(0, 2**43))
    ),
    st.dictionaries(TEXTS, COUNTS, max_size=2),
    st.dictionaries(NAMES, COUNTS, max_size=2),
    st.dictionaries(NAMES, COUNTS, max_size=2),
)


@settings(max_examples=150, deadline=None)
@given(COMMITS)
def test_a_commit_comes_out_of_its_packed_form_as_it_went_in(commit: Commit) -> None:
    again = unpack_commit(pack_commit(commit), [])
    for name in ("quarantined", "rejected", "raw", "ignored", "last_message_ms", "replays"):
        assert getattr(again, name) == getattr(commit, name)
    assert len(again.blocks) == len(commit.blocks)
    for one, other in zip(commit.blocks, again.blocks, strict=True):
        a, b = one.block, other.block
        assert (a.site, a.family, a.devices) == (b.site, b.family, b.devices)
        for name in ("device_index", "time_ms", "quality"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        assert list(a.values) == list(b.values)
        for name in a.values:
            assert a.values[name].tobytes() == b.values[name].tobytes()
        assert (one.received_ms, one.origin, one.correction) == (
            other.received_ms,
            other.origin,
            other.correction,
        )
        if commit.raw:
            np.testing.assert_array_equal(one.message, other.message)
            np.testing.assert_array_equal(one.row, other.row)


@given(st.lists(st.binary(min_size=1, max_size=5).map(lambda b: bytes(x % 4 for x in b))))
def test_verdicts_come_back(codes: list[bytes]) -> None:
    sizes = [len(code) for code in codes]
    packed = pack_verdicts(codes)
    assert unpack_verdicts(packed, sizes) == codes
    assert unpack_verdicts(None, sizes) is None
    with pytest.raises(ValueError, match="damaged"):
        unpack_verdicts(bytes([packed[0] ^ 1]) + packed[1:], sizes)


def commit_of(*documents: Any) -> Commit:
    messages = [RawMessage(TOPIC, json.dumps(d).encode(), to_ms(NOW)) for d in documents]
    return Intake(REGISTRY, site_readings_per_s=1e9).take(messages)


def test_a_part_of_a_commit_may_go_before_the_other_and_the_counts_add_up() -> None:
    commit = commit_of(reading(5, 1.0), {"ts": 1}, reading(4, 1.0, "volume_m3"))
    good, refused = commit.split()
    assert good is not None
    assert refused is not None
    assert [e.reason for e in refused.quarantined] == ["missing_values", "unknown_metric"]
    whole = sum((hour.counts for hour in commit.hours), LedgerCounts())
    parts = sum((h.counts for h in [*good.hours, *refused.hours]), LedgerCounts())
    assert parts == whole
    assert all(hour.counts.balanced for hour in [*good.hours, *refused.hours])
    assert commit_of(reading(5, 1.0)).split()[1] is None
    assert commit_of({"ts": 1}).split()[0] is None


def test_a_spool_made_anew_gives_no_number_that_was_booked(bench: Bench) -> None:
    bench.receive(reading(60, 1.0), {"ts": 0})
    bench.drain()
    given_before = bench.spool.last_number
    bench.spool.close()
    for path in (bench.folder / "spool").iterdir():
        path.unlink()
    bench.clock.advance(timedelta(seconds=1))
    bench.spool = Spool(bench.folder / "spool", 0, clock=bench.clock)
    bench.forwarder = bench.new_forwarder()
    bench.receive(reading(50, 2.0), {"ts": 0})
    assert bench.spool.last_number > given_before
    bench.drain()
    assert [value for _, value in bench.held()] == [1.0, 2.0]
    assert bench.ledger() == LedgerCounts(received=4, stored=2, quarantined=2)


def test_an_older_spool_beside_newer_records_goes_on_above_them(bench: Bench) -> None:
    bench.receive(reading(60, 1.0))
    bench.drain()
    bench.spool.close()
    for path in (bench.folder / "spool").iterdir():
        path.unlink()
    bench.clock.advance(timedelta(days=-300))  # the clock is wrong as well
    bench.spool = Spool(bench.folder / "spool", 0, clock=bench.clock)
    bench.clock.advance(timedelta(days=300))
    bench.forwarder = bench.new_forwarder()
    bench.receive(reading(50, 2.0))
    bench.drain()
    assert bench.ledger() == LedgerCounts(received=2, stored=2)


# ---------------------------------------------------------------- damage


@pytest.fixture
def spooled(tmp_path: Path) -> tuple[Path, dict[int, float]]:
    """A closed spool of 30 commits of one reading each: number -> value."""
    spool = Spool(tmp_path / "spool", 0)
    values = {}
    for n in range(30):
        padded = [reading(1000 - n - k / 100, float(n * 100 + k)) for k in range(20)]
        number = spool.append(commit_of(*padded), to_ms(NOW))
        values[number] = float(n)
    spool.close()
    return tmp_path / "spool", values


def served(folder: Path) -> dict[int, float]:
    spool = Spool(folder, 0)
    try:
        found = {}
        for waiting in spool.pending(readings=10**6):
            (part,) = waiting.commit.blocks
            assert len(part.block) == 20
            assert {part.block.devices[at] for at in part.block.device_index} == {"grid-a"}
            firsts = part.block.values["active_power_kw"]
            assert (np.diff(firsts) == 1).all()
            found[waiting.number] = float(firsts[0]) / 100
        try:
            spool.append(commit_of(reading(1, 1.0)), to_ms(NOW))
        except SpoolFullError:
            # Damage that only writing finds: the next try is on a new file.
            spool.append(commit_of(reading(1, 1.0)), to_ms(NOW))
        return found
    finally:
        spool.close()


def restore(folder: Path, original: bytes) -> Path:
    for path in folder.iterdir():
        path.unlink()
    path = spool_path(folder, 0)
    path.write_bytes(original)
    return path


def named_in(words: str) -> set[int]:
    """Numbers of commits that a log names as lost or set aside."""
    lists = re.findall(r"lost\)?: ([\d, ]+)", words)
    lists += re.findall(r"commit (\d+) is damaged", words)
    return {int(number) for text in lists for number in text.split(", ")}


def assert_told(lost: set[int], values: dict[int, float], words: str) -> None:
    """Every lost commit is named, or counted where its number is damaged with it."""
    nameless = sum(int(count) for count in re.findall(r"(\d+) rows whose number", words))
    named = named_in(words)
    assert len(lost - named) <= nameless + len(named - values.keys()), (lost, words)


# A page holds so many of these commits, with their digests and counts.
ON_A_PAGE = 10


def flip_bits(
    spooled: tuple[Path, dict[int, float]], chance: random.Random, times: int, log: Any
) -> None:
    folder, values = spooled
    original = spool_path(folder, 0).read_bytes()
    for _ in range(times):
        damaged = bytearray(original)
        at = chance.randrange(len(damaged))
        if 60 <= at < 64:
            continue  # the number of the schema: a newer program's file is left alone
        damaged[at] ^= 1 << chance.randrange(8)
        restore(folder, bytes(damaged))
        log.clear()
        found = served(folder)
        assert found.items() <= values.items()
        # Damage costs the commits on its page, and says which.
        lost = values.keys() - found.keys()
        assert len(lost) <= ON_A_PAGE, at
        assert_told(lost, values, log.text)


def test_one_flipped_bit_costs_the_commits_on_its_page_and_names_them(
    spooled: tuple[Path, dict[int, float]], caplog: pytest.LogCaptureFixture
) -> None:
    flip_bits(spooled, random.Random(1), 60, caplog)


def test_a_table_that_begins_elsewhere_loses_nothing(
    spooled: tuple[Path, dict[int, float]], caplog: pytest.LogCaptureFixture
) -> None:
    """A flipped bit in the page where a table begins: SQLite reads another's rows, or none."""
    folder, values = spooled
    original = spool_path(folder, 0).read_bytes()
    connection = sqlite3.connect(spool_path(folder, 0))
    places = connection.execute("SELECT name, rootpage FROM sqlite_master").fetchall()
    connection.close()
    assert len(places) >= 8
    for name, page in places:
        for bit in range(5):
            connection = sqlite3.connect(restore(folder, original), isolation_level=None)
            connection.execute("PRAGMA writable_schema=ON")
            moved = (page ^ (1 << bit), name)
            connection.execute("UPDATE sqlite_master SET rootpage = ? WHERE name = ?", moved)
            connection.close()
            caplog.clear()
            assert served(folder) == values, (name, bit)
            assert "30 commits saved" in caplog.text


def test_a_spool_without_a_seal_is_given_one(spooled: tuple[Path, dict[int, float]]) -> None:
    folder, values = spooled
    connection = sqlite3.connect(spool_path(folder, 0))
    assert connection.execute("PRAGMA application_id").fetchone()[0]
    connection.execute("PRAGMA application_id=0")
    connection.execute("DROP INDEX refusals")
    connection.close()
    assert served(folder) == values
    connection = sqlite3.connect(spool_path(folder, 0))
    assert connection.execute("PRAGMA application_id").fetchone()[0]
    connection.close()
    Spool(folder, 0).close()
    assert not list(folder.glob("damaged-*"))


@pytest.mark.acceptance
@pytest.mark.timeout(1200)
def test_flipped_bits_at_length(
    spooled: tuple[Path, dict[int, float]], caplog: pytest.LogCaptureFixture
) -> None:
    flip_bits(spooled, random.Random(2), 2000, caplog)


def test_a_file_cut_off_anywhere_serves_no_wrong_value_and_stops_no_start(
    spooled: tuple[Path, dict[int, float]], caplog: pytest.LogCaptureFixture
) -> None:
    folder, values = spooled
    original = spool_path(folder, 0).read_bytes()
    chance = random.Random(5)
    whole = 0
    for _ in range(25):
        kept = chance.randrange(len(original))
        restore(folder, original[:kept])
        caplog.clear()
        found = served(folder)
        assert found.items() <= values.items()
        assert len(found) == len(values) or "damaged" in caplog.text
        whole += len(found) >= len(values) * kept / len(original) - ON_A_PAGE
    # What was cut off is lost, and mostly little more: only the tree's own pages cost all.
    assert whole >= 8


def unclean(folder: Path) -> tuple[dict[str, bytes], dict[int, float]]:
    """The files of a spool whose process was killed: what was committed lies in the log."""
    spool = Spool(folder / "first", 0)
    values = {}
    for n in range(30):
        padded = [reading(1000 - n - k / 100, float(n * 100 + k)) for k in range(20)]
        values[spool.append(commit_of(*padded), to_ms(NOW))] = float(n)
    files = {
        path.name: path.read_bytes()
        for path in (folder / "first").iterdir()
        if path.suffix != ".lock"
    }
    spool.close()
    return files, values


def open_damaged_log(folder: Path, files: dict[str, bytes], log: bytes) -> dict[int, float]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "partition-0.sqlite-wal").write_bytes(log)
    (folder / "partition-0.sqlite-shm").unlink()
    return served(folder)


def flip_bits_of_log(folder: Path, chance: random.Random, times: int, log: Any) -> None:
    files, values = unclean(folder)
    original = files["partition-0.sqlite-wal"]
    newest = max(values)
    for _ in range(times):
        damaged = bytearray(original)
        at = chance.randrange(len(damaged))
        damaged[at] ^= 1 << chance.randrange(8)
        log.clear()
        found = open_damaged_log(folder / "again", files, bytes(damaged))
        assert found.items() <= values.items()
        # The last transaction may be a torn one that was never confirmed: SQLite decides.
        lost = values.keys() - found.keys() - {newest}
        assert len(lost) <= ON_A_PAGE, (at, lost)
        assert_told(lost, values, log.text)


def test_a_flipped_bit_in_the_log_costs_nothing_that_comes_after_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    flip_bits_of_log(tmp_path, random.Random(3), 40, caplog)


def test_a_page_number_of_zero_in_the_log_does_not_end_it(tmp_path: Path) -> None:
    """SQLite reads no further than such a page; one flipped bit makes a power of two zero."""
    files, values = unclean(tmp_path)
    original = files["partition-0.sqlite-wal"]
    size = 24 + 4096
    numbers = [
        int.from_bytes(original[at : at + 4], "big") for at in range(32, len(original), size)
    ]
    powers = [n for n, page in enumerate(numbers) if page & (page - 1) == 0]
    assert len({numbers[n] for n in powers}) >= 4
    newest = max(values)
    for frame in powers[::5] + powers[-3:]:
        damaged = bytearray(original)
        damaged[32 + frame * size : 36 + frame * size] = bytes(4)
        found = open_damaged_log(tmp_path / "again", files, bytes(damaged))
        assert found.items() <= values.items()
        assert values.keys() - found.keys() <= {newest}, (frame, numbers[frame])


@pytest.mark.acceptance
@pytest.mark.timeout(1200)
def test_flipped_bits_in_the_log_at_length(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    flip_bits_of_log(tmp_path, random.Random(4), 2000, caplog)


def test_a_log_cut_off_anywhere_holds_what_comes_before(tmp_path: Path) -> None:
    files, values = unclean(tmp_path)
    original = files["partition-0.sqlite-wal"]
    chance = random.Random(6)
    counts = []
    for _ in range(20):
        kept = chance.randrange(len(original))
        found = open_damaged_log(tmp_path / "again", files, original[:kept])
        assert found.items() <= values.items()
        # The oldest, without a gap.
        assert sorted(found) == sorted(values)[: len(found)]
        counts.append((kept, len(found)))
    counts.sort()
    assert [count for _, count in counts] == sorted(count for _, count in counts)
    # A torn end is no damage: nothing is mended, nothing kept aside.
    assert not list((tmp_path / "again").glob("damaged-*"))


def test_a_log_that_is_whole_is_left_alone(tmp_path: Path) -> None:
    files, values = unclean(tmp_path)
    assert open_damaged_log(tmp_path / "again", files, files["partition-0.sqlite-wal"]) == values
    assert not list((tmp_path / "again").glob("damaged-*"))


def test_what_is_no_spool_at_all_is_put_aside(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    folder.mkdir()
    spool_path(folder, 0).write_bytes(b"no database" * 1000)
    assert served(folder) == {}
    assert [p.name for p in folder.glob("damaged-*.sqlite")]


def test_damage_that_shows_itself_while_running_is_survived(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    for n in range(40):
        bench.receive(*[reading(3000 - 60 * n - k, float(n)) for k in range(50)])
    path = spool_path(bench.folder / "spool", 0)
    checkpoint = sqlite3.connect(path)
    checkpoint.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    checkpoint.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size * 3 // 4)  # among the commits, behind the tables that are empty
        file.write(os.urandom(6000))
    bench.restart()
    bench.drain()
    values = {value for _, value in bench.held()}
    assert 20 <= len(values) < 40
    counts = bench.ledger()
    assert counts.balanced
    assert counts.stored == len(bench.held())
    assert "damaged" in caplog.text


def test_a_newer_schema_is_left_alone(tmp_path: Path) -> None:
    Spool(tmp_path, 0).close()
    connection = sqlite3.connect(spool_path(tmp_path, 0))
    connection.execute("PRAGMA user_version=7")
    connection.close()
    with pytest.raises(ConfigurationError, match="schema 7 is newer"):
        Spool(tmp_path, 0)
    # And the lock is free again.
    with pytest.raises(ConfigurationError, match="schema 7 is newer"):
        Spool(tmp_path, 0)


# ---------------------------------------------------------------- room


def fill(spool: Spool, commit: Commit, word: str) -> list[int]:
    kept: list[int] = []

    def forever() -> None:
        while len(kept) < 100_000:
            kept.append(spool.append(commit, to_ms(NOW)))

    with pytest.raises(SpoolFullError, match=word):
        forever()
    return kept


def use_up(folder: Path, leaving: int) -> None:
    """Write ballast until so many bytes are free."""
    with (folder / "ballast").open("wb", buffering=0) as file:
        while (disk := os.statvfs(folder)).f_bavail * disk.f_frsize > leaving:
            try:
                file.write(b"x" * 4096)
            except OSError:
                return


def test_a_bounded_spool_refuses_and_goes_on_when_emptied(tmp_path: Path) -> None:
    bound = 100 * 1024
    spool = Spool(tmp_path, 0, max_bytes=bound)
    kept = fill(spool, commit_of(reading(1, 1.0)), f"{bound} are allowed")
    # The bound is that of the disk, with what SQLite puts around each commit.
    assert spool.path.stat().st_size <= bound + 8 * 4096
    assert 50 < len(kept) < 500
    assert spool.backlog() == (len(kept), to_ms(NOW))
    spool.remove(kept)
    assert spool.append(commit_of(reading(1, 1.0)), to_ms(NOW)) == kept[-1] + 1
    spool.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        skip_loudly("a small disk needs the right to mount a tmpfs (root)")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_twenty_times(small_disk: Path) -> None:
    spool = Spool(small_disk / "spool", 0)
    chance = random.Random(3)
    commit = commit_of(*[reading(3000 - n, chance.random()) for n in range(2000)])
    held: list[int] = []
    for turn in range(20):
        use_up(small_disk, 800_000 + 20_000 * turn)
        held += fill(spool, commit, "free")
        (small_disk / "ballast").unlink()
        waiting = spool.pending(readings=10**9, commits=10**6)
        assert [spooled.number for spooled in waiting] == held
        gone = held[:-10]
        spool.remove(gone)
        held = [*held[len(gone) :], spool.append(commit, to_ms(NOW))]
    # And where the spool itself is what fills the disk, it can still be emptied.
    held += fill(spool, commit, "free")
    assert len(held) > 100
    spool.remove(held)
    assert spool.append(commit, to_ms(NOW)) == held[-1] + 1
    spool.close()
    connection = sqlite3.connect(spool_path(small_disk / "spool", 0))
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_a_disk_filled_to_the_last_byte_by_another_is_survived(small_disk: Path) -> None:
    spool = Spool(small_disk / "spool", 0)
    number = spool.append(commit_of(reading(5, 1.0)), to_ms(NOW))
    use_up(small_disk, 0)
    with pytest.raises(SpoolFullError):
        spool.append(commit_of(reading(4, 1.0)), to_ms(NOW))
    assert [spooled.number for spooled in spool.pending(readings=10)] == [number]
    spool.close()
    # A start on the full disk says why, and the next one with room goes on.
    with pytest.raises(SpoolFullError, match="free space"):
        Spool(small_disk / "spool", 0)
    (small_disk / "ballast").unlink()
    spool = Spool(small_disk / "spool", 0)
    assert [spooled.number for spooled in spool.pending(readings=10)] == [number]
    assert spool.append(commit_of(reading(4, 1.0)), to_ms(NOW)) == number + 1
    spool.close()


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that lets the Nth call of the disk fail."""
    compiler = shutil.which("cc")
    if compiler is None:
        skip_loudly("no C compiler on this machine: apt-get install gcc")
    library = tmp_path_factory.mktemp("shim") / "failing_io.so"
    source = Path(__file__).with_name("failing_io.c")
    command = [str(compiler), "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return library


def fail_calls(shim: Path, folder: Path, *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "tests.ingest.failing_io", str(folder), *arguments],
        env={**os.environ, "LD_PRELOAD": str(shim)},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_a_write_or_sync_that_fails_loses_nothing_that_was_confirmed(shim: Path) -> None:
    with memory_folder() as folder:
        answer = fail_calls(shim, folder, "1", "400", "17")
        assert answer["problems"] == []
        assert answer["tried"] > 25
        # The same check on a spool that hides its failures.
        mutant = fail_calls(shim, folder / "mutant", "30", "120", "30", "mutant")
        assert len(mutant["problems"]) > 3


@pytest.mark.acceptance
@pytest.mark.timeout(1200)
def test_every_write_or_sync_that_fails_loses_nothing_that_was_confirmed(shim: Path) -> None:
    with memory_folder() as folder:
        answer = fail_calls(shim, folder, "1", "400", "1")
    assert answer["problems"] == []
    assert answer["tried"] > 400


# ---------------------------------------------------------------- the ledger beside it


def test_the_ledger_is_balanced_at_every_moment_from_another_connection(bench: Bench) -> None:
    period = Period(NOW - timedelta(days=1), NOW + timedelta(days=1))
    stop = threading.Event()
    faults: list[Any] = []
    answers: list[int] = []

    def watch() -> None:
        before = 0
        while not stop.is_set():
            hours = read_ledger(bench.records, bench.folder / "spool", "test-dc", period)
            counts = sum((hour.counts for hour in hours), LedgerCounts())
            if not counts.balanced or counts.received < before:
                faults.append(counts)
            before = counts.received
            answers.append(before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    for n in range(60):
        bench.receive(reading(3000 - n, float(n)), reading(3000 - n, float(n)), {"ts": 0})
        if n % 3 == 0:
            bench.forwarder.forward_once()
    bench.drain()
    stop.set()
    watcher.join()
    assert not faults
    assert len(answers) > 5
    counts = bench.ledger()
    assert (counts.stored, counts.duplicate, counts.quarantined, counts.spooled) == (60, 60, 60, 0)


def test_the_ledger_of_a_spool_that_nobody_holds(bench: Bench) -> None:
    bench.receive(reading(60, 1.0))
    bench.spool.close()
    assert bench.ledger() == LedgerCounts(received=1, spooled=1)
    bench.restart()


def test_refusals_do_not_wait_for_the_store(bench: Bench) -> None:
    from core.errors import StoreUnavailableError

    def away(blocks: Any) -> None:
        raise StoreUnavailableError("away")

    bench.store.fault = away
    bench.receive(reading(60, 1.0), {"ts": 0})
    with pytest.raises(StoreUnavailableError):
        bench.forwarder.forward_once()
    assert [entry.reason for entry in bench.records.read_quarantine()] == ["missing_values"]
    assert bench.ledger() == LedgerCounts(received=2, quarantined=1, spooled=1)
    assert len(bench.spool.pending(kind=READINGS, readings=9)) == 1
    assert bench.spool.pending(kind=REFUSALS, readings=9) == []
    hours = [LedgerHour("test-dc", h.hour_ms, h.counts) for h in commit_of({"ts": 0}).hours]
    assert hours[0].counts == LedgerCounts(received=1, quarantined=1)
