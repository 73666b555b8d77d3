"""What forwarding a group of commits came to, as the records book it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from core.ids import NATIVE_PREFIX, PROBE_SITE
from core.intervals import Counts
from core.ledger import (
    HOUR_MS,
    CommitOutcome,
    DirtySpan,
    LedgerCounts,
    LedgerHour,
    QuarantineEntry,
)
from core.periods import format_time
from core.samples import Ints, Quality, ReadingBlock
from ingest.commits import CONFLICT, DUPLICATE, REFUSED, STORED, Commit, CommitBlock

_Verdicts = NDArray[np.uint8]
# Readings of a device further apart than this dirty two spans instead of one long one.
_SPAN_GAP_MS = HOUR_MS

# (site, family, metric) -> factors by which values of these devices were multiplied.
Multipliers = Callable[[ReadingBlock, NDArray[np.intp]], dict[str, NDArray[np.float64]]]


def build_outcome(
    book: int,
    number: int,
    commits: Sequence[tuple[Commit, Sequence[_Verdicts]]],
    multipliers: Multipliers,
    refusal: str = "",
) -> CommitOutcome:
    """One outcome of several commits, to be booked under the number of the last one.

    Args:
        book: Number under which the records book these commits.
        commits: Each with one array of verdicts per block.
        multipliers: The factors of a block's rows by metric, so that a reading that goes to
            quarantine without its bytes is written as the meter sent it.
        refusal: What the store said to the readings that it refuses, as far as known.
    """
    hours: dict[tuple[str, int], LedgerCounts] = defaultdict(LedgerCounts)
    quarantined: list[QuarantineEntry] = []
    replayed: dict[str, tuple[int, int, int]] = {}
    ignored: dict[str, int] = defaultdict(int)
    last: dict[str, int] = {}
    silent: dict[tuple[str, str], int | None] = {}
    stored_parts: list[tuple[ReadingBlock, _Verdicts]] = []
    for commit, codes in commits:
        for hour in commit.hours:
            hours[hour.site, hour.hour_ms] += replace(hour.counts, spooled=0)
        quarantined += commit.quarantined
        for entry_id, refused in commit.replays.items():
            replayed[entry_id] = _add(replayed.get(entry_id), 0, 0, refused)
        for part, of_part in zip(commit.blocks, codes, strict=True):
            tally = np.bincount(of_part, minlength=4)
            stored, duplicate = int(tally[STORED]), int(tally[DUPLICATE])
            refused = int(tally[CONFLICT] + tally[REFUSED])
            stored_parts.append((part.block, of_part))
            if part.origin:
                # Its counts move inside the records, if the entry is still open then.
                replayed[part.origin] = _add(replayed.get(part.origin), stored, duplicate, refused)
                continue
            key = (part.block.site, part.received_ms - part.received_ms % HOUR_MS)
            hours[key] += LedgerCounts(stored=stored, duplicate=duplicate, quarantined=refused)
            if refused:
                quarantined += _refused_entries(part, of_part, commit, multipliers, refusal)
        for name, seen in commit.ignored.items():
            ignored[name] += seen
        for site, received_ms in commit.last_message_ms.items():
            last[site] = max(last.get(site, 0), received_ms)
        silent.update(commit.silent)
    return CommitOutcome(
        partition=book,
        number=number,
        hours=tuple(LedgerHour(site, at, counts) for (site, at), counts in hours.items()),
        quarantined=tuple(quarantined),
        rejected=tuple(entry for commit, _ in commits for entry in commit.rejected),
        dirty=tuple(_dirty_spans(stored_parts)),
        ignored_members=dict(ignored),
        replayed=replayed,
        last_message_ms=last,
        silent=silent,
    )


def _add(
    before: tuple[int, int, int] | None, stored: int, duplicate: int, refused: int
) -> tuple[int, int, int]:
    a, b, c = before or (0, 0, 0)
    return a + stored, b + duplicate, c + refused


def _dirty_spans(
    parts: Sequence[tuple[ReadingBlock, _Verdicts]],
) -> Iterator[DirtySpan]:
    """Spans of stored readings, few for each device: what they touch is to be computed again."""
    gathered: dict[tuple[str, str, tuple[str, ...]], list[tuple[Counts, Ints]]] = {}
    for block, codes in parts:
        chosen = codes == STORED
        if chosen.any() and block.site != PROBE_SITE:
            key = (block.site, block.family, block.devices)
            gathered.setdefault(key, []).append((block.device_index[chosen], block.time_ms[chosen]))
    for (site, family, devices), found in gathered.items():
        index = np.concatenate([device for device, _ in found])
        times = np.concatenate([time_ms for _, time_ms in found])
        order = np.lexsort((times, index))
        index, times = index[order], times[order]
        breaks = (np.diff(index) != 0) | (np.diff(times) > _SPAN_GAP_MS)
        begins = np.concatenate(([0], np.flatnonzero(breaks) + 1))
        ends = np.concatenate((begins[1:] - 1, [len(times) - 1]))
        for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
            yield DirtySpan(
                site, family, devices[int(index[begin])], int(times[begin]), int(times[end])
            )


_REASONS = {
    CONFLICT: ("conflicting_value", "another value is held for the same device and time"),
    REFUSED: ("refused_by_store", "the time-series store refused the reading"),
}


def _refused_entries(
    part: CommitBlock, codes: _Verdicts, commit: Commit, multipliers: Multipliers, refusal: str
) -> Iterator[QuarantineEntry]:
    for code, (reason, detail) in _REASONS.items():
        if code == REFUSED and refusal:
            detail = f"{detail}: {refusal}"  # noqa: PLW2901 - the table's words, and the store's
        of_code = np.flatnonzero(codes == code)
        for number in np.unique(part.message[of_code]).tolist():
            rows = of_code[part.message[of_code] == number]
            kept = commit.raw.get(number)
            if kept is None:
                topic, payload = render_native(part.block, rows, multipliers(part.block, rows))
                positions, received_ms = tuple(range(len(rows))), part.received_ms
            else:
                topic, payload, received_ms = kept
                positions = tuple(sorted(part.row[rows].tolist()))
            yield QuarantineEntry(
                "",
                received_ms,
                part.block.site,
                topic,
                reason,
                detail,
                len(rows),
                positions,
                payload,
            )


def render_native(
    block: ReadingBlock,
    rows: NDArray[np.intp],
    factors: dict[str, NDArray[np.float64]],
) -> tuple[str, bytes]:
    """Readings as native JSON on a gateway's topic, where the message's own bytes were not kept."""
    readings = []
    for position, row in enumerate(rows.tolist()):
        values = {}
        for name, column in block.values.items():
            value = float(column[row])
            if value == value:
                values[name] = value / float(factors[name][position]) if name in factors else value
        reading: dict[str, object] = {
            "ts": format_time(int(block.time_ms[row])),
            "device": block.devices[int(block.device_index[row])],
            "values": values,
        }
        if block.quality[row]:
            reading["quality"] = Quality(int(block.quality[row])).name.lower()
        readings.append(reading)
    topic = f"{NATIVE_PREFIX}/{block.site}/{block.family}"
    return topic, json.dumps(readings).encode()
