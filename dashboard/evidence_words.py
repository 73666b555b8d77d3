"""Coverage and reasons of a figure in words."""

from __future__ import annotations

from core.kpis import KpiValue
from core.quality import Verdict
from dashboard import formats
from dashboard.words import Words


def least_coverage(row: KpiValue) -> float | None:
    """The smaller of the two sides' coverages; None where neither side has one."""
    known = [
        side for side in (row.coverage.numerator, row.coverage.denominator) if side is not None
    ]
    return min(known, default=None)


def reason_words(row: KpiValue, words: Words) -> str:
    """Why a figure is provisional or refused, in one line; empty for a final one."""
    if row.verdict is Verdict.FINAL:
        return ""
    coverage = least_coverage(row)
    parts = []
    if coverage is not None:
        parts.append(words("coverage", share=formats.format_share(coverage)))
    if row.reason:
        parts.append(row.reason)
    return " · ".join(parts)
