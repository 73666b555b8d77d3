"""Rows of a damaged spool file read from its pages, without the tree that leads to them.

One flipped bit in the first page or in the root of a tree makes SQLite lose sight of every row.
They still lie on their leaf pages, and each proves itself by its checksum. A page that was freed
may hold commits that were forwarded before: these carry numbers that the records have booked.

Format: https://www.sqlite.org/fileformat2.html
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from ingest.spool_files import READINGS, REFUSALS, digest_of
from ingest.spool_log import read_pages

# Of every file that SQLite makes for us.
_PAGE = 4096
_TABLE_LEAF = 13
_LARGEST_CELL = _PAGE - 35
_SMALLEST_CELL = (_PAGE - 12) * 32 // 255 - 23
_MOST_BYTES = 1 << 28
_COLUMNS = 8
_INTEGER_BYTES = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 7: 8, 8: 0, 9: 0}

_PageOf = Callable[[int], bytes]
# As in the table: number, kind, readings, received_ms, ledger, digest, verdicts, packed.
CommitRow = tuple[int, int, int, int, str, bytes, bytes | None, bytes]


def scan_commits(path: Path, log: Path) -> dict[int, CommitRow]:
    """Every commit that lies whole on the pages of a file and of its log, by number."""
    newer = read_pages(log)
    found: dict[int, CommitRow] = {}
    with path.open("rb") as file:
        pages = max(os.fstat(file.fileno()).st_size // _PAGE, *newer, 0)

        def page_of(number: int) -> bytes:
            if number in newer:
                return newer[number]
            return os.pread(file.fileno(), _PAGE, (number - 1) * _PAGE)

        for number in range(2, pages + 1):
            page = page_of(number)
            if len(page) != _PAGE or page[0] != _TABLE_LEAF:
                continue
            for row in _rows(page, page_of):
                before = found.get(row[0])
                # An older copy may not know its verdicts yet; the one that does is the newer.
                if before is None or before[6] is None:
                    found[row[0]] = row
    return found


def _rows(page: bytes, page_of: _PageOf) -> Iterator[CommitRow]:
    for cell in range(int.from_bytes(page[3:5], "big")):
        pointer = 8 + 2 * cell
        try:
            at = int.from_bytes(page[pointer : pointer + 2], "big")
            number, payload = _payload(page, at, page_of)
            row = _commit(number, _record(payload))
        except (IndexError, ValueError):
            continue
        if row is not None:
            yield row


def _commit(number: int, values: list[object]) -> CommitRow | None:
    """The row, if it is a commit and its checksum holds."""
    if len(values) != _COLUMNS:
        return None
    _, kind, readings, received_ms, ledger, digest, verdicts, packed = values
    if (
        kind not in (READINGS, REFUSALS)
        or not isinstance(kind, int)
        or not isinstance(readings, int)
        or not isinstance(received_ms, int)
        or not isinstance(ledger, str)
        or not isinstance(digest, bytes)
        or not isinstance(packed, bytes)
        or not (verdicts is None or isinstance(verdicts, bytes))
        or digest_of(number, kind, received_ms, ledger, packed) != digest
    ):
        return None
    return number, kind, readings, received_ms, ledger, digest, verdicts, packed


def _payload(page: bytes, at: int, page_of: _PageOf) -> tuple[int, bytes]:
    """Row number and record of a cell, with what overflows onto other pages."""
    size, at = _varint(page, at)
    number, at = _varint(page, at)
    if size > _MOST_BYTES:
        raise ValueError("no size of ours")
    if size <= _LARGEST_CELL:
        return number, page[at : at + size]
    local = _SMALLEST_CELL + (size - _SMALLEST_CELL) % (_PAGE - 4)
    if local > _LARGEST_CELL:
        local = _SMALLEST_CELL
    parts, left = [page[at : at + local]], size - local
    following = int.from_bytes(page[at + local : at + local + 4], "big")
    while left > 0:
        more = page_of(following) if following else b""
        if len(more) != _PAGE:
            raise ValueError("the chain breaks off")
        parts.append(more[4 : 4 + left])
        left -= _PAGE - 4
        following = int.from_bytes(more[:4], "big")
    return number, b"".join(parts)


def _record(payload: bytes) -> list[object]:
    size, at = _varint(payload, 0)
    body = size
    values: list[object] = []
    while at < size:
        kind, at = _varint(payload, at)
        if kind >= 12:
            length = (kind - 12) // 2
            content = payload[body : body + length]
            if len(content) != length:
                raise ValueError("a record that is cut off")
            values.append(content.decode() if kind % 2 else content)
        else:
            length = _INTEGER_BYTES.get(kind, -1)
            if length < 0:
                raise ValueError("no kind of value")
            content = payload[body : body + length]
            whole = int.from_bytes(content, "big", signed=True)
            values.append(None if kind == 0 else kind - 8 if kind in (8, 9) else whole)
        body += length
    return values


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(9):
        byte = data[at + place]
        if place == 8:
            return (value << 8) | byte, at + 9
        value = (value << 7) | (byte & 127)
        if byte < 128:
            return value, at + place + 1
    raise ValueError("no number")
