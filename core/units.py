"""Units of measure and the one conversion at the edge.

A unit is matched by its exact spelling. Every conversion is linear: `canonical = value * scale +
offset`, with the canonical unit of its dimension having scale 1 and offset 0.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unit:
    """One spelling of a unit.

    Attributes:
        spelling: As written on the wire.
        dimension: Units of one dimension convert into each other.
        scale: Factor to the dimension's canonical unit.
        offset: Added after scaling; only temperatures have one.
    """

    spelling: str
    dimension: str
    scale: float
    offset: float = 0.0


def _units(dimension: str, **scales: float) -> list[Unit]:
    return [Unit(spelling, dimension, scale) for spelling, scale in scales.items()]


def _named(dimension: str, scales: dict[str, float]) -> list[Unit]:
    return [Unit(spelling, dimension, scale) for spelling, scale in scales.items()]


_ALL: list[Unit] = [
    *_units("power", kW=1.0, W=1e-3, MW=1e3, GW=1e6, mW=1e-6),
    *_units(
        "energy",
        kWh=1.0,
        Wh=1e-3,
        MWh=1e3,
        GWh=1e6,
        J=1 / 3.6e6,
        kJ=1 / 3.6e3,
        MJ=1 / 3.6,
        GJ=1e3 / 3.6,
        mJ=1 / 3.6e9,
    ),
    *_named("volume", {"m3": 1.0, "m³": 1.0, "L": 1e-3, "l": 1e-3, "kL": 1.0}),
    *_named(
        "flow",
        {"m3/h": 1.0, "m³/h": 1.0, "L/h": 1e-3, "L/min": 0.06, "L/s": 3.6, "m3/s": 3600.0},
    ),
    *_named("length", {"m": 1.0, "cm": 1e-2, "mm": 1e-3}),
    *_named("conductivity", {"uS/cm": 1.0, "µS/cm": 1.0, "mS/cm": 1e3, "S/m": 1e4}),
    Unit("degC", "temperature", 1.0),
    Unit("°C", "temperature", 1.0),
    Unit("degF", "temperature", 5 / 9, -160 / 9),
    Unit("K", "temperature", 1.0, -273.15),
    *_named("irradiance", {"W/m2": 1.0, "W/m²": 1.0, "kW/m2": 1e3}),
    *_named("ratio", {"1": 1.0, "%": 1e-2}),
    *_named("memory", {"GiB": 1.0, "MiB": 1 / 1024, "B": 1 / 1024**3, "GB": 1e9 / 1024**3}),
    *_named("duration", {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "min": 60.0, "h": 3600.0}),
    *_named("speed", {"m/s": 1.0, "km/h": 1 / 3.6}),
    *_named("count", {"count": 1.0}),
]

UNITS: dict[str, Unit] = {unit.spelling: unit for unit in _ALL}


def conversion(from_unit: str, to_unit: str) -> tuple[float, float]:
    """Factor and offset that turn a value in `from_unit` into `to_unit`.

    Returns:
        `(scale, offset)` with `converted = value * scale + offset`.

    Raises:
        KeyError: One of the spellings is not in the table.
        ValueError: The two units measure different things.
    """
    if from_unit == to_unit:
        if from_unit not in UNITS:
            raise KeyError(from_unit)
        return 1.0, 0.0
    source, target = UNITS[from_unit], UNITS[to_unit]
    if source.dimension != target.dimension:
        raise ValueError(
            f"{from_unit} is a {source.dimension}, {to_unit} a {target.dimension}: "
            "declare a unit of the metric's own dimension"
        )
    return source.scale / target.scale, (source.offset - target.offset) / target.scale


def convert(value: float, from_unit: str, to_unit: str) -> float:
    """`value` of `from_unit` in `to_unit`; errors as `conversion`."""
    scale, offset = conversion(from_unit, to_unit)
    return value * scale + offset
