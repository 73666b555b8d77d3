"""Mappings: how foreign names become devices and metrics. The vocabulary; no I/O, no syntax.

A mapping covers topics by an MQTT filter. Its rules are tried in order; the first one whose
measurement and tags fit decides. Nothing is guessed: what no rule names is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from core.errors import RefusedReadingError
from core.ids import LINE_PREFIX, PROMETHEUS_PREFIX, SENML_PREFIX, is_id

# Dialect that a mapping file may name -> prefix of its topics.
MAPPED_DIALECTS: Mapping[str, str] = {
    "line-protocol": LINE_PREFIX,
    "prometheus": PROMETHEUS_PREFIX,
    "senml": SENML_PREFIX,
}
# Precision of time stamps -> (factor, divisor) to milliseconds.
PRECISIONS: Mapping[str, tuple[int, int]] = {
    "s": (1000, 1),
    "ms": (1, 1),
    "us": (1, 1000),
    "ns": (1, 1_000_000),
}
PLACEHOLDER = re.compile(r"\{([^{}:]+)(?::0([1-9]))?\}")
_CAPTURE = re.compile(r"\{([^{}:/]+)\}")
_TEMPLATE_VALUE = re.compile(r"\A[a-z0-9_-]+\Z", re.ASCII)
_SHOWN = 64


@dataclass(frozen=True, slots=True)
class FieldTarget:
    """What a field is.

    Attributes:
        metric: Name in the catalogue's family of the rule.
        unit: Unit of the scaled value, a spelling of `core.units.UNITS`. In dialects whose messages
            may name units, that of a message without one.
        scale: Factor from the value as sent to `unit`: a register's weight, or -1 for a sign.
        combine: `mean` or `max` where several values of one message and instant make the metric.
    """

    metric: str
    unit: str
    scale: float = 1.0
    combine: str = ""


@dataclass(frozen=True, slots=True)
class DeviceName:
    """Which device a line speaks of.

    Attributes:
        template: A device id, or text with `{tag}` or `{tag:04}` in it; empty with a table.
        tag: Tag that is looked up in `table`.
        table: Value of the tag -> device id.
    """

    template: str = ""
    tag: str = ""
    table: Mapping[str, str] | None = None

    def of(self, tags: Mapping[str, str]) -> str:
        """The device id.

        Raises:
            RefusedReadingError: A tag is missing, or its value is not in the table or unfit.
        """
        if self.table is not None:
            device = self.table.get(_tag(tags, self.tag))
            if device is None:
                raise RefusedReadingError(
                    "unknown_device",
                    f"the tag {self.tag} is {tags[self.tag][:_SHOWN]!a}, which the table of the "
                    "mapping does not hold",
                )
            return device
        if "{" not in self.template:
            return self.template
        device = PLACEHOLDER.sub(lambda found: _part(tags, found[1], found[2]), self.template)
        if not is_id(device):
            raise RefusedReadingError(
                "unknown_device", f"{device[:_SHOWN]!a} made by {self.template} is no device id"
            )
        return device

    def fixed(self) -> tuple[str, ...]:
        """The device ids that are known without a line."""
        if self.table is not None:
            return tuple(self.table.values())
        return () if "{" in self.template else (self.template,)


def _tag(tags: Mapping[str, str], name: str) -> str:
    value = tags.get(name)
    if value is None:
        raise RefusedReadingError(
            "missing_device", f"there is no tag {name}, which names the device"
        )
    return value


def _part(tags: Mapping[str, str], name: str, width: str | None) -> str:
    value = _tag(tags, name)
    if not _TEMPLATE_VALUE.match(value):
        raise RefusedReadingError(
            "unknown_device",
            f"the tag {name} is {value[:_SHOWN]!a}, which is no part of a device id "
            "([a-z0-9_-]); a table can name the device",
        )
    return value.rjust(int(width), "0") if width else value


class NamePattern:
    """A name with placeholders, such as `urn:dev:ow:{id}:{field}`, taken apart.

    A placeholder stands for one or more characters other than `:` and `/`.
    """

    def __init__(self, template: str) -> None:
        self.template = template
        self.names: list[str] = []
        pattern, position = "", 0
        for found in _CAPTURE.finditer(template):
            pattern += re.escape(template[position : found.start()]) + "([^:/]+)"
            self.names.append(found[1])
            position = found.end()
        self._pattern = re.compile(pattern + re.escape(template[position:]))

    def split(self, name: str) -> dict[str, str] | None:
        """Placeholder -> what it stands for in this name; None where the name does not fit."""
        found = self._pattern.fullmatch(name)
        return dict(zip(self.names, found.groups(), strict=True)) if found else None


@dataclass(frozen=True, slots=True)
class Rule:
    """What some lines, samples or records are.

    A rule without fields passes over what fits it.

    Attributes:
        measurement: Of line protocol; empty in the other dialects.
        tags: Tag (label, placeholder) -> values of which one must be there.
        fields: Name as sent -> what it is.
        ignored: Names of fields that are passed over; one that ends in `*` is a beginning.
        pattern: Of the names of SenML.
        sums: Like `fields`, for the sums of SenML.
    """

    measurement: str
    tags: Mapping[str, frozenset[str]]
    family: str
    device: DeviceName
    fields: Mapping[str, FieldTarget]
    ignored: tuple[str, ...] = ()
    pattern: NamePattern | None = None
    sums: Mapping[str, FieldTarget] = field(default_factory=dict)

    def fits(self, measurement: str, tags: Mapping[str, str]) -> bool:
        """Whether the rule speaks of such a line."""
        return measurement == self.measurement and self.fits_tags(tags)

    def fits_tags(self, tags: Mapping[str, str]) -> bool:
        """Whether each tag that the rule names has one of its values."""
        return all(tags.get(name) in values for name, values in self.tags.items())

    def ignores(self, field: str) -> bool:
        """Whether a field is passed over on purpose."""
        return _is_among(field, self.ignored)


@dataclass(frozen=True, slots=True)
class MappingFile:
    """One mapping file.

    Attributes:
        name: Its path, for people.
        dialect: A key of `MAPPED_DIALECTS`.
        topic: MQTT filter of the topics that it covers.
        precision: A key of `PRECISIONS`.
        site_tag: Tag that names the greendc site and must agree with the topic; empty for none.
        ignored_measurements: Measurements (names) that are no readings; one that ends in `*` is a
            beginning.
        time: `sent`, or `receipt` where a sample without a time of its own was measured when it was
            received.
    """

    name: str
    dialect: str
    topic: str
    rules: tuple[Rule, ...]
    precision: str = "ns"
    site_tag: str = "site"
    ignored_measurements: frozenset[str] = frozenset()
    time: str = "sent"

    def ignores(self, name: str) -> bool:
        """Whether a measurement or name is no reading on purpose."""
        return _is_among(name, self.ignored_measurements)

    def receipt_time_ms(self, received_ms: int | None) -> int:
        """The time of a value that came without one.

        Args:
            received_ms: When its message was received; None where that says nothing.

        Raises:
            RefusedReadingError: `missing_time`: the file does not say that receipt is meant, or the
                message is retained or sent again.
        """
        if self.time != "receipt":
            raise RefusedReadingError(
                "missing_time",
                'no time, and the mapping does not say time = "receipt": the time of arrival is '
                "none of the meter",
            )
        if received_ms is None:
            raise RefusedReadingError(
                "missing_time",
                "no time, and the message is retained or sent again: it was measured some time "
                "before it was received",
            )
        return received_ms

    @property
    def site(self) -> str:
        """The one site that it is for; empty where sites share it."""
        site = self.topic.split("/")[1]
        return "" if site == "+" else site

    def covers(self, topic: str) -> bool:
        """Whether the filter matches a topic."""
        wanted, levels = self.topic.split("/"), topic.split("/")
        if wanted[-1] == "#":
            wanted = wanted[:-1]
            levels = levels[: len(wanted)]
        return len(wanted) == len(levels) and all(
            want in ("+", level) for want, level in zip(wanted, levels, strict=True)
        )


class Mappings:
    """All mapping files of a process.

    Those of one site are tried before those that sites share, each in the order of the file names.
    """

    def __init__(self, files: Iterable[MappingFile] = ()) -> None:
        found = list(files)
        self._files = [*(f for f in found if f.site), *(f for f in found if not f.site)]

    def __iter__(self) -> Iterator[MappingFile]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def covering(self, topic: str) -> tuple[MappingFile, ...]:
        """The files that cover a topic, in the order in which they are tried."""
        return tuple(file for file in self._files if file.covers(topic))


NO_MAPPINGS = Mappings()


@dataclass(frozen=True, slots=True)
class Assignment:
    """What lines of one measurement and tags, or samples or records of one name, are.

    Attributes:
        rule: None where they are passed over.
        field: Name in the rule's fields, where it is not told by each line.
    """

    file: MappingFile
    rule: Rule | None
    device: str = ""
    field: str = ""


def assign(
    files: tuple[MappingFile, ...], site: str, measurement: str, tags: Mapping[str, str]
) -> Assignment:
    """Find the rule and the device of such lines.

    Args:
        files: Those that cover the topic, at least one.
        site: Site of the topic, which is the authority.

    Raises:
        RefusedReadingError: Another site is named, no rule fits, or no device can be named.
    """
    known = False
    for file in files:
        if file.ignores(measurement):
            check_site(file, site, tags)
            return Assignment(file, None)
        for rule in file.rules:
            if rule.fits(measurement, tags):
                check_site(file, site, tags)
                if not rule.fields:
                    return Assignment(file, None)
                return Assignment(file, rule, rule.device.of(tags))
            known = known or rule.measurement == measurement
    check_site(files[0], site, tags)
    if known:
        raise no_tags_fit(measurement, tags)
    raise RefusedReadingError(
        "unknown_metric", f"no rule for the measurement {measurement[:_SHOWN]!a}"
    )


def no_tags_fit(name: str, tags: Mapping[str, str]) -> RefusedReadingError:
    """What is said where rules speak of a name, but none of such tags."""
    shown = ", ".join(f"{tag}={value}" for tag, value in sorted(tags.items()))
    return RefusedReadingError(
        "unknown_device",
        f"no rule for {name[:_SHOWN]!a} fits the tags {shown[: 3 * _SHOWN]!a}",
    )


def _is_among(name: str, names: Iterable[str]) -> bool:
    return any(
        name.startswith(known[:-1]) if known.endswith("*") else name == known for known in names
    )


def check_site(file: MappingFile, site: str, tags: Mapping[str, str]) -> None:
    """Check that tags name the site of the topic, or none.

    Raises:
        RefusedReadingError: `site_mismatch`.
    """
    named = tags.get(file.site_tag, site) if file.site_tag else site
    if named != site:
        raise RefusedReadingError(
            "site_mismatch",
            f"the tag {file.site_tag} is {named[:_SHOWN]!a} on a topic of {site!r}; where it means "
            'something else, the mapping says site_tag = ""',
        )
