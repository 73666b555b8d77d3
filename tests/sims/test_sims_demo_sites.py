"""Site files of the demo: history at one cadence, live readings at another."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from core.site_files import build_registry
from core.sites import SiteRegistry
from sims.demo_sites import history_days, render_demo_site
from sims.readings import ReadingSource
from sims.world import SimulatedSite

START = datetime(2026, 2, 20, 9, 5, tzinfo=UTC)


def render(text: str, start: datetime = START) -> str:
    return render_demo_site(text, history_cadence_s=300.0, demo_start=start, live_cadence_s=10.0)


@pytest.fixture(scope="module")
def demo(site_files: dict[str, str]) -> SiteRegistry:
    return build_registry({name: render(text) for name, text in site_files.items()})


def test_every_device_has_both_cadences(demo: SiteRegistry, registry: SiteRegistry) -> None:
    for site in demo:
        assert site.devices.keys() == registry.site(site.id).devices.keys()
        for device in site.devices.values():
            for moment, cadence in (
                (START - timedelta(days=60), 300.0),
                (START - timedelta(seconds=1), 300.0),
                (START, 10.0),
                (START + timedelta(days=9), 10.0),
            ):
                state = device.state_at(moment)
                assert state is not None, device.id
                assert state.cadence_s == cadence, device.id


def test_history_fits_before_the_devices_own_first_day(demo: SiteRegistry) -> None:
    # The site files begin on 2026-01-01, sixty days before the demo is earlier.
    device = demo.site("kakao-ansan").device("grid-a")
    assert device.states[0].valid_from < datetime(2025, 12, 31, tzinfo=UTC)


def test_the_late_window_takes_all_of_the_history(demo: SiteRegistry) -> None:
    assert {s.late_window_days for s in demo if s.status == "operating"} == {65}
    assert {s.late_window_days for s in demo if s.status == "planned"} == {35}


SEOUL = ZoneInfo("Asia/Seoul")


@pytest.mark.parametrize("day", ["2026-01-01", "2026-03-31", "2026-05-01", "2026-11-26"])
def test_the_whole_month_before_the_start_is_in_the_history(day: str) -> None:
    start = datetime.fromisoformat(f"{day}T09:05:00+09:00")
    begin = start - timedelta(days=history_days(start, [SEOUL]))
    last_day = start.date().replace(day=1) - timedelta(days=1)
    first = datetime(last_day.year, last_day.month, 1, tzinfo=SEOUL)
    assert begin < first
    assert start - begin >= timedelta(days=60)
    assert start - begin < timedelta(days=63)


def test_the_earliest_calendar_counts() -> None:
    # In Seoul it is June already: there the month before is May, in Honolulu it is April.
    start = datetime(2026, 5, 31, 20, tzinfo=UTC)
    honolulu = ZoneInfo("Pacific/Honolulu")
    begin = start - timedelta(days=history_days(start, [SEOUL, honolulu]))
    assert begin < datetime(2026, 4, 1, tzinfo=honolulu)


def test_accelerators_may_have_a_history_of_their_own_cadence(site_files: dict[str, str]) -> None:
    text = next(text for name, text in site_files.items() if "gwangju" in name)
    rendered = render_demo_site(
        text,
        history_cadence_s=300.0,
        demo_start=START,
        live_cadence_s=10.0,
        accelerator_cadence_s=900.0,
    )
    site = build_registry({"s.toml": rendered}).site("nhn-gwangju")
    for device in site.devices.values():
        expected = 900.0 if device.family == "accelerator" else 300.0
        assert [state.cadence_s for state in device.states] == [expected, 10.0], device.id


def test_nothing_else_changes(demo: SiteRegistry, registry: SiteRegistry) -> None:
    for site in demo:
        original = registry.site(site.id)
        assert site.facts == original.facts
        assert site.rain == original.rain
        assert site.targets == original.targets
        for device in site.devices.values():
            before, now = original.device(device.id).latest, device.latest
            assert (before.meter, before.role, before.metrics) == (now.meter, now.role, now.metrics)
            assert device.group == original.device(device.id).group


def test_counters_go_on_across_the_demos_start(demo: SiteRegistry) -> None:
    world = SimulatedSite(demo.site("naver-gak-sejong"), 1)
    source = ReadingSource(world)
    end = round(START.timestamp() * 1000)
    before = source.value_at("grid-a", "active_energy_kwh", end - 1)
    after = source.value_at("grid-a", "active_energy_kwh", end)
    assert 0 <= after - before < 0.1


def test_a_planned_or_measured_site_stays_as_it_is(site_files: dict[str, str]) -> None:
    for text in site_files.values():
        planned = text.replace('status = "operating"', 'status = "planned"')
        measured = text.replace('data = "simulated"', 'data = "measured"')
        assert render(planned) == planned
        assert render(measured) == measured


def test_states_of_the_site_file_are_kept() -> None:
    text = """
schema = 1
id = "s"
name = { ko = "에스", en = "S" }
operator = "o"
status = "operating"
data = "simulated"
zone = "Asia/Seoul"
location = { latitude = 37, longitude = 127 }
late_window_days = 0
pue_category = 1
"""
    for meter, begin in (("A", "2026-01-01"), ("B", "2026-02-01"), ("C", "2026-03-01")):
        text += f"""
[[devices]]
id = "grid"
family = "energy"
role = "grid_feed"
metrics = ["active_power_kw"]
cadence_s = 60
valid_from = {begin}
meter = "{meter}"
"""
    rendered = tomllib.loads(render(text))
    found = [(d["meter"], d["cadence_s"]) for d in rendered["devices"]]
    assert found == [("A", 300.0), ("B", 300.0), ("B", 10.0), ("C", 10.0)]
    assert rendered["late_window_days"] == 0
    site = build_registry({"s.toml": render(text)}).site("s")
    assert [state.meter for state in site.device("grid").states] == ["A", "B", "B", "C"]
