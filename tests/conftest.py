"""What every room's tests may ask for: real services, free ports, the folder of real data."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.services.influxd import InfluxdServer
from tests.services.mosquitto import MosquittoBroker
from tests.services.processes import find_free_port

REPOSITORY = Path(__file__).resolve().parent.parent

# Fixtures that start something real, and the marks that a test gets by asking for one.
_MARKS_BY_FIXTURE = {
    "mosquitto": ("integration",),
    "new_mosquitto": ("integration",),
    "influxd": ("integration", "influx"),
    "new_influxd": ("integration", "influx"),
}
_LOUD = "greendc-loud-skip: "


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests that use real services by the fixtures that they ask for."""
    for item in items:
        for fixture in getattr(item, "fixturenames", ()):
            for mark in _MARKS_BY_FIXTURE.get(fixture, ()):
                item.add_marker(mark)


def skip_loudly(reason: str) -> None:
    """Skips the test and says so in one line at the end of the run, however many are skipped."""
    pytest.skip(_LOUD + reason)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Prints one line for each reason why real services or data were not there."""
    reasons: Counter[str] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if _LOUD in text:
            reasons[text.partition(_LOUD)[2]] += 1
    for reason, count in sorted(reasons.items()):
        line = f"!!! {count} tests NOT RUN: {reason}"
        terminalreporter.write_line(line, yellow=True, bold=True)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real data sets, which are not part of the repository."""
    named = os.environ.get("GREENDC_TEST_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        skip_loudly("no real data: GREENDC_TEST_DATA names the folder that holds them")
    return folder


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """A function that gives a free loopback port at each call."""
    return find_free_port


@pytest.fixture(scope="session")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MosquittoBroker]:
    """One Mosquitto for the whole run, open to anybody; tests use topics of their own."""
    _require_mosquitto()
    broker = MosquittoBroker(tmp_path_factory.mktemp("mosquitto"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def new_mosquitto(tmp_path: Path) -> Iterator[Callable[..., MosquittoBroker]]:
    """Makes brokers that the test may stop, kill and configure; not started yet."""
    _require_mosquitto()
    made: list[MosquittoBroker] = []

    def make(**options: Any) -> MosquittoBroker:
        made.append(MosquittoBroker(tmp_path / f"mosquitto-{len(made)}", **options))
        return made[-1]

    yield make
    for broker in made:
        broker.stop()


@pytest.fixture(scope="session")
def influxd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxdServer]:
    """One InfluxDB for the whole run; tests use bucket prefixes of their own."""
    if (missing := InfluxdServer.missing()) is not None:
        skip_loudly(missing)
    server = InfluxdServer(tmp_path_factory.mktemp("influxd"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def new_influxd(tmp_path: Path) -> Iterator[Callable[[], InfluxdServer]]:
    """Makes servers that the test may stop and kill; not started yet."""
    if (missing := InfluxdServer.missing(own_process=True)) is not None:
        skip_loudly(missing)
    made: list[InfluxdServer] = []

    def make() -> InfluxdServer:
        made.append(InfluxdServer(tmp_path / f"influxd-{len(made)}", own_process=True))
        return made[-1]

    yield make
    for server in made:
        server.stop()


def _require_mosquitto() -> None:
    if (missing := MosquittoBroker.missing()) is not None:
        skip_loudly(missing)
