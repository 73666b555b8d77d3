"""Sparkplug mappings: which edge node is which site, and which metric is which device's what.

The rules are those of every mapping (`ingest.mappings`). A rule's tags are `group`, `edge` and
`device` of the topic, and what the folder of a metric's name holds; its measurement is that folder,
with placeholders for levels that differ: `Meters/{meter}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from core.errors import RefusedReadingError
from core.ids import SPARKPLUG_PREFIX, is_id
from ingest.mappings import PLACEHOLDER, FieldTarget, MappingFile, Mappings, Rule
from ingest.topics import Topic

DIALECT = "sparkplug"
NODE_KINDS = ("NBIRTH", "NDATA", "NDEATH", "NCMD")
DEVICE_KINDS = ("DBIRTH", "DDATA", "DDEATH", "DCMD")
#: Placeholders that the topic fills.
TOPIC_TAGS = ("group", "edge", "device")
# Metrics of the protocol itself.
_CONTROL = ("Node Control/", "Device Control/")
_BD_SEQ = "bdSeq"
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class SparkplugFile(MappingFile):
    """A mapping file of an edge node, or of all those of a group.

    Attributes:
        site_id: Site that the edge nodes belong to.
        account: Broker account that may write as them: the site's, or one of its gateways'.
        ignored: Names of metrics that are no readings; one that ends in `*` is a beginning.
        fixed_aliases: Whether aliases stay out of doubt after a lost message.
        payload_time: Whether a metric without a time takes the payload's.
    """

    site_id: str = ""
    account: str = ""
    ignored: tuple[str, ...] = ()
    fixed_aliases: bool = False
    payload_time: bool = False

    @property
    def site(self) -> str:
        """The site that it is for."""
        return self.site_id

    @property
    def group(self) -> str:
        """The group."""
        return self.topic.split("/")[1]

    @property
    def edge(self) -> str:
        """The edge node; `+` for all of the group."""
        return self.topic.split("/")[3]


@dataclass(frozen=True, slots=True)
class SparkplugTopic:
    """The levels of a Sparkplug topic; `device` is empty for the edge node itself."""

    group: str
    kind: str
    edge: str
    device: str = ""

    @property
    def key(self) -> str:
        """The edge node, unique on a broker."""
        return f"{self.group}/{self.edge}"


def split_topic(text: str) -> SparkplugTopic | None:
    """The levels of `spBv1.0/{group}/{kind}/{edge}[/{device}]`; None where it is not one."""
    levels = text.split("/")
    if levels[0] != SPARKPLUG_PREFIX or not all(levels):
        return None
    if len(levels) == 4 and levels[2] in NODE_KINDS:
        return SparkplugTopic(*levels[1:])
    if len(levels) == 5 and levels[2] in DEVICE_KINDS:
        return SparkplugTopic(*levels[1:])
    return None


def parse_sparkplug_topic(text: str) -> Topic:
    """Parse a topic; its site is the mappings' business (`sparkplug_site`)."""
    if split_topic(text) is None:
        levels = text.split("/")
        known = levels[2] in (*NODE_KINDS, *DEVICE_KINDS) if len(levels) > 2 else False
        problem = (
            f"{levels[2]} has {len(levels)} levels"
            if known
            else f"{text[:_SHOWN]!a} is no topic of an edge node or device of Sparkplug B 3.0"
        )
        return Topic(text, SPARKPLUG_PREFIX, "", problem=problem)
    return Topic(text, SPARKPLUG_PREFIX, "")


def sparkplug_files(mappings: Mappings) -> list[SparkplugFile]:
    """The Sparkplug mappings among all."""
    return [file for file in mappings if isinstance(file, SparkplugFile)]


def covering_files(mappings: Mappings, text: str) -> tuple[SparkplugFile, ...]:
    """The files that cover a topic; one of the edge node's own goes before those of its group."""
    files = [file for file in mappings.covering(text) if isinstance(file, SparkplugFile)]
    return tuple(sorted(files, key=lambda file: file.edge == "+"))


