"""Bounds, counts and checks of the quarantine, on the records of `test_records`."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from core.errors import StoreRejectedError
from core.ledger import (
    CommitOutcome,
    Imbalance,
    LedgerHour,
    QuarantineBounds,
    RejectedEntry,
    sum_counts,
)
from core.periods import Period, calendar_periods, from_ms
from storage.records.store import Records
from tests.contract.test_records import (
    ALL_TIME,
    H0,
    HOUR,
    counts,
    entry,
    ledger,
    number,
    quarantine,
    records,
    site,
)

__all__ = ["number", "records", "site"]
DAY = 24 * HOUR
NOW = from_ms(H0 + 100 * DAY)


def audited(records: Records, site: str) -> list[tuple[str, str, str]]:
    """What the audit says of a site, newest first."""
    return [
        (one.actor, one.action, one.outcome)
        for one in records.read_audit(limit=50)
        if one.target.startswith(f"{site}:")
    ]


def clear(records: Records) -> None:
    """Other tests' entries hold no bytes any more."""
    records.bound_quarantine(QuarantineBounds(max_days=1), from_ms(H0 + 10_000 * DAY))


def forget(records: Records, site: str) -> None:
    """Take out what was changed from outside, so that other tests find nothing of it."""
    with records._database.writing() as connection:
        for table in ("quarantine_entry", "rejected_entry", "ledger_hour"):
            connection.execute(text(f"DELETE FROM {table} WHERE site = :site"), {"site": site})


def test_the_oldest_are_discarded_by_size_and_that_is_told(
    records: Records, number: int, site: str
) -> None:
    clear(records)
    made = [entry(site, 2, H0 + at * HOUR, payload=b"x" * 1000, detail="") for at in range(10)]
    quarantine(records, number, 1, *made)
    held = len(made[0].topic) + 1000
    assert records.bound_quarantine(QuarantineBounds(max_bytes=10 * held), NOW) == 0
    assert records.bound_quarantine(QuarantineBounds(max_bytes=7 * held + 5), NOW) == 3
    assert records.bound_quarantine(QuarantineBounds(max_bytes=7 * held + 5), NOW) == 0
    left = records.read_quarantine(sites=[site])
    assert [one.received_ms for one in left] == [H0 + at * HOUR for at in range(9, 2, -1)]
    assert all(one.payload == b"x" * 1000 for one in left)
    gone = records.read_quarantine(sites=[site], state="discarded")
    assert [(one.count, one.payload) for one in gone] == [(2, b"")] * 3
    # Still counted as quarantined, and shown as discarded beside.
    assert ledger(records, site)[H0] == counts(quarantined=2, discarded=2)
    assert ledger(records, site)[H0 + 3 * HOUR] == counts(quarantined=2)
    ((actor, action, outcome),) = audited(records, site)
    assert (actor, action) == ("greendc", "quarantine.discard")
    assert outcome.startswith(f"3 entries, 6 readings, {3 * held} bytes given up: ")
    assert records.verify_audit() is None
    assert records.find_imbalances(ALL_TIME) == []


def test_the_oldest_are_discarded_by_age_also_without_a_payload(
    records: Records, number: int, site: str
) -> None:
    clear(records)
    old, young = NOW - timedelta(days=31), NOW - timedelta(days=29)
    old_ms, young_ms = (round(at.timestamp() * 1000) for at in (old, young))
    quarantine(records, number, 1, entry(site, 1, old_ms, payload=b""), entry(site, 1, young_ms))
    assert records.bound_quarantine(QuarantineBounds(max_days=30), NOW) == 1
    (left,) = records.read_quarantine(sites=[site])
    assert left.received_ms == young_ms
    assert records.bound_quarantine(QuarantineBounds(), NOW + timedelta(days=9999)) == 0


