"""What a live publication and a backfill have in common: sites, their faults, their connections."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from core.connections import MqttConnection
from core.sites import SiteRegistry
from sims.faults import Fault, FaultInjector
from sims.publisher import ConnectionFor, PublishCount, Publisher
from sims.readings import ReadingSource
from sims.tables import ReadingTable
from sims.truth import TruthFile
from sims.wire import Message, pack_columns, pack_tick
from sims.world import SimulatedSite

_LOG = logging.getLogger(__name__)


class SimulatedPublication:
    """One simulated site on its way to the broker.

    The broker's access list takes the account for the site, so each site has its own connection.

    Args:
        cadence_s: Instead of the declared cadences, for history.
    """

    def __init__(
        self,
        world: SimulatedSite,
        connection: MqttConnection,
        stop: threading.Event,
        *,
        faults: Sequence[Fault] = (),
        cadence_s: float | None = None,
        window: int = 64,
    ) -> None:
        self.world = world
        self.source = ReadingSource(world, cadence_s)
        self.publisher = Publisher(connection, f"greendc-sims-{world.site.id}", stop, window=window)
        self._faults = FaultInjector(faults, self.source)

    @property
    def site_id(self) -> str:
        """Id of the site."""
        return self.world.site.id

    def publish_span(self, first_ms: int, last_ms: int, *, tick: bool) -> bool:
        """Publish all readings with first_ms <= time <= last_ms.

        Args:
            tick: Whether the span holds one instant, sent as one message a family.

        Returns:
            False if it was told to stop before the end.
        """
        faulty = self._faults.apply(self.source.read(first_ms, last_ms), last_ms)
        messages = list(faulty.messages)
        if tick:
            messages.extend(pack_tick(self.site_id, faulty.tables))
        else:
            messages.extend(self._packed(faulty.tables))
        return self._send(messages)

    def publish_held(self) -> bool:
        """Publish what faults still hold back."""
        return self._send(self._packed(self._faults.flush()))

    def _packed(self, tables: Iterable[ReadingTable]) -> list[Message]:
        return [message for table in tables for message in pack_columns(self.site_id, table)]

    def _send(self, messages: Iterable[Message]) -> bool:
        return all(self.publisher.publish(message) for message in messages)


def open_publications(
    registry: SiteRegistry,
    site_ids: Sequence[str],
    connection_for: ConnectionFor,
    stop: threading.Event,
    *,
    seed: int,
    faults: Sequence[Fault] | None,
    cadence_s: float | None = None,
    window: int = 64,
    wait_s: float = 15.0,
    worlds: Mapping[str, SimulatedSite] | None = None,
) -> list[SimulatedPublication]:
    """Simulate and connect the sites.

    Args:
        worlds: Sites that are simulated already under this seed, by id: computing one again would
            take seconds and come to the same.

    Raises:
        ConfigurationError: A site is planned or measured, a fault names what a site does not have,
            or the broker refuses an account.
        NotFoundError: No such site.
        BrokerUnavailableError: The broker does not answer.
    """
    opened: list[SimulatedPublication] = []
    try:
        for site_id in site_ids:
            world = (worlds or {}).get(site_id) or SimulatedSite(registry.site(site_id), seed)
            publication = SimulatedPublication(
                world,
                connection_for(site_id),
                stop,
                faults=tuple(faults or ()),
                cadence_s=cadence_s,
                window=window,
            )
            publication.publisher.open(wait_s)
            opened.append(publication)
    except BaseException:
        close_publications(opened)
        raise
    return opened


def close_publications(publications: Iterable[SimulatedPublication]) -> None:
    """Disconnect all of them."""
    for publication in publications:
        publication.publisher.close()


def total_count(publications: Iterable[SimulatedPublication]) -> PublishCount:
    """Readings of all sites together."""
    return sum((p.publisher.count for p in publications), PublishCount())


def truth_file(
    path: Path | None, publications: Sequence[SimulatedPublication], from_ms: dict[str, int]
) -> AbstractContextManager[TruthFile | None]:
    """The file of exact figures, or nothing where none is wanted."""
    if path is None:
        return nullcontext()
    return TruthFile(path, [p.world for p in publications], from_ms)
