"""What the records promise, on SQLite and, where an address is given, on PostgreSQL."""

from __future__ import annotations

import itertools
import os
import secrets
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from core.errors import NotFoundError, StoreRejectedError
from core.events import SeriesEvent
from core.ledger import (
    CommitOutcome,
    DirtySpan,
    LedgerCounts,
    LedgerHour,
    QuarantineEntry,
    RejectedEntry,
)
from core.periods import Period
from core.ports import Account, Session
from core.samples import SeriesKey
from storage.records.store import Records

POSTGRES = os.environ.get("GREENDC_TEST_POSTGRES_URL")
HOUR = 3_600_000
H0 = 1_795_000_000_000 // HOUR * HOUR
NOW = datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC)
ALL_TIME = Period.of_ms(0, 4_000_000_000_000)
# A PostgreSQL may still hold what an earlier run has written.
_numbers = itertools.count(secrets.randbelow(2_000_000_000))


@pytest.fixture(
    scope="module",
    params=["sqlite", *(["postgresql"] if POSTGRES else [])],
)
def records(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Records]:
    """Records of this module; every test uses names of its own."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('records') / 'records.sqlite'}"
    else:
        url = str(POSTGRES)
    opened = Records.open(url)
    yield opened
    opened.close()


@pytest.fixture
def number() -> int:
    """A number that no other test has: partitions, and part of names."""
    return next(_numbers)


@pytest.fixture
def site(number: int) -> str:
    """A site of this test's own."""
    return f"site-{number}"


def counts(**named: int) -> LedgerCounts:
    given = LedgerCounts(**named)
    received = given.stored + given.duplicate + given.quarantined + given.rejected
    return replace(given, received=received)


def entry(
    site: str, count: int = 1, received_ms: int = H0 + 5, **fields: object
) -> QuarantineEntry:
    made = QuarantineEntry(
        "", received_ms, site, f"greendc/v1/{site}/energy/a", "not_json", "line 1", count, (), b"{"
    )
    return replace(made, **fields)  # type: ignore[arg-type]


