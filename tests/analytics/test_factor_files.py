"""The file of dated factors: every problem of it, in one list."""

from __future__ import annotations

import pytest

from analytics.factors import parse_factors
from core.errors import ConfigurationError

ROW = """
[[factors]]
name = "grid_location"
basis = "location"
value = 0.4173
unit = "tCO2eq/MWh"
statistics = "2023"
published = 2025-12-18
source = "ministry"
valid_from = 2025-12-18
zones = ["Asia/Seoul"]
"""


def test_a_file_without_factors_has_none() -> None:
    assert parse_factors("schema = 1\n", "f") == {}


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('name = "grid_location"', 'name = "grid"', "unknown factor 'grid'"),
        ('unit = "tCO2eq/MWh"', 'unit = "tC/MWh"', "is no unit of grid_location"),
        ('basis = "location"', 'basis = "market"', "is of basis location"),
        ("value = 0.4173", "value = -1", "greater than or equal to 0"),
        ("value = 0.4173", "value = nan", "finite"),
        ('source = "ministry"', 'source = " "', "at least 1 character"),
        ('source = "ministry"', "", "Field required"),
        ("published = 2025-12-18", 'published = "soon"', "published"),
        ('zones = ["Asia/Seoul"]', "", "whose sites"),
        ('zones = ["Asia/Seoul"]', 'zones = ["Asia/Sole"]', "unknown time zone"),
        ('statistics = "2023"', 'statistics = "2023"\nyear = 2023', "not permitted"),
        ("valid_from = 2025-12-18", "valid_from = 2025-12-18\nvalid_to = 2025-12-18", "not after"),
        ("[[factors]]", "[[factors]", "not TOML"),
    ],
)
def test_a_problem_is_named(old: str, new: str, named: str) -> None:
    assert old in ROW
    with pytest.raises(ConfigurationError, match=named):
        parse_factors("schema = 1\n" + ROW.replace(old, new), "factors.toml")


def test_two_factors_at_once_are_a_problem_and_of_two_grids_are_none() -> None:
    twice = ROW.replace("2025-12-18", "2026-03-01", 1).replace(
        "valid_from = 2025", "valid_from = 2026"
    )
    with pytest.raises(ConfigurationError, match="both in force on 2026-12-18"):
        parse_factors("schema = 1\n" + ROW + twice, "f")
    other = twice.replace("Asia/Seoul", "Asia/Tokyo")
    assert len(parse_factors("schema = 1\n" + ROW + other, "f")["grid_location"]) == 2
    ended = ROW.replace("zones", "valid_to = 2026-12-18\nzones")
    found = parse_factors("schema = 1\n" + twice + ended, "f")["grid_location"]
    assert [factor.valid_from.year for factor in found] == [2025, 2026]


def test_all_problems_come_in_one_list() -> None:
    bad = ROW.replace("grid_location", "grid").replace("Asia/Seoul", "Mars/Base")
    with pytest.raises(ConfigurationError) as caught:
        parse_factors("schema = 1\n" + bad + bad.replace("grid", "generator_fuel"), "f.toml")
    keys = [problem.key for problem in caught.value.problems]
    assert len(keys) == 5
    assert keys[0] == "factors.0.name (grid)"
