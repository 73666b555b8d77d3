"""Units of SenML as spellings of the catalogue. A unit that is not here is refused, never guessed.

SenML's registry (RFC 8428 section 12.1) and its secondary units (RFC 8798), as far as the catalogue
measures such things.
"""

from __future__ import annotations

from collections.abc import Mapping

# SenML unit -> spelling of `core.units.UNITS` of the same size.
UNITS_OF_SENML: Mapping[str, str] = {
    "W": "W",
    "kW": "kW",
    "J": "J",
    "Wh": "Wh",
    "kWh": "kWh",
    "m3": "m3",
    "l": "L",
    "m3/s": "m3/s",
    "l/s": "L/s",
    "m": "m",
    "cm": "cm",
    "mm": "mm",
    "Cel": "degC",
    "K": "K",
    "W/m2": "W/m2",
    "S/m": "S/m",
    "/": "1",
    "/100": "%",
    "%": "%",
    "%RH": "%",
    "B": "B",
    "GB": "GB",
    "s": "s",
    "ms": "ms",
    "min": "min",
    "h": "h",
    "m/s": "m/s",
    "km/h": "km/h",
    "count": "count",
}
# SenML unit -> spelling of what a sum is in: that unit times a second.
UNITS_OF_SUMS: Mapping[str, str] = {"W": "J", "kW": "kJ", "m3/s": "m3", "l/s": "L"}
