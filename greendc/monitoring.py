"""What a person watching the ingester wants to see, and when somebody has to be told.

`greendc.monitoring_files` makes a dashboard, alert rules and documentation of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from core.text import Text
from greendc.certificates import RENEW_DAYS
from ingest.partition import STUCK_S

_SITE = 'site=~"$site"'


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel of the dashboard.

    Attributes:
        queries: Legend -> PromQL.
        unit: A unit id of Grafana.
        kind: `stat` shows the newest value, `timeseries` a line.
    """

    title: Text
    queries: Mapping[str, str]
    unit: str = "short"
    kind: Literal["timeseries", "stat"] = "timeseries"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert rule.

    Attributes:
        expression: PromQL that has a result while the alert holds.
        wait: How long it must hold, in Prometheus' form.
        severity: `critical`: somebody is called; `warning`: somebody looks in working hours.
        advice: What to do.
    """

    name: str
    expression: str
    wait: str
    severity: Literal["critical", "warning"]
    text: Text
    advice: str


def _quantiles(metric: str) -> dict[str, str]:
    return {
        f"p{percent}": (
            f"histogram_quantile({percent / 100:g}, sum by (le) (rate({metric}_bucket[5m])))"
        )
        for percent in (50, 99)
    }


PANELS: tuple[Panel, ...] = (
    Panel(
        Text("상태 (1 = 정상)", "State (1 = well)"),
        {
            "broker": "min(greendc_ingest_connected)",
            "threads": "min(greendc_ingest_threads_alive)",
            "spool": "min(greendc_ingest_spool_ok)",
            "store": "min(greendc_ingest_store_ok)",
            "probe": "min(greendc_ingest_probe_ok)",
        },
        kind="stat",
    ),
    Panel(
        Text("초당 메시지", "Messages per second"),
        {"messages": "sum(rate(greendc_ingest_messages_total[5m]))"},
    ),
    Panel(
        Text("판정별 초당 측정값", "Readings per second by verdict"),
        {
            "{{verdict}}": "sum by (verdict) "
            f"(rate(greendc_ingest_verdict_readings_total{{{_SITE}}}[5m]))"
        },
    ),
    Panel(
        Text("사유별 초당 거부 측정값", "Refused readings per second by reason"),
        {
            "{{reason}}": "sum by (reason) "
            f"(rate(greendc_ingest_refused_readings_total{{{_SITE}}}[5m]))"
        },
    ),
    Panel(
        Text("사업장별 마지막 메시지 이후", "Since the last message of a site"),
        {"{{site}}": f"greendc_ingest_site_seconds_since_message{{{_SITE}}}"},
        "s",
    ),
    Panel(
        Text("늦게 온 측정값 (초당)", "Late readings per second"),
        {"{{site}}": f"rate(greendc_ingest_late_readings_total{{{_SITE}}}[5m])"},
    ),
    Panel(
        Text("수신에서 확인 응답까지", "From receipt to acknowledgement"),
        _quantiles("greendc_ingest_acknowledge_seconds"),
        "s",
    ),
    Panel(
        Text("수신에서 저장까지", "From receipt to the store"),
        _quantiles("greendc_ingest_store_seconds"),
        "s",
    ),
    Panel(
        Text("점검 측정값: 발행에서 저장까지", "Probe: from publish to the store"),
        {
            **_quantiles("greendc_ingest_probe_seconds"),
            "since arrival": "max(greendc_ingest_probe_since_arrival_seconds)",
        },
        "s",
    ),
    Panel(
        Text("스풀에서 기다리는 측정값", "Readings waiting in the spool"),
        {"readings": "sum(greendc_ingest_spooled_readings)"},
    ),
    Panel(
        Text("스풀 크기", "Bytes in the spool"),
        {"bytes": "sum(greendc_ingest_spooled_bytes)"},
        "bytes",
    ),
    Panel(
        Text("저장 지연", "Lag of the store"),
        {"oldest": "max(greendc_ingest_oldest_spooled_seconds)"},
        "s",
    ),
    Panel(
        Text("격리된 측정값", "Readings in quarantine"),
        {"{{site}}": f"greendc_ingest_quarantine_open_readings{{{_SITE}}}"},
    ),
    Panel(
        Text("스레드가 마지막으로 돈 뒤", "Since a thread came round"),
        {"{{thread}} {{partition}}": "greendc_ingest_thread_heartbeat_age_seconds"},
        "s",
    ),
    Panel(
        Text("인증서 남은 기간 (일)", "Days left of certificates"),
        {"{{certificate}}": "(greendc_certificate_expiry_timestamp_seconds - time()) / 86400"},
    ),
    Panel(
        Text("메모리", "Memory"),
        {"resident": "greendc_process_resident_memory_bytes"},
        "bytes",
    ),
    Panel(
        Text("CPU (코어)", "CPU (cores)"),
        {"cores": "rate(greendc_process_cpu_seconds_total[5m])"},
    ),
    Panel(
        Text("열린 파일과 소켓", "Open files and sockets"),
        {"open": "greendc_process_open_files"},
    ),
)

ALERTS: tuple[Alert, ...] = (
    Alert(
        "GreendcIngestAbsent",
        "absent(greendc_ingest_connected)",
        "3m",
        "critical",
        Text("수신기에서 지표가 오지 않습니다", "No metrics come from any ingester"),
        "start it; its log says why it ended. The broker keeps the messages meanwhile",
    ),
    Alert(
        "GreendcIngestNotConnected",
        "greendc_ingest_connected == 0",
        "2m",
        "critical",
        Text(
            "수신기가 브로커에 연결되어 있지 않습니다", "An ingester is not connected to the broker"
        ),
        "start the broker, or correct the account: the ingester's log says which",
    ),
    Alert(
        "GreendcIngestThreadStuck",
        f"max by (partition, thread) (greendc_ingest_thread_heartbeat_age_seconds) > {STUCK_S:g}",
        "0m",
        "critical",
        Text("수신기의 스레드가 멈춰 있습니다", "A thread of an ingester hangs"),
        "it ends by itself and is started again by systemd or the container engine; look for a "
        "disk or a name server that does not answer",
    ),
    Alert(
        "GreendcIngestRestarts",
        "changes(greendc_process_start_timestamp_seconds[1h]) > 3",
        "0m",
        "warning",
        Text("수신기가 되풀이해서 다시 시작합니다", "An ingester starts again and again"),
        "its log says why it ends",
    ),
    Alert(
        "GreendcIngestSpoolFull",
        "greendc_ingest_spool_ok == 0",
        "1m",
        "critical",
        Text(
            "스풀에 쓸 수 없어 확인 응답을 멈췄습니다",
            "The spool takes nothing: nothing is acknowledged",
        ),
        "make room on the disk of the data folder; it goes on by itself",
    ),
    Alert(
        "GreendcIngestStoreAway",
        "greendc_ingest_store_ok == 0",
        "5m",
        "warning",
        Text(
            "저장소가 응답하지 않아 측정값이 스풀에 쌓입니다",
            "The store is away: readings wait in the spool",
        ),
        "bring it back, or mend address, token or bucket: the log names the fault",
    ),
    Alert(
        "GreendcIngestLag",
        "greendc_ingest_oldest_spooled_seconds > 600",
        "5m",
        "critical",
        Text("저장이 10분 넘게 밀려 있습니다", "The store is more than 10 minutes behind"),
        "as for an absent store; with the store present: more is sent than it takes",
    ),
    Alert(
        "GreendcIngestSetAside",
        "greendc_ingest_set_aside_commits > 0",
        "0m",
        "critical",
        Text("스풀의 손상된 묶음이 있습니다", "The spool has damaged commits"),
        "the log names them; check the disk, keep the spool file",
    ),
    Alert(
        "GreendcLedgerImbalance",
        "greendc_ingest_ledger_imbalances > 0",
        "1m",
        "critical",
        Text("수신 장부가 맞지 않습니다", "The ledger of receipt does not balance"),
        "greendc doctor and /readyz name site and hour; docs/intake.md says what to do",
    ),
    Alert(
        "GreendcSiteSilent",
        "greendc_ingest_site_seconds_since_message > 900 and on (instance) "
        "greendc_ingest_connected == 1",
        "5m",
        "warning",
        Text(
            "{{ $labels.site }} 사업장에서 15분 넘게 메시지가 없습니다",
            "Nothing has come from {{ $labels.site }} for 15 minutes",
        ),
        "call the site: gateway, line or account. The broker's log tells refused connections",
    ),
    Alert(
        "GreendcSiteOverItsCap",
        'increase(greendc_ingest_refused_readings_total{reason="rate_cap"}[10m]) > 0',
        "0m",
        "warning",
        Text(
            "{{ $labels.site }} 사업장이 측정값 한도를 넘었습니다",
            "{{ $labels.site }} sends more readings than its cap",
        ),
        "a gateway that repeats itself, or GREENDC_INGEST__SITE_READINGS_PER_S is too small",
    ),
    Alert(
        "GreendcQuarantineGrows",
        "sum by (site) (increase(greendc_ingest_refused_readings_total[1h])) > 100",
        "10m",
        "warning",
        Text(
            "{{ $labels.site }} 사업장의 격리 측정값이 늘고 있습니다",
            "The quarantine of {{ $labels.site }} grows",
        ),
        "greendc quarantine list shows reason and bytes: mend site file or mapping, replay",
    ),
    Alert(
        "GreendcProbeLost",
        "greendc_ingest_probe_ok == 0",
        "5m",
        "critical",
        Text(
            "점검 측정값이 저장소에 도착하지 않습니다",
            "Probe readings do not arrive in the store",
        ),
        "the way from broker to store is broken or slow for everybody, whatever else looks well",
    ),
    Alert(
        "GreendcCertificateEnds",
        f"greendc_certificate_expiry_timestamp_seconds - time() < {RENEW_DAYS} * 86400",
        "1h",
        "warning",
        Text(
            "인증서 {{ $labels.certificate }}의 유효 기간이 30일 안에 끝납니다",
            "The certificate {{ $labels.certificate }} ends within 30 days",
        ),
        "greendc broker secrets (broker) or greendc broker certificates (clients), then restart",
    ),
    Alert(
        "GreendcCertificateEndsNow",
        "greendc_certificate_expiry_timestamp_seconds - time() < 3 * 86400",
        "0m",
        "critical",
        Text(
            "인증서 {{ $labels.certificate }}의 유효 기간이 3일 안에 끝납니다",
            "The certificate {{ $labels.certificate }} ends within 3 days",
        ),
        "as above, today",
    ),
)