def test_of_a_closed_entry_only_the_bytes_are_given_up(
    records: Records, number: int, site: str
) -> None:
    clear(records)
    quarantine(records, number, 1, entry(site, 5))
    (one,) = records.read_quarantine(sites=[site])
    records.apply_commit(CommitOutcome(number, 2, replayed={one.id: (5, 0, 0)}))
    assert records.bound_quarantine(QuarantineBounds(max_days=30), NOW) == 1
    after = records.read_quarantine_entry(one.id)
    assert (after.state, after.payload) == ("replayed", b"")
    assert audited(records, site) == []
    assert ledger(records, site) == {H0: counts(stored=5)}


def test_a_discard_that_cannot_be_counted_gives_nothing_up(
    records: Records, number: int, site: str
) -> None:
    clear(records)
    quarantine(records, number, 1, entry(site, 5))
    with records._database.writing() as connection:
        connection.execute(text("DELETE FROM ledger_hour WHERE site = :site"), {"site": site})
    with pytest.raises(StoreRejectedError, match="has no hour"):
        records.bound_quarantine(QuarantineBounds(max_days=30), NOW)
    assert len(records.read_quarantine(sites=[site])) == 1
    assert audited(records, site) == []
    hour = LedgerHour(site, H0, counts(quarantined=5))
    records.apply_commit(CommitOutcome(number, 2, hours=(hour,)))
    clear(records)


def test_counts_by_reason_over_time(records: Records, number: int, site: str) -> None:
    quarantine(
        records,
        number,
        1,
        entry(site, 3, H0 + 5),
        entry(site, 4, H0 + 6),
        entry(site, 7, H0 + 7, reason="unknown_device"),
        entry(site, 2, H0 + HOUR, reason="unknown_device"),
        entry("another-site", 9, H0),
    )
    by_count = {one.count: one for one in records.read_quarantine(sites=[site])}
    # In part, and then given up; and whole.
    records.apply_commit(CommitOutcome(number, 2, replayed={by_count[7].id: (5, 0, 2)}))
    records.discard_quarantine(by_count[7].id, by="kim", note="", now=NOW)
    records.apply_commit(CommitOutcome(number, 3, replayed={by_count[4].id: (4, 0, 0)}))
    quarters = records.count_quarantine(site, Period.of_ms(H0, H0 + 2 * HOUR))
    pieces = [Period.of_ms(H0 + at * HOUR, H0 + (at + 1) * HOUR) for at in range(2)]
    found = [
        (one.start_ms, one.reason, one.entries, one.quarantined, one.open, one.replayed,
         one.discarded)
        for one in sum_counts(quarters, pieces)
    ]  # fmt: skip
    assert found == [
        (H0, "not_json", 2, 7, 3, 4, 0),
        (H0, "unknown_device", 1, 7, 0, 5, 2),
        (H0 + HOUR, "unknown_device", 1, 2, 2, 0, 0),
    ]
    assert sum(one.discarded + one.open for one in quarters) == sum(
        counted.quarantined for counted in ledger(records, site).values()
    )


def test_counts_of_local_days_begin_where_the_zone_says() -> None:
    from zoneinfo import ZoneInfo

    from core.ledger import QuarantineCount

    zone = ZoneInfo("Asia/Kolkata")
    start = datetime(2026, 11, 18, 18, 30, tzinfo=UTC)
    days = list(calendar_periods(Period(start, start + timedelta(days=2)), zone, "day"))
    midnight = days[1].start_ms
    quarter = QuarantineCount(midnight - 900_000, midnight, "not_json", 1, 2, 2, 0, 0)
    after = replace(quarter, start_ms=midnight, end_ms=midnight + 900_000)
    before_all = replace(quarter, start_ms=days[0].start_ms - 900_000)
    found = sum_counts([before_all, quarter, after, after], days)
    assert [(one.start_ms, one.quarantined) for one in found] == [
        (days[0].start_ms, 2),
        (midnight, 4),
    ]


