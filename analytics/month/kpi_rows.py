"""KPI figures of a month as they stand in its document, with the strings that are printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from core.kpis import KPIS, KpiValue
from core.number_text import NO_VALUE, format_half_width, format_kpi, format_share
from core.quality import Verdict
from core.sites import Site
from core.text import Text

GROUPS: dict[str, tuple[str, ...]] = {
    "energy": ("pue", "ppue", "facility_energy", "it_energy", "cer", "erf", "ere"),
    "water": (
        "wue",
        "wue_potable",
        "wue_source",
        "total_water",
        "rain_reuse_ratio",
        "rain_collection_efficiency",
        "potable_water_avoided",
        "rain_unexplained",
    ),
    "solar": (
        "pv_energy",
        "pv_specific_yield",
        "pv_performance_ratio",
        "pv_capacity_factor",
        "self_consumption",
        "self_sufficiency",
    ),
    "carbon": ("ref", "cue_location", "cue_market"),
    "accelerators": (
        "accelerator_energy",
        "accelerator_idle_waste",
        "accelerator_energy_per_inference",
        "accelerator_energy_per_token",
        "accelerator_performance_per_watt",
        "accelerator_reconciliation",
    ),
}
_ORDER = {kpi: (place, group) for group, kpis in GROUPS.items() for place, kpi in enumerate(kpis)}
_OTHER = "other"


def text_json(text: Text) -> dict[str, str]:
    """A text in both languages as a member of a document."""
    return {"ko": text.ko, "en": text.en}


def kpi_rows(site: Site, values: Sequence[KpiValue], day: date) -> list[dict[str, Any]]:
    """Rows by group, KPI and subject, the site first; `day` decides which targets are in force."""
    groups = list(GROUPS)

    def place(value: KpiValue) -> tuple[int, int]:
        at, group = _ORDER.get(value.kpi, (0, _OTHER))
        return (groups.index(group) if group in groups else len(groups), at)

    return [kpi_row(site, value, day) for value in sorted(values, key=place)]


def kpi_row(site: Site, value: KpiValue, day: date) -> dict[str, Any]:
    """One figure with its coverage, shares, uncertainty and target."""
    definition = KPIS[value.kpi]
    shown, unit = format_kpi(value.kpi, value.value)
    row = value.as_json()
    row["parts"] = {name: part for name, part in row["parts"].items() if part is not None}
    row.update(
        group=_ORDER.get(value.kpi, (0, _OTHER))[1],
        name=text_json(definition.text),
        source=definition.source,
        shown=shown,
        shown_unit=unit,
        uncertainty_shown=""
        if value.uncertainty is None
        else format_half_width(value.kpi, value.uncertainty),
        coverage_shown=_coverage_shown(value),
        shares_shown=_shares_shown(row["shares"]),
        target=_target(site, value, day) if value.subject == "site" else None,
    )
    return row


def _coverage_shown(value: KpiValue) -> str:
    sides = (value.coverage.numerator, value.coverage.denominator)
    known = [format_share(side).removesuffix(" %") for side in sides if side is not None]
    return " / ".join(known) if known else NO_VALUE


def _shares_shown(shares: Mapping[str, float]) -> list[dict[str, str]]:
    return [
        {"source": name, "shown": format_share(share).removesuffix(" %")}
        for name, share in sorted(shares.items(), key=lambda pair: (-pair[1], pair[0]))
        if share >= 0.0005
    ]


def _target(site: Site, value: KpiValue, day: date) -> dict[str, Any] | None:
    """The target in force and whether the figure meets it; None without one.

    A figure that is refused neither meets nor misses it, and one that has no merit by itself
    (neither lower nor higher is better) is only shown beside it.
    """
    target = site.target(value.kpi, day)
    if target is None:
        return None
    shown, unit = format_kpi(value.kpi, target.value)
    better = KPIS[value.kpi].better
    met: bool | None = None
    if value.value is not None and value.verdict is not Verdict.REFUSED and better:
        met = value.value <= target.value if better == "lower" else value.value >= target.value
    return {
        "value": target.value,
        "shown": shown,
        "shown_unit": unit,
        "valid_from": target.valid_from.isoformat(),
        "met": met,
    }
