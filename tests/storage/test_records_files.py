"""The records as a database: schema, several processes, versions, damage."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from core.errors import ConfigurationError, StoreMisconfiguredError, StoreUnavailableError
from core.ledger import CommitOutcome, LedgerCounts, LedgerHour
from core.periods import Period
from storage import migrations
from storage.records import database
from storage.records.store import Records
from storage.records.tables import METADATA


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"


def book(records: Records, partition: int, number: int) -> bool:
    hour = LedgerHour("s1", 0, LedgerCounts(received=1, stored=1))
    return records.apply_commit(CommitOutcome(partition, number, hours=(hour,)))


def test_the_steps_make_the_tables_that_the_code_knows(tmp_path: Path) -> None:
    records = Records.open(url_of(tmp_path / "records.sqlite"))
    with records._database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []
    records.close()


def test_the_newest_step_is_the_one_that_the_code_names() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(str(migrations.__file__)).parent))
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_heads() == [database.HEAD]
    known = {script.revision for script in scripts.walk_revisions()}
    assert known == set(database.KNOWN_STEPS)


def test_every_constraint_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "records.sqlite"
    Records.open(url_of(path)).close()
    connection = sqlite3.connect(path)
    text = " ".join(
        str(row[0])
        for row in connection.execute("SELECT sql FROM sqlite_master WHERE type = 'table'")
    )
    (journal,) = connection.execute("PRAGMA journal_mode").fetchone()
    connection.close()
    assert journal == "wal"
    for table in METADATA.sorted_tables:
        for constraint in table.constraints:
            if constraint.name is not None and str(constraint.name).startswith("ck_"):
                assert str(constraint.name) in text


def test_a_database_is_durable_and_checks_itself(tmp_path: Path) -> None:
    records = Records.open(url_of(tmp_path / "folder" / "records.sqlite"))
    assert str(tmp_path) in records.check()
    assert "sqlite 3." in records.check()
    with records._database.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    records.close()


def test_opening_again_keeps_everything(tmp_path: Path) -> None:
    url = url_of(tmp_path / "records.sqlite")
    for number in range(1, 4):
        records = Records.open(url)
        assert records.applied_commit(0) == number - 1
        assert book(records, 0, number)
        records.close()


def test_what_a_newer_version_wrote_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "records.sqlite"
    Records.open(url_of(path)).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(ConfigurationError, match=r"records\.sqlite.*9999.*newer"):
        Records.open(url_of(path))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "no database URL"),
        ("sqlite://", "need a file"),
        ("sqlite:///:memory:", "need a file"),
        ("mysql://u:secret@host/name", "not supported"),
        ("postgresql+nodriver://u:secret@host/name", "driver"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(url: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        Records.open(url)
    assert "secret" not in str(caught.value)
    assert caught.value.problems[0].key == "records.url"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be made"):
        Records.open(url_of(tmp_path / "file" / "records.sqlite"))


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "records.sqlite"
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreMisconfiguredError, match=r"records\.sqlite"):
        Records.open(url_of(path))


@contextmanager
def locked(path: Path) -> Iterator[None]:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def test_a_database_that_is_held_too_long_is_waited_for_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_S", 0.1)
    path = tmp_path / "records.sqlite"
    records = Records.open(url_of(path))
    with locked(path):
        with pytest.raises(StoreUnavailableError, match="locked"):
            book(records, 0, 1)
        # Reading goes on.
        assert records.applied_commit(0) == 0
    assert book(records, 0, 1)
    records.close()


def test_a_full_disk_books_nothing(tmp_path: Path) -> None:
    records = Records.open(url_of(tmp_path / "records.sqlite"))
    with records._database.reading() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
    with records._database._engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    def fill() -> None:
        for number in range(100):
            key = f"{number}" * 300
            records.append_audit(database.from_us(0), key, key, key, key, key)

    with pytest.raises(StoreUnavailableError, match="full"):
        fill()
    entries = len(records.read_audit(limit=1000))
    assert records.verify_audit() is None
    with records._database._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=1000000")
    records.append_audit(database.from_us(0), "kim", "", "a", "b", "c")
    assert len(records.read_audit(limit=1000)) == entries + 1
    assert records.verify_audit() is None
    records.close()


# ---------------------------------------------------------------- several processes

OPEN = """
import sys
sys.path.insert(0, sys.argv[2])
from storage.records.store import Records
records = Records.open(sys.argv[1])
print(records.applied_commit(0), flush=True)
records.close()
"""

BOOK = """
import sys
sys.path.insert(0, sys.argv[2])
from core.ledger import CommitOutcome, LedgerCounts, LedgerHour
from storage.records.store import Records
records = Records.open(sys.argv[1])
partition = int(sys.argv[3])
number = records.applied_commit(partition)
while True:
    number += 1
    hour = LedgerHour("s1", 0, LedgerCounts(received=1, stored=1))
    records.apply_commit(CommitOutcome(partition, number, hours=(hour,)))
    print(number, flush=True)
"""


def start(script: str, path: Path, repository: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, url_of(path), str(repository), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_processes_that_start_at_once_share_one_new_database(
    tmp_path: Path, repository: Path
) -> None:
    path = tmp_path / "records.sqlite"
    processes = [start(OPEN, path, repository) for _ in range(3)]
    for process in processes:
        output, problems = process.communicate(timeout=60)
        assert (output, process.returncode) == ("0\n", 0), problems


def test_threads_that_open_at_once_share_one_new_database(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def open_and_book(partition: int) -> None:
        try:
            records = Records.open(url_of(tmp_path / "records.sqlite"))
            assert book(records, partition, 1)
            records.close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=open_and_book, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_killed_start_leaves_an_empty_database_or_a_whole_one(
    tmp_path: Path, repository: Path
) -> None:
    choose = random.Random(11)
    for number in range(3):
        path = tmp_path / f"{number}.sqlite"
        process = start(OPEN, path, repository)
        deadline = time.monotonic() + 30
        while not path.exists() and process.poll() is None:
            assert time.monotonic() < deadline
        # From here on it lasts some tens of milliseconds.
        time.sleep(choose.uniform(0.0, 0.12))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        records = Records.open(url_of(path))
        with records._database.reading() as connection:
            context = MigrationContext.configure(connection)
            assert compare_metadata(context, METADATA) == []
        assert book(records, 0, 1)
        records.close()


def test_killed_processes_leave_a_ledger_that_adds_up(tmp_path: Path, repository: Path) -> None:
    path = tmp_path / "records.sqlite"
    said = {0: 0, 1: 0}
    for _ in range(3):
        processes = {number: start(BOOK, path, repository, str(number)) for number in said}
        for number, process in processes.items():
            assert process.stdout is not None
            for _ in range(15):
                said[number] = int(process.stdout.readline())
        for process in processes.values():
            process.send_signal(signal.SIGKILL)
        for process in processes.values():
            process.communicate()
    records = Records.open(url_of(path))
    applied, hours = records.read_ledger_snapshot("s1", Period.of_ms(0, 1))
    assert sum(applied.values()) == hours[0].counts.received
    assert all(applied[number] >= said[number] for number in said)
    records.close()
