"""Where a figure of the list of sites comes from: the evidence of a site's page, of any span."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

from core.kpis import KpiValue
from core.sites import Site
from dashboard import formats
from dashboard.evidence import Evidence, EvidencePart, kpi_part, live_part
from dashboard.live_values import LiveSnapshot
from dashboard.portfolio_spans import SiteSpans, Span
from dashboard.words import Words

EvidenceFigure = Literal["pue", "water", "rain", "facility", "solar"]
EVIDENCE_FIGURES: tuple[EvidenceFigure, ...] = get_args(EvidenceFigure)
_TITLES: dict[EvidenceFigure, str] = {
    "pue": "pue.title",
    "water": "row.water_room",
    "rain": "row.rain",
    "facility": "facility.title",
    "solar": "solar.title",
}


def portfolio_evidence(
    figure: EvidenceFigure,
    span: Span,
    site: Site,
    live: LiveSnapshot | None,
    spans: SiteSpans | None,
    words: Words,
) -> Evidence | None:
    """The evidence of one cell; None where there is none yet."""
    part: EvidencePart | None = None
    if figure in {"facility", "solar"}:
        if live is not None:
            value = live.facility if figure == "facility" else live.pv
            part = live_part(figure, site, value, live.now_ms, words)
    else:
        row = _row(figure, span, spans)
        if row is not None:
            part = _with_dates(kpi_part(row, site, words), row, site, words)
    if part is None:
        return None
    name = f"{site.name.get(words.language)} {words(_TITLES[figure])}"
    return Evidence(words("evidence.title", name=name), (part,))


def _row(figure: EvidenceFigure, span: Span, spans: SiteSpans | None) -> KpiValue | None:
    if spans is None:
        return None
    return {
        "pue": spans.pue.get(span),
        "water": spans.wue_today,
        "rain": spans.rain_month,
    }.get(figure)


def _with_dates(part: EvidencePart, row: KpiValue, site: Site, words: Words) -> EvidencePart:
    """The part with both dates of a period of several days."""
    start, end = (moment.astimezone(site.zone) for moment in (row.start, row.end))
    zone = formats.zone_name(row.start, site.zone)
    period = f"{start:%Y-%m-%d %H:%M} – {end:%Y-%m-%d %H:%M} {zone}"
    name = words("evidence.period")
    return replace(
        part, facts=tuple((key, period if key == name else value) for key, value in part.facts)
    )
