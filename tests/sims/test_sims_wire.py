"""What the simulated sites put on the wire, read by a checker that shares no code with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from core.periods import to_ms
from sims.readings import ReadingSource
from sims.tables import ReadingTable
from sims.wire import MAX_PAYLOAD_BYTES, join_tables, pack_columns, pack_tick, render_rows
from sims.world import SimulatedSite
from tests.sims.wire_checker import check_message

FIRST_MS = to_ms(datetime(2026, 1, 5, tzinfo=UTC))


def test_one_instant_is_one_message_a_family(world: SimulatedSite) -> None:
    source = ReadingSource(world)
    messages = list(pack_tick(world.site.id, source.read(FIRST_MS, FIRST_MS)))
    found = [
        reading
        for message in messages
        for reading in check_message(message.topic, message.payload, world.site)
    ]
    assert sorted(m.topic.rpartition("/")[2] for m in messages) == sorted(
        {device.family for device in world.site.devices.values()}
    )
    assert {time_ms for _, time_ms, _ in found} == {FIRST_MS}
    assert Counter(device for device, _, _ in found) == dict.fromkeys(world.site.devices, 1)
    for device, _, values in found:
        assert set(values) == world.site.device(device).metrics(), device
    assert sum(message.readings for message in messages) == len(found)
    forms = {message.payload[:9] for message in messages}
    assert forms == {b'{"columns', b'{"reading'}, "both forms are in use"


def test_a_day_of_history_is_whole_and_within_the_limits(world: SimulatedSite) -> None:
    source = ReadingSource(world, 300.0)
    last_ms = FIRST_MS + 86_400_000
    found: Counter[str] = Counter()
    sizes = []
    for table in source.read(FIRST_MS, last_ms):
        for message in pack_columns(world.site.id, table):
            readings = check_message(message.topic, message.payload, world.site)
            assert message.readings == len(readings)
            found.update(device for device, _, _ in readings)
            sizes.append(len(message.payload))
    assert found == dict.fromkeys(world.site.devices, 289)
    assert source.count(FIRST_MS, last_ms) == found.total()
    assert max(sizes) <= MAX_PAYLOAD_BYTES
    # Few and large: the limits are used wherever there is enough to send.
    if sum(sizes) / len(source.cadences_ms) > 10 * MAX_PAYLOAD_BYTES:
        assert max(sizes) > 0.9 * MAX_PAYLOAD_BYTES


def test_readings_of_a_device_come_in_time_order(world: SimulatedSite) -> None:
    for table in ReadingSource(world, 300.0).read(FIRST_MS, FIRST_MS + 7_200_000):
        for number in range(len(table.devices)):
            times = table.time_ms[table.device_index == number]
            assert (np.diff(times) > 0).all()


def table_of(values: list[list[float]], metrics: tuple[str, ...], device: str) -> ReadingTable:
    count = len(values)
    return ReadingTable(
        "energy",
        (device,),
        np.zeros(count, dtype=np.intp),
        np.arange(count, dtype=np.int64) + FIRST_MS,
        metrics,
        np.array(values, dtype=np.float64).reshape(count, len(metrics)),
    )


def test_joined_tables_keep_every_value_apart() -> None:
    one = table_of([[1.0, 2.0]], ("active_power_kw", "active_energy_kwh"), "grid-a")
    two = table_of([[0.97]], ("power_factor",), "grid-b")
    joined = join_tables([one, two])
    assert joined.devices == ("grid-a", "grid-b")
    assert joined.device_index.tolist() == [0, 1]
    expected = [[1.0, 2.0, np.nan], [np.nan, np.nan, 0.97]]
    np.testing.assert_array_equal(joined.values, expected)


def test_a_missing_value_is_null_in_columns_and_absent_in_rows(
    world_of: Callable[[str], SimulatedSite],
) -> None:
    site = world_of("kakao-ansan").site
    table = table_of(
        [[1.0, np.nan], [np.nan, 2.0]], ("active_power_kw", "active_energy_kwh"), "grid-a"
    )
    (message,) = pack_columns("kakao-ansan", table)
    assert b"null" in message.payload
    assert check_message(message.topic, message.payload, site)[1][2] == {"active_energy_kwh": 2.0}
    rows = render_rows([table])
    assert b"null" not in rows
    assert b"NaN" not in rows


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(1, 12_000),
    digits=st.integers(0, 12),
    device=st.sampled_from(["a", "a" * 64]),
)
def test_any_table_is_packed_whole_within_the_limits(count: int, digits: int, device: str) -> None:
    values = np.round(np.random.default_rng(count).uniform(0, 1e6, (count, 3)), digits)
    metrics = ("active_power_kw", "active_energy_kwh", "power_factor")
    packed = list(pack_columns("site", table_of(values.tolist(), metrics, device)))
    assert all(len(m.payload) <= MAX_PAYLOAD_BYTES and m.readings <= 5000 for m in packed)
    assert sum(message.readings for message in packed) == count


def test_the_wire_is_built_without_the_ingester(repository: Path) -> None:
    for path in (repository / "sims").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        for room in ("ingest", "storage", "analytics", "greendc"):
            assert f"import {room}" not in text, path
            assert f"from {room}" not in text, path
