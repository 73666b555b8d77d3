"""Blocks of samples: bit for bit the same, and no damage goes unseen."""

from __future__ import annotations

import math
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.embedded.codec import (
    HOUR_MS,
    DamagedBlockError,
    decode_batch,
    decode_blocks,
    encode_batch,
    encode_blocks,
    row_sums,
)
from storage.embedded.points import NO_POINTS, Points, join_points, sort_points

HOUR = 498_611  # since 1970


def points(rows: list[tuple[int, int, float, int]]) -> Points:
    series, offset, value, quality = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Points(
        np.array(series, np.int64),
        np.array(offset, np.int64) + HOUR * HOUR_MS,
        np.array(value, np.float64),
        np.array(quality, np.int8),
    )


def packed(given_points: Points) -> tuple[list[bytes], np.ndarray, np.ndarray]:
    keys = given_points.series * 2**24 + given_points.time_ms // HOUR_MS
    starts = np.flatnonzero(np.append(True, np.diff(keys) != 0))
    hours = keys[starts] % 2**24
    return encode_blocks(given_points, starts, hours), given_points.series[starts], hours


def assert_same(found: Points, wanted: Points) -> None:
    assert found.series.tolist() == wanted.series.tolist()
    assert found.time_ms.tolist() == wanted.time_ms.tolist()
    assert found.value.tobytes() == wanted.value.tobytes()
    assert found.quality.tolist() == wanted.quality.tolist()


values = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-1e6, 1e6).map(lambda value: round(value, 1)),
    st.integers(-(2**60), 2**60).map(float),
    st.sampled_from([0.0, -0.0, 1e300, 5e-324, 0.1 + 0.2, 99184412.5, 1 / 3]),
)
rows = st.tuples(
    st.integers(1, 3), st.integers(0, 3 * HOUR_MS), values, st.sampled_from([0, 0, 0, 1, 2, 3])
)


@settings(max_examples=300, deadline=None)
@given(st.lists(rows, min_size=1, max_size=60))
def test_any_samples_come_back_bit_for_bit(given_rows: list[tuple[int, int, float, int]]) -> None:
    wanted = sort_points(points(given_rows))
    assert_same(decode_blocks(*packed(wanted)), wanted)
    assert_same(decode_batch(encode_batch(points(given_rows))), points(given_rows))


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 400),
    st.sampled_from([1, 999, 1000, 10_000, 300_000]),
    st.integers(0, 6),
    st.integers(0, 2**32 - 1),
)
def test_regular_series_come_back_bit_for_bit(
    count: int, step: int, decimals: int, seed: int
) -> None:
    count = min(count, (HOUR_MS - 1) // step + 1)
    walk = np.cumsum(np.random.default_rng(seed).normal(0, 10.0, count)).round(decimals)
    wanted = Points(
        np.full(count, 7, np.int64),
        HOUR * HOUR_MS + np.arange(count) * step,
        walk,
        np.zeros(count, np.int8),
    )
    blocks, series, hours = packed(wanted)
    assert_same(decode_blocks(blocks, series, hours), wanted)


def test_a_meter_of_one_decimal_takes_two_bytes_a_sample() -> None:
    walk = np.cumsum(np.random.default_rng(1).normal(0, 3.0, 360)).round(1)
    wanted = Points(
        np.full(360, 7, np.int64),
        HOUR * HOUR_MS + np.arange(360) * 10_000,
        walk,
        np.zeros(360, np.int8),
    )
    (block,), _, _ = packed(wanted)
    assert len(block) < 2 * 360


def test_sorting_keeps_the_last_of_equal_instants() -> None:
    given_points = points([(2, 5, 1.0, 0), (1, 9, 2.0, 0), (2, 5, 3.0, 1), (1, 3, 4.0, 0)])
    wanted = points([(1, 3, 4.0, 0), (1, 9, 2.0, 0), (2, 5, 3.0, 1)])
    assert_same(sort_points(given_points), wanted)
    assert len(sort_points(NO_POINTS)) == 0
    assert len(join_points([])) == 0


def test_nothing_is_nothing() -> None:
    assert encode_blocks(NO_POINTS, np.zeros(0, np.intp), np.zeros(0, np.int64)) == []
    assert len(decode_blocks([], np.zeros(0, np.int64), np.zeros(0, np.int64))) == 0


@pytest.mark.parametrize("compressed", [False, True])
def test_every_flipped_bit_is_seen(compressed: bool) -> None:
    count = 200 if compressed else 5
    given_points = points([(1, i * 1000, math.sin(i), i % 2) for i in range(count)])
    (block,), series, hours = packed(given_points)
    for bit in range(len(block) * 8):
        harmed = bytearray(block)
        harmed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DamagedBlockError):
            decode_blocks([bytes(harmed)], series, hours)
    batch = encode_batch(given_points)
    for bit in range(0, len(batch) * 8, 7):
        harmed = bytearray(batch)
        harmed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DamagedBlockError):
            decode_batch(bytes(harmed))


def test_a_block_that_lies_elsewhere_is_damaged() -> None:
    (block,), series, hours = packed(points([(1, 5, 1.0, 0)]))
    for elsewhere in ((series + 1, hours), (series, hours - 1)):
        with pytest.raises(DamagedBlockError):
            decode_blocks([block], *elsewhere)


def test_a_row_sum_shows_every_flipped_bit() -> None:
    columns = [np.array([5]), np.array([1.5]), np.array([[7, 2**63]], np.uint64)]
    (whole,) = row_sums(*columns)
    for position, column in enumerate(columns):
        for bit in range(column.nbytes * 8):
            harmed = bytearray(column.tobytes())
            harmed[bit // 8] ^= 1 << bit % 8
            other = np.frombuffer(bytes(harmed), column.dtype).reshape(column.shape)
            given_columns = [*columns[:position], other, *columns[position + 1 :]]
            assert row_sums(*given_columns)[0] != whole


def test_every_cut_is_seen() -> None:
    (block,), series, hours = packed(points([(1, i * 1000, math.sin(i), 0) for i in range(5)]))
    for size in range(len(block)):
        with pytest.raises(DamagedBlockError):
            decode_blocks([block[:size]], series, hours)


def test_the_damaged_one_of_several_is_named() -> None:
    blocks, series, hours = packed(points([(number, 5, 1.0, 0) for number in (1, 2, 3)]))
    blocks[1] = blocks[1][:-1] + b"x"
    with pytest.raises(DamagedBlockError) as caught:
        decode_blocks(blocks, series, hours)
    assert caught.value.position == 1


@pytest.mark.parametrize(
    ("offset", "byte"),
    [(4, 9), (6, 77), (7, 3), (8, 200)],
    ids=["version", "decimals", "width", "n"],
)
def test_a_header_that_makes_no_sense_is_refused(offset: int, byte: int) -> None:
    (block,), series, hours = packed(points([(1, i * 1000, 1.5, 0) for i in range(5)]))
    harmed = bytearray(block)
    harmed[offset] = byte
    rest = bytes(harmed[4:])
    place = zlib.crc32(struct.pack("<qq", 1, HOUR))
    sealed = struct.pack("<I", zlib.crc32(rest, place)) + rest
    assert struct.pack("<I", zlib.crc32(block[4:], place)) == block[:4]
    with pytest.raises(DamagedBlockError):
        decode_blocks([sealed], series, hours)
