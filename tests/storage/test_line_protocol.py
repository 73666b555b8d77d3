"""Line protocol: what is written reads back, whatever the values and names."""

from __future__ import annotations

import gzip
import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.ports import ResultRow
from core.samples import ReadingBlock
from storage.influx.line_protocol import (
    encode_readings,
    encode_results,
    fold_document,
    gzip_bodies,
    marks_of,
    unfold_document,
)
from tests.storage.readings import T0

NAN = float("nan")


def block(
    values: dict[str, list[float]],
    *,
    devices: tuple[str, ...] = ("a",),
    index: list[int] | None = None,
    quality: list[int] | None = None,
    site: str = "s1",
) -> ReadingBlock:
    size = len(next(iter(values.values())))
    return ReadingBlock(
        site,
        "energy",
        devices,
        np.array(index or [0] * size, np.int32),
        T0 + np.arange(size, dtype=np.int64),
        np.array(quality or [0] * size, np.int8),
        {name: np.array(column) for name, column in values.items()},
    )


def lines(given_block: ReadingBlock, marked: set[tuple[str, str]] | None = None) -> list[str]:
    return "".join(encode_readings(given_block, marked or set()).to_pylist()).splitlines()


def test_one_line_carries_every_metric_of_a_reading() -> None:
    given_block = block({"b_kw": [1.5, NAN, NAN], "a_kwh": [2.0, 3.0, NAN]})
    assert lines(given_block) == [
        f"energy,device=a,site=s1 b_kw=1.5,a_kwh=2 {T0}",
        f"energy,device=a,site=s1 a_kwh=3 {T0 + 1}",
    ]


def test_marks_stand_beside_their_metric() -> None:
    given_block = block(
        {"p": [1.0, 2.0], "q": [NAN, 4.0]}, devices=("a", "b"), index=[0, 1], quality=[0, 3]
    )
    assert marks_of(given_block) == {("b", "p"), ("b", "q")}
    assert lines(given_block) == [
        f"energy,device=a,site=s1 p=1 {T0}",
        f"energy,device=b,site=s1 p=2,p__quality=3,q=4,q__quality=3 {T0 + 1}",
    ]
    assert lines(given_block, {("a", "p"), ("a", "q")})[0] == (
        f"energy,device=a,site=s1 p=1,p__quality=0 {T0}"
    )


def test_names_are_escaped() -> None:
    given_block = block({"p": [1.0]}, devices=("a b,c=d",), site="s 1")
    assert lines(given_block) == [f"energy,device=a\\ b\\,c\\=d,site=s\\ 1 p=1 {T0}"]


def test_nothing_is_no_line() -> None:
    assert lines(block({"p": [NAN, NAN]})) == []
    assert lines(block({"p": [1.0]}).take(np.array([], np.intp))) == []
    assert list(gzip_bodies([])) == []
    assert list(gzip_bodies([pa.array([], pa.string())])) == []


PATTERN = re.compile(r"energy,device=(\w+),site=s1 (\S+) (\d+)")


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 1]),
            st.sampled_from([0, 0, 1]),
            st.one_of(st.just(NAN), st.floats(allow_infinity=False)),
            st.one_of(st.just(NAN), st.floats(-1e3, 1e3)),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_any_block_reads_back_exactly(rows: list[tuple[int, int, float, float]]) -> None:
    index, quality, first, second = (list(column) for column in zip(*rows, strict=True))
    given_block = block({"p": first, "q": second}, devices=("a", "b"), index=index, quality=quality)
    found: dict[tuple[str, int, str], float] = {}
    for line in lines(given_block):
        match = PATTERN.fullmatch(line)
        assert match is not None
        for pair in match[2].split(","):
            name, _, number = pair.partition("=")
            found[match[1], int(match[3]), name] = float(number)
    wanted: dict[tuple[str, int, str], float] = {}
    for row, (device, code, *values) in enumerate(rows):
        for name, value in zip("pq", values, strict=True):
            if value == value:
                wanted["ab"[device], T0 + row, name] = value
                if code:
                    wanted["ab"[device], T0 + row, f"{name}__quality"] = code
    assert {key: np.float64(value).tobytes() for key, value in found.items()} == {
        key: np.float64(value).tobytes() for key, value in wanted.items()
    }


def test_bodies_are_filled_across_blocks() -> None:
    arrays = [
        pa.array([f"{letter}{number}\n" for number in range(size)])
        for letter, size in (("a", 3), ("b", 5), ("c", 1), ("d", 4))
    ]
    # A slice lies inside a longer buffer.
    arrays[1] = pa.concat_arrays([pa.array(["skipped\n"]), arrays[1]]).slice(1)
    bodies = [gzip.decompress(body).decode() for body in gzip_bodies(arrays, lines_per_body=4)]
    assert [body.count("\n") for body in bodies] == [4, 4, 4, 1]
    assert "".join(bodies) == "".join(text for array in arrays for text in array.to_pylist())


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_document_survives_its_folding(text: str) -> None:
    folded = fold_document(text.encode())
    assert not re.search(r"[\r\n\0]", folded)
    assert unfold_document(folded) == text.encode()


def test_a_plain_document_stays_readable() -> None:
    assert fold_document('{"이름":"값"}'.encode()) == '{"이름":"값"}'


@pytest.mark.parametrize(("value", "figure"), [(None, "refused=1"), (1.25, "refused=0,value=1.25")])
def test_a_figure_says_whether_it_is_one(value: float | None, figure: str) -> None:
    row = ResultRow("s1", "kpi", "pue", "site", "hour", 5, value, b'{"a":"b"}')
    assert encode_results([row]).to_pylist() == [
        "kpi,name=pue,resolution=hour,site=s1,subject=site "
        f'document="{{\\"a\\":\\"b\\"}}",{figure} 5\n'
    ]
