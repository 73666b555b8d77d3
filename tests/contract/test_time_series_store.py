"""What every time-series store promises, asked of each implementation."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import StoreRejectedError
from core.intervals import FLOAT_COLUMNS, IntervalBlock
from core.periods import Period
from core.ports import ResultRow, TimeSeriesStore
from core.samples import Quality, ReadingBlock, Sample, SeriesKey

T0 = 1_795_000_500_123  # 2026-11-18, not on any grid
HOUR = 3_600_000
QUARTER = 900_000
NAN = float("nan")
ALL_TIME = Period.of_ms(0, 4_000_000_000_000)

Row = tuple[str, int, Mapping[str, float], Quality]


def block_of(site: str, rows: Sequence[Row], family: str = "energy") -> ReadingBlock:
    """Rows of (device, time, values, quality) as a block."""
    devices = tuple(dict.fromkeys(row[0] for row in rows))
    metrics = dict.fromkeys(name for row in rows for name in row[2])
    return ReadingBlock(
        site,
        family,
        devices,
        np.array([devices.index(row[0]) for row in rows], np.int32),
        np.array([row[1] for row in rows], np.int64),
        np.array([row[3] for row in rows], np.int8),
        {name: np.array([row[2].get(name, NAN) for row in rows]) for name in metrics},
    )


def good(device: str, time_ms: int, **values: float) -> Row:
    return device, time_ms, values, Quality.GOOD


def held(
    store: TimeSeriesStore, site: str, family: str = "energy", period: Period = ALL_TIME
) -> dict[tuple[str, str, int], tuple[float, Quality]]:
    """Everything of a family: (device, metric, time) -> (value, quality)."""
    return {
        (series.key.device, series.key.metric, time_ms): (value, Quality(code))
        for series in store.read_samples(site, family, period)
        for time_ms, value, code in zip(
            series.time_ms.tolist(), series.value.tolist(), series.quality.tolist(), strict=True
        )
    }


# ---------------------------------------------------------------- samples


def test_samples_come_back_by_series_in_time_order(store: TimeSeriesStore, site: str) -> None:
    rows = [
        good("b", T0 + 20_000, power_kw=3.0, energy_kwh=30.0),
        good("a", T0 + 10_000, power_kw=2.0),
        good("b", T0, power_kw=1.0),
        good("a", T0 - 5 * HOUR, power_kw=0.5),
        good("b", T0 + 10_000, energy_kwh=20.0),
    ]
    store.write_readings([block_of(site, rows)])
    found = store.read_samples(site, "energy", ALL_TIME)
    assert [series.key for series in found] == [
        SeriesKey(site, "energy", "a", "power_kw"),
        SeriesKey(site, "energy", "b", "energy_kwh"),
        SeriesKey(site, "energy", "b", "power_kw"),
    ]
    assert found[0].time_ms.tolist() == [T0 - 5 * HOUR, T0 + 10_000]
    assert found[0].value.tolist() == [0.5, 2.0]
    assert found[1].time_ms.tolist() == [T0 + 10_000, T0 + 20_000]
    assert found[2].value.tolist() == [1.0, 3.0]
    for series in found:
        assert series.time_ms.dtype == np.int64
        assert series.value.dtype == np.float64
        assert series.quality.dtype == np.int8
        assert not series.quality.any()


def test_nothing_is_an_empty_answer(store: TimeSeriesStore, site: str) -> None:
    store.write_readings([])
    store.write_readings([block_of(site, [])])
    store.write_intervals([])
    store.write_results([])
    assert store.read_samples(site, "energy", ALL_TIME) == []
    assert store.read_latest(site) == []
    assert store.read_last_before(site, "energy", T0, not_before_ms=T0 - HOUR) == []
    assert store.read_first_from(site, "energy", T0, not_after_ms=T0 + HOUR) == []
    assert store.read_instants(site, "energy", "a", [T0]) == {}
    assert store.read_instants(site, "energy", "a", []) == {}
    assert store.read_intervals(site, ALL_TIME) == []
    assert store.read_results(site, "kpi", ALL_TIME) == []


def test_a_row_without_a_value_is_no_reading(store: TimeSeriesStore, site: str) -> None:
    rows = [good("a", T0, power_kw=NAN), good("a", T0 + 1, power_kw=1.0), good("b", T0)]
    store.write_readings([block_of(site, rows), block_of(site, [good("c", T0, power_kw=NAN)])])
    assert held(store, site) == {("a", "power_kw", T0 + 1): (1.0, Quality.GOOD)}


def test_writing_twice_changes_nothing(store: TimeSeriesStore, site: str) -> None:
    block = block_of(site, [good("a", T0 + i, power_kw=i / 3, energy_kwh=i) for i in range(50)])
    store.write_readings([block])
    once = held(store, site)
    store.write_readings([block, block])
    store.write_readings([block])
    assert held(store, site) == once
    assert len(once) == 100


def test_a_new_value_replaces_the_held_one(store: TimeSeriesStore, site: str) -> None:
    store.write_readings([block_of(site, [good("a", T0, power_kw=1.0, energy_kwh=5.0)])])
    store.write_readings([block_of(site, [good("a", T0, power_kw=2.0)])])
    assert held(store, site) == {
        ("a", "power_kw", T0): (2.0, Quality.GOOD),
        ("a", "energy_kwh", T0): (5.0, Quality.GOOD),
    }
    assert [sample.value for sample in store.read_latest(site)] == [5.0, 2.0]


def test_within_one_call_the_later_value_wins(store: TimeSeriesStore, site: str) -> None:
    first = block_of(site, [good("a", T0, power_kw=1.0), good("a", T0, power_kw=2.0)])
    assert held(store, site) == {}
    store.write_readings([first])
    assert held(store, site)["a", "power_kw", T0][0] == 2.0
    store.write_readings([first, block_of(site, [good("a", T0, power_kw=3.0)])])
    assert held(store, site)["a", "power_kw", T0][0] == 3.0


def test_a_held_instant_gains_metrics(store: TimeSeriesStore, site: str) -> None:
    store.write_readings([block_of(site, [good("a", T0, power_kw=1.0)])])
    gained: Row = ("a", T0, {"energy_kwh": 7.0}, Quality.MANUAL)
    store.write_readings([block_of(site, [gained])])
    assert held(store, site) == {
        ("a", "power_kw", T0): (1.0, Quality.GOOD),
        ("a", "energy_kwh", T0): (7.0, Quality.MANUAL),
    }


def test_quality_comes_back_and_a_better_one_replaces_it(store: TimeSeriesStore, site: str) -> None:
    rows: list[Row] = [
        ("a", T0 + code, {"power_kw": float(code), "energy_kwh": 1.0}, Quality(code))
        for code in range(4)
    ]
    store.write_readings([block_of(site, rows)])
    found = held(store, site)
    assert [found["a", "power_kw", T0 + code][1] for code in range(4)] == list(Quality)
    # Only what is asked for, with its quality.
    (power,) = store.read_samples(site, "energy", ALL_TIME, metrics=["power_kw"])
    assert power.quality.tolist() == [0, 1, 2, 3]

    store.write_readings([block_of(site, [good("a", T0 + 3, power_kw=9.0)])])
    found = held(store, site)
    assert found["a", "power_kw", T0 + 3] == (9.0, Quality.GOOD)
    assert found["a", "energy_kwh", T0 + 3] == (1.0, Quality.UNCERTAIN)
    latest = {sample.key.metric: sample.quality for sample in store.read_latest(site)}
    assert latest == {"power_kw": Quality.GOOD, "energy_kwh": Quality.UNCERTAIN}


def test_a_period_is_half_open_to_the_millisecond(store: TimeSeriesStore, site: str) -> None:
    times = [T0 - 1, T0, T0 + 1, T0 + HOUR - 1, T0 + HOUR]
    store.write_readings([block_of(site, [good("a", time, power_kw=1.0) for time in times])])
    (series,) = store.read_samples(site, "energy", Period.of_ms(T0, T0 + HOUR))
    assert series.time_ms.tolist() == [T0, T0 + 1, T0 + HOUR - 1]


def test_filters_by_device_and_metric(store: TimeSeriesStore, site: str) -> None:
    devices = [f"d-{number:04d}" for number in range(1200)]
    rows = [good(device, T0, power_kw=1.0, energy_kwh=2.0) for device in devices]
    store.write_readings([block_of(site, rows)])

    def keys(**filters: Sequence[str]) -> list[tuple[str, str]]:
        found = store.read_samples(site, "energy", ALL_TIME, **filters)
        return [(series.key.device, series.key.metric) for series in found]

    assert len(keys()) == 2400
    assert keys(devices=["d-0007"], metrics=["power_kw"]) == [("d-0007", "power_kw")]
    assert keys(devices=["d-0007", "unknown"]) == [
        ("d-0007", "energy_kwh"),
        ("d-0007", "power_kw"),
    ]
    # Also more names than a server takes in one filter.
    assert keys(devices=devices[:1100], metrics=["power_kw"]) == [
        (device, "power_kw") for device in devices[:1100]
    ]
    assert keys(devices=[]) == []
    assert keys(metrics=[]) == []
    assert keys(metrics=["power_kw"]) == [(device, "power_kw") for device in devices]


def test_sites_and_families_are_apart(store: TimeSeriesStore, new_site: Callable[[], str]) -> None:
    one, two = new_site(), new_site()
    store.write_readings(
        [
            block_of(one, [good("a", T0, temperature_c=1.0)], "weather"),
            block_of(one, [good("a", T0, temperature_c=2.0)], "accelerator"),
            block_of(two, [good("a", T0, temperature_c=3.0)], "weather"),
        ]
    )
    assert held(store, one, "weather") == {("a", "temperature_c", T0): (1.0, Quality.GOOD)}
    assert held(store, one, "accelerator") == {("a", "temperature_c", T0): (2.0, Quality.GOOD)}
    assert held(store, two, "weather") == {("a", "temperature_c", T0): (3.0, Quality.GOOD)}
    assert [sample.value for sample in store.read_latest(one)] == [2.0, 1.0]


@pytest.mark.parametrize(
    "value",
    [0.0, -0.0, 5e-324, 1.7976931348623157e308, 0.1, 1 / 3, 99184412.5, -1e-7, 2.0**53 + 2, 1e22],
)
def test_values_are_exact(store: TimeSeriesStore, site: str, value: float) -> None:
    store.write_readings([block_of(site, [good("a", T0, power_kw=value)])])
    (series,) = store.read_samples(site, "energy", ALL_TIME)
    assert series.value.tobytes() == np.array([value]).tobytes()


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (good("a", T0, power_kw=float("inf")), "infinite"),
        (good("a", T0, power_kw=float("-inf")), "power_kw"),
        (good("", T0, power_kw=1.0), "device"),
        (good("a\\", T0, power_kw=1.0), "backslash"),
        (good("a\nb", T0, power_kw=1.0), "control"),
        (good("a", -1, power_kw=1.0), "1970"),
        (good("a", T0, power_kw__quality=1.0), "metric"),
        (("a", T0, {"kW = 1,x": 1.0}, Quality.GOOD), "metric"),
    ],
)
def test_what_cannot_be_kept_is_refused_whole(
    store: TimeSeriesStore, site: str, row: Row, words: str
) -> None:
    blocks = [block_of(site, [good("b", T0, power_kw=1.0)]), block_of(site, [row])]
    with pytest.raises(StoreRejectedError, match=words):
        store.write_readings(blocks)
    assert held(store, site) == {}


def test_texts_that_mean_something_to_a_protocol_are_only_texts(store: TimeSeriesStore) -> None:
    site = "a b,c=d\"e'한글) or true"
    device = '") |> drop() //,= 가'
    store.write_readings([block_of(site, [good(device, T0, power_kw=1.0)])])
    assert held(store, site) == {(device, "power_kw", T0): (1.0, Quality.GOOD)}
    found = store.read_samples(site, "energy", ALL_TIME, devices=[device])
    assert [series.key.device for series in found] == [device]
    assert store.read_instants(site, "energy", device, [T0]) == {T0: {"power_kw": 1.0}}
    assert store.read_latest('") or (1 == 1') == []


# ---------------------------------------------------------------- edges, latest, instants


def sample(site: str, device: str, time_ms: int, value: float) -> Sample:
    key = SeriesKey(site, "energy", device, "power_kw")
    return Sample(key, time_ms, value, Quality.GOOD)


def test_last_before_and_first_from(store: TimeSeriesStore, site: str) -> None:
    rows = [good("a", T0 + i * 600_000, power_kw=float(i)) for i in range(-30, 31)]
    rows += [good("b", T0 - 3 * HOUR, power_kw=100.0), good("b", T0 + 3 * HOUR, power_kw=200.0)]
    store.write_readings([block_of(site, rows)])

    def last(time_ms: int, not_before_ms: int, **filters: Sequence[str]) -> list[Sample]:
        return store.read_last_before(
            site, "energy", time_ms, not_before_ms=not_before_ms, **filters
        )

    def first(time_ms: int, not_after_ms: int, **filters: Sequence[str]) -> list[Sample]:
        return store.read_first_from(site, "energy", time_ms, not_after_ms=not_after_ms, **filters)

    assert last(T0, T0 - 4 * HOUR) == [
        sample(site, "a", T0 - 600_000, -1.0),
        sample(site, "b", T0 - 3 * HOUR, 100.0),
    ]
    # Strictly before; not before the bound, which is inside.
    assert last(T0 + 1, T0, devices=["a"]) == [sample(site, "a", T0, 0.0)]
    assert last(T0, T0 - 600_000, devices=["a"]) == [sample(site, "a", T0 - 600_000, -1.0)]
    assert last(T0, T0 - 599_999, devices=["a"]) == []
    assert last(T0, T0) == []
    assert last(T0, T0 + 5) == []
    assert last(T0, T0 - 4 * HOUR, devices=[]) == []

    assert first(T0, T0 + 4 * HOUR) == [
        sample(site, "a", T0, 0.0),
        sample(site, "b", T0 + 3 * HOUR, 200.0),
    ]
    # From the instant itself; up to the bound, which is inside.
    assert first(T0 + 1, T0 + 600_000) == [sample(site, "a", T0 + 600_000, 1.0)]
    assert first(T0 + 1, T0 + 599_999) == []
    assert first(T0 + 1, T0) == []


def test_edges_carry_the_quality_of_their_own_instant(store: TimeSeriesStore, site: str) -> None:
    rows: list[Row] = [
        ("a", T0, {"power_kw": 1.0}, Quality.MANUAL),
        good("a", T0 + 10, power_kw=2.0),
        ("a", T0 + 20, {"power_kw": 3.0}, Quality.ESTIMATED),
    ]
    store.write_readings([block_of(site, rows)])

    def before(time_ms: int) -> Quality:
        return store.read_last_before(site, "energy", time_ms, not_before_ms=T0 - 5)[0].quality

    assert [before(T0 + step) for step in (1, 11, 21)] == [
        Quality.MANUAL,
        Quality.GOOD,
        Quality.ESTIMATED,
    ]
    (sample_from,) = store.read_first_from(site, "energy", T0 + 1, not_after_ms=T0 + HOUR)
    assert sample_from.quality is Quality.GOOD


def test_latest_is_the_newest_by_time_not_by_arrival(store: TimeSeriesStore, site: str) -> None:
    store.write_readings([block_of(site, [good("a", T0 + 10, power_kw=2.0)])])
    store.write_readings(
        [block_of(site, [good("a", T0, power_kw=1.0), good("b", T0, power_kw=5.0)])]
    )
    assert store.read_latest(site) == [
        sample(site, "a", T0 + 10, 2.0),
        sample(site, "b", T0, 5.0),
    ]


def test_latest_looks_back_400_days_where_raw_data_stay_for_ever(
    store: TimeSeriesStore, site: str
) -> None:
    now_ms = 1_795_176_000_000  # of the fixture's clock
    rows = [
        good("inside", now_ms - 399 * 86_400_000, power_kw=1.0),
        good("outside", now_ms - 401 * 86_400_000, power_kw=1.0),
        good("ahead", now_ms + 240_000, power_kw=1.0),
    ]
    store.write_readings([block_of(site, rows)])
    assert [one.key.device for one in store.read_latest(site)] == ["ahead", "inside"]


def test_instants(store: TimeSeriesStore, site: str) -> None:
    rows = [good("a", T0 + i * 60_000, power_kw=float(i)) for i in range(200)]
    rows += [("a", T0, {"energy_kwh": 5.0}, Quality.MANUAL), good("b", T0 + 7, power_kw=1.0)]
    rows += [good("a", T0 - day * 86_400_000, power_kw=-float(day)) for day in range(1, 60)]
    store.write_readings([block_of(site, rows)])
    times = [T0, T0 + 60_000, T0 + 30_000, T0 + 7, T0 + 60_000, -5]
    assert store.read_instants(site, "energy", "a", times) == {
        T0: {"power_kw": 0.0, "energy_kwh": 5.0},
        T0 + 60_000: {"power_kw": 1.0},
    }
    # Far apart: nothing between them is fetched.
    days = [T0 - day * 86_400_000 for day in range(1, 60)]
    found = store.read_instants(site, "energy", "a", [*days, T0 - 86_400_001])
    assert found == {
        time: {"power_kw": -float(day)} for day, time in zip(range(1, 60), days, strict=True)
    }
    assert store.read_instants(site, "water", "a", [T0]) == {}


# ---------------------------------------------------------------- intervals


def interval_block(
    site: str, device: str, starts: Sequence[int], metric: str = "power_kw", **columns: float
) -> IntervalBlock:
    size = len(starts)
    given = {name: np.full(size, columns.get(name, 0.0)) for name in FLOAT_COLUMNS}
    count = np.full(size, int(columns.get("count", 3)), np.int32)
    key = SeriesKey(site, "energy", device, metric)
    return IntervalBlock(key, np.array(starts, np.int64), count, **given)


def assert_same_intervals(found: IntervalBlock, wanted: IntervalBlock) -> None:
    assert found.key == wanted.key
    assert found.start_ms.tolist() == wanted.start_ms.tolist()
    assert found.count.tolist() == wanted.count.tolist()
    assert found.count.dtype == np.int32
    for name in FLOAT_COLUMNS:
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name), name)


G0 = T0 - T0 % QUARTER


def test_intervals_come_back_by_series(store: TimeSeriesStore, site: str) -> None:
    counter = interval_block(
        site, "b", [G0, G0 + QUARTER], "energy_kwh", low=NAN, high=NAN, mean=NAN, amount=1 / 3
    )
    gauge = interval_block(
        site, "a", [G0 - QUARTER, G0], low=-1.5, high=2.5, mean=0.5, covered_s=900.0
    )
    store.write_intervals([counter, gauge])
    found = store.read_intervals(site, ALL_TIME)
    assert len(found) == 2
    assert_same_intervals(found[0], gauge)
    assert_same_intervals(found[1], counter)


def test_intervals_are_filtered_by_their_start(store: TimeSeriesStore, site: str) -> None:
    starts = [G0 + step * QUARTER for step in range(-2, 3)]
    for device in ("a", "b"):
        store.write_intervals([interval_block(site, device, starts, amount=1.0)])
        store.write_intervals([interval_block(site, device, starts, "energy_kwh", amount=1.0)])
    period = Period.of_ms(G0 - QUARTER, G0 + QUARTER)
    found = store.read_intervals(
        site, period, family="energy", devices=["b"], metrics=["energy_kwh"]
    )
    assert [block.key.device + block.key.metric for block in found] == ["benergy_kwh"]
    assert found[0].start_ms.tolist() == [G0 - QUARTER, G0]
    assert len(store.read_intervals(site, period)) == 4
    assert store.read_intervals(site, period, family="water") == []
    assert store.read_intervals(site, period, devices=[]) == []
    assert store.read_intervals(site, period, metrics=[]) == []
    assert store.read_intervals(site, period, devices=["zz"]) == []


def test_an_interval_is_replaced_whole(store: TimeSeriesStore, site: str) -> None:
    full = dict.fromkeys(FLOAT_COLUMNS, 5.0) | {"count": 9}
    before = interval_block(site, "a", [G0, G0 + QUARTER], **full)
    store.write_intervals([before])
    after = interval_block(site, "a", [G0], low=NAN, high=NAN, mean=NAN, amount=NAN, count=0)
    store.write_intervals([after])
    (found,) = store.read_intervals(site, Period.of_ms(G0, G0 + QUARTER))
    assert_same_intervals(found, after)
    (second,) = store.read_intervals(site, Period.of_ms(G0 + QUARTER, G0 + 2 * QUARTER))
    assert second.estimated_s.tolist() == [5.0]
    store.write_intervals([before])
    (found,) = store.read_intervals(site, ALL_TIME)
    assert_same_intervals(found, before)


def test_intervals_off_the_grid_are_refused(store: TimeSeriesStore, site: str) -> None:
    for block in (
        interval_block(site, "a", [G0 + 1]),
        interval_block(site, "a", [G0 + QUARTER, G0]),
        interval_block(site, "a", [G0, G0]),
        interval_block(site, "a", [G0], amount=float("inf")),
    ):
        with pytest.raises(StoreRejectedError, match="a/power_kw"):
            store.write_intervals([block])
    assert store.read_intervals(site, ALL_TIME) == []


# ---------------------------------------------------------------- results


def result(site: str, **fields: object) -> ResultRow:
    given: dict[str, object] = {
        "kind": "kpi",
        "name": "pue",
        "subject": "site",
        "resolution": "hour",
        "start_ms": G0,
        "value": 1.25,
        "document": b'{"a":1}',
    }
    return ResultRow(site, **{**given, **fields})  # type: ignore[arg-type]


def test_results_come_back_by_key(store: TimeSeriesStore, site: str) -> None:
    rows = [
        result(site, name="wue", start_ms=G0 + 1),
        result(site, start_ms=G0 + QUARTER),
        result(site, resolution="day", value=None),
        result(site),
        result(site, subject="hall-1"),
        result(site, kind="forecast"),
    ]
    store.write_results(rows)
    found = store.read_results(site, "kpi", ALL_TIME)
    assert found == sorted(
        rows[:5], key=lambda row: (row.name, row.subject, row.resolution, row.start_ms)
    )
    assert store.read_results(site, "forecast", ALL_TIME) == [rows[5]]
    assert store.read_results(site, "kpi", ALL_TIME, names=["wue"]) == [rows[0]]
    assert store.read_results(site, "kpi", ALL_TIME, names=[]) == []
    assert store.read_results(site, "kpi", ALL_TIME, resolution="day") == [rows[2]]
    assert store.read_results(site, "kpi", ALL_TIME, subject="hall-1") == [rows[4]]
    assert store.read_results(site, "kpi", Period.of_ms(G0 + 1, G0 + 2)) == [rows[0]]


def test_a_result_is_replaced_whole(store: TimeSeriesStore, site: str) -> None:
    for row in (
        result(site),
        result(site, value=None, document=b'{"reason":"coverage"}'),
        result(site, value=-0.5, document=b"{}"),
    ):
        store.write_results([row])
        assert store.read_results(site, "kpi", ALL_TIME) == [row]


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{}",
        b'{"a":"\\"\\\\"}',
        b"\\",
        b'"',
        b'\\"',
        b"line\nline\r\nline\r\\n",
        b"a\x00b\x01\t",
        "한글, 'quotes', = | 😀 \u2028".encode(),
        b'") |> drop()',
        json.dumps({"points": list(range(50_000))}).encode(),
    ],
    ids=range(11),
)
def test_documents_come_back_byte_by_byte(
    store: TimeSeriesStore, site: str, document: bytes
) -> None:
    rows = [
        result(site, document=document),
        result(site, document=document, start_ms=G0 + QUARTER, value=None),
    ]
    store.write_results(rows)
    assert store.read_results(site, "kpi", ALL_TIME) == rows


@pytest.mark.parametrize(
    "row",
    [
        {"value": NAN},
        {"value": float("inf")},
        {"name": ""},
        {"subject": "a\\"},
        {"document": b"\xff"},
        {"start_ms": -1},
    ],
)
def test_a_result_that_cannot_be_kept_is_refused(
    store: TimeSeriesStore, site: str, row: dict[str, object]
) -> None:
    with pytest.raises(StoreRejectedError):
        store.write_results([result(site), result(site, **row)])
    assert store.read_results(site, "kpi", ALL_TIME) == []


# ---------------------------------------------------------------- the whole


def test_check_names_the_store(store: TimeSeriesStore) -> None:
    assert "InfluxDB 2." in store.check() or "SQLite" in store.check()


def test_threads_write_and_read_at_once(store: TimeSeriesStore, site: str) -> None:
    failures: list[BaseException] = []

    def write(device: str) -> None:
        try:
            for step in range(20):
                rows = [good(device, T0 + step * 1000 + i, power_kw=float(i)) for i in range(10)]
                store.write_readings([block_of(site, rows)])
                series = store.read_samples(site, "energy", ALL_TIME, devices=[device])
                assert len(series[0]) == (step + 1) * 10
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(f"d{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(held(store, site)) == 4 * 200


values = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-1e4, 1e4).map(lambda value: round(value, 2)),
    st.integers(-5, 5).map(float),
)
reading_rows = st.tuples(
    st.sampled_from(["a", "b"]),
    st.integers(0, 40).map(lambda step: T0 + step * 400_000),
    st.dictionaries(st.sampled_from(["power_kw", "energy_kwh"]), values, max_size=2),
    st.sampled_from([Quality.GOOD, Quality.GOOD, *Quality]),
)
calls = st.lists(st.lists(st.lists(reading_rows, max_size=8), max_size=3), max_size=6)


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(calls=calls, start=st.integers(-1, 41), size=st.integers(1, 42))
def test_any_sequence_of_writes_is_a_dictionary(
    store: TimeSeriesStore,
    new_site: Callable[[], str],
    calls: list[list[list[Row]]],
    start: int,
    size: int,
) -> None:
    site = new_site()
    model: dict[tuple[str, str, int], tuple[float, Quality]] = {}
    for blocks in calls:
        store.write_readings([block_of(site, rows) for rows in blocks])
        for device, time_ms, metrics, quality in (row for rows in blocks for row in rows):
            for metric, value in metrics.items():
                model[device, metric, time_ms] = (value, quality)
    assert held(store, site) == model
    period = Period.of_ms(T0 + start * 400_000, T0 + (start + size) * 400_000)
    assert held(store, site, period=period) == {
        key: value for key, value in model.items() if period.start_ms <= key[2] < period.end_ms
    }
    newest = {
        (device, metric): max(t for d, m, t in model if (d, m) == (device, metric))
        for device, metric, _ in model
    }
    assert {
        (one.key.device, one.key.metric): (one.time_ms, one.value, one.quality)
        for one in store.read_latest(site)
    } == {key: (time, *model[(*key, time)]) for key, time in newest.items()}
    times = {time for _, _, time in model}
    instants = store.read_instants(site, "energy", "a", [*times, T0 - 1])
    assert instants == {
        time: {m: v for (d, m, t), (v, _) in model.items() if (d, t) == ("a", time)}
        for time in times
        if any((d, t) == ("a", time) for d, _, t in model)
    }
