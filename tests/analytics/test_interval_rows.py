"""The rows of `greendc intervals`: members, calendars, what is not known."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from analytics.intervals import read_interval_rows
from analytics.recompute import recompute_period
from core.errors import ConfigurationError, NotFoundError
from core.periods import Period, local_day, local_month, parse_rfc3339, to_ms
from core.sites import Device, Site
from tests.analytics.interval_builders import period_of, put, put_gap
from tests.analytics.memory_store import MemoryRecords, MemoryStore
from tests.analytics.series_builders import START_MS, at, key_of, make_device, make_site

FEED = make_device("grid-a", "grid_feed")
KWH, KW = "active_energy_kwh", "active_power_kw"


def rows_of(
    store: MemoryStore,
    records: MemoryRecords,
    metric: str,
    period: Period,
    resolution: str,
    site: Site | None = None,
    device: Device = FEED,
) -> list[dict[str, object]]:
    return read_interval_rows(
        store,  # type: ignore[arg-type]
        records,
        site or make_site(FEED),
        device,
        metric,
        period,
        resolution,  # type: ignore[arg-type]
    )


def test_rows_from_readings() -> None:
    store, records = MemoryStore(), MemoryRecords()
    times = [START_MS + 60_000 * i for i in range(-5, 66)]
    store.add(key_of(FEED, KWH), [(t, (t - START_MS) / 60_000) for t in times])
    store.add(key_of(FEED, KW), [(t, 60.0 + (t - START_MS) / 60_000) for t in times])
    recompute_period(store, records, make_site(FEED), period_of(4))  # type: ignore[arg-type]
    counted = rows_of(store, records, KWH, period_of(4), "15m")
    assert len(counted) == 4
    assert counted[0] == {
        "start": "2026-10-31T15:00:00.000Z",
        "end": "2026-10-31T15:15:00.000Z",
        "seconds": 900.0,
        "count": 15,
        "min": None,
        "max": None,
        "mean": None,
        "increase": pytest.approx(15.0),
        "coverage": 1.0,
        "source": "counted",
    }
    (hour,) = rows_of(store, records, KW, period_of(4), "hour")
    assert hour["count"] == 60
    assert (hour["min"], hour["max"]) == (60.0, 119.0)
    assert hour["mean"] == pytest.approx(90.0)
    assert hour["energy_kwh"] == pytest.approx(90.0)
    assert hour["increase"] is None
    assert hour["source"] == "measured"


def test_what_is_not_known_is_null_and_never_zero() -> None:
    for metric in (KWH, KW):
        (row,) = rows_of(MemoryStore(), MemoryRecords(), metric, period_of(4), "hour")
        assert row["increase"] is None
        assert row["mean"] is None
        assert row["source"] is None
        assert row["coverage"] == 0.0
        assert row["count"] == 0
        assert row.get("energy_kwh") is None


def test_a_gap_is_estimated_inside_and_covered_around() -> None:
    store, records = MemoryStore(), MemoryRecords()
    put(store, FEED, KWH, 20.0, covered_s=[900, 0, 0, 900], estimated_s=[0, 900, 900, 0])
    put_gap(records, FEED, KWH, 1, 3, 40.0)
    rows = rows_of(store, records, KWH, period_of(4), "15m")
    assert [row["coverage"] for row in rows] == [1.0, 0.0, 0.0, 1.0]
    assert [row["source"] for row in rows] == ["counted", "estimated", "estimated", "counted"]
    assert rows[1]["increase"] == pytest.approx(20.0)
    (hour,) = rows_of(store, records, KWH, period_of(4), "hour")
    assert hour["coverage"] == 1.0
    assert hour["increase"] == pytest.approx(80.0)
    assert hour["source"] == "counted"


def test_a_simulated_site_and_hand_readings_name_their_source() -> None:
    store, records = MemoryStore(), MemoryRecords()
    put(store, FEED, KWH, 20.0, manual_s=900.0)
    (row,) = rows_of(store, records, KWH, period_of(4), "hour")
    assert row["source"] == "manual"
    put(store, FEED, KWH, 20.0)
    simulated = make_site(FEED, data="simulated")
    (row,) = rows_of(store, records, KWH, period_of(4), "hour", simulated)
    assert row["source"] == "simulated"


def test_reporting_members_scale_a_clusters_coverage_but_not_their_own() -> None:
    metrics = ("power_w", "members_reporting", "members_expected")
    total = make_device("lisa", "cluster_total", metrics=metrics)
    site, store, records = make_site(total), MemoryStore(), MemoryRecords()
    put(store, total, "power_w", 5.0, mean=20_000.0)
    put(store, total, "members_reporting", 0.0, mean=[200.0, 100.0, 100.0, 400.0])
    put(store, total, "members_expected", 0.0, mean=200.0)
    (row,) = rows_of(store, records, "power_w", period_of(4), "hour", site, total)
    assert row["coverage"] == pytest.approx((1 + 0.5 + 0.5 + 1) / 4)
    assert row["energy_kwh"] == pytest.approx(20.0)
    (own,) = rows_of(store, records, "members_reporting", period_of(4), "hour", site, total)
    assert own["coverage"] == 1.0


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Amsterdam", datetime(2026, 10, 25, tzinfo=UTC), 25),
        ("Europe/Amsterdam", datetime(2026, 3, 29, tzinfo=UTC), 23),
        ("Asia/Seoul", datetime(2026, 10, 25, tzinfo=UTC), 24),
        ("Asia/Kolkata", datetime(2026, 10, 25, tzinfo=UTC), 24),
    ],
)
def test_days_are_local_days(zone: str, day: datetime, hours: int) -> None:
    where = ZoneInfo(zone)
    site, store, records = make_site(FEED, zone=where), MemoryStore(), MemoryRecords()
    period = local_day(day.date(), where)
    first = (period.start_ms - START_MS) // 900_000
    put(store, FEED, KWH, 2.0, count=hours * 4, first=first)
    (row,) = rows_of(store, records, KWH, period, "day", site)
    assert row["seconds"] == hours * 3600
    assert row["increase"] == pytest.approx(8.0 * hours)
    assert row["coverage"] == pytest.approx(1.0)
    by_hour = rows_of(store, records, KWH, period, "hour", site)
    assert len(by_hour) == hours
    assert sum(float(row["increase"]) for row in by_hour) == pytest.approx(8.0 * hours)  # type: ignore[arg-type]


def test_months_of_a_half_hour_zone_are_cut_at_its_midnight() -> None:
    kolkata = ZoneInfo("Asia/Kolkata")
    site, store, records = make_site(FEED, zone=kolkata), MemoryStore(), MemoryRecords()
    both = Period(local_month(2026, 10, kolkata).start, local_month(2026, 11, kolkata).end)
    count = round(both.seconds) // 900
    put(store, FEED, KWH, 1.0, count=count, first=(both.start_ms - START_MS) // 900_000)
    october, november = rows_of(store, records, KWH, both, "month", site)
    assert (october["increase"], november["increase"]) == (31 * 96, 30 * 96)
    assert october["end"] == "2026-10-31T18:30:00.000Z"
    assert to_ms(parse_rfc3339(str(october["end"]))) % 900_000 == 0


def test_a_metric_that_the_family_has_not_and_a_period_off_the_grid() -> None:
    with pytest.raises(NotFoundError, match="volume_m3"):
        rows_of(MemoryStore(), MemoryRecords(), "volume_m3", period_of(4), "hour")
    with pytest.raises(ConfigurationError, match="off the grid"):
        rows_of(MemoryStore(), MemoryRecords(), KWH, Period(at(1), at(900)), "15m")
