"""The newest times, in columns, are what a loop over the readings would make of them."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.newest import NEVER, advance
from ingest.recent import Family

READINGS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 12)), min_size=1, max_size=40)


@st.composite
def in_turn(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Devices that come again and again in one order, mostly each time newer; cut off anywhere."""
    devices = draw(st.lists(st.integers(0, 5), min_size=1, max_size=6))
    steps = draw(st.lists(st.sampled_from([1, 1, 1, 1, 0, -2]), min_size=1, max_size=6))
    made, time = [], 3
    for step in steps:
        time += step
        made += [(device, time + draw(st.sampled_from([0, 0, 0, 1]))) for device in devices]
    return made[: draw(st.integers(1, len(made)))]


@settings(max_examples=600, deadline=None)
@given(
    st.lists(st.sampled_from([NEVER, 0, 3, 9]), min_size=6, max_size=6),
    st.just([]) | READINGS | in_turn(),
)
def test_advance_is_the_loop(known: list[int], readings: list[tuple[int, int]]) -> None:
    newest = np.array(known, np.int64)
    device = np.array([d for d, _ in readings], np.int32)
    times = np.array([t for _, t in readings], np.int64)
    older = advance(newest, device, times)
    wanted, flags = list(known), []
    for d, t in readings:
        flags.append(t <= wanted[d])
        wanted[d] = max(wanted[d], t)
    assert older.tolist() == flags
    assert newest.tolist() == wanted


@settings(max_examples=200, deadline=None)
@given(st.lists(READINGS, min_size=1, max_size=6), st.integers(0, 5))
def test_memory_finds_what_was_remembered_last_and_says_what_it_has_forgotten(
    chunks: list[list[tuple[int, int]]], forgotten: int
) -> None:
    family = Family()
    devices = tuple(f"d{n}" for n in range(6))
    table = family.positions(devices, {})
    for number, chunk in enumerate(chunks):
        device = table[np.array([d for d, _ in chunk], np.int32)]
        times = np.array([t for _, t in chunk], np.int64)
        values = np.array([number * 100.0 + at for at in range(len(chunk))])
        family.remember(device, times, {"m": values})
    for _ in range(min(forgotten, len(chunks))):
        family.forget_oldest()
    left = chunks[forgotten:]
    wanted = {}
    for number, chunk in enumerate(left, forgotten):
        for at, instant in enumerate(chunk):
            wanted[instant] = {"m": number * 100.0 + at}
    every = [(d, t) for d in range(6) for t in range(13)]
    assert family.find(every) == wanted
    for chunk in chunks[:forgotten]:
        for d, t in chunk:
            assert t <= family.complete_above[d]
    assert family.is_empty is (not left)
