"""Mending: a site file or a mapping changes under a running ingester, entries are replayed."""

from __future__ import annotations

import json
import re
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from analytics.service import AnalyticsConfig, AnalyticsService
from core.ledger import (
    HOUR_MS,
    CommitOutcome,
    LedgerCounts,
    LedgerHour,
    QuarantineEntry,
)
from core.periods import Period, format_time, from_ms
from core.site_files import build_registry
from greendc.local_broker import find_mosquitto
from ingest.intake import Intake
from ingest.spool import Spool
from storage.embedded.store import EmbeddedStore
from storage.records.store import Records
from tests.conftest import skip_loudly
from tests.ingest.registry import REGISTRY_FILE
from tests.ingest.test_forward import NOW, REGISTRY, Bench, FaultyStore, reading
from tests.ingest.test_replay_of_many import Worker
from tests.integration.ingester import SITE, Ingester
from tests.services.processes import wait_until

TOPIC = f"greendc/v1/{SITE}/energy"
WITH_C = REGISTRY_FILE.replace('id = "grid-b"', 'id = "grid-c"')


# ------------------------------------------------------------ intervals


def energy(store: EmbeddedStore, device: str) -> list[tuple[int, float]]:
    period = Period(NOW - timedelta(hours=2), NOW)
    blocks = store.read_intervals(
        SITE, period, family="energy", devices=[device], metrics=["active_energy_kwh"]
    )
    return [
        pair
        for block in blocks
        for pair in zip(block.start_ms.tolist(), block.amount.tolist(), strict=True)
    ]


