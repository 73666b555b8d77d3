"""Messages to one commit: decode, normalise, count. No I/O."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from core.ids import PROBE_SITE
from core.ledger import HOUR_MS, LedgerCounts, LedgerHour, QuarantineEntry, RejectedEntry
from core.reasons import REASONS, REJECTED
from core.samples import Ints, ReadingBlock
from core.sites import SiteRegistry
from ingest.commits import Commit, CommitBlock
from ingest.decode import Decoders, parse_topic
from ingest.families import SiteTables
from ingest.limits import IngestLimits
from ingest.mappings import NO_MAPPINGS, Mappings
from ingest.messages import RawMessage, Refusal
from ingest.newest import NEVER, advance
from ingest.normalise import NormalisedBlock, normalise
from ingest.rate_cap import RateCap
from ingest.sparkplug import PastBirths, no_past_births
from ingest.sparkplug_births import Edge, SparkplugNews
from ingest.topics import Topic

_HEAD_BYTES = 1024
# What a sender may make up without end is remembered up to here: topics of no declared device,
# names of ignored members, ids of sites that do not exist. Topics of declared devices are kept all.
_MOST_OTHER_TOPICS = 20_000
_LONGEST_TOPIC = 256
_MOST_IGNORED_NAMES = 1_000
_MOST_UNKNOWN_SITES = 1_000
_OTHER_NAMES = "(other names)"


@dataclass(frozen=True, slots=True)
class _Known:
    """Site files and mappings that belong together."""

    tables: Mapping[str, SiteTables]
    mappings: Mappings


class Intake:
    """Turns batches of messages into commits; knows the registry and the limits. For one thread.

    `late` counts good readings that arrived more than 15 minutes after their time stamp.

    Args:
        site_readings_per_s: Cap of each site, averaged over a minute.
        mappings: What foreign dialects mean.
        received_before_ms: Nothing that was received before this life is newer than this.
        edges: Where Sparkplug's edge nodes stand.
        past_births: Their births of the past, by which what is replayed is read.
    """

    def __init__(
        self,
        registry: SiteRegistry,
        *,
        site_readings_per_s: float,
        limits: IngestLimits | None = None,
        mappings: Mappings = NO_MAPPINGS,
        received_before_ms: int = NEVER,
        edges: Mapping[str, Edge] | None = None,
        past_births: PastBirths = no_past_births,
    ) -> None:
        self._limits = limits or IngestLimits()
        self._known = _Known({site.id: SiteTables(site) for site in registry}, mappings)
        # What is to be known from the next batch on.
        self._next = self._known
        self._next_before_ms = received_before_ms
        self._decoders = Decoders(self._limits, mappings)
        self._decoders.begin(edges)
        self._past_births = past_births
        self._cap = RateCap(site_readings_per_s)
        self._topics: dict[str, Topic] = {}
        self._other_topics: dict[str, Topic] = {}
        self._ignored_names: set[str] = set()
        self._unknown_sites: set[str] = set()
        # By site and family, one time a device: received before this life, and in all.
        self._newest: dict[tuple[str, str], Ints] = {}
        self._since: dict[tuple[str, str], Ints] | None = {}
        for site, tables in self._known.tables.items():
            for family, table in tables.families.items():
                size = len(table.devices)
                self._newest[site, family] = np.full(size, received_before_ms, np.int64)
                self._since[site, family] = np.full(size, NEVER, np.int64)
        self._settled: Mapping[tuple[str, str], int] | None = None

    def settle(self, newest: Mapping[tuple[str, str], int]) -> None:
        """Say exactly what was received before this life; takes effect with the next batch.

        The raw bytes of messages that hold a reading not newer than this are kept in the spool: it
        may turn out to contradict what is held. Until it is known, everything up to
        `received_before_ms` is doubtful. May be called from another thread.
        """
        self._settled = newest

    def _apply_settled(self) -> None:
        settled, since = self._settled, self._since
        if settled is None or since is None:
            return
        for site, tables in self._known.tables.items():
            for family, table in tables.families.items():
                before = [settled.get((site, device), NEVER) for device in table.devices]
                known = np.array(before, np.int64)
                self._newest[site, family] = np.maximum(known, since[site, family])
        self._since = None

    def exchange(
        self, registry: SiteRegistry, mappings: Mappings, *, received_before_ms: int
    ) -> None:
        """Take another registry and other mappings; for replays at once, else with the next batch.

        May be called from another thread.

        Args:
            received_before_ms: Nothing that was received of a device that is new here is newer.
        """
        self._next_before_ms = received_before_ms
        self._next = _Known({site.id: SiteTables(site) for site in registry}, mappings)

    def _apply_exchange(self) -> None:
        known, before = self._next, self._known
        if known is before:
            return
        self._newest = _carried(self._newest, before, known, self._next_before_ms)
        if self._since is not None:
            self._since = _carried(self._since, before, known, NEVER)
        decoders = Decoders(self._limits, known.mappings)
        decoders.begin(self._decoders.edges)
        self._decoders = decoders
        self._topics.clear()
        self._other_topics.clear()
        self._known = known

    def take(self, messages: Sequence[RawMessage]) -> Commit:
        """One commit of all these messages; never raises for what a message holds."""
        self._apply_settled()
        self._apply_exchange()
        work = _Work(messages, self._known.tables)
        blocks = self._judge(work, self._decoders, self._topics, self._topic)
        for site in {block.block.site for block in blocks}:
            blocks = self._cap_site(site, blocks, work)
        self._collect(work, blocks)
        self._bound_names(work)
        commit = work.commit()
        self._decoders.keep()
        return commit

    def _bound_names(self, work: _Work) -> None:
        """Count names beyond the bounds together: each of them would be a row for ever."""
        for name in [name for name in work.ignored if name not in self._ignored_names]:
            if len(self._ignored_names) < _MOST_IGNORED_NAMES:
                self._ignored_names.add(name)
            else:
                count = work.ignored.pop(name)
                work.ignored[_OTHER_NAMES] = work.ignored.get(_OTHER_NAMES, 0) + count
        for index in {refusal.message for refusal in work.refusals}:
            site = work.sites[index]
            if not site or site in work.known or site in self._unknown_sites:
                continue
            if len(self._unknown_sites) < _MOST_UNKNOWN_SITES:
                self._unknown_sites.add(site)
            else:
                work.sites[index] = ""

    def take_again(
        self, entry: QuarantineEntry, *, correction: bool
    ) -> tuple[Commit, list[Refusal]]:
        """A commit that replays the rows of a quarantine entry, and what is still refused."""
        return self.take_all_again([entry], correction=correction)[0]

    def take_all_again(
        self, entries: Sequence[QuarantineEntry], *, correction: bool
    ) -> list[tuple[Commit, list[Refusal]]]:
        """For each entry a commit that replays its rows, and what is still refused.

        The time window is judged against the entry's own time of receipt. A reading that several
        rows were joined to is replayed whole where one of its rows is meant: what is held of it
        already stays. The caller is on another thread than `take`: decoders and newest times are
        not shared.
        """
        known = self._next
        decoders = Decoders(self._limits, known.mappings)
        decoders.begin(past=self._past_births)
        return [self._take_again(entry, known, decoders, correction) for entry in entries]

    def _take_again(
        self, entry: QuarantineEntry, known: _Known, decoders: Decoders, correction: bool
    ) -> tuple[Commit, list[Refusal]]:
        message = RawMessage(entry.topic, entry.payload, entry.received_ms)
        work = _Work([message], known.tables)
        blocks = self._judge(work, decoders, {}, lambda text: parse_topic(text, known.mappings))
        refusals = work.merged_refusals()
        if entry.rows and not any(not refusal.rows for refusal in refusals):
            chosen = set(entry.rows)
            chosen.update(row for (_, row), rows in work.joined.items() if chosen & {*rows})
            wanted = np.array(sorted(chosen))
            blocks = [block.take(np.isin(block.row, wanted)) for block in blocks]
            refusals = [
                Refusal(0, r.reason, r.detail, len(rows), rows)
                for r in refusals
                if (rows := tuple(row for row in r.rows if row in chosen))
            ]
        commit = Commit(raw={0: (entry.topic, entry.payload, entry.received_ms)})
        commit.replays[entry.id] = sum(refusal.count for refusal in refusals)
        commit.blocks = [
            CommitBlock(
                _narrow(part.block), entry.received_ms, part.message, part.row, entry.id, correction
            )
            for part in blocks
            if len(part)
        ]
        return commit, refusals

    def set_aside(self, message: RawMessage) -> Commit:
        """A commit that quarantines one message whole: the last resort when decoding it fails."""
        work = _Work([message], self._known.tables)
        work.sites.append(self._topic(message.topic).site)
        work.refusals.append(Refusal(0, "wrong_shape", "the decoder failed on it; see the log"))
        return work.commit()

    # ------------------------------------------------------------ judging

    def _topic(self, text: str) -> Topic:
        topic = self._topics.get(text) or self._other_topics.get(text)
        if topic is None:
            topic = parse_topic(text, self._known.mappings)
            site = self._known.tables.get(topic.site)
            if site is not None and site.family_of(topic.device) and not topic.problem:
                self._topics[text] = topic
            elif len(text) <= _LONGEST_TOPIC:
                if len(self._other_topics) >= _MOST_OTHER_TOPICS:
                    self._other_topics.clear()
                self._other_topics[text] = topic
        return topic

    def _judge(
        self,
        work: _Work,
        decoders: Decoders,
        topics: Mapping[str, Topic],
        topic_of: Callable[[str], Topic],
    ) -> list[NormalisedBlock]:
        """Good readings of the messages; the others become refusals of `work`."""
        incoming: defaultdict[str, list[tuple[int, Topic, bytes]]] = defaultdict(list)
        limit = self._limits.payload_bytes
        tables, sites = work.known, work.sites
        for index, message in enumerate(work.messages):
            topic = topics.get(message.topic) or topic_of(message.topic)
            payload, site = message.payload, topic.site
            sites.append(site)
            if site in tables and len(payload) <= limit and not topic.problem:
                incoming[topic.prefix].append((index, topic, payload))
            elif site not in tables:
                shown = site or "without a valid id"
                work.refuse(index, "unknown_site", f"no site {shown!a} in the registry")
            elif len(payload) > limit:
                detail = f"{len(payload)} bytes, {limit} are allowed"
                work.refuse(index, "payload_too_large", detail)
            else:
                work.refuse(index, "unknown_topic", topic.problem)
        decoded = decoders.decode_sorted(incoming, work.messages)
        work.refusals += decoded.refusals
        work.ignored.update(decoded.ignored)
        work.joined = decoded.joined
        work.sparkplug = decoded.sparkplug
        blocks: list[NormalisedBlock] = []
        for columns in decoded.columns.values():
            block, refusals = normalise(
                columns, tables[columns.site], work.received_ms, self._limits
            )
            work.refusals += refusals
            if block is not None:
                blocks.append(block)
        return blocks

    def _cap_site(
        self, site: str, blocks: list[NormalisedBlock], work: _Work
    ) -> list[NormalisedBlock]:
        """Take the site's readings from its bucket; message by message where it runs empty."""
        mine = [block for block in blocks if block.block.site == site]
        wanted = sum(len(block) for block in mine)
        left = self._cap.left(site, int(work.received_ms.max()))
        if wanted <= left:
            self._cap.take(site, wanted)
            return blocks
        sizes = np.bincount(np.concatenate([block.message for block in mine]))
        allowed = np.cumsum(sizes) <= left
        self._cap.take(site, int(sizes[allowed].sum()))
        detail = f"more than {self._cap.per_s:g} readings a second over a minute"
        kept = [block for block in blocks if block.block.site != site]
        for block in mine:
            good = allowed[block.message]
            for index in np.unique(block.message[~good]).tolist():
                rows = tuple(block.row[block.message == index].tolist())
                work.refusals.append(Refusal(index, "rate_cap", detail, len(rows), rows))
            if good.any():
                kept.append(block.take(good))
        return kept

    # ------------------------------------------------------------ blocks

    def _collect(self, work: _Work, blocks: list[NormalisedBlock]) -> None:
        groups: dict[tuple[str, str, int], list[NormalisedBlock]] = {}
        hours = work.received_ms // HOUR_MS
        one_hour = int(hours[0]) if (hours == hours[0]).all() else None
        for block in blocks:
            key = (block.block.site, block.block.family)
            if one_hour is not None:
                groups.setdefault((*key, one_hour), []).append(block)
                continue
            of_row = hours[block.message]
            for hour in np.unique(of_row).tolist():
                groups.setdefault((*key, hour), []).append(block.take(of_row == hour))
        for (site, family, hour), parts in groups.items():
            for part in self._in_order(site, family, parts, work):
                received = work.received_ms[part.message]
                late = int((received - part.block.time_ms > self._limits.late_ms).sum())
                work.count(site, hour * HOUR_MS, spooled=len(part), late=late)
                work.blocks.append(
                    CommitBlock(_narrow(part.block), int(received.max()), part.message, part.row)
                )

    def _in_order(
        self, site: str, family: str, parts: list[NormalisedBlock], work: _Work
    ) -> list[NormalisedBlock]:
        """The blocks as they are to be judged, after keeping the bytes of doubtful messages.

        As long as every reading is newer than the ones before of its device, order means nothing.
        Else all readings of the family stand in one block, in the order in which they arrived.
        """
        before = self._newest[site, family]
        newest = before.copy()
        older = [
            advance(newest, part.block.device_index, part.block.time_ms).any() for part in parts
        ]
        if any(older):
            newest = before.copy()
            parts = [_merge(parts)]
            (whole,) = parts
            doubtful = advance(newest, whole.block.device_index, whole.block.time_ms)
            work.keep_raw(np.unique(whole.message[doubtful]).tolist())
        self._newest[site, family] = newest
        if self._since is not None:
            for part in parts:
                advance(self._since[site, family], part.block.device_index, part.block.time_ms)
        return parts


