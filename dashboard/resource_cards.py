"""What the pages of water, sun and accelerators build their cards with: figures of one stretch."""

from __future__ import annotations

from dataclasses import dataclass, replace

from core.kpis import KpiValue
from core.periods import to_ms
from core.quality import Verdict
from core.sites import Site
from dashboard import formats
from dashboard.card_builder import VERDICT_WORDS, percent, row_figure
from dashboard.card_views import Bar, Card, Figure, Freshness
from dashboard.card_words import CardWords
from dashboard.history import HistoryQuestion
from dashboard.live_values import ValueState
from dashboard.resource_reads import Figures
from dashboard.words import Words

_FIGURE_CADENCE_S = 900.0
# Below this width a slice of a bar is hardly seen, and is drawn once more, magnified.
SMALL_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a whole on a bar.

    Attributes:
        start, width: In percent of the bar.
        shade: `g1` … `g4` of the style sheet.
    """

    name: str
    amount: str
    share: str
    start: float
    width: float
    shade: str


@dataclass(frozen=True, slots=True)
class Magnified:
    """A small slice of a whole: at true scale, then magnified by a printed factor.

    Attributes:
        whole, slice: Words of both amounts.
        start, width: The slice on the true bar, percent.
        factor: How many times the slice is magnified, in words; empty where it need not be.
        parts: The slice's own parts on the magnified bar.
        label: One sentence for who does not see it.
    """

    whole: str
    slice: str
    start: float
    width: float
    factor: str
    parts: tuple[Part, ...]
    label: str


class ResourceCards:
    """Cards of one site, stretch and language."""

    def __init__(
        self, site: Site, history: HistoryQuestion, figures: Figures, words: Words
    ) -> None:
        self.site = site
        self.history = history
        self.figures = figures
        self.t = words
        self.words = CardWords(site, history.now_ms, words)

    def card(
        self,
        name: str,
        title: str,
        *figures: Figure,
        subtitle: str = "",
        evidence: str = "",
        notes: tuple[str, ...] = (),
    ) -> Card:
        """A card of figures; one of a running stretch grows late like the figures of today."""
        return Card(
            id=name,
            title=title,
            subtitle=subtitle,
            freshness=self._freshness(),
            source=self.words.source,
            figures=figures,
            is_live=False,
            evidence=evidence,
            notes=notes,
        )

    def as_of(self) -> str:
        """From when to when the figures of the page run, said once."""
        period = self.figures.period
        if period is None:
            return ""
        start, end = (moment.astimezone(self.site.zone) for moment in (period.start, period.end))
        return self.t(
            "resource.as_of",
            start=f"{start:%Y-%m-%d %H:%M}",
            end=f"{end:%Y-%m-%d %H:%M}",
            zone=formats.zone_name(end, self.site.zone),
        )

    def _freshness(self) -> Freshness:
        period = self.figures.period
        if period is None or not self.history.is_running:
            return Freshness(None, 0, 0, ValueState.NORMAL, "")
        return self.words.freshness(to_ms(period.end), _FIGURE_CADENCE_S)

    def figure(
        self,
        kpi: str,
        subject: str = "site",
        *,
        label: str = "",
        note: str = "",
        bar: Bar | None = None,
    ) -> Figure:
        """One figure of the stretch."""
        row = self.figures.row(kpi, subject)
        if row is None:
            why = self.t("today.not_yet" if self.figures.period is None else "today.none")
            return Figure(formats.NO_VALUE, "", label, notes=(why,))
        made = row_figure(row, self.t, label=label, bar=bar if row.value is not None else None)
        return replace(made, notes=(*made.notes, note)) if note else made

    def cell(self, row: KpiValue | None) -> tuple[str, str]:
        """A figure in a table: value with its unit, and the word of its verdict if doubtful."""
        if row is None:
            return formats.NO_VALUE, ""
        value, unit = formats.format_kpi(row.kpi, row.value)
        text = f"{value} {unit}".rstrip() if row.value is not None else value
        return text, "" if row.verdict is Verdict.FINAL else self.t(VERDICT_WORDS[row.verdict])

    def target_tag(self, kpi: str) -> tuple[str, str]:
        """The target in force at the end of the stretch, and the word where it is missed."""
        row, period = self.figures.row(kpi), self.figures.period
        if row is None or row.value is None or period is None:
            return "", ""
        local = period.end.astimezone(self.site.zone).date()
        target = self.site.target(kpi, local)
        if target is None:
            return "", ""
        value, unit = formats.format_kpi(kpi, target.value)
        # Shares are better high, the rest low.
        missed = row.value < target.value if unit == "%" else row.value > target.value
        word = self.t("resource.target_missed") if missed else ""
        return self.t("resource.target", value=f"{value} {unit}".rstrip()), word


def parts_of(
    amounts: list[tuple[str, float, str]], whole: float, shades: tuple[str, ...]
) -> tuple[Part, ...]:
    """Parts one after another on a bar that is `whole` long; what is not above zero has no width.

    Args:
        amounts: (name, amount, amount in words).
    """
    parts, start = [], 0.0
    for (name, amount, text), shade in zip(amounts, shades, strict=False):
        width = percent(amount / whole) if whole > 0.0 else 0.0
        width = min(width, 100.0 - start)
        share = formats.format_share(amount / whole) if whole > 0.0 else formats.NO_VALUE
        parts.append(Part(name, text, share, round(start, 2), width, shade))
        start += width
    return tuple(parts)


def magnified_slice(
    *,
    whole: float,
    slice_: float,
    whole_words: str,
    slice_words: str,
    label: str,
    factor_words: str,
    parts: tuple[Part, ...] = (),
) -> Magnified | None:
    """A slice at the right end of its whole; None where there is no slice to show.

    Args:
        factor_words: Pattern with `{factor}`.
    """
    if whole <= 0.0 or slice_ <= 0.0 or slice_ > whole:
        return None
    share = slice_ / whole
    factor = ""
    if share <= SMALL_SHARE:
        times = 1.0 / share
        decimals = 0 if times >= 10.0 else 1
        factor = factor_words.format(factor=formats.format_number(times, decimals))
    width = round(share * 100.0, 3)
    return Magnified(whole_words, slice_words, round(100.0 - width, 3), width, factor, parts, label)
