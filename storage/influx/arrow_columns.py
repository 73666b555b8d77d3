"""Arrow columns over numpy arrays and texts.

`pyarrow.array` and `pyarrow.scalar` import pandas where it is installed: a second of start-up and
50 MB that a process which only ingests does not need. These make the same from buffers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_TYPES: dict[str, Any] = {
    "f8": pa.float64(),
    "i8": pa.int64(),
    "i4": pa.int32(),
    "i1": pa.int8(),
}


def number_column(values: NDArray[Any], absent: NDArray[np.bool_] | None = None) -> Any:
    """Numbers as they lie in memory; null where `absent`."""
    whole = np.ascontiguousarray(values)
    validity = None
    if absent is not None:
        validity = pa.py_buffer(np.packbits(~absent, bitorder="little"))
    kind = _TYPES[whole.dtype.str[1:]]
    return pa.Array.from_buffers(kind, len(whole), [validity, pa.py_buffer(whole)])


def text_column(texts: Sequence[str]) -> Any:
    """Texts one after another."""
    whole = "".join(texts)
    lengths = map(len, texts) if whole.isascii() else [len(text.encode()) for text in texts]
    offsets = np.zeros(len(texts) + 1, np.int32)
    np.cumsum(np.fromiter(lengths, np.int32, len(texts)), out=offsets[1:])
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(whole.encode())]
    return pa.Array.from_buffers(pa.string(), len(texts), buffers)


@lru_cache(maxsize=1024)
def text_scalar(text: str) -> Any:
    """One text that stands in every row."""
    return text_column([text])[0]


def numbers_of(column: Any, dtype: str) -> NDArray[Any]:
    """The values of a column without nulls, without a copy; `to_numpy` imports pandas, too."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    values = np.frombuffer(array.buffers()[1], dtype)
    return values[array.offset : array.offset + len(array)]
