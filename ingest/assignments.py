"""What foreign names come to, found once and remembered: rule, device and field of a name."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from core.errors import RefusedReadingError
from ingest.mappings import Assignment, MappingFile, Mappings, check_site, no_tags_fit
from ingest.topics import Topic

Found: TypeAlias = "Assignment | RefusedReadingError"

# Names come from outside: the memory is bounded in their number and in their characters.
_MOST_NAMES = 100_000
_MOST_CHARS = 32 * 1024 * 1024
_MOST_TOPICS = 50_000
_LONGEST_TOPIC = 256
_LONGEST_NAME = 2_048
_SHOWN = 64


def assign_sample(
    files: tuple[MappingFile, ...], site: str, name: str, labels: Mapping[str, str]
) -> Assignment:
    """Find the rule, device and field of samples of Prometheus: their name is the field.

    Arguments and errors as of `assign`.
    """
    known = False
    for file in files:
        for rule in file.rules:
            mapped = name in rule.fields
            if not (mapped or rule.ignores(name)):
                continue
            if rule.fits_tags(labels):
                check_site(file, site, labels)
                if not mapped:
                    return Assignment(file, None, field=name)
                return Assignment(file, rule, rule.device.of(labels), name)
            known = known or mapped
        if file.ignores(name):
            check_site(file, site, labels)
            return Assignment(file, None, field=name)
    check_site(files[0], site, labels)
    if known:
        raise no_tags_fit(name, labels)
    raise RefusedReadingError("unknown_metric", f"no rule for {name[:_SHOWN]!a}")


def assign_record(files: tuple[MappingFile, ...], site: str, name: str, unit: str) -> Assignment:
    """Find the rule, device and field of records of SenML.

    The field is what the placeholder `{field}` stands for, or, where the rule's name has none, the
    unit. Arguments and errors as of `assign`.
    """
    known = False
    for file in files:
        if file.ignores(name):
            return Assignment(file, None)
        for rule in file.rules:
            tags = rule.pattern.split(name) if rule.pattern else None
            if tags is None:
                continue
            known = True
            wanted = tags.pop("field", unit)
            if not rule.fits_tags(tags):
                continue
            check_site(file, site, tags)
            if wanted in rule.fields or wanted in rule.sums:
                return Assignment(file, rule, rule.device.of(tags), wanted)
            if rule.ignores(wanted):
                return Assignment(file, None)
            raise RefusedReadingError(
                "unknown_metric",
                f"{wanted[:_SHOWN]!a} of {name[:_SHOWN]!a} is neither mapped nor ignored",
            )
    if known:
        raise RefusedReadingError("unknown_device", f"no rule fits the tags of {name[:_SHOWN]!a}")
    raise RefusedReadingError("unknown_metric", f"no rule has a name like {name[:_SHOWN]!a}")


@dataclass(slots=True)
class KnownNames:
    """What is known of the names of one site under the same files."""

    files: tuple[MappingFile, ...]
    found: dict[Hashable, Found] = field(default_factory=dict)


class AssignmentMemory:
    """The files and known names of each topic; for one thread."""

    def __init__(self, mappings: Mappings) -> None:
        self._mappings = mappings
        self._topics: dict[str, KnownNames] = {}
        self._known: dict[tuple[str, tuple[str, ...]], KnownNames] = {}
        self._size = self._chars = 0

    def of(self, topic: Topic) -> KnownNames:
        """The known names of a topic.

        Raises:
            RefusedReadingError: `unknown_topic`: no file covers it.
        """
        known = self._topics.get(topic.text)
        if known is None:
            if len(self._topics) >= _MOST_TOPICS:
                self._clear()
            files = self._mappings.covering(topic.text)
            key = (topic.site, tuple(file.name for file in files))
            known = self._known.setdefault(key, KnownNames(files))
            if len(topic.text) <= _LONGEST_TOPIC:
                self._topics[topic.text] = known
        if not known.files:
            raise RefusedReadingError(
                "unknown_topic", f"no mapping file covers {topic.text[: 2 * _SHOWN]!a}"
            )
        return known

    def find(
        self, known: KnownNames, key: Hashable, length: int, assign: Callable[[], Assignment]
    ) -> Found:
        """What a name came to, by asking `assign` where that is not known.

        Args:
            length: Characters of the key.
        """
        found = known.found.get(key)
        if found is None:
            try:
                found = assign()
            except RefusedReadingError as error:
                found = error.with_traceback(None)  # kept long, so without its frames
            if length <= _LONGEST_NAME:
                if self._size >= _MOST_NAMES or self._chars >= _MOST_CHARS:
                    self._clear()
                known.found[key] = found
                self._size += 1
                self._chars += length
        return found

    def _clear(self) -> None:
        for known in self._known.values():
            known.found.clear()
        self._topics.clear()
        self._known.clear()
        self._size = self._chars = 0
