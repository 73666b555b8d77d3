"""A board without databases: sites, records and figures in memory, deterministic and fast."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import numpy as np

from analytics.results import result_row
from analytics.systems import SystemEnergies
from core.errors import StoreUnavailableError
from core.kpis import KPIS, Coverages, KpiValue
from core.periods import INTERVAL_MS, Period, calendar_periods, from_ms, to_ms
from core.ports import Account, ResultRow, RollupRecords, Session, TimeSeriesStore
from core.quality import Shares, Verdict
from core.samples import Quality, Sample, SeriesKey
from core.site_files import build_registry
from core.sites import Site, SiteRegistry

REPOSITORY = Path(__file__).resolve().parents[2]


def real_registry() -> SiteRegistry:
    """The sites of the repository."""
    folder = REPOSITORY / "config" / "sites"
    return build_registry(
        {str(path): path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.toml"))}
    )


class MemoryAccounts:
    """`AccountRecords` in memory."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.sessions: dict[str, Session] = {}
        self.failures: list[tuple[str, datetime]] = []
        self.audit: list[tuple[str, str, str]] = []

    def create_account(self, account: Account) -> bool:
        if account.username in self.accounts:
            return False
        self.accounts[account.username] = account
        return True

    def read_account(self, username: str) -> Account | None:
        return self.accounts.get(username)

    def read_accounts(self) -> list[Account]:
        return [self.accounts[name] for name in sorted(self.accounts)]

    def write_account(self, account: Account) -> None:
        self.accounts[account.username] = account

    def create_session(self, session: Session) -> None:
        self.sessions[session.token_sha256] = session

    def read_session(self, token_sha256: str) -> Session | None:
        return self.sessions.get(token_sha256)

    def touch_session(self, token_sha256: str, last_seen_at: datetime) -> None:
        held = self.sessions[token_sha256]
        self.sessions[token_sha256] = replace(held, last_seen_at=last_seen_at)

    def end_session(self, token_sha256: str) -> None:
        self.sessions.pop(token_sha256, None)

    def end_sessions_of(self, username: str) -> None:
        self.sessions = {k: s for k, s in self.sessions.items() if s.username != username}

    def record_failure(self, key: str, at: datetime) -> None:
        self.failures.append((key, at))

    def count_failures(self, key: str, since: datetime) -> int:
        return sum(1 for name, at in self.failures if name == key and at >= since)

    def append_audit(
        self, at: datetime, actor: str, address: str, action: str, target: str, outcome: str
    ) -> None:
        self.audit.append((actor, action, outcome))


# What a device of a role reads now, in the metric's unit.
_LEVELS: dict[tuple[str, str], float] = {
    ("grid_feed", "active_power_kw"): 12_800.0,
    ("generator", "active_power_kw"): 0.0,
    ("pdu_output", "active_power_kw"): 3_400.0,
    ("ups_output", "active_power_kw"): 6_950.0,
    ("pv_array", "ac_power_kw"): 86.4,
    ("rain_tank", "tank_level_m"): 1.864,
    ("accelerator", "power_w"): 271.0,
    ("accelerator", "utilization_percent"): 71.4,
}


def live_samples(site: Site, now_ms: int, *, age_ms: int = 4_000) -> list[Sample]:
    """The newest sample of every series of a site, all of one age."""
    samples = []
    for device in site.devices.values():
        state = device.latest
        for metric in state.metrics:
            value = _LEVELS.get((state.role, metric), 100.0)
            if state.kind == "npu":
                value *= 0.35
            key = SeriesKey(site.id, state.family, device.id, metric)
            samples.append(Sample(key, now_ms - age_ms, value, Quality.GOOD))
    return samples


class LiveStore:
    """The one method of a store that live values need, and what may go wrong with it."""

    def __init__(self, registry: SiteRegistry, now_ms: Any, *, age_ms: int = 4_000) -> None:
        self._registry = registry
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self.age_ms = age_ms
        self.reads = 0
        self.is_down = False
        self.silent: set[str] = set()
        self.silent_site = ""
        self.silent_age_ms: int | None = None
        self.stored: FakeKpis | None = None
        self.scale = 1.0

    def read_latest(self, site: str) -> list[Sample]:
        with self._lock:
            self.reads += 1
        if self.is_down:
            raise StoreUnavailableError("the store of this test is down")
        now_ms = self._now_ms()
        answer = []
        for sample in live_samples(self._registry.site(site), now_ms, age_ms=self.age_ms):
            one = replace(sample, value=sample.value * self.scale)
            if sample.key.device in self.silent or site == self.silent_site:
                if self.silent_age_ms is None:
                    continue
                one = replace(one, time_ms=now_ms - self.silent_age_ms)
            answer.append(one)
        return answer

    def read_results(
        self,
        site: str,
        kind: str,
        period: Period,
        *,
        names: Sequence[str] | None = None,
        resolution: str | None = None,
        subject: str | None = None,
    ) -> list[ResultRow]:
        """Figures as `FakeKpis` computes them, stored."""
        if self.is_down:
            raise StoreUnavailableError("the store of this test is down")
        if kind != "kpi" or self.stored is None:
            return []
        found = self._registry.site(site)
        now = from_ms(self._now_ms())
        rows = self.stored(
            None, None, found, period, resolution=str(resolution), kpis=names, now=now
        )
        return [
            result_row(found, cast(Any, resolution), row)
            for row in rows
            if row.end <= now and row.subject == (subject or row.subject)
        ]

    def read_intervals(self, site: str, period: Period, **_wanted: object) -> list[Any]:
        if self.is_down:
            raise StoreUnavailableError("the store of this test is down")
        return []

    def as_store(self) -> TimeSeriesStore:
        return cast(TimeSeriesStore, self)


