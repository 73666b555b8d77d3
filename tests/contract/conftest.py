"""The two implementations of the time-series port, as one parametrised fixture."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from core.clock import FakeClock
from core.ports import TimeSeriesStore

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
_numbers = itertools.count()


@pytest.fixture(
    scope="module",
    params=[
        "embedded",
        "embedded-folded",
        pytest.param("influx", marks=[pytest.mark.integration, pytest.mark.influx]),
    ],
)
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TimeSeriesStore]:
    """A store; every test uses a site of its own in it.

    `embedded-folded` packs into blocks at every third sample, which the other does only after
    many.
    """
    if request.param == "influx":
        from storage.influx.store import InfluxStore

        server = request.getfixturevalue("influxd")
        prefix = f"contract{next(_numbers)}_{tmp_path_factory.getbasetemp().name}"
        made = InfluxStore(
            server.url, server.org, prefix, server.token, raw_days=0, clock=FakeClock(NOW)
        )
        made.prepare()
        yield made
        made.close()
        server.remove_buckets(prefix)
        return
    from storage.embedded import raw
    from storage.embedded.store import EmbeddedStore

    with pytest.MonkeyPatch.context() as patch:
        if request.param == "embedded-folded":
            patch.setattr(raw, "FOLD_POINTS", 3)
        folder = tmp_path_factory.mktemp("embedded")
        embedded = EmbeddedStore(folder, 0, role="all", clock=FakeClock(NOW))
        yield embedded
        embedded.close()


@pytest.fixture
def new_site() -> Callable[[], str]:
    """A function that gives a site id that nobody has used."""
    return lambda: f"site-{next(_numbers)}"


@pytest.fixture
def site(new_site: Callable[[], str]) -> str:
    """A site of this test's own."""
    return new_site()
