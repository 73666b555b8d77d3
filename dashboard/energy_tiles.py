"""The energy page beside its charts: the window in four numbers, and how its meters agree."""

from __future__ import annotations

from dataclasses import dataclass, replace

from core.kpis import KpiValue
from core.periods import Period, from_ms
from core.quality import Verdict
from dashboard import formats
from dashboard.anatomy import SYSTEM_WORDS
from dashboard.card_builder import VERDICT_WORDS
from dashboard.chart_page import PageAsk
from dashboard.chart_spec import ChartAsk
from dashboard.evidence_words import least_coverage, reason_words
from dashboard.kpi_charts import converted, mean_power
from dashboard.kpi_series import held_parts, read_kpi_series
from dashboard.system_series import read_system_energies
from dashboard.words import Words

WINDOW_KPIS = ("pue", "facility_energy", "it_energy")
_PAST_S, _RUNNING_S = 600.0, 120.0
_MWH = 1000.0


@dataclass(frozen=True, slots=True)
class Tile:
    """One number of the window.

    Attributes:
        change: Against the comparison, signed; empty without one.
        tags: Its verdict where it is not final.
        facts: Small words.
        notes: Why there is no number, or only a provisional one.
        evidence: Id for the evidence panel, with the window.
    """

    id: str
    title: str
    value: str
    unit: str
    change: str
    source: str
    tags: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Balance:
    """How the meters of the window agree.

    Attributes:
        share: Sum of the named systems less the main meters, of the main meters.
        facts: (name, value).
    """

    share: str
    amount: str
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def window_kpis(ask: ChartAsk, period: Period) -> dict[str, KpiValue]:
    """The figures of a stretch as one period, computed by analytics and held for a while.

    Raises:
        StoreError: The store does not answer.
    """
    past = len(held_parts(ask.history, period)) == 1 and period.end_ms < ask.history.settled_ms
    rows = ask.held.get(
        ("window", ask.site.id, period.start_ms, period.end_ms),
        _PAST_S if past else _RUNNING_S,
        lambda: ask.compute_kpis(
            ask.store,
            ask.records,
            ask.site,
            period,
            resolution="period",
            kpis=list(WINDOW_KPIS),
            now=ask.history.now,
        ),
    )
    return {row.kpi: row for row in rows if row.subject == "site"}


def energy_values(page: PageAsk) -> dict[str, object]:
    """The template's own values."""
    ask = page.chart
    return {"tiles": energy_tiles(ask), "balance": meter_balance(ask)}


def energy_tiles(ask: ChartAsk) -> list[Tile]:
    """PUE, facility and IT energy and the peak of the window, with their change."""
    history, words = ask.history, ask.words
    known = history.known
    if known is None:
        return []
    mine = window_kpis(ask, known)
    before_period = history.before_known if history.compares else None
    before = window_kpis(ask, before_period) if before_period else {}
    tiles = [_tile(ask, mine[kpi], before.get(kpi)) for kpi in WINDOW_KPIS if kpi in mine]
    if "facility_energy" in mine:
        tiles.append(_peak(ask, known, before_period))
    return [replace(tile, source=_source(ask, words)) for tile in tiles]


def _source(ask: ChartAsk, words: Words) -> str:
    return words("source.simulated") if ask.site.is_simulated else ""


def _tile(ask: ChartAsk, row: KpiValue, before: KpiValue | None) -> Tile:
    words, history = ask.words, ask.history
    is_pue = row.kpi == "pue"
    value, unit = _shown(row, row.value)
    change, facts = "", []
    if before is not None:
        old, _ = _shown(before, before.value)
        facts.append(words("energy.before", value=old))
        if before.value and row.value is not None:
            change = (
                formats.format_signed(row.value - before.value, 3)
                if is_pue
                else f"{formats.format_signed((row.value / before.value - 1.0) * 100.0, 1)} %"
            )
    if row.value is not None and row.uncertainty is not None and is_pue:
        facts.append(formats.format_half_width("pue", row.uncertainty))
    coverage = least_coverage(row)
    if coverage is not None:
        facts.append(words("coverage", share=formats.format_share(coverage)))
    reason = reason_words(row, words)
    titles = {
        "pue": "pue.short",
        "facility_energy": "energy.facility_energy",
        "it_energy": "energy.it_energy",
    }
    return Tile(
        id=row.kpi,
        title=words(titles[row.kpi]),
        value=value,
        unit=unit if row.value is not None else "",
        change=change,
        source="",
        tags=() if row.verdict is Verdict.FINAL else (words(VERDICT_WORDS[row.verdict]),),
        facts=tuple(facts),
        notes=(reason,) if reason else (),
        evidence=f"window-{row.kpi}?{history.frozen_query()}",
    )


