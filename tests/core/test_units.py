"""Units: every conversion is exact where it can be, reversible, and stays inside its dimension."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.metrics import CATALOGUE
from core.units import UNITS, conversion, convert

PAIRS = [(a, b) for a in UNITS for b in UNITS if UNITS[a].dimension == UNITS[b].dimension]


@pytest.mark.parametrize(
    ("value", "source", "target", "expected"),
    [
        (1.0, "kWh", "MJ", 3.6),
        (3.6e9, "mJ", "kWh", 1.0),
        (812_400.0, "W", "kW", 812.4),
        (32.0, "degF", "degC", 0.0),
        (212.0, "degF", "degC", 100.0),
        (0.0, "K", "degC", -273.15),
        (1.0, "L/s", "m3/h", 3.6),
        (95.0, "%", "1", 0.95),
        (1024.0, "MiB", "GiB", 1.0),
        (36.0, "km/h", "m/s", 10.0),
        (2.5, "cm", "mm", 25.0),
    ],
)
def test_known_conversions(value: float, source: str, target: str, expected: float) -> None:
    assert convert(value, source, target) == pytest.approx(expected, rel=1e-12, abs=1e-12)


@given(st.sampled_from(PAIRS), st.floats(-1e9, 1e9))
def test_there_and_back_is_the_same_value(pair: tuple[str, str], value: float) -> None:
    there = convert(value, *pair)
    scale = max(abs(value), abs(conversion(pair[1], pair[0])[1]), 1.0)
    assert math.isclose(convert(there, pair[1], pair[0]), value, rel_tol=1e-9, abs_tol=1e-9 * scale)


def test_the_table_is_not_empty_and_every_metric_has_a_unit_of_it() -> None:
    assert len(PAIRS) > 100
    assert len(CATALOGUE) > 30
    assert {metric.unit for metric in CATALOGUE.values()} <= set(UNITS)


def test_two_dimensions_do_not_mix() -> None:
    with pytest.raises(ValueError, match="power"):
        conversion("kW", "kWh")


def test_an_unknown_spelling_is_refused_not_guessed() -> None:
    with pytest.raises(KeyError):
        conversion("kw", "kW")
