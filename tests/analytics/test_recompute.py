"""Recomputing what a late reading touches gives what recomputing everything gives."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics import recompute
from analytics.recompute import Recomputation, by_cadence, recompute_period
from core.events import SeriesEvent
from core.periods import INTERVAL_MS, Period, from_ms
from core.sites import Device, Site
from tests.analytics.memory_store import MemoryRecords, MemoryStore
from tests.analytics.series_builders import (
    START_MS,
    at,
    key_of,
    make_device,
    make_site,
    make_state,
)

HOUR_MS = 3_600_000
DAY_MS = 86_400_000


def computed(store: MemoryStore) -> dict[object, dict[int, tuple[float, ...]]]:
    """Rows that say something: an empty interval may be written or not."""
    return {
        key: {
            start: tuple(-1.0 if value != value else value for value in row)
            for start, row in sorted(rows.items())
            if row[0] or row[5] or row[6]
        }
        for key, rows in sorted(store.intervals.items())
    }


def events_of(records: MemoryRecords) -> list[SeriesEvent]:
    return sorted(records.events, key=lambda e: (e.key, e.end_ms, e.kind))


def whole_of(site: Site, store: MemoryStore, start_ms: int, end_ms: int) -> tuple[object, object]:
    fresh, records = MemoryStore(), MemoryRecords()
    fresh.samples = store.samples
    recompute_period(fresh, records, site, Period.of_ms(start_ms, end_ms))
    return computed(fresh), events_of(records)


FEED = make_device("grid-a", "grid_feed", 60.0, rated_kw=1000.0, wraps_at=5000.0)
EXPORTING = Device(
    "grid-b",
    (
        make_state(
            "grid_feed",
            300.0,
            metrics=("active_power_kw", "active_energy_kwh", "export_energy_kwh"),
            meter="SN-1",
        ),
        make_state("grid_feed", 60.0, meter="SN-2", valid_from=at(3 * 3600)),
    ),
)
SITE = make_site(FEED, EXPORTING)


@st.composite
def batches(draw: st.DrawFn) -> list[tuple[Device, str, list[tuple[int, float, int]]]]:
    """Readings of ten hours with silences, in batches that arrive in any order."""
    found: list[tuple[Device, str, list[tuple[int, float, int]]]] = []
    for device in (FEED, EXPORTING):
        for metric in sorted(device.metrics()):
            steps = draw(
                st.lists(
                    st.tuples(
                        st.sampled_from([60, 60, 60, 60, 120, 240, 3600, 9000]),
                        st.floats(0, 9).map(lambda v: round(v, 2)),
                        st.sampled_from([0, 0, 0, 0, 1, 3]),
                    ),
                    min_size=1,
                    max_size=25,
                )
            )
            time_ms, rows = START_MS, []
            for number, (seconds, value, quality) in enumerate(steps):
                time_ms += seconds * 1000
                # Rising registers with some that fall back, and one that begins anew.
                level = value + (10.0 * number if quality != 1 else 0.0)
                rows.append((time_ms, level, quality))
            cuts = sorted(draw(st.lists(st.integers(0, len(rows)), max_size=4)))
            for first, last in zip([0, *cuts], [*cuts, len(rows)], strict=True):
                if first < last:
                    found.append((device, metric, rows[first:last]))
    return draw(st.permutations(found))


@settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(batches())
def test_batches_in_any_order_come_to_the_same_as_one_computation(
    arriving: list[tuple[Device, str, list[tuple[int, float, int]]]],
) -> None:
    store, records = MemoryStore(), MemoryRecords()
    for device, metric, rows in arriving:
        store.add(key_of(device, metric), rows)
        job = Recomputation(store, records, SITE, "energy", [device])
        job.run(rows[0][0], rows[-1][0])
    whole, events = whole_of(SITE, store, START_MS, START_MS + 5 * DAY_MS)
    assert computed(store) == whole
    assert events_of(records) == events


def test_twice_is_the_same_as_once() -> None:
    store, records = MemoryStore(), MemoryRecords()
    key = key_of(FEED, "active_energy_kwh")
    store.add(key, [(START_MS + 60_000 * i, float(i)) for i in range(300) if not 50 < i < 90])
    period = Period.of_ms(START_MS, START_MS + DAY_MS)
    recompute_period(store, records, SITE, period)
    first, events = computed(store), events_of(records)
    recompute_period(store, records, SITE, period)
    assert computed(store) == first
    assert events_of(records) == events
    assert [event.kind for event in events] == ["counter_gap"]


def test_the_size_of_a_piece_of_work_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    store, records = MemoryStore(), MemoryRecords()
    for metric, factor in (("active_energy_kwh", 2.5), ("active_power_kw", 0.3)):
        rows = [(START_MS + 60_000 * i, i * factor) for i in range(2000) if i % 400 < 300]
        store.add(key_of(FEED, metric), rows)
    period = Period.of_ms(START_MS, START_MS + 2 * DAY_MS)
    recompute_period(store, records, SITE, period)
    whole, events = computed(store), events_of(records)
    monkeypatch.setattr(recompute, "_SAMPLES_AT_ONCE", 100)
    fresh, anew = MemoryStore(), MemoryRecords()
    fresh.samples = store.samples
    recompute_period(fresh, anew, SITE, period)
    assert fresh.sample_reads > store.sample_reads
    assert computed(fresh) == whole
    assert events_of(anew) == events


def test_a_late_reading_rewrites_little() -> None:
    store, records = MemoryStore(), MemoryRecords()
    for metric in ("active_energy_kwh", "active_power_kw"):
        store.add(key_of(FEED, metric), [(START_MS + 60_000 * i, i * 1.0) for i in range(1440)])
    recompute_period(store, records, SITE, Period.of_ms(START_MS, START_MS + DAY_MS))
    store.intervals_written = 0
    late = START_MS + 6 * HOUR_MS + 30_000
    store.add(key_of(FEED, "active_energy_kwh"), [(late, 360.7)])
    Recomputation(store, records, SITE, "energy", [FEED]).run(late, late)
    assert store.intervals_written <= 4
    whole, events = whole_of(SITE, store, START_MS, START_MS + DAY_MS)
    assert computed(store) == whole
    assert events_of(records) == events


def test_a_reading_inside_a_long_silence_splits_its_gap() -> None:
    store, records = MemoryStore(), MemoryRecords()
    key = key_of(FEED, "active_energy_kwh")
    early = [(START_MS + 60_000 * i, float(i)) for i in range(20)]
    end = START_MS + 9 * DAY_MS
    store.add(key, early)
    store.add(key, [(end + 60_000 * i, 100.0 + i) for i in range(20)])
    recompute_period(store, records, SITE, Period.of_ms(START_MS, end + DAY_MS))
    assert [event.kind for event in records.events] == ["counter_gap"]
    late = START_MS + 4 * DAY_MS
    store.add(key, [(late, 90.0)])
    Recomputation(store, records, SITE, "energy", [FEED]).run(late, late)
    gaps = events_of(records)
    assert [(gap.end_ms, gap.amount) for gap in gaps] == [(late, 71.0), (end, 10.0)]
    whole, events = whole_of(SITE, store, START_MS, end + DAY_MS)
    assert computed(store) == whole
    assert gaps == events


def test_another_counter_of_the_device_keeps_its_events() -> None:
    store, records = MemoryStore(), MemoryRecords()
    one = Device("grid-b", EXPORTING.states[:1])
    job = Recomputation(store, records, make_site(one), "energy", [one])
    store.add(key_of(EXPORTING, "active_energy_kwh"), [(START_MS, 0.0), (START_MS + HOUR_MS, 9.0)])
    job.run(START_MS, START_MS + HOUR_MS)
    store.add(
        key_of(EXPORTING, "export_energy_kwh"), [(START_MS, 0.0), (START_MS + 5 * HOUR_MS, 4.0)]
    )
    job.run(START_MS + 5 * HOUR_MS, START_MS + 5 * HOUR_MS)
    assert sorted(event.amount for event in records.events) == [4.0, 9.0]


def test_the_cadence_before_a_change_reaches_over_it() -> None:
    slow = make_state("grid_feed", 3600.0)
    quick = make_state("grid_feed", 10.0, valid_from=at(3600.0))
    device = Device("grid-a", (slow, quick))
    site = make_site(device)
    store, records = MemoryStore(), MemoryRecords()
    key = key_of(device, "active_power_kw")
    store.add(key, [(START_MS, 10.0)])
    job = Recomputation(store, records, site, "energy", [device])
    job.run(START_MS, START_MS)
    late = START_MS + 3 * HOUR_MS
    store.add(key, [(late, 10.0)])
    job.run(late, late)
    assert sum(row[5] for row in store.intervals[key].values()) == 3 * 3600.0


def test_nothing_before_the_floor_is_written() -> None:
    store, records = MemoryStore(), MemoryRecords()
    for metric in ("active_energy_kwh", "active_power_kw"):
        store.add(key_of(FEED, metric), [(START_MS + 60_000 * i, i * 1.0) for i in range(240)])
    floor = START_MS + HOUR_MS + 1
    job = Recomputation(store, records, SITE, "energy", [FEED], floor_ms=floor)
    job.run(START_MS, START_MS + 4 * HOUR_MS)
    assert min(min(rows) for rows in store.intervals.values()) == START_MS + HOUR_MS + INTERVAL_MS
    assert job.run(START_MS, START_MS + HOUR_MS // 2).intervals == 0


def test_devices_of_very_different_cadence_are_read_apart() -> None:
    daily = make_device("mains-1", "mains_supply", 86_400.0)
    quick = [make_device(f"m-{i}", "mains_supply", cadence) for i, cadence in enumerate((10, 12))]
    groups = by_cadence([daily, *quick])
    assert [[device.id for device in group] for group in groups] == [["m-0", "m-1"], ["mains-1"]]


def test_a_meter_read_once_a_day_is_covered_between_its_readings() -> None:
    daily = make_device("mains-1", "mains_supply", 86_400.0)
    site = make_site(daily)
    store, records = MemoryStore(), MemoryRecords()
    store.add(key_of(daily, "volume_m3"), [(START_MS + DAY_MS * i, 10.0 * i, 2) for i in range(4)])
    recompute_period(store, records, site, Period.of_ms(START_MS, START_MS + 3 * DAY_MS))
    rows = store.intervals[key_of(daily, "volume_m3")]
    assert sum(row[4] for row in rows.values()) == pytest.approx(30.0)
    assert {row[5] for start, row in rows.items() if start < START_MS + 3 * DAY_MS} == {900.0}
    assert {row[9] for start, row in rows.items() if start < START_MS + 3 * DAY_MS} == {900.0}


def test_a_slow_past_is_cut_into_long_pieces_and_a_fast_present_into_short_ones() -> None:
    slow = make_state("pdu_output", 900.0)
    change_ms = START_MS + 20 * DAY_MS + 7 * 60_000
    fast = make_state("pdu_output", 1.0, valid_from=from_ms(change_ms))
    devices = [Device(f"pdu-{number:02d}", (slow, fast)) for number in range(40)]
    site = make_site(*devices)
    job = Recomputation(MemoryStore(), MemoryRecords(), site, "energy", devices)
    end_ms = START_MS + 21 * DAY_MS
    pieces = list(job.chunks(START_MS, end_ms))
    # Nothing is left out, nothing is done twice.
    assert pieces[0][0] == START_MS
    assert pieces[-1][1] == end_ms
    assert all(before[1] == after[0] for before, after in pairwise(pieces))
    border = change_ms // INTERVAL_MS * INTERVAL_MS
    past = [end - start for start, end in pieces if end <= border]
    present = [end - start for start, end in pieces if start >= border]
    assert sum(past) == border - START_MS
    assert max(past) > 7 * DAY_MS
    assert max(present) <= 4 * INTERVAL_MS
