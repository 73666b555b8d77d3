"""A site that is still being built: everything knows it and nothing waits for it."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from analytics.kpis import compute_kpi_rows
from analytics.service import AnalyticsConfig, AnalyticsService
from core.clock import FakeClock
from core.connections import MqttConnection
from core.errors import ConfigurationError
from core.periods import Period
from core.site_files import build_registry
from core.sites import SiteRegistry
from greendc.broker import broker_accounts
from greendc.commands.sims import simulated_sites
from ingest.intake import Intake
from ingest.messages import RawMessage
from sims.backfill import run_backfill
from sims.live import run_live
from sims.world import SimulatedSite
from tests.analytics.memory_store import MemoryRecords, MemoryStore

NOW = datetime(2026, 11, 20, 3, tzinfo=UTC)


@pytest.fixture(scope="module")
def registry(repository: Path) -> SiteRegistry:
    files = sorted((repository / "config" / "sites").glob("*.toml"))
    return build_registry({str(path): path.read_text(encoding="utf-8") for path in files})


@pytest.fixture(params=["national-ai-haenam", "sk-aws-ulsan"])
def site_id(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def nobody(site_id: str) -> MqttConnection:
    raise AssertionError(f"a connection for {site_id} was asked for")


def test_it_is_not_simulated(registry: SiteRegistry, site_id: str) -> None:
    assert site_id not in simulated_sites(registry, None)
    assert len(simulated_sites(registry, None)) == 5
    with pytest.raises(ConfigurationError, match="planned"):
        simulated_sites(registry, [site_id])
    with pytest.raises(ConfigurationError, match="planned"):
        SimulatedSite(registry.site(site_id), 1)


def test_it_has_no_history_and_nothing_live(registry: SiteRegistry, site_id: str) -> None:
    stop = threading.Event()
    with pytest.raises(ConfigurationError, match="planned"):
        run_backfill(
            registry,
            [site_id],
            nobody,
            seed=1,
            days=2,
            cadence_s=None,
            now=NOW,
            stop=stop,
            progress=lambda share, text: None,
        )
    with pytest.raises(ConfigurationError, match="planned"):
        run_live(registry, [site_id], nobody, seed=1, speed=1.0, clock=FakeClock(NOW), stop=stop)


def test_the_broker_has_no_account_for_it(registry: SiteRegistry, site_id: str) -> None:
    accounts = list(broker_accounts(registry))
    assert site_id not in accounts
    assert "kisti-daejeon" in accounts


def test_what_is_sent_in_its_name_is_kept_and_makes_no_series(
    registry: SiteRegistry, site_id: str
) -> None:
    intake = Intake(registry, site_readings_per_s=1000)
    payload = json.dumps({"ts": "2026-11-20T02:59:50Z", "values": {"active_power_kw": 1.0}})
    message = RawMessage(
        f"greendc/v1/{site_id}/energy/grid-a", payload.encode(), int(NOW.timestamp() * 1000)
    )
    commit = intake.take([message])
    assert not commit.blocks
    assert [(entry.site, entry.reason) for entry in commit.quarantined] == [
        (site_id, "unknown_device")
    ]


def test_analytics_has_nothing_to_do_for_it_and_says_so(
    registry: SiteRegistry, site_id: str
) -> None:
    store, records, clock = MemoryStore(), MemoryRecords(), FakeClock(NOW)
    alone = SiteRegistry([registry.site(site_id)])
    service = AnalyticsService(alone, store, records, AnalyticsConfig(), clock)  # type: ignore[arg-type]
    for _ in range(3):
        assert service.run_pass() == 0
        clock.advance(timedelta(minutes=1))
    assert service.status().error == ""
    period = Period(NOW - timedelta(days=1), NOW)
    rows = compute_kpi_rows(
        store,  # type: ignore[arg-type]
        records,
        registry.site(site_id),
        period,
        now=NOW,
        resolution="period",
    )
    assert list(rows) == []
