"""Figures of water, sun and accelerators that fit together, in the place of analytics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, cast

from core.kpis import KPIS, Coverages, KpiValue
from core.periods import Period, calendar_periods
from core.quality import Shares, Verdict
from core.sites import Site
from tests.dashboard.fakes import FakeKpis

# A month of the tank: 372.9 + 16.0 = 247.7 + 23.8 + 6.2 + 107.3 + 3.9.
BALANCE = {
    "collected_m3": 372.9,
    "top_up_m3": 16.0,
    "used_m3": 247.7,
    "overflow_m3": 23.8,
    "drained_m3": 6.2,
    "stored_m3": 107.3,
}
WATER = {"mains_m3": 9_731.4, "reclaimed_m3": 0.0, "groundwater_m3": 0.0, "rain_reused_m3": 231.7}
ARRAYS = {
    "pv-roof-south": (6_000.0, 7_200.0, 320.0),
    "pv-facade-south": (5_000.0, 6_100.0, 260.0),
    "pv-facade-west": (1_000.0, 1_250.0, 120.0),
}
PV, REFERENCE = 12_000.0, 14_550.0
FACILITY, IT = 2_500_000.0, 2_000_000.0
GPU, NPU, HALL = 2_400.0, 200.0, 700_000.0


def _amounts(site: Site) -> dict[tuple[str, str], tuple[float, dict[str, float]]]:
    total = sum(WATER.values())
    found: dict[tuple[str, str], tuple[float, dict[str, float]]] = {
        ("total_water", "site"): (total, {"total_water_m3": total, **WATER}),
        ("wue", "site"): (1000 * total / IT, {"total_water_m3": total, "it_energy_kwh": IT}),
        ("wue_potable", "site"): (
            1000 * WATER["mains_m3"] / IT,
            {"potable_water_m3": WATER["mains_m3"], "it_energy_kwh": IT},
        ),
        ("rain_reuse_ratio", "site"): (
            231.7 / total,
            {"rain_reused_m3": 231.7, "total_water_m3": total},
        ),
        ("potable_water_avoided", "site"): (
            231.7,
            {"rain_reused_m3": 231.7, "rain_used_m3": 247.7, "top_up_m3": 16.0},
        ),
        ("rain_collection_efficiency", "site"): (
            372.9 / 465.0,
            {"collected_m3": 372.9, "rain_on_catchment_m3": 465.0, "runoff_coefficient": 0.85},
        ),
        ("rain_unexplained", "site"): (3.9, BALANCE),
        ("self_consumption", "site"): (1.0, {"pv_used_kwh": PV, "pv_energy_kwh": PV}),
        ("self_sufficiency", "site"): (PV / FACILITY, {"pv_used_kwh": PV}),
        ("accelerator_energy", "site"): (GPU + NPU, {}),
        ("accelerator_energy", "gpu"): (GPU, {}),
        ("accelerator_energy", "npu"): (NPU, {}),
        ("accelerator_reconciliation", "site"): (
            (GPU + NPU) / HALL,
            {"accelerator_energy_kwh": GPU + NPU, "it_energy_kwh": HALL},
        ),
        ("facility_energy", "site"): (FACILITY, {}),
        ("it_energy", "site"): (IT, {}),
        ("ref", "site"): (0.0044, {}),
    }
    for device in site.with_role("accelerator"):
        found[("accelerator_energy", device.group)] = (
            GPU if device.latest.kind == "gpu" else NPU,
            {},
        )
    for subject, (kwh, reference, kwp) in {"site": (PV, REFERENCE, 700.0), **ARRAYS}.items():
        found[("pv_energy", subject)] = (kwh, {"pv_energy_kwh": kwh})
        found[("pv_specific_yield", subject)] = (kwh / kwp, {"rated_kwp": kwp})
        found[("pv_capacity_factor", subject)] = (0.11, {"rated_kwp": kwp})
        found[("pv_performance_ratio", subject)] = (
            kwh / reference,
            {"pv_energy_kwh": kwh, "reference_energy_kwh": reference},
        )
    return found


class ResourceKpis:
    """Whole periods and days from the tables above; everything else as `FakeKpis`.

    Attributes:
        refused: KPI -> reason.
        changed: (KPI, subject) -> value and parts instead.
    """

    def __init__(self) -> None:
        self.others = FakeKpis()
        self.refused: dict[str, str] = {}
        self.changed: dict[tuple[str, str], tuple[float, dict[str, float]]] = {}
        self.error: Exception | None = None
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
        if self.error is not None:
            raise self.error
        amounts = {**_amounts(site), **self.changed}
        found: list[KpiValue] = []
        for kpi in kpis or ():
            mine = {subject: one for (name, subject), one in amounts.items() if name == kpi}
            if not mine or resolution not in {"period", "day"}:
                found += self.others(
                    store, records, site, period, resolution=resolution, kpis=[kpi], now=now
                )
                continue
            for piece in calendar_periods(period, site.zone, cast(Any, resolution)):
                found += [
                    self._row(kpi, subject, piece, value, parts)
                    for subject, (value, parts) in mine.items()
                ]
        return found

    def _row(
        self, kpi: str, subject: str, piece: Period, value: float, parts: dict[str, float]
    ) -> KpiValue:
        row = KpiValue(
            kpi=kpi,
            subject=subject,
            start=piece.start,
            end=piece.end,
            interim=True,
            value=value,
            unit=KPIS[kpi].unit,
            verdict=Verdict.FINAL,
            reason="",
            category=None,
            coverage=Coverages(0.978),
            shares=Shares(simulated=1.0),
            formula_version=f"{kpi}/1",
            series=("rain-used/volume_m3",),
            parts=dict(parts),
        )
        if kpi in self.refused:
            return replace(row, value=None, verdict=Verdict.REFUSED, reason=self.refused[kpi])
        return row
