"""The picture of the rain balance: widths are volumes, parts add up, mains water is never rain."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.figures.water_flow import (
    LEAST_OPEN_PX,
    NARROW,
    WIDE,
    FlowEnd,
    RainBalance,
    Sizes,
    build_flow,
)

MONTH = RainBalance(
    collected=372.9,
    top_up=16.0,
    used=247.7,
    overflow=23.8,
    drained=6.2,
    stored=107.3,
    unexplained=3.9,
)
VOLUMES = st.floats(0.0, 5_000.0)


@st.composite
def balances(draw: st.DrawFn) -> RainBalance:
    collected, top_up, used, overflow, drained = (draw(VOLUMES) for _ in range(5))
    unexplained = draw(st.floats(-200.0, 200.0))
    stored = collected + top_up - used - overflow - drained - unexplained
    return RainBalance(collected, used, stored, unexplained, top_up, overflow, drained)


def by_key(ends: tuple[FlowEnd, ...]) -> dict[str, FlowEnd]:
    return {end.key: end for end in ends}


def test_widths_of_a_month_are_its_volumes() -> None:
    flow = build_flow(MONTH)
    assert flow is not None
    assert flow.px_per_m3 == pytest.approx(WIDE.flow / 388.9)
    right = by_key(flow.right)
    for key, m3 in (
        ("used_mains", 16.0),
        ("used_rain", 231.7),
        ("stored", 107.3),
        ("overflow", 23.8),
        ("drained", 6.2),
    ):
        assert right[key].m3 == pytest.approx(m3)
        assert right[key].height == pytest.approx(m3 * flow.px_per_m3)
    assert right["unexplained"].height == pytest.approx(3.9 * flow.px_per_m3)
    assert right["unexplained"].style == "open"
    narrow = build_flow(MONTH, NARROW)
    assert narrow is not None
    # 3.9 m3 would be 1.8 px.
    assert 3.9 * narrow.px_per_m3 < LEAST_OPEN_PX
    assert by_key(narrow.right)["unexplained"].height == LEAST_OPEN_PX


def test_mains_water_goes_to_its_own_share_of_the_use_only() -> None:
    flow = build_flow(MONTH)
    assert flow is not None
    mains = [ribbon for ribbon in flow.ribbons if ribbon.style == "mains"]
    assert [ribbon.key for ribbon in mains] == ["used_mains"]
    left = by_key(flow.left)
    assert mains[0].left == left["top_up"].y
    assert mains[0].left_height == pytest.approx(left["top_up"].height)
    # Straight, and above everything else.
    assert mains[0].left == mains[0].right
    assert left["top_up"].y + left["top_up"].height < left["collected"].y


def test_more_mains_water_than_use_stays_in_the_tank_as_mains_water() -> None:
    balance = RainBalance(
        collected=0.0, top_up=30.0, used=20.0, overflow=0.0, drained=0.0, stored=10.0, unexplained=0
    )
    flow = build_flow(balance)
    assert flow is not None
    right = by_key(flow.right)
    assert right["kept_mains"].m3 == 10.0
    assert right["used_rain"].m3 == 0.0
    assert right["stored"].m3 == 0.0
    assert {ribbon.style for ribbon in flow.ribbons} == {"mains"}


def test_a_falling_level_is_water_that_came_from_the_tank() -> None:
    balance = RainBalance(
        collected=5.0, top_up=0.0, used=25.0, overflow=0.0, drained=0.0, stored=-20.0, unexplained=0
    )
    flow = build_flow(balance)
    assert flow is not None
    left = by_key(flow.left)
    assert left["drawn"].m3 == 20.0
    assert left["drawn"].y == pytest.approx(left["collected"].y + left["collected"].height)


def test_too_much_water_comes_from_an_outlined_source() -> None:
    balance = RainBalance(collected=10.0, used=12.0, stored=0.0, unexplained=-2.0)
    flow = build_flow(balance)
    assert flow is not None
    left = by_key(flow.left)
    assert left["too_much"].m3 == 2.0
    assert left["too_much"].style == "open"
    assert by_key(flow.right)["unexplained"].height == 0.0


def test_a_flow_without_a_meter_has_no_end() -> None:
    flow = build_flow(RainBalance(collected=10.0, used=8.0, stored=2.0, unexplained=0.0))
    assert flow is not None
    assert {end.key for end in (*flow.left, *flow.right)} == {
        "collected",
        "used_rain",
        "stored",
        "unexplained",
    }


def test_no_water_no_picture() -> None:
    assert build_flow(RainBalance(0.0, 0.0, 0.0, 0.0, top_up=0.0)) is None
    assert RainBalance(0.0, 0.0, 0.0, 0.0).closure is None
    assert MONTH.closure == pytest.approx(3.9 / 388.9)


@given(balances())
def test_what_came_in_is_what_went_out_and_stayed(balance: RainBalance) -> None:
    sources = sum(m3 for _, m3 in balance.sources())
    targets = sum(m3 for _, m3 in balance.targets())
    assert sources == pytest.approx(targets, abs=1e-5)
    assert all(m3 >= 0.0 for _, m3 in (*balance.sources(), *balance.targets()))


@pytest.mark.parametrize("sizes", [WIDE, NARROW])
@given(balance=balances())
def test_every_picture_is_to_scale_and_legible(sizes: Sizes, balance: RainBalance) -> None:
    flow = build_flow(balance, sizes)
    if flow is None:
        assert sum(m3 for _, m3 in balance.sources()) < 1e-5
        return
    for end in (*flow.left, *flow.right):
        if end.style != "open" or end.m3 * flow.px_per_m3 >= LEAST_OPEN_PX:
            assert end.height == pytest.approx(end.m3 * flow.px_per_m3, abs=1e-9)
        assert end.y >= 0.0
        assert max(end.y + end.height, end.label) <= flow.height
    # The picture's height is bounded, so that its card keeps its place.
    assert flow.height <= sizes.flow + 8 * sizes.pitch + 60.0
    for above, below in pairwise(flow.right):
        assert below.label - above.label >= sizes.pitch - 1e-9
        assert below.y >= above.y + above.height
    for is_mains in (True, False):
        leaving = sum(r.left_height for r in flow.ribbons if (r.style == "mains") == is_mains)
        trunk = sum(e.m3 * flow.px_per_m3 for e in flow.left if (e.style == "mains") == is_mains)
        assert leaving == pytest.approx(trunk, abs=1e-3)


def test_a_ribbon_begins_and_ends_at_its_ends() -> None:
    flow = build_flow(MONTH)
    assert flow is not None
    used = next(ribbon for ribbon in flow.ribbons if ribbon.key == "used_rain")
    numbers = [float(text) for text in re.findall(r"-?[\d.]+", used.path(flow.width))]
    assert numbers[0] == 0.0
    assert numbers[1] == pytest.approx(used.left, abs=0.01)
    assert numbers[-1] - numbers[1] == pytest.approx(231.7 * flow.px_per_m3, abs=0.02)
