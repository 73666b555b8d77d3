"""Periods: calendars of zones, the quarter-hour grid, and times in and out."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.periods import (
    INTERVAL_MS,
    Period,
    calendar_periods,
    floor_interval_ms,
    format_time,
    from_ms,
    local_day,
    local_month,
    parse_moment,
    parse_rfc3339,
    to_ms,
)

SEOUL = ZoneInfo("Asia/Seoul")
ZONES = [SEOUL, ZoneInfo("Europe/Amsterdam"), ZoneInfo("Asia/Kolkata"), ZoneInfo("UTC")]
# Hypothesis wants naive bounds and adds the zone itself.
MOMENTS = st.datetimes(
    datetime(2020, 1, 1),  # noqa: DTZ001
    datetime(2030, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)


@given(MOMENTS, st.integers(1, 90 * 86_400), st.sampled_from(ZONES))
def test_pieces_of_every_resolution_tile_the_period(
    start: datetime, seconds: int, zone: ZoneInfo
) -> None:
    period = Period(start, start + timedelta(seconds=seconds))
    for resolution in ("period", "hour", "day", "month"):
        pieces = list(calendar_periods(period, zone, resolution))
        assert pieces[0].start == period.start
        assert pieces[-1].end == period.end
        for before, after in pairwise(pieces):
            assert before.end == after.start
            local = after.start.astimezone(zone)
            assert (local.minute, local.second) == (0, 0) if resolution != "period" else True


def test_quarters_of_a_zone_with_half_an_hour() -> None:
    period = Period(datetime(2026, 1, 1, 0, 10, tzinfo=UTC), datetime(2026, 1, 1, 1, tzinfo=UTC))
    starts = [p.start.minute for p in calendar_periods(period, ZoneInfo("Asia/Kolkata"), "15m")]
    assert starts == [10, 15, 30, 45]


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25)])
def test_a_day_of_clock_change_has_its_own_length(day: date, hours: int) -> None:
    assert local_day(day, ZoneInfo("Europe/Amsterdam")).seconds == hours * 3600
    assert local_day(day, SEOUL).seconds == 24 * 3600


def test_a_leap_february_and_a_year_end() -> None:
    assert local_month(2028, 2, SEOUL).seconds == 29 * 86_400
    december = local_month(2026, 12, SEOUL)
    assert december.end == parse_rfc3339("2027-01-01T00:00:00+09:00")


@given(MOMENTS)
def test_milliseconds_and_back(moment: datetime) -> None:
    whole = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    assert from_ms(to_ms(moment)) == whole
    assert parse_rfc3339(format_time(moment)) == whole
    floor = floor_interval_ms(to_ms(moment))
    assert floor % INTERVAL_MS == 0
    assert 0 <= to_ms(moment) - floor < INTERVAL_MS


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-01T09:00:00",
        "2026-11-01t09:00:00Z",
        "2026-11-01T09:00:00z",
        "2026-11-01T09:00Z",
        "2026-11-01 09:00:00Z",
        "20261101T090000Z",
        "2026-W01-1T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-11-01T24:00:00Z",
        "２０２６-11-01T00:00:00Z",
        "2026-11-01T09:00:00+0900",
        "",
    ],
)
def test_what_is_no_rfc_3339_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_rfc3339(text)


def test_a_local_date_is_the_sites_midnight() -> None:
    assert parse_moment("2026-11-01", SEOUL) == datetime(2026, 10, 31, 15, tzinfo=UTC)


def test_a_period_that_does_not_end_after_it_starts_is_refused() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(ValueError, match="ends after it starts"):
        Period(moment, moment)
    with pytest.raises(ValueError, match="aware"):
        Period(datetime(2026, 1, 1), datetime(2026, 1, 2))  # noqa: DTZ001
