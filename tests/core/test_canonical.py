"""Canonical JSON: one text for one document."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.canonical import canonical_json, sha256_of

SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=12,
)


def test_known_bytes() -> None:
    document = {"나": 1, "b": [1.5, True, None], "a": {"z": -0.0000001, "y": 12345678.9}}
    assert canonical_json(document) == (
        '{"a":{"y":12345678.900000,"z":0.000000},"b":[1.500000,true,null],"나":1}\n'.encode()
    )


@settings(deadline=None)
@given(DOCUMENTS)
def test_it_is_json_that_says_the_same(document: Any) -> None:
    assert json.loads(canonical_json(document)) == document


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=6), SCALARS))
def test_the_order_of_members_does_not_matter(document: dict[str, Any]) -> None:
    assert sha256_of(dict(reversed(list(document.items())))) == sha256_of(document)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="null"):
        canonical_json({"a": value})
