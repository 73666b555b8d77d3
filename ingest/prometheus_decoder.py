"""The decoder of Prometheus and OpenMetrics text: samples to readings by the mappings of the topic.

A sample without a time of its own takes the time of scraping that the text names; where there is
none either, the mapping must say that the time of receipt is meant, else the sample is refused.
"""

from __future__ import annotations

import math
from codecs import BOM_UTF8
from collections.abc import Sequence

from core.errors import RefusedReadingError
from ingest.assignments import AssignmentMemory, KnownNames, assign_sample
from ingest.joining import Joiner, decode_each, give_value
from ingest.limits import IngestLimits
from ingest.line_protocol import decode_text
from ingest.mappings import Assignment, Mappings
from ingest.messages import Decoded
from ingest.native_exact import TIME_LIMIT
from ingest.prometheus_text import BadSample, Sample, parse_samples, parse_series
from ingest.topics import Topic

_SHOWN = 64


class PrometheusDecoder:
    """Decodes expositions and remembers what each series came to."""

    def __init__(self, limits: IngestLimits, mappings: Mappings) -> None:
        self._limits = limits
        self._memory = AssignmentMemory(mappings)

    def decode(self, messages: Sequence[tuple[int, Topic, bytes]], decoded: Decoded) -> None:
        """Decode a batch into `decoded`."""
        decode_each(messages, decoded, self._decode_one)

    def _decode_one(self, index: int, topic: Topic, payload: bytes, decoded: Decoded) -> None:
        known = self._memory.of(topic)
        if payload.startswith(BOM_UTF8):
            raise RefusedReadingError("byte_order_mark", "the payload begins with U+FEFF")
        samples = list(parse_samples(decode_text(payload)))
        if not samples:
            raise RefusedReadingError("empty_message", "no line but blanks and comments")
        joiner = Joiner(index, topic.site)
        receipt_ms = decoded.receipt_ms(index)
        for sample in samples:
            if isinstance(sample, BadSample):
                joiner.refuse(sample.row, sample.error)
                continue
            found = self._find(known, topic.site, sample.series)
            try:
                if isinstance(found, RefusedReadingError):
                    raise found
                if found.rule is None:
                    decoded.ignored[f"{topic.prefix}: {found.field[:_SHOWN]}"] += 1
                    continue
                _add(sample, found, receipt_ms, joiner)
            except RefusedReadingError as error:
                joiner.refuse(sample.row, error.with_traceback(None))
        joiner.deliver(self._limits, decoded)

    def _find(self, known: KnownNames, site: str, series: str) -> Assignment | RefusedReadingError:
        def assign() -> Assignment:
            return assign_sample(known.files, site, *parse_series(series))

        return self._memory.find(known, series, len(series), assign)


def _add(sample: Sample, found: Assignment, receipt_ms: int | None, joiner: Joiner) -> None:
    rule = found.rule
    if rule is None:
        return
    if not math.isfinite(sample.value):
        raise RefusedReadingError(
            "not_a_number", f"{found.field[:_SHOWN]!a} is not a finite number"
        )
    time_ms = sample.time_ms
    if time_ms is None:
        time_ms = found.file.receipt_time_ms(receipt_ms)
    values: dict[str, tuple[float, str, str]] = {}
    give_value(values, rule.fields[found.field], sample.value)
    limited = max(-TIME_LIMIT, min(TIME_LIMIT, time_ms))
    joiner.add(sample.row, found.device, rule.family, limited, values)
