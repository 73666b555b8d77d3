"""Where a site's energy goes: IT, cooling, losses of the power chain, lighting, and the rest.

Facility and IT energy are the two sides of PUE. Cooling and lighting are metered where they have
meters. Losses of the power chain are calculated: UPS input less IT. The rest is calculated, too:
facility less everything named, so that the parts add up to the whole exactly; where meters disagree
it may be negative.

A part whose meters do not cover the period as the gate asks is not printed; what it used is then in
the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from analytics.boundary import devices_that, has_role
from analytics.electricity import facility_side, it_side
from analytics.energy import ENERGY, FlowReader
from analytics.figures import Question
from analytics.sides import Side, term_of
from analytics.spans import Flags
from analytics.tiling import Tiling
from core.periods import Period
from core.ports import RollupRecords, TimeSeriesStore
from core.quality import Verdict
from core.samples import Floats, Ints
from core.sites import Site

COOLING_ROLES = ("cooling", "chiller", "pump", "air_handling", "tower_fan")
LIGHTING_ROLES = ("lighting", "distribution")
# In the order in which they are printed; `rest` closes the sum.
SYSTEMS = ("it", "cooling", "losses", "lighting", "rest")
CALCULATED = ("losses", "rest")
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class SystemPart:
    """One system's energy over a period.

    Attributes:
        name: One of `SYSTEMS`.
        kwh: None where its meters do not cover the period.
        coverage: Covered share of the intervals that count, 0..1; of calculated parts the least of
            what they are calculated from.
        is_metered: False for what is calculated from others.
        devices: Ids of the meters behind it.
    """

    name: str
    kwh: float | None
    verdict: Verdict
    coverage: float
    is_metered: bool
    devices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SystemTotals:
    """What a period's energy was made of; the parts that have a figure add up to the facility.

    Attributes:
        facility_kwh, it_kwh: Over the intervals in which both are covered.
        coverage: Share of the period in those intervals.
        verdict: Of the whole.
    """

    facility_kwh: float
    it_kwh: float
    coverage: float
    verdict: Verdict
    parts: tuple[SystemPart, ...]

    @property
    def pue(self) -> float | None:
        """Facility over IT; None where it is refused or impossible."""
        if self.verdict is Verdict.REFUSED or self.it_kwh <= 0.0:
            return None
        ratio = self.facility_kwh / self.it_kwh
        return ratio if ratio >= 1.0 else None


@dataclass(frozen=True, slots=True, eq=False)
class SystemEnergies:
    """Energy of each system in each 15-minute interval; arrays are (n,), NaN where not known.

    A counter gap that the whole period holds is known to sums over the period, and there its
    intervals carry their proportional shares; as figures of their own they are not known.

    Attributes:
        start_ms: Starts of the intervals.
        facility, energy: What sums are made of: facility energy, and energy by system, of the
            systems that the site has.
        facility_alone, energy_alone: The same where each interval stands for itself.
    """

    site: Site
    start_ms: Ints
    facility: Floats
    energy: dict[str, Floats]
    facility_alone: Floats
    energy_alone: dict[str, Floats]
    devices: dict[str, tuple[str, ...]]

    def alone(self, system: str) -> Floats:
        """(n,) energy of one system by interval; the rest is what no other one says."""
        if system in self.energy_alone:
            return self.energy_alone[system]
        if system != "rest":
            return np.full(len(self.start_ms), np.nan)
        named = np.sum(list(self.energy_alone.values()), axis=0)
        return np.asarray(self.facility_alone - named, dtype=np.float64)

    def totals(self, start_ms: int, end_ms: int) -> SystemTotals | None:
        """What [start_ms, end_ms) was made of; None where no interval lies in it."""
        inside = (self.start_ms >= start_ms) & (self.start_ms < end_ms)
        if not inside.any():
            return None
        both = inside & ~np.isnan(self.facility) & ~np.isnan(self.energy["it"])
        coverage = float(both.sum() / inside.sum())
        facility = float(self.facility[both].sum())
        it = float(self.energy["it"][both].sum())
        verdict = self.site.gate.verdict(coverage)
        parts = self._parts(both, facility)
        return SystemTotals(facility, it, coverage, verdict, parts)

    def _parts(self, both: Flags, facility: float) -> tuple[SystemPart, ...]:
        found: list[SystemPart] = []
        count = int(both.sum())
        for name in SYSTEMS[:-1]:
            values = self.energy.get(name)
            if values is None:
                continue
            known = both & ~np.isnan(values)
            coverage = float(known.sum() / count) if count else 0.0
            verdict = self.site.gate.verdict(coverage)
            kwh = float(values[known].sum()) if verdict is not Verdict.REFUSED else None
            found.append(self._part(name, kwh, verdict, coverage))
        named = sum(part.kwh for part in found if part.kwh is not None)
        least = min((part.coverage for part in found), default=0.0)
        known_all = self.site.gate.verdict(least)
        # The rest is known whatever is refused: it then holds what was refused.
        verdict = Verdict.FINAL if known_all is Verdict.FINAL else Verdict.PROVISIONAL
        rest = facility - named if count else None
        found.append(self._part("rest", rest, verdict if count else Verdict.REFUSED, least))
        return tuple(found)

    def _part(self, name: str, kwh: float | None, verdict: Verdict, coverage: float) -> SystemPart:
        return SystemPart(
            name, kwh, verdict, coverage, name not in CALCULATED, self.devices.get(name, ())
        )


def read_systems(
    store: TimeSeriesStore, records: RollupRecords, site: Site, period: Period, now: datetime
) -> SystemEnergies | None:
    """Energy by system in each 15-minute interval of a period.

    Returns:
        None for a site without meters on both sides of PUE.

    Raises:
        ConfigurationError: The period is not on the 15-minute grid.
        StoreError: The store does not answer.
    """
    reader = FlowReader(store, records, site, Tiling.of_periods((period,)))
    whole = Question(site, reader.tiling, now, site.pue_category, reader)
    fine_tiling = Tiling.of(period, site.zone, "15m")
    fine = Question(site, fine_tiling, now, site.pue_category, reader.retiled(fine_tiling))
    sides = _sides(whole)
    if not sides["facility"].terms or not sides["it"].terms:
        return None
    energy, alone = _energies(sides, site), _energies(_sides(fine), site)
    devices = {name: _ids(side) for name, side in sides.items() if side.terms}
    if "ups" in devices:
        devices["losses"] = (*devices["ups"], *devices["it"])
    return SystemEnergies(
        site,
        whole.tiling.grid.starts_ms(),
        energy.pop("facility"),
        energy,
        alone.pop("facility"),
        alone,
        devices,
    )


def _sides(question: Question) -> dict[str, Side]:
    return {
        "facility": facility_side(question),
        "it": it_side(question),
        "cooling": _side(question, COOLING_ROLES),
        "lighting": _side(question, LIGHTING_ROLES),
        "ups": _side(question, ("ups_input",)),
    }


def _energies(sides: Mapping[str, Side], site: Site) -> dict[str, Floats]:
    known = {name: _known(side, site) for name, side in sides.items() if side.terms}
    ups = known.pop("ups", None)
    if ups is not None:
        known["losses"] = ups - known["it"]
    return known


def _side(question: Question, roles: Sequence[str]) -> Side:
    found = devices_that(question.site, has_role(*roles))
    flows = question.reader.flows(found, ENERGY)
    terms = [term_of(flow, has_role(*roles)) for flow in flows]
    return Side("/".join(roles), question.tiling, terms)


def _known(side: Side, site: Site) -> Floats:
    covered = side.interval_coverage() >= site.gate.provisional - _ROUNDING
    return np.where(covered, side.amounts(), np.nan)


def _ids(side: Side) -> tuple[str, ...]:
    return tuple(term.flow.device.id for term in side.terms)
