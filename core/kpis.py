"""The KPI catalogue and the shape of a KPI figure.

Definitions, boundaries and traps are in `docs/kpis.md`; formulas are in `analytics.kpis`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from core.periods import format_time
from core.quality import Shares, Verdict
from core.text import Text


@dataclass(frozen=True, slots=True)
class KpiDefinition:
    """One KPI as people read it.

    Attributes:
        id: Stable id, as on the command line and in the API.
        unit: Unit of the value; `1` for a ratio.
        decimals: Digits after the point where people read it (of the percentage where `percent`).
        percent: Whether people read the ratio as a percentage.
        better: `lower`, `higher` or empty where neither is a merit.
        source: The standard, or `greendc` for our own.
    """

    id: str
    unit: str
    decimals: int
    text: Text
    percent: bool = False
    better: str = ""
    source: str = "greendc"


def _rows() -> list[KpiDefinition]:
    k = KpiDefinition
    return [
        k(
            "facility_energy",
            "kWh",
            0,
            Text("데이터센터 총 전력사용량", "Facility energy"),
            source="ISO/IEC 30134-2",
        ),
        k("it_energy", "kWh", 0, Text("IT 장비 전력사용량", "IT energy"), source="ISO/IEC 30134-2"),
        k(
            "pue",
            "1",
            3,
            Text("전력사용효율(PUE)", "PUE"),
            better="lower",
            source="ISO/IEC 30134-2",
        ),
        k(
            "ppue",
            "1",
            3,
            Text("부분 PUE(pPUE)", "Partial PUE"),
            better="lower",
            source="ISO/IEC 30134-2",
        ),
        k(
            "wue",
            "L/kWh",
            3,
            Text("물사용효율(WUE, 전체 물)", "WUE (total water)"),
            better="lower",
            source="ISO/IEC 30134-9",
        ),
        k(
            "wue_potable",
            "L/kWh",
            3,
            Text("물사용효율(WUE, 상수)", "WUE (potable water)"),
            better="lower",
            source="ISO/IEC 30134-9",
        ),
        k(
            "wue_source",
            "L/kWh",
            3,
            Text("물사용효율(전원 포함)", "WUE (source)"),
            better="lower",
            source="The Green Grid",
        ),
        k(
            "total_water",
            "m3",
            1,
            Text("물 사용량", "Total water"),
            better="lower",
            source="ISO/IEC 30134-9",
        ),
        k(
            "ref",
            "1",
            1,
            Text("재생에너지 사용 비율(REF)", "Renewable energy factor (REF)"),
            percent=True,
            better="higher",
            source="ISO/IEC 30134-3",
        ),
        k(
            "erf",
            "1",
            1,
            Text("에너지 재이용률(ERF)", "Energy reuse factor (ERF)"),
            percent=True,
            better="higher",
            source="ISO/IEC 30134-6",
        ),
        k(
            "ere",
            "1",
            3,
            Text("에너지 재이용 효율(ERE)", "Energy reuse effectiveness (ERE)"),
            better="lower",
            source="The Green Grid",
        ),
        k(
            "cer",
            "1",
            2,
            Text("냉각효율비(CER)", "Cooling efficiency ratio (CER)"),
            better="higher",
            source="ISO/IEC 30134-7",
        ),
        k(
            "cue_location",
            "kgCO2eq/kWh",
            4,
            Text("탄소사용효율(CUE, 지역 기준)", "CUE (location based)"),
            better="lower",
            source="ISO/IEC 30134-8",
        ),
        k(
            "cue_market",
            "kgCO2eq/kWh",
            4,
            Text("탄소사용효율(CUE, 시장 기준)", "CUE (market based)"),
            better="lower",
            source="ISO/IEC 30134-8",
        ),
        k(
            "rain_reuse_ratio",
            "1",
            1,
            Text("빗물 재사용 비율", "Rain reuse ratio"),
            percent=True,
            better="higher",
        ),
        k(
            "rain_collection_efficiency",
            "1",
            1,
            Text("집수효율", "Rain collection efficiency"),
            percent=True,
            better="higher",
        ),
        k(
            "potable_water_avoided",
            "m3",
            1,
            Text("상수 절감량", "Potable water avoided"),
            better="higher",
        ),
        k(
            "rain_unexplained",
            "m3",
            1,
            Text("빗물 수지의 설명되지 않는 양", "Unexplained part of the rain balance"),
        ),
        k(
            "pv_energy",
            "kWh",
            1,
            Text("태양광 발전량", "PV energy"),
            better="higher",
            source="IEC 61724-1",
        ),
        k(
            "pv_specific_yield",
            "kWh/kWp",
            2,
            Text("비발전량", "Specific yield"),
            better="higher",
            source="IEC 61724-1",
        ),
        k(
            "pv_performance_ratio",
            "1",
            3,
            Text("성능비(PR)", "Performance ratio"),
            better="higher",
            source="IEC 61724-1",
        ),
        k(
            "pv_capacity_factor",
            "1",
            1,
            Text("설비이용률", "Capacity factor"),
            percent=True,
            better="higher",
            source="IEC 61724-1",
        ),
        k(
            "self_consumption",
            "1",
            1,
            Text("자가소비율", "Self-consumption"),
            percent=True,
            better="higher",
        ),
        k(
            "self_sufficiency",
            "1",
            2,
            Text("전력 자립률", "Self-sufficiency"),
            percent=True,
            better="higher",
        ),
        k("accelerator_energy", "kWh", 1, Text("가속기 전력량", "Accelerator energy")),
        k(
            "accelerator_idle_waste",
            "1",
            1,
            Text("유휴전력 낭비율", "Idle energy waste"),
            percent=True,
            better="lower",
        ),
        k(
            "accelerator_energy_per_inference",
            "J",
            2,
            Text("추론당 에너지", "Energy per inference"),
            better="lower",
        ),
        k(
            "accelerator_energy_per_token",
            "J",
            3,
            Text("토큰당 에너지", "Energy per token"),
            better="lower",
        ),
        k(
            "accelerator_performance_per_watt",
            "1",
            3,
            Text("전력당 성능", "Performance per watt"),
            better="higher",
        ),
        k(
            "accelerator_reconciliation",
            "1",
            1,
            Text("가속기·IT 계량 대조", "Accelerator to IT meter reconciliation"),
            percent=True,
        ),
    ]


KPIS: dict[str, KpiDefinition] = {row.id: row for row in _rows()}


@dataclass(frozen=True, slots=True)
class Coverages:
    """Covered share of the period, 0..1, of either side; None where the KPI has no such side."""

    numerator: float | None
    denominator: float | None = None


@dataclass(frozen=True, slots=True)
class KpiValue:
    """One KPI figure of one subject and period, with everything needed to check it.

    Attributes:
        kpi: Key of `KPIS`.
        subject: `site`, or the id of a hall, array, device group or accelerator kind.
        start, end: The half-open period, aware UTC.
        interim: True unless the period is twelve consecutive local months.
        value: None exactly when the verdict is refused.
        reason: Why it is refused or provisional, naming the meter; empty otherwise.
        category: PUE category where IT energy takes part, else None.
        uncertainty: Half width at 95 % in the value's unit, None where accuracy is not declared.
        factors: Dated factors used, by name.
        series: Series that took part, `device/metric`.
        parts: Named sums that the value was made of (`facility_energy_kwh`, …), for the evidence.
    """

    kpi: str
    subject: str
    start: datetime
    end: datetime
    interim: bool
    value: float | None
    unit: str
    verdict: Verdict
    reason: str
    category: int | None
    coverage: Coverages
    shares: Shares
    formula_version: str
    uncertainty: float | None = None
    factors: dict[str, Any] = field(default_factory=dict)
    series: tuple[str, ...] = ()
    parts: dict[str, float | None] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The row of `greendc kpi --json`; `parts` is ours beside the agreed members."""
        shares = self.shares
        return {
            "kpi": self.kpi,
            "subject": self.subject,
            "start": format_time(self.start),
            "end": format_time(self.end),
            "interim": self.interim,
            "value": self.value,
            "unit": self.unit,
            "verdict": self.verdict.value,
            "reason": self.reason,
            "category": self.category,
            "coverage": {
                "numerator": self.coverage.numerator,
                "denominator": self.coverage.denominator,
            },
            "shares": {
                "measured": shares.measured,
                "counted": shares.counted,
                "estimated": shares.estimated,
                "manual": shares.manual,
                "simulated": shares.simulated,
            },
            "uncertainty": self.uncertainty,
            "factors": self.factors,
            "formula_version": self.formula_version,
            "series": list(self.series),
            "parts": self.parts,
        }
