"""Sums over devices: one side of a ratio, with its coverage, sources and uncertainty by period."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from analytics.energy import Flow
from analytics.spans import Flags
from analytics.tiling import Tiling
from core.periods import INTERVAL_S
from core.quality import Shares
from core.samples import Floats
from core.sites import DeviceState

StatePredicate = Callable[[DeviceState], bool]

# Class c means limits of ± c %, rectangular: the standard uncertainty is c/√3 % (GUM 4.3.7).
_STANDARD = 1.0 / (100.0 * np.sqrt(3.0))


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """One device's part of a sum; arrays are (n,).

    Attributes:
        weight: Factor of each interval; 0 where the device plays another role.
        expected: Whether the interval counts on this device.
        is_anchor: Whether the sum means nothing in intervals without any such device.
        members: What the device stands for, in a sum that is covered by the share of its members.
    """

    flow: Flow
    weight: Floats
    expected: Flags
    is_anchor: bool = True
    members: float = 1.0

    @property
    def amount(self) -> Floats:
        """(n,) what the device adds in each interval."""
        return self.flow.amount * self.weight


def term_of(
    flow: Flow,
    belongs: StatePredicate,
    *,
    weight: Floats | float = 1.0,
    is_anchor: bool = True,
    members: float = 1.0,
) -> Term:
    """A term that counts while the device's state belongs to the sum."""
    belonging = np.array([*(belongs(state) for state in flow.device.states), False])
    expected = belonging[flow.state]  # state -1, before the first one, is the last entry
    return Term(flow, np.where(expected, weight, 0.0), expected, is_anchor, members)


