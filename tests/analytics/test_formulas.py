"""Known answers of the field."""

from __future__ import annotations

import pytest

from analytics import formulas
from core.errors import InsufficientDataError


def test_the_mean_of_ratios_is_not_the_ratio_of_sums() -> None:
    assert formulas.pue(130 + 240, 100 + 200) == pytest.approx(1.2333, abs=5e-5)


def test_the_worked_example_of_the_european_rules() -> None:
    facility, it = 10_000_000.0, 8_000_000.0
    assert formulas.pue(facility, it) == 1.25
    assert formulas.wue(12_000.0, it) == 1.5
    assert formulas.erf(1_500_000.0, facility) == 0.15
    assert formulas.ref(6_000_000.0, facility) == 0.60
    assert formulas.ere(facility, 1_500_000.0, it) == pytest.approx((1 - 0.15) * 1.25)


def test_a_published_facility() -> None:
    # NREL ESIF 2016-09 to 2017-08: PUE 1.034, WUE 0.70 of 5,443 m3.
    assert formulas.pue(8_037_500, 7_776_000) == pytest.approx(1.034, abs=5e-4)
    assert formulas.wue(5_443, 7_776_000) == pytest.approx(0.70, abs=5e-3)


def test_emissions_of_the_ministrys_example() -> None:
    # 400 MWh at 0.4 t/MWh are 160 t; with grid power only CUE = factor x PUE.
    assert 400_000 * 0.4 == 160_000
    assert formulas.cue(0.4173 * 1250.0, 1000.0) == pytest.approx(0.4173 * 1.25)


def test_rain_that_was_topped_up_is_not_rain() -> None:
    assert formulas.rain_reused(40.0, 15.0) == 25.0
    assert (
        formulas.rain_unexplained(
            collected_m3=100, top_up_m3=10, used_m3=60, overflow_m3=20, drained_m3=5, stored_m3=22
        )
        == 3
    )
    # 6,000 m2 x 1.3 m x 0.85 x 0.9 = 5,967 m3 a year.
    assert formulas.collection_efficiency(5_967, 1300, 6000) == pytest.approx(0.85 * 0.9)


def test_solar() -> None:
    assert formulas.specific_yield(1200.0, 300.0) == 4.0
    assert formulas.performance_ratio(1200.0, 300.0, 5.0) == pytest.approx(0.8)


@pytest.mark.parametrize("it", [0.0, -1.0])
def test_nothing_is_divided_by_nothing(it: float) -> None:
    with pytest.raises(InsufficientDataError, match="IT energy"):
        formulas.pue(100.0, it)
    with pytest.raises(InsufficientDataError, match="IT energy"):
        formulas.wue(1.0, it)


def test_pue_below_one_is_impossible() -> None:
    with pytest.raises(InsufficientDataError, match="exceeds facility energy"):
        formulas.pue(99.0, 100.0)
    assert formulas.pue(100.0, 100.0) == 1.0


def test_ref_is_at_most_one() -> None:
    assert formulas.ref(12.0, 10.0) == 1.0
