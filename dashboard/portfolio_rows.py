"""The comparison table: one line a site, figures of equal spans beside each other. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from urllib.parse import urlencode

from analytics import boundary
from analytics.boundary import WATER_SUPPLIES
from core.kpis import KpiValue
from core.quality import Verdict
from core.sites import Site
from dashboard import formats
from dashboard.card_builder import VERDICT_WORDS, percent
from dashboard.card_views import Bar, Freshness
from dashboard.card_words import CardWords
from dashboard.evidence_words import least_coverage, reason_words
from dashboard.live_values import LiveSnapshot, LiveValue, ValueState
from dashboard.place_names import city_name
from dashboard.portfolio_findings import (
    CONDITION_WORDS,
    above_target,
    condition_of,
    fastest_cadence_s,
    target_of,
)
from dashboard.portfolio_spans import SiteSpans, Span
from dashboard.portfolio_views import Cell, Finding, RowView, SiteNow
from dashboard.words import Words

SPAN_WORDS: Mapping[Span, str] = {"today": "span.today", "7d": "span.week", "30d": "span.month"}
_SCALE_ENDS = (1.5, 2.0, 3.0, 5.0)
_PARTS_OF_WATER = ("mains_m3", "reclaimed_m3", "groundwater_m3")


def span_beside(span: Span) -> Span:
    """The span of the second PUE column: 30 days, beside 30 days today."""
    return "today" if span == "30d" else "30d"


def scale_end(sites: Iterable[SiteNow], span: Span) -> float:
    """Where the PUE bars end, so that every figure and target of the table lies on them."""
    longest = 1.0
    for now in sites:
        pue = now.spans.pue.get(span) if now.spans else None
        if pue is None or pue.value is None:
            continue
        target = target_of(now.site, pue)
        longest = max(longest, pue.value, target.value if target else 1.0)
    return next((end for end in _SCALE_ENDS if longest <= end), _SCALE_ENDS[-1])


def table_row(
    now: SiteNow, findings: Sequence[Finding], span: Span, end: float, words: Words
) -> RowView:
    """The line of a site.

    Args:
        end: Where its PUE bar ends; it starts at 1.0, which is the zero of a PUE.
    """
    site, language = now.site, words.language
    condition = condition_of(now, findings)
    card_words = CardWords(site, now.now_ms, words)
    about = f"/s/{site.id}/about"
    row = RowView(
        id=site.id,
        name=site.name.get(language),
        place=city_name(site, language),
        address=f"/s/{site.id}" if now.is_operating else about,
        condition=condition,
        words=words(CONDITION_WORDS[condition]),
        note="",
        category=site.pue_category,
        freshness=Freshness(None, 0, 0, ValueState.NO_DATA, ""),
    )
    if not now.is_operating:
        key = "row.planned" if site.status == "planned" else "row.hidden"
        return replace(row, sentence=words(key, n=len(site.facts)))
    live = now.live
    cells = _Cells(now, span, words)
    return replace(
        row,
        note=words("row.more", n=len(findings) - 1) if len(findings) > 1 else "",
        freshness=card_words.freshness(live.newest_ms if live else None, fastest_cadence_s(live)),
        pue=cells.pue(end),
        pue_beside=cells.pue_beside(),
        power=cells.power(),
        power_room=cells.power_room(),
        water_room=cells.water_room(),
        rain=cells.rain(),
        solar=cells.solar(),
        coverage=cells.coverage(),
    )


def evidence_address(site: Site, figure: str, span: Span) -> str:
    """Where the evidence of a figure of the table is to be had."""
    query = urlencode({"site": site.id, "figure": figure, "range": span})
    return f"/_board/portfolio/evidence?{query}"


def water_taken_m3(spans: SiteSpans | None) -> float | None:
    """Water taken from its supplies today, in m3; None where it is not known.

    Rain is not in it: a limit is about what is taken from others.
    """
    row = spans.wue_today if spans is not None else None
    if row is None:
        return None
    known = [volume for name in _PARTS_OF_WATER if (volume := row.parts.get(name)) is not None]
    return sum(known) if known else None


def complete_kw(value: LiveValue | None) -> float | None:
    """A live sum in kW, if every device takes part in it."""
    return None if value is None or value.missing else value.value


class _Cells:
    """The cells of one site."""

    def __init__(self, now: SiteNow, span: Span, words: Words) -> None:
        self.site = now.site
        self.now = now
        self.live: LiveSnapshot | None = now.live
        self.spans = now.spans
        self.span = span
        self.words = words

    def pue(self, end: float) -> Cell:
        row = self.spans.pue.get(self.span) if self.spans else None
        if row is None:
            return self._pending()
        value, _ = formats.format_kpi("pue", row.value)
        target = target_of(self.site, row)
        excess = above_target(self.site, row)
        bar = None
        if row.value is not None:
            mark = _along(target.value, end) if target else None
            bar = Bar(filled=_along(row.value, end), mark=mark)
        return Cell(
            value=value,
            side=self.words("target", value=formats.format_number(target.value, 2))
            if target
            else "",
            tags=self._verdict(row),
            strong_tag=""
            if excess is None
            else self.words("row.excess", excess=formats.format_signed(excess, 3)),
            note=reason_words(row, self.words) if row.value is None else "",
            evidence=evidence_address(self.site, "pue", self.span),
            bar=bar,
        )

    def pue_beside(self) -> Cell:
        span = span_beside(self.span)
        row = self.spans.pue.get(span) if self.spans else None
        if row is None:
            return self._pending()
        return Cell(
            value=formats.format_kpi("pue", row.value)[0],
            tags=self._verdict(row),
            evidence=evidence_address(self.site, "pue", span),
        )

    def power(self) -> Cell:
        value = self.live.facility if self.live else None
        if value is None or value.value is None:
            return Cell(formats.NO_VALUE, is_live=True)
        return Cell(
            value=formats.format_number(value.value / 1000.0, 1),
            tags=self._incomplete(value),
            evidence=evidence_address(self.site, "facility", self.span),
            is_live=True,
            is_dim=value.is_incomplete,
        )

    def power_room(self) -> Cell:
        contract = self.site.contract_power_kw
        if contract is None:
            return Cell("", note=self.words("row.no_contract"))
        used = complete_kw(self.live.facility if self.live else None)
        if used is None:
            return Cell(formats.NO_VALUE, is_live=True)
        room = contract - used
        return Cell(
            value=formats.format_number(room / 1000.0, 1),
            unit="MW",
            side=formats.format_share(room / contract, 0),
            strong_tag=self.words("row.above_limit") if room < 0.0 else "",
            bar=Bar(percent(used / contract)),
            evidence=evidence_address(self.site, "facility", self.span),
            is_live=True,
        )

    def water_room(self) -> Cell:
        limit = self.site.daily_water_limit_m3
        if limit is None:
            return Cell("", note=self.words("row.no_limit"))
        if not self.site.with_role(*WATER_SUPPLIES):
            return Cell("", note=self.words("row.no_water"))
        used = water_taken_m3(self.spans)
        row = self.spans.wue_today if self.spans else None
        if used is None or row is None:
            return self._pending() if row is None else Cell(formats.NO_VALUE)
        room = limit - used
        return Cell(
            value=formats.format_number(room, 0),
            unit="m³",
            side=formats.format_share(room / limit, 0),
            tags=self._verdict(row),
            strong_tag=self.words("row.above_limit") if room < 0.0 else "",
            bar=Bar(percent(used / limit)),
            evidence=evidence_address(self.site, "water", self.span),
        )

    def rain(self) -> Cell:
        if not self.site.with_role("rain_used"):
            return Cell("", note=self.words("row.none"))
        row = self.spans.rain_month if self.spans else None
        if row is None:
            return self._pending()
        value, unit = formats.format_kpi("rain_reuse_ratio", row.value)
        return Cell(
            value=value,
            unit=unit if row.value is not None else "",
            tags=self._verdict(row),
            evidence=evidence_address(self.site, "rain", self.span),
        )

    def solar(self) -> Cell:
        if not boundary.pv_arrays(self.site):
            return Cell("", note=self.words("row.none"))
        value = self.live.pv if self.live else None
        if value is None or value.value is None:
            return Cell(formats.NO_VALUE, is_live=True)
        return Cell(
            value=formats.format_number(value.value, 0),
            unit="kW",
            tags=self._incomplete(value),
            evidence=evidence_address(self.site, "solar", self.span),
            is_live=True,
            is_dim=value.is_incomplete,
        )

    def coverage(self) -> Cell:
        row = self.spans.pue.get(self.span) if self.spans else None
        share = None if row is None else least_coverage(row)
        if row is None or share is None:
            return self._pending()
        return Cell(
            value=formats.format_number(share * 100.0, 1),
            unit="%",
            tags=self._verdict(row) if row.value is not None else (),
            evidence=evidence_address(self.site, "pue", self.span),
        )

    def _pending(self) -> Cell:
        if self.spans is None:
            note = "row.unread" if self.now.is_faulty else "row.computing"
        else:
            note = "row.not_yet"
        return Cell(formats.NO_VALUE, note=self.words(note))

    def _verdict(self, row: KpiValue) -> tuple[str, ...]:
        if row.verdict is Verdict.FINAL:
            return ()
        return (self.words(VERDICT_WORDS[row.verdict]),)

    def _incomplete(self, value: LiveValue) -> tuple[str, ...]:
        return (self.words("state.incomplete"),) if value.is_incomplete else ()


def _along(pue: float, end: float) -> float:
    return percent((pue - 1.0) / (end - 1.0))
