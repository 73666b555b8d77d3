"""When dirty spans are due, and how they become jobs."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from analytics.dirty import DirtyQueue, Pace, RollupJob, plan_jobs
from core.ledger import DirtySpan

HOUR = 3_600_000
NOW = 1_793_458_800_000
PACE = Pace(live_s=30.0, quiet_s=5.0, longest_wait_s=40.0, live_reach_s=1800.0)


def span(start_ms: int, end_ms: int | None = None, device: str = "a") -> DirtySpan:
    return DirtySpan("site-a", "energy", device, start_ms, end_ms or start_ms)


def numbers(due: dict[tuple[str, str], list[tuple[int, DirtySpan]]]) -> list[int]:
    return sorted(number for spans in due.values() for number, _ in spans)


def test_live_spans_are_due_at_a_steady_pace() -> None:
    queue = DirtyQueue(PACE)
    assert numbers(queue.due([(1, span(NOW - 1000))], NOW)) == [1]
    assert numbers(queue.due([(2, span(NOW))], NOW + 5_000)) == []
    assert numbers(queue.due([(2, span(NOW)), (3, span(NOW + 29_000))], NOW + 30_000)) == [2, 3]


def test_spans_of_the_past_wait_until_none_comes() -> None:
    queue = DirtyQueue(PACE)
    past = NOW - 5 * HOUR
    assert numbers(queue.due([(1, span(past))], NOW)) == []
    assert numbers(queue.due([(1, span(past)), (2, span(past + 9))], NOW + 4_000)) == []
    assert numbers(queue.due([(1, span(past)), (2, span(past + 9))], NOW + 8_000)) == []
    assert numbers(queue.due([(1, span(past)), (2, span(past + 9))], NOW + 9_000)) == [1, 2]


def test_but_never_longer_than_the_bound() -> None:
    queue = DirtyQueue(PACE)
    waiting: list[tuple[int, DirtySpan]] = []
    for tick in range(9):
        waiting.append((tick, span(NOW - 5 * HOUR + tick)))
        due = numbers(queue.due(waiting, NOW + tick * 5_000))
        assert due == ([] if tick < 8 else list(range(9)))
    assert queue.oldest_wait_s(NOW + 40_000) == 40.0


def test_a_backfill_does_not_hold_up_what_is_live() -> None:
    queue = DirtyQueue(PACE)
    waiting = [(1, span(NOW - 5 * HOUR)), (2, span(NOW - 1000))]
    assert numbers(queue.due(waiting, NOW)) == [2]


def test_groups_wait_apart() -> None:
    queue = DirtyQueue(PACE)
    water = DirtySpan("site-a", "water", "w", NOW - 5 * HOUR, NOW - 5 * HOUR)
    queue.due([(1, water)], NOW)
    due = queue.due([(1, water), (2, span(NOW - 5 * HOUR))], NOW + 5_000)
    assert list(due) == [("site-a", "water")]


def test_a_span_that_was_forgotten_no_longer_waits() -> None:
    queue = DirtyQueue(PACE)
    queue.due([(1, span(NOW - 5 * HOUR))], NOW)
    assert queue.oldest_wait_s(NOW + 1000) == 1.0
    queue.due([], NOW + 5_000)
    assert queue.oldest_wait_s(NOW + 9_000) == 0.0


def test_devices_of_the_same_hours_share_a_job() -> None:
    start = NOW
    spans = [span(start, start + 50 * HOUR, device) for device in "cab"]
    assert plan_jobs(spans) == [
        RollupJob("site-a", "energy", ("a", "b", "c"), start, start + 50 * HOUR)
    ]


def test_a_span_of_the_family_is_of_every_device() -> None:
    spans = [span(NOW, NOW + 9, ""), span(NOW, NOW + 20, "b")]
    assert plan_jobs(spans, ("b", "a")) == [
        RollupJob("site-a", "energy", ("a", "b"), NOW, NOW + 20)
    ]


def test_a_lone_late_reading_is_a_job_of_its_own() -> None:
    spans = [span(NOW, NOW + 2 * HOUR), span(NOW + HOUR + 7, None, "b")]
    jobs = plan_jobs(spans)
    assert [job.devices for job in jobs] == [("a",), ("a", "b"), ("a",)]
    assert plan_jobs([span(NOW + 5)]) == [RollupJob("site-a", "energy", ("a",), NOW + 5, NOW + 5)]
    assert plan_jobs([]) == []


@given(
    st.lists(
        st.tuples(st.integers(0, 40 * HOUR), st.integers(0, 9 * HOUR), st.sampled_from("abc")),
        min_size=1,
        max_size=12,
    )
)
def test_jobs_cover_the_spans_and_do_not_overlap(raw: list[tuple[int, int, str]]) -> None:
    spans = [span(NOW + start, NOW + start + length, device) for start, length, device in raw]
    jobs = plan_jobs(spans)
    for before, after in pairwise(jobs):
        assert before.last_ms < after.first_ms
    for one in spans:
        for moment in (one.start_ms, one.end_ms, (one.start_ms + one.end_ms) // 2):
            assert any(
                job.first_ms <= moment <= job.last_ms and one.device in job.devices for job in jobs
            )