def _carried(
    times: Mapping[tuple[str, str], Ints], before: _Known, known: _Known, new_ms: int
) -> dict[tuple[str, str], Ints]:
    """Times by device, brought into the order of other device tables.

    Args:
        new_ms: The time of a device that was not there before.
    """
    carried: dict[tuple[str, str], Ints] = {}
    for site, tables in known.tables.items():
        held = before.tables.get(site)
        for family, table in tables.families.items():
            column = np.full(len(table.devices), new_ms, np.int64)
            index = held.families[family].index if held is not None else {}
            for position, device in enumerate(table.devices):
                if device in index:
                    column[position] = times[site, family][index[device]]
            carried[site, family] = column
    return carried


@dataclass(slots=True)
class _Work:
    """What becomes of one batch."""

    messages: Sequence[RawMessage]
    known: Mapping[str, SiteTables]
    received_ms: Ints = field(init=False)
    sites: list[str] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    ignored: dict[str, int] = field(default_factory=dict)
    joined: dict[tuple[int, int], tuple[int, ...]] = field(default_factory=dict)
    blocks: list[CommitBlock] = field(default_factory=list)
    raw: dict[int, tuple[str, bytes, int]] = field(default_factory=dict)
    counts: dict[tuple[str, int], dict[str, int]] = field(default_factory=dict)
    sparkplug: SparkplugNews = field(default_factory=SparkplugNews)

    def __post_init__(self) -> None:
        self.received_ms = np.array([message.received_ms for message in self.messages], np.int64)

    def refuse(self, index: int, reason: str, detail: str) -> None:
        """Refuse a whole message; it counts as one reading."""
        self.refusals.append(Refusal(index, reason, detail))

    def count(self, site: str, hour_ms: int, **counts: int) -> None:
        hour = self.counts.setdefault((site, hour_ms), {})
        for name, count in counts.items():
            hour[name] = hour.get(name, 0) + count

    def keep_raw(self, indices: Iterable[int]) -> None:
        for index in indices:
            message = self.messages[index]
            self.raw[index] = (message.topic, message.payload, message.received_ms)

    def merged_refusals(self) -> list[Refusal]:
        """One refusal for all readings of a message that were refused for one reason."""
        merged: dict[tuple[int, str], Refusal] = {}
        for refusal in self.refusals:
            key = (refusal.message, refusal.reason)
            other = merged.get(key)
            if other is not None:
                rows = tuple(sorted(other.rows + refusal.rows))
                merged[key] = Refusal(*key, other.detail, other.count + refusal.count, rows)
            else:
                merged[key] = refusal
        return [merged[key] for key in sorted(merged, key=lambda key: key[0])]

    def _all_rows(self, refusal: Refusal) -> tuple[int, ...]:
        """Its rows and those that were joined to them: all of what would be replayed."""
        if not self.joined:
            return refusal.rows
        found = {
            row
            for first in refusal.rows
            for row in self.joined.get((refusal.message, first), (first,))
        }
        return tuple(sorted(found))

    def commit(self) -> Commit:
        commit = Commit(
            self.blocks,
            raw=self.raw,
            ignored=dict(self.ignored),
            silent=self.sparkplug.silent,
            sparkplug=self.sparkplug,
        )
        for refusal in self.merged_refusals():
            message = self.messages[refusal.message]
            site = self.sites[refusal.message]
            rejected = REASONS[refusal.reason].verdict == REJECTED
            hour_ms = message.received_ms - message.received_ms % HOUR_MS
            self.count(site, hour_ms, **{"rejected" if rejected else "quarantined": refusal.count})
            told = (message.received_ms, site, message.topic, refusal.reason, refusal.detail)
            if rejected:
                digest = hashlib.sha256(message.payload).hexdigest()
                head = message.payload[:_HEAD_BYTES]
                commit.rejected.append(RejectedEntry(*told, refusal.count, digest, head))
            else:
                rows = self._all_rows(refusal)
                commit.quarantined.append(
                    QuarantineEntry("", *told, refusal.count, rows, message.payload)
                )
        for (site, hour_ms), counts in self.counts.items():
            received = sum(counts.get(n, 0) for n in ("spooled", "quarantined", "rejected"))
            hour = LedgerHour(site, hour_ms, LedgerCounts(received=received, **counts))
            commit.hours.append(hour)
        last = set(self.sites)
        if len(last) == 1:
            newest = dict.fromkeys(last, int(self.received_ms[-1]))
        else:
            newest = dict(zip(self.sites, self.received_ms.tolist(), strict=True))
        commit.last_message_ms = {
            site: ms for site, ms in newest.items() if site in self.known and site != PROBE_SITE
        }
        return commit


