"""Numbers and units as people read them: the one formatter of board, report and messages."""

from __future__ import annotations

import math

from core.kpis import KPIS, KpiDefinition

NO_VALUE = "—"
MINUS = "−"
_UNITS = {
    "1": "",
    "m2": "m²",
    "m3": "m³",
    "m3/h": "m³/h",
    "W/m2": "W/m²",
    "degC": "°C",
    "uS/cm": "µS/cm",
    "kgCO2eq/kWh": "kgCO₂eq/kWh",
}
# Above this a tenth of a kWh says nothing.
_WHOLE_KWH = 1000.0
_SMALL_M3 = 10.0


def format_number(value: float | None, decimals: int) -> str:
    """A number with a comma between thousands, a true minus and fixed decimals; — for none.

    Half a unit of the last digit rounds to even, as everywhere in greendc.
    """
    if value is None or not math.isfinite(value):
        return NO_VALUE
    text = f"{value:,.{decimals}f}"
    if text.startswith("-"):
        # A negative number that rounds to zero is zero.
        digits = text[1:]
        return MINUS + digits if any(digit in "123456789" for digit in digits) else digits
    return text


def format_signed(value: float | None, decimals: int) -> str:
    """As `format_number`, with a plus before what is above zero."""
    text = format_number(value, decimals)
    is_positive = value is not None and value > 0 and any(digit in "123456789" for digit in text)
    return f"+{text}" if is_positive else text


def display_unit(unit: str) -> str:
    """A unit of the catalogue as people write it; empty for a ratio."""
    return _UNITS.get(unit, unit)


def format_kpi(kpi: str, value: float | None) -> tuple[str, str]:
    """Value and unit of a KPI with the decimals that its definition sets.

    Returns:
        `("1.268", "")`, `("4.2", "%")`, `("—", "L/kWh")`.
    """
    definition: KpiDefinition = KPIS[kpi]
    if definition.percent:
        shown = None if value is None else value * 100.0
        return format_number(shown, definition.decimals), "%"
    return format_number(value, definition.decimals), display_unit(definition.unit)


def format_half_width(kpi: str, half_width: float) -> str:
    """An uncertainty with the decimals of its figure: `± 0.009`, `± <0.1` where it rounds to 0."""
    text, _ = format_kpi(kpi, half_width)
    if any(digit in "123456789" for digit in text):
        return f"± {text}"
    return f"± <{format_number(10.0 ** -KPIS[kpi].decimals, KPIS[kpi].decimals)}"


def format_share(share: float | None, decimals: int = 1) -> str:
    """A share 0..1 as a percentage with its sign: `99.4 %`."""
    if share is None:
        return NO_VALUE
    return f"{format_number(share * 100.0, decimals)} %"


def format_amount(value: float | None, unit: str) -> str:
    """An energy (`kWh`) or a volume (`m3`) without its unit: `410,800`, `104.9`, `0.42`."""
    if unit == "kWh":
        decimals = 0 if value is None or abs(value) >= _WHOLE_KWH else 1
        return format_number(value, decimals)
    return format_number(value, 1 if value is None or abs(value) >= _SMALL_M3 else 2)
