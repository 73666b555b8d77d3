"""Spool to store and records: classify, keep the verdicts, write, book, forget.

The order makes every crash harmless. Verdicts are on disk before the store is written, so a commit
that is forwarded again after a crash is not taken for a duplicate of itself; writing is idempotent;
booking is idempotent by commit number; a commit is forgotten last.
"""

from __future__ import annotations

import json
import logging
import random
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from core.clock import Clock
from core.errors import (
    SpoolFullError,
    StoreMisconfiguredError,
    StoreRejectedError,
    StoreUnavailableError,
)
from core.ledger import (
    HOUR_MS,
    CommitOutcome,
    DirtySpan,
    LedgerCounts,
    LedgerHour,
    QuarantineEntry,
)
from core.periods import format_time
from core.ports import IngestRecords, TimeSeriesStore
from core.samples import Quality, ReadingBlock
from ingest.commits import CONFLICT, DUPLICATE, REFUSED, STORED, CommitBlock
from ingest.duplicates import Classifier
from ingest.spool import Spool, SpooledCommit

_LOG = logging.getLogger(__name__)
GROUP_READINGS = 20_000
_LONGEST_PAUSE_S = 30.0
_SLOW_PAUSE_S = 15.0

FailPoint = Callable[[str], None]
_Codes = list[NDArray[np.uint8]]


def _never(name: str) -> None:
    """The failpoint of a running service: nothing."""


class Forwarder:
    """Forwards one partition; runs on one thread.

    Args:
        failpoint: Called with the name of each step before it; tests raise there.
    """

    def __init__(
        self,
        spool: Spool,
        store: TimeSeriesStore,
        records: IngestRecords,
        clock: Clock,
        *,
        failpoint: FailPoint = _never,
    ) -> None:
        self._spool = spool
        self._store = store
        self._records = records
        self._clock = clock
        self._failpoint = failpoint
        self._classifier = Classifier(store, spool.newest())
        self._pause_s = 0.5
        self.state = "starting"
        self.forwarded = 0

    def run(self, wake: threading.Event, stop: threading.Event) -> None:
        """Forward until stopped; waits for `wake` when nothing is spooled."""
        while not stop.is_set():
            try:
                moved = self.forward_once()
                self.state, self._pause_s = "ok", 0.5
                if not moved:
                    wake.wait(1.0)
                    wake.clear()
            except StoreUnavailableError as error:
                wait_s = error.retry_after_s if error.retry_after_s is not None else self._pause_s
                self._say(f"the store is away, readings are kept in the spool: {error}")
                self._pause_s = min(_LONGEST_PAUSE_S, self._pause_s * 2)
                stop.wait(min(wait_s, 300.0) * random.uniform(1.0, 1.25))  # noqa: S311
            except StoreMisconfiguredError as error:
                self._say(f"the store refuses us, readings are kept in the spool: {error}")
                stop.wait(_SLOW_PAUSE_S if self._pause_s > 1 else self._pause_s)
                self._pause_s = min(_SLOW_PAUSE_S, self._pause_s * 2)
            except SpoolFullError as error:
                self._say(str(error))
                stop.wait(1.0)
            except Exception:  # noqa: BLE001
                # A fault of ours must not end the thread: what is spooled is safe, and is retried.
                _LOG.exception("forwarding failed; it is tried again")
                self.state = "failed, see the log"
                self._classifier = Classifier(self._store, self._spool.newest())
                stop.wait(5.0)

    def _say(self, text: str) -> None:
        if self.state != text:
            _LOG.warning("%s", text)
        self.state = text

    def forward_once(self) -> int:
        """Forward the oldest group of commits; returns how many commits were forwarded.

        Raises:
            StoreError: Nothing is lost, call again later.
        """
        group = self._spool.pending(readings=GROUP_READINGS)
        if not group:
            return 0
        booked = self._records.applied_commit(self._spool.partition)
        known = [spooled for spooled in group if spooled.number <= booked]
        if known:
            # Booked before a crash and not forgotten yet.
            self._spool.remove(spooled.number for spooled in known)
            group = [spooled for spooled in group if spooled.number > booked]
        codes = self._classify(group)
        self._failpoint("write")
        self._write(group, codes)
        self._failpoint("book")
        for spooled in group:
            self._records.apply_commit(self._outcome(spooled, codes[spooled.number]))
        self._failpoint("forget")
        self._spool.remove(spooled.number for spooled in group)
        self.forwarded += sum(spooled.commit.readings for spooled in group)
        return len(group) + len(known)

    def _classify(self, group: Sequence[SpooledCommit]) -> dict[int, _Codes]:
        self._classifier.begin_round()
        codes: dict[int, _Codes] = {}
        fresh: dict[int, list[bytes]] = {}
        parts: list[CommitBlock] = []
        try:
            for spooled in group:
                if spooled.verdicts is not None:
                    kept = [np.frombuffer(packed, np.uint8).copy() for packed in spooled.verdicts]
                    codes[spooled.number] = kept
                    for part, of_part in zip(spooled.commit.blocks, kept, strict=True):
                        self._classifier.adopt(part, of_part)
                    continue
                classified = [self._classifier.classify(part) for part in spooled.commit.blocks]
                codes[spooled.number] = classified
                fresh[spooled.number] = [of_part.tobytes() for of_part in classified]
                parts.extend(spooled.commit.blocks)
            self._failpoint("classify")
            if fresh:
                self._spool.classify(fresh, self._classifier.newest_of(parts))
        except BaseException:
            # What was remembered of this round is not on disk: begin again from what is.
            self._classifier = Classifier(self._store, self._spool.newest())
            raise
        return codes

    def _write(self, group: Sequence[SpooledCommit], codes: dict[int, _Codes]) -> None:
        blocks = []
        for spooled in group:
            for part, of_part in zip(spooled.commit.blocks, codes[spooled.number], strict=True):
                stored = of_part == STORED
                if stored.all():
                    blocks.append(part.block)
                elif stored.any():
                    blocks.append(part.block.take(stored))
        if not blocks:
            return
        try:
            self._store.write_readings(blocks)
        except StoreRejectedError as error:
            _LOG.warning("the store refuses a batch, looking for the culprit: %s", error)
            for spooled in group:
                for part, of_part in zip(spooled.commit.blocks, codes[spooled.number], strict=True):
                    rows = np.flatnonzero(of_part == STORED)
                    if len(rows):
                        self._bisect(part.block, rows, of_part)

    def _bisect(
        self, block: ReadingBlock, rows: NDArray[np.intp], codes: NDArray[np.uint8]
    ) -> None:
        try:
            self._store.write_readings([block.take(rows)])
        except StoreRejectedError as error:
            if len(rows) == 1:
                _LOG.warning("the store refuses one reading: %s", error)
                codes[rows[0]] = REFUSED
                return
            half = len(rows) // 2
            self._bisect(block, rows[:half], codes)
            self._bisect(block, rows[half:], codes)

    def _outcome(self, spooled: SpooledCommit, codes: _Codes) -> CommitOutcome:
        commit = spooled.commit
        hours: dict[tuple[str, int], LedgerCounts] = defaultdict(LedgerCounts)
        for hour in commit.hours:
            hours[(hour.site, hour.hour_ms)] = replace(hour.counts, spooled=0)
        quarantined = list(commit.quarantined)
        dirty: list[DirtySpan] = []
        replayed: dict[str, tuple[int, int, int]] = {}
        for part, of_part in zip(commit.blocks, codes, strict=True):
            tally = np.bincount(of_part, minlength=4)
            stored, duplicate = int(tally[STORED]), int(tally[DUPLICATE])
            refused = int(tally[CONFLICT] + tally[REFUSED])
            dirty.extend(_dirty_spans(part.block, of_part == STORED))
            if part.origin:
                before = replayed.get(part.origin, (0, 0, 0))
                replayed[part.origin] = (
                    before[0] + stored,
                    before[1] + duplicate,
                    before[2] + refused,
                )
                continue
            key = (part.block.site, part.received_ms - part.received_ms % HOUR_MS)
            hours[key] = hours[key] + LedgerCounts(
                stored=stored, duplicate=duplicate, quarantined=refused
            )
            if refused:
                quarantined.extend(_refused_entries(part, of_part, commit.raw))
        for entry_id in commit.replays:
            replayed.setdefault(entry_id, (0, 0, commit.replays[entry_id]))
        return CommitOutcome(
            partition=self._spool.partition,
            number=spooled.number,
            hours=tuple(LedgerHour(site, at, counts) for (site, at), counts in hours.items()),
            quarantined=tuple(quarantined),
            rejected=tuple(commit.rejected),
            dirty=tuple(dirty),
            ignored_members=commit.ignored,
            replayed=replayed,
            last_message_ms=commit.last_message_ms,
        )


