"""The comparison table as a file: full precision, every figure with verdict and coverage. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from core.kpis import KpiValue
from core.periods import format_time
from core.text import Language
from dashboard.card_words import age_state
from dashboard.live_values import LATE_CADENCES, STALE_CADENCES, LiveValue
from dashboard.portfolio_findings import fastest_cadence_s, target_of
from dashboard.portfolio_rows import complete_kw, water_taken_m3
from dashboard.portfolio_spans import Span
from dashboard.portfolio_views import SiteNow

COLUMNS = (
    "site",
    "name",
    "place",
    "status",
    "data",
    "reception",
    "last_reading",
    "pue_category",
    "span_start",
    "span_end",
    "pue",
    "pue_verdict",
    "pue_reason",
    "pue_coverage_numerator",
    "pue_coverage_denominator",
    "pue_uncertainty_95",
    "pue_target",
    "pue_today",
    "pue_today_verdict",
    "pue_30d",
    "pue_30d_verdict",
    "facility_power_kw",
    "facility_meters_expected",
    "facility_meters_reporting",
    "contract_power_kw",
    "power_headroom_kw",
    "water_taken_today_m3",
    "water_verdict",
    "water_coverage",
    "daily_water_limit_m3",
    "water_headroom_m3",
    "rain_reuse_ratio_month",
    "rain_verdict",
    "rain_coverage",
    "pv_power_kw",
    "pv_arrays_expected",
    "pv_arrays_reporting",
)


def file_row(now: SiteNow, span: Span, language: Language) -> tuple[str, ...]:
    """One site as a line of the file; what is not known is empty, never zero."""
    site = now.site
    pue = now.spans.pue if now.spans else {}
    live = now.live
    facility = live.facility if live else None
    taken = water_taken_m3(now.spans)
    used = complete_kw(facility)
    row = pue.get(span)
    target = target_of(site, row) if row is not None else None
    water = now.spans.wue_today if now.spans else None
    rain = now.spans.rain_month if now.spans else None
    contract, limit = site.contract_power_kw, site.daily_water_limit_m3
    return (
        site.id,
        site.name.get(language),
        site.place.get(language) if site.place else "",
        site.status,
        site.data,
        _reception(now),
        format_time(live.newest_ms) if live and live.newest_ms is not None else "",
        str(site.pue_category),
        row.start.astimezone(site.zone).isoformat(timespec="seconds") if row else "",
        row.end.astimezone(site.zone).isoformat(timespec="seconds") if row else "",
        *_figure(row),
        row.reason if row else "",
        _number(row.coverage.numerator if row else None),
        _number(row.coverage.denominator if row else None),
        _number(row.uncertainty if row and row.value is not None else None),
        _number(target.value if target else None),
        *_figure(pue.get("today")),
        *_figure(pue.get("30d")),
        *_live(facility),
        _number(contract),
        _number(None if contract is None or used is None else contract - used),
        _number(taken),
        water.verdict.value if water else "",
        _number(water.coverage.numerator if water else None),
        _number(limit),
        _number(None if limit is None or taken is None else limit - taken),
        *_figure(rain),
        _number(rain.coverage.numerator if rain else None),
        *_live(live.pv if live else None),
    )


def file_rows(sites: Sequence[SiteNow], span: Span, language: Language) -> list[tuple[str, ...]]:
    """All sites in the order given."""
    return [file_row(now, span, language) for now in sites]


def _figure(row: KpiValue | None) -> tuple[str, str]:
    return (_number(row.value), row.verdict.value) if row is not None else ("", "")


def _live(value: LiveValue | None) -> tuple[str, str, str]:
    if value is None or not value.expected:
        return ("", "", "")
    return _number(complete_kw(value)), str(value.expected), str(value.reporting)


def _number(value: float | None) -> str:
    return "" if value is None else repr(float(value))


def _reception(now: SiteNow) -> str:
    if now.live is None:
        return ""
    cadence_ms = fastest_cadence_s(now.live) * 1000.0
    return age_state(
        now.live.newest_ms,
        round(LATE_CADENCES * cadence_ms),
        round(STALE_CADENCES * cadence_ms),
        now.now_ms,
    ).value
