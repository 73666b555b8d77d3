"""The table of decoders: one dialect, one prefix. Decoding is pure; no registry is asked here.

Native JSON names sites, devices and metrics as the catalogue does. Every other dialect is foreign:
its decoder is given the mappings, and a topic that none of them covers is refused as unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from core.ids import (
    LINE_PREFIX,
    NATIVE_PREFIX,
    PROMETHEUS_PREFIX,
    SENML_PREFIX,
    SPARKPLUG_PREFIX,
)
from ingest.limits import IngestLimits
from ingest.line_decoder import LineDecoder
from ingest.mappings import NO_MAPPINGS, Mappings
from ingest.messages import Decoded, RawMessage
from ingest.native import NativeDecoder
from ingest.prometheus_decoder import PrometheusDecoder
from ingest.senml_decoder import SenmlDecoder
from ingest.sparkplug import PastBirths, SparkplugDecoder
from ingest.sparkplug_births import Edge
from ingest.sparkplug_mapping import (
    parse_sparkplug_topic,
    sparkplug_filters,
    sparkplug_site,
)
from ingest.topics import (
    Topic,
    mapped_filters,
    native_filters,
    parse_mapped_topic,
    parse_native_topic,
)


class Decoder(Protocol):
    """Turns payloads of one dialect into readings with units as sent."""

    def decode(self, messages: Sequence[tuple[int, Topic, bytes]], decoded: Decoded) -> None:
        """Decode (position in the batch, topic, payload) into `decoded`; never raises."""
        ...


@dataclass(frozen=True, slots=True)
class Dialect:
    """One way of saying readings.

    Attributes:
        parse_topic: Topic text to its parts.
        filters: Topic filters for these sites, or for all and unknown sites (None).
        decoder: Makes a decoder; each thread has its own.
        site: Site of a topic, where the mappings and not the topic say it.
        more_filters: Filters that depend on the mappings, beside `filters`.
    """

    parse_topic: Callable[[str], Topic]
    filters: Callable[[Iterable[str] | None], list[str]]
    decoder: Callable[[IngestLimits, Mappings], Decoder]
    site: Callable[[Topic, Mappings], str] | None = None
    more_filters: Callable[[Iterable[str] | None, Mappings], list[str]] | None = None


def _mapped(prefix: str, decoder: Callable[[IngestLimits, Mappings], Decoder]) -> Dialect:
    return Dialect(parse_mapped_topic(prefix), mapped_filters(prefix), decoder)


DECODERS: Mapping[str, Dialect] = {
    NATIVE_PREFIX: Dialect(
        parse_native_topic, native_filters, lambda limits, _: NativeDecoder(limits)
    ),
    LINE_PREFIX: _mapped(LINE_PREFIX, LineDecoder),
    SENML_PREFIX: _mapped(SENML_PREFIX, SenmlDecoder),
    PROMETHEUS_PREFIX: _mapped(PROMETHEUS_PREFIX, PrometheusDecoder),
    SPARKPLUG_PREFIX: Dialect(
        parse_sparkplug_topic,
        lambda _: [],
        SparkplugDecoder,
        site=sparkplug_site,
        more_filters=sparkplug_filters,
    ),
}


def parse_topic(text: str, mappings: Mappings = NO_MAPPINGS) -> Topic:
    """The topic's parts by the dialect of its prefix; one without a dialect has a problem."""
    for prefix, dialect in DECODERS.items():
        if text == prefix or text.startswith(f"{prefix}/"):
            topic = dialect.parse_topic(text)
            if dialect.site is not None:
                topic = replace(topic, site=dialect.site(topic, mappings))
            return topic
    return Topic(text, "", "", problem="no dialect has this prefix")


def subscription_filters(
    sites: Iterable[str] | None, mappings: Mappings = NO_MAPPINGS
) -> list[str]:
    """Filters of every dialect for these sites, or for all and unknown sites (None)."""
    chosen = None if sites is None else list(sites)
    found = []
    for dialect in DECODERS.values():
        found += dialect.filters(chosen)
        if dialect.more_filters is not None:
            found += dialect.more_filters(chosen, mappings)
    return found


class Decoders:
    """One decoder of each dialect, with the memory of what it has seen; for one thread."""

    def __init__(self, limits: IngestLimits, mappings: Mappings = NO_MAPPINGS) -> None:
        self._decoders = {
            prefix: dialect.decoder(limits, mappings) for prefix, dialect in DECODERS.items()
        }
        sparkplug = self._decoders[SPARKPLUG_PREFIX]
        assert isinstance(sparkplug, SparkplugDecoder)
        self._sparkplug = sparkplug

    def begin(
        self, edges: Mapping[str, Edge] | None = None, past: PastBirths | None = None
    ) -> None:
        """Say what is known of Sparkplug's edge nodes.

        Args:
            edges: Where they stand.
            past: The births of the past, by which replayed messages are read.
        """
        if edges is not None:
            self._sparkplug.load(edges)
        if past is not None:
            self._sparkplug.read_past(past)

    @property
    def edges(self) -> Mapping[str, Edge]:
        """Where Sparkplug's edge nodes stand, for decoders that take over."""
        return self._sparkplug.edges

    def keep(self) -> None:
        """Let what the last batch changed of the memory of edge nodes stand."""
        self._sparkplug.keep()

    def decode(
        self,
        messages: Sequence[tuple[int, Topic, bytes]],
        received: Sequence[RawMessage] = (),
    ) -> Decoded:
        """Decode messages of a batch whose topics have no problem.

        Args:
            messages: Position in the batch, topic, payload.
            received: The whole batch.
        """
        by_prefix: dict[str, list[tuple[int, Topic, bytes]]] = {}
        for message in messages:
            by_prefix.setdefault(message[1].prefix, []).append(message)
        return self.decode_sorted(by_prefix, received)

    def decode_sorted(
        self,
        by_prefix: Mapping[str, Sequence[tuple[int, Topic, bytes]]],
        received: Sequence[RawMessage] = (),
    ) -> Decoded:
        """Decode messages that were sorted by the prefix of their topics."""
        decoded = Decoded(messages=received)
        for prefix, chosen in by_prefix.items():
            self._decoders[prefix].decode(chosen, decoded)
        return decoded
