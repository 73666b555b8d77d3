"""The decoder of Sparkplug B 3.0: metrics to readings, by births and by the mappings.

Unlike other dialects this one has a memory that matters: births say what aliases mean, and the
sequence says whether one is missing (`ingest.sparkplug_births`). What a batch changes is a draft
until `keep` is called, so a batch that fails changes nothing.

A metric that no birth in force explains is refused as `no_birth`, and its edge node is to be asked
to be born again. It is never explained by a birth that came after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from core.errors import RefusedReadingError
from core.ids import SPARKPLUG_PREFIX
from core.samples import Quality
from ingest.joining import Joiner, give_value
from ingest.limits import IngestLimits
from ingest.mappings import Mappings
from ingest.messages import Decoded, Refusal
from ingest.native_exact import TIME_LIMIT
from ingest.sparkplug_births import (
    Birth,
    BirthSpan,
    Edge,
    Followed,
    SparkplugNews,
    birth_in_force,
    follow,
)
from ingest.sparkplug_mapping import (
    MetricTarget,
    SparkplugFile,
    SparkplugTopic,
    covering_files,
    find_target,
    split_topic,
)
from ingest.sparkplug_wire import (
    DOUBLE,
    REAL,
    WireMetric,
    WirePayload,
    number_of,
    parse_payload,
)
from ingest.topics import Topic

_MOST_NAMES = 200_000
_MOST_EDGES = 20_000
_SHOWN = 64
# The three codes of the property `Quality`: bad, good, stale.
_QUALITIES = {0: Quality.UNCERTAIN, 192: Quality.GOOD, 500: Quality.UNCERTAIN}
_COMMANDS = ("NCMD", "DCMD")
_DEATHS = ("NDEATH", "DDEATH")

# Births of an edge node and device that were in force at some time, in their order.
PastBirths: TypeAlias = Callable[[str, str], Sequence[BirthSpan]]


def no_past_births(edge: str, device: str) -> Sequence[BirthSpan]:
    """The past of a process that keeps none."""
    return ()


@dataclass(slots=True)
class _Known:
    """What is known of the metrics of one edge node or device."""

    topic: SparkplugTopic
    site: str
    files: tuple[SparkplugFile, ...]
    targets: dict[str, MetricTarget | RefusedReadingError] = field(default_factory=dict)

    def target(self, name: str) -> MetricTarget:
        """What a metric is.

        Raises:
            RefusedReadingError: No rule names it, or no device can be named.
        """
        found = self.targets.get(name)
        if found is None:
            try:
                found = find_target(self.files, self.topic, name)
            except RefusedReadingError as error:
                found = error.with_traceback(None)  # kept long, so without its frames
            self.targets[name] = found
        if isinstance(found, RefusedReadingError):
            raise RefusedReadingError(found.reason, found.detail)
        return found


class SparkplugDecoder:
    """Decodes Sparkplug B and follows its edge nodes; for one thread."""

    def __init__(self, limits: IngestLimits, mappings: Mappings) -> None:
        self._limits = limits
        self._mappings = mappings
        self._edges: dict[str, Edge] = {}
        self._draft: dict[str, Edge] = {}
        self._past: PastBirths | None = None
        self._known: dict[tuple[str, str], _Known] = {}
        # Names come from outside: of devices and metrics together so many are remembered.
        self._names = 0

    def load(self, edges: Mapping[str, Edge]) -> None:
        """Begin with what was known before this life."""
        self._edges = dict(edges)
        self._draft = {}

    @property
    def edges(self) -> Mapping[str, Edge]:
        """Where edge nodes stand, as of the last batch that was kept."""
        return self._edges

    def read_past(self, past: PastBirths) -> None:
        """Decode replayed messages by the births of their time; follow nobody."""
        self._past = past

    def keep(self) -> None:
        """Let what the last batch changed stand."""
        self._edges.update(self._draft)
        self._draft = {}

    def decode(self, messages: Sequence[tuple[int, Topic, bytes]], decoded: Decoded) -> None:
        """Decode a batch into `decoded`."""
        self._draft = {}
        for index, topic, payload in messages:
            try:
                self._decode_one(index, topic, payload, decoded)
            except RefusedReadingError as error:
                decoded.refusals.append(Refusal(index, error.reason, error.detail))

    def _decode_one(self, index: int, topic: Topic, data: bytes, decoded: Decoded) -> None:
        levels = split_topic(topic.text)
        if levels is None:
            raise RefusedReadingError("unknown_topic", topic.problem)
        if levels.kind in _COMMANDS:
            decoded.ignored[f"{SPARKPLUG_PREFIX}: {levels.kind}"] += 1
            return
        payload = parse_payload(data)
        known = self._know(topic, levels)
        received_ms, repeated = 0, False
        if decoded.messages:
            message = decoded.messages[index]
            received_ms, repeated = message.received_ms, message.repeated
        if self._past is not None:
            birth = self._birth_then(known, payload, received_ms)
        else:
            birth = self._follow(known, payload, received_ms, repeated, decoded)
        if not known.files:
            raise RefusedReadingError(
                "unknown_topic", f"no mapping file covers {topic.text[: 2 * _SHOWN]!a}"
            )
        if levels.kind in _DEATHS:
            return
        if payload.has_body and not payload.metrics:
            raise RefusedReadingError(
                "wrong_shape", "the payload has a body of bytes (compressed) instead of metrics"
            )
        self._read_metrics(index, known, payload, birth, decoded)

    def _know(self, topic: Topic, levels: SparkplugTopic) -> _Known:
        key = (levels.key, levels.device)
        known = self._known.get(key)
        if known is None or self._names > _MOST_NAMES:
            if self._names > _MOST_NAMES:
                self._known.clear()
                self._names = 0
            self._names += 1
            files = covering_files(self._mappings, topic.text)
            known = self._known[key] = _Known(levels, topic.site, files)
        if known.topic.kind != levels.kind:
            known.topic = levels
        return known

    # ------------------------------------------------------------ births and deaths

    def _follow(
        self,
        known: _Known,
        payload: WirePayload,
        received_ms: int,
        repeated: bool,
        decoded: Decoded,
    ) -> Birth | None:
        """Follow the edge node; the birth by which this message's aliases may be read."""
        levels, news = known.topic, decoded.sparkplug
        before = self._draft.get(levels.key) or self._edges.get(levels.key)
        if before is None:
            if len(self._edges) + len(self._draft) >= _MOST_EDGES:
                return None
            before = Edge()
        followed = follow(
            levels.key,
            before,
            levels.kind,
            levels.device,
            payload,
            received_ms,
            repeated=repeated,
            trusts_births=_trusts_births(known),
        )
        self._draft[levels.key] = followed.edge
        news.take(levels.key, followed)
        if followed.stale:
            decoded.ignored[f"{SPARKPLUG_PREFIX}: NDEATH of another session"] += 1
        if followed.lost and known.files:
            news.unborn[levels.key] = "a message of it is missing"
        self._note_silence(known, before, followed, payload, received_ms, news)
        birth = followed.edge.births.get(levels.device)
        if birth is None or levels.device in followed.edge.doubted:
            return None
        if followed.repeated and birth.time_ms > (payload.time_ms or 0):
            return None  # born after this was sent
        return birth

    def _note_silence(
        self,
        known: _Known,
        before: Edge,
        followed: Followed,
        payload: WirePayload,
        received_ms: int,
        news: SparkplugNews,
    ) -> None:
        kind = known.topic.kind
        for change in followed.changes:
            if change.what == "died":
                # An edge node's death is told by the broker, when it notices; a device's by itself.
                at_ms = received_ms if kind == "NDEATH" else payload.time_ms or received_ms
                birth = before.births.get(change.device)
            elif change.what == "born":
                at_ms, birth = None, change.birth
            else:
                continue
            for device in self._devices(known, birth):
                news.silent[known.site, device] = at_ms

    def _devices(self, known: _Known, birth: Birth | None) -> Iterable[str]:
        """The site's devices that the metrics of a birth speak of."""
        if birth is None:
            return ()
        levels = known.topic
        of = SparkplugTopic(levels.group, levels.kind, levels.edge, birth.device)
        if birth.device != levels.device:
            known = self._known.get((of.key, of.device)) or _Known(of, known.site, known.files)
        found: dict[str, None] = {}
        for metric in birth.metrics:
            try:
                target = known.target(metric.name)
            except RefusedReadingError:
                continue
            if target.field is not None:
                found[target.device] = None
        return found

    def _birth_then(self, known: _Known, payload: WirePayload, received_ms: int) -> Birth | None:
        levels = known.topic
        if self._past is None or not levels.kind.endswith("DATA"):
            return None
        return birth_in_force(
            self._past(levels.key, levels.device),
            received_ms,
            payload,
            trusts_births=_trusts_births(known),
        )

    # ------------------------------------------------------------ metrics

    def _read_metrics(
        self,
        index: int,
        known: _Known,
        payload: WirePayload,
        birth: Birth | None,
        decoded: Decoded,
    ) -> None:
        before = len(known.targets)
        joiner = Joiner(index, known.site, "metric")
        unexplained: list[tuple[int, RefusedReadingError]] = []
        others = 0
        for row, metric in enumerate(payload.metrics):
            try:
                others += self._read_metric(row, known, metric, payload, birth, joiner, decoded)
            except RefusedReadingError as error:
                if error.reason == "no_birth":
                    unexplained.append((row, error))
                else:
                    others += 1
                    joiner.refuse(row, error)
        self._names += len(known.targets) - before
        if unexplained and not others:
            # Nothing of it can be read: the message counts as one reading.
            _, first = unexplained[0]
            raise RefusedReadingError(first.reason, first.detail)
        for row, why in unexplained:
            joiner.refuse(row, why)
        if not others and not payload.metrics and payload.seq is None and payload.time_ms is None:
            raise RefusedReadingError("empty_message", "neither metrics nor time nor sequence")
        joiner.deliver(self._limits, decoded)

    def _read_metric(
        self,
        row: int,
        known: _Known,
        metric: WireMetric,
        payload: WirePayload,
        birth: Birth | None,
        joiner: Joiner,
        decoded: Decoded,
    ) -> bool:
        """Add what a metric says; False where it says nothing of a device.

        Raises:
            RefusedReadingError: It cannot be read.
        """
        name, datatype = _explain(metric, known.topic, birth)
        target = known.target(name)
        if target.field is None:
            return False
        if metric.is_null:
            return False
        if metric.is_transient:
            decoded.ignored[f"{SPARKPLUG_PREFIX}: transient metric"] += 1
            return False
        if datatype == 0:
            if metric.kind != REAL:
                raise RefusedReadingError(
                    "no_birth", f"nothing says of which type {name[:_SHOWN]!a} is"
                )
            datatype = DOUBLE
        values: dict[str, tuple[float, str, str]] = {}
        give_value(values, target.field, number_of(metric, datatype))
        time_ms = metric.time_ms
        if time_ms is None and any(file.payload_time for file in known.files):
            time_ms = payload.time_ms
        if time_ms is None:
            raise RefusedReadingError("missing_time", f"{name[:_SHOWN]!a} has no time stamp")
        joiner.add(
            row,
            target.device,
            target.family,
            min(time_ms, TIME_LIMIT),
            values,
            _quality(metric, name),
        )
        return True


