"""Where a figure comes from: formula with its numbers, window, meters, coverage, sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from core.kpis import KPIS, KpiValue
from core.periods import from_ms, to_ms
from core.roles import ROLES
from core.sites import Site
from dashboard import formats
from dashboard.anatomy import SYSTEM_WORDS
from dashboard.card_builder import VERDICT_WORDS
from dashboard.card_words import CardWords
from dashboard.evidence_words import full_reason_words
from dashboard.factor_words import factor_lines
from dashboard.formula_words import format_amount, formula_words, other_parts
from dashboard.live_values import LiveSnapshot, LiveValue
from dashboard.today import SiteDay
from dashboard.words import Words

_SHARES = (
    ("measured", "source.measured"),
    ("counted", "source.counted"),
    ("estimated", "source.estimated"),
    ("manual", "source.manual"),
    ("simulated", "source.simulated"),
)
_KPIS_OF_CARD = {
    "pue": ("pue",),
    "wue": ("wue", "wue_potable"),
    "ref": ("ref",),
    "rain": ("rain_reuse_ratio", "rain_unexplained"),
    "solar": ("pv_energy",),
}
_LONGEST_SUM = 4


@dataclass(frozen=True, slots=True)
class EvidencePart:
    """One figure's evidence.

    Attributes:
        facts: (name, value) lines.
        columns, meters: A table of what took part.
        points: Stretch of the figure as a query; empty where its table names no series.
    """

    heading: str
    formula: str
    facts: tuple[tuple[str, str], ...]
    meters_title: str = ""
    columns: tuple[str, ...] = ()
    meters: tuple[tuple[str, ...], ...] = ()
    points: str = ""

    def points_of(self, series: str) -> str:
        """Query that asks for the stored intervals of a series of the table; empty for none."""
        return f"series={series}&{self.points}" if self.points and "/" in series else ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the evidence panel of a card shows."""

    title: str
    parts: tuple[EvidencePart, ...]


def card_evidence(
    card: str, site: Site, live: LiveSnapshot, day: SiteDay | None, words: Words
) -> Evidence | None:
    """The evidence of one card; None for a card that has none."""
    lives = {"facility": live.facility, "it": live.it, "solar": live.pv}
    titles = {
        "facility": "facility.title",
        "it": "it.title",
        "solar": "solar.title",
        "pue": "pue.title",
        "wue": "wue.title",
        "ref": "ref.title",
        "rain": "rain.title",
    }
    if card not in titles:
        return None
    parts = []
    if card in lives:
        parts.append(live_part(card, site, lives[card], live.now_ms, words))
    for kpi in _KPIS_OF_CARD.get(card, ()):
        row = day.site_kpi(kpi) if day else None
        if row is not None:
            parts.append(kpi_part(row, site, words))
    if card in {"pue", "facility"} and day is not None:
        parts += systems_parts(day, words)
    return Evidence(words("evidence.title", name=words(titles[card])), tuple(parts))


def systems_parts(day: SiteDay, words: Words) -> list[EvidencePart]:
    """How today's energy was told apart by system: rule, coverage and meters of each."""
    if day.systems is None or day.window is None:
        return []
    totals = day.systems.totals(day.window.start_ms, day.window.end_ms)
    if totals is None:
        return []
    facts = []
    for part in totals.parts:
        amount = format_amount("part_kwh", part.kwh)
        mark = words("mark.metered" if part.is_metered else "mark.calculated")
        said = [amount, mark, words("coverage", share=formats.format_share(part.coverage))]
        if part.devices and part.is_metered:
            said.append(words("evidence.meters_of", n=len(part.devices)))
        facts.append((words(SYSTEM_WORDS[part.name]), " · ".join(said)))
    rows = [
        (f"{device}", words(SYSTEM_WORDS[part.name]))
        for part in totals.parts
        if part.is_metered
        for device in part.devices
    ]
    return [
        EvidencePart(
            heading=words("evidence.systems"),
            formula=words("evidence.systems_rule"),
            facts=tuple(facts),
            meters_title=words("evidence.meters"),
            columns=(words("evidence.meter"), words("systems.system")),
            meters=tuple(rows),
        )
    ]


def window_evidence(row: KpiValue, site: Site, words: Words) -> Evidence:
    """The evidence of a figure of a window."""
    name = KPIS[row.kpi].text.get(words.language)
    return Evidence(words("evidence.title", name=name), (kpi_part(row, site, words),))


def figures_evidence(title: str, rows: Sequence[KpiValue], site: Site, words: Words) -> Evidence:
    """The evidence of figures that were read for a stretch of time."""
    parts = tuple(kpi_part(row, site, words) for row in rows)
    return Evidence(words("evidence.title", name=title), parts)


