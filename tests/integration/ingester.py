"""A real `greendc ingest` process on a real broker, for tests that kill it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from core.ledger import LedgerCounts
from core.periods import Period, format_time
from core.site_files import build_registry
from greendc.broker import INGEST_ACCOUNT
from greendc.local_broker import LocalBroker, start_local_broker
from greendc.sparkplug_access import sparkplug_access
from ingest.ledger import read_ledger
from ingest.mapping_files import build_mappings
from storage.records.store import Records
from tests.ingest.registry import REGISTRY_FILE
from tests.services.processes import wait_until

SITE = "test-dc"
_COUNTS = (
    *("received", "stored", "duplicate", "quarantined", "rejected", "spooled", "balanced"),
    *("late", "discarded"),
)


@dataclass
class Ingester:
    """One ingester with its broker, its folder, and the commands that ask about it."""

    folder: Path
    store: dict[str, str] = field(default_factory=dict)
    site_file: str = REGISTRY_FILE
    site: str = SITE
    command: Sequence[str] = (sys.executable, "-m", "greendc", "ingest")
    mapping: str = ""
    more_sites: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.folder / "sites").mkdir(parents=True)
        site_files = {self.site: self.site_file, **self.more_sites}
        for site, text in site_files.items():
            (self.folder / "sites" / f"{site}.toml").write_text(text, encoding="utf-8")
        self.mappings = self.folder / "mappings"
        self.mappings.mkdir()
        if self.mapping:
            (self.mappings / "test.toml").write_text(self.mapping, encoding="utf-8")
        self.registry = build_registry(site_files)
        self.broker: LocalBroker = start_local_broker(
            self.registry,
            self.folder / "broker",
            sparkplug=sparkplug_access(
                build_mappings({"test": self.mapping} if self.mapping else {}),
                host=INGEST_ACCOUNT,
            ),
        )
        connection = self.broker.connection()
        self.log = self.folder / "ingest.log"
        self.environment = {
            "GREENDC_DATA_DIR": str(self.folder / "data"),
            "GREENDC_SITES_DIR": str(self.folder / "sites"),
            "GREENDC_MAPPINGS_DIR": str(self.mappings),
            "GREENDC_MQTT__URL": connection.url,
            "GREENDC_MQTT__USERNAME": connection.username,
            "GREENDC_MQTT__PASSWORD": connection.password,
            "GREENDC_HEALTH__PORT": "0",
            "GREENDC_LOG__FORMAT": "text",
            **self.store,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> None:
        before = self.log.read_bytes().count(b"subscribed") if self.log.exists() else 0
        with self.log.open("ab") as file:
            self.process = subprocess.Popen(
                self.command, env={**os.environ, **self.environment}, stdout=file, stderr=file
            )
        if wait:
            wait_until(
                lambda: self.log.read_bytes().count(b"subscribed") > before,
                seconds=90,  # of a busy machine; two on an idle one
                what="subscription",
            )

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=15)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.broker.stop()

    def publisher(self, site: str = "") -> paho.Client:
        connection = self.broker.connection(site or self.site)
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
        client.username_pw_set(connection.username, connection.password)
        client.max_inflight_messages_set(500)
        client.connect(connection.host, connection.port)
        client.loop_start()
        wait_until(client.is_connected, seconds=10, what="publisher")
        return client

    def ask_any(self, *arguments: str) -> Any:
        """The JSON of a command that may answer with exit code 1."""
        return self.ask(*arguments, codes=(0, 1))

    def ask(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "greendc", *arguments, "--json"],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode in codes, done.stderr
        return json.loads(done.stdout)

    def ledger(self, site: str = "") -> dict[str, Any]:
        """The sums of the ledger, read here: a process for each look would be most of the wait."""
        data = Path(self.environment["GREENDC_DATA_DIR"])
        url = self.environment.get("GREENDC_RECORDS__URL", f"sqlite:///{data / 'records.sqlite'}")
        records = Records.open(url)
        try:
            hours = read_ledger(records, data / "spool", site or self.site, self._period())
        finally:
            records.close()
        total = sum((hour.counts for hour in hours), LedgerCounts())
        return {name: getattr(total, name) for name in _COUNTS}

    def told_ledger(self) -> Any:
        """The same as `greendc ledger` tells it."""
        period = self._period()
        return self.ask(
            *("ledger", "--site", self.site),
            *("--from", format_time(period.start), "--to", format_time(period.end)),
        )

    def _period(self) -> Period:
        now = datetime.now(UTC)
        return Period(now - timedelta(hours=3), now + timedelta(hours=3))

    def values(
        self,
        device: str,
        metric: str = "active_power_kw",
        *,
        site: str = "",
        period: Period | None = None,
    ) -> list[float]:
        now = datetime.now(UTC)
        asked = period or Period(now - timedelta(days=2), now + timedelta(hours=1))
        answer = self.ask(
            *("samples", "--site", site or self.site, "--device", device, "--metric", metric),
            *("--from", format_time(asked.start), "--to", format_time(asked.end)),
        )
        return [value for _, value in answer["samples"]]

    def drained(self, received: int) -> Any:
        """Wait until so many readings were received and none is spooled; the ledger as told."""

        def done() -> bool:
            found = self.ledger()
            assert found["balanced"], found
            return bool(found["received"] >= received and not found["spooled"])

        wait_until(done, seconds=180, what=f"{received} readings drained", every=0.1)
        told = self.told_ledger()
        assert told["balanced"], told
        return told