@dataclass(slots=True, eq=False)
class Side:
    """A sum of terms.

    Coverage of a period is that of its least covered term: a sum that lacks one meter is not the
    sum. With `by_members` it is the mean over the members that the terms stand for, because there
    the terms are many alike.

    Attributes:
        name: Name of the sum in the evidence, with its unit.
    """

    name: str
    tiling: Tiling
    terms: Sequence[Term]
    by_members: bool = False
    _interval_coverage: Floats | None = field(default=None, init=False)
    _coverage: Floats | None = field(default=None, init=False)
    _term_coverage: Floats | None = field(default=None, init=False)

    def amounts(self) -> Floats:
        """(n,) the sum in each interval."""
        total = np.zeros(self.tiling.grid.count)
        for term in self.terms:
            total += term.amount
        return total

    def is_expected(self) -> Flags:
        """(n,) whether an anchor of the sum exists in the interval."""
        found = np.zeros(self.tiling.grid.count, dtype=np.bool_)
        for term in self.terms:
            if term.is_anchor:
                found |= term.expected
        return found

    def interval_coverage(self) -> Floats:
        """(n,) covered share of each interval, 0..1."""
        if self._interval_coverage is None:
            self._interval_coverage = self._cover_intervals()
        return self._interval_coverage

    def _cover_intervals(self) -> Floats:
        if self.by_members:
            return _divide(*self._member_seconds())
        count = self.tiling.grid.count
        least = np.full(count, np.inf)
        for term in self.terms:
            share = term.flow.usable_s / INTERVAL_S
            least = np.minimum(least, np.where(term.expected, share, np.inf))
        return np.where(self.is_expected() & np.isfinite(least), np.minimum(least, 1.0), 0.0)

    def coverage(self) -> Floats:
        """(m,) covered share of each period, 0..1."""
        if self._coverage is None:
            self._coverage = self._cover_periods()
        return self._coverage

    def _cover_periods(self) -> Floats:
        existing_s = np.where(self.is_expected(), float(INTERVAL_S), 0.0)
        exists = self.tiling.sums(existing_s) / self.tiling.seconds()
        if self.by_members:
            covered, wanted = self._member_seconds()
            share = _divide(self.tiling.sums(covered), self.tiling.sums(wanted))
            return np.minimum(share, 1.0) * exists
        table = self.term_coverage()
        if not len(table):
            return np.zeros(len(self.tiling.periods))
        least = np.min(np.where(np.isnan(table), np.inf, table), axis=0)
        return np.where(np.isfinite(least), np.minimum(least, 1.0), 0.0) * exists

    def _member_seconds(self) -> tuple[Floats, Floats]:
        covered = np.zeros(self.tiling.grid.count)
        wanted = np.zeros(self.tiling.grid.count)
        for term in self.terms:
            covered += term.members * np.where(term.expected, term.flow.usable_s, 0.0)
            wanted += term.members * np.where(term.expected, float(INTERVAL_S), 0.0)
        return covered, wanted

    def term_coverage(self) -> Floats:
        """(terms, m) covered share of each term, NaN where the period does not count on it."""
        if self._term_coverage is None:
            self._term_coverage = self._cover_terms()
        return self._term_coverage

    def _cover_terms(self) -> Floats:
        rows = []
        for term in self.terms:
            covered = self.tiling.sums(np.where(term.expected, term.flow.usable_s, 0.0))
            wanted = self.tiling.sums(np.where(term.expected, float(INTERVAL_S), 0.0))
            rows.append(_divide(covered, wanted, missing=np.nan))
        return np.array(rows).reshape(len(rows), len(self.tiling.periods))

    def sums(self, within: Flags | None = None) -> Floats:
        """(m,) the sum of each period, of some intervals only where `within` is given."""
        amounts = self.amounts()
        return self.tiling.sums(amounts if within is None else np.where(within, amounts, 0.0))

    def source_amounts(self, within: Flags | None = None) -> Floats:
        """(4, m) absolute amounts measured, counted, estimated and read by hand."""
        table = np.zeros((4, self.tiling.grid.count))
        for term in self.terms:
            weight = np.abs(term.weight)
            flow = term.flow
            for row, source in enumerate(
                (flow.measured, flow.counted, flow.estimated, flow.manual)
            ):
                table[row] += weight * source
        if within is not None:
            table = np.where(within, table, 0.0)
        return self.tiling.sums(table)

    def meter_uncertainty(self, within: Flags | None = None) -> dict[str, Floats]:
        """Device -> (m,) standard uncertainty of its part, signed; NaN where none is declared.

        What one meter reads wrong it reads wrong all the time, so its intervals add up linearly.
        """
        found: dict[str, Floats] = {}
        for term in self.terms:
            classes = [state.accuracy_class for state in term.flow.device.states]
            relative = np.array([np.nan if c is None else c * _STANDARD for c in [*classes, 0.0]])
            amount = term.amount
            part = np.where(amount == 0.0, 0.0, amount * relative[term.flow.state])
            if within is not None:
                part = np.where(within, part, 0.0)
            device = term.flow.device.id
            summed = self.tiling.sums(part)
            found[device] = found[device] + summed if device in found else summed
        return found

    def series(self, within: Flags | None = None) -> list[tuple[str, Flags]]:
        """`device/metric` with the periods, (m,), in which the series took part."""
        named = []
        for term in self.terms:
            for name, used in term.flow.series_names():
                took_part = used & (term.weight != 0.0)
                if within is not None:
                    took_part &= within
                named.append((name, self.tiling.any(took_part)))
        return named


def shares_of(sources: Sequence[Floats], *, is_simulated: bool) -> Shares:
    """Shares of a figure from the (4,) source amounts of its sides, each side of equal weight.

    At a simulated site what would be measured or counted is simulated; what was sent as estimated
    or lies in a counter gap stays estimated there, too.
    """
    parts = [column / column.sum() for column in sources if column.sum() > 0.0]
    if not parts:
        return Shares(simulated=1.0) if is_simulated else Shares(counted=1.0)
    measured, counted, estimated, manual = (float(v) for v in np.mean(parts, axis=0))
    if is_simulated:
        return Shares(estimated=estimated, manual=manual, simulated=measured + counted)
    return Shares(measured=measured, counted=counted, estimated=estimated, manual=manual)


def _divide(numerator: Floats, denominator: Floats, missing: float = 0.0) -> Floats:
    found = np.full(numerator.shape, missing)
    np.divide(numerator, denominator, out=found, where=denominator > 0.0)
    return found
