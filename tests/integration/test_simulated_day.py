"""A simulated day through everything real: broker, killed ingester, store, analytics, answers.

The day is published while the ingester is killed twenty times. Then every published reading is
stored exactly once, the ledger adds up, and hourly energy and PUE are the simulator's own truth.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from core.connections import MqttConnection
from core.metrics import CATALOGUE
from core.periods import format_time, parse_rfc3339
from core.site_files import build_registry
from core.sites import Site, SiteRegistry
from greendc.local_broker import LocalBroker, find_mosquitto, start_local_broker
from sims.backfill import run_backfill
from sims.demo_sites import render_demo_site
from tests.conftest import skip_loudly
from tests.services.influxd import InfluxdServer
from tests.services.processes import wait_until

SITE = "kakao-ansan"
CADENCE_S = 60.0
KILLS = 20
# The last whole hour of the past, so that the day lies inside the late window of the site.
END = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
START = END - timedelta(days=1)


@dataclass
class Day:
    """One run of the day on one store."""

    environment: dict[str, str]
    registry: SiteRegistry
    published: int = 0
    kills: int = 0
    truth: Path = Path()
    answers: dict[str, Any] = field(default_factory=dict)

    @property
    def site(self) -> Site:
        return self.registry.site(SITE)

    def ask(self, *arguments: str) -> Any:
        """The JSON that `greendc ARGUMENTS --json` prints."""
        done = subprocess.run(
            [sys.executable, "-m", "greendc", *arguments, "--json"],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def ledger(self) -> Any:
        begin = format_time(datetime.now(UTC) - timedelta(hours=6))
        end = format_time(datetime.now(UTC) + timedelta(hours=6))
        return self.ask("ledger", "--site", SITE, "--from", begin, "--to", end)

    def start(self, name: str) -> subprocess.Popen[bytes]:
        log = Path(self.environment["GREENDC_DATA_DIR"]) / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            return subprocess.Popen(
                [sys.executable, "-m", "greendc", name],
                env={**os.environ, **self.environment},
                stdout=file,
                stderr=file,
            )


def run_day(
    folder: Path, broker: LocalBroker, registry: SiteRegistry, store: dict[str, str]
) -> Day:
    connection = broker.connection()
    password = folder / "password"
    password.write_text(connection.password)
    day = Day(
        {
            "GREENDC_DATA_DIR": str(folder / "data"),
            "GREENDC_SITES_DIR": str(folder.parent / "sites"),
            "GREENDC_MQTT__URL": connection.url,
            "GREENDC_MQTT__USERNAME": connection.username,
            "GREENDC_MQTT__PASSWORD_FILE": str(password),
            "GREENDC_MQTT__CLIENT_ID": f"greendc-{folder.name}",
            "GREENDC_HEALTH__PORT": "0",
            "GREENDC_LOG__FORMAT": "text",
            **store,
        },
        registry,
        truth=folder / "truth.jsonl",
    )
    # The session has to exist before anything is published: a broker keeps nothing for a stranger.
    ingester = day.start("ingest")
    log = Path(day.environment["GREENDC_DATA_DIR"]) / "ingest.log"
    wait_until(lambda: b"subscribed" in log.read_bytes(), seconds=30, what="subscription")
    done = threading.Event()

    def publish() -> None:
        def account(site_id: str) -> MqttConnection:
            return broker.connection(site_id)

        try:
            count = run_backfill(
                registry,
                [SITE],
                account,
                seed=7,
                days=1,
                cadence_s=CADENCE_S,
                now=END,
                stop=threading.Event(),
                progress=lambda share, text: None,
                truth_path=day.truth,
            )
            assert count.published == count.acknowledged
            day.published = count.published
        finally:
            done.set()

    publisher = threading.Thread(target=publish)
    publisher.start()
    chance = random.Random(11)
    while day.kills < KILLS:
        time.sleep(chance.uniform(0.15, 0.8))
        ingester.send_signal(signal.SIGKILL)
        ingester.wait()
        day.kills += 1
        ingester = day.start("ingest")
    publisher.join(timeout=100)
    assert done.is_set()
    wait_until(
        lambda: (found := day.ledger())["stored"] >= day.published and not found["spooled"],
        seconds=90,
        what="every published reading stored",
    )
    analytics = day.start("analytics")

    def rolled_up() -> bool:
        hours = day.ask(
            *("intervals", "--site", SITE, "--device", "grid-a", "--metric", "active_energy_kwh"),
            *("--from", format_time(START), "--to", format_time(END), "--resolution", "hour"),
        )
        energies = day.ask(
            *("kpi", "--site", SITE, "--kpi", "pue,pv_energy,wue,accelerator_energy"),
            *("--from", format_time(START), "--to", format_time(END)),
        )
        whole = all(row["coverage"] == 1.0 for row in hours)
        return whole and all(row["verdict"] == "final" for row in energies)

    wait_until(rolled_up, seconds=90, what="the day rolled up")
    for process in (analytics, ingester):
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    return day


@pytest.fixture(scope="module")
def broker_and_registry(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[LocalBroker, SiteRegistry, Path]]:
    if find_mosquitto() is None:
        skip_loudly("no mosquitto on this machine: apt-get install mosquitto")
    folder = tmp_path_factory.mktemp("day")
    text = (Path(__file__).parents[2] / "config" / "sites" / f"{SITE}.toml").read_text("utf-8")
    rendered = render_demo_site(
        text, history_cadence_s=CADENCE_S, demo_start=END, live_cadence_s=CADENCE_S
    )
    (folder / "sites").mkdir()
    (folder / "sites" / f"{SITE}.toml").write_text(rendered, encoding="utf-8")
    registry = build_registry({"site": rendered})
    broker = start_local_broker(registry, folder / "broker")
    yield broker, registry, folder
    broker.stop()


@pytest.fixture(scope="module")
def embedded_day(broker_and_registry: tuple[LocalBroker, SiteRegistry, Path]) -> Day:
    broker, registry, folder = broker_and_registry
    (folder / "embedded").mkdir()
    return run_day(folder / "embedded", broker, registry, {})


@pytest.fixture(scope="module")
def influx_day(
    broker_and_registry: tuple[LocalBroker, SiteRegistry, Path], influxd: InfluxdServer
) -> Day:
    broker, registry, folder = broker_and_registry
    (folder / "influx").mkdir()
    store = {
        "GREENDC_TIMESERIES__URL": influxd.url,
        "GREENDC_TIMESERIES__ORG": influxd.org,
        "GREENDC_TIMESERIES__TOKEN": influxd.token,
        "GREENDC_TIMESERIES__BUCKET": "simulated-day",
    }
    return run_day(folder / "influx", broker, registry, store)


@pytest.fixture(params=["embedded_day", "influx_day"])
def day(request: pytest.FixtureRequest) -> Day:
    found: Day = request.getfixturevalue(request.param)
    return found


pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


def test_every_published_reading_is_stored_exactly_once(day: Day) -> None:
    assert day.kills == KILLS
    ledger = day.ledger()
    assert ledger["balanced"]
    assert ledger["stored"] == day.published
    assert ledger["quarantined"] == ledger["rejected"] == ledger["spooled"] == 0
    expected = int(timedelta(days=1).total_seconds() / CADENCE_S)
    for device in ("grid-a", "grid-b"):
        for metric in sorted(day.site.device(device).metrics()):
            answer = day.ask(
                *("samples", "--site", SITE, "--device", device, "--metric", metric),
                *("--from", format_time(START), "--to", format_time(END)),
            )
            times = [time_ for time_, _ in answer["samples"]]
            assert answer["unit"] == CATALOGUE[("energy", metric)].unit
            assert len(times) == len(set(times)) == expected
            assert times == sorted(times)


def test_hourly_energy_and_pue_are_the_simulators_truth(day: Day) -> None:
    truth = [json.loads(line) for line in day.truth.read_text("utf-8").splitlines()]
    hours = {
        parse_rfc3339(row["start"]): row["kpis"] for row in truth if row["resolution"] == "hour"
    }
    assert len(hours) >= 23
    rows = day.ask(
        *("kpi", "--site", SITE, "--kpi", "facility_energy,it_energy,pue,wue,ref"),
        *("--from", format_time(START), "--to", format_time(END), "--resolution", "hour"),
    )
    category = str(day.site.pue_category)
    compared = 0
    for row in rows:
        start = parse_rfc3339(row["start"])
        if row["subject"] != "site" or start not in hours:
            continue
        exact = hours[start]
        wanted = {
            "facility_energy": exact["facility_energy_kwh"],
            "it_energy": exact["it_energy_kwh"][category],
            "pue": exact["pue"][category],
            "wue": exact["wue"],
            "ref": exact["ref"],
        }[row["kpi"]]
        if start == START:
            continue  # the hour before the first reading is not whole
        assert row["verdict"] == "final", row
        assert row["shares"]["simulated"] == pytest.approx(1.0)
        assert row["value"] == pytest.approx(wanted, rel=1e-3, abs=1e-9), row
        compared += 1
    assert compared >= 5 * 22


def test_both_stores_give_the_same_figures(embedded_day: Day, influx_day: Day) -> None:
    def figures(of: Day) -> dict[tuple[str, str, str], float | None]:
        rows = of.ask(
            *("kpi", "--site", SITE, "--from", format_time(START), "--to", format_time(END)),
            *("--resolution", "hour"),
        )
        return {(row["kpi"], row["subject"], row["start"]): row["value"] for row in rows}

    embedded, influx = figures(embedded_day), figures(influx_day)
    assert embedded.keys() == influx.keys()
    assert len(embedded) > 100
    for key, value in embedded.items():
        if value is None:
            assert influx[key] is None, key
        else:
            assert influx[key] == pytest.approx(value, rel=1e-9, abs=1e-9), key
