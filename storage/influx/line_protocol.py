"""Line protocol in columns: whole blocks become text in a few Arrow passes.

One line carries all metrics of a reading. The escaped beginning of a line (measurement and tags) is
made once per series and gathered by index; numbers become text in one cast, which writes the
shortest form that reads back as the same float64.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import pyarrow.compute as pc
from isal import igzip
from numpy.typing import NDArray

from core.intervals import FLOAT_COLUMNS, IntervalBlock
from core.ports import ResultRow
from core.samples import Codes, Floats, Ints, ReadingBlock
from storage.influx.arrow_columns import number_column, text_column, text_scalar
from storage.influx.number_texts import number_texts
from storage.schema import QUALITY_SUFFIX, interval_floats

# A larger body costs the server less per line, up to a few thousand lines; a refused one has to be
# split, and a slow one meets its time limit.
LINES_PER_BODY = 25_000

_LARGE_TABLE = 2_000

# Name, numbers, and the rows that have none; None where every row has one.
_Field: TypeAlias = tuple[str, NDArray[Any], NDArray[np.bool_] | None]

# Field of an interval line: which columns are not in it, and why. Bit i: column i is NaN; bit
# i + 9: column i is zero. So an interval is replaced whole although a field cannot be taken back.
ABSENT = "absent"
# These are zero nearly always, and a field that is not written costs nothing.
OMITTED_WHEN_ZERO = ("estimated_s", "estimated_amount", "estimated_quality_s", "manual_s")


def escape_tag(text: str) -> str:
    """A tag value for line protocol; control characters and backslashes are refused before."""
    return text.replace(",", "\\,").replace("=", "\\=").replace(" ", "\\ ")


def escape_measurement(text: str) -> str:
    """A measurement for line protocol."""
    return text.replace(",", "\\,").replace(" ", "\\ ")


def _reading_prefixes(family: str, site: str, devices: tuple[str, ...]) -> Any:
    # A large table is of few of very many devices, and hardly ever comes again.
    make = _kept_prefixes if len(devices) <= _LARGE_TABLE else _make_prefixes
    return make(family, site, devices)


def _make_prefixes(family: str, site: str, devices: tuple[str, ...]) -> Any:
    head, tail = f"{escape_measurement(family)},device=", f",site={escape_tag(site)} "
    whole = "".join(devices)
    names = devices if escape_tag(whole) == whole else [escape_tag(device) for device in devices]
    return pc.binary_join_element_wise(
        text_scalar(head), text_column(names), text_scalar(tail), text_scalar("")
    )


_kept_prefixes = lru_cache(maxsize=1024)(_make_prefixes)


def encode_readings(block: ReadingBlock, marked: Collection[tuple[str, str]]) -> Any:
    """Lines of a block, one a reading that has a value.

    Args:
        marked: (device, metric) of the series that have been given a quality mark before: there a
            good quality is written out, so that it replaces the mark.

    Returns:
        A pyarrow string array, each text with its line end.
    """
    absences = {metric: np.isnan(values) for metric, values in block.values.items()}
    lacks = {metric: bool(absent.any()) for metric, absent in absences.items()}
    if all(lacks.values()):
        # Rows without any value may exist.
        present = ~np.logical_and.reduce(list(absences.values()))
        if not present.any():
            return text_column([])
        if not present.all():
            return encode_readings(block.take(present), marked)
    fields: list[_Field] = []
    complete = not any(lacks.values())
    not_good = block.quality != 0
    marks_any = bool(marked) or bool(not_good.any())
    for metric, values in block.values.items():
        absent = absences[metric]
        fields.append((metric, values, absent if lacks[metric] else None))
        if not marks_any:
            continue
        rows = not_good
        if marked:
            again = np.array([(device, metric) in marked for device in block.devices], bool)
            rows = rows | again[block.device_index]
        rows = rows & ~absent
        if rows.any():
            complete = complete and bool(rows.all())
            fields.append((metric + QUALITY_SUFFIX, block.quality, ~rows))
    prefix = _reading_prefixes(block.family, block.site, block.devices)
    heads = prefix.take(number_column(block.device_index))
    return _join_lines(heads, fields, block.time_ms, complete=complete)


def marks_of(block: ReadingBlock) -> set[tuple[str, str]]:
    """(device, metric) of the samples in a block whose quality is not good."""
    rows = np.flatnonzero(block.quality)
    if not len(rows):
        return set()
    return {
        (block.devices[device], metric)
        for metric, values in block.values.items()
        for device in np.unique(block.device_index[rows][~np.isnan(values[rows])]).tolist()
    }


def _join_lines(heads: Any, fields: Sequence[_Field], time_ms: Ints, *, complete: bool) -> Any:
    """Put lines together; `complete` says that every line has every field.

    Every line needs at least one field: Arrow drops rows that are null throughout.
    """
    times = number_texts(time_ms, " ", "\n")
    end = text_scalar("")
    if complete:
        parts: list[Any] = [heads]
        for number, (name, values, _) in enumerate(fields):
            parts += number_texts(values, f"{',' if number else ''}{name}=")
        return pc.binary_join_element_wise(*parts, *times, end)
    whole = []
    for name, values, absent in fields:
        texts = number_texts(values, f"{name}=", absent=absent)
        whole.append(pc.binary_join_element_wise(*texts, end) if len(texts) > 1 else texts[0])
    body = pc.binary_join_element_wise(*whole, text_scalar(","), null_handling="skip")
    return pc.binary_join_element_wise(heads, body, *times, end)


def encode_intervals(blocks: Sequence[IntervalBlock]) -> Any:
    """Lines of interval blocks, one an interval."""
    prefixes = text_column(
        [
            f"{escape_measurement(block.key.family)},device={escape_tag(block.key.device)},"
            f"metric={escape_tag(block.key.metric)},site={escape_tag(block.key.site)} "
            for block in blocks
        ]
    )
    index = np.repeat(np.arange(len(blocks), dtype=np.int32), [len(block) for block in blocks])
    columns = {
        name: np.concatenate([interval_floats(block)[name] for block in blocks])
        for name in FLOAT_COLUMNS
    }
    counts = np.concatenate([block.count for block in blocks])
    starts = np.concatenate([block.start_ms for block in blocks])
    mask = np.zeros(len(index), np.int64)
    fields: list[_Field] = []
    complete = True
    for position, name in enumerate(FLOAT_COLUMNS):
        values = columns[name]
        absent = np.isnan(values)
        mask |= absent.astype(np.int64) << position
        if name in OMITTED_WHEN_ZERO:
            zero = values == 0.0
            mask |= zero.astype(np.int64) << (position + len(FLOAT_COLUMNS))
            absent = absent | zero
        if absent.all():
            continue
        complete = complete and not absent.any()
        fields.append((name, values, absent if absent.any() else None))
    fields.append(("count", counts, None))
    fields.append((ABSENT, mask, None))
    heads = prefixes.take(number_column(index))
    return _join_lines(heads, fields, starts, complete=complete)


def unpack_absent(mask: Codes | Floats, position: int) -> tuple[Any, Any]:
    """Where column `position` is NaN, and where it is a zero that was not written."""
    bits = mask.astype(np.int64)
    return (bits >> position) & 1 == 1, (bits >> (position + len(FLOAT_COLUMNS))) & 1 == 1


# In CSV answers line ends inside a text are rewritten, so a document carries none.
_DOCUMENT_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\0": "\\0"}
_DOCUMENT_TABLE = str.maketrans(_DOCUMENT_ESCAPES)


def fold_document(document: bytes) -> str:
    """A document as text without line ends; still readable JSON unless it holds a backslash."""
    return document.decode("utf-8").translate(_DOCUMENT_TABLE)


def unfold_document(text: str) -> bytes:
    """The document that `fold_document` was given."""
    if "\\" not in text:
        return text.encode("utf-8")
    pieces = []
    rest = iter(text)
    for character in rest:
        if character != "\\":
            pieces.append(character)
            continue
        pieces.append({"n": "\n", "r": "\r", "0": "\0"}.get(next(rest), "\\"))
    return "".join(pieces).encode("utf-8")


def encode_results(rows: Sequence[ResultRow]) -> Any:
    """Lines of figures. A refused one writes `refused` and no `value`; see `ABSENT` for why."""
    lines = []
    for row in rows:
        document = fold_document(row.document).replace("\\", "\\\\").replace('"', '\\"')
        figure = "refused=1" if row.value is None else f"refused=0,value={float(row.value)!r}"
        lines.append(
            f"{escape_measurement(row.kind)},name={escape_tag(row.name)},"
            f"resolution={escape_tag(row.resolution)},site={escape_tag(row.site)},"
            f'subject={escape_tag(row.subject)} document="{document}",{figure} {row.start_ms}\n'
        )
    return text_column(lines)


def gzip_bodies(arrays: Iterable[Any], lines_per_body: int = LINES_PER_BODY) -> Iterator[bytes]:
    """Gzip bodies of at most so many lines, filled across arrays.

    Gzip members may follow each other in one body, so a body is compressed piece by piece without
    putting the text together first.
    """
    members: list[bytes] = []
    room = lines_per_body
    for array in arrays:
        start = 0
        while start < len(array):
            taken = min(room, len(array) - start)
            members.append(igzip.compress(_text_of(array, start, start + taken), 1))
            start += taken
            room -= taken
            if not room:
                yield b"".join(members)
                members, room = [], lines_per_body
    if members:
        yield b"".join(members)


def _text_of(array: Any, start: int, stop: int) -> memoryview:
    """The characters of array[start:stop], which lie one after another in its data buffer."""
    _, offsets, data = array.buffers()
    edges = np.frombuffer(offsets, np.int32)
    first, last = edges[array.offset + start], edges[array.offset + stop]
    return memoryview(data)[int(first) : int(last)]
