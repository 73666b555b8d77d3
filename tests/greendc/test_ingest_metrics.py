"""The table of metrics: what Prometheus reads, and a health that turns red."""

from __future__ import annotations

import http.client
import re
from collections.abc import Sequence
from typing import Any

from core.reasons import REASONS
from greendc.health import HealthServer, render_metrics
from greendc.ingest_metrics import METRICS, IngestObservation, ingest_metrics
from greendc.process_figures import read_process_figures
from ingest.config import IngestStatus
from ingest.observing import BookedCounts, Histogram
from ingest.probe import LOST, OFF, OK, REFUSED, ProbeStatus

NOW_S = 1_795_133_710.0


def status(**changes: Any) -> IngestStatus:
    values: dict[str, Any] = {
        "connected": True,
        "threads_alive": True,
        "messages": 7,
        "commits": 2,
        "readings": 9,
        "acknowledged": 7,
        "connections": 1,
        "refused": {},
        "spooled_readings": 0,
        "oldest_spooled_s": 0.0,
        "set_aside_commits": 0,
        "forwarded": 8,
        "store_state": "ok",
        "spool_state": "ok",
        "seconds_since_message": 1.5,
        "last_message_ms": {"b": int(NOW_S * 1000) - 4_000},
    }
    return IngestStatus(**{**values, **changes})


def scrape(seen: IngestObservation) -> dict[str, float]:
    """The exposition, read line by line as Prometheus does."""
    found = {}
    kinds: dict[str, str] = {}
    for line in render_metrics(ingest_metrics(seen)).splitlines():
        if line.startswith("# TYPE "):
            name, kind = line.split()[2:]
            assert name not in kinds
            kinds[name] = kind
        elif not line.startswith("# HELP "):
            matched = re.fullmatch(r"([a-z_]+(?:\{.*\})?) (\S+)", line)
            assert matched, line
            assert matched[1] not in found
            found[matched[1]] = float(matched[2])
    return found


def test_names_are_those_of_the_interface() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    for metric in METRICS:
        assert re.fullmatch(r"greendc_[a-z_]+", metric.name)
        assert (metric.kind == "counter") == metric.name.endswith("_total")
        assert metric.help.endswith(".")
        assert "\n" not in metric.help


def test_an_observation_is_read_back_as_it_was() -> None:
    waited = Histogram()
    waited.observe(0.02)
    waited.observe(7.0)
    seen = IngestObservation(
        status=status(
            booked=BookedCounts({("a", "stored"): 5}, {("a", "not_json"): 2}, {"a": 1}),
            acknowledging=waited.read(),
            heartbeats={(0, "network"): 0.25, (0, "spool"): 61.0},
            probe=ProbeStatus(OK, 3, 1, waited.read(), 0.4, 12.0),
            spooled_bytes=123,
        ),
        now_s=NOW_S,
        version="1.2",
        sites=("a", "b", "never-sent"),
        booked_message_ms={"a": int(NOW_S * 1000) - 90_000, "b": 1},
        quarantine={"a": (2, 40)},
        certificates={"ca.crt": NOW_S + 86_400},
        process=read_process_figures(),
    )
    found = scrape(seen)
    assert found['greendc_ingest_verdict_readings_total{site="a",verdict="stored"}'] == 5
    assert found['greendc_ingest_refused_readings_total{site="a",reason="not_json"}'] == 2
    assert found['greendc_ingest_late_readings_total{site="a"}'] == 1
    assert found['greendc_ingest_site_seconds_since_message{site="a"}'] == 90
    assert found['greendc_ingest_site_seconds_since_message{site="b"}'] == 4
    assert 'greendc_ingest_site_seconds_since_message{site="never-sent"}' not in found
    assert found['greendc_ingest_quarantine_open_readings{site="a"}'] == 40
    assert found['greendc_ingest_quarantine_open_entries{site="b"}'] == 0
    assert found['greendc_ingest_acknowledge_seconds_bucket{le="0.01"}'] == 0
    assert found['greendc_ingest_acknowledge_seconds_bucket{le="0.025"}'] == 1
    assert found['greendc_ingest_acknowledge_seconds_bucket{le="+Inf"}'] == 2
    assert found["greendc_ingest_acknowledge_seconds_count"] == 2
    assert found["greendc_ingest_acknowledge_seconds_sum"] == 7.02
    name = "greendc_ingest_thread_heartbeat_age_seconds"
    assert found[f'{name}{{partition="0",thread="spool"}}'] == 61
    assert found["greendc_ingest_probe_last_seconds"] == 0.4
    assert found['greendc_certificate_expiry_timestamp_seconds{certificate="ca.crt"}'] > NOW_S
    assert found["greendc_process_resident_memory_bytes"] > 1e7
    assert found["greendc_process_open_files"] > 2
    assert abs(found["greendc_process_start_timestamp_seconds"] - 1.7e9) < 1e9
    # Names that were there before stay.
    assert found["greendc_ingest_messages_total"] == 7
    assert found["greendc_ingest_connected"] == 1


def test_what_is_not_known_is_absent_and_not_zero() -> None:
    found = scrape(IngestObservation(status=status(), now_s=NOW_S, sites=("a",)))
    for name in ("quarantine_open", "probe_ok", "probe_last", "site_seconds", "process_"):
        assert not [key for key in found if f"_{name}" in key], name
    assert found["greendc_ingest_probe_enabled"] == 0
    for state, enabled, ok in ((OFF, 0, None), (REFUSED, 0, None), (LOST, 1, 0), (OK, 1, 1)):
        seen = IngestObservation(status=status(probe=ProbeStatus(state)), now_s=NOW_S)
        found = scrape(seen)
        assert found["greendc_ingest_probe_enabled"] == enabled
        assert found.get("greendc_ingest_probe_ok") == ok


def test_labels_are_bounded_by_registry_and_tables() -> None:
    for metric in METRICS:
        if metric.name == "greendc_ingest_ledger_imbalance_readings":
            # None as long as all is well; else the wrong hours of one day.
            continue
        assert set(metric.labels) <= {
            "site", "verdict", "reason", "partition", "thread", "certificate", "version", "python",
        }  # fmt: skip
    assert len(REASONS) < 200


def test_healthz_turns_red_and_says_why() -> None:
    faults: list[str] = []
    server = HealthServer(
        "127.0.0.1", 0, ready=lambda: (), metrics=lambda: (), faults=lambda: faults
    )
    server.start()
    try:
        assert ask(server) == (200, "ok\n")
        faults.append("the network thread of partition 0 has not come round for 61 s")
        assert ask(server) == (503, f"{faults[0]}\n")
        faults.clear()
        assert ask(server) == (200, "ok\n")
    finally:
        server.stop()


def ask(server: HealthServer, path: str = "/healthz") -> tuple[int, str]:
    host, port = server.address.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_hostile_label_values_stay_inside_their_line() -> None:
    hostile = 'a"} 1\n# HELP x \\'
    seen = IngestObservation(
        status=status(booked=BookedCounts({(hostile, "stored"): 1})), now_s=NOW_S
    )
    text = render_metrics(ingest_metrics(seen))
    lines: Sequence[str] = [line for line in text.splitlines() if "verdict=" in line]
    assert lines == [
        'greendc_ingest_verdict_readings_total{site="a\\"} 1\\n# HELP x \\\\",verdict="stored"} 1.0'
    ]
