"""Spool to store and records: classify, keep the verdicts, write, book, forget.

The order makes every crash harmless. Verdicts are on disk before the store is written, so a commit
that is forwarded again after a crash is not taken for a duplicate of itself; writing is idempotent;
booking is idempotent by commit number; a commit is forgotten last.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from core.errors import (
    SpoolFullError,
    StoreError,
    StoreMisconfiguredError,
    StoreRejectedError,
    StoreUnavailableError,
)
from core.ledger import CommitOutcome
from core.ports import IngestRecords, TimeSeriesStore
from core.samples import ReadingBlock
from core.sites import SiteRegistry
from ingest.commits import STORED
from ingest.culprits import mark_culprits
from ingest.duplicates import Classifier
from ingest.families import SiteTables
from ingest.limits import IngestLimits
from ingest.outcomes import build_outcome
from ingest.spool import Spool, SpooledCommit
from ingest.spool_files import READINGS, REFUSALS, book_of

_LOG = logging.getLogger(__name__)
_LONGEST_PAUSE_S = 30.0
_SLOW_PAUSE_S = 15.0
_LONGEST_ASKED_S = 300.0
# Refusals are booked in small groups, and after each the readings have their turn: a site that
# sends nothing but nonsense keeps nobody's readings from the store.
_REFUSED_BYTES = 64 * 1024
# While the store is left alone, refusals are booked this often.
_REFUSALS_EVERY_S = 1.0

FailPoint = Callable[[str], None]
Settled = Callable[[Mapping[tuple[str, str], int]], None]
# Outcome, and the receipts of the commits in it, UTC epoch milliseconds.
Booked = Callable[[CommitOutcome, Sequence[int]], None]
_Verdicts = NDArray[np.uint8]


def no_failpoint(name: str) -> None:
    """The failpoint of a running service: nothing."""


class Forwarder:
    """Forwards one partition; runs on one thread.

    Args:
        registry: Needed only to write a refused reading as its meter sent it.
        failpoint: Called with the name of each step before it; tests raise there.
        settled: Called once, with the newest time of each device, when everything that was spooled
            before this life has been judged.
        booked: Called with each outcome that the records have taken.
    """

    def __init__(
        self,
        spool: Spool,
        store: TimeSeriesStore,
        records: IngestRecords,
        *,
        registry: SiteRegistry | None = None,
        limits: IngestLimits | None = None,
        failpoint: FailPoint = no_failpoint,
        settled: Settled | None = None,
        booked: Booked | None = None,
    ) -> None:
        self._settled = settled
        self._booked = booked
        self._before = spool.last_number
        self._spool = spool
        self._store = store
        self._records = records
        self._limits = limits or IngestLimits()
        self._sites = {site.id: site for site in registry or ()}
        # Made when first needed, which is hardly ever: those of a fleet are large.
        self._tables: dict[str, SiteTables] = {}
        self._failpoint = failpoint
        self._classifier = self._new_classifier()
        self._above: dict[int, int] = {}
        for kind in (READINGS, REFUSALS):
            # Before anything is received: no number may be given that the records have booked. If
            # they are away, numbers begin at the clock's milliseconds, and they are asked later.
            with suppress(StoreError):
                self._ask_booked(book_of(spool.partition, kind))
        self._pause_s = 0.5
        self._refusals_wait = False
        self._rival = ""
        self.state = "starting"
        self.forwarded = 0

    def _new_classifier(self) -> Classifier:
        recent = self._limits.recent_readings
        return Classifier(self._store, self._spool.newest(), recent_readings=recent)

    def exchange(self, registry: SiteRegistry) -> None:
        """Go on with another registry; may be called from another thread."""
        self._tables = {site.id: SiteTables(site) for site in registry}

    def run(self, wake: threading.Event, stop: threading.Event) -> None:
        """Forward until stopped; waits for `wake` when nothing is spooled."""
        limits = self._limits
        while not stop.is_set():
            began = time.monotonic()
            try:
                moved = self.forward_once()
                self._say("ok")
                self._pause_s = 0.5
                if not moved:
                    self._spool.shrink()
                    wake.wait(1.0)
                    wake.clear()
                if moved < limits.forward_readings // 4 and not self._refusals_wait:
                    # Little waits: a round costs the same for one reading as for a thousand.
                    busy = moved > limits.forward_busy_readings
                    rest_ms = limits.forward_busy_ms if busy else limits.forward_ms
                    stop.wait(max(0.0, rest_ms / 1000 - (time.monotonic() - began)))
            except StoreUnavailableError as error:
                wait_s = error.retry_after_s if error.retry_after_s is not None else self._pause_s
                self._say(f"the store is away, readings are kept in the spool: {error}")
                self._pause_s = min(_LONGEST_PAUSE_S, self._pause_s * 2)
                wait_s = min(wait_s, _LONGEST_ASKED_S) * random.uniform(1.0, 1.25)  # noqa: S311
                self._rest(stop, wait_s)
            except StoreMisconfiguredError as error:
                self._say(f"the store refuses us, readings are kept in the spool: {error}")
                self._rest(stop, min(self._pause_s, _SLOW_PAUSE_S))
                self._pause_s = min(_SLOW_PAUSE_S, self._pause_s * 2)
            except SpoolFullError as error:
                self._say(str(error))
                stop.wait(1.0)
            except Exception:  # noqa: BLE001
                # A fault of ours must not end the thread: what is spooled is safe, and is retried.
                _LOG.exception("forwarding failed; it is tried again")
                self.state = "failed, see the log"
                self._classifier = self._new_classifier()
                stop.wait(5.0)

    def _rest(self, stop: threading.Event, seconds: float) -> None:
        """Leave the store alone for so long; refusals need none, and are booked meanwhile."""
        until = time.monotonic() + seconds
        with suppress(StoreError, SpoolFullError):
            while (left := until - time.monotonic()) > 0:
                if stop.wait(0.0 if self._refusals_wait else min(left, _REFUSALS_EVERY_S)):
                    return
                if not self._rival:
                    self._book_refusals()
        # The records are away, too.
        stop.wait(max(0.0, until - time.monotonic()))

    def _say(self, text: str) -> None:
        # Once per change: an outage of a night is two lines, not ten thousand.
        if self.state != text:
            if text != "ok":
                _LOG.warning("%s", text)
            elif self.state != "starting":
                _LOG.info("forwarding again")
        self.state = text

    def forward_once(self) -> int:
        """Forward the refusals that wait, and the oldest group of readings.

        Returns:
            How many readings and refusals left the spool; 0 when there were none.

        Raises:
            StoreError: Nothing is lost, call again later.
        """
        if self._rival:
            # What is in the spool stays there: by number it would pass for booked.
            raise StoreMisconfiguredError(self._rival)
        # Refusals first: they need no store, and somebody may be waiting to mend them.
        return self._book_refusals() + self._forward_readings()

    def _unbooked(self, kind: int, readings: int) -> tuple[list[SpooledCommit], int]:
        """The oldest commits that the records have not booked; and how many they had."""
        most = _REFUSED_BYTES if kind == REFUSALS else None
        group = self._spool.pending(kind=kind, readings=readings, packed_bytes=most)
        if not group:
            return [], 0
        book = book_of(self._spool.partition, kind)
        if book not in self._above:
            self._ask_booked(book)
        booked = [spooled.number for spooled in group if spooled.number <= self._above[book]]
        if booked:
            # Booked before a crash and not forgotten yet.
            self._spool.remove(booked)
            group = group[len(booked) :]
        return group, len(booked)

    def _ask_booked(self, book: int) -> None:
        """Ask what is booked: at the start of this life and after anything went wrong."""
        self._above[book] = self._records.applied_commit(book)
        self._spool.begin_above(self._above[book])

    def _book(
        self,
        kind: int,
        group: Sequence[SpooledCommit],
        codes: Sequence[Sequence[_Verdicts]],
        refusal: str = "",
    ) -> None:
        book, number = book_of(self._spool.partition, kind), group[-1].number
        commits = [spooled.commit for spooled in group]
        outcome = build_outcome(
            book,
            number,
            list(zip(commits, codes, strict=True)),
            self._multipliers,
            refusal,
        )
        # Whether it was booked is unknown until it answers: then the records are asked again.
        del self._above[book]
        if not self._records.apply_commit(outcome):
            # We know what was booked, and these numbers were above it.
            self._rival = (
                f"the records have booked other commits of partition {self._spool.partition} under "
                "our numbers: another process works on a copy of its spool; end one of the two, "
                "and have what was sent since the copy was made sent again"
            )
            raise StoreMisconfiguredError(self._rival)
        self._above[book] = number
        if self._booked is not None:
            self._booked(outcome, [spooled.received_ms for spooled in group])
        self._failpoint("forget")
        self._spool.remove(spooled.number for spooled in group)

    def _book_refusals(self) -> int:
        group, known = self._unbooked(REFUSALS, readings=1)
        if group:
            self._failpoint("book")
            self._book(REFUSALS, group, [[] for _ in group])
        self._refusals_wait = bool(group) and self._spool.holds_more_than(
            _REFUSED_BYTES, kind=REFUSALS
        )
        return len(group) + known

    def _forward_readings(self) -> int:
        group, known = self._unbooked(READINGS, self._limits.forward_readings)
        if self._settled is not None and (not group or group[0].number > self._before):
            self._classifier.know(self._sites)
            self._settled(self._classifier.all_newest())
            self._settled = None
        if not group:
            return known
        # Verdicts that an earlier life has kept are carried out before anything new is judged.
        kept = group[0].verdicts is not None
        group = list(takewhile(lambda spooled: (spooled.verdicts is not None) is kept, group))
        codes = self._classify(group, kept=kept)
        self._failpoint("write")
        refusal = self._write(group, codes)
        if refusal is not None:
            # Remembered as held, a refused reading would make its own replay a duplicate.
            self._classifier = self._new_classifier()
            self._spool.classify(_packed(group, codes), {})
        self._failpoint("book")
        self._book(READINGS, group, codes, refusal or "")
        readings = sum(spooled.commit.readings for spooled in group)
        self.forwarded += readings
        return max(1, readings) + known

    def _classify(self, group: Sequence[SpooledCommit], *, kept: bool) -> list[list[_Verdicts]]:
        codes: list[list[_Verdicts]] = []
        if not kept:
            self._classifier.prepare(part for spooled in group for part in spooled.commit.blocks)
        try:
            for spooled in group:
                if kept:
                    packed = spooled.verdicts or []
                    of_commit = [np.frombuffer(part, np.uint8).copy() for part in packed]
                    for part, of_part in zip(spooled.commit.blocks, of_commit, strict=True):
                        self._classifier.adopt(part, of_part)
                else:
                    of_commit = [self._classifier.classify(part) for part in spooled.commit.blocks]
                codes.append(of_commit)
            self._failpoint("classify")
            if not kept:
                self._spool.classify(_packed(group, codes), self._classifier.newest())
        except BaseException:
            # What was remembered of this round is not on disk: begin again from what is.
            self._classifier = self._new_classifier()
            raise
        return codes

    # ------------------------------------------------------------ writing

    def _write(
        self, group: Sequence[SpooledCommit], codes: Sequence[Sequence[_Verdicts]]
    ) -> str | None:
        """Write the stored readings; where the store refuses some, note it in `codes`.

        Returns:
            What the store said where it refuses some; else None.

        Raises:
            StoreError: As the store, but for readings that it refuses.
        """
        parts = [
            (part, of_part)
            for spooled, of_commit in zip(group, codes, strict=True)
            for part, of_part in zip(spooled.commit.blocks, of_commit, strict=True)
        ]
        plain: list[ReadingBlock] = []
        corrections: list[ReadingBlock] = []
        for part, of_part in parts:
            stored = of_part == STORED
            if stored.any():
                block = part.block if stored.all() else part.block.take(stored)
                (corrections if part.correction else plain).append(block)
        try:
            if plain:
                self._store.write_readings(merge_blocks(plain))
            for block in corrections:
                # After what they correct, and in their own order.
                self._store.write_readings([block])
            return None
        except StoreRejectedError as error:
            _LOG.warning("the store refuses a batch, looking for the culprit: %s", error)
            return mark_culprits(self._store, parts, error)

    def _multipliers(
        self, block: ReadingBlock, rows: NDArray[np.intp]
    ) -> dict[str, NDArray[np.float64]]:
        site = self._sites.get(block.site)
        if site is None:
            return {}
        tables = self._tables.get(site.id)
        if tables is None:
            tables = self._tables[site.id] = SiteTables(site)
        table = tables.families[block.family]
        index = np.array(
            [table.index.get(block.devices[int(at)], -1) for at in block.device_index[rows]],
            np.int32,
        )
        factors = table.multipliers(index, block.time_ms[rows])
        if factors is None:
            return {}
        return {name: factors for name in block.values if table.is_scaled(name)}


def _packed(
    group: Sequence[SpooledCommit], codes: Sequence[Sequence[_Verdicts]]
) -> dict[int, list[bytes]]:
    return {
        spooled.number: [of_part.tobytes() for of_part in of_commit]
        for spooled, of_commit in zip(group, codes, strict=True)
    }


def merge_blocks(blocks: Sequence[ReadingBlock]) -> list[ReadingBlock]:
    """Fewer and larger blocks: those of one site, family, device table and set of metrics as one.

    Rows keep their order inside each; a reading that replaces another comes after it.
    """
    groups: dict[tuple[str, str, int, tuple[str, ...]], list[ReadingBlock]] = {}
    for block in blocks:
        key = (block.site, block.family, id(block.devices), tuple(sorted(block.values)))
        groups.setdefault(key, []).append(block)
    merged = []
    for (site, family, _, names), parts in groups.items():
        if len(parts) == 1:
            merged.append(parts[0])
            continue
        merged.append(
            ReadingBlock(
                site,
                family,
                parts[0].devices,
                np.concatenate([part.device_index for part in parts]),
                np.concatenate([part.time_ms for part in parts]),
                np.concatenate([part.quality for part in parts]),
                {name: np.concatenate([part.values[name] for part in parts]) for name in names},
            )
        )
    return merged
