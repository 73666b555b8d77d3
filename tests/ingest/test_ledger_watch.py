"""The ledger watched: a reading that is lost or invented between receipt and books is an alarm."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from core.errors import StoreUnavailableError
from core.ledger import HOUR_MS, Imbalance
from core.periods import to_ms
from ingest.commits import Commit
from ingest.ledger_watch import LedgerWatch
from ingest.tally import Tally
from tests.ingest.test_forward import NOW, Bench, reading

SITE = "test-dc"
HOUR = to_ms(NOW) - to_ms(NOW) % HOUR_MS


class Life(Bench):
    """A bench that counts what it receives, as a partition does."""

    tally: Tally

    def take(self, *documents: object) -> Commit:
        before = self.spool.append
        taken: list[Commit] = []

        def append(commit: Commit, received_ms: int) -> int:
            taken.append(commit)
            self.tally.begin(commit.hours)
            number = before(commit, received_ms)
            self.tally.finish(commit.hours)
            return number

        self.spool.append = append  # type: ignore[method-assign]
        try:
            self.receive(*documents)
        finally:
            self.spool.append = before  # type: ignore[method-assign]
        return taken[0]

    def watch(self) -> LedgerWatch:
        self.tally = Tally()
        return LedgerWatch(
            self.records, self.folder / "spool", self.clock, source="test", tallies=[self.tally]
        )


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    with Life.opened(tmp_path) as made:
        yield made


def test_nothing_is_found_where_everything_adds_up(life: Life) -> None:
    life.receive(reading(60, 1.0), "bad")
    life.drain()
    life.receive(reading(50, 1.0))
    watch = life.watch()
    for seconds in range(40, 30, -1):
        life.take(reading(seconds, 1.0), reading(60, 2.0), "bad")
        assert watch.run_once() == ()
        if seconds % 2:
            life.drain()
            assert watch.run_once() == ()
    # What is about to be committed is neither missing nor too much.
    commit = life.take(reading(1, 1.0))
    life.tally.begin(commit.hours)
    assert watch.run_once() == ()
    # A replay is received once, in its own hour.
    life.clock.advance(timedelta(hours=1))
    life.take(reading(-3600, 1.0))
    life.drain()
    assert watch.run_once() == ()
    assert watch.checked_ms == life.clock.now_ms()


def test_a_commit_that_is_gone_from_the_spool_is_an_alarm_with_site_and_hour(life: Life) -> None:
    life.receive(reading(70, 1.0))
    watch = life.watch()
    life.take(reading(60, 1.0), reading(59, 1.0))
    life.take(reading(50, 1.0))
    assert watch.run_once() == ()
    other = sqlite3.connect(life.spool.path)
    other.execute("DELETE FROM commits WHERE number = (SELECT max(number) FROM commits)")
    other.commit()
    other.close()
    wanted = Imbalance(SITE, HOUR, "received", 3, 4)
    assert watch.run_once() == (wanted,)
    assert life.records.read_imbalances(SITE) == [wanted]
    assert "test-dc, hour of receipt 2026-11-20T00:00:00.000Z" in str(wanted)
    # It stays found when it is booked: what was lost was lost.
    life.drain()
    assert watch.run_once() == (wanted,)


def test_a_booking_that_is_invented_is_an_alarm(life: Life) -> None:
    watch = life.watch()
    life.take(reading(60, 1.0))
    life.drain()
    with life.records._database.writing() as connection:
        connection.execute(text("UPDATE ledger_hour SET received = 2, stored = 2"))
    assert watch.run_once() == (Imbalance(SITE, HOUR, "received", 2, 1),)
    with life.records._database.writing() as connection:
        connection.execute(text("UPDATE ledger_hour SET received = 1, stored = 1"))
    assert watch.run_once() == ()
    assert life.records.read_imbalances() == []


def test_an_hour_changed_in_the_records_is_an_alarm(life: Life) -> None:
    watch = life.watch()
    life.take("bad")
    life.drain()
    with life.records._database.writing() as connection:
        connection.execute(text("UPDATE quarantine_entry SET readings = 7"))
    assert watch.run_once() == (Imbalance(SITE, HOUR, "quarantined", 1, 7),)


def test_another_life_counts_on_top_of_what_was_there(life: Life) -> None:
    watch = life.watch()
    life.take(reading(60, 1.0))
    assert watch.run_once() == ()
    again = life.watch()
    life.take(reading(50, 1.0))
    life.drain()
    assert again.run_once() == ()


def test_without_the_records_at_start_the_next_hour_is_checked(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    life.receive(reading(60, 1.0))

    def away(*_: object) -> None:
        raise StoreUnavailableError("away")

    with monkeypatch.context() as patch:
        patch.setattr(life.records, "read_ledger_snapshot", away)
        watch = life.watch()
        with pytest.raises(StoreUnavailableError):
            watch.run_once()
    assert watch.run_once() == ()
    life.clock.advance(timedelta(hours=1))
    life.take(reading(-3600, 1.0))
    other = sqlite3.connect(life.spool.path)
    other.execute("DELETE FROM commits")
    other.commit()
    other.close()
    assert watch.run_once() == (Imbalance(SITE, HOUR + HOUR_MS, "received", 0, 1),)


def test_hours_of_yesterday_are_forgotten(life: Life) -> None:
    watch = life.watch()
    life.take(reading(60, 1.0))
    life.drain()
    life.clock.advance(timedelta(hours=26))
    assert watch.run_once() == ()
    assert life.tally.begun() == {}