def _shown(row: KpiValue, value: float | None) -> tuple[str, str]:
    if row.kpi == "pue":
        return formats.format_kpi("pue", value)
    return formats.format_number(None if value is None else value / _MWH, 1), "MWh"


def _peak(ask: ChartAsk, known: Period, before: Period | None) -> Tile:
    words, zone = ask.words, ask.site.zone
    mine = _highest(ask, known)
    facts: list[str] = []
    change = ""
    if mine is not None:
        at = from_ms(mine[1]).astimezone(zone)
        facts.append(f"{at:%m-%d %H:%M}")
    if before is not None:
        old = _highest(ask, before)
        shown = formats.format_number(old[0] if old else None, 0)
        facts.insert(0, words("energy.before", value=shown))
        if mine is not None and old is not None:
            change = f"{formats.format_signed((mine[0] / old[0] - 1.0) * 100.0, 1)} %"
    step = {"15m": "chart.by_quarter", "hour": "chart.by_hour", "day": "chart.by_day"}
    facts.append(words(step[ask.history.resolution]))
    return Tile(
        id="peak",
        title=words("energy.peak"),
        value=formats.format_number(mine[0] if mine else None, 0),
        unit="kW" if mine else "",
        change=change,
        source="",
        facts=tuple(facts),
    )


def _highest(ask: ChartAsk, period: Period) -> tuple[float, int] | None:
    history = ask.history
    whole = history.period if period.start_ms == history.period.start_ms else history.before
    series = read_kpi_series(ask, ("facility_energy",), whole, history.resolution)
    power = converted(series["facility_energy"], mean_power)
    return max((pair for pair in power.known() if pair[1] < period.end_ms), default=None)


def meter_balance(ask: ChartAsk) -> Balance | None:
    """The named systems against the main meters, and what happened to counters in the window."""
    history, words = ask.history, ask.words
    known = history.known
    if known is None:
        return None
    parts = read_system_energies(ask, history.period)
    totals = [part.totals(known.start_ms, known.end_ms) for part in parts]
    found = [one for one in totals if one is not None]
    if not found:
        return None
    facility = sum(one.facility_kwh for one in found)
    rests = [part.kwh for one in found for part in one.parts if part.name == "rest"]
    rest = sum(kwh for kwh in rests if kwh is not None)
    refused = sorted(
        {part.name for one in found for part in one.parts if part.kwh is None} - {"rest"}
    )
    events = ask.held.get(
        ("events", ask.site.id, known.start_ms, known.end_ms),
        _RUNNING_S,
        lambda: ask.records.read_events(ask.site.id, known),
    )
    energy = [event for event in events if event.key.family == "energy"]

    def count(*kinds: str) -> str:
        return formats.format_number(sum(event.kind in kinds for event in energy), 0)

    gap_s = sum(
        (min(e.end_ms, known.end_ms) - max(e.start_ms, known.start_ms)) / 1000.0
        for e in energy
        if e.kind == "counter_gap"
    )
    share = -rest / facility if facility else None
    shown = "—" if share is None else f"{formats.format_signed(share * 100.0, 2)} %"
    return Balance(
        share=shown,
        amount=f"{formats.format_signed(-rest / _MWH, 1)} MWh",
        facts=(
            (words("energy.resets"), count("counter_reset", "counter_dip")),
            (words("energy.rollovers"), count("counter_rollover")),
            (words("energy.changes"), count("meter_change")),
            (words("energy.gaps"), formats.format_duration(gap_s, words)),
        ),
        notes=tuple(
            words("energy.balance_refused", name=words(SYSTEM_WORDS[name])) for name in refused
        ),
    )
