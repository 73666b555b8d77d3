"""What the ingester keeps to tell how it is doing."""

from hypothesis import given
from hypothesis import strategies as st

from core.ids import PROBE_SITE
from core.ledger import CommitOutcome, LedgerCounts, LedgerHour, QuarantineEntry, RejectedEntry
from ingest.observing import EMPTY_LATENCIES, BookedCounts, BookedReadings, Histogram


@given(st.lists(st.floats(0, 1_000, allow_nan=False), max_size=50))
def test_a_histogram_counts_each_value_in_the_bucket_that_holds_it(values: list[float]) -> None:
    histogram = Histogram((1.0, 10.0, 100.0))
    for value in values:
        histogram.observe(value)
    counts = histogram.read()
    below = [sum(value <= end for value in values) for end in counts.bounds]
    assert [sum(counts.counts[: n + 1]) for n in range(3)] == below
    assert sum(counts.counts) == len(values)
    assert abs(counts.total - sum(values)) < 1e-6


def test_a_clock_that_steps_back_counts_as_no_time_at_all() -> None:
    histogram = Histogram()
    histogram.observe(-5.0, times=3)
    assert histogram.read().counts[0] == 3
    assert histogram.read().total == 0.0
    both = histogram.read() + histogram.read()
    assert both.counts[0] == 6
    assert (EMPTY_LATENCIES + both) == both


def entry(site: str, count: int) -> QuarantineEntry:
    return QuarantineEntry("", 0, site, "t", "not_json", "", count, (), b"")


def test_verdicts_are_counted_by_site_and_strangers_together() -> None:
    booked = BookedReadings(frozenset({"a", "b"}))
    booked.add(
        CommitOutcome(
            partition=0,
            number=1,
            hours=(
                LedgerHour("a", 0, LedgerCounts(received=5, stored=3, quarantined=2, late=1)),
                LedgerHour("a", 3_600_000, LedgerCounts(received=1, duplicate=1)),
                LedgerHour("nowhere-1", 0, LedgerCounts(received=1, rejected=1)),
                LedgerHour("nowhere-2", 0, LedgerCounts(received=1, rejected=1)),
                LedgerHour(PROBE_SITE, 0, LedgerCounts(received=1, stored=1)),
            ),
            quarantined=(entry("a", 2), entry(PROBE_SITE, 1)),
            rejected=(
                RejectedEntry(0, "nowhere-1", "t", "unknown_site", "", 1, "", b""),
                RejectedEntry(0, "nowhere-2", "t", "unknown_site", "", 1, "", b""),
            ),
        )
    )
    found = booked.read()
    assert found.verdicts == {
        ("a", "stored"): 3,
        ("a", "quarantined"): 2,
        ("a", "duplicate"): 1,
        ("", "rejected"): 2,
    }
    assert found.reasons == {("a", "not_json"): 2, ("", "unknown_site"): 2}
    assert found.late == {"a": 1}
    assert (found + BookedCounts()) == found
    booked.know(frozenset({"a", "nowhere-1"}))
    booked.add(
        CommitOutcome(0, 2, hours=(LedgerHour("nowhere-1", 0, LedgerCounts(received=1, stored=1)),))
    )
    assert booked.read().verdicts["nowhere-1", "stored"] == 1
    assert (found + found).verdicts["a", "stored"] == 6