def quarantine(records: Records, partition: int, number: int, *entries: QuarantineEntry) -> None:
    """Book a commit whose readings are all quarantined."""
    hours: dict[tuple[str, int], int] = defaultdict(int)
    for one in entries:
        hours[one.site, one.received_ms // HOUR * HOUR] += one.count
    outcome = CommitOutcome(
        partition,
        number,
        hours=tuple(
            LedgerHour(site, at, counts(quarantined=count)) for (site, at), count in hours.items()
        ),
        quarantined=entries,
    )
    assert records.apply_commit(outcome)


def ledger(records: Records, site: str) -> dict[int, LedgerCounts]:
    return {hour.hour_ms: hour.counts for hour in records.read_ledger(site, ALL_TIME)}


# ---------------------------------------------------------------- ledger


def test_a_commit_is_booked_once(records: Records, number: int, site: str) -> None:
    hour = LedgerHour(site, H0, counts(stored=3, duplicate=1, late=2))
    outcome = CommitOutcome(
        number,
        7,
        hours=(hour,),
        quarantined=(entry(site),),
        rejected=(RejectedEntry(H0, site, "t", "unknown_site", "", 1, "ab", b"x"),),
        dirty=(DirtySpan(site, "energy", "a", 5, 9),),
        ignored_members={f"member-{number}": 2},
        last_message_ms={site: H0 + 9},
    )
    outcome = replace(outcome, hours=(hour, LedgerHour(site, H0, counts(quarantined=1))))
    assert records.applied_commit(number) == 0
    assert records.apply_commit(outcome) is True
    for repeated in (7, 6, 1):
        assert records.apply_commit(replace(outcome, number=repeated)) is False
    assert records.applied_commit(number) == 7
    wanted = counts(stored=3, duplicate=1, quarantined=1, late=2)
    assert ledger(records, site) == {H0: wanted}
    assert len(records.read_quarantine(sites=[site])) == 1
    assert records.read_ignored_members()[f"member-{number}"] == 2
    assert records.read_last_messages()[site] == H0 + 9

    assert records.apply_commit(replace(outcome, number=9, last_message_ms={site: H0 + 1}))
    assert ledger(records, site) == {H0: wanted + wanted}
    assert records.read_ignored_members()[f"member-{number}"] == 4
    assert records.read_last_messages()[site] == H0 + 9


def test_devices_that_were_declared_dead_and_alive_again(
    records: Records, number: int, site: str
) -> None:
    said = CommitOutcome(
        number, 1, silent={(site, "a"): H0, (site, "b"): H0 + 1, (site, "c"): None}
    )
    assert records.apply_commit(said)
    assert records.read_silent_devices(site) == {(site, "a"): H0, (site, "b"): H0 + 1}
    later = CommitOutcome(number, 2, silent={(site, "a"): None, (site, "b"): H0 + 5})
    assert records.apply_commit(later)
    assert records.read_silent_devices(site) == {(site, "b"): H0 + 5}
    assert records.read_silent_devices()[site, "b"] == H0 + 5
    assert not records.apply_commit(replace(said, number=1))


def test_partitions_are_counted_apart(records: Records, site: str) -> None:
    one, two = next(_numbers), next(_numbers)
    hour = (LedgerHour(site, H0, counts(stored=1)),)
    assert records.apply_commit(CommitOutcome(one, 5, hours=hour))
    assert records.apply_commit(CommitOutcome(two, 3, hours=hour))
    applied, hours = records.read_ledger_snapshot(site, ALL_TIME)
    assert (applied[one], applied[two]) == (5, 3)
    assert [hour.counts for hour in hours] == [counts(stored=2)]


def test_the_ledger_is_read_by_hour_and_site(records: Records, number: int, site: str) -> None:
    hours = tuple(LedgerHour(site, H0 + i * HOUR, counts(stored=i + 1)) for i in (2, 0, 1))
    other = LedgerHour(f"{site}-b", H0, counts(rejected=1))
    records.apply_commit(CommitOutcome(number, 1, hours=(*hours, other)))
    found = records.read_ledger(site, Period.of_ms(H0, H0 + 2 * HOUR))
    assert [(hour.hour_ms, hour.counts.stored) for hour in found] == [(H0, 1), (H0 + HOUR, 2)]
    # Hours that start in the period.
    assert records.read_ledger(site, Period.of_ms(H0 + 1, H0 + HOUR)) == []


@pytest.mark.parametrize(
    "wrong",
    [
        LedgerCounts(received=1),
        LedgerCounts(received=1, stored=2),
        LedgerCounts(received=0, stored=1, duplicate=-1),
        LedgerCounts(received=1, spooled=1),
        LedgerCounts(received=1, stored=1, discarded=1),
    ],
)
def test_counts_that_do_not_add_up_are_never_booked(
    records: Records, number: int, site: str, wrong: LedgerCounts
) -> None:
    outcome = CommitOutcome(
        number,
        1,
        hours=(LedgerHour(site, H0, wrong),),
        quarantined=(entry(site),),
        dirty=(DirtySpan(site, "energy", "a", 1, 2),),
    )
    with pytest.raises(StoreRejectedError):
        records.apply_commit(outcome)
    assert records.applied_commit(number) == 0
    assert ledger(records, site) == {}
    assert records.read_quarantine(sites=[site]) == []


# ---------------------------------------------------------------- quarantine


def test_entries_come_back_newest_first(records: Records, number: int, site: str) -> None:
    payload = bytes(range(256))
    rows = (0, 3, 4999)
    first = entry(site, 3, H0 + 1, rows=rows, payload=payload, detail="가'\"; -- \x00 \ud800")
    second = entry(site, 1, H0 + 3, reason="unknown_device")
    third = entry(site, 1, H0 + 2)
    quarantine(records, number, 1, first, second, third)
    found = records.read_quarantine(sites=[site])
    assert [one.received_ms for one in found] == [H0 + 3, H0 + 2, H0 + 1]
    assert found[2].payload == payload
    assert found[2].rows == rows
    assert found[2].detail == "가'\"; -- \\x00 \\ud800"
    assert {one.state for one in found} == {"open"}
    ids = [one.id for one in sorted(found, key=lambda one: one.received_ms)]
    assert len(set(ids)) == 3
    assert all(len(one) <= 12 for one in ids)
    assert records.read_quarantine_entry(found[0].id) == found[0]

    def read(**filters: object) -> list[str]:
        return [one.id for one in records.read_quarantine(**filters)]  # type: ignore[arg-type]

    assert read(sites=[site], limit=2) == [one.id for one in found[:2]]
    assert read(sites=[site], reason="unknown_device") == [found[0].id]
    assert read(sites=[]) == []
    assert read(sites=[site], state="replayed") == []
    assert read(sites=[site], state=None) == [one.id for one in found]


@pytest.mark.parametrize(
    "wrong", ["", "q", "q1", "q99999999", "99", "q00000001 or 1=1", "Q00000001"]
)
def test_an_unknown_entry_is_not_found(records: Records, wrong: str) -> None:
    with pytest.raises(NotFoundError, match="quarantine list"):
        records.read_quarantine_entry(wrong)
    assert records.discard_quarantine(wrong, by="kim", note="", now=NOW) is False


def test_what_waits_is_counted_by_site(records: Records, number: int, site: str) -> None:
    assert site not in records.count_open_quarantine()
    quarantine(records, number, 1, entry(site, 4), entry(site, 3))
    assert records.count_open_quarantine()[site] == (2, 7)
    one, other = records.read_quarantine(sites=[site])
    records.discard_quarantine(one.id, by="kim", note="test rig", now=NOW)
    assert records.count_open_quarantine()[site] == (1, other.count)
    records.apply_commit(CommitOutcome(number, 2, replayed={other.id: (other.count, 0, 0)}))
    assert site not in records.count_open_quarantine()


def test_a_discarded_entry_stays_quarantined(records: Records, number: int, site: str) -> None:
    quarantine(records, number, 1, entry(site, 4))
    (one,) = records.read_quarantine(sites=[site])
    assert records.discard_quarantine(one.id, by="kim", note="test rig", now=NOW) is True
    assert records.discard_quarantine(one.id, by="kim", note="again", now=NOW) is False
    assert ledger(records, site) == {H0: counts(quarantined=4, discarded=4)}
    assert records.read_quarantine_entry(one.id).state == "discarded"
    # A replay of it that was already under way moves nothing.
    records.apply_commit(CommitOutcome(number, 2, replayed={one.id: (4, 0, 0)}))
    assert ledger(records, site) == {H0: counts(quarantined=4, discarded=4)}


@pytest.mark.parametrize(
    ("outcome", "state", "after"),
    [
        ((5, 0, 0), "replayed", counts(stored=5)),
        ((2, 3, 0), "replayed", counts(stored=2, duplicate=3)),
        ((0, 5, 0), "replayed", counts(duplicate=5)),
        # Still refused: the entry stays open for what is left.
        ((0, 0, 5), "open", counts(quarantined=5)),
        ((3, 0, 2), "open", counts(stored=3, quarantined=2)),
        # Another number of readings than it was counted as.
        ((500, 20, 0), "replayed", counts(stored=5)),
        ((0, 1, 0), "replayed", counts(duplicate=5)),
        ((0, 0, 1), "open", counts(quarantined=5)),
        ((0, 0, 0), "open", counts(quarantined=5)),
        ((1, 0, 99), "open", counts(quarantined=5)),
    ],
)
def test_a_replayed_entry_moves_in_its_own_hour(
    records: Records,
    number: int,
    site: str,
    outcome: tuple[int, int, int],
    state: str,
    after: LedgerCounts,
) -> None:
    quarantine(records, number, 1, entry(site, 5, H0 + 5))
    (one,) = records.read_quarantine(sites=[site])
    assert records.apply_commit(CommitOutcome(number, 2, replayed={one.id: outcome}))
    assert ledger(records, site) == {H0: after}
    assert ledger(records, site)[H0].balanced
    assert records.read_quarantine_entry(one.id).state == state
    # The rest of it, and nothing twice.
    for again in (3, 4):
        records.apply_commit(CommitOutcome(number, again, replayed={one.id: (0, 9, 0)}))
    final = ledger(records, site)[H0]
    assert final.quarantined == 0
    assert final.stored == after.stored
    assert final.received == 5
    assert final.balanced


def test_an_unknown_replayed_entry_is_no_obstacle(records: Records, number: int) -> None:
    replayed = {"q99999999": (1, 0, 0), "nonsense": (1, 0, 0)}
    assert records.apply_commit(CommitOutcome(number, 1, replayed=replayed)) is True


def test_requests_wait_until_they_are_finished(records: Records) -> None:
    def file(action: str, *ids: str, as_correction: bool = False) -> int:
        return records.request_quarantine_work(
            action, ids, as_correction=as_correction, requested_by="kim", note="why", now=NOW
        )

    first, second = file("replay", "q1", "q2", as_correction=True), file("discard", "q3")
    waiting = [one for one in records.read_quarantine_requests() if one.id in (first, second)]
    assert [one.id for one in waiting] == [first, second]
    assert waiting[0].entry_ids == ("q1", "q2")
    assert waiting[0].as_correction is True
    assert waiting[0].requested_at == NOW
    assert (waiting[1].action, waiting[1].note, waiting[1].outcome) == ("discard", "why", {})
    records.finish_quarantine_request(first, {"q1": "replayed", "q2": "no such entry"})
    assert first not in {one.id for one in records.read_quarantine_requests()}
    assert first in {one.id for one in records.read_quarantine_requests(state="done")}
    done = records.read_quarantine_request(first)
    assert done.state == "done"
    assert done.outcome == {"q1": "replayed", "q2": "no such entry"}
    with pytest.raises(NotFoundError):
        records.read_quarantine_request(10**9)
    with pytest.raises(StoreRejectedError):
        file("delete everything", "q1")


# ---------------------------------------------------------------- dirty spans and events


def waiting_spans(records: Records, site: str) -> list[tuple[int, DirtySpan]]:
    return [(key, span) for key, span in records.read_dirty(100_000) if span.site == site]


def test_near_spans_of_a_device_are_one(records: Records, number: int, site: str) -> None:
    def book(commit: int, *spans: tuple[str, int, int]) -> None:
        dirty = tuple(DirtySpan(site, "energy", device, *times) for device, *times in spans)
        records.apply_commit(CommitOutcome(number, commit, dirty=dirty))

    book(1, ("a", 10 * HOUR, 10 * HOUR + 5), ("b", 0, 1), ("a", 10 * HOUR + 6, 11 * HOUR))
    book(2, ("a", 12 * HOUR, 12 * HOUR), ("a", 0, HOUR))
    book(3, ("a", 10 * HOUR + 7, 10 * HOUR + 8))
    spans = [span for _, span in waiting_spans(records, site)]
    assert spans == [
        DirtySpan(site, "energy", "a", 10 * HOUR, 12 * HOUR),
        DirtySpan(site, "energy", "b", 0, 1),
        DirtySpan(site, "energy", "a", 0, HOUR),
    ]


def test_a_span_between_two_joins_them(records: Records, number: int, site: str) -> None:
    for commit, (start, end) in enumerate([(0, HOUR), (3 * HOUR, 4 * HOUR), (2 * HOUR, 2 * HOUR)]):
        span = DirtySpan(site, "energy", "a", start, end)
        records.apply_commit(CommitOutcome(number, commit + 1, dirty=(span,)))
    ((_, span),) = waiting_spans(records, site)
    assert span == DirtySpan(site, "energy", "a", 0, 4 * HOUR)


def test_what_arrives_while_a_span_is_computed_is_not_forgotten(
    records: Records, number: int, site: str
) -> None:
    span = DirtySpan(site, "energy", "a", HOUR, 2 * HOUR)
    records.apply_commit(CommitOutcome(number, 1, dirty=(span,)))
    ((key, _),) = waiting_spans(records, site)
    # Inside the span that is being computed, and beside it.
    late = DirtySpan(site, "energy", "a", HOUR + 5, HOUR + 5)
    records.apply_commit(CommitOutcome(number, 2, dirty=(late,)))
    later = DirtySpan(site, "energy", "a", 2 * HOUR, 2 * HOUR + 5)
    records.apply_commit(CommitOutcome(number, 3, dirty=(later,)))
    # Not cleared yet: a crashed computation finds it again.
    assert waiting_spans(records, site)[0] == (key, span)
    records.clear_dirty([key])
    ((_, rest),) = waiting_spans(records, site)
    assert rest == DirtySpan(site, "energy", "a", HOUR + 5, 2 * HOUR + 5)


def test_a_span_that_waits_covers_what_comes_until_somebody_takes_it(
    records: Records, number: int, site: str
) -> None:
    quarter = DirtySpan(site, "energy", "a", 0, 899_999)
    other = replace(quarter, device="b")
    for commit in range(1, 4):
        records.apply_commit(CommitOutcome(number, commit, dirty=(quarter, other)))
    taken = dict(waiting_spans(records, site))
    assert sorted(taken.values(), key=lambda span: span.device) == [quarter, other]
    # Taken by another process, so that only the table says so: the next booking is a new span.
    records.apply_commit(CommitOutcome(number, 4, dirty=(quarter,)))
    found = dict(waiting_spans(records, site))
    assert len(found.keys() - taken.keys()) == 1
    assert len(found) == 3
    records.clear_dirty(list(found))
    # One is new and one waits: as many rows as were known, and yet not the same.
    for commit, span in enumerate((quarter, other, quarter, other), 5):
        records.apply_commit(CommitOutcome(number, commit, dirty=(span,)))
        if commit == 6:
            records.clear_dirty([key for key, _ in waiting_spans(records, site)])
    left = [span for _, span in waiting_spans(records, site)]
    assert sorted(left, key=lambda span: span.device) == [quarter, other]


def test_dirty_spans_come_oldest_first(records: Records, number: int, site: str) -> None:
    spans = tuple(DirtySpan(site, "energy", f"d{i}", i, i) for i in (3, 1, 2))
    records.apply_commit(CommitOutcome(number, 1, dirty=spans))
    records.clear_dirty([key for key, span in records.read_dirty(100_000) if span.site != site])
    assert [span.device for _, span in records.read_dirty(2)] == ["d3", "d1"]
    records.clear_dirty([])
    records.clear_dirty([key for key, _ in records.read_dirty(2)])
    assert [span.device for _, span in waiting_spans(records, site)] == ["d2"]


def event(
    site: str, start_ms: int, end_ms: int, device: str = "a", **fields: object
) -> SeriesEvent:
    key = SeriesKey(site, "energy", device, "active_energy_kwh")
    made = SeriesEvent(key, "counter_gap", start_ms, end_ms, 1 / 3, 99184412.5, 0.0)
    return replace(made, **fields)  # type: ignore[arg-type]


def test_events_are_replaced_by_their_end(records: Records, site: str) -> None:
    day = Period.of_ms(100, 200)
    before, inside, edge = event(site, 50, 99), event(site, 90, 150), event(site, 150, 200)
    other = event(site, 120, 130, "b")
    records.replace_events(site, "energy", "a", ALL_TIME, [before, inside, edge])
    records.replace_events(site, "energy", "b", ALL_TIME, [other])
    assert records.read_events(site, ALL_TIME) == [before, inside, other, edge]
    assert records.read_events(site, ALL_TIME, device="b") == [other]
    new = event(site, 100, 199, kind="counter_reset", amount=5.5)
    records.replace_events(site, "energy", "a", day, [new])
    assert records.read_events(site, ALL_TIME) == [before, new, other, edge]
    records.replace_events(site, "energy", "a", day, [])
    assert records.read_events(site, ALL_TIME) == [before, other, edge]
    records.replace_events(site, "water", "a", ALL_TIME, [])
    assert len(records.read_events(site, ALL_TIME)) == 3


def test_events_that_overlap_a_period(records: Records, site: str) -> None:
    events = [
        event(site, *span) for span in ((0, 99), (50, 100), (150, 160), (199, 300), (200, 9000))
    ]
    records.replace_events(site, "energy", "a", ALL_TIME, events)
    assert records.read_events(site, Period.of_ms(100, 200)) == events[1:4]


# ---------------------------------------------------------------- accounts


def test_accounts(records: Records, number: int) -> None:
    name = f"kim-{number}"
    roles = {"operator": ("a", "b"), "admin": ("*",)}
    account = Account(name, "$argon2id$…", roles, "ko")
    assert records.read_account(name) is None
    assert records.create_account(account) is True
    assert records.create_account(replace(account, password_hash="other")) is False
    assert records.read_account(name) == account
    assert account in records.read_accounts()
    changed = Account(name, "new", {}, "en", disabled=True)
    records.write_account(changed)
    assert records.read_account(name) == changed
    assert records.read_account(name.upper()) is None
    with pytest.raises(NotFoundError):
        records.write_account(Account(f"{name}-x", "h", {}))


def test_accounts_are_listed_by_name(records: Records, number: int) -> None:
    names = [f"{letter}-{number}" for letter in ("나", "b", "가", "a")]
    for name in names:
        records.create_account(Account(name, "h", {}))
    found = [account.username for account in records.read_accounts() if account.username in names]
    assert found == sorted(names)


@pytest.mark.parametrize("name", ["' OR 1=1 --", "\ud800", "a\x00b", "한글\n", ""])
def test_whatever_is_typed_as_a_name_is_only_a_name(records: Records, name: str) -> None:
    assert records.read_account(name) is None
    records.record_failure(name, NOW)
    assert records.count_failures(name, NOW) >= 1
    records.append_audit(NOW, name, "127.0.0.1", "session.begin", name, "refused")
    assert records.verify_audit() is None


def test_sessions(records: Records, number: int) -> None:
    def session(token: str, days: int = 1) -> Session:
        return Session(token, f"kim-{number}", "csrf", NOW, NOW, NOW + timedelta(days=days))

    tokens = [f"{letter}{number}" for letter in "abc"]
    for token in tokens:
        records.create_session(session(token))
    assert records.read_session(tokens[0]) == session(tokens[0])
    later = NOW + timedelta(seconds=5, microseconds=1)
    records.touch_session(tokens[0], later)
    assert records.read_session(tokens[0]) == replace(session(tokens[0]), last_seen_at=later)
    records.end_session(tokens[0])
    assert records.read_session(tokens[0]) is None
    records.end_session(tokens[0])
    records.end_sessions_of(f"kim-{number}")
    assert [records.read_session(token) for token in tokens] == [None, None, None]
    records.create_session(session(f"twice-{number}"))
    with pytest.raises(StoreRejectedError):
        records.create_session(session(f"twice-{number}"))


def test_failures_are_counted_since_a_time(records: Records, number: int) -> None:
    key = f"account:{number}"
    for minute in (0, 5, 10):
        records.record_failure(key, NOW + timedelta(minutes=minute))
    assert records.count_failures(key, NOW) == 3
    assert records.count_failures(key, NOW + timedelta(minutes=5)) == 2
    assert records.count_failures(key, NOW + timedelta(minutes=11)) == 0
    assert records.count_failures(key + "x", NOW) == 0
    records.record_failure(key, NOW + timedelta(days=2))
    assert records.count_failures(key, NOW - timedelta(days=9)) == 1


def test_the_audit_chain_shows_every_change(records: Records) -> None:
    for outcome in ("done", "refused", "done"):
        records.append_audit(NOW, "kim", "127.0.0.1", "token.make", "가나다", outcome)
    newest, *older = records.read_audit(limit=3)
    assert newest.at == NOW
    assert (newest.target, newest.outcome) == ("가나다", "done")
    assert newest.previous_sha256 == older[0].sha256
    assert newest.number == older[0].number + 1
    assert records.read_audit(limit=1, before=newest.number) == [older[0]]
    assert records.verify_audit() is None
    for change, back in (
        ("outcome = 'done'", "outcome = 'refused'"),
        ("actor = 'lee'", "actor = 'kim'"),
        ("number = -1", f"number = {older[0].number}"),
    ):
        with records._database.writing() as connection:
            where = "sha256 = :hash"
            connection.execute(
                text(f"UPDATE audit_entry SET {change} WHERE {where}"), {"hash": older[0].sha256}
            )
        assert records.verify_audit() is not None
        with records._database.writing() as connection:
            connection.execute(
                text(f"UPDATE audit_entry SET {back} WHERE {where}"), {"hash": older[0].sha256}
            )
        assert records.verify_audit() is None


# ---------------------------------------------------------------- under load


def test_threads_book_and_read_at_once(records: Records, site: str) -> None:
    """Every answer is balanced, and nothing is lost or counted twice."""
    failures: list[BaseException] = []
    writing = threading.Event()

    def book(partition: int) -> None:
        try:
            for commit in range(1, 26):
                outcome = CommitOutcome(
                    partition,
                    commit,
                    hours=(LedgerHour(site, H0, counts(stored=2, quarantined=1)),),
                    quarantined=(entry(site),),
                    dirty=(DirtySpan(site, "energy", "a", commit, commit),),
                )
                assert records.apply_commit(outcome)
                assert not records.apply_commit(outcome)
        except BaseException as error:
            failures.append(error)

    def read() -> None:
        try:
            while not writing.is_set():
                applied, hours = records.read_ledger_snapshot(site, ALL_TIME)
                assert all(hour.counts.balanced for hour in hours)
                booked = sum(applied.get(partition, 0) for partition in partitions)
                assert sum(hour.counts.received for hour in hours) == 3 * booked
        except BaseException as error:
            failures.append(error)

    partitions = [next(_numbers) for _ in range(3)]
    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=book, args=(partition,)) for partition in partitions]
    for thread in [reader, *writers]:
        thread.start()
    for thread in writers:
        thread.join()
    writing.set()
    reader.join()
    assert failures == []
    assert ledger(records, site) == {H0: counts(stored=150, quarantined=75)}
    assert len(records.read_quarantine(sites=[site])) == 75


