"""A partition goes from one process to another, in good order and after a kill: nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from greendc.local_broker import find_mosquitto
from ingest.spool_files import spool_path
from tests.conftest import skip_loudly
from tests.ingest.registry import REGISTRY_FILE
from tests.integration.ingester import SITE, Ingester
from tests.services.fault_server import FaultProxy, refusal
from tests.services.influxd import InfluxdServer
from tests.services.processes import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
OTHER = "other-dc"
SITES = (SITE, OTHER)


@dataclass
class Worker:
    """One ingester process with partitions and a data folder of its own."""

    made: Ingester
    partitions: str
    data: Path

    def launch(self) -> None:
        self.log = self.made.folder / f"{uuid.uuid4().hex}.log"
        environment = {
            **os.environ,
            **self.made.environment,
            "GREENDC_DATA_DIR": str(self.data),
            "GREENDC_INGEST__PARTITIONS": self.partitions,
        }
        with self.log.open("ab") as file:
            self.process = subprocess.Popen(
                self.made.command, env=environment, stdout=file, stderr=file
            )

    def start(self) -> Worker:
        self.launch()
        for number in self.partitions.split(","):
            word = f"subscribed as greendc-ingest-{number}".encode()
            wait_until(
                lambda word=word: word in self.log.read_bytes(), seconds=90, what="subscribed"
            )
        return self

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=15)


@contextmanager
def publishing(made: Ingester, published: dict[str, int]) -> Iterator[None]:
    """Numbered readings of both sites, a few hundred a second, from the first to the last."""
    stop = threading.Event()
    base_ms = int(time.time() * 1000) - 3_600_000

    def publish(site: str) -> None:
        client = made.publisher(site)
        while True:
            last = stop.is_set()
            infos = []
            for _ in range(20):
                number = published[site]
                document = {
                    "ts": base_ms + 10 * number,
                    "device": "grid-a",
                    "values": {"active_power_kw": float(number)},
                }
                payload = json.dumps(document)
                infos.append(client.publish(f"greendc/v1/{site}/energy", payload, qos=1))
                published[site] += 1
            for info in infos:
                info.wait_for_publish(20)
            if last:
                break
            stop.wait(0.08)
        client.disconnect()
        client.loop_stop()

    threads = [threading.Thread(target=publish, args=(site,)) for site in SITES]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def move_spool(number: int, source: Path, target: Path) -> None:
    """As docs/operating.md says: the file with its log, and nothing stays behind."""
    (target / "spool").mkdir(parents=True, exist_ok=True)
    for path in sorted((source / "spool").glob(f"partition-{number}.sqlite*")):
        path.rename(target / "spool" / path.name)


def test_a_partition_changes_hands_and_folders(tmp_path: Path, influxd: InfluxdServer) -> None:
    if find_mosquitto() is None:
        skip_loudly("no mosquitto on this machine: apt-get install mosquitto")
    with FaultProxy(influxd.url) as proxy:
        here, there = tmp_path / "here", tmp_path / "there"
        bucket = f"partitions-{uuid.uuid4().hex}"
        settings = {
            "GREENDC_TIMESERIES__URL": proxy.url,
            "GREENDC_TIMESERIES__ORG": influxd.org,
            "GREENDC_TIMESERIES__TOKEN": influxd.token,
            "GREENDC_TIMESERIES__BUCKET": bucket,
            "GREENDC_RECORDS__URL": f"sqlite:///{tmp_path / 'records.sqlite'}",
            "GREENDC_INGEST__PARTITION_COUNT": "2",
            "GREENDC_INGEST__PARTITION_TABLE": f"{OTHER}=1",
            "GREENDC_DATA_DIR": str(here),
        }
        other = REGISTRY_FILE.replace(f'id = "{SITE}"', f'id = "{OTHER}"')
        made = Ingester(tmp_path / "one", settings, more_sites={OTHER: other})
        workers: list[Worker] = []

        def work(partitions: str, data: Path) -> Worker:
            workers.append(Worker(made, partitions, data))
            return workers[-1].start()

        published = dict.fromkeys(SITES, 0)
        try:
            both = work("0,1", here)
            with publishing(made, published):
                time.sleep(1)
                # One process becomes two, on the same folder.
                assert both.end(signal.SIGTERM) == 0
                work("0", here)
                second = work("1", here)
                # Nobody else gets what is taken.
                third = Worker(made, "1", here)
                third.launch()
                assert third.process.wait(timeout=60) == 2
                assert f"held by the process {second.process.pid}" in third.log.read_text()
                # To another folder, with a spool that is not empty.
                proxy.rule = lambda request: refusal(503, "unavailable")
                time.sleep(1)
                assert second.end(signal.SIGTERM) == 0
                assert made.ledger(OTHER)["spooled"] > 0
                move_spool(1, here, there)
                assert not spool_path(here / "spool", 1).exists()
                fourth = work("1", there)
                time.sleep(0.5)
                # And back, from a process that died.
                fourth.end(signal.SIGKILL)
                move_spool(1, there, here)
                work("1", here)
                proxy.rule = lambda request: None
            for site in SITES:

                def is_drained(site: str = site) -> bool:
                    ledger = made.ledger(site)
                    assert ledger["balanced"]
                    return ledger["received"] >= published[site] and not ledger["spooled"]

                wait_until(is_drained, seconds=240, what=f"{site} drained")
                ledger = made.ledger(site)
                assert ledger["stored"] == published[site]
                assert ledger["received"] == ledger["stored"] + ledger["duplicate"]
                numbers = [float(number) for number in range(published[site])]
                assert made.values("grid-a", site=site) == numbers
        finally:
            for worker in workers:
                if worker.process.poll() is None:
                    worker.process.kill()
                    worker.process.wait()
            made.close()
            influxd.remove_buckets(bucket)
