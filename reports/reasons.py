"""Why a figure is refused or provisional, in the words of the report's language.

Analytics gives its reasons as English sentences. They are recognised by their fixed part; one that
is not recognised is printed as it stands, so that nothing is lost.
"""

from __future__ import annotations

import re

from reports.words import Words

_SERIES = r"(?P<meter>[a-z0-9][a-z0-9_-]*/[a-z0-9_]+)"
_SHARE = r"(?P<share>[\d.]+ ?%)"
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(rf"^{_SERIES} and (?P<more>\d+) more together is covered for {_SHARE}"),
        "reason.meters",
    ),
    (re.compile(rf"^{_SERIES} is covered for {_SHARE} of the period"), "reason.meter"),
    (re.compile(rf"^all meters together are covered for {_SHARE}"), "reason.together"),
    (re.compile(rf"^the meters exist for {_SHARE} of the period"), "reason.exist"),
    (re.compile(r"^no meter of (?P<name>\w+) is declared"), "reason.no_meter"),
    (re.compile(r"^no water-intensity factor of the grid"), "reason.no_water_factor"),
    (re.compile(r"^no factor '(?P<name>\w+)' is in force"), "reason.no_factor"),
    (re.compile(r"^the tank's level at the start or the end"), "reason.tank_level"),
    (re.compile(r"^the site file gives no tank_table"), "reason.tank_table"),
    (re.compile(r"^(?P<name>\S+) declares no rated_kwp"), "reason.no_rating"),
    (
        re.compile(r"^(?P<name>\S+) needs rated_kwp and its own plane-of-array irradiance"),
        "reason.no_irradiance",
    ),
    (
        re.compile(r"^IT energy of .* exceeds facility energy.*?(?:; (?P<likely>.*))?$"),
        "reason.it_above",
    ),
    (re.compile(r" is [-\d.e+]+: there is nothing to divide by"), "reason.nothing"),
    (re.compile(r"m3 more mains water was put into the tank"), "reason.top_up"),
    (re.compile(r"that fell on the catchment"), "reason.catchment"),
    (re.compile(r"times the rated power gives in this period"), "reason.above_rated"),
)
_ANY_SERIES = re.compile(r"\b[a-z0-9][a-z0-9_-]*/[a-z0-9_]+\b")


def reason_words(reason: str, words: Words) -> str:
    """The reason in the report's language, its meters named; English as analytics says it."""
    if words.language == "en" or not reason:
        return reason
    for pattern, key in _PATTERNS:
        found = pattern.search(reason)
        if found is None:
            continue
        values = {name: value for name, value in found.groupdict().items() if value is not None}
        text = words(key, **{name: values.get(name, "") for name in found.groupdict()})
        others = [
            series
            for series in dict.fromkeys(_ANY_SERIES.findall(reason))
            if series not in values.values() and not series.startswith("config/")
        ]
        return f"{text} ({', '.join(others)})" if others else text
    return reason
