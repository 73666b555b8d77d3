"""Which readings of a refused batch the store will not take; all others are written on the way."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.errors import StoreMisconfiguredError, StoreRejectedError
from core.ports import TimeSeriesStore
from core.samples import ReadingBlock
from ingest.commits import REFUSED, STORED, CommitBlock
from ingest.duplicates import ask_store

_LOG = logging.getLogger(__name__)
_Verdicts = NDArray[np.uint8]

# So many refused readings, and none accepted, are no poison: the store refuses us.
_ALL_REFUSED = 50


def mark_culprits(
    store: TimeSeriesStore,
    parts: Sequence[tuple[CommitBlock, _Verdicts]],
    refusal: StoreRejectedError,
) -> str | None:
    """Write what the store takes, and note the others as refused in their verdicts.

    A store that says that it dropped N and took the rest is not believed: it is asked what it
    holds. Where exactly N are missing they are the culprits; else what is missing is sent again,
    in halves, as after a refusal of everything.

    Args:
        parts: Blocks of one write with their verdicts; the latter change.
        refusal: What the store said to the whole of it.

    Returns:
        The store's own words where any reading is refused, perhaps none; else None.

    Raises:
        StoreMisconfiguredError: It refuses everything: that is no matter of these readings.
        StoreError: Nothing is promised; call again with the same parts.
    """
    search = _Search(store, refusal)
    wanted = [np.flatnonzero(codes == STORED) for _, codes in parts]
    # A correction takes the place of what an earlier row of this write holds: there the order of
    # writing says it all, and what is held says nothing of the earlier row.
    if refusal.dropped is not None and not any(part.correction for part, _ in parts):
        left = [
            _missing(store, part.block, rows) for (part, _), rows in zip(parts, wanted, strict=True)
        ]
        missing = sum(len(rows) for rows in left)
        search.accepted = sum(len(rows) for rows in wanted) - missing
        if missing == refusal.dropped:
            search.note(missing)
            found = left
        else:
            _LOG.warning(
                "the store says that it dropped %d readings, and does not hold %d: sending these "
                "again", refusal.dropped, missing,
            )  # fmt: skip
            found = _culprits_of(search, parts, left)
    else:
        found = _culprits_of(search, parts, wanted)
    # Only now: an error on the way leaves the verdicts as they were.
    for (_, codes), rows in zip(parts, found, strict=True):
        codes[rows] = REFUSED
    return search.last.answer if any(len(rows) for rows in found) else None


def _culprits_of(
    search: _Search,
    parts: Sequence[tuple[CommitBlock, _Verdicts]],
    chosen: Sequence[NDArray[np.intp]],
) -> list[NDArray[np.intp]]:
    return [
        np.array(search.culprits(part.block, rows) if len(rows) else [], np.intp)
        for (part, _), rows in zip(parts, chosen, strict=True)
    ]


def _missing(
    store: TimeSeriesStore, block: ReadingBlock, rows: NDArray[np.intp]
) -> NDArray[np.intp]:
    """The rows that the store does not hold with every value."""
    if not len(rows):
        return rows
    instants = list(
        zip(block.device_index[rows].tolist(), block.time_ms[rows].tolist(), strict=True)
    )
    held = ask_store(store, block.site, block.family, block.devices, sorted(set(instants)))
    absent = np.zeros(len(rows), bool)
    for name, column in block.values.items():
        for position, (instant, value) in enumerate(
            zip(instants, column[rows].tolist(), strict=True)
        ):
            if value == value and held.get(instant, {}).get(name) != value:
                absent[position] = True
    return rows[absent]


class _Search:
    """Splits refused readings until the culprits stand alone; the others are written on the way."""

    def __init__(self, store: TimeSeriesStore, refusal: StoreRejectedError) -> None:
        self._store = store
        self.last = refusal
        self.accepted = 0
        self._refused = 0

    def note(self, refused: int) -> None:
        """Count refused readings.

        Raises:
            StoreMisconfiguredError: Too many, and none accepted.
        """
        self._refused += refused
        if self._refused >= _ALL_REFUSED and not self.accepted:
            raise StoreMisconfiguredError(
                f"the store refused {self._refused} readings and accepted none; the last answer "
                f"was: {self.last}"
            )

    def culprits(self, block: ReadingBlock, rows: NDArray[np.intp]) -> list[int]:
        try:
            self._store.write_readings([block.take(rows)])
        except StoreRejectedError as error:
            if len(rows) > 1:
                half = len(rows) // 2
                return self.culprits(block, rows[:half]) + self.culprits(block, rows[half:])
            self.last = error
            # What a store takes or drops may hang on the neighbours that it came with: an earlier
            # round may have left it there.
            if error.dropped is None or len(_missing(self._store, block, rows)):
                _LOG.warning("the store refuses one reading: %s", error)
                self.note(1)
                return [int(rows[0])]
        self.accepted += len(rows)
        return []
