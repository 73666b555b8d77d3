"""The chart of PUE over the last day and the two to come."""

from __future__ import annotations

from dataclasses import replace

from core.forecasts import TARGETS
from core.periods import Period, floor_interval_ms, from_ms
from dashboard import formats
from dashboard.chart_spec import Chart, ChartAsk
from dashboard.figures.line_data import Line, LinesAsk
from dashboard.figures.lines import axis_words, joined
from dashboard.figures.outlook import (
    BACK_MS,
    draw_outlook,
    issued_words,
    outlook_window,
    record_facts,
)
from dashboard.history import SETTLING_MS
from dashboard.kpi_charts import chart_of
from dashboard.kpi_series import read_kpi_series

OUTLOOK_HEIGHT = 244
_HELD_S = 60.0


def pue_outlook(ask: ChartAsk) -> Chart:
    """PUE of the last 24 hours by quarters, and its newest forecast with band and record.

    Raises:
        StoreError: The store does not answer.
    """
    now_ms, zone, words = ask.history.now_ms, ask.site.zone, ask.words
    settled_ms = floor_interval_ms(now_ms - SETTLING_MS)
    period = Period.of_ms(settled_ms - BACK_MS, settled_ms)
    series = read_kpi_series(ask, ("pue", "facility_energy", "it_energy"), period, "15m")["pue"]
    target = TARGETS["pue"]
    forecast = ask.held.get(
        ("forecast", ask.site.id, target.id, now_ms // 60_000),
        _HELD_S,
        lambda: ask.read_forecast(ask.store, ask.site, target.id, from_ms(now_ms)),
    )
    declared = ask.site.target("pue", period.end.astimezone(zone).date())
    goal = None
    if declared is not None:
        text, _ = formats.format_kpi("pue", declared.value)
        goal = (declared.value, words("target", value=text))
    name = words("pue.short")
    question = LinesAsk(
        lines=(),
        window=outlook_window(now_ms) if forecast is not None else replace_end(period, now_ms),
        settled_ms=settled_ms,
        now_ms=now_ms,
        zone=zone,
        height=ask.height,
        unit="",
        decimals=target.decimals,
        data=ask.site.data,
        target=goal,
        most_lines=4,
    )
    measured = Line(
        name,
        series,
        "pue",
        label="" if forecast is not None else name,
        averages=False,
    )
    drawn = draw_outlook(measured, forecast, question, words)
    title, lines, notes = record_facts(forecast, target.decimals, "", words)
    chart = chart_of(
        drawn,
        joined(
            issued_words(forecast, zone, now_ms, words) or words("chart.by_quarter"),
            axis_words(drawn.axis, "", words),
        ),
    )
    return replace(chart, facts=lines, facts_title=title, facts_notes=notes)


def replace_end(period: Period, now_ms: int) -> Period:
    """The measured day with a little room behind the present."""
    return Period.of_ms(period.start_ms, now_ms + 30 * 60_000)
