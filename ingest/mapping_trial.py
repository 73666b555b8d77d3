"""What a mapping makes of a payload, reading by reading: for `greendc mapping test`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.samples import Quality
from core.sites import SiteRegistry
from ingest.decode import DECODERS, parse_topic
from ingest.families import SiteTables
from ingest.limits import IngestLimits
from ingest.mappings import Mappings
from ingest.messages import Columns, Decoded, RawMessage, Refusal
from ingest.normalise import normalise
from ingest.sparkplug import SparkplugDecoder

_YEAR_2000_MS = 946_684_800_000


@dataclass(frozen=True, slots=True)
class TrialReading:
    """A reading as it would be stored.

    Attributes:
        row: Position of its first line in the payload, from 0.
        values: Metric -> value in the catalogue's unit.
    """

    row: int
    site: str
    device: str
    family: str
    time_ms: int
    quality: str
    values: dict[str, float]


@dataclass(frozen=True, slots=True)
class TrialRefusal:
    """What would be refused.

    Attributes:
        row: Position of its line in the payload, from 0; None where the whole message is meant.
    """

    row: int | None
    reason: str
    detail: str


def try_mapping(
    mappings: Mappings,
    registry: SiteRegistry,
    topic_text: str,
    payload: bytes,
    *,
    now_ms: int,
    received_ms: int | None = None,
    before: Sequence[tuple[str, bytes]] = (),
) -> tuple[list[TrialReading], list[TrialRefusal]]:
    """Decode and normalise one payload.

    Args:
        received_ms: Receipt, against which the time window is judged. None takes each reading as
            received when it was measured, so that a payload that was captured some time ago can be
            tried; a time in the future or before 2000 is refused all the same, because it mostly
            means another precision. Where the mapping takes the time of receipt, it is now.
        before: Topic and payload of messages that came before, such as Sparkplug's births.
    """
    limits = IngestLimits()
    topic = parse_topic(topic_text, mappings)
    site = registry.find(topic.site)
    if site is None:
        shown = topic.site or "without a valid id"
        return [], [TrialRefusal(None, "unknown_site", f"no site {shown!a} in the registry")]
    if topic.problem or not mappings.covering(topic_text):
        covered = ", ".join(file.topic for file in mappings)
        detail = topic.problem or f"the mapping covers {covered}"
        return [], [TrialRefusal(None, "unknown_topic", detail)]
    if len(payload) > limits.payload_bytes:
        detail = f"{len(payload)} bytes, {limits.payload_bytes} are allowed"
        return [], [TrialRefusal(None, "payload_too_large", detail)]
    message = RawMessage(topic_text, payload, now_ms if received_ms is None else received_ms)
    decoded = Decoded(rows_apart=True, messages=[message])
    decoder = DECODERS[topic.prefix].decoder(limits, mappings)
    if isinstance(decoder, SparkplugDecoder):
        for text, earlier in before:
            birth = RawMessage(text, earlier, message.received_ms)
            parsed = parse_topic(text, mappings)
            decoder.decode([(0, parsed, earlier)], Decoded(messages=[birth]))
            decoder.keep()
    decoder.decode([(0, topic, payload)], decoded)
    refusals = _shown(decoded.refusals)
    readings: list[TrialReading] = []
    tables = SiteTables(site)
    for columns in decoded.columns.values():
        for number, single in enumerate(_singles(columns)):
            received = received_ms
            if received is None:
                received = min(max(int(single.times[0]), _YEAR_2000_MS), now_ms)
            block, refused = normalise(single, tables, np.array([received], np.int64), limits)
            row = int(columns.positions()[1][number])
            refusals += [TrialRefusal(row, r.reason, r.detail) for r in refused]
            if block is not None:
                readings.append(
                    TrialReading(
                        row,
                        site.id,
                        single.devices[0],
                        single.family,
                        int(single.times[0]),
                        Quality(int(block.block.quality[0])).name.lower(),
                        {name: float(v[0]) for name, v in sorted(block.block.values.items())},
                    )
                )
    readings.sort(key=lambda reading: (reading.row, reading.device))
    refusals.sort(key=lambda refusal: -1 if refusal.row is None else refusal.row)
    return readings, refusals


def _shown(refusals: list[Refusal]) -> list[TrialRefusal]:
    return [
        TrialRefusal(row, refusal.reason, refusal.detail)
        for refusal in refusals
        for row in (refusal.rows or (None,))
    ]


def _singles(columns: Columns) -> list[Columns]:
    """One set of columns for each reading, so that each is judged by itself."""
    singles = []
    times, values = columns.times.tolist(), columns.values.tolist()
    for number in range(len(columns)):
        single = Columns(columns.site, columns.family, columns.metrics, columns.units)
        single.extend(
            0,
            0,
            [columns.devices[number]],
            [times[number]],
            [[column[number]] for column in values],
            [columns.quality[number]] if columns.quality else (),
        )
        singles.append(single)
    return singles
