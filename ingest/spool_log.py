"""Mending the log of a killed process's spool: one bad frame costs itself, not what follows.

SQLite reads its write-ahead log up to the first frame whose checksum does not hold, and drops the
rest without a word: right for a torn end, wrong for a bit that flipped in the middle, because what
follows was confirmed. Here the checksums are made anew from there on, as far as the log is known
to have been on disk; what the damaged page held shows itself at the checksum of its row.

Format: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

from __future__ import annotations

import logging
import os
import shutil
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_LOG = logging.getLogger(__name__)
_HEADER, _FRAME = 32, 24
_MAGIC, _VERSION = 0x377F0682, 3_007_000
# Of a file that SQLite made for us; asked only where the header cannot say it.
_PAGE = 4096
# Frames whose number is tried to be mended; damage is a bit or a sector, not a whole log.
_MOST_TRIES = 16
# A number further above all before it than a transaction adds pages is none.
_NEW_PAGES = 100_000

_Sum = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Frame:
    """One page in the log.

    Attributes:
        ends: Whether a transaction ends with it.
        belongs: Whether it carries the salt of this log, and is no leftover of an earlier one.
        holds: Whether its checksum fits it and the frame before it.
    """

    page: int
    ends: bool
    belongs: bool
    holds: bool
    head: bytes
    body: bytes


def mend_log(log: Path, aside: Path) -> list[int]:
    """Make a damaged log readable again.

    Args:
        log: The log beside a file that no process has open for writing.
        aside: Where the log is kept as it was found.

    Returns:
        The pages that were damaged; none where there was nothing to mend.
    """
    data = log.read_bytes() if log.exists() else b""
    if len(data) < _HEADER + _FRAME:
        return []
    header, intact = _read_header(data)
    frames = _read_frames(data, header)
    end = _confirmed_end(frames)
    damaged = [frame.page for frame in frames[:end] if not frame.holds]
    if not end or (intact and not damaged):
        return []
    shutil.copyfile(log, aside)
    mended = log.with_name(f".mended-{log.name}")
    with mended.open("wb") as file:
        file.write(_render(header, frames[:end]))
        file.flush()
        os.fsync(file.fileno())
    mended.replace(log)
    _LOG.error(
        "%s is damaged at page %s: %d frames after it would have been dropped, and are kept; "
        "the log as it was is %s",
        log, ", ".join(map(str, damaged)) or "none (its header)", end, aside,
    )  # fmt: skip
    return damaged


def read_pages(log: Path) -> dict[int, bytes]:
    """The pages that a log holds, each as its last whole transaction left it."""
    data = log.read_bytes() if log.exists() else b""
    if len(data) < _HEADER + _FRAME:
        return {}
    frames = _read_frames(data, _read_header(data)[0])
    return {frame.page: frame.body for frame in frames[: _confirmed_end(frames)]}


def _read_header(data: bytes) -> tuple[bytes, bool]:
    """The first 24 bytes of the log, made anew where damaged; and whether they were intact."""
    header = data[: _HEADER - 8]
    magic, version = struct.unpack(">II", header[:8])
    stored = struct.unpack(">II", data[_HEADER - 8 : _HEADER])
    known = magic | 1 == _MAGIC | 1 and version == _VERSION
    if known and _sum_of((0, 0), header, magic) == stored:
        return header, True
    salt = data[_HEADER + 8 : _HEADER + 16]
    return struct.pack(">III", _MAGIC, _VERSION, _PAGE) + header[12:16] + salt, False


def _read_frames(data: bytes, header: bytes) -> list[_Frame]:
    magic, _, page_bytes = struct.unpack(">III", header[:12])
    salt = header[16:24]
    before = _sum_of((0, 0), header, magic)
    frames = []
    tries, largest = _MOST_TRIES, 0
    for start in range(_HEADER, len(data) - _FRAME - page_bytes + 1, _FRAME + page_bytes):
        head = data[start : start + _FRAME]
        body = data[start + _FRAME : start + _FRAME + page_bytes]
        stored = struct.unpack(">II", head[16:])
        belongs = head[8:16] == salt
        holds = belongs and _sum_of(before, head[:8] + body, magic) == stored
        page, pages = struct.unpack(">II", head[:8])
        largest = max(largest, page) if holds else largest
        if belongs and not holds and tries and not 1 <= page <= largest + _NEW_PAGES:
            tries -= 1
            page = _mended_page(head, body, before, magic, largest)
            head = struct.pack(">I", page) + head[4:]
        frames.append(_Frame(page, pages != 0, belongs, holds, head, body))
        before = stored
    return frames


def _mended_page(head: bytes, body: bytes, before: _Sum, magic: int, largest: int) -> int:
    """The page number of a frame in whose number, which cannot be, a bit was flipped.

    Zero ends the log for SQLite, and what comes after it would be gone. The checksum tells which
    bit it was; where it does not, the number stays as it is. Numbers that can be are left alone:
    the checksum is too weak to tell a flipped bit in them from one in the page.
    """
    stored = struct.unpack(">II", head[16:])
    whole = int.from_bytes(head[:4], "big")
    for bit in range(32):
        page = whole ^ (1 << bit)
        if 1 <= page <= largest + _NEW_PAGES:
            again = struct.pack(">I", page) + head[4:8] + body
            if _sum_of(before, again, magic) == stored:
                return page
    return whole


def _confirmed_end(frames: Sequence[_Frame]) -> int:
    """How many frames were certainly on disk when the next were written.

    A transaction is synced before the one after it begins. The last one may be torn: it counts only
    if it is whole, or if what follows was written after it (and is no leftover of a transaction
    that was rolled back before it).
    """
    last = max((n for n, frame in enumerate(frames) if frame.belongs), default=-1)
    ends = [n + 1 for n, frame in enumerate(frames[: last + 1]) if frame.ends]
    if not ends:
        return 0
    begin = ends[-2] if len(ends) > 1 else 0
    followed = ends[-1] <= last and frames[ends[-1]].holds
    if followed or all(frame.holds for frame in frames[begin : ends[-1]]):
        return ends[-1]
    return begin


def _render(header: bytes, frames: Sequence[_Frame]) -> bytes:
    magic = struct.unpack(">I", header[:4])[0]
    total = _sum_of((0, 0), header, magic)
    parts = [header, struct.pack(">II", *total)]
    for frame in frames:
        if not frame.page:
            continue  # no page has this number, and SQLite would read no further
        total = _sum_of(total, frame.head[:8] + frame.body, magic)
        parts += [frame.head[:8], header[16:24], struct.pack(">II", *total), frame.body]
    return b"".join(parts)


def _sum_of(before: _Sum, data: bytes, magic: int) -> _Sum:
    first, second = before
    words = struct.unpack(f"{'>' if magic & 1 else '<'}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second
