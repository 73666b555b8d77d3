"""What one spool commit holds, and its packed form.

A commit is many messages: good readings in blocks, refused messages with their bytes, ledger
counts. The packed form is msgpack, compressed; the spool keeps a checksum beside it.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
from isal import isal_zlib

from core.intervals import Counts
from core.ledger import LedgerCounts, LedgerHour, QuarantineEntry, RejectedEntry
from core.samples import Floats, ReadingBlock
from ingest.sparkplug_births import SparkplugNews

_FORMAT = 1
_LEVEL = 1
_LARGE_TABLE = 32_768

# Verdict of a good reading, one code a row; a commit without any codes is stored whole.
STORED, DUPLICATE, CONFLICT, REFUSED = 0, 1, 2, 3


@dataclass(frozen=True, slots=True, eq=False)
class CommitBlock:
    """Good readings of one site, family and hour of receipt.

    Attributes:
        received_ms: Receipt of the newest message in it; all lie in one UTC hour.
        message: (n,) int32, number of the message inside the commit.
        row: (n,) int32, position of the reading inside its message.
        origin: Id of the quarantine entry that is replayed; empty for what came over MQTT.
        correction: Whether a held value may be replaced.
    """

    block: ReadingBlock
    received_ms: int
    message: Counts
    row: Counts
    origin: str = ""
    correction: bool = False


@dataclass(slots=True)
class Commit:
    """One group commit.

    Attributes:
        hours: Ledger counts at receipt: received, quarantined, rejected, spooled, late.
        raw: Message number -> (topic, payload, receipt), kept where a reading may turn out to
            conflict.
        ignored: Names of ignored members and how often each was seen.
        replays: Ids of the quarantine entries that are replayed -> readings refused again at once.
        silent: (site, device) -> since when it is declared dead, epoch milliseconds; None where it
            is declared alive.
        sparkplug: What edge nodes said of themselves; kept in tables of its own, not packed.
    """

    blocks: list[CommitBlock] = field(default_factory=list)
    hours: list[LedgerHour] = field(default_factory=list)
    quarantined: list[QuarantineEntry] = field(default_factory=list)
    rejected: list[RejectedEntry] = field(default_factory=list)
    raw: dict[int, tuple[str, bytes, int]] = field(default_factory=dict)
    ignored: dict[str, int] = field(default_factory=dict)
    last_message_ms: dict[str, int] = field(default_factory=dict)
    replays: dict[str, int] = field(default_factory=dict)
    silent: dict[tuple[str, str], int | None] = field(default_factory=dict)
    sparkplug: SparkplugNews = field(default_factory=SparkplugNews)

    @property
    def readings(self) -> int:
        """Good readings."""
        return sum(len(part.block) for part in self.blocks)

    def split(self) -> tuple[Commit | None, Commit | None]:
        """The part that waits for the store, and the refusals, which need not wait."""
        if not self.quarantined and not self.rejected:
            return self, None
        refused = Commit(quarantined=self.quarantined, rejected=self.rejected)
        for hour in self.hours:
            counts = hour.counts
            lost = counts.quarantined + counts.rejected
            if lost:
                only = LedgerCounts(lost, quarantined=counts.quarantined, rejected=counts.rejected)
                refused.hours.append(replace(hour, counts=only))
        if not self.blocks and not self.silent:
            refused.ignored, refused.last_message_ms = self.ignored, self.last_message_ms
            return None, refused
        good = replace(self, quarantined=[], rejected=[], hours=[])
        for hour in self.hours:
            counts = hour.counts
            if counts.spooled:
                only = LedgerCounts(counts.spooled, spooled=counts.spooled, late=counts.late)
                good.hours.append(replace(hour, counts=only))
        return good, refused


def join_commits(commits: Sequence[Commit]) -> Commit:
    """One commit of several that hold one message each, as replays do."""
    joined = Commit()
    for number, commit in enumerate(commits):
        joined.blocks += [
            replace(part, message=np.full(len(part.block), number, np.int32))
            for part in commit.blocks
        ]
        for kept in commit.raw.values():
            joined.raw[number] = kept
        for entry_id, refused in commit.replays.items():
            joined.replays[entry_id] = joined.replays.get(entry_id, 0) + refused
    return joined


def pack_commit(commit: Commit) -> bytes:
    """The packed form."""
    # Which message a reading came in matters only where its bytes were kept.
    positions = bool(commit.raw)
    document = {
        "format": _FORMAT,
        "blocks": [_pack_block(part, positions) for part in commit.blocks],
        "quarantined": [
            [e.received_ms, e.site, e.topic, e.reason, e.detail, e.count, e.rows, e.payload]
            for e in commit.quarantined
        ],
        "rejected": [
            [e.received_ms, e.site, e.topic, e.reason, e.detail, e.count, e.sha256, e.head]
            for e in commit.rejected
        ],
        "raw": [[number, *kept] for number, kept in commit.raw.items()],
        "ignored": commit.ignored,
        "last": commit.last_message_ms,
        "replays": commit.replays,
        "silent": [[site, device, at] for (site, device), at in commit.silent.items()],
    }
    return bytes(isal_zlib.compress(msgspec.msgpack.encode(document), _LEVEL))


def unpack_commit(packed: bytes, hours: list[LedgerHour]) -> Commit:
    """Read a packed commit.

    Raises:
        ValueError: It is damaged or of a newer format.
    """
    try:
        document = msgspec.msgpack.decode(isal_zlib.decompress(packed))
        if document["format"] != _FORMAT:
            raise ValueError(f"spool format {document['format']} is newer than this program")
        return Commit(
            blocks=[_unpack_block(part) for part in document["blocks"]],
            hours=hours,
            quarantined=[
                QuarantineEntry("", at, site, topic, reason, detail, count, tuple(rows), payload)
                for at, site, topic, reason, detail, count, rows, payload in document["quarantined"]
            ],
            rejected=[RejectedEntry(*entry) for entry in document["rejected"]],
            raw={kept[0]: (kept[1], kept[2], kept[3]) for kept in document["raw"]},
            ignored=document["ignored"],
            last_message_ms=document["last"],
            replays=document["replays"],
            silent={(site, device): at for site, device, at in document.get("silent", ())},
        )
    except (zlib.error, msgspec.DecodeError, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"a packed commit is damaged: {error}") from None


def _pack_block(part: CommitBlock, positions: bool) -> dict[str, Any]:
    block = part.block
    return {
        "site": block.site,
        "family": block.family,
        "devices": "\n".join(block.devices),
        "index": block.device_index.astype("<i4").tobytes(),
        "time": block.time_ms.astype("<i8").tobytes(),
        "quality": block.quality.tobytes() if block.quality.any() else b"",
        "values": {name: column.astype("<f8").tobytes() for name, column in block.values.items()},
        "received": part.received_ms,
        "message": part.message.astype("<i4").tobytes() if positions else b"",
        "row": part.row.astype("<i4").tobytes() if positions else b"",
        "origin": part.origin,
        "correction": part.correction,
    }


def _device_table(joined: str) -> tuple[str, ...]:
    # A large one is of few of very many devices, and hardly ever comes again.
    return _small_table(joined) if len(joined) < _LARGE_TABLE else tuple(joined.split("\n"))


@lru_cache(maxsize=512)
def _small_table(joined: str) -> tuple[str, ...]:
    # One object for one table, however many commits repeat it.
    return tuple(joined.split("\n"))


def _unpack_block(part: dict[str, Any]) -> CommitBlock:
    times = np.frombuffer(part["time"], "<i8")
    count = len(times)
    values: dict[str, Floats] = {
        name: np.frombuffer(column, "<f8") for name, column in part["values"].items()
    }
    quality = np.frombuffer(part["quality"], "<i1") if part["quality"] else np.zeros(count, "<i1")
    block = ReadingBlock(
        site=part["site"],
        family=part["family"],
        devices=_device_table(part["devices"]),
        device_index=np.frombuffer(part["index"], "<i4"),
        time_ms=times,
        quality=quality,
        values=values,
    )
    none = np.zeros(count, np.int32)
    message = np.frombuffer(part["message"], "<i4") if part["message"] else none
    row = np.frombuffer(part["row"], "<i4") if part["row"] else none
    return CommitBlock(block, part["received"], message, row, part["origin"], part["correction"])
