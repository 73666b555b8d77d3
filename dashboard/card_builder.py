"""What every card of a site's page is built with: one site, moment and language."""

from __future__ import annotations

from core.kpis import KpiValue
from core.periods import to_ms
from core.quality import Verdict
from core.sites import Site
from dashboard import formats
from dashboard.card_views import Bar, Card, Figure
from dashboard.card_words import CardWords
from dashboard.evidence_words import least_coverage, reason_words
from dashboard.live_values import LiveSnapshot, LiveValue
from dashboard.today import SiteDay
from dashboard.words import Words

# A figure of today is late when its last interval ended two intervals ago.
_FIGURE_CADENCE_S = 900.0
VERDICT_WORDS = {
    Verdict.FINAL: "verdict.final",
    Verdict.PROVISIONAL: "verdict.provisional",
    Verdict.REFUSED: "verdict.refused",
}


class CardBuilder:
    """Cards and figures of the common kinds.

    Attributes:
        t: The catalogue of the language.
        words: Ages and names for this site and moment.
    """

    def __init__(self, site: Site, live: LiveSnapshot, day: SiteDay | None, words: Words) -> None:
        self.site = site
        self.live = live
        self.day = day
        self.t = words
        self.words = CardWords(site, live.now_ms, words)

    def live_card(self, card: str, title: str, value: LiveValue, *figures: Figure) -> Card:
        """A card of a live value, which has evidence under its own id."""
        return Card(
            id=card,
            title=title,
            subtitle="",
            freshness=self.words.freshness(value.time_ms, value.cadence_s),
            source=self.words.source,
            figures=figures,
            evidence=card,
        )

    def live_figure(
        self,
        value: LiveValue,
        decimals: int,
        *,
        label: str = "",
        notes: tuple[str, ...] = (),
        bar: Bar | None = None,
    ) -> Figure:
        """A live value with what is missing in it."""
        unit = formats.display_unit(value.unit)
        text = formats.format_number(value.value, decimals)
        last = ""
        if value.time_ms is not None:
            known = value.value is not None
            last = (
                self.words.last_value(f"{text} {unit}", value.time_ms)
                if known
                else self.words.last_time(value.time_ms)
            )
        missing = self.words.missing(value.missing) if value.is_incomplete else ()
        return Figure(
            value=text,
            unit=unit if value.value is not None else "",
            label=label,
            is_dim=value.is_incomplete,
            tags=(self.t("state.incomplete"),) if value.is_incomplete else (),
            notes=missing or notes,
            bar=bar,
            last=last,
        )

    def today_card(self, card: str, title: str, words: str, *figures: Figure) -> Card:
        """A card of today's figures; it is as old as their last interval."""
        window = self.day.window if self.day else None
        end_ms = to_ms(window.end) if window is not None else None
        return Card(
            id=card,
            title=title,
            subtitle=words,
            freshness=self.words.freshness(end_ms, _FIGURE_CADENCE_S),
            source=self.words.source,
            figures=figures,
            is_live=False,
            evidence=card,
        )

    def kpi_figure(self, kpi: str, label: str, *, bar: Bar | None = None) -> Figure:
        """One figure of today of the whole site."""
        row = self.day.site_kpi(kpi) if self.day else None
        if row is None:
            pending = self.day is None or self.day.window is None
            note = self.t("today.not_yet" if pending else "today.none")
            return Figure(formats.NO_VALUE, "", label, notes=(note,), bar=bar)
        span = formats.format_span(row.start, row.end, self.site.zone)
        return row_figure(row, self.t, label=label, bar=bar, span=span)

    def share_of_facility(self, value: LiveValue) -> float | None:
        """What part of the facility power this is; None unless both are complete."""
        facility = self.live.facility
        known = value.value is not None and facility.value is not None
        if not known or value.missing or facility.missing or not facility.value:
            return None
        return max(0.0, value.value or 0.0) / facility.value


def row_figure(
    row: KpiValue, words: Words, *, label: str = "", bar: Bar | None = None, span: str = ""
) -> Figure:
    """A computed figure with its verdict, ±, coverage, and the reason where it is not final.

    Args:
        span: Its window, where the page does not say it once for all.
    """
    value, unit = formats.format_kpi(row.kpi, row.value)
    # What is doubtful stands beside the number, what is in order among the small words.
    verdict, is_final = words(VERDICT_WORDS[row.verdict]), row.verdict is Verdict.FINAL
    facts = [verdict] if is_final else []
    facts += [span] if span else []
    if row.value is not None and row.uncertainty is not None:
        facts.append(formats.format_half_width(row.kpi, row.uncertainty))
    coverage = least_coverage(row)
    if coverage is not None:
        facts.append(words("coverage", share=formats.format_share(coverage)))
    reason = reason_words(row, words)
    return Figure(
        value=value,
        unit=unit if row.value is not None else "",
        label=label,
        tags=() if is_final else (verdict,),
        notes=(reason,) if reason else (),
        facts=tuple(facts),
        bar=bar,
    )


def percent(share: float) -> float:
    """A share as a length on a bar: 0 to 100, to a tenth."""
    return round(min(1.0, max(0.0, share)) * 100.0, 1)


def with_unit(text: str, unit: str, *, known: bool) -> str:
    """A value with its unit; what is not known has none."""
    return f"{text} {unit}".rstrip() if known else text
