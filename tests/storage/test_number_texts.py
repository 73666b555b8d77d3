"""Numbers as texts: however they are made, they are the shortest that read back as the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.influx import number_texts as module
from storage.influx.arrow_columns import number_column
from storage.influx.number_texts import number_texts

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
# Whole numbers, quarters, thousandths, and anything.
KINDS = [
    st.integers(0, 200).map(float),
    st.integers(-50, 50).map(lambda n: n / 4),
    st.integers(0, 90_000).map(lambda n: n / 1000),
    st.integers(0, 10**15).map(lambda n: n / 1000),
    FLOATS,
]


def joined(values: Any, before: str, after: str, absent: Any = None) -> list[str | None]:
    parts = number_texts(values, before, after, absent)
    if len(parts) == 1:
        return list(parts[0].to_pylist())
    return list(pc.binary_join_element_wise(*parts, pa.scalar("")).to_pylist())


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(KINDS).flatmap(lambda kind: st.lists(kind, min_size=1, max_size=60)),
    st.integers(1, 20),
    st.sampled_from(["", "power_w=", ",power_w="]),
    st.sampled_from(["", "\n"]),
    st.booleans(),
)
def test_texts_are_those_of_one_number_alone(
    some: list[float], times: int, before: str, after: str, absent: bool
) -> None:
    values = np.array(some * times)
    gone = np.arange(len(values)) % 3 == 1 if absent else None
    wanted = pc.cast(number_column(values), pa.string()).to_pylist()
    found = joined(values, before, after, gone)
    for place, (text, one) in enumerate(zip(found, wanted, strict=True)):
        if gone is not None and gone[place]:
            assert text is None
            continue
        # Only the sign of zero may go: no meter tells 0 from -0.
        assert text in (f"{before}{one}{after}", f"{before}{one.removeprefix('-')}{after}")
        assert text is not None
        assert float(text.removeprefix(before).removesuffix(after)) == values[place]


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        # A table of few; whole parts from a table and fractions from another; each by itself.
        (np.arange(2000) % 400 * 0.25, 1),
        (np.arange(2000) * 7 % 90_000 / 1000, 2),
        (np.sqrt(np.arange(2000)), 2),
        (np.arange(2000) - 1000.5, 2),
    ],
)
def test_columns_take_the_way_that_is_meant_for_them(
    values: Any, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = number_texts(values, "m=")
    assert len(made) == parts
    found = joined(values, "m=", "")
    monkeypatch.setattr(module, "_repeats", lambda values: False)
    monkeypatch.setattr(module, "_decimal_texts", lambda values, before: None)
    assert joined(values, "m=", "") == found
    # Of the quick ways neither part is the same text in every row.
    is_table = parts == 1 or isinstance(made[0], pa.Array)
    assert is_table is (values[1] in (0.25, 0.007))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=40), st.integers(1, 30))
def test_whole_numbers_too(some: list[int], times: int) -> None:
    values = np.array(some * times, np.int64)
    assert joined(values, " ", "\n") == [f" {number}\n" for number in values.tolist()]