def _merge(parts: list[NormalisedBlock]) -> NormalisedBlock:
    """One block of all, sorted by message and row."""
    names = sorted({name for part in parts for name in part.block.values})
    message = np.concatenate([part.message for part in parts])
    row = np.concatenate([part.row for part in parts])
    order = np.lexsort((row, message))
    values = {
        name: np.concatenate(
            [
                part.block.values[name] if name in part.block.values else np.full(len(part), np.nan)
                for part in parts
            ]
        )[order]
        for name in names
    }
    first = parts[0].block
    block = ReadingBlock(
        first.site,
        first.family,
        first.devices,
        np.concatenate([part.block.device_index for part in parts])[order],
        np.concatenate([part.block.time_ms for part in parts])[order],
        np.concatenate([part.block.quality for part in parts])[order],
        values,
    )
    return NormalisedBlock(parts[0].table, block, message[order], row[order])


def _narrow(block: ReadingBlock) -> ReadingBlock:
    """The block with a table of its own devices, where it has few of many."""
    if len(block.devices) <= 2 * len(block):
        return block
    used, index = np.unique(block.device_index, return_inverse=True)
    return ReadingBlock(
        block.site,
        block.family,
        tuple(block.devices[position] for position in used.tolist()),
        index.astype(np.int32),
        block.time_ms,
        block.quality,
        block.values,
    )