def _dirty_spans(block: ReadingBlock, stored: NDArray[np.bool_]) -> list[DirtySpan]:
    if not stored.any():
        return []
    index, times = block.device_index[stored], block.time_ms[stored]
    low = np.full(len(block.devices), np.iinfo(np.int64).max)
    high = np.full(len(block.devices), np.iinfo(np.int64).min)
    np.minimum.at(low, index, times)
    np.maximum.at(high, index, times)
    return [
        DirtySpan(block.site, block.family, name, int(low[number]), int(high[number]))
        for number, name in enumerate(block.devices)
        if high[number] >= low[number]
    ]


def _refused_entries(
    part: CommitBlock, codes: NDArray[np.uint8], raw: dict[int, tuple[str, bytes, int]]
) -> list[QuarantineEntry]:
    entries = []
    reasons = {
        CONFLICT: ("conflicting_value", "another value is held for the same device and time"),
        REFUSED: ("refused_by_store", "the time-series store refused the reading"),
    }
    for code, (reason, detail) in reasons.items():
        of_code = np.flatnonzero(codes == code)
        for number in np.unique(part.message[of_code]):
            rows = of_code[part.message[of_code] == number]
            positions = tuple(sorted(int(part.row[row]) for row in rows))
            kept = raw.get(int(number))
            if kept is None:
                topic, payload = _native_message(part.block, rows)
                positions, received_ms = (), part.received_ms
            else:
                topic, payload, received_ms = kept
            entries.append(
                QuarantineEntry(
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
            )
    return entries


def _native_message(block: ReadingBlock, rows: NDArray[np.intp]) -> tuple[str, bytes]:
    """The readings as native JSON, where the message's own bytes were not kept."""
    readings = []
    for row in rows:
        reading: dict[str, object] = {
            "ts": format_time(int(block.time_ms[row])),
            "device": block.devices[block.device_index[row]],
            "values": {
                name: float(column[row])
                for name, column in block.values.items()
                if column[row] == column[row]
            },
        }
        if block.quality[row]:
            reading["quality"] = Quality(int(block.quality[row])).name.lower()
        readings.append(reading)
    topic = f"greendc/v1/{block.site}/{block.family}"
    return topic, json.dumps(readings).encode()