def live_part(card: str, site: Site, value: LiveValue, now_ms: int, words: Words) -> EvidencePart:
    """The evidence of a live sum: `facility`, `it` or `solar`."""
    card_words = CardWords(site, now_ms, words)
    decimals = 1 if card == "solar" else 0
    rules = {"facility": "rule.facility", "it": "rule.it", "solar": "rule.solar"}
    known = [part for part in value.parts if part.value is not None]
    formula = f"{formats.format_number(value.value, decimals)} {value.unit}"
    if 1 < len(known) <= _LONGEST_SUM:
        terms = " + ".join(formats.format_number(part.value, decimals) for part in known)
        formula = f"{terms} = {formula}"
    facts = [
        (words("evidence.rule"), words(rules[card], category=site.pue_category)),
        (
            words("evidence.meters"),
            words("evidence.meter_count", reporting=value.reporting, expected=value.expected),
        ),
    ]
    if value.time_ms is not None:
        moment = from_ms(value.time_ms).astimezone(site.zone)
        zone = formats.zone_name(moment, site.zone)
        facts.append((words("evidence.oldest"), f"{moment:%Y-%m-%d %H:%M:%S} {zone}"))
    meters = []
    for part in value.parts:
        freshness = card_words.freshness(part.time_ms, value.cadence_s)
        role = ROLES[part.role].text.get(words.language)
        meters.append(
            (f"{part.device} ({role})", formats.format_number(part.value, decimals), freshness.text)
        )
    return EvidencePart(
        heading=words("evidence.live"),
        formula=formula,
        facts=tuple(facts),
        meters_title=words("evidence.meters"),
        columns=(words("evidence.meter"), value.unit, words("sites.age")),
        meters=tuple(meters),
    )


def kpi_part(row: KpiValue, site: Site, words: Words) -> EvidencePart:
    """The evidence of one figure of analytics."""
    value, unit = formats.format_kpi(row.kpi, row.value)
    zone_name = formats.zone_name(row.start, site.zone)
    start, end = row.start.astimezone(site.zone), row.end.astimezone(site.zone)
    span = f"{start:%Y-%m-%d} {formats.format_span(row.start, row.end, site.zone)}"
    if row.end - row.start > timedelta(days=1):
        span = f"{start:%Y-%m-%d %H:%M} – {end:%m-%d %H:%M}"
    facts = [
        (words("evidence.figure"), f"{value} {unit}".strip() if row.value is not None else value),
        (words("evidence.verdict"), words(VERDICT_WORDS[row.verdict])),
        (words("evidence.period"), f"{span} {zone_name}"),
    ]
    if row.reason:
        facts.append((words("evidence.reason"), full_reason_words(row, words)))
    if row.category is not None:
        facts.append((words("evidence.category"), words("pue.category", category=row.category)))
    facts.append((words("evidence.coverage"), _coverage(row, site, words)))
    facts.append((words("evidence.sources"), _sources(row, words)))
    if row.uncertainty is not None and row.value is not None:
        half = formats.format_half_width(row.kpi, row.uncertainty)
        facts.append((words("evidence.uncertainty"), f"{half} {unit}".strip()))
    facts += other_parts(row, words)
    facts += factor_lines(row, words)
    facts.append((words("evidence.version"), row.formula_version))
    facts.append((words("evidence.standard"), KPIS[row.kpi].source))
    return EvidencePart(
        heading=_heading(row, site, words),
        formula=formula_words(row, words),
        facts=tuple(facts),
        meters_title=words("evidence.meters"),
        columns=(words("evidence.series"),),
        meters=tuple((series,) for series in row.series),
        points=f"from={to_ms(row.start)}&to={to_ms(row.end)}",
    )


def _heading(row: KpiValue, site: Site, words: Words) -> str:
    name = KPIS[row.kpi].text.get(words.language)
    if row.subject == "site":
        return name
    array = site.devices.get(row.subject)
    if array is not None and array.family == "solar":
        place = CardWords(site, 0, words).array_name(array.id, array.latest)
        return f"{name} · {place}"
    return f"{name} · {row.subject}"


def _coverage(row: KpiValue, site: Site, words: Words) -> str:
    sides = [
        formats.format_share(side)
        for side in (row.coverage.numerator, row.coverage.denominator)
        if side is not None
    ]
    gate = words("evidence.gate", share=formats.format_share(site.gate.final, 0))
    return f"{' / '.join(sides) or formats.NO_VALUE} · {gate}"


def _sources(row: KpiValue, words: Words) -> str:
    named = [
        f"{words(key)} {formats.format_share(share)}"
        for name, key in _SHARES
        if (share := getattr(row.shares, name)) > 0.0
    ]
    return ", ".join(named) or formats.NO_VALUE
