"""Site files: what is declared is what is meant, and every problem is named at once."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.errors import ConfigurationError, NotFoundError
from core.site_files import build_registry, parse_site_files

HEAD = """
schema = 1
id = "test-dc"
name = { ko = "시험 센터", en = "Test centre" }
operator = "Nobody"
status = "operating"
data = "simulated"
zone = "Asia/Seoul"
location = { latitude = 37.3, longitude = 126.8 }
pue_category = 2
"""
GRID = """
[[devices]]
id = "grid-a"
family = "energy"
role = "grid_feed"
metrics = ["active_power_kw", "active_energy_kwh"]
cadence_s = 10
valid_from = 2026-01-01
meter = "SN-1"
"""
GPUS = """
[[device_groups]]
id = "gpu-{0001..0016}"
family = "accelerator"
role = "accelerator"
kind = "gpu"
metrics = ["power_w"]
cadence_s = 30
valid_from = 2026-01-01
"""


def test_a_site_with_a_group_and_two_states_of_one_device() -> None:
    later = GRID.replace("2026-01-01", "2026-07-01T12:00:00+09:00").replace("SN-1", "SN-2")
    site = build_registry({"a.toml": HEAD + GRID + later + GPUS}).site("test-dc")
    assert len(site.devices) == 17
    assert site.device("gpu-0016").group == "gpu-{0001..0016}"
    grid = site.device("grid-a")
    change = datetime(2026, 7, 1, 3, tzinfo=UTC)
    assert [state.meter for state in grid.states] == ["SN-1", "SN-2"]
    assert grid.states[1].valid_from == change
    assert grid.state_at(datetime(2026, 6, 30, tzinfo=UTC)).meter == "SN-1"
    assert grid.state_at(change).meter == "SN-2"
    assert grid.state_at(datetime(2025, 1, 1, tzinfo=UTC)) is None
    # A date begins at the site's own midnight.
    assert grid.states[0].valid_from == datetime(2025, 12, 31, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("change", "key", "words"),
    [
        (("cadence_s = 10", "cadense_s = 10"), "cadense_s", "not permitted"),
        (('role = "grid_feed"', 'role = "grid_fed"'), "role", "unknown role"),
        (('role = "grid_feed"', 'role = "pv_array"'), "role", "is a role of solar"),
        (('"active_power_kw"', '"active_power_w"'), "metrics", "unknown metric"),
        (('zone = "Asia/Seoul"', 'zone = "Asia/Soul"'), "zone", "unknown time zone"),
        (('id = "grid-a"', 'id = "Grid A"'), "id", "is no id"),
        (
            ("valid_from = 2026-01-01", "valid_from = 2026-01-01T00:00:00"),
            "valid_from",
            "no offset",
        ),
        (("pue_category = 2", "pue_category = 4"), "pue_category", "1, 2 or 3"),
        (("schema = 1", "schema = 2"), "schema", "1"),
        (("cadence_s = 10", "cadence_s = 0"), "cadence_s", "greater than 0"),
        (('ko = "시험 센터", ', ""), "name.ko", "required"),
        (("gpu-{0001..0016}", "gpu-{16..1}"), "device_groups", "no device group"),
        (('kind = "gpu"', ""), "kind", "needs its kind"),
        (('meter = "SN-1"', 'parent = "ups-9"'), "parent", "no device"),
    ],
)
def test_each_mistake_is_named_with_its_place(
    change: tuple[str, str], key: str, words: str
) -> None:
    text = HEAD + GRID + GPUS
    assert change[0] in text
    registry, problems = parse_site_files({"a.toml": text.replace(*change)})
    assert len(registry) == 0
    assert any(key in p.key and words in p.problem and p.hint for p in problems), problems


def test_every_problem_of_every_file_comes_at_once() -> None:
    files = {
        "bad-syntax.toml": "schema = ",
        "two-faults.toml": HEAD.replace('"simulated"', '"guessed"').replace("schema = 1", ""),
        "good.toml": HEAD + GRID,
        "twin.toml": HEAD + GRID,
    }
    with pytest.raises(ConfigurationError) as caught:
        build_registry(files)
    named = [problem.file for problem in caught.value.problems]
    assert named == ["bad-syntax.toml", "two-faults.toml", "two-faults.toml", "twin.toml"]


def test_what_is_asked_for_and_not_there_names_what_is() -> None:
    registry = build_registry({"a.toml": HEAD + GRID})
    with pytest.raises(NotFoundError, match="known: test-dc"):
        registry.site("nowhere")
    with pytest.raises(NotFoundError, match="no device 'grid-b'"):
        registry.site("test-dc").device("grid-b")


def test_a_tank_needs_a_rising_table() -> None:
    rain = "[rain]\ncatchment_m2 = 6000\nrunoff = 0.85\ntank_table = [[0.0, 0.0], [3.0, 300.0]]\n"
    tank = build_registry({"a.toml": HEAD + rain}).site("test-dc").rain
    assert tank is not None
    assert tank.tank_volume_m3 == 300.0
    assert tank.volume_m3(1.5) == 150.0
    assert tank.volume_m3(9.0) == 300.0
    _, problems = parse_site_files({"a.toml": HEAD + rain.replace("[3.0, 300.0]", "[0.0, 300.0]")})
    assert [p.key for p in problems] == ["rain.tank_table"]


def test_the_sites_that_come_with_it_have_no_problem_and_name_their_sources() -> None:
    folder = Path(__file__).parents[2] / "config"
    paths = sorted(folder.glob("*sites/*.toml"))
    assert len(paths) >= 3
    registry = build_registry({str(path): path.read_text(encoding="utf-8") for path in paths})
    for site in registry:
        assert site.facts, f"{site.id} names no public fact"
        assert all(fact.source and fact.date for fact in site.facts)
