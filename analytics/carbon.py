"""CUE by location and by market: CO2 of imported electricity and of generator fuel over IT energy.

Exports earn no credit. Factors are dated; every interval takes the one in force on its local day,
and the figure says which were used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from analytics import formulas
from analytics.boundary import grid_feeds, has_role
from analytics.electricity import generator_terms, it_side
from analytics.energy import ENERGY
from analytics.figures import Question, Subject, ratio_figures, refused_figures
from analytics.sides import Side, Term, term_of
from core.kpis import KpiValue
from core.periods import from_ms
from core.samples import Floats

GRID_LOCATION = "grid_location"
GRID_MARKET = "grid_market"
GENERATOR_FUEL = "generator_fuel"


@dataclass(frozen=True, slots=True)
class Factor:
    """One dated emission factor.

    Attributes:
        name: `grid_location`, `grid_market` or `generator_fuel`.
        value: In `unit`; kg CO2eq per kWh of electricity (imported, or from the generator).
        year: The year of its statistics.
        valid_from: First local day.
        valid_to: Day after the last one; None while it is in force.
    """

    name: str
    value: float
    unit: str
    year: str
    source: str
    valid_from: date
    valid_to: date | None = None

    def covers(self, day: date) -> bool:
        """Whether the factor is in force on `day`."""
        return self.valid_from <= day and (self.valid_to is None or day < self.valid_to)

    def as_json(self) -> dict[str, Any]:
        """What is printed beside a figure."""
        return {
            "value": self.value,
            "unit": self.unit,
            "year": self.year,
            "source": self.source,
            "valid_from": self.valid_from.isoformat(),
            "valid_to": self.valid_to.isoformat() if self.valid_to else None,
        }


def cue_location(question: Question) -> list[KpiValue]:
    """CUE with the grid's own factor."""
    return _cue(question, "cue_location", GRID_LOCATION)


def cue_market(question: Question) -> list[KpiValue]:
    """CUE with the factor of the contracts by which electricity is bought."""
    return _cue(question, "cue_market", GRID_MARKET)


def _cue(question: Question, kpi: str, grid_factor: str) -> list[KpiValue]:
    subject = Subject(kpi, "site", f"{kpi}/1", question.category)
    names = [grid_factor, *([GENERATOR_FUEL] if generator_terms(question) else [])]
    weights: dict[str, Floats] = {}
    used: dict[str, Any] = {}
    for name in names:
        found = _factor_by_interval(question, name)
        if found is None:
            reason = f"no factor {name!r} is in force for all of the period (config/factors.toml)"
            return refused_figures(question, subject, reason)
        weights[name], factors = found
        used[name] = [factor.as_json() for factor in factors]
    emitted = _import_terms(question, weights[grid_factor])
    emitted += [_weighted(term, weights[GENERATOR_FUEL]) for term in generator_terms(question)]
    return ratio_figures(
        question,
        subject,
        Side("emissions_kg", question.tiling, emitted),
        it_side(question),
        formulas.cue,
        factors=used,
    )


def _factor_by_interval(question: Question, name: str) -> tuple[Floats, list[Factor]] | None:
    """(n,) factor of each interval, and those used; None where a day has none."""
    known: Sequence[Factor] = [f for f in question.factors.get(name, ()) if f.name == name]
    zone = question.site.zone
    used: dict[Factor, None] = {}
    values = np.zeros(question.tiling.grid.count)
    by_day: dict[date, Factor] = {}
    for place, start_ms in enumerate(question.tiling.grid.starts_ms().tolist()):
        day = from_ms(start_ms).astimezone(zone).date()
        if day not in by_day:
            in_force = [factor for factor in known if factor.covers(day)]
            if not in_force:
                return None
            by_day[day] = max(in_force, key=lambda factor: factor.valid_from)
            used[by_day[day]] = None
        values[place] = by_day[day].value
    return values, list(used)


def _import_terms(question: Question, factor: Floats) -> list[Term]:
    """What each feed imported, times the factor; what goes out earns nothing."""
    flows = question.reader.flows(grid_feeds(question.site), ENERGY)
    return [
        term_of(flow, has_role("grid_feed"), weight=np.where(flow.amount > 0.0, factor, 0.0))
        for flow in flows
    ]


def _weighted(term: Term, factor: Floats) -> Term:
    return Term(term.flow, term.weight * factor, term.expected, term.is_anchor)
