"""The dated factors that a figure rests on, as lines of its evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.kpis import KpiValue
from dashboard.words import Words

_NAMES = {
    "grid_location": "factors.grid_location",
    "grid_residual": "factors.grid_residual",
    "generator_fuel": "factors.generator_fuel",
    "supply_contracts": "factors.supply_contracts",
}


def factor_lines(row: KpiValue, words: Words) -> list[tuple[str, str]]:
    """One line for each factor and contract, and one where the market has only the grid's own."""
    lines: list[tuple[str, str]] = []
    for name, told in row.factors.items():
        if name == "fallback":
            lines.append((words("factors.fallback"), words("factors.fallback_location")))
        elif isinstance(told, Sequence) and not isinstance(told, str):
            lines.extend((words(_NAMES[name]), _line(factor, words)) for factor in told)
    return lines


def _line(factor: Mapping[str, Any], words: Words) -> str:
    value = f"{factor['value']:g} {factor['unit']}"
    if "year" in factor:
        said = words("factors.statistics", years=factor["year"])
    else:
        said = str(factor["id"])
    until = factor.get("valid_to") or ""
    return f"{value} · {said} · {factor['valid_from']}–{until} · {factor['source']}"