def test_ids_and_entries_of_many(records: Records, number: int, site: str) -> None:
    quarantine(records, number, 1, *[entry(site, 1, H0 + at) for at in range(3)])
    quarantine(records, number, 2, entry(site, 1, H0, reason="unknown_device"))
    ids = records.read_quarantine_ids(sites=[site])
    assert ids == sorted(one.id for one in records.read_quarantine(sites=[site]))
    assert records.read_quarantine_ids(sites=[site], reason="unknown_device") == ids[3:]
    assert records.read_quarantine_ids(sites=[site], limit=2) == ids[:2]
    found = records.read_quarantine_entries([*ids, "q99999999", "nonsense"])
    assert sorted(found) == ids
    assert found[ids[0]] == records.read_quarantine_entry(ids[0])
    done = records.discard_quarantine_entries([*ids[:2], "q99999999"], by="kim", note="", now=NOW)
    assert done == set(ids[:2])
    assert records.discard_quarantine_entries(ids[:1], by="kim", note="", now=NOW) == set()
    assert ledger(records, site)[H0] == counts(quarantined=4, discarded=2)


def test_finished_work_stands_in_the_audit_once(records: Records) -> None:
    request = records.request_quarantine_work(
        "replay", ["q00000007"], as_correction=True, requested_by="kim", note="", now=NOW
    )
    outcome = {"q00000007": "still refused: not_json (line 1)"}
    records.finish_quarantine_request(request, outcome, NOW)
    records.finish_quarantine_request(request, {}, NOW)
    (newest, *_) = records.read_audit(limit=1)
    assert (newest.actor, newest.action) == ("kim", "quarantine.replay_as_correction")
    assert (newest.target, newest.outcome) == ("q00000007", "1 still refused")
    assert records.read_quarantine_request(request).outcome == outcome


@pytest.mark.parametrize(
    ("change", "name", "booked", "found"),
    [
        ("quarantine_entry SET readings = 5", "quarantined", 3, 5),
        ("quarantine_entry SET state = 'replayed'", "quarantined", 3, 0),
        ("quarantine_entry SET state = 'discarded'", "discarded", 0, 3),
        ("rejected_entry SET readings = 1", "rejected", 2, 1),
        ("ledger_hour SET stored = 9, received = 14, quarantined = 3", "", 0, 0),
    ],
)
def test_an_hour_that_disagrees_is_found(
    records: Records, number: int, site: str, change: str, name: str, booked: int, found: int
) -> None:
    clear(records)
    refused = RejectedEntry(H0 + 9, site, "t", "site_mismatch", "", 2, "ab", b"x")
    # The oldest that is kept; older ones may have been forgotten, in its own hour, too.
    oldest = replace(refused, received_ms=H0 - HOUR, site="another-site")
    records.apply_commit(
        CommitOutcome(
            number,
            1,
            hours=(LedgerHour(site, H0, counts(quarantined=3, rejected=2, stored=1)),),
            quarantined=(entry(site, 3),),
            rejected=(oldest, refused),
        )
    )
    period = Period.of_ms(H0, H0 + HOUR)

    def mine() -> list[Imbalance]:
        return [one for one in records.find_imbalances(period) if one.site == site]

    assert mine() == []
    with records._database.writing() as connection:
        connection.execute(text(f"UPDATE {change} WHERE site = :site"), {"site": site})
    wanted = [Imbalance(site, H0, name, booked, found)] if name else []
    assert mine() == wanted
    forget(records, site)


def test_an_hour_that_is_gone_or_does_not_add_up_is_found(
    records: Records, number: int, site: str
) -> None:
    quarantine(records, number, 1, entry(site, 3))
    with records._database.writing() as connection:
        connection.execute(text("DELETE FROM ledger_hour WHERE site = :site"), {"site": site})
    found = [one for one in records.find_imbalances(ALL_TIME) if one.site == site]
    assert found == [Imbalance(site, H0, "quarantined", 0, 3)]
    assert "2026" in str(found[0])
    forget(records, site)


def test_each_checker_replaces_its_own_alarms(records: Records, site: str) -> None:
    one, two = Imbalance(site, H0, "received", 5, 6), Imbalance(site, H0, "sum", 5, 6)
    records.write_imbalances("records", [one])
    records.write_imbalances("partition-7", [two])
    assert records.read_imbalances(site) == [one, two]
    assert one in records.read_imbalances()
    records.write_imbalances("records", [])
    assert records.read_imbalances(site) == [two]
    records.write_imbalances("partition-7", [])
    assert records.read_imbalances(site) == []
