"""From panels to a chart: table, file and summary of the same numbers as the picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from dashboard.chart_spec import Chart, ChartAsk
from dashboard.figures.line_data import Line, LinesAsk
from dashboard.figures.line_tables import (
    build_csv_rows,
    build_rows,
    cells_of,
    csv_columns_of,
    line_sentence,
)
from dashboard.figures.lines import axis_words, joined
from dashboard.figures.panels import Panel, draw_panels

RESOLUTION_WORDS = {"15m": "chart.by_quarter", "hour": "chart.by_hour", "day": "chart.by_day"}
# A picture is drawn once a minute, whoever looks.
_HOLD_S = 60.0


@dataclass(frozen=True, slots=True)
class Told:
    """One quantity in table, file and summary."""

    line: Line
    unit: str
    decimals: int


def held_chart(name: str, build: Callable[[ChartAsk], Chart]) -> Callable[[ChartAsk], Chart]:
    """The same chart for all who ask the same within a minute."""

    def read(ask: ChartAsk) -> Chart:
        history = ask.history
        key = (
            "chart",
            name,
            ask.site.id,
            ask.words.language,
            history.period.start_ms,
            history.period.end_ms,
            history.settled_ms,
            history.compares,
            history.now_ms // 60_000,
        )
        return ask.held.get(key, _HOLD_S, lambda: build(ask))

    return read


def panel_chart(
    ask: ChartAsk,
    panels: Sequence[Panel],
    told: Sequence[Told],
    *,
    height: int,
    subtitle: str,
) -> Chart:
    """A chart of panels.

    Args:
        subtitle: Before the words of where axes start.
    """
    words = ask.words
    drawn = draw_panels(panels, _question(ask, height, "", 0), words)
    starts = [
        axis_words(axis, panel.unit, words)
        for axis, panel in zip(drawn.axes, panels, strict=True)
        if not panel.bars
    ]
    # Each quantity has its own unit; steps and file do not ask for it.
    question = replace(_question(ask, height, "", 0), lines=tuple(one.line for one in told))
    cells = [cells_of(one.line.series, one.decimals, words) for one in told]
    return Chart(
        figure=drawn.figure,
        narrow=drawn.narrow,
        subtitle=joined(subtitle, *dict.fromkeys(starts)),
        summary=" ".join(
            line_sentence(one.line, _question(ask, height, one.unit, one.decimals), words)
            for one in told
        ),
        columns=(words("table.time"), *(f"{one.line.name} ({one.unit})" for one in told)),
        rows=tuple(build_rows(question, cells)),
        csv_columns=csv_columns_of(question),
        csv_rows=partial(build_csv_rows, question),
    )


def _question(ask: ChartAsk, height: int, unit: str, decimals: int) -> LinesAsk:
    history = ask.history
    return LinesAsk(
        lines=(),
        window=history.period,
        settled_ms=history.settled_ms,
        now_ms=history.now_ms,
        zone=ask.site.zone,
        height=height,
        unit=unit,
        decimals=decimals,
        data=ask.site.data,
    )
