"""Amounts of a month or of its days with coverage, verdict and the string that is printed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from analytics.figures import Question
from analytics.sides import Side
from core.kpis import KpiValue
from core.number_text import NO_VALUE, display_unit, format_amount, format_share
from core.quality import Verdict

Row = dict[str, Any]


def amount_rows(question: Question, side: Side, unit: str) -> list[Row]:
    """One amount for each period of the question; none where the gate refuses it."""
    sums, coverages = side.sums(), side.coverage()
    rows = []
    for at in range(len(question.tiling.periods)):
        coverage = float(coverages[at])
        verdict = question.site.gate.verdict(coverage)
        value = None if verdict is Verdict.REFUSED else float(sums[at]) + 0.0
        rows.append(amount(value, unit, verdict, coverage))
    return rows


def month_amount(question: Question, side: Side, unit: str) -> Row | None:
    """The amount of the whole month; None where no such meter is declared."""
    return amount_rows(question, side, unit)[0] if side.terms else None


def amount(value: float | None, unit: str, verdict: Verdict, coverage: float | None) -> Row:
    """One amount as it stands in a month's document."""
    return {
        "value": value,
        "unit": unit,
        "shown": format_amount(value, unit),
        "shown_unit": display_unit(unit),
        "verdict": verdict.value,
        "coverage": coverage,
        "coverage_shown": format_share(coverage),
    }


def amount_of_kpi(row: KpiValue) -> Row:
    """A KPI that is an energy or a volume, as an amount."""
    return amount(row.value, row.unit, row.verdict, row.coverage.numerator)


def derived(value: float | None, unit: str, parts: Sequence[Row | None]) -> Row:
    """An amount worked out from others: it is worth as much as the worst of them."""
    known = [part for part in parts if part is not None]
    order = list(Verdict)
    worst = max((Verdict(part["verdict"]) for part in known), key=order.index)
    coverage = min((part["coverage"] for part in known if part["coverage"] is not None), default=0)
    return amount(None if worst is Verdict.REFUSED else value, unit, worst, float(coverage))


def share_shown(part: Row | None, whole: Row | None) -> str:
    """The share of one amount in another as a percentage without its sign; — where not known."""
    if part is None or whole is None or part["value"] is None or not whole["value"]:
        return NO_VALUE
    share = part["value"] / whole["value"]
    # A share below one per cent may take a second digit.
    return format_share(share, 1 if abs(share) >= 0.01 or share == 0.0 else 2).removesuffix(" %")
