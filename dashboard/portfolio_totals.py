"""Sums over the operating sites; each says which sites are in it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from analytics import boundary
from dashboard import formats
from dashboard.evidence_words import least_coverage
from dashboard.place_names import city_name
from dashboard.portfolio_rows import SPAN_WORDS, complete_kw
from dashboard.portfolio_spans import Span
from dashboard.portfolio_views import SiteNow, TotalView
from dashboard.words import Words


def sum_over_sites(sites: Sequence[SiteNow], span: Span, words: Words) -> tuple[TotalView, ...]:
    """Facility power, PV power, PV share and coverage of the sites that this person operates.

    A site of which one meter is silent is not in a sum at all: half a site is no site.
    """
    operating = [now for now in sites if now.is_operating]
    with_pv = [now for now in operating if boundary.pv_arrays(now.site)]
    facility, facility_out = _split(operating, _facility_kw)
    pv, pv_out = _split(with_pv, _pv_kw)
    both = [
        (pv_kw if (pv_kw := _pv_kw(now)) is not None else 0.0, facility_kw)
        for now in operating
        if (facility_kw := _facility_kw(now)) is not None
        and (_pv_kw(now) is not None or now not in with_pv)
    ]
    share_out = [now for now in operating if now in facility_out or now in pv_out]
    whole = sum(part for _, part in both)
    coverage, coverage_out = _split(operating, lambda now: _coverage(now, span))
    mean = sum(coverage) / len(coverage) if coverage else None
    return (
        TotalView(
            words("totals.facility"),
            formats.format_number(sum(facility) / 1000.0 if facility else None, 1),
            "MW" if facility else "",
            _note(len(facility), len(operating), "totals.sites", words),
            _missing(facility_out, words),
        ),
        TotalView(
            words("totals.solar"),
            formats.format_number(sum(pv) if pv else None, 0),
            "kW" if pv else "",
            _note(len(pv), len(with_pv), "totals.sites", words),
            _missing(pv_out, words),
        ),
        TotalView(
            words("totals.solar_share"),
            formats.format_number(
                sum(part for part, _ in both) / whole * 100.0 if whole > 0.0 else None, 1
            ),
            "%" if whole > 0.0 else "",
            _note(len(both), len(operating), "totals.sites", words),
            _missing(share_out, words),
        ),
        TotalView(
            words("totals.coverage", span=words(SPAN_WORDS[span])),
            formats.format_number(None if mean is None else mean * 100.0, 1),
            "%" if mean is not None else "",
            _note(len(coverage), len(operating), "totals.mean", words),
            _missing(coverage_out, words),
        ),
    )


def _facility_kw(now: SiteNow) -> float | None:
    return complete_kw(now.live.facility) if now.live else None


def _pv_kw(now: SiteNow) -> float | None:
    return complete_kw(now.live.pv) if now.live else None


def _coverage(now: SiteNow, span: Span) -> float | None:
    row = now.spans.pue.get(span) if now.spans else None
    return None if row is None else least_coverage(row)


def _split(
    sites: Sequence[SiteNow], read: Callable[[SiteNow], float | None]
) -> tuple[list[float], list[SiteNow]]:
    known, missing = [], []
    for now in sites:
        value = read(now)
        if value is None:
            missing.append(now)
        else:
            known.append(value)
    return known, missing


def _note(reporting: int, expected: int, key: str, words: Words) -> str:
    if reporting == expected:
        return words(key, n=expected)
    return words("totals.some", n=reporting, of=expected)


def _missing(sites: Sequence[SiteNow], words: Words) -> str:
    names = ", ".join(city_name(now.site, words.language) for now in sites)
    return words("missing", names=names) if names else ""