_TODAY = {
    "pue": 1.2683,
    "facility_energy": 410_800.0,
    "it_energy": 323_900.0,
    "wue": 0.4127,
    "wue_potable": 0.3852,
    "ref": 0.0108,
    "rain_reuse_ratio": 0.0211,
    "pv_energy": 2_218.4,
    "rain_unexplained": -0.4,
}
_PARTS: dict[str, dict[str, float | None]] = {
    "pue": {"facility_energy_kwh": 410_800.0, "it_energy_kwh": 323_900.0},
    "wue": {"total_water_m3": 133.7, "it_energy_kwh": 323_900.0, "mains_m3": 124.8},
    "wue_potable": {"potable_water_m3": 124.8, "it_energy_kwh": 323_900.0},
    "ref": {"renewable_energy_kwh": 4_436.0, "facility_energy_kwh": 410_800.0},
    "rain_reuse_ratio": {"rain_reused_m3": 2.82, "total_water_m3": 133.7},
    "rain_unexplained": {
        "collected_m3": 0.0,
        "top_up_m3": 0.6,
        "used_m3": 3.4,
        "overflow_m3": 0.0,
        "drained_m3": 0.2,
        "stored_m3": -2.6,
    },
}


class FakeKpis:
    """Stands for analytics: figures of a fixed size, with a daily shape for the quarter hours."""

    def __init__(self) -> None:
        self.verdict = Verdict.FINAL
        self.reason = ""
        self.coverage = 0.994
        self.missing_hours: frozenset[int] = frozenset()
        self.is_down = False
        self.calls = 0

    def __call__(
        self,
        store: object,
        records: object,
        site: Site,
        period: Period,
        *,
        resolution: str,
        kpis: Sequence[str] | None = None,
        category: int | None = None,
        now: datetime,
    ) -> list[KpiValue]:
        self.calls += 1
        if self.is_down:
            raise StoreUnavailableError("the store of this test is down")
        rows = []
        for piece in calendar_periods(period, site.zone, cast(Any, resolution)):
            for kpi in kpis or _TODAY:
                subjects = ["site"]
                if kpi == "pv_energy":
                    subjects += [device.id for device in site.with_role("pv_array")]
                rows += [self._row(kpi, subject, piece, site, resolution) for subject in subjects]
        return rows

    def _row(self, kpi: str, subject: str, piece: Period, site: Site, resolution: str) -> KpiValue:
        value: float | None = _TODAY[kpi]
        verdict, reason, coverage = self.verdict, self.reason, self.coverage
        if subject != "site":
            value = _TODAY[kpi] / 3.0
        if resolution in {"15m", "hour"}:
            hours = {"15m": 0.25, "hour": 1.0}[resolution]
            verdict, reason, coverage = Verdict.FINAL, "", 1.0
            local = piece.start.astimezone(site.zone)
            hour = local.hour + local.minute / 60.0
            shape = 1.0 + 0.06 * math.sin((hour - 9.0) / 24.0 * 2.0 * math.pi)
            wiggle = 1.0 + 0.004 * math.sin(to_ms(piece.start) / 1.3e6)
            base = 25_600.0 if kpi == "facility_energy" else 20_400.0
            value = base * shape * wiggle * hours
            if kpi == "pue":
                value = 1.2549 + 0.01 * shape
            if local.hour in self.missing_hours:
                value, verdict, coverage = None, Verdict.REFUSED, 0.0
        elif verdict is Verdict.REFUSED:
            value = None
        return KpiValue(
            kpi=kpi,
            subject=subject,
            start=piece.start,
            end=piece.end,
            interim=True,
            value=value,
            unit=KPIS[kpi].unit,
            verdict=verdict,
            reason=reason,
            category=site.pue_category if kpi in {"pue", "wue", "it_energy"} else None,
            coverage=Coverages(coverage, coverage if kpi in {"pue", "wue"} else None),
            shares=Shares(simulated=1.0),
            formula_version="1",
            uncertainty=0.009 if kpi == "pue" else None,
            series=("grid-a/active_energy_kwh", "grid-b/active_energy_kwh"),
            parts=dict(_PARTS.get(kpi, {})) if value is not None else {},
        )


class NoEvents:
    """`RollupRecords` of a site at which nothing happened."""

    def read_events(self, site: str, period: Period, *, device: str | None = None) -> list[Any]:
        return []

    def as_records(self) -> RollupRecords:
        return cast(RollupRecords, self)


def fake_systems(
    _store: object, _records: object, site: Site, period: Period, _now: datetime
) -> SystemEnergies:
    """Energy by system of a fixed size: PUE 1.268 = 1 + 0.17 + 0.05 + 0.02 + 0.028."""
    start_ms = np.arange(period.start_ms, period.end_ms, INTERVAL_MS, dtype=np.int64)
    it = np.full(len(start_ms), 5_100.0)
    shares = {"it": 1.0, "cooling": 0.17, "losses": 0.05, "lighting": 0.02}
    energy = {name: it * share for name, share in shares.items()}
    devices = {"it": ("pdu-1a",), "cooling": ("chiller-1",), "lighting": ("lighting-1",)}
    facility = it * 1.2683
    return SystemEnergies(site, start_ms, facility, energy, facility, energy, devices)