few = st.integers(0, 4)
steps = st.one_of(
    st.tuples(
        st.just("book"), st.integers(0, 2), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)
    ),
    st.tuples(
        st.just("replay"),
        st.integers(0, 9),
        st.integers(0, 4),
        st.integers(0, 4),
        st.integers(0, 4),
    ),
    st.tuples(st.just("discard"), st.integers(0, 9)),
    st.tuples(st.just("again")),
)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(plan=st.lists(steps, max_size=12))
def test_the_ledger_adds_up_after_every_step(records: Records, plan: list[tuple[int, ...]]) -> None:
    partition = next(_numbers)
    site = f"site-{partition}"
    received: dict[int, int] = defaultdict(int)
    last = CommitOutcome(partition, 0)
    for step in plan:
        entries = records.read_quarantine(sites=[site], state=None)
        if step[0] == "book":
            _, hour, stored, duplicate, refused = step
            at = H0 + hour * HOUR
            quarantined = (entry(site, refused, at + 7),) if refused else ()
            hour_counts = counts(stored=stored, duplicate=duplicate, quarantined=refused)
            last = CommitOutcome(
                partition,
                last.number + 1,
                hours=(LedgerHour(site, at, hour_counts),),
                quarantined=quarantined,
            )
            received[at] += hour_counts.received
            assert records.apply_commit(last)
        elif step[0] == "replay" and entries:
            chosen = entries[step[1] % len(entries)]
            last = CommitOutcome(partition, last.number + 1, replayed={chosen.id: step[2:]})
            assert records.apply_commit(last)
        elif step[0] == "discard" and entries:
            records.discard_quarantine(
                entries[step[1] % len(entries)].id, by="kim", note="", now=NOW
            )
        elif step[0] == "again" and last.number:
            assert records.apply_commit(last) is False
        held = ledger(records, site)
        assert {at: one.received for at, one in held.items()} == dict(received)
        assert all(one.balanced for one in held.values())
        by_state: dict[str, int] = defaultdict(int)
        for one in records.read_quarantine(sites=[site], state=None):
            if one.state != "replayed":
                by_state[one.state] += one.count
        assert sum(one.discarded for one in held.values()) == by_state["discarded"]
        assert sum(one.quarantined for one in held.values()) == sum(by_state.values())
