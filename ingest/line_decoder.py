"""The decoder of line protocol: lines to readings by the mappings of the topic.

Lines of one message that a mapping gives the same device and time are one reading
(`ingest.joining`).

Lines that cannot be read or mapped are refused one by one. A message whose lines are all alike, as
a gateway sends them, is read by one pattern made from an earlier message (`ingest.line_pattern`).
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Sequence
from dataclasses import dataclass, field

from core.errors import RefusedReadingError
from ingest.joining import Joiner, Values, decode_each, give_value
from ingest.limits import IngestLimits
from ingest.line_pattern import LinePattern, learn_pattern
from ingest.line_protocol import BadLine, Line, decode_text, is_head, parse_head, parse_lines
from ingest.mappings import (
    PRECISIONS,
    Assignment,
    MappingFile,
    Mappings,
    Rule,
    assign,
)
from ingest.messages import Decoded
from ingest.native_exact import TIME_LIMIT
from ingest.topics import Topic

_MOST_HEADS = 100_000
_MOST_TOPICS = 50_000
# Longer topics are not remembered; a longer head counts for several.
_LONGEST_TOPIC = 256
_LONG_HEAD = 256
_PATTERNS_PER_TOPIC = 4
# Fewer lines are as fast one by one.
_FEWEST_ALIKE = 4
_SHOWN = 64

Heads = dict[str, Assignment | RefusedReadingError]


@dataclass(slots=True)
class _Memory:
    """What is known of one topic."""

    files: tuple[MappingFile, ...]
    heads: Heads
    patterns: list[LinePattern] = field(default_factory=list)


class LineDecoder:
    """Decodes line protocol and remembers heads (measurement and tags) and patterns."""

    def __init__(self, limits: IngestLimits, mappings: Mappings) -> None:
        self._limits = limits
        self._mappings = mappings
        self._topics: dict[str, _Memory] = {}
        # By site and covering files: what a head came to.
        self._heads: dict[tuple[str, tuple[str, ...]], Heads] = {}
        self._known_heads = 0

    def decode(self, messages: Sequence[tuple[int, Topic, bytes]], decoded: Decoded) -> None:
        """Decode a batch into `decoded`."""
        decode_each(messages, decoded, self._decode_one)

    def _decode_one(self, index: int, topic: Topic, payload: bytes, decoded: Decoded) -> None:
        memory = self._memory(topic)
        if payload.startswith(BOM_UTF8):
            raise RefusedReadingError("byte_order_mark", "the payload begins with U+FEFF")
        text = decode_text(payload)
        heads = memory.heads
        for pattern in memory.patterns:
            if self._decode_alike(pattern, index, topic, text, heads, memory.files, decoded):
                return
        lines = list(parse_lines(text, heads))
        if not lines:
            raise RefusedReadingError("empty_message", "no line but blanks and comments")
        joiner = Joiner(index, topic.site)
        self._gather(topic, lines, heads, memory.files, decoded, joiner)
        joiner.deliver(self._limits, decoded)
        if len(lines) >= _FEWEST_ALIKE and joiner.all_apart == len(lines):
            self._learn(memory, lines, heads)

    def _memory(self, topic: Topic) -> _Memory:
        memory = self._topics.get(topic.text)
        if memory is None or self._known_heads >= _MOST_HEADS:
            if len(self._topics) >= _MOST_TOPICS or self._known_heads >= _MOST_HEADS:
                self._topics.clear()
                self._heads.clear()
                self._known_heads = 0
            files = self._mappings.covering(topic.text)
            heads = self._heads.setdefault((topic.site, tuple(file.name for file in files)), {})
            memory = _Memory(files, heads)
            if len(topic.text) <= _LONGEST_TOPIC:
                self._topics[topic.text] = memory
        if not memory.files:
            raise RefusedReadingError(
                "unknown_topic", f"no mapping file covers {topic.text[: 2 * _SHOWN]!a}"
            )
        return memory

    def _assign(
        self, head: str, heads: Heads, site: str, files: tuple[MappingFile, ...]
    ) -> Assignment | RefusedReadingError:
        found = heads.get(head)
        if found is None:
            try:
                found = assign(files, site, *parse_head(head))
            except RefusedReadingError as error:
                found = error.with_traceback(None)  # kept long, so without its frames
            heads[head] = found
            self._known_heads += 1 + len(head) // _LONG_HEAD
        return found

    # ------------------------------------------------------------ line by line

    def _gather(
        self,
        topic: Topic,
        lines: Sequence[Line | BadLine],
        heads: Heads,
        files: tuple[MappingFile, ...],
        decoded: Decoded,
        joiner: Joiner,
    ) -> None:
        for line in lines:
            if isinstance(line, BadLine):
                joiner.refuse(line.row, line.error)
                continue
            found = self._assign(line.head, heads, topic.site, files)
            if isinstance(found, RefusedReadingError):
                joiner.refuse(line.row, found)
                continue
            if found.rule is None:
                decoded.ignored[f"{topic.prefix}: {parse_head(line.head)[0][:_SHOWN]}"] += 1
                continue
            try:
                values = _values(line, found.rule)
                # Without one there were only fields that the mapping passes over: no reading.
                if values:
                    time_ms = _time_ms(line, found.file)
                    joiner.add(line.row, found.device, found.rule.family, time_ms, values)
            except RefusedReadingError as error:
                joiner.refuse(line.row, error)

    # ------------------------------------------------------------ lines that are alike

    def _learn(
        self,
        memory: _Memory,
        lines: Sequence[Line | BadLine],
        heads: Heads,
    ) -> None:
        pattern = learn_pattern([line for line in lines if isinstance(line, Line)], heads)
        if pattern is not None:
            others = [other for other in memory.patterns if other.key != pattern.key]
            memory.patterns[:] = [pattern, *others][:_PATTERNS_PER_TOPIC]

    def _decode_alike(
        self,
        pattern: LinePattern,
        index: int,
        topic: Topic,
        text: str,
        heads: Heads,
        files: tuple[MappingFile, ...],
        decoded: Decoded,
    ) -> bool:
        """Decode a message by pattern; False (and nothing done) where it does not fit."""
        columns = pattern.read(text)
        if columns is None or len(columns.heads) > self._limits.readings:
            return False
        devices: list[str] = []
        for head in columns.heads:
            found = heads.get(head)
            if found is None:
                if not is_head(head):
                    return False
                found = self._assign(head, heads, topic.site, files)
            if isinstance(found, RefusedReadingError) or found.rule is not pattern.rule:
                return False
            devices.append(found.device)
        if len(set(zip(devices, columns.time_ms, strict=True))) < len(devices):
            return False
        decoded.of(topic.site, pattern.rule.family, pattern.metrics, pattern.units).extend(
            index, 0, devices, columns.time_ms, columns.values
        )
        return True


def _values(line: Line, rule: Rule) -> Values:
    """What the fields of a line come to; empty where all of them are passed over."""
    values: dict[str, tuple[float, str, str]] = {}
    for name, kind, value in line.fields:
        target = rule.fields.get(name)
        if target is None:
            if rule.ignores(name):
                continue
            raise RefusedReadingError(
                "unknown_metric",
                f"the field {name[:_SHOWN]!a} of {rule.measurement!a} is neither mapped nor "
                "ignored",
            )
        if isinstance(value, (bool, str)):
            raise RefusedReadingError(
                "wrong_type", f"the field {name[:_SHOWN]!a} is a {kind}, not a number"
            )
        give_value(values, target, float(value))
    return values


def _time_ms(line: Line, file: MappingFile) -> int:
    if line.time is None:
        raise RefusedReadingError(
            "missing_time", "the line has no time stamp; the time of arrival is none of the meter"
        )
    factor, divisor = PRECISIONS[file.precision]
    return max(-TIME_LIMIT, min(TIME_LIMIT, line.time * factor // divisor))
