"""The decoder of native JSON: typed where a message is like earlier ones, exact everywhere else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ingest.device_lists import DeviceLists
from ingest.limits import IngestLimits
from ingest.messages import Decoded
from ingest.native_exact import Profile, decode_exactly
from ingest.native_typed import (
    JOINED_FORMS,
    Shape,
    ShapeKey,
    decode_joined,
    decode_typed,
    shape_key,
)
from ingest.topics import Topic

# Shapes tried for one topic before the exact path; a device sends one or two kinds of message.
_SHAPES_PER_TOPIC = 4
_MOST_SHAPES = 2_000
_MOST_TOPICS = 200_000
# What is made of so much text stays in the processor's cache until it is a column of numbers.
_JOINED_BYTES = 128 * 1024
# A message of so many bytes is worth a pass of its own.
_LARGE_BYTES = 16 * 1024


class NativeDecoder:
    """Decodes native JSON and remembers, per topic, which shapes fitted."""

    def __init__(self, limits: IngestLimits) -> None:
        self._limits = limits
        self._lists = DeviceLists(limits.name_chars)
        self._shapes: dict[ShapeKey, Shape] = {}
        self._of_topic: dict[str, list[Shape]] = {}
        # Topics whose latest messages were of a form that is decoded many in one pass.
        self._joined: dict[str, Shape] = {}

    def decode(self, messages: Sequence[tuple[int, Topic, bytes]], decoded: Decoded) -> None:
        """Decode a batch into `decoded`.

        Args:
            messages: Position in the batch, topic (without a problem), payload.
        """
        groups: defaultdict[tuple[Shape, str], list[tuple[int, Topic, bytes]]] = defaultdict(list)
        joined = self._joined
        for message in messages:
            text = message[1].text
            shape = joined.get(text)
            if shape is None or len(message[2]) > _LARGE_BYTES:
                self._decode_one(message, self._of_topic.get(text), decoded)
            else:
                groups[shape, message[1].site].append(message)
        for (shape, _), group in groups.items():
            for part in _parts(group):
                if len(part) == 1 or not decode_joined(shape, part, self._limits, decoded):
                    for message in part:
                        self._decode_one(message, self._of_topic.get(message[1].text), decoded)

    def _decode_one(
        self, message: tuple[int, Topic, bytes], shapes: list[Shape] | None, decoded: Decoded
    ) -> None:
        index, topic, payload = message
        for shape in shapes or ():
            if decode_typed(shape, index, topic, payload, self._limits, decoded):
                return
        profile = decode_exactly(index, topic, payload, self._limits, decoded)
        if profile is not None:
            self._learn(topic, profile)

    def _learn(self, topic: Topic, profile: Profile) -> None:
        """Put the shape of a well-formed message in front of the topic's."""
        key = shape_key(profile, topic.family, self._limits)
        if key is None:
            return
        if len(self._shapes) >= _MOST_SHAPES or len(self._of_topic) >= _MOST_TOPICS:
            self._shapes.clear()
            self._of_topic.clear()
            self._joined.clear()
        known = self._of_topic.setdefault(topic.text, [])
        if not key.complete and key.form != "columns":
            # Readings that differ: one type with every metric seen so far, each of them optional.
            for shape in known:
                if replace(shape.key, metrics=key.metrics) == key:
                    both = tuple(sorted({*shape.metrics, *key.metrics}))
                    key = replace(key, metrics=both)
        chosen = self._shapes.get(key)
        if chosen is None:
            chosen = self._shapes[key] = Shape(key, self._lists)
        known[:] = [chosen, *[other for other in known if other is not chosen]][:_SHAPES_PER_TOPIC]
        if chosen.form in JOINED_FORMS:
            self._joined[topic.text] = chosen
        else:
            self._joined.pop(topic.text, None)


def _parts(
    messages: Sequence[tuple[int, Topic, bytes]],
) -> Iterator[Sequence[tuple[int, Topic, bytes]]]:
    """Consecutive messages of about as many bytes as are decoded together."""
    begin = size = 0
    for position, message in enumerate(messages):
        length = len(message[2])
        if size and size + length > _JOINED_BYTES:
            yield messages[begin:position]
            begin, size = position, 0
        size += length
    yield messages[begin:]
