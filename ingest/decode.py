"""The table of decoders: one dialect, one prefix. Decoding is pure; no registry is asked here.

Native JSON names sites, devices and metrics as the catalogue does. Every other dialect is foreign:
its decoder is given the mappings, and a topic that none of them covers is refused as unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from core.ids import LINE_PREFIX, NATIVE_PREFIX, PROMETHEUS_PREFIX, SENML_PREFIX
from ingest.limits import IngestLimits
from ingest.line_decoder import LineDecoder
from ingest.mappings import NO_MAPPINGS, Mappings
from ingest.messages import Decoded, RawMessage
from ingest.native import NativeDecoder
from ingest.prometheus_decoder import PrometheusDecoder
from ingest.senml_decoder import SenmlDecoder
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
    """

    parse_topic: Callable[[str], Topic]
    filters: Callable[[Iterable[str] | None], list[str]]
    decoder: Callable[[IngestLimits, Mappings], Decoder]


def _mapped(prefix: str, decoder: Callable[[IngestLimits, Mappings], Decoder]) -> Dialect:
    return Dialect(parse_mapped_topic(prefix), mapped_filters(prefix), decoder)


DECODERS: Mapping[str, Dialect] = {
    NATIVE_PREFIX: Dialect(
        parse_native_topic, native_filters, lambda limits, _: NativeDecoder(limits)
    ),
    LINE_PREFIX: _mapped(LINE_PREFIX, LineDecoder),
    SENML_PREFIX: _mapped(SENML_PREFIX, SenmlDecoder),
    PROMETHEUS_PREFIX: _mapped(PROMETHEUS_PREFIX, PrometheusDecoder),
}


def parse_topic(text: str) -> Topic:
    """The topic's parts by the dialect of its prefix; one without a dialect has a problem."""
    for prefix, dialect in DECODERS.items():
        if text == prefix or text.startswith(f"{prefix}/"):
            return dialect.parse_topic(text)
    return Topic(text, "", "", problem="no dialect has this prefix")


def subscription_filters(sites: Iterable[str] | None) -> list[str]:
    """Filters of every dialect for these sites, or for all and unknown sites (None)."""
    chosen = None if sites is None else list(sites)
    return [text for dialect in DECODERS.values() for text in dialect.filters(chosen)]


class Decoders:
    """One decoder of each dialect, with the memory of what it has seen; for one thread."""

    def __init__(self, limits: IngestLimits, mappings: Mappings = NO_MAPPINGS) -> None:
        self._decoders = {
            prefix: dialect.decoder(limits, mappings) for prefix, dialect in DECODERS.items()
        }

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
        decoded = Decoded(messages=received)
        by_prefix: dict[str, list[tuple[int, Topic, bytes]]] = {}
        for message in messages:
            by_prefix.setdefault(message[1].prefix, []).append(message)
        for prefix, chosen in by_prefix.items():
            self._decoders[prefix].decode(chosen, decoded)
        return decoded
