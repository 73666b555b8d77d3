"""Coverage and reasons of a figure in words.

Analytics gives its reasons as English sentences. They are recognised by their fixed part and said
in the page's language and in the length of a card; one that is not recognised still names its
meters. The evidence holds the whole sentence.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from core.kpis import KpiValue
from core.quality import Verdict
from dashboard.words import Words

_METER = r"(?P<meter>[a-z0-9][a-z0-9_-]*/[a-z0-9_]+)(?: and (?P<more>\d+) more together)?"
_SHARE = r"(?P<share>[\d.]+ ?%)"
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(rf"^{_METER} is covered for {_SHARE} of the period"), "reason.meter"),
    (re.compile(rf"^all meters together are covered for {_SHARE}"), "reason.together"),
    (re.compile(rf"^the meters exist for {_SHARE} of the period"), "reason.exist"),
    (re.compile(r"^no meter of (?P<name>\w+) is declared"), "reason.no_meter"),
    (re.compile(r"^the period has not begun"), "reason.not_begun"),
    (re.compile(r"^IT energy of .* exceeds facility energy"), "reason.it_above"),
    (re.compile(r"^no factor '(?P<name>\w+)' for sites in"), "reason.no_factor"),
    (re.compile(r"^(?P<meter>[a-z0-9_-]+) ran and declares no fuel"), "reason.no_fuel"),
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
    """Why a figure is provisional or refused, short enough for a card; empty for a final one.

    Meters are named by their device.
    """
    if row.verdict is Verdict.FINAL or not row.reason:
        return ""
    return _recognised(row.reason, words, lambda series: series.partition("/")[0])


def full_reason_words(row: KpiValue, words: Words) -> str:
    """The same for the evidence, with the series named; in English the sentence itself."""
    if row.verdict is Verdict.FINAL or not row.reason:
        return ""
    if words.language == "en":
        return row.reason
    return _recognised(row.reason, words, lambda series: series)


def _recognised(reason: str, words: Words, name: Callable[[str], str]) -> str:
    meters = list(dict.fromkeys(_SERIES.findall(reason)))
    for pattern, key in _PATTERNS:
        found = pattern.search(reason)
        if found is not None:
            text = words(key, **_values(found, words, name))
            others = [meter for meter in meters if meter not in found.groupdict().values()]
            break
    else:
        text, others = words("reason.other"), meters
    if not others:
        return text
    return f"{text} · {words('reason.look_at', names=', '.join(name(meter) for meter in others))}"


def _values(found: re.Match[str], words: Words, name: Callable[[str], str]) -> dict[str, str]:
    values = {key: value for key, value in found.groupdict().items() if value is not None}
    if "meter" in values:
        values["meter"] = name(values["meter"])
        more = values.pop("more", "")
        if more:
            values["meter"] = words("names.more", names=values["meter"], n=more)
    return values
