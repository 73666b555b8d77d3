"""The site files that come with the product."""

from __future__ import annotations

from collections import Counter
from datetime import date

import pytest

from core.site_files import parse_site_files
from core.sites import Site, SiteRegistry


def test_every_file_is_without_a_problem(
    site_files: dict[str, str], replay_registry: SiteRegistry
) -> None:
    registry, problems = parse_site_files(site_files)
    assert problems == []
    assert {site.id for site in registry} == {"kakao-ansan", "naver-gak-sejong"}
    assert [site.id for site in replay_registry] == ["surf-lisa"]


@pytest.mark.parametrize("site_id", ["kakao-ansan", "naver-gak-sejong"])
def test_every_fact_names_its_source_and_a_past_date(registry: SiteRegistry, site_id: str) -> None:
    facts = registry.site(site_id).facts
    assert len(facts) >= 3
    for fact in facts:
        assert "." in fact.source, fact
        assert "/" in fact.source, fact
        assert date(2022, 1, 1) < fact.date < date(2026, 1, 1), fact


def roles(site: Site) -> Counter[str]:
    return Counter(device.latest.role for device in site.devices.values())


def test_ansan_has_what_the_lead_example_needs(registry: SiteRegistry) -> None:
    site = registry.site("kakao-ansan")
    found = roles(site)
    assert found["grid_feed"] == 2
    assert found["pv_array"] == 3
    assert found["accelerator"] == 80
    for role in (
        *("generator", "ups_input", "ups_output", "pdu_output", "chiller", "pump", "tower_fan"),
        *("air_handling", "lighting", "distribution", "mains_supply", "reclaimed_supply"),
        *("rain_collected", "rain_used", "rain_overflow", "rain_drain", "tank_top_up"),
        *("rain_tank", "cooling_tower_make_up", "blowdown", "station"),
    ):
        assert found[role] >= 1, role
    assert site.is_simulated
    assert site.pue_category == 2
    assert site.contract_power_kw == 40_000
    surfaces = {(d.latest.surface, d.latest.tilt_deg) for d in site.with_role("pv_array")}
    assert surfaces == {("roof", 15.0), ("facade", 90.0)}


def test_gpus_count_energy_and_npus_do_not(registry: SiteRegistry) -> None:
    devices = registry.site("kakao-ansan").with_role("accelerator")
    counted = Counter((d.latest.kind, "energy_kwh" in d.metrics()) for d in devices)
    assert counted == {("gpu", True): 64, ("npu", False): 16}


def test_sejong_differs_where_the_real_one_does(registry: SiteRegistry) -> None:
    site = registry.site("naver-gak-sejong")
    found = roles(site)
    assert site.pue_category == 1
    assert found["pdu_output"] == 0
    assert found["tower_fan"] == 0
    assert found["heat_reuse"] == 1
    assert found["cluster_total"] == 1
    assert found["node"] == 24


def test_energy_and_water_meters_say_how_accurate_they_are(registry: SiteRegistry) -> None:
    for site in registry:
        for device in site.devices.values():
            if device.family in ("energy", "water", "solar"):
                assert device.latest.accuracy_class is not None, device.id


def test_it_meters_lie_below_each_other(registry: SiteRegistry) -> None:
    site = registry.site("kakao-ansan")
    for device in site.with_role("pdu_output"):
        assert site.device(device.latest.parent).latest.role == "ups_output"
    for device in site.with_role("ups_output"):
        assert site.device(device.latest.parent).latest.role == "ups_input"


def test_the_replay_site_is_measured_and_takes_any_age(replay_registry: SiteRegistry) -> None:
    site = replay_registry.site("surf-lisa")
    assert not site.is_simulated
    assert site.late_window_days == 0
    assert site.device("lisa-cpu-nodes").latest.cadence_s == 30
