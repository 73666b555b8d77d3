"""Dated emission factors: what a factor is, and the file that holds them.

Factors are data with a source, never constants (`config/factors.toml`): a figure takes those in
force on its local days and says which.
"""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import combinations
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from core.errors import ConfigurationError, Problem

GRID_LOCATION = "grid_location"
GRID_RESIDUAL = "grid_residual"
GENERATOR_FUEL = "generator_fuel"

_PER_KWH = {"kgCO2eq/kWh": 1.0, "tCO2eq/MWh": 1.0, "gCO2eq/kWh": 1e-3}
_PER_LITRE = {"kgCO2eq/L": 1.0}


@dataclass(frozen=True, slots=True)
class FactorKind:
    """What a name of the file stands for.

    Attributes:
        basis: `location`, `market` or `fuel`.
        units: Spelling -> factor to kg CO2eq per kWh, or per litre of fuel.
    """

    basis: str
    units: Mapping[str, float]


KINDS: dict[str, FactorKind] = {
    # The mean of a grid; what is left of it after all contracts; what a generator burns.
    GRID_LOCATION: FactorKind("location", _PER_KWH),
    GRID_RESIDUAL: FactorKind("market", _PER_KWH),
    GENERATOR_FUEL: FactorKind("fuel", _PER_LITRE),
}


@dataclass(frozen=True, slots=True)
class Factor:
    """One dated emission factor.

    Attributes:
        name: A key of `KINDS`.
        value: As published, in `unit`.
        year: The years of its statistics.
        valid_from: First local day.
        valid_to: Day after the last one; None while it is in force.
        published: Day of its publication.
        zones: IANA zones of the sites it counts for; empty for all of them.
    """

    name: str
    value: float
    unit: str
    year: str
    source: str
    valid_from: date
    valid_to: date | None = None
    published: date | None = None
    zones: tuple[str, ...] = ()

    @property
    def kg(self) -> float:
        """Kg CO2eq per kWh, or per litre of fuel."""
        return self.value * KINDS[self.name].units[self.unit]

    def covers(self, day: date) -> bool:
        """Whether the factor is in force on `day`."""
        return self.valid_from <= day and (self.valid_to is None or day < self.valid_to)

    def counts_in(self, zone: str) -> bool:
        """Whether it counts for sites of this zone."""
        return not self.zones or zone in self.zones

    def as_json(self) -> dict[str, Any]:
        """What is printed beside a figure."""
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "basis": KINDS[self.name].basis,
            "year": self.year,
            "source": self.source,
            "published": self.published.isoformat() if self.published else None,
            "valid_from": self.valid_from.isoformat(),
            "valid_to": self.valid_to.isoformat() if self.valid_to else None,
        }


Factors = Mapping[str, Sequence[Factor]]
_Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Row(_Model):
    name: _Text
    basis: Literal["location", "market", "fuel"]
    value: float = Field(ge=0.0, allow_inf_nan=False)
    unit: _Text
    statistics: _Text
    published: date
    source: _Text
    valid_from: date
    valid_to: date | None = None
    zones: list[str] = []


class _File(_Model):
    schema_: Literal[1] = Field(alias="schema")
    factors: list[_Row] = []


def parse_factors(text: str, file: str) -> dict[str, tuple[Factor, ...]]:
    """Parse a factor file: name -> factors, oldest first.

    Args:
        file: Name of the file, for messages.

    Raises:
        ConfigurationError: With every problem of the file.
    """
    try:
        model = _File.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        hint = "mend the syntax at that line"
        raise ConfigurationError([Problem(file, "", f"is not TOML: {error}", hint)]) from None
    except ValidationError as error:
        raise ConfigurationError(
            [
                Problem(file, ".".join(map(str, item["loc"])), item["msg"], "see docs/factors.md")
                for item in error.errors()
            ]
        ) from None
    problems: list[Problem] = []
    found: defaultdict[str, list[Factor]] = defaultdict(list)
    for number, row in enumerate(model.factors):
        for key, problem, hint in _row_problems(row):
            problems.append(Problem(file, f"factors.{number}.{key} ({row.name})", problem, hint))
        found[row.name].append(
            Factor(
                row.name,
                row.value,
                row.unit,
                row.statistics,
                row.source,
                row.valid_from,
                row.valid_to,
                row.published,
                tuple(row.zones),
            )
        )
    problems += [
        Problem(
            file,
            f"factors ({name})",
            f"{one.value} and {other.value} are both in force on "
            f"{max(one.valid_from, other.valid_from)}",
            "end the older one with valid_to, the day on which the newer one begins",
        )
        for name, factors in found.items()
        for one, other in combinations(factors, 2)
        if _overlap(one, other)
    ]
    if problems:
        raise ConfigurationError(problems)
    return {
        name: tuple(sorted(factors, key=lambda factor: factor.valid_from))
        for name, factors in found.items()
    }


def _row_problems(row: _Row) -> list[tuple[str, str, str]]:
    problems = []
    kind = KINDS.get(row.name)
    if kind is None:
        problems.append(("name", f"unknown factor {row.name!r}", f"one of {', '.join(KINDS)}"))
    else:
        if row.unit not in kind.units:
            problems.append(
                (
                    "unit",
                    f"{row.unit!r} is no unit of {row.name}",
                    f"one of {', '.join(kind.units)}",
                )
            )
        if row.basis != kind.basis:
            problems.append(
                ("basis", f"{row.name} is of basis {kind.basis}", "correct one of them")
            )
    if row.valid_to is not None and row.valid_to <= row.valid_from:
        problems.append(("valid_to", "is not after valid_from", "the day after the last one"))
    for zone in row.zones:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            hint = "an IANA name such as Asia/Seoul"
            problems.append(("zones", f"unknown time zone {zone!r}", hint))
    if row.name in {GRID_LOCATION, GRID_RESIDUAL} and not row.zones:
        hint = 'zones = ["Asia/Seoul"]: a grid has a place'
        problems.append(("zones", "a factor of a grid says whose sites it counts for", hint))
    return problems


def _overlap(one: Factor, other: Factor) -> bool:
    if one.zones and other.zones and not set(one.zones) & set(other.zones):
        return False
    first, second = sorted((one, other), key=lambda factor: factor.valid_from)
    return first.valid_to is None or first.valid_to > second.valid_from
