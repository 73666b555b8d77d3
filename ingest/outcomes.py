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
from core.periods import INTERVAL_MS, format_time
from core.samples import Ints, Quality, ReadingBlock
from ingest.commits import CONFLICT, DUPLICATE, REFUSED, STORED, Commit, CommitBlock

_Verdicts = NDArray[np.uint8]
# Quarters of a device further apart than this are two spans instead of one long one.
_SPAN_GAP_MS = HOUR_MS
# Devices of one family in one booking, above which their live spans are one of the family.
_VERY_MANY = 1_000
# Marking a table of devices and quarters is cheaper than sorting, as long as it is no larger.
_CELLS_A_READING = 8
# More quarters than there are to the year 9999.
_QUARTER_BITS = 32

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
    stored_parts: list[tuple[CommitBlock, _Verdicts]] = []
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
            stored_parts.append((part, of_part))
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
    parts: Sequence[tuple[CommitBlock, _Verdicts]],
) -> Iterator[DirtySpan]:
    """Spans of stored readings, few for each device: what they touch is to be computed again.

    They are whole quarters of an hour, for that is what is computed. So a span that waits already
    holds all that comes until its quarter is over, and booking it again changes nothing. Where very
    many devices of a family have sent live readings, one span stands for the whole family, which is
    computed anyway.
    """
    gathered: dict[tuple[str, str, tuple[str, ...]], list[tuple[Counts, Ints]]] = {}
    newest_ms: dict[tuple[str, str], int] = {}
    for part, codes in parts:
        block = part.block
        chosen = codes == STORED
        if block.site == PROBE_SITE:
            continue
        if chosen.all():
            found = (block.device_index, block.time_ms // INTERVAL_MS)
        elif chosen.any():
            found = (block.device_index[chosen], block.time_ms[chosen] // INTERVAL_MS)
        else:
            continue
        group = (block.site, block.family)
        newest_ms[group] = max(part.received_ms, newest_ms.get(group, 0))
        gathered.setdefault((*group, block.devices), []).append(found)
    for (site, family, devices), of_table in gathered.items():
        index, quarter = _touched(of_table, len(devices))
        if len(devices) > _VERY_MANY:
            live = quarter >= (newest_ms[site, family] - HOUR_MS) // INTERVAL_MS
            if live.sum() > _VERY_MANY:
                first, last = int(quarter[live].min()), int(quarter[live].max())
                end_ms = (last + 1) * INTERVAL_MS - 1
                yield DirtySpan(site, family, "", first * INTERVAL_MS, end_ms)
                index, quarter = index[~live], quarter[~live]
        yield from _spans_of(site, family, devices, index, quarter)


def _spans_of(
    site: str, family: str, devices: tuple[str, ...], index: Ints, quarter: Ints
) -> Iterator[DirtySpan]:
    """Spans of pairs of device and quarter, which are sorted."""
    if not len(index):
        return
    breaks = (np.diff(index) != 0) | (np.diff(quarter) > 1 + _SPAN_GAP_MS // INTERVAL_MS)
    begins = np.concatenate(([0], np.flatnonzero(breaks) + 1))
    ends = np.concatenate((begins[1:] - 1, [len(index) - 1]))
    start_ms = quarter[begins] * INTERVAL_MS
    end_ms = (quarter[ends] + 1) * INTERVAL_MS - 1
    for device, start, end in zip(
        index[begins].tolist(), start_ms.tolist(), end_ms.tolist(), strict=True
    ):
        yield DirtySpan(site, family, devices[device], start, end)


def _touched(found: Sequence[tuple[Counts, Ints]], devices: int) -> tuple[Ints, Ints]:
    """Device and quarter of an hour of what was stored, each pair once, in that order."""
    index = np.concatenate([device for device, _ in found])
    quarter = np.concatenate([quarters for _, quarters in found])
    first = int(quarter.min())
    width = int(quarter.max()) - first + 1
    if devices * width <= _CELLS_A_READING * len(index):
        cells = np.zeros((devices, width), np.bool_)
        cells[index, quarter - first] = True
        rows, columns = np.nonzero(cells)
        return rows, columns + first
    keys = np.unique((index.astype(np.int64) << _QUARTER_BITS) + quarter)
    return keys >> _QUARTER_BITS, keys & ((1 << _QUARTER_BITS) - 1)


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
