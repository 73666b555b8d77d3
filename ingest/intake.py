"""Messages to one commit: decode, normalise, count. Pure but for the newest times it remembers."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from core.errors import RefusedReadingError
from core.ledger import HOUR_MS, LedgerCounts, LedgerHour, QuarantineEntry, RejectedEntry
from core.reasons import REASONS, REJECTED
from core.samples import ReadingBlock
from core.sites import SiteRegistry
from ingest.commits import Commit, CommitBlock
from ingest.messages import DecodedMessage, RawMessage, Refusals
from ingest.native import MAX_READINGS, decode_native
from ingest.normalise import NormalisedChunk, Normaliser
from ingest.rate import RateCap
from ingest.singles import SingleReadings
from ingest.topics import NativeTopic, parse_topic, site_of

LATE_MS = 15 * 60 * 1000
MAX_PAYLOAD = 256 * 1024
_HEAD = 1024
_NEVER = -(2**62)


@dataclass(slots=True)
class _Gathered:
    # Normalised chunks of one (site, family, hour), to become one block.
    parts: list[tuple[NormalisedChunk, Any]] = field(default_factory=list)
    received_ms: int = 0


class Intake:
    """Turns messages into commits; knows the registry, the limits and the newest times received.

    `late` counts good readings that arrived more than 15 minutes after their time stamp.
    """

    def __init__(
        self,
        registry: SiteRegistry,
        *,
        site_readings_per_s: float,
        max_payload: int = MAX_PAYLOAD,
        max_readings: int = MAX_READINGS,
        newest: dict[tuple[str, str], int] | None = None,
    ) -> None:
        self._registry = registry
        self._normalisers = {site.id: Normaliser(site) for site in registry}
        self._cap = RateCap(site_readings_per_s)
        self._max_payload = max_payload
        self._max_readings = max_readings
        self._newest = dict(newest or {})
        self._topics: dict[str, NativeTopic] = {}

    def take(self, messages: Sequence[RawMessage]) -> Commit:
        """One commit of all these messages; never raises for what a message holds."""
        work = _Work()
        singles = SingleReadings()
        for number, message in enumerate(messages):
            site = site_of(message.topic)
            if site:
                last = work.last_message_ms
                last[site] = max(last.get(site, 0), message.received_ms)
            try:
                topic = self._judge_message(message)
                if topic.device and singles.take(number, topic, message):
                    continue
                decoded = self._decode(message, topic)
            except RefusedReadingError as refusal:
                work.refuse_message(message, site, refusal)
                continue
            self._take_decoded(work, number, message, topic, decoded)
        for single in singles.groups():
            self._take_singles(work, single, messages)
        return self._build(work, messages)

    def take_again(self, entry: QuarantineEntry, *, correction: bool) -> tuple[Commit, Refusals]:
        """A commit that replays the rows of a quarantine entry, and what is still refused.

        The time window is judged against the entry's own time of receipt.

        Raises:
            RefusedReadingError: The whole message still cannot be read.
        """
        message = RawMessage(entry.topic, entry.payload, entry.received_ms)
        topic = self._judge_message(message)
        decoded = self._decode(message, topic)
        work = _Work(origin=entry.id, correction=correction)
        wanted = set(entry.rows) if entry.rows else None
        refusals = Refusals()
        self._normalise(work, 0, message, topic, decoded, refusals, wanted)
        for reason, rows in decoded.refusals.by_reason.items():
            for row in rows:
                if wanted is None or row in wanted:
                    refusals.add(row, reason, decoded.refusals.details[reason])
        commit = self._build(work, [message], keep_all_raw=True)
        commit.hours.clear()
        return commit, refusals

    def set_aside(self, message: RawMessage) -> Commit:
        """A commit that quarantines one message whole: the last resort when decoding it fails."""
        work = _Work()
        refusal = RefusedReadingError("wrong_shape", "the decoder failed on it; see the log")
        work.refuse_message(message, site_of(message.topic), refusal)
        return self._build(work, [message])

    def _judge_message(self, message: RawMessage) -> NativeTopic:
        topic = self._topics.get(message.topic)
        if topic is None:
            site = site_of(message.topic)
            if site and site not in self._registry:
                raise RefusedReadingError("unknown_site", f"no site {site!r} in the registry")
            if len(message.payload) > self._max_payload:
                raise self._too_large(message)
            topic = parse_topic(message.topic)
            if len(self._topics) < 100_000:
                self._topics[message.topic] = topic
        if len(message.payload) > self._max_payload:
            raise self._too_large(message)
        return topic

    def _too_large(self, message: RawMessage) -> RefusedReadingError:
        detail = f"{len(message.payload)} bytes, at most {self._max_payload}"
        return RefusedReadingError("payload_too_large", detail)

    def _decode(self, message: RawMessage, topic: NativeTopic) -> DecodedMessage:
        decoded = decode_native(
            message.payload,
            gateway=not topic.device,
            site=topic.site,
            max_readings=self._max_readings,
        )
        foreign = decoded.sites - {topic.site}
        if foreign:
            # The whole message speaks for another site: none of its readings is ours.
            detail = f"the message names site {sorted(foreign)[0][:64]!r}"
            everything = np.arange(decoded.count, dtype=np.int64)
            decoded.chunks.clear()
            decoded.refusals = Refusals()
            decoded.refusals.add_rows(everything, "site_mismatch", detail)
        return decoded

    def _take_decoded(
        self,
        work: _Work,
        number: int,
        message: RawMessage,
        topic: NativeTopic,
        decoded: DecodedMessage,
    ) -> None:
        if not self._cap.allow(topic.site, decoded.count, message.received_ms):
            refusal = RefusedReadingError(
                "rate_cap", f"more than {self._cap.per_s:g} readings a second"
            )
            work.refuse_message(message, topic.site, refusal, count=decoded.count)
            return
        work.ignored.update(decoded.ignored)
        self._normalise(work, number, message, topic, decoded, decoded.refusals, None)
        good = decoded.count - decoded.refusals.count
        work.count(topic.site, message.received_ms, received=decoded.count, spooled=good)
        work.quarantine(message, topic.site, decoded.refusals)

    def _normalise(
        self,
        work: _Work,
        number: int,
        message: RawMessage,
        topic: NativeTopic,
        decoded: DecodedMessage,
        refusals: Refusals,
        wanted: set[int] | None,
    ) -> None:
        normaliser = self._normalisers[topic.site]
        for chunk in decoded.chunks:
            mine = Refusals() if wanted is not None else refusals
            normalised = normaliser.normalise(
                chunk,
                family=topic.family,
                topic_device=topic.device,
                received_ms=message.received_ms,
                refusals=mine,
            )
            if wanted is not None:
                for reason, rows in mine.by_reason.items():
                    for row in rows:
                        if row in wanted:
                            refusals.add(row, reason, mine.details[reason])
                if normalised is None:
                    continue
                keep = np.isin(normalised.rows, list(wanted))
                if not keep.any():
                    continue
                normalised = NormalisedChunk(normalised.block.take(keep), normalised.rows[keep])
            if normalised is not None:
                numbers = np.full(len(normalised.rows), number, dtype=np.int32)
                work.add(topic, message.received_ms, normalised, numbers)

    def _take_singles(self, work: _Work, group: Any, messages: Sequence[RawMessage]) -> None:
        # Rows of this chunk are message numbers: each message holds one reading, its row 0.
        refusals = Refusals()
        normalised = self._normalisers[group.site].normalise(
            group.chunk,
            family=group.family,
            topic_device="",
            received_ms=group.received_ms,
            refusals=refusals,
        )
        capped = set()
        if not self._cap.allow(group.site, len(group.chunk.rows), group.received_ms):
            capped = {int(row) for row in group.chunk.rows}
            refusals = Refusals()
            normalised = None
            for row in capped:
                detail = f"more than {self._cap.per_s:g} readings a second"
                refusals.add(row, "rate_cap", detail)
        refused = refusals.count
        work.count(
            group.site,
            group.received_ms,
            received=len(group.chunk.rows),
            spooled=len(group.chunk.rows) - refused,
        )
        for reason, rows in refusals.by_reason.items():
            for row in rows:
                one = Refusals()
                one.add(0, reason, refusals.details[reason])
                work.quarantine(messages[row], group.site, one)
        if normalised is not None:
            topic = NativeTopic(group.site, group.family, "")
            numbers = normalised.rows.astype(np.int32)
            zero = NormalisedChunk(normalised.block, np.zeros_like(normalised.rows))
            work.add(topic, group.received_ms, zero, numbers)

    def _build(
        self, work: _Work, messages: Sequence[RawMessage], *, keep_all_raw: bool = False
    ) -> Commit:
        commit = Commit(
            quarantined=work.quarantined,
            rejected=work.rejected,
            ignored=dict(work.ignored),
            last_message_ms=work.last_message_ms,
        )
        keep: set[int] = set()
        for (site, family, _), gathered in work.gathered.items():
            part = _merge(site, family, gathered, work.origin, work.correction)
            commit.blocks.append(part)
            late = int((part.block.time_ms < part.received_ms - LATE_MS).sum())
            if late and not work.origin:
                work.count(site, part.received_ms, late=late)
            suspects = self._suspects(part)
            keep.update(int(number) for number in suspects)
        if keep_all_raw:
            keep = set(range(len(messages)))
        for number in sorted(keep):
            message = messages[number]
            commit.raw[number] = (message.topic, message.payload, message.received_ms)
        commit.hours = [
            LedgerHour(site, hour_ms, LedgerCounts(**counts))
            for (site, hour_ms), counts in work.hours.items()
        ]
        return commit

    def _suspects(self, part: CommitBlock) -> Any:
        """Numbers of messages with a reading not newer than what came before of its device."""
        block = part.block
        order = np.lexsort((block.time_ms, block.device_index))
        device = block.device_index[order]
        time_ms = block.time_ms[order]
        first = np.ones(len(order), dtype=bool)
        first[1:] = device[1:] != device[:-1]
        before = np.empty(len(order), dtype=np.int64)
        before[1:] = time_ms[:-1]
        newest = self._newest
        known = np.array(
            [newest.get((block.site, name), _NEVER) for name in block.devices], dtype=np.int64
        )
        before[first] = known[device[first]]
        suspicious = time_ms <= before
        # A device never seen here may be known to the store: its first readings are kept, too.
        suspicious |= (known == _NEVER)[device]
        last = np.ones(len(order), dtype=bool)
        last[:-1] = device[1:] != device[:-1]
        for number, newest_ms in zip(device[last], time_ms[last], strict=True):
            key = (block.site, block.devices[number])
            newest[key] = max(newest.get(key, _NEVER), int(newest_ms))
        return np.unique(part.message[order][suspicious])


@dataclass(slots=True)
class _Work:
    origin: str = ""
    correction: bool = False
    gathered: dict[tuple[str, str, int], _Gathered] = field(default_factory=dict)
    hours: dict[tuple[str, int], dict[str, int]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(int))
    )
    quarantined: list[QuarantineEntry] = field(default_factory=list)
    rejected: list[RejectedEntry] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    last_message_ms: dict[str, int] = field(default_factory=dict)

    def count(self, site: str, received_ms: int, **counts: int) -> None:
        hour = self.hours[(site, received_ms - received_ms % HOUR_MS)]
        for name, count in counts.items():
            hour[name] += count

    def add(
        self, topic: NativeTopic, received_ms: int, chunk: NormalisedChunk, numbers: Any
    ) -> None:
        key = (topic.site, topic.family, received_ms - received_ms % HOUR_MS)
        gathered = self.gathered.setdefault(key, _Gathered())
        gathered.parts.append((chunk, numbers))
        gathered.received_ms = max(gathered.received_ms, received_ms)

    def quarantine(self, message: RawMessage, site: str, refusals: Refusals) -> None:
        for reason, rows in refusals.by_reason.items():
            if REASONS[reason].verdict == REJECTED:
                self.reject(message, site, reason, refusals.details[reason], len(rows))
                continue
            self.count(site, message.received_ms, quarantined=len(rows))
            self.quarantined.append(
                QuarantineEntry(
                    "",
                    message.received_ms,
                    site,
                    message.topic,
                    reason,
                    refusals.details[reason],
                    len(rows),
                    tuple(sorted(rows)),
                    message.payload,
                )
            )

    def reject(self, message: RawMessage, site: str, reason: str, detail: str, count: int) -> None:
        self.count(site, message.received_ms, rejected=count)
        digest = hashlib.sha256(message.payload).hexdigest()
        head = message.payload[:_HEAD]
        self.rejected.append(
            RejectedEntry(
                message.received_ms, site, message.topic, reason, detail, count, digest, head
            )
        )

    def refuse_message(
        self, message: RawMessage, site: str, refusal: RefusedReadingError, *, count: int = 1
    ) -> None:
        """A message refused as a whole: it counts as one reading unless its readings are known."""
        if REASONS[refusal.reason].verdict == REJECTED:
            self.count(site, message.received_ms, received=count)
            self.reject(message, site, refusal.reason, refusal.detail, count)
            return
        self.count(site, message.received_ms, received=count, quarantined=count)
        self.quarantined.append(
            QuarantineEntry(
                "",
                message.received_ms,
                site,
                message.topic,
                refusal.reason,
                refusal.detail,
                count,
                (),
                message.payload,
            )
        )


def _merge(
    site: str, family: str, gathered: _Gathered, origin: str, correction: bool
) -> CommitBlock:
    if len(gathered.parts) == 1:
        chunk, numbers = gathered.parts[0]
        row = chunk.rows.astype(np.int32)
        return CommitBlock(chunk.block, gathered.received_ms, numbers, row, origin, correction)
    devices: dict[str, int] = {}
    names = {name for chunk, _ in gathered.parts for name in chunk.block.values}
    total = sum(len(chunk.block) for chunk, _ in gathered.parts)
    index = np.empty(total, dtype=np.int32)
    values = {name: np.full(total, np.nan) for name in sorted(names)}
    offset = 0
    for chunk, _ in gathered.parts:
        block = chunk.block
        span = slice(offset, offset + len(block))
        table = np.array(
            [devices.setdefault(name, len(devices)) for name in block.devices], dtype=np.int32
        )
        index[span] = table[block.device_index]
        for name, column in block.values.items():
            values[name][span] = column
        offset += len(block)
    parts = [chunk.block for chunk, _ in gathered.parts]
    merged = ReadingBlock(
        site=site,
        family=family,
        devices=tuple(devices),
        device_index=index,
        time_ms=np.concatenate([block.time_ms for block in parts]),
        quality=np.concatenate([block.quality for block in parts]),
        values=values,
    )
    return CommitBlock(
        merged,
        gathered.received_ms,
        np.concatenate([numbers for _, numbers in gathered.parts]),
        np.concatenate([chunk.rows for chunk, _ in gathered.parts]).astype(np.int32),
        origin,
        correction,
    )
