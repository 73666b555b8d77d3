"""The site files that come with the product."""

from __future__ import annotations

from collections import Counter
from datetime import date

import pytest

from core.site_files import parse_site_files
from core.sites import Site, SiteRegistry
from tests.sims.conftest import OPERATING, PLANNED


def test_every_file_is_without_a_problem(
    site_files: dict[str, str], replay_registry: SiteRegistry
) -> None:
    registry, problems = parse_site_files(site_files)
    assert problems == []
    assert {site.id for site in registry} == {*OPERATING, *PLANNED}
    assert [site.id for site in replay_registry] == [
        "cornell-biohpc",
        "nrel-esif",
        "surf-lisa",
    ]


@pytest.mark.parametrize("site_id", [*OPERATING, *PLANNED])
def test_every_fact_names_its_source_and_a_past_date(registry: SiteRegistry, site_id: str) -> None:
    facts = registry.site(site_id).facts
    assert len(facts) >= 2
    for fact in facts:
        assert "." in fact.source, fact
        assert "/" in fact.source, fact
        assert date(2022, 1, 1) < fact.date < date(2026, 11, 26), fact
        assert fact.text.ko != fact.text.en, fact


# What was not found in public, or in secondary sources only, must not stand as a fact.
UNKNOWN = {
    "naver-gak-chuncheon": ("PUE", "MW", "kW", "1.09"),
    "nhn-gwangju": ("PUE", "MW", "NPU"),
    "kisti-daejeon": ("PUE", "MW", "GH200", "한강"),
    "national-ai-haenam": ("PUE", "MW", "2026-08"),
    "sk-aws-ulsan": ("PUE", "LNG"),
}


@pytest.mark.parametrize("site_id", UNKNOWN)
def test_nothing_unknown_is_a_fact(registry: SiteRegistry, site_id: str) -> None:
    for fact in registry.site(site_id).facts:
        for word in UNKNOWN[site_id]:
            assert word not in fact.text.ko, fact
            assert word not in fact.text.en, fact


def test_every_site_is_marked_as_simulated(
    registry: SiteRegistry, site_files: dict[str, str]
) -> None:
    for site in registry:
        assert site.is_simulated, site.id
    for name, text in site_files.items():
        comments = " ".join(line for line in text.splitlines() if line.startswith("#"))
        assert "facts are public and" in comments.replace("# ", ""), name


@pytest.mark.parametrize("site_id", OPERATING)
def test_serials_say_that_they_are_simulated(registry: SiteRegistry, site_id: str) -> None:
    devices = registry.site(site_id).devices.values()
    serials = [d.latest.meter for d in devices if d.latest.meter]
    assert len(serials) == len(set(serials)) > 10
    assert all(serial.startswith("SIM-") for serial in serials)


@pytest.mark.parametrize("site_id", PLANNED)
def test_a_planned_site_declares_nothing_that_could_be_measured(
    registry: SiteRegistry, site_id: str
) -> None:
    site = registry.site(site_id)
    assert site.status == "planned"
    assert not site.devices
    assert site.rain is None
    assert site.targets == ()
    assert site.contract_power_kw is None


def test_the_sites_differ_in_what_they_measure(registry: SiteRegistry) -> None:
    sites = {site_id: registry.site(site_id) for site_id in OPERATING}
    assert {site.pue_category for site in sites.values()} == {1, 2, 3}
    with_rain = {site_id for site_id, site in sites.items() if site.rain is not None}
    with_sun = {site_id for site_id, site in sites.items() if site.with_role("pv_array")}
    assert "kisti-daejeon" not in with_rain | with_sun
    assert "nhn-gwangju" in with_sun - with_rain
    assert "naver-gak-chuncheon" in with_rain & with_sun
    assert not sites["naver-gak-chuncheon"].in_family("accelerator")
    targets = [target.value for site in sites.values() for target in site.targets]
    assert len({t.value for s in sites.values() for t in s.targets if t.kpi == "pue"}) == 5
    assert all(0 < value < 2 for value in targets)
    limits = {s.contract_power_kw for s in sites.values() if s.contract_power_kw is not None}
    assert len(limits) == 4
    for site in sites.values():
        meters = {d.latest.pue_category for d in site.devices.values()}
        assert site.pue_category in meters, site.id


def test_gwangju_has_gpus_and_npus_together(registry: SiteRegistry) -> None:
    counts: Counter[str] = Counter()
    for device in registry.site("nhn-gwangju").with_role("accelerator"):
        counts[device.latest.kind] += device.latest.count or 1
    assert counts["gpu"] > 1000
    assert counts["npu"] > 0


def test_kisti_is_known_by_its_partitions(registry: SiteRegistry) -> None:
    site = registry.site("kisti-daejeon")
    assert not site.with_role("accelerator", "node")
    partitions = site.with_role("cluster_total")
    assert sum(d.latest.count or 0 for d in partitions) == 8496
    for device in partitions:
        assert {"power_w", "members_reporting", "members_expected"} <= device.metrics()


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
