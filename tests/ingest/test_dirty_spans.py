"""Which intervals a booking wants computed again, against a loop over its readings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.ledger import HOUR_MS, DirtySpan
from core.periods import INTERVAL_MS
from core.samples import ReadingBlock
from ingest import outcomes
from ingest.commits import DUPLICATE, STORED, Commit, CommitBlock

T0 = 1_795_000_000_000 // HOUR_MS * HOUR_MS
DEVICES = tuple("abcdef")

# Device, minutes from T0, whether it was stored.
ROWS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 60 * 24 * 40), st.booleans()),
    min_size=1,
    max_size=30,
)


def spans_of(rows: list[tuple[int, int, bool]], received_ms: int = T0) -> tuple[DirtySpan, ...]:
    count = len(rows)
    block = ReadingBlock(
        "s",
        "energy",
        DEVICES,
        np.array([device for device, _, _ in rows], np.int32),
        np.array([T0 + 60_000 * minute + 7 for _, minute, _ in rows], np.int64),
        np.zeros(count, np.int8),
        {"active_power_kw": np.ones(count)},
    )
    none = np.zeros(count, np.int32)
    commit = Commit([CommitBlock(block, received_ms, none, none)])
    codes = np.array([STORED if stored else DUPLICATE for _, _, stored in rows], np.uint8)
    return outcomes.build_outcome(0, 1, [(commit, [codes])], lambda *_: {}).dirty


@settings(max_examples=300, deadline=None)
@given(ROWS, st.sampled_from([0, 8]))
def test_spans_are_the_stored_quarters_joined_over_less_than_an_hour(
    rows: list[tuple[int, int, bool]], cells: int
) -> None:
    wanted = []
    for number, device in enumerate(DEVICES):
        stored = {minute // 15 for of, minute, stored in rows if of == number and stored}
        joined: list[list[int]] = []
        for quarter in sorted(stored):
            if joined and quarter - joined[-1][1] <= 1 + HOUR_MS // INTERVAL_MS:
                joined[-1][1] = quarter
            else:
                joined.append([quarter, quarter])
        for first, last in joined:
            end_ms = T0 + (last + 1) * INTERVAL_MS - 1
            wanted.append(DirtySpan("s", "energy", device, T0 + first * INTERVAL_MS, end_ms))
    with pytest.MonkeyPatch.context() as patch:
        # By sorting, and by marking in a table.
        patch.setattr(outcomes, "_CELLS_A_READING", 10_000 * cells)
        assert sorted(spans_of(rows), key=lambda s: (s.device, s.start_ms)) == wanted


def test_live_readings_of_very_many_devices_are_one_span_of_the_family(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outcomes, "_VERY_MANY", 3)
    live = [(device, 60 + device, True) for device in range(5)]
    late = [(0, 0, True), (5, 60 * 24, False)]
    received_ms = T0 + 2 * HOUR_MS
    whole = DirtySpan("s", "energy", "", T0 + HOUR_MS, T0 + HOUR_MS + INTERVAL_MS - 1)
    assert spans_of([*live, *late], received_ms) == (
        whole,
        DirtySpan("s", "energy", "a", T0, T0 + INTERVAL_MS - 1),
    )
    assert "" not in {span.device for span in spans_of(live[:3], received_ms)}
    # Days later it is no longer live, and the devices are named.
    assert "" not in {span.device for span in spans_of(live, T0 + 50 * HOUR_MS)}
