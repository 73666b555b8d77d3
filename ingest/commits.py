"""What one spool commit holds, and its packed form.

A commit is many messages: good readings in blocks, refused messages with their bytes, ledger
counts. The packed form is msgpack compressed by zlib; the spool keeps a checksum beside it.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from isal import isal_zlib

from core.ledger import LedgerHour, QuarantineEntry, RejectedEntry
from core.samples import Codes, Floats, Ints, ReadingBlock

_FORMAT = 1
_LEVEL = 1

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
    message: np.ndarray[Any, np.dtype[np.int32]]
    row: np.ndarray[Any, np.dtype[np.int32]]
    origin: str = ""
    correction: bool = False


@dataclass(slots=True)
class Commit:
    """One group commit.

    Attributes:
        hours: Ledger counts at receipt: received, quarantined, rejected, spooled, late.
        raw: Message number -> (topic, payload), kept where a reading may turn out to conflict.
        received: Message number -> receipt of the messages in `raw`.
    """

    blocks: list[CommitBlock] = field(default_factory=list)
    hours: list[LedgerHour] = field(default_factory=list)
    quarantined: list[QuarantineEntry] = field(default_factory=list)
    rejected: list[RejectedEntry] = field(default_factory=list)
    raw: dict[int, tuple[str, bytes, int]] = field(default_factory=dict)
    ignored: dict[str, int] = field(default_factory=dict)
    last_message_ms: dict[str, int] = field(default_factory=dict)
    replays: dict[str, int] = field(default_factory=dict)

    @property
    def readings(self) -> int:
        """Good readings."""
        return sum(len(part.block) for part in self.blocks)


def pack_commit(commit: Commit) -> bytes:
    """The packed form."""
    document = {
        "format": _FORMAT,
        "blocks": [_pack_block(part) for part in commit.blocks],
        "quarantined": [
            [e.received_ms, e.site, e.topic, e.reason, e.detail, e.count, list(e.rows), e.payload]
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
        )
    except (zlib.error, msgspec.DecodeError, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"a packed commit is damaged: {error}") from None


def _pack_block(part: CommitBlock) -> dict[str, Any]:
    block = part.block
    return {
        "site": block.site,
        "family": block.family,
        "devices": list(block.devices),
        "index": block.device_index.astype("<i4").tobytes(),
        "time": block.time_ms.astype("<i8").tobytes(),
        "quality": block.quality.astype("<i1").tobytes(),
        "values": {name: column.astype("<f8").tobytes() for name, column in block.values.items()},
        "received": part.received_ms,
        "message": part.message.astype("<i4").tobytes(),
        "row": part.row.astype("<i4").tobytes(),
        "origin": part.origin,
        "correction": part.correction,
    }


def _unpack_block(part: dict[str, Any]) -> CommitBlock:
    times: Ints = np.frombuffer(part["time"], "<i8")
    quality: Codes = np.frombuffer(part["quality"], "<i1")
    values: dict[str, Floats] = {
        name: np.frombuffer(column, "<f8") for name, column in part["values"].items()
    }
    block = ReadingBlock(
        site=part["site"],
        family=part["family"],
        devices=tuple(part["devices"]),
        device_index=np.frombuffer(part["index"], "<i4"),
        time_ms=times,
        quality=quality,
        values=values,
    )
    return CommitBlock(
        block,
        part["received"],
        np.frombuffer(part["message"], "<i4"),
        np.frombuffer(part["row"], "<i4"),
        part["origin"],
        part["correction"],
    )
