"""The decoder of SenML, JSON and CBOR: records to readings by the mappings of the topic.

The unit that a record names is the unit of its value; the mapping's is that of records without one.
A time that counts from now is taken from the time of receipt only where the mapping says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from core.errors import RefusedReadingError
from ingest.assignments import AssignmentMemory, KnownNames, assign_record
from ingest.joining import Joiner, Values, decode_each, give_value
from ingest.limits import IngestLimits
from ingest.mappings import Assignment, FieldTarget, Mappings
from ingest.messages import Decoded
from ingest.senml_pack import BadRecord, Record, parse_pack
from ingest.senml_units import UNITS_OF_SENML, UNITS_OF_SUMS
from ingest.topics import Topic

_SHOWN = 64


class SenmlDecoder:
    """Decodes packs and remembers what each name came to."""

    def __init__(self, limits: IngestLimits, mappings: Mappings) -> None:
        self._limits = limits
        self._memory = AssignmentMemory(mappings)

    def decode(self, messages: Sequence[tuple[int, Topic, bytes]], decoded: Decoded) -> None:
        """Decode a batch into `decoded`."""
        decode_each(messages, decoded, self._decode_one)

    def _decode_one(self, index: int, topic: Topic, payload: bytes, decoded: Decoded) -> None:
        known = self._memory.of(topic)
        records = parse_pack(payload, self._limits.nesting)
        joiner = Joiner(index, topic.site, "record")
        receipt_ms = decoded.receipt_ms(index)
        for record in records:
            if isinstance(record, BadRecord):
                joiner.refuse(record.row, record.error)
                continue
            found = self._find(known, topic.site, record)
            try:
                if isinstance(found, RefusedReadingError):
                    raise found
                if found.rule is None:
                    decoded.ignored[f"{topic.prefix}: {record.name[:_SHOWN]}"] += 1
                    continue
                values = _values(record, found, decoded, topic)
                time_ms = record.time_ms
                if record.is_relative:
                    time_ms += found.file.receipt_time_ms(receipt_ms)
                joiner.add(record.row, found.device, found.rule.family, time_ms, values)
            except RefusedReadingError as error:
                joiner.refuse(record.row, error.with_traceback(None))
        joiner.deliver(self._limits, decoded)

    def _find(
        self, known: KnownNames, site: str, record: Record
    ) -> Assignment | RefusedReadingError:
        def assign() -> Assignment:
            return assign_record(known.files, site, record.name, record.unit)

        length = len(record.name) + len(record.unit)
        return self._memory.find(known, (record.name, record.unit), length, assign)


def _values(record: Record, found: Assignment, decoded: Decoded, topic: Topic) -> Values:
    """What a mapped record gives: its value, its sum, or both; one of them may be passed over.

    Raises:
        RefusedReadingError: `wrong_type`, `not_a_number`, `unknown_unit` or `missing_values`.
    """
    rule, shown = found.rule, record.name[:_SHOWN]
    fields, sums = (rule.fields, rule.sums) if rule else ({}, {})
    if record.other and found.field in fields:
        raise RefusedReadingError(
            "wrong_type", f"the value of {shown!a} is a {record.other}, no number"
        )
    values: dict[str, tuple[float, str, str]] = {}
    for what, sent, targets in (("value", record.value, fields), ("sum", record.sum, sums)):
        if sent is None:
            continue
        target = targets.get(found.field)
        if target is None:
            decoded.ignored[f"{topic.prefix}: {what} of {shown}"] += 1
            continue
        if not math.isfinite(sent):
            raise RefusedReadingError("not_a_number", f"the {what} of {shown!a} is no float")
        give_value(values, _in_unit(target, record.unit, what == "sum"), sent)
    if not values:
        raise RefusedReadingError(
            "missing_values", f"{shown!a} has not what the mapping takes: its value or its sum"
        )
    return values


@lru_cache(maxsize=4_096)
def _in_unit(target: FieldTarget, unit: str, is_sum: bool) -> FieldTarget:
    """The target in the unit that the record names, if it names one."""
    if not unit:
        return target
    spelling = (UNITS_OF_SUMS if is_sum else UNITS_OF_SENML).get(unit)
    if spelling is None:
        raise RefusedReadingError(
            "unknown_unit", f"{unit[:_SHOWN]!a} is no unit that the catalogue measures in"
        )
    return target if spelling == target.unit else replace(target, unit=spelling)
