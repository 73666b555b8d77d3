"""A figure's formula with its numbers put in, and the sums that it was made of, in words."""

from __future__ import annotations

from dataclasses import dataclass

from core import number_text
from core.kpis import KpiValue
from dashboard import formats
from dashboard.words import Words


@dataclass(frozen=True, slots=True)
class Ratio:
    """A KPI that is one named sum over another.

    Attributes:
        scale: Factor between them, printed where it is not 1.
    """

    above: str
    below: str
    scale: int = 1


_RATIOS = {
    "pue": Ratio("facility_energy_kwh", "it_energy_kwh"),
    "wue": Ratio("total_water_m3", "it_energy_kwh", 1000),
    "wue_potable": Ratio("potable_water_m3", "it_energy_kwh", 1000),
    "ref": Ratio("renewable_energy_kwh", "facility_energy_kwh"),
    "rain_reuse_ratio": Ratio("rain_reused_m3", "total_water_m3"),
    "rain_collection_efficiency": Ratio("collected_m3", "rain_on_catchment_m3"),
    "pv_specific_yield": Ratio("pv_energy_kwh", "rated_kwp"),
    "pv_performance_ratio": Ratio("pv_energy_kwh", "reference_energy_kwh"),
    "self_consumption": Ratio("pv_used_kwh", "pv_energy_kwh"),
    "self_sufficiency": Ratio("pv_used_kwh", "facility_energy_kwh"),
    "accelerator_reconciliation": Ratio("accelerator_energy_kwh", "it_energy_kwh"),
}
PART_WORDS = {
    "facility_energy_kwh": "part.facility_energy_kwh",
    "it_energy_kwh": "part.it_energy_kwh",
    "renewable_energy_kwh": "part.renewable_energy_kwh",
    "total_water_m3": "part.total_water_m3",
    "potable_water_m3": "part.potable_water_m3",
    "rain_reused_m3": "part.rain_reused_m3",
    "mains_m3": "part.mains_m3",
    "reclaimed_m3": "part.reclaimed_m3",
    "groundwater_m3": "part.groundwater_m3",
    "collected_m3": "part.collected_m3",
    "top_up_m3": "part.top_up_m3",
    "used_m3": "part.used_m3",
    "rain_used_m3": "part.used_m3",
    "overflow_m3": "part.overflow_m3",
    "drained_m3": "part.drained_m3",
    "stored_m3": "part.stored_m3",
    "rain_on_catchment_m3": "part.rain_on_catchment_m3",
    "catchment_m2": "part.catchment_m2",
    "runoff_coefficient": "part.runoff_coefficient",
    "pv_energy_kwh": "part.pv_energy_kwh",
    "pv_used_kwh": "part.pv_used_kwh",
    "reference_energy_kwh": "part.reference_energy_kwh",
    "rated_kwp": "part.rated_kwp",
    "accelerator_energy_kwh": "part.accelerator_energy_kwh",
}
# End of a sum's name -> its unit in the catalogue.
_UNITS = {"kwh": "kWh", "m3": "m3", "kwp": "kWp", "m2": "m2"}


def format_amount(name: str, value: float | None) -> str:
    """A named sum with its unit, which is the end of its name: `410,800 kWh`, `104.9 m³`."""
    unit = _UNITS.get(name.rsplit("_", 1)[-1], "")
    if unit in {"kWh", "m3"}:
        return f"{number_text.format_amount(value, unit)} {formats.display_unit(unit)}"
    number = formats.format_number(value, 0 if unit else 2)
    return f"{number} {formats.display_unit(unit)}".rstrip()


def formula_words(row: KpiValue, words: Words) -> str:
    """`Facility 410,800 kWh ÷ IT 323,900 kWh = 1.268`; empty where the sums are not known."""
    ratio = _RATIOS.get(row.kpi)
    if ratio is None or ratio.above not in row.parts or ratio.below not in row.parts:
        return ""
    above, below = (
        f"{words(PART_WORDS[name])} {format_amount(name, row.parts[name])}"
        for name in (ratio.above, ratio.below)
    )
    scale = f" × {formats.format_number(float(ratio.scale), 0)}" if ratio.scale != 1 else ""
    value, unit = formats.format_kpi(row.kpi, row.value)
    return f"{above}{scale} ÷ {below} = {value} {unit}".rstrip()


def other_parts(row: KpiValue, words: Words) -> list[tuple[str, str]]:
    """The known sums that the formula does not name, as lines of the evidence."""
    ratio = _RATIOS.get(row.kpi)
    named = {ratio.above, ratio.below} if ratio is not None else set()
    return [
        (words(PART_WORDS[name]), format_amount(name, value))
        for name, value in row.parts.items()
        if name in PART_WORDS and name not in named and value is not None
    ]
