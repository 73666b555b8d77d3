"""The window of an address: read, refused, shifted by weeks, written back."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.periods import INTERVAL_MS, from_ms, local_midnight, to_ms
from dashboard.chart_page import window_words
from dashboard.history import (
    DAY_MS,
    DAYS,
    LONGEST_DAYS,
    HistoryError,
    HistoryQuestion,
    parse_history,
)

SEOUL = ZoneInfo("Asia/Seoul")
ZONES = [
    SEOUL,
    ZoneInfo("Europe/Amsterdam"),
    ZoneInfo("Asia/Kolkata"),
    ZoneInfo("America/St_Johns"),
]
# 14:32 in Seoul.
NOW = datetime(2026, 11, 20, 5, 32, tzinfo=UTC)
MOMENTS = st.integers(1_704_153_600_000, 1_924_819_200_000).map(from_ms)


def parse(query: str, now: datetime = NOW, zone: ZoneInfo = SEOUL) -> HistoryQuestion:
    return parse_history(dict(parse_qsl(query)), zone, now)


@pytest.mark.parametrize(
    ("query", "words", "resolution"),
    [
        ("", "2026-11-20", "15m"),
        ("range=day", "2026-11-20", "15m"),
        ("range=week", "2026-11-14 – 11-20", "hour"),
        ("range=month", "2026-10-22 – 11-20", "hour"),
        ("from=2026-11-13&to=2026-11-20", "2026-11-13 – 11-19", "hour"),
        ("from=2025-12-20&to=2026-01-05", "2025-12-20 – 2026-01-04", "hour"),
        ("from=2026-01-01&to=2026-11-01", "2026-01-01 – 10-31", "day"),
        (
            "from=2026-11-20T09:07:00%2B09:00&to=2026-11-20T12:00:00%2B09:00",
            "2026-11-20 09:00 – 11-20 12:00",
            "15m",
        ),
    ],
)
def test_windows_in_words(query: str, words: str, resolution: str) -> None:
    question = parse(query)
    assert window_words(question) == words
    assert question.resolution == resolution


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("range=year", "range.unknown"),
        ("range=%00", "range.unknown"),
        ("cmp=month", "range.unknown"),
        ("view=x", "range.unknown"),
        ("from=2026-11-01", "range.unreadable"),
        ("from=2026-11-01&to=tomorrow", "range.unreadable"),
        ("from=2026-11-01T00:00:00&to=2026-11-02", "range.unreadable"),
        ("from=2026-11-31&to=2026-12-02", "range.unreadable"),
        ("from=0001-01-01&to=2026-12-02", "range.unreadable"),
        ("from=2026-11-02&to=2026-11-02", "range.order"),
        ("from=2026-11-02&to=2026-11-01", "range.order"),
        ("from=2027-11-02&to=2027-11-03", "range.order"),
        ("from=2024-01-01&to=2026-11-01", "range.long"),
    ],
)
def test_what_cannot_be_shown_is_said(query: str, word: str) -> None:
    with pytest.raises(HistoryError) as refused:
        parse(query)
    assert refused.value.word == word


def test_other_members_of_an_address_are_ignored() -> None:
    assert parse("lang=en&theme=dark&x=y").name == "day"


@given(MOMENTS, st.sampled_from(ZONES), st.sampled_from(sorted(DAYS)))
def test_a_relative_window_ends_with_today(now: datetime, zone: ZoneInfo, name: str) -> None:
    question = parse(f"range={name}", now, zone)
    assert question.is_running
    assert question.days == DAYS[question.name]
    today = now.astimezone(zone).date()
    assert question.period.end == local_midnight(today + timedelta(days=1), zone)
    assert question.settled_ms <= to_ms(now)
    assert question.settled_ms % INTERVAL_MS == 0
    assert question.period.start_ms <= question.settled_ms <= question.period.end_ms


@given(MOMENTS, st.sampled_from(ZONES), st.sampled_from(sorted(DAYS)))
def test_a_shared_address_asks_for_the_same_window(
    now: datetime, zone: ZoneInfo, name: str
) -> None:
    question = parse(f"range={name}&cmp=week&view=table", now, zone)
    shared = parse(question.frozen_query(), now, zone)
    assert shared.period == question.period
    assert (shared.compares, shared.as_table) == (True, True)
    # Later it is still that window, where the relative one has moved on.
    later = parse(question.frozen_query(), now + timedelta(days=3), zone)
    assert later.period == question.period
    assert not later.is_running


@given(MOMENTS, st.sampled_from(ZONES), st.integers(1, 120), st.integers(1, 60))
def test_the_window_before_leads_back(
    now: datetime, zone: ZoneInfo, back: int, length: int
) -> None:
    first = now.astimezone(zone).date() - timedelta(days=back + length)
    last = first + timedelta(days=length)
    question = parse(f"from={first}&to={last}", now, zone)
    before = parse(question.previous_query(), now, zone)
    assert before.period.end == question.period.start
    assert before.days == question.days
    assert parse(before.next_query(), now, zone).period == question.period


def test_the_window_after_the_last_whole_one_is_the_relative_one_again() -> None:
    week = parse("range=week")
    assert week.next_query() == ""
    assert parse(week.previous_query()).next_query() == "range=week"


@given(MOMENTS, st.sampled_from(ZONES), st.integers(1, LONGEST_DAYS))
def test_a_comparison_keeps_weekday_and_clock(now: datetime, zone: ZoneInfo, length: int) -> None:
    last = now.astimezone(zone).date()
    first = last - timedelta(days=length)
    question = parse(f"from={first}&to={last}&cmp=week", now, zone)
    start, before = (
        moment.astimezone(zone) for moment in (question.period.start, question.before.start)
    )
    assert question.shift_days % 7 == 0
    assert question.shift_days >= length
    assert question.shift_days - length < 7
    assert start.weekday() == before.weekday()
    assert start.time() == before.time()
    assert question.before.end <= question.period.start


@given(MOMENTS, st.sampled_from(ZONES), st.integers(0, 96 * 7))
def test_a_comparison_is_drawn_at_the_same_clock(
    now: datetime, zone: ZoneInfo, quarters: int
) -> None:
    question = parse("range=week&cmp=week", now, zone)
    then = question.before.start_ms + quarters * INTERVAL_MS
    drawn = from_ms(question.later_ms(then)).astimezone(zone)
    source = from_ms(then).astimezone(zone)
    wall = (source.replace(tzinfo=None) + timedelta(days=7), drawn.replace(tzinfo=None))
    # An hour that a clock change leaves out is drawn an hour later.
    assert wall[1] - wall[0] in {timedelta(0), timedelta(hours=1)}


def test_sums_of_a_comparison_end_at_the_same_elapsed_time() -> None:
    question = parse("range=week&cmp=week")
    known, before = question.known, question.before_known
    assert known is not None
    assert before is not None
    assert known.end == datetime(2026, 11, 20, 5, 30, tzinfo=UTC)
    assert before.end == datetime(2026, 11, 13, 5, 30, tzinfo=UTC)
    assert before.seconds == known.seconds


def test_a_month_is_compared_with_the_fifth_week_before() -> None:
    question = parse("range=month&cmp=week")
    assert question.shift_days == 35
    assert question.before.start.astimezone(SEOUL).date() == date(2026, 9, 17)


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=12))
def test_any_text_is_a_window_or_a_refusal(start: str, end: str, name: str) -> None:
    try:
        question = parse_history({"from": start, "to": end, "range": name}, SEOUL, NOW)
    except HistoryError:
        return
    assert question.period.end_ms - question.period.start_ms <= LONGEST_DAYS * DAY_MS
