"""What PUE is made of: parts that add up, refused ones in words, the magnified slice."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.systems import SystemEnergies, SystemTotals
from core.periods import INTERVAL_MS, Period, to_ms
from core.quality import Verdict
from dashboard.anatomy import anatomy_view, rounded_parts
from dashboard.system_rows import SPARK_HEIGHT, SPARK_WIDTH, spark_paths, system_rows
from dashboard.words import load_words
from tests.dashboard.fakes import fake_systems, real_registry

SITE = real_registry().site("kakao-ansan")
START = datetime(2026, 11, 19, 15, 0, tzinfo=UTC)
PERIOD = Period(START, datetime(2026, 11, 20, 5, 30, tzinfo=UTC))
WORDS = load_words()["en"]


def systems(**changed: np.ndarray) -> SystemEnergies:
    made = fake_systems(None, None, SITE, PERIOD, START)
    energy = {**made.energy, **changed}
    return SystemEnergies(
        SITE, made.start_ms, made.facility, energy, made.facility, energy, made.devices
    )


def totals(**changed: np.ndarray) -> SystemTotals:
    found = systems(**changed).totals(PERIOD.start_ms, PERIOD.end_ms)
    assert found is not None
    return found


def test_parts_add_up_to_the_facility() -> None:
    found = totals()
    assert sum(part.kwh or 0.0 for part in found.parts) == pytest.approx(found.facility_kwh)
    assert found.pue == pytest.approx(1.2683)
    assert [part.name for part in found.parts] == ["it", "cooling", "losses", "lighting", "rest"]
    assert [part.is_metered for part in found.parts] == [True, True, False, True, False]


@given(
    st.lists(st.floats(-0.1, 0.8), min_size=1, max_size=6),
)
def test_printed_parts_add_up_to_the_printed_change(parts: list[float]) -> None:
    pue = 1.0 + sum(parts)
    rounded = rounded_parts(parts, pue)
    assert round(sum(rounded), 9) == round(round(pue, 3) - 1.0, 9)
    for part, shown in zip(parts, rounded, strict=True):
        assert abs(part - shown) <= 0.0005 * (len(parts) + 1)


def test_the_picture_says_what_it_shows() -> None:
    view = anatomy_view(totals(), WORDS)
    assert view is not None
    printed = [float(part.plus.replace("−", "-")) for part in view.parts]
    assert sum(printed) == pytest.approx(0.268)
    assert [part.name for part in view.parts][:2] == ["Cooling", "Power chain losses"]
    assert sum(part.width for part in view.parts) == pytest.approx(100.0, abs=0.1)
    assert view.it_width == pytest.approx(100.0 / 1.2683, abs=0.01)
    # The slice is 21.15 % of the whole: drawn over the whole width it is 4.7 times as wide.
    assert view.factor == "0.268 above 1, magnified 4.7 times"
    assert view.label.startswith("What today's PUE has above 1, 0.268: Cooling +0.170")


def test_a_refused_part_is_words_and_lies_in_the_rest() -> None:
    cooling = np.full(len(systems().start_ms), np.nan)
    cooling[:10] = 867.0
    found = totals(cooling=cooling)
    part = next(one for one in found.parts if one.name == "cooling")
    assert part.kwh is None
    assert part.verdict is Verdict.REFUSED
    assert sum(one.kwh or 0.0 for one in found.parts) == pytest.approx(found.facility_kwh)
    view = anatomy_view(found, WORDS)
    assert view is not None
    assert "Cooling" not in [one.name for one in view.parts]
    assert view.notes == ("Cooling: not computed (coverage 17.2 %), contained in the rest",)
    assert sum(float(one.plus) for one in view.parts) == pytest.approx(0.268)


def test_meters_that_disagree_are_said_and_nothing_negative_is_drawn() -> None:
    found = totals(cooling=np.full(len(systems().start_ms), 0.25 * 5_100.0))
    view = anatomy_view(found, WORDS)
    assert view is not None
    rest = next(one for one in view.parts if one.name == "Rest")
    assert rest.plus.startswith("−")
    assert rest.width == 0.0
    assert sum(float(one.plus.replace("−", "-")) for one in view.parts) == pytest.approx(0.268)
    assert "more than the facility" in view.notes[0]


def test_without_a_pue_there_is_no_picture() -> None:
    assert anatomy_view(None, WORDS) is None
    few = systems()
    few.energy["it"][: len(few.start_ms) // 2] = np.nan
    refused = few.totals(PERIOD.start_ms, PERIOD.end_ms)
    assert refused is not None
    assert refused.verdict is Verdict.REFUSED
    assert anatomy_view(refused, WORDS) is None
    assert few.totals(PERIOD.end_ms, PERIOD.end_ms + INTERVAL_MS) is None
    assert to_ms(START) == PERIOD.start_ms


def test_rows_by_system_add_up_to_the_facility() -> None:
    rows = system_rows(systems(), WORDS)
    assert rows[0].name == "IT equipment"
    assert sum(float(row.power.replace(",", "")) for row in rows) == pytest.approx(
        5_100.0 * 4 * 1.2683, abs=3
    )
    assert {row.mark for row in rows} == {"metered", "calculated"}
    assert system_rows(None, WORDS) == ()


def test_a_small_line_breaks_at_a_gap_and_stays_inside() -> None:
    values = np.array([1.0, 2.0, np.nan, np.nan, 3.0, 2.5, 9.0])
    paths = spark_paths(values)
    assert len(paths) == 2
    for path in paths:
        for x, y in re.findall(r"([\d.]+),([\d.]+)", path):
            assert 0.0 <= float(x) <= SPARK_WIDTH
            assert 0.0 <= float(y) <= SPARK_HEIGHT
    assert spark_paths(np.array([np.nan, 1.0])) == ()
    flat = spark_paths(np.array([1000.0, 1000.1, 1000.0]))
    heights = {float(y) for _, y in re.findall(r"([\d.]+),([\d.]+)", flat[0])}
    assert max(heights) - min(heights) < 1.0
