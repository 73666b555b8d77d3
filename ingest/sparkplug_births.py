"""What Sparkplug edge nodes said of themselves: births, deaths, sequence. Pure; no clock, no I/O.

A birth says which metric an alias means. It is in force from its receipt until the edge node or
device dies or is born again. A lost message may have been a birth: after a gap in the sequence
every birth of the edge node is in doubt until it is said again. What is in doubt resolves no alias.

The past is kept as spans, so that a message that is replayed is read by the birth that was in force
when it came, and never by a later one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from ingest.sparkplug_wire import WirePayload

SEQUENCE = 256
_BEHIND = SEQUENCE // 2
# An edge node that declares more is not remembered beyond it: memory is for all.
MOST_METRICS = 200_000


class BirthMetric(NamedTuple):
    """A metric as a birth declares it; type 0 where it declares none."""

    name: str
    alias: int | None
    datatype: int


@dataclass(frozen=True, slots=True)
class Birth:
    """What an edge node (device "") or one of its devices declared.

    Attributes:
        time_ms: The payload's time, the sender's clock.
        seq: The payload's sequence number.
    """

    device: str
    metrics: tuple[BirthMetric, ...]
    time_ms: int = 0
    seq: int = 0
    by_alias: Mapping[int, BirthMetric | None] = field(init=False, compare=False, repr=False)
    by_name: Mapping[str, BirthMetric] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        aliases: dict[int, BirthMetric | None] = {}
        for metric in self.metrics:
            if metric.alias is not None:
                # The same alias for two names means neither.
                other = aliases.setdefault(metric.alias, metric)
                if other is not None and other.name != metric.name:
                    aliases[metric.alias] = None
        object.__setattr__(self, "by_alias", aliases)
        object.__setattr__(self, "by_name", {metric.name: metric for metric in self.metrics})

    def says_the_same(self, other: Birth) -> bool:
        """Whether both declare the same metrics, whenever they did."""
        return self.metrics == other.metrics


def birth_of(device: str, payload: WirePayload) -> Birth:
    """The birth in a NBIRTH's or DBIRTH's payload; metrics without a name declare nothing."""
    metrics = tuple(
        BirthMetric(metric.name, metric.alias, metric.datatype or 0)
        for metric in payload.metrics
        if metric.name
    )
    return Birth(device, metrics, payload.time_ms or 0, (payload.seq or 0) % SEQUENCE)


@dataclass(frozen=True, slots=True)
class Edge:
    """Where one edge node stands.

    Attributes:
        bd_seq: Birth-death number of its session; None where unknown.
        seq: Sequence number of its last message; None before the first and after its death.
        time_ms: Time of that message by the sender's clock.
        births: Device ("" for the edge node itself) -> birth in force.
        doubted: Devices whose birth is in doubt.
    """

    bd_seq: int | None = None
    seq: int | None = None
    time_ms: int | None = None
    births: Mapping[str, Birth] = field(default_factory=dict)
    doubted: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class BirthChange:
    """A change of what is in force, to be kept with the commit of its message.

    Attributes:
        edge: `<group>/<edge node>`.
        device: "" for the edge node itself.
        at_ms: Receipt of the message, UTC epoch milliseconds.
        what: `born`; `died`; `reset` by a new birth of its edge node, before its own; `doubted`.
        birth: Of `born`.
    """

    edge: str
    device: str
    at_ms: int
    what: Literal["born", "died", "reset", "doubted"]
    birth: Birth | None = None


@dataclass(frozen=True, slots=True)
class Followed:
    """What a message did to its edge node.

    Attributes:
        edge: After it.
        changes: What has to be kept.
        lost: Whether a message before it is missing: it should be born again.
        stale: A death of an earlier session, or one without a number: nothing changed.
        repeated: It was here already, or is older than what was: nothing changed.
    """

    edge: Edge
    changes: tuple[BirthChange, ...] = ()
    lost: bool = False
    stale: bool = False
    repeated: bool = False


def follow(
    key: str,
    edge: Edge,
    kind: str,
    device: str,
    payload: WirePayload,
    at_ms: int,
    *,
    repeated: bool = False,
    trusts_births: bool = False,
) -> Followed:
    """Take the next message of an edge node.

    Args:
        key: `<group>/<edge node>`.
        kind: NBIRTH, DBIRTH, NDATA, DDATA, NDEATH or DDEATH.
        device: "" for N…
        at_ms: Receipt, UTC epoch milliseconds.
        repeated: Whether the broker kept it or sends it again.
        trusts_births: Whether births stay out of doubt after a gap: somebody declared that the
            aliases of this edge node are fixed.
    """
    if _is_repeated(edge, payload, repeated):
        return Followed(edge, repeated=True)
    if kind == "NBIRTH":
        return _node_born(key, edge, payload, at_ms)
    if kind == "NDEATH":
        if not _ends_this_session(edge, payload.integer("bdSeq")):
            return Followed(edge, stale=True)
        changes = tuple(BirthChange(key, name, at_ms, "died") for name in edge.births)
        return Followed(Edge(), changes)
    moved, changes, lost = _step(key, edge, payload, at_ms, trusts_births)
    births = dict(moved.births)
    if kind == "DBIRTH":
        birth = birth_of(device, payload)
        births.pop(device, None)
        if sum(len(other.metrics) + 1 for other in births.values()) >= MOST_METRICS:
            return Followed(replace(moved, births=births), changes, lost)
        births[device] = birth
        moved = replace(moved, births=births, doubted=moved.doubted - {device})
        changes = (*changes, BirthChange(key, device, at_ms, "born", birth))
        # Its edge node was never born for us: that message is missing, too.
        lost = lost or "" not in births
    elif kind == "DDEATH" and births.pop(device, None) is not None:
        moved = replace(moved, births=births, doubted=moved.doubted - {device})
        changes = (*changes, BirthChange(key, device, at_ms, "died"))
    elif kind in ("NDATA", "DDATA"):
        lost = lost or device not in births or device in moved.doubted
    return Followed(moved, changes, lost)


def _ends_this_session(edge: Edge, number: int | None) -> bool:
    """Whether a death is that of the session we know or of a later one, whose birth was missed."""
    if number is None:
        return False
    return edge.bd_seq is None or (number - edge.bd_seq) % SEQUENCE < _BEHIND


def _node_born(key: str, edge: Edge, payload: WirePayload, at_ms: int) -> Followed:
    birth = birth_of("", payload)
    changes = [BirthChange(key, name, at_ms, "reset") for name in edge.births if name]
    changes.append(BirthChange(key, "", at_ms, "born", birth))
    after = Edge(payload.integer("bdSeq"), birth.seq, payload.time_ms, {"": birth})
    return Followed(after, tuple(changes))


def _step(
    key: str, edge: Edge, payload: WirePayload, at_ms: int, trusts_births: bool
) -> tuple[Edge, tuple[BirthChange, ...], bool]:
    """The edge node after a numbered message; what came into doubt; whether one is missing."""
    if payload.seq is None:
        # Against the specification; there is nothing to check.
        return edge, (), False
    seq = payload.seq % SEQUENCE
    if edge.seq is not None and seq != (edge.seq + 1) % SEQUENCE:
        moved = replace(edge, seq=seq, time_ms=payload.time_ms)
        fresh = [name for name in edge.births if name not in edge.doubted]
        if trusts_births or not fresh:
            return moved, (), True
        changes = tuple(BirthChange(key, name, at_ms, "doubted") for name in fresh)
        return replace(moved, doubted=frozenset(edge.births)), changes, True
    return replace(edge, seq=seq, time_ms=payload.time_ms), (), False


def _is_repeated(edge: Edge, payload: WirePayload, repeated: bool) -> bool:
    """Whether a message was here before what was last here: older by the sender's own clock.

    A message that the broker marks as repeated, or whose sequence number lies behind.
    """
    if edge.time_ms is None or payload.time_ms is None or payload.time_ms > edge.time_ms:
        return False
    if repeated:
        return True
    if edge.seq is None or payload.seq is None or payload.seq == 0:
        return False
    return (edge.seq - payload.seq) % SEQUENCE < _BEHIND


# ---------------------------------------------------------------- the past


@dataclass(frozen=True, slots=True)
class BirthSpan:
    """When a birth was in force.

    Attributes:
        from_ms: Receipt of the birth, UTC epoch milliseconds.
        until_ms: Receipt of what ended it; None while it is in force.
        ended: `died`, `reset` or `replaced`; empty while it is in force.
        doubted_ms: From when on it was in doubt; None if never. That the same was said again later
            takes nothing back: something else may have been said in between.
    """

    birth: Birth
    from_ms: int
    until_ms: int | None = None
    ended: str = ""
    doubted_ms: int | None = None


def birth_in_force(
    spans: Sequence[BirthSpan],
    received_ms: int,
    payload: WirePayload,
    *,
    trusts_births: bool = False,
) -> Birth | None:
    """The birth by which a message of the past is to be read; None where that cannot be told.

    Messages of one millisecond are told apart by the sender's own time and sequence number.

    Args:
        spans: Of one device, in the order of their births.
        trusts_births: As of `follow`.
    """
    begun = [span for span in spans if _has_begun(span, received_ms, payload)]
    if not begun:
        return None
    span = begun[-1]
    in_doubt = span.doubted_ms is not None and received_ms >= span.doubted_ms
    if in_doubt and not trusts_births:
        return None
    if span.until_ms is not None and (
        received_ms > span.until_ms or (received_ms == span.until_ms and span.ended != "replaced")
    ):
        return None
    return span.birth


def _has_begun(span: BirthSpan, received_ms: int, payload: WirePayload) -> bool:
    if received_ms != span.from_ms:
        return received_ms > span.from_ms
    time_ms = payload.time_ms or 0
    if time_ms != span.birth.time_ms:
        return time_ms > span.birth.time_ms
    ahead = ((payload.seq or 0) - span.birth.seq) % SEQUENCE
    return 0 < ahead < _BEHIND


@dataclass(slots=True)
class SparkplugNews:
    """What a batch of Sparkplug messages changed beside its readings.

    Attributes:
        edges: Edge nodes as they stand after it.
        changes: In their order.
        silent: (site, device) -> since when it is declared dead, UTC epoch milliseconds; None
            where it is declared alive.
        unborn: `<group>/<edge node>` -> why it should be born again.
    """

    edges: dict[str, Edge] = field(default_factory=dict)
    changes: list[BirthChange] = field(default_factory=list)
    silent: dict[tuple[str, str], int | None] = field(default_factory=dict)
    unborn: dict[str, str] = field(default_factory=dict)

    def take(self, key: str, followed: Followed) -> None:
        """Note what one message changed."""
        self.edges[key] = followed.edge
        self.changes += followed.changes
        if any(change.what == "born" and not change.device for change in followed.changes):
            self.unborn.pop(key, None)

    @property
    def born(self) -> set[str]:
        """Edge nodes that were born."""
        return {c.edge for c in self.changes if c.what == "born" and not c.device}
