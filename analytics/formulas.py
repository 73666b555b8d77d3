"""The formulas, each on plain numbers of one period: sums first, then one division.

Sources: ISO/IEC 30134-2 (PUE), -3 (REF), -6 (ERF), -8 (CUE), -9 (WUE); IEC 61724-1 (solar); The
Green Grid (ERE). Rain and accelerator figures are our own, see `docs/kpis.md`.
"""

from __future__ import annotations

from core.errors import InsufficientDataError


def divide(numerator: float, denominator: float, of: str) -> float:
    """`numerator / denominator`.

    Raises:
        InsufficientDataError: The denominator is not positive; `of` names it.
    """
    if not denominator > 0.0:
        raise InsufficientDataError(f"{of} is {denominator:.6g}: there is nothing to divide by")
    return numerator / denominator


def pue(facility_energy_kwh: float, it_energy_kwh: float) -> float:
    """Power usage effectiveness, never below 1.

    Raises:
        InsufficientDataError: No IT energy, or more IT energy than facility energy.
    """
    value = divide(facility_energy_kwh, it_energy_kwh, "IT energy")
    if value < 1.0:
        raise InsufficientDataError(
            f"IT energy of {it_energy_kwh:,.1f} kWh exceeds facility energy of "
            f"{facility_energy_kwh:,.1f} kWh, which is impossible"
        )
    return value


def wue(water_m3: float, it_energy_kwh: float) -> float:
    """Water usage effectiveness in L/kWh (m3/MWh)."""
    return divide(1000.0 * water_m3, it_energy_kwh, "IT energy")


def ref(renewable_energy_kwh: float, facility_energy_kwh: float) -> float:
    """Renewable energy factor, at most 1; the energy is that whose certificates are kept."""
    share = divide(renewable_energy_kwh, facility_energy_kwh, "facility energy")
    return min(max(share, 0.0), 1.0)


def erf(reused_heat_kwh: float, facility_energy_kwh: float) -> float:
    """Energy reuse factor: heat used outside the boundary over facility energy."""
    return divide(reused_heat_kwh, facility_energy_kwh, "facility energy")


def ere(facility_energy_kwh: float, reused_heat_kwh: float, it_energy_kwh: float) -> float:
    """Energy reuse effectiveness, (1 - ERF) x PUE; may be below 1."""
    return divide(facility_energy_kwh - reused_heat_kwh, it_energy_kwh, "IT energy")


def cue(emissions_kg: float, it_energy_kwh: float) -> float:
    """Carbon usage effectiveness in kg CO2eq per kWh of IT energy."""
    return divide(emissions_kg, it_energy_kwh, "IT energy")


def rain_reused(rain_used_m3: float, top_up_m3: float) -> float:
    """Rain reused: what the rain system delivered less the mains water put into its tank."""
    return rain_used_m3 - top_up_m3


def rain_unexplained(
    *,
    collected_m3: float,
    top_up_m3: float,
    used_m3: float,
    overflow_m3: float,
    drained_m3: float,
    stored_m3: float,
) -> float:
    """What the balance of the rain system leaves open.

    collected + top-up = used + overflow + drained + stored + unexplained, with `stored_m3` the
    volume at the end less that at the start.
    """
    return collected_m3 + top_up_m3 - used_m3 - overflow_m3 - drained_m3 - stored_m3


def collection_efficiency(collected_m3: float, rain_mm: float, catchment_m2: float) -> float:
    """Collected over what fell on the catchment; the run-off coefficient is not in it."""
    return divide(collected_m3, rain_mm / 1000.0 * catchment_m2, "rain on the catchment")


def specific_yield(energy_kwh: float, rated_kwp: float) -> float:
    """Final yield in kWh/kWp."""
    return divide(energy_kwh, rated_kwp, "rated power")


def performance_ratio(energy_kwh: float, rated_kwp: float, irradiation_kwh_per_m2: float) -> float:
    """Final yield over reference yield (irradiation over 1 kW/m2), without temperature in it."""
    return divide(energy_kwh, rated_kwp * irradiation_kwh_per_m2, "reference yield")
