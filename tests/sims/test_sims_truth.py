"""Exact figures: what the file holds, and that it agrees with what the meters count."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from core.periods import Period, format_time, local_day, parse_rfc3339, to_ms
from sims.readings import ReadingSource
from sims.truth import TruthFile, exact_rows
from sims.world import SimulatedSite

DAY = date(2026, 1, 14)  # a second Wednesday: no generator test; the Tuesday before has one


@pytest.fixture(scope="module")
def day(world: SimulatedSite) -> dict[str, list[dict]]:
    period = local_day(DAY, world.site.zone)
    return {r: list(exact_rows(world, period, r)) for r in ("15m", "hour", "day")}  # type: ignore[arg-type]


def test_a_day_has_its_intervals_hours_and_itself(day: dict[str, list[dict]]) -> None:
    assert [len(rows) for rows in day.values()] == [96, 24, 1]
    assert day["day"][0]["start"] == "2026-01-13T15:00:00.000Z"
    assert day["day"][0]["end"] == "2026-01-14T15:00:00.000Z"


@pytest.mark.parametrize("finer", ["15m", "hour"])
def test_finer_rows_sum_to_the_day(day: dict[str, list[dict]], finer: str) -> None:
    whole = day["day"][0]
    for name in ("facility_energy_kwh", "water_total_m3", "rain_reused_m3"):
        total = sum(row["kpis"][name] for row in day[finer])
        assert total == pytest.approx(whole["kpis"][name], rel=1e-9, abs=1e-9)
    for device, increases in whole["devices"].items():
        for metric, value in increases.items():
            total = sum(row["devices"][device][metric] for row in day[finer])
            assert total == pytest.approx(value, rel=1e-7, abs=1e-6), (device, metric)


def test_kpis_follow_their_definitions(world: SimulatedSite, day: dict[str, list[dict]]) -> None:
    row = day["day"][0]
    kpis, devices = row["kpis"], row["devices"]

    def energy(*roles: str, metric: str = "active_energy_kwh") -> float:
        return sum(devices[d.id][metric] for d in world.site.with_role(*roles))

    pv = energy("pv_array", metric="ac_energy_kwh")
    facility = energy("grid_feed", "generator") + pv
    assert kpis["facility_energy_kwh"] == pytest.approx(facility, rel=1e-9)
    role = {1: "ups_output", 2: "pdu_output", 3: "it_input"}[world.site.pue_category]
    category = str(world.site.pue_category)
    assert kpis["it_energy_kwh"][category] == pytest.approx(energy(role), rel=1e-9)
    assert kpis["pue"][category] == pytest.approx(facility / energy(role), rel=1e-9)
    volume = "volume_m3"
    reused = energy("rain_used", metric=volume) - energy("tank_top_up", metric=volume)
    mains = energy("mains_supply", metric=volume)
    water = mains + energy("reclaimed_supply", "groundwater_supply", metric=volume) + reused
    assert kpis["rain_reused_m3"] == pytest.approx(reused, abs=1e-6)
    assert kpis["wue"] == pytest.approx(1000 * water / energy(role), rel=1e-6)
    assert kpis["wue_potable"] == pytest.approx(1000 * mains / energy(role), rel=1e-6)
    assert kpis["rain_reuse_ratio"] == pytest.approx(reused / water, rel=1e-5)
    retained = sum(
        devices[d.id]["ac_energy_kwh"]
        for d in world.site.with_role("pv_array")
        if d.latest.certificates == "retained"
    )
    assert kpis["ref"] == pytest.approx(retained / facility, rel=1e-9)
    kinds = kpis["accelerator_energy_kwh"]
    levels = [world.site.with_role(r) for r in ("accelerator", "node", "cluster_total")]
    level = next((devices for devices in levels if devices), [])
    assert sum(kinds.values()) == pytest.approx(
        sum(devices[d.id]["energy_kwh"] for d in level), rel=1e-9
    )
    assert set(kinds) == {d.latest.kind for d in level}


def test_what_is_sent_adds_up_to_the_exact_figures(world: SimulatedSite) -> None:
    period = Period(datetime(2026, 1, 14, 3, tzinfo=UTC), datetime(2026, 1, 14, 4, tzinfo=UTC))
    (row,) = exact_rows(world, period, "hour")
    source = ReadingSource(world, 10.0)
    counted, integrated = {}, {}
    for table in source.read(period.start_ms, period.end_ms):
        values = table.values.reshape(len(table.devices), -1, len(table.metrics))
        for number, device in enumerate(table.devices):
            for column, metric in enumerate(table.metrics):
                series = values[number, :, column]
                counted[device, metric] = series[-1] - series[0]
                integrated[device, metric] = np.trapezoid(series, dx=10 / 3600)
    for device, increases in row["devices"].items():
        for metric, exact in increases.items():
            if (device, metric) in counted and metric != "rain_mm":
                assert counted[device, metric] == pytest.approx(exact, abs=2e-4)
            elif metric == "energy_kwh" and (device, "power_w") in integrated:
                # No counter: the integral of the power stands in.
                assert integrated[device, "power_w"] / 1000 == pytest.approx(exact, rel=1e-4)


def test_the_file_grows_by_what_is_complete(
    world_of: Callable[[str], SimulatedSite], tmp_path: Path
) -> None:
    world = world_of("naver-gak-sejong")
    path = tmp_path / "truth.jsonl"
    begin = datetime(2026, 1, 5, 0, 5, tzinfo=UTC)
    with TruthFile(path, [world], {world.site.id: to_ms(begin)}) as truth:
        truth.advance(to_ms(begin + timedelta(minutes=9)))
        assert path.read_text() == ""
        truth.advance(to_ms(begin + timedelta(minutes=30)))
        truth.advance(to_ms(begin + timedelta(minutes=30)))
        truth.advance(to_ms(begin + timedelta(minutes=130)))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    spans = [(row["resolution"], row["start"][11:16], row["end"][11:16]) for row in rows]
    quarters = [s for s in spans if s[0] == "15m"]
    # From 00:05 to 02:15: full quarters from 00:15, the full hour from 01:00, no day.
    assert [start for _, start, _ in quarters] == [
        *("00:15", "00:30", "00:45", "01:00", "01:15", "01:30", "01:45", "02:00"),
    ]
    assert [s for s in spans if s[0] == "hour"] == [("hour", "01:00", "02:00")]
    assert all(parse_rfc3339(row["end"]) > parse_rfc3339(row["start"]) for row in rows)
    assert format_time(begin)[:10] == rows[0]["start"][:10]
