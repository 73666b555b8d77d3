"""Replay and discard of quarantine entries, on request of a person.

A request is a row in the records; the ingester that owns the site carries it out. A replay goes the
normal way through the spool; its readings move from quarantined to stored or duplicate in their own
hour of receipt when the commit is booked, and only if the entry is still open then. Many entries
are one commit, so that a thousand cost little more than one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from core.clock import Clock
from core.ledger import QuarantineEntry, QuarantineRequest
from core.ports import IngestRecords
from ingest.commits import Commit, join_commits
from ingest.limits import MIB
from ingest.messages import Refusal

# Entries that are read and replayed together.
_AT_ONCE = 500
_MOST_BYTES = 8 * MIB

Taken = tuple[QuarantineEntry, Commit, list[Refusal]]


class QuarantineWork:
    """Carries out waiting requests for the sites of one process.

    Args:
        owns: Whether this process takes a site.
        take_again: Builds the commits of a replay, one an entry (entries, correction).
        append: Makes a commit durable in the spool; returns its number.
        settle: Waits until that commit is booked; False when it is not within its time.
    """

    def __init__(
        self,
        records: IngestRecords,
        clock: Clock,
        *,
        owns: Callable[[str], bool],
        take_again: Callable[[Sequence[QuarantineEntry], bool], list[tuple[Commit, list[Refusal]]]],
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
        """Carry out every waiting request of our sites; returns how many.

        A request is for one site. Of one that names several (an earlier version filed such), the
        first decides whose it is.
        """
        done = 0
        for request in self._records.read_quarantine_requests(state="waiting"):
            outcome: dict[str, str] = {}
            is_settled = True
            for ids in _portions(request.entry_ids):
                held = self._records.read_quarantine_entries(ids)
                if not outcome and not self._is_ours(held.values()):
                    break
                told, is_settled = self._carry_out(request, ids, held, wait=is_settled)
                outcome.update(told)
            else:
                self._records.finish_quarantine_request(request.id, outcome, self._clock.now())
                done += 1
        return done

    def _is_ours(self, entries: Iterable[QuarantineEntry]) -> bool:
        first = next(iter(entries), None)
        return first is None or self._owns(first.site)

    def _carry_out(
        self,
        request: QuarantineRequest,
        ids: Sequence[str],
        held: dict[str, QuarantineEntry],
        *,
        wait: bool,
    ) -> tuple[dict[str, str], bool]:
        """What became of each entry; and whether waiting for the next ones makes sense."""
        outcome: dict[str, str] = {}
        ours: list[QuarantineEntry] = []
        for entry_id in ids:
            entry = held.get(entry_id)
            if entry is None:
                outcome[entry_id] = "no such entry"
            elif entry.state != "open":
                outcome[entry_id] = f"already {entry.state}"
            elif not self._owns(entry.site):
                outcome[entry_id] = "of another site: ask for it by itself"
            else:
                ours.append(entry)
        if request.action == "discard":
            closed = self._records.discard_quarantine_entries(
                [entry.id for entry in ours],
                by=request.requested_by,
                note=request.note,
                now=self._clock.now(),
            )
            for entry in ours:
                outcome[entry.id] = "discarded" if entry.id in closed else "already closed"
            return outcome, wait
        told, is_settled = self._replay(ours, request.as_correction, wait=wait)
        return {**outcome, **told}, is_settled

    def _replay(
        self, entries: Sequence[QuarantineEntry], correction: bool, *, wait: bool
    ) -> tuple[dict[str, str], bool]:
        outcome: dict[str, str] = {}
        good: list[Taken] = []
        for entry, (commit, refusals) in zip(
            entries, self._take_again(entries, correction), strict=True
        ):
            if commit.blocks:
                good.append((entry, commit, refusals))
            else:
                again = _words(refusals)
                outcome[entry.id] = f"still refused: {again}" if again else "holds no reading"
        numbers = [self._append(join_commits([c for _, c, _ in part])) for part in _parts(good)]
        is_settled = wait and all(self._settle(number) for number in numbers)
        if not is_settled:
            later = "accepted; it will be stored when the store is there again"
            return {**outcome, **{entry.id: later for entry, _, _ in good}}, False
        after = self._records.read_quarantine_entries([entry.id for entry, _, _ in good])
        for entry, _, refusals in good:
            left = after.get(entry.id)
            if left is None or left.state != "open":
                outcome[entry.id] = "replayed"
                continue
            conflict = "conflicting_value (replay it as a correction to replace what is held)"
            outcome[entry.id] = (
                f"still refused: {_words(refusals) or conflict}, "
                f"{left.count} of {entry.count} readings"
            )
        return outcome, True


def _portions(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    # A request without entries is done at once: one portion of none.
    for first in range(0, max(1, len(ids)), _AT_ONCE):
        yield ids[first : first + _AT_ONCE]


def _parts(taken: Sequence[Taken]) -> Iterator[list[Taken]]:
    """The commits of entries in parts, each small enough for one row of the spool."""
    part: list[Taken] = []
    size = 0
    for one in taken:
        if part and size + len(one[0].payload) > _MOST_BYTES:
            yield part
            part, size = [], 0
        part.append(one)
        size += len(one[0].payload)
    if part:
        yield part


def _words(refusals: Sequence[Refusal]) -> str:
    return ", ".join(f"{refusal.reason} ({refusal.detail})" for refusal in refusals)
