"""Coverage and reasons of a figure in words.

Analytics gives its reasons as English sentences, which an English page shows as they are. For a
Korean page the sentences are recognised by their fixed part; one that is not still names its
meters.
"""

from __future__ import annotations

import re

from core.kpis import KpiValue
from core.quality import Verdict
from dashboard.words import Words

_METER = r"(?P<meter>[a-z0-9][a-z0-9_-]*/[a-z0-9_]+(?: and \d+ more together)?)"
_SHARE = r"(?P<share>[\d.]+ ?%)"
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(rf"^{_METER} is covered for {_SHARE} of the period"), "reason.meter"),
    (re.compile(rf"^all meters together are covered for {_SHARE}"), "reason.together"),
    (re.compile(rf"^the meters exist for {_SHARE} of the period"), "reason.exist"),
    (re.compile(r"^no meter of (?P<name>\w+) is declared"), "reason.no_meter"),
    (re.compile(r"^the period has not begun"), "reason.not_begun"),
    (re.compile(r"^IT energy of .* exceeds facility energy"), "reason.it_above"),
    (re.compile(r" is [-\d.e+]+: there is nothing to divide by"), "reason.nothing"),
)
_SERIES = re.compile(r"\b[a-z0-9][a-z0-9_-]*/[a-z0-9_]+\b")


def least_coverage(row: KpiValue) -> float | None:
    """The smaller of the two sides' coverages; None where neither side has one."""
    known = [
        side for side in (row.coverage.numerator, row.coverage.denominator) if side is not None
    ]
    return min(known, default=None)


def reason_words(row: KpiValue, words: Words) -> str:
    """Why a figure is provisional or refused, in one line; empty for a final one."""
    if row.verdict is Verdict.FINAL or not row.reason:
        return ""
    if words.language == "en":
        return row.reason
    for pattern, key in _PATTERNS:
        found = pattern.search(row.reason)
        if found is not None:
            return _with_meters(words(key, **found.groupdict()), row.reason, words)
    return _with_meters(words("reason.other"), row.reason, words)


def _with_meters(text: str, reason: str, words: Words) -> str:
    named = [meter for meter in dict.fromkeys(_SERIES.findall(reason)) if meter not in text]
    return f"{text} · {words('reason.look_at', names=', '.join(named))}" if named else text
