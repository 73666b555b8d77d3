"""The charts of data intake: what became of every reading, and why readings were refused."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from core.ledger import LedgerCounts, LedgerHour, QuarantineCount, sum_counts
from core.periods import Period, Resolution, calendar_periods
from dashboard import formats
from dashboard.chart_spec import Chart, ChartAsk, ChartSpec
from dashboard.figures.line_data import Line, Series
from dashboard.figures.panels import Bars, Panel
from dashboard.history import DAY_MS, HOUR_MS, HistoryQuestion
from dashboard.resource_charts import RESOLUTION_WORDS, Told, panel_chart

HEIGHT = 230
# A week is shown by hour, a month by day.
_MOST_HOURLY_MS = 9 * DAY_MS
_SHADES = ("g1", "g2", "g3", "g4")
# The quantities of the ledger: name of the count -> (id of its text, shade).
TAKEN = {
    "stored": ("intake.stored", "g1"),
    "duplicate": ("intake.duplicate", "g3"),
    "spooled": ("intake.spooled", "g4"),
}
REFUSED = {
    "quarantined": ("intake.quarantined", "g1"),
    "rejected": ("intake.rejected", "g3"),
}


def intake_resolution(history: HistoryQuestion) -> Resolution:
    """How wide bars and rows are."""
    length = history.period.end_ms - history.period.start_ms
    return "hour" if length <= _MOST_HOURLY_MS else "day"


def pieces_of(ask: ChartAsk) -> list[Period]:
    """The hours or local days of the window that have begun."""
    history = ask.history
    resolution = intake_resolution(history)
    pieces = calendar_periods(history.period, ask.site.zone, resolution)
    return [piece for piece in pieces if piece.start_ms <= history.now_ms]


def read_hours(ask: ChartAsk) -> list[LedgerHour]:
    """The ledger of the window; held for a moment, as the page and its chart ask for the same."""
    desk = ask.intake
    if desk is None:
        return []
    period = ask.history.period
    key = ("ledger", ask.site.id, period.start_ms, period.end_ms)
    return ask.held.get(key, 5.0, lambda: desk.read_ledger(ask.site.id, period))


def sum_hours(hours: Sequence[LedgerHour], pieces: Sequence[Period]) -> list[LedgerCounts]:
    """The ledger by longer stretches: an hour of receipt belongs to that in which it begins."""
    sums = [LedgerCounts() for _ in pieces]
    place = 0
    for hour in sorted(hours, key=lambda hour: hour.hour_ms):
        while place < len(pieces) and pieces[place].end_ms <= hour.hour_ms:
            place += 1
        if place < len(pieces) and pieces[place].start_ms <= hour.hour_ms:
            sums[place] += hour.counts
    return sums


def ledger_chart(ask: ChartAsk) -> Chart:
    """Taken above, refused below: the two never share a scale."""
    words = ask.words
    pieces = pieces_of(ask)
    sums = sum_hours(read_hours(ask), pieces)
    has_ledger = ask.intake is not None

    def series(name: str) -> Series:
        return _series(
            ask, pieces, [float(getattr(one, name)) if has_ledger else None for one in sums]
        )

    panels, told = [], []
    for title, parts, share in (
        ("intake.chart_taken", TAKEN, 1.5),
        ("intake.chart_refused", REFUSED, 1.0),
    ):
        bars = tuple(
            Bars(words(text), series(name), shade) for name, (text, shade) in parts.items()
        )
        panels.append(Panel(words(title), "", 0, bars=bars, share=share, most_lines=3))
        told += [
            Told(
                Line(words(text), series(name), f"{name}_readings", averages=False),
                words("intake.readings"),
                0,
            )
            for name, (text, _) in parts.items()
        ]
    return panel_chart(ask, panels, told, height=HEIGHT, subtitle=_by(ask))


def reasons_chart(ask: ChartAsk) -> Chart:
    """The most frequent reasons by name, all others as one."""
    words = ask.words
    pieces = pieces_of(ask)
    desk = ask.intake
    counts = desk.records.count_quarantine(ask.site.id, ask.history.period) if desk else []
    by_reason = count_by_piece(sum_counts(counts, pieces), pieces)
    parts = [
        (reason, f"{reason}_readings", column)
        for reason, column in list(by_reason.items())[: len(_SHADES) - 1]
    ]
    others = list(by_reason.values())[len(_SHADES) - 1 :]
    if others:
        summed = [sum(column) for column in zip(*others, strict=True)]
        parts.append((words("intake.other_reasons"), "other_readings", summed))
    if not parts:
        parts = [(words("intake.quarantined"), "quarantined_readings", [0.0] * len(pieces))]
    series = [
        _series(ask, pieces, column if desk is not None else [None] * len(pieces))
        for _, _, column in parts
    ]
    # Codes are too long for the margin: there they have the number of their line beside it.
    bars = tuple(
        Bars(name, one, shade, label=str(number))
        for number, ((name, _, _), one, shade) in enumerate(
            zip(parts, series, _SHADES, strict=False), 1
        )
    )
    told = [
        Told(Line(name, one, csv_name, averages=False), words("intake.readings"), 0)
        for (name, csv_name, _), one in zip(parts, series, strict=True)
    ]
    panel = Panel(words("intake.chart_reasons_unit"), "", 0, bars=bars, most_lines=4)
    chart = panel_chart(ask, [panel], told, height=HEIGHT, subtitle=_by(ask))
    facts = tuple(
        (f"{number} {name}", formats.format_number(sum(column), 0))
        for number, (name, _, column) in enumerate(parts, 1)
        if desk is not None
    )
    return replace(chart, facts=facts, facts_title=words("intake.chart_reasons_unit"))


def count_by_piece(
    counts: Sequence[QuarantineCount], pieces: Sequence[Period]
) -> Mapping[str, list[float]]:
    """Refused readings by piece, the most frequent reason first."""
    places = {piece.start_ms: place for place, piece in enumerate(pieces)}
    columns: defaultdict[str, list[float]] = defaultdict(lambda: [0.0] * len(pieces))
    for count in counts:
        columns[count.reason][places[count.start_ms]] += count.quarantined
    ranked = sorted(columns, key=lambda reason: (-sum(columns[reason]), reason))
    return {reason: columns[reason] for reason in ranked}


def _series(ask: ChartAsk, pieces: Sequence[Period], values: Sequence[float | None]) -> Series:
    step_ms = HOUR_MS if intake_resolution(ask.history) == "hour" else DAY_MS
    return Series(tuple(piece.start_ms for piece in pieces), tuple(values), step_ms)


def _by(ask: ChartAsk) -> str:
    resolution = ask.words(RESOLUTION_WORDS[intake_resolution(ask.history)])
    return ask.words("intake.chart_subtitle", resolution=resolution)


INTAKE_CHARTS = (
    ChartSpec("intake-ledger", "intake.chart_ledger", "c12", HEIGHT, ledger_chart),
    ChartSpec(
        "intake-reasons", "intake.chart_reasons", "c12", HEIGHT, reasons_chart, has_facts=True
    ),
)
