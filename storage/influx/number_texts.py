"""Numbers as texts for line protocol: what repeats is rendered once.

Rendering a float takes ten times as long as looking it up. Meters tell few different numbers: whole
degrees and percents, hundredths of a kilowatt; a column of them is a table of texts and an index.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from storage.influx.arrow_columns import number_column, text_column, text_scalar

# So many numbers are looked at to guess how many different ones a column has.
_LOOKED_AT = 2_048
# A table pays where each of its texts is used so often.
_USES = 4
_FEW = 256


def number_texts(
    values: NDArray[Any], before: str, after: str = "", absent: NDArray[np.bool_] | None = None
) -> list[Any]:
    """Columns and texts that make up `before`, the number and `after` in each row.

    Args:
        values: float64 or integers; floats in the shortest form that reads back as the same.
        absent: Rows that are null.

    Returns:
        One or more parts to be joined, of which one at least is a column.
    """
    column = number_column(values, absent)
    if _repeats(values):
        found = pc.dictionary_encode(column)
        texts = pc.binary_join_element_wise(
            text_scalar(before),
            pc.cast(found.dictionary, pa.string()),
            text_scalar(after),
            text_scalar(""),
        )
        return [texts.take(found.indices)]
    parts = None if absent is not None or after else _decimal_texts(values, before)
    if parts is not None:
        return parts
    parts = [pc.cast(column, pa.string())]
    if before:
        parts.insert(0, text_scalar(before))
    if after:
        parts.append(text_scalar(after))
    return parts


def _repeats(values: NDArray[Any]) -> bool:
    if len(values) < _FEW:
        return False
    some = values[:: -(-len(values) // _LOOKED_AT)]
    return len(np.unique(some)) * _USES <= len(some)


def _decimal_texts(values: NDArray[Any], before: str) -> list[Any] | None:
    """Parts of numbers of at most three decimals whose whole parts lie close together; else None.

    A decimal of at most fifteen digits that reads back as the number is its shortest form.
    """
    if values.dtype.kind != "f" or len(values) < _FEW or not values.min() >= 0:
        return None
    if values.max() > 1e11:
        return None
    thousandths = np.rint(values * 1000)
    if (thousandths / 1000 != values).any():
        return None
    whole, fraction = np.divmod(thousandths.astype(np.int64), 1000)
    low = int(whole.min())
    size = int(whole.max()) - low + 1
    if size * _USES > len(values):
        return None
    table = pc.binary_join_element_wise(
        text_scalar(before),
        pc.cast(number_column(np.arange(low, low + size)), pa.string()),
        text_scalar(""),
    )
    return [
        table.take(number_column((whole - low).astype(np.int32))),
        _fractions().take(number_column(fraction.astype(np.int32))),
    ]


@lru_cache(maxsize=1)
def _fractions() -> Any:
    return text_column([f".{number:03d}".rstrip("0").rstrip(".") for number in range(1000)])