def _trusts_births(known: _Known) -> bool:
    return any(file.fixed_aliases for file in known.files)


def _explain(metric: WireMetric, topic: SparkplugTopic, birth: Birth | None) -> tuple[str, int]:
    """Name and type (0: unknown) of a metric, by itself or by its birth.

    Raises:
        RefusedReadingError: `no_birth`; `wrong_type` where it contradicts its birth.
    """
    declared = None
    if metric.name:
        name = metric.name
        declared = birth.by_name.get(name) if birth is not None else None
    elif metric.alias is None:
        raise RefusedReadingError("wrong_shape", "a metric without name and alias")
    else:
        declared = birth.by_alias.get(metric.alias) if birth is not None else None
        if declared is None:
            of = f"{topic.edge}/{topic.device}" if topic.device else topic.edge
            why = (
                f"no birth of {of[:_SHOWN]!a} is in force: none came, it died, or a message of its "
                "edge node is missing"
                if birth is None
                else f"the birth of {of[:_SHOWN]!a} gives it to no metric, or to several"
            )
            raise RefusedReadingError("no_birth", f"alias {metric.alias}: {why}")
        name = declared.name
    sent = metric.datatype or 0
    held = declared.datatype if declared is not None else 0
    if sent and held and sent != held and not topic.kind.endswith("BIRTH"):
        raise RefusedReadingError(
            "wrong_type", f"{name[:_SHOWN]!a} is sent with another type than it was born with"
        )
    return name, sent or held


def _quality(metric: WireMetric, name: str) -> int:
    if metric.quality is None:
        return int(Quality.GOOD)
    found = _QUALITIES.get(metric.quality)
    if found is None:
        raise RefusedReadingError(
            "bad_quality",
            f"{name[:_SHOWN]!a} has the quality {metric.quality}; known are 0, 192 and 500",
        )
    return int(found)