def test_a_replay_corrects_the_intervals(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "store", 0, role="all")
    records = Records.open(f"sqlite:///{tmp_path / 'records.sqlite'}")
    from core.clock import FakeClock

    clock = FakeClock(NOW)
    bench = Bench(
        tmp_path,
        clock,
        FaultyStore(store),
        records,
        Spool(tmp_path / "spool", 0),
        Intake(REGISTRY, site_readings_per_s=1e6),
    )
    analytics = AnalyticsService(
        build_registry({"test": REGISTRY_FILE}), store, records, AnalyticsConfig(raw_days=0), clock
    )

    def settle() -> None:
        bench.drain()
        for _ in range(3):
            clock.advance(timedelta(seconds=60))
            analytics.run_pass()

    try:
        # A counter every 10 s, 1 kWh each; the hour's first quarter ends with a value that is
        # wrong, and the right one for the same instant is refused.
        for n in range(360):
            wrong = 50.0 if n == 89 else 0.0
            bench.receive(reading(3610 - 10 * n, 1000.0 + n + wrong, metric="active_energy_kwh"))
        bench.receive(reading(3610 - 10 * 89, 1000.0 + 89, metric="active_energy_kwh"))
        settle()
        before = energy(store, "grid-a")
        (entry,) = records.read_quarantine()
        assert entry.reason == "conflicting_value"
        outcome = Worker(bench).ask("replay", [entry.id], correction=True)
        assert outcome == {entry.id: "replayed"}
        assert records.count_dirty() > 0
        assert energy(store, "grid-a") == before
        settle()
        after = energy(store, "grid-a")
        changed = [at for at, value in before if dict(after)[at] != value]
        assert changed == [(NOW - timedelta(seconds=3610)).timestamp() * 1000 // 900_000 * 900_000]
        assert [value for _, value in after[:4]] == pytest.approx([90.0, 90.0, 90.0, 89.0])
        assert records.count_dirty() == 0
    finally:
        bench.spool.close()
        records.close()
        store.close()


# ------------------------------------------------------------ a running ingester


@pytest.fixture
def ingester(tmp_path: Path) -> Iterator[Ingester]:
    if find_mosquitto() is None:
        skip_loudly("no mosquitto on this machine: apt-get install mosquitto")
    made = Ingester(tmp_path / "one")
    yield made
    made.close()


def ready(ingester: Ingester) -> tuple[int, dict[str, Any]]:
    found = re.findall(rb"health at (http://\S+)/readyz", ingester.log.read_bytes())
    try:
        with urllib.request.urlopen(f"{found[-1].decode()}/readyz", timeout=10) as answer:
            status, body = answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        status, body = refused.code, refused.read()
    return status, {check["check"]: check for check in json.loads(body)}


def metrics(ingester: Ingester) -> str:
    found = re.findall(rb"health at (http://\S+)/readyz", ingester.log.read_bytes())
    with urllib.request.urlopen(f"{found[-1].decode()}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def logged(ingester: Ingester, words: bytes, times: int = 1) -> None:
    wait_until(
        lambda: ingester.log.read_bytes().count(words) >= times, seconds=30, what=words.decode()
    )


@pytest.mark.integration
@pytest.mark.timeout(240)
def test_site_files_and_mappings_are_mended_under_a_running_ingester(ingester: Ingester) -> None:
    ingester.start()
    site_file = ingester.folder / "sites" / f"{SITE}.toml"
    client = ingester.publisher()
    base_ms = int(time.time() * 1000) - 3_600_000
    payloads = [
        {"ts": base_ms + n, "device": "grid-c", "values": {"active_power_kw": float(n)}}
        for n in range(40)
    ]
    for payload in payloads:
        client.publish(TOPIC, json.dumps(payload), qos=1).wait_for_publish(timeout=10)
    line = f"modbus,slave_id=1,type=holding_register power=5000 {base_ms}000000"
    client.publish(f"telegraf/{SITE}/meters/gw", line, qos=1).wait_for_publish(timeout=10)
    assert ingester.drained(41)["quarantined"] == 41

    # A file with faults: all of them are told, and what was in force stays.
    site_file.write_text(WITH_C.replace("cadence_s = 10", 'cadence_s = "x"'), encoding="utf-8")
    logged(ingester, b"the old ones stay in force")
    status, checks = ready(ingester)
    assert (status, checks["configuration"]["ok"]) == (200, False)
    assert ingester.log.read_bytes().count(b"cadence_s") >= 5
    refused = ingester.ask("quarantine", "replay", "--all", "--reason", "unknown_device")
    assert {answer["outcome"].partition(":")[0] for answer in refused} == {"still refused"}

    # Mended: taken without a restart, and by SIGHUP though nothing has changed.
    site_file.write_text(WITH_C, encoding="utf-8")
    logged(ingester, b"read again")
    assert ingester.process is not None
    ingester.process.send_signal(signal.SIGHUP)
    logged(ingester, b"read again", times=2)
    status, checks = ready(ingester)
    assert (status, checks["configuration"]["ok"], checks["ledger"]["ok"]) == (200, True, True)
    outcomes = ingester.ask("quarantine", "replay", "--all", "--reason", "unknown_device")
    assert [answer["outcome"] for answer in outcomes] == ["replayed"] * 40
    assert ingester.values("grid-c") == [float(n) for n in range(40)]

    # And a mapping that was not there.
    from tests.ingest.registry import MAPPING_FILE

    (ingester.mappings / "test.toml").write_text(MAPPING_FILE, encoding="utf-8")
    logged(ingester, b"1 mapping files", times=1)
    logged(ingester, b"read again", times=3)
    (outcome,) = ingester.ask("quarantine", "replay", "--all")
    assert outcome["outcome"] == "replayed"
    assert ingester.values("grid-a") == [5.0]
    ledger = ingester.drained(41)
    assert (ledger["stored"], ledger["quarantined"], ledger["balanced"]) == (41, 0, True)

    now = from_ms(int(time.time() * 1000))
    span = ("--from", format_time(now - timedelta(hours=3)), "--to", format_time(now))
    counts = ingester.ask("quarantine", "counts", "--site", SITE, "--by", "day", *span)
    by_reason = {count["reason"]: count for count in counts}
    assert sum(c["quarantined"] for c in counts if c["reason"] == "unknown_device") == 40
    assert by_reason["unknown_topic"]["replayed"] == 1
    assert ingester.ask("audit", "verify")["whole"] is True
    actions = [entry["action"] for entry in ingester.ask("audit", "list")]
    assert actions == ["quarantine.replay"] * 3
    assert "greendc_ingest_ledger_imbalances 0.0" in metrics(ingester)
    assert ingester.end(signal.SIGTERM) == 0


@pytest.mark.integration
@pytest.mark.timeout(240)
def test_a_ledger_that_was_changed_is_an_alarm_everywhere(
    ingester: Ingester, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy import text

    # More than the quarantine may hold, from before: given up at the start, and told.
    ingester.environment["GREENDC_INGEST__QUARANTINE_BYTES"] = "1000"
    records = Records.open(f"sqlite:///{ingester.folder / 'data' / 'records.sqlite'}")
    now_ms = int(time.time() * 1000)
    old = QuarantineEntry("", now_ms - 1, SITE, TOPIC, "not_json", "", 3, (), b"x" * 2000)
    hour_ms = old.received_ms - old.received_ms % HOUR_MS
    hour = LedgerHour(SITE, hour_ms, LedgerCounts(3, quarantined=3))
    records.apply_commit(CommitOutcome(77, 1, hours=(hour,), quarantined=(old,)))
    ingester.start()
    wait_until(lambda: not records.read_quarantine(), seconds=30, what="a bound")
    records.close()
    (told,) = ingester.ask("audit", "list")
    assert (told["actor"], told["action"]) == ("greendc", "quarantine.discard")
    client = ingester.publisher()
    client.publish(TOPIC, b"{", qos=1).wait_for_publish(timeout=10)
    assert ingester.drained(4)["discarded"] == 3
    records = Records.open(f"sqlite:///{ingester.folder / 'data' / 'records.sqlite'}")
    try:
        with records._database.writing() as connection:
            connection.execute(
                text("UPDATE quarantine_entry SET readings = 2 WHERE state = 'open'")
            )
        wait_until(lambda: bool(records.read_imbalances()), seconds=60, what="an alarm")
        (alarm,) = records.read_imbalances()
    finally:
        records.close()
    assert (alarm.site, alarm.name) == (SITE, "quarantined")
    # With the discarded ones, where all came in one hour.
    assert alarm.found - alarm.booked == 1
    hour = format_time(alarm.hour_ms)
    status, checks = ready(ingester)
    assert (status, checks["ledger"]["ok"]) == (200, False)
    assert SITE in checks["ledger"]["detail"]
    assert hour in checks["ledger"]["detail"]
    told = metrics(ingester)
    assert "greendc_ingest_ledger_imbalances 1.0" in told
    assert f'imbalance_readings{{site="{SITE}",hour="{hour}",count="quarantined"}} 1.0' in told
    assert b"the ledger does not balance" in ingester.log.read_bytes()
    doctor = {check["check"]: check for check in ingester.ask_any("doctor")}
    assert doctor["ledger"]["ok"] is False
    assert hour in doctor["ledger"]["detail"]
    assert ingester.end(signal.SIGTERM) == 0