def sparkplug_site(topic: Topic, mappings: Mappings) -> str:
    """The site of an edge node: its mapping's; without one, the site that its group is named by."""
    files = covering_files(mappings, topic.text)
    if files:
        return files[0].site
    levels = topic.text.split("/")
    return levels[1] if len(levels) > 1 and is_id(levels[1]) else ""


def sparkplug_filters(sites: Iterable[str] | None, mappings: Mappings) -> list[str]:
    """Filters for whole edge nodes of these sites, or for all and unknown ones (None)."""
    if sites is None:
        # Four levels at least: the state of a host is none of an edge node.
        return [f"{SPARKPLUG_PREFIX}/+/+/+/#"]
    chosen = set(sites)
    own = [f"{SPARKPLUG_PREFIX}/{site}/+/+/#" for site in sorted(chosen)]
    mapped = [file.topic for file in sparkplug_files(mappings) if file.site in chosen]
    filters = dict.fromkeys([*own, *mapped])
    # A filter inside another one would have the broker deliver twice.
    return [text for text in filters if _of_group(text) == text or _of_group(text) not in filters]


def _of_group(text: str) -> str:
    """The filter of all edge nodes of a filter's group."""
    return "/".join([*text.split("/")[:2], "+", "+", "#"])


# ---------------------------------------------------------------- metrics


@dataclass(frozen=True, slots=True)
class MetricTarget:
    """What a metric of an edge node or device is.

    Attributes:
        field: None where it is passed over.
    """

    field: FieldTarget | None
    family: str = ""
    device: str = ""


_PASSED_OVER = MetricTarget(None)


def find_target(files: tuple[SparkplugFile, ...], topic: SparkplugTopic, name: str) -> MetricTarget:
    """What the metric of this name is.

    Raises:
        RefusedReadingError: No rule names it, or no device can be named.
    """
    if name == _BD_SEQ or name.startswith(_CONTROL):
        return _PASSED_OVER
    tags = {"group": topic.group, "edge": topic.edge}
    if topic.device:
        tags["device"] = topic.device
    for file in files:
        if is_among(name, file.ignored):
            return _PASSED_OVER
        for rule in file.rules:
            found = _in_folder(rule.measurement, name)
            if found is None:
                continue
            rest, more = found
            all_tags = {**tags, **more}
            if not rule.fits(rule.measurement, all_tags):
                continue
            target = rule.fields.get(rest)
            if target is None:
                if rule.ignores(rest):
                    return _PASSED_OVER
                continue
            return MetricTarget(target, rule.family, rule.device.of(all_tags))
    of = f"{topic.edge}/{topic.device}" if topic.device else topic.edge
    raise RefusedReadingError(
        "unknown_metric", f"no rule names the metric {name[:_SHOWN]!a} of {of[:_SHOWN]!a}"
    )


def is_among(name: str, names: Iterable[str]) -> bool:
    """Whether a name is one of these; one of them that ends in `*` is a beginning."""
    return any(
        name.startswith(other[:-1]) if other.endswith("*") else name == other for other in names
    )


def _in_folder(folder: str, name: str) -> tuple[str, Mapping[str, str]] | None:
    """The name inside a folder and what its placeholders stand for; None outside of it."""
    if not folder:
        return name, {}
    pattern = _pattern(folder)
    found = pattern.match(name)
    if found is None:
        return None
    tags = placeholders(folder)
    values = found.groups()
    return values[-1], dict(zip(tags, values, strict=False))


def placeholders(template: str) -> tuple[str, ...]:
    """Names of the placeholders of a folder or device template, in their order."""
    return tuple(found[1] for found in PLACEHOLDER.finditer(template))


@lru_cache(maxsize=1_000)
def _pattern(folder: str) -> re.Pattern[str]:
    parts = []
    at = 0
    for found in PLACEHOLDER.finditer(folder):
        parts += [re.escape(folder[at : found.start()]), "([^/]+)"]
        at = found.end()
    parts.append(re.escape(folder[at:]))
    return re.compile(rf"\A{''.join(parts)}/(.+)\Z", re.DOTALL)


def rule_tags(rule: Rule) -> set[str]:
    """Tags that a rule asks for."""
    return {*rule.tags, *placeholders(rule.device.template), *({rule.device.tag} - {""})}
