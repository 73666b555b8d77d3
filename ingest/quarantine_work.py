"""Replay and discard of quarantine entries, on request of a person.

A request is a row in the records; the ingester that owns the site carries it out. A replay goes the
normal way through the spool; its readings move from quarantined to stored or duplicate in their own
hour of receipt when the commit is booked, and only if the entry is still open then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from core.clock import Clock
from core.errors import NotFoundError
from core.ledger import QuarantineEntry, QuarantineRequest
from core.ports import IngestRecords
from ingest.commits import Commit
from ingest.messages import Refusal

_LOG = logging.getLogger(__name__)


class QuarantineWork:
    """Carries out waiting requests for the sites of one process.

    Args:
        owns: Whether this process takes a site.
        take_again: Builds the commit of a replay (entry, correction).
        append: Makes a commit durable in the spool; returns its number.
        settle: Waits until that commit is booked; False when it is not within its time.
    """

    def __init__(
        self,
        records: IngestRecords,
        clock: Clock,
        *,
        owns: Callable[[str], bool],
        take_again: Callable[[QuarantineEntry, bool], tuple[Commit, list[Refusal]]],
        append: Callable[[Commit], int],
        settle: Callable[[int], bool],
    ) -> None:
        self._records = records
        self._clock = clock
        self._owns = owns
        self._take_again = take_again
        self._append = append
        self._settle = settle

    def run_once(self) -> int:
        """Carry out every waiting request whose entries are all ours; returns how many."""
        done = 0
        for request in self._records.read_quarantine_requests(state="waiting"):
            entries = [self._entry(entry_id) for entry_id in request.entry_ids]
            if not all(entry is None or self._owns(entry.site) for entry in entries):
                continue
            outcome = {
                entry_id: self._carry_out(request, entry)
                for entry_id, entry in zip(request.entry_ids, entries, strict=True)
            }
            self._records.finish_quarantine_request(request.id, outcome)
            done += 1
        return done

    def _entry(self, entry_id: str) -> QuarantineEntry | None:
        try:
            return self._records.read_quarantine_entry(entry_id)
        except NotFoundError:
            return None

    def _carry_out(self, request: QuarantineRequest, entry: QuarantineEntry | None) -> str:
        if entry is None:
            return "no such entry"
        if entry.state != "open":
            return f"already {entry.state}"
        if request.action == "discard":
            self._records.discard_quarantine(
                entry.id, by=request.requested_by, note=request.note, now=self._clock.now()
            )
            return "discarded"
        commit, refusals = self._take_again(entry, request.as_correction)
        again = ", ".join(f"{refusal.reason} ({refusal.detail})" for refusal in refusals)
        if not commit.blocks:
            return f"still refused: {again}" if again else "holds no reading"
        if not self._settle(self._append(commit)):
            return "accepted; it will be stored when the store is there again"
        after = self._entry(entry.id)
        if after is None or after.state != "open":
            return "replayed"
        conflict = "conflicting_value (replay it as a correction to replace what is held)"
        return f"still refused: {again or conflict}, {after.count} of {entry.count} readings"
