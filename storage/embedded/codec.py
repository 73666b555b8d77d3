"""Blocks of samples as bytes: one block per series and hour, and batches that wait to be folded in.

A block is exact: what comes out has the bits of what went in. It begins with a header of 28 bytes
(little endian):

| bytes | meaning |
|---|---|
| 4 | CRC-32 of series number and hour (8 bytes each), then of all that follows |
| 1 | format version |
| 1 | flags: 1 = body compressed (zlib), 2 = qualities present |
| 1 | decimals: values are integers / 10^decimals; 255 = values are float64 |
| 1 | width of an integer difference in bytes: 1, 2, 4, 8 |
| 4 | samples |
| 4 | milliseconds from the hour to the first sample |
| 4 | milliseconds between samples, 0 = they are listed |
| 8 | first integer |

The body holds the listed time differences (4 bytes each), then the values (differences of
integers, or float64 with their bytes transposed), then the qualities (1 byte each).

Headers, differences and scaling are made for all blocks of a batch at once; only compression and
checksums are done block by block.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from core.samples import Floats, Ints
from storage.embedded.points import NO_POINTS, Points

FORMAT_VERSION = 1
HOUR_MS = 3_600_000

_COMPRESSED, _QUALITIES = 1, 2
_FLOATS = 255
_MOST_DECIMALS = 6
# Below this size compression costs more time than it saves bytes.
_LEAST_COMPRESSED = 128
_SCALES = 10.0 ** np.arange(_MOST_DECIMALS + 1)
_EXACT_INTEGER = 2.0**53

_HEADER = np.dtype(
    [
        ("crc", "<u4"),
        ("version", "u1"),
        ("flags", "u1"),
        ("decimals", "u1"),
        ("width", "u1"),
        ("count", "<u4"),
        ("first", "<u4"),
        ("step", "<u4"),
        ("base", "<i8"),
    ]
)
_HEADER_SIZE = _HEADER.itemsize
_WIDTHS = (1, 2, 4, 8)


class DamagedBlockError(Exception):
    """A block does not say what was written.

    Attributes:
        position: Which of the blocks given.
    """

    def __init__(self, position: int, problem: str) -> None:
        self.position = position
        super().__init__(problem)


# ---------------------------------------------------------------- blocks


def encode_blocks(points: Points, starts: NDArray[np.intp], hours: Ints) -> list[bytes]:
    """Blocks of sorted points.

    Args:
        starts: (g,) first row of each block; a block is one series in one hour.
        hours: (g,) hours since 1970 of the blocks.
    """
    count = len(starts)
    if not count:
        return []
    total = len(points)
    ends = np.append(starts[1:], total)
    sizes = ends - starts
    header = np.zeros(count, _HEADER)
    header["version"] = FORMAT_VERSION
    header["count"] = sizes
    header["first"] = points.time_ms[starts] - hours * HOUR_MS

    gaps = np.zeros(total, np.int64)
    gaps[1:] = np.diff(points.time_ms)
    gaps[starts] = gaps[np.minimum(starts + 1, ends - 1)]
    gaps[starts[sizes == 1]] = 1
    least, most = np.minimum.reduceat(gaps, starts), np.maximum.reduceat(gaps, starts)
    header["step"] = np.where(least == most, least, 0)

    integers, decimals = _scaled(points.value, starts, sizes)
    header["decimals"] = decimals
    header["base"] = np.where(decimals == _FLOATS, 0, integers[starts])
    steps = np.zeros(total, np.int64)
    steps[1:] = np.diff(integers)
    steps[starts] = 0
    low, high = np.minimum.reduceat(steps, starts), np.maximum.reduceat(steps, starts)
    width = np.full(count, 8, np.int64)
    for bytes_each in (4, 2, 1):
        limit = 1 << (8 * bytes_each - 1)
        width[(low >= -limit) & (high < limit)] = bytes_each
    header["width"] = width
    marked = np.maximum.reduceat(points.quality, starts) > 0
    header["flags"] = np.where(marked, _QUALITIES, 0)

    gap_bytes = gaps.astype("<u4").tobytes() if not header["step"].all() else b""
    step_bytes = {w: steps.astype(f"<i{w}").tobytes() for w in _WIDTHS if (width == w).any()}
    code_bytes = points.quality.tobytes()
    heads = header.tobytes()
    places_of = _places(points.series[starts], hours)
    blocks = []
    plan = zip(
        starts.tolist(),
        ends.tolist(),
        header["step"].tolist(),
        decimals.tolist(),
        width.tolist(),
        marked.tolist(),
        strict=True,
    )
    for number, (start, end, step, places, wide, codes) in enumerate(plan):
        body = b"" if step else gap_bytes[4 * (start + 1) : 4 * end]
        if places == _FLOATS:
            body += _transposed(points.value[start:end])
        else:
            body += step_bytes[wide][wide * (start + 1) : wide * end]
        if codes:
            body += code_bytes[start:end]
        head = heads[number * _HEADER_SIZE : (number + 1) * _HEADER_SIZE]
        blocks.append(_sealed(head, body, places_of[16 * number : 16 * (number + 1)]))
    return blocks


def _sealed(head: bytes, body: bytes, place: bytes) -> bytes:
    """A header without checksum and its body, compressed where that helps, with the checksum."""
    if len(body) >= _LEAST_COMPRESSED:
        packed = isal_zlib.compress(body, 1)
        if len(packed) < len(body):
            body = packed
            head = head[:5] + bytes((head[5] | _COMPRESSED,)) + head[6:]
    rest = head[4:] + body
    return zlib.crc32(rest, zlib.crc32(place)).to_bytes(4, "little") + rest


def _places(series: Ints, hours: Ints) -> bytes:
    """16 bytes a block that say where it belongs: one that lies elsewhere is damage, too."""
    return np.stack([series, hours], axis=1).astype("<i8").tobytes()


def _scaled(
    value: Floats, starts: NDArray[np.intp], sizes: NDArray[np.intp]
) -> tuple[Ints, NDArray[np.int64]]:
    """Values as integers where a few decimals say them exactly, per block.

    Returns:
        Integers (0 where the block keeps float64), and the decimals of each block.
    """
    decimals = np.full(len(starts), _FLOATS, np.int64)
    integers = np.zeros(len(value), np.int64)
    bits = value.view(np.int64)
    for places in range(_MOST_DECIMALS + 1):
        open_blocks = decimals == _FLOATS
        if not open_blocks.any():
            break
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = np.rint(value * _SCALES[places])
            fits = np.abs(scaled) < _EXACT_INTEGER
            whole = np.where(fits, scaled, 0.0).astype(np.int64)
            # Compared as bits: a minus zero has to come back as one.
            fits &= (whole / _SCALES[places]).view(np.int64) == bits
        found = open_blocks & np.logical_and.reduceat(fits, starts)
        decimals[found] = places
        rows = np.repeat(found, sizes)
        integers[rows] = whole[rows]
    return integers, decimals


def _transposed(values: Floats) -> bytes:
    """Byte 0 of every value, then byte 1 of every value, …: that compresses far better."""
    octets = np.ascontiguousarray(values, "<f8").view(np.uint8).reshape(-1, 8)
    return octets.T.tobytes()


def decode_blocks(blocks: Sequence[bytes], series: Ints, hours: Ints) -> Points:
    """The samples of blocks, block after block.

    Args:
        series: (g,) series number of each block.
        hours: (g,) hours since 1970 of each block.

    Raises:
        DamagedBlockError: The first block whose checksum, version or length is wrong.
    """
    if not blocks:
        return NO_POINTS
    heads, bodies = [], []
    places_of = _places(series, hours)
    for position, block in enumerate(blocks):
        if len(block) < _HEADER_SIZE:
            raise DamagedBlockError(position, "it is shorter than its header")
        seed = zlib.crc32(places_of[16 * position : 16 * (position + 1)])
        if zlib.crc32(block[4:], seed) != int.from_bytes(block[:4], "little"):
            raise DamagedBlockError(position, "its checksum is wrong")
        if block[4] != FORMAT_VERSION:
            raise DamagedBlockError(position, f"its format {block[4]} is unknown")
        body = block[_HEADER_SIZE:]
        if block[5] & _COMPRESSED:
            try:
                body = zlib.decompress(body)
            except zlib.error:
                raise DamagedBlockError(position, "its body cannot be unpacked") from None
        heads.append(block[:_HEADER_SIZE])
        bodies.append(body)
    header = np.frombuffer(b"".join(heads), _HEADER)
    sizes = header["count"].astype(np.int64)
    starts = np.cumsum(sizes) - sizes
    _check_lengths(header, bodies)

    total = int(sizes.sum())
    row_of_block = np.repeat(np.arange(len(blocks)), sizes)
    gaps = np.repeat(header["step"].astype(np.int64), sizes)
    steps = np.zeros(total, np.int64)
    value = np.empty(total)
    quality = np.zeros(total, np.int8)
    plan = zip(
        starts.tolist(),
        sizes.tolist(),
        header["step"].tolist(),
        header["decimals"].tolist(),
        header["width"].tolist(),
        header["flags"].tolist(),
        bodies,
        strict=True,
    )
    for start, size, step, places, wide, flags, body in plan:
        at = 0
        if not step:
            gaps[start + 1 : start + size] = np.frombuffer(body, "<u4", size - 1)
            at = 4 * (size - 1)
        if places == _FLOATS:
            octets = np.frombuffer(body, np.uint8, 8 * size, at).reshape(8, size)
            value[start : start + size] = np.ascontiguousarray(octets.T).view("<f8")[:, 0]
            at += 8 * size
        else:
            kind = _KINDS[wide]
            steps[start + 1 : start + size] = np.frombuffer(body, kind, size - 1, at)
            at += wide * (size - 1)
        if flags & _QUALITIES:
            quality[start : start + size] = np.frombuffer(body, np.int8, size, at)

    gaps[starts] = 0
    time_ms = _summed(gaps, starts, sizes, hours * HOUR_MS + header["first"])
    scaled = header["decimals"] != _FLOATS
    if scaled.any():
        integers = _summed(steps, starts, sizes, header["base"])
        places = np.where(scaled, header["decimals"], 0).astype(np.int64)
        numbers = integers / _SCALES[places][row_of_block]
        rows = scaled[row_of_block]
        value[rows] = numbers[rows]
    return Points(np.repeat(series, sizes), time_ms, value, quality)


_KINDS = {wide: np.dtype(f"<i{wide}") for wide in _WIDTHS}


def _check_lengths(header: NDArray[Any], bodies: Sequence[bytes]) -> None:
    """The checksum guards against damage; this guards against a writer that was wrong."""
    size = header["count"].astype(np.int64)
    wide = np.where(header["decimals"] == _FLOATS, 8 * size, header["width"] * (size - 1))
    wanted = np.where(header["step"] == 0, 4 * (size - 1), 0) + wide
    wanted += np.where(header["flags"] & _QUALITIES, size, 0)
    lengths = np.fromiter(map(len, bodies), np.int64, len(bodies))
    known = np.isin(header["width"], _WIDTHS) & (size > 0)
    known &= (header["decimals"] <= _MOST_DECIMALS) | (header["decimals"] == _FLOATS)
    wrong = np.flatnonzero((wanted != lengths) | ~known)
    if len(wrong):
        raise DamagedBlockError(int(wrong[0]), "its length does not fit its header")


def _summed(steps: Ints, starts: NDArray[Any], sizes: NDArray[Any], first: NDArray[Any]) -> Ints:
    """Running sums inside each block, beginning with `first`; steps[starts] are 0."""
    sums = np.cumsum(steps)
    return np.asarray(sums + np.repeat(first - sums[starts], sizes), np.int64)


# ---------------------------------------------------------------- rows

# Odd numbers: a flipped bit always changes the product, also modulo 2^64.
_WEIGHTS = np.random.default_rng(2026).integers(0, 2**63, 64, np.uint64) * 2 + 1


def row_sums(*columns: NDArray[Any]) -> Ints:
    """A checksum of each row of fixed-width columns; every single flipped bit changes it.

    Args:
        columns: (n,) integers or float64, or (n, k) uint64, at most 64 in all.
    """
    total = np.zeros(len(columns[0]), np.uint64)
    words: list[NDArray[np.uint64]] = []
    for column in columns:
        if column.ndim == 2:
            words += list(column.T)
        elif column.dtype.kind == "f":
            words.append(column.view(np.uint64))
        else:
            words.append(column.astype(np.int64).view(np.uint64))
    for word, weight in zip(words, _WEIGHTS, strict=False):
        total += word * weight
    return total.view(np.int64)


# ---------------------------------------------------------------- batches


_BATCH_HEADER = np.dtype([("crc", "<u4"), ("version", "u1"), ("flags", "u1"), ("count", "<u4")])


def encode_batch(points: Points) -> bytes:
    """Points as they arrived, uncompressed: they will be folded into blocks soon."""
    header = np.zeros(1, _BATCH_HEADER)
    marked = bool(points.quality.any())
    header["version"], header["flags"] = FORMAT_VERSION, _QUALITIES if marked else 0
    header["count"] = len(points)
    rest = b"".join(
        [
            header.tobytes()[4:],
            points.series.astype("<u4").tobytes(),
            points.time_ms.astype("<i8").tobytes(),
            points.value.astype("<f8").tobytes(),
            points.quality.tobytes() if marked else b"",
        ]
    )
    return zlib.crc32(rest).to_bytes(4, "little") + rest


def decode_batch(data: bytes) -> Points:
    """The points of one batch, in order of arrival.

    Raises:
        DamagedBlockError: Its checksum, version or length is wrong.
    """
    size = _BATCH_HEADER.itemsize
    if len(data) < size or zlib.crc32(data[4:]) != int.from_bytes(data[:4], "little"):
        raise DamagedBlockError(0, "its checksum is wrong")
    header = np.frombuffer(data, _BATCH_HEADER, 1)[0]
    count = int(header["count"])
    marked = bool(header["flags"] & _QUALITIES)
    if header["version"] != FORMAT_VERSION or len(data) != size + count * (21 if marked else 20):
        raise DamagedBlockError(0, "its format is unknown or its length is wrong")
    series = np.frombuffer(data, "<u4", count, size).astype(np.int64)
    time_ms = np.frombuffer(data, "<i8", count, size + 4 * count)
    value = np.frombuffer(data, "<f8", count, size + 12 * count)
    quality = np.zeros(count, np.int8)
    if marked:
        quality = np.frombuffer(data, np.int8, count, size + 20 * count)
    return Points(series, time_ms.astype(np.int64), value.astype(np.float64), quality)
