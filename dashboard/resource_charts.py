"""From panels to a chart: table, file and summary of the same numbers as the picture."""

from __future__ import annotations

from collections.abc import Sequence

from dashboard.chart_spec import Chart, ChartAsk
from dashboard.figures.lines import Line, LinesAsk, axis_words, draw_lines, joined
from dashboard.figures.panels import Panel, draw_panels

RESOLUTION_WORDS = {"15m": "chart.by_quarter", "hour": "chart.by_hour", "day": "chart.by_day"}


def panel_chart(
    ask: ChartAsk,
    panels: Sequence[Panel],
    told: Sequence[tuple[Line, str, int]],
    *,
    height: int,
    subtitle: str,
) -> Chart:
    """A chart of panels.

    Args:
        told: (line, unit, decimals) of what table, file and summary hold.
        subtitle: Before the words of where axes start.
    """
    history, words = ask.history, ask.words

    def question(lines: tuple[Line, ...], unit: str, decimals: int) -> LinesAsk:
        return LinesAsk(
            lines=lines,
            window=history.period,
            settled_ms=history.settled_ms,
            now_ms=history.now_ms,
            zone=ask.site.zone,
            height=height,
            unit=unit,
            decimals=decimals,
            data=ask.site.data,
        )

    drawn = draw_panels(panels, question((), "", 0), words)
    # Each quantity with its own unit and decimals, then side by side: all on one grid.
    tables = [draw_lines(question((line,), unit, decimals), words) for line, unit, decimals in told]
    rows = [tuple(cells) for cells in tables[0].rows] if tables else []
    csv_rows = [tuple(cells[:-1]) for cells in tables[0].csv_rows] if tables else []
    for table in tables[1:]:
        rows = _beside(rows, table.rows, 1)
        csv_rows = _beside(csv_rows, [cells[:-1] for cells in table.csv_rows], 2)
    starts = [
        axis_words(axis, panel.unit, words)
        for axis, panel in zip(drawn.axes, panels, strict=True)
        if not panel.bars
    ]
    columns = tables[0].columns[:1] if tables else ()
    csv_columns = tables[0].csv_columns[:2] if tables else ()
    return Chart(
        figure=drawn.figure,
        narrow=drawn.narrow,
        subtitle=joined(subtitle, *dict.fromkeys(starts)),
        summary=" ".join(table.summary for table in tables),
        columns=(*columns, *(column for table in tables for column in table.columns[1:])),
        rows=tuple(rows),
        csv_columns=(
            *csv_columns,
            *(column for table in tables for column in table.csv_columns[2:-1]),
            "data",
        ),
        csv_rows=tuple((*cells, ask.site.data) for cells in csv_rows),
    )


def _beside(
    rows: Sequence[tuple[object, ...]], others: Sequence[tuple[object, ...]], keys: int
) -> list[tuple]:
    """Rows with the cells of others of the same key behind them, keys in order."""
    mine = {row[:keys]: row for row in rows}
    theirs = {row[:keys]: row[keys:] for row in others}
    width = len(next(iter(mine.values()))) - keys if mine else 0
    more = len(next(iter(theirs.values()))) if theirs else 0
    return [
        (*(mine.get(key) or (*key, *[""] * width)), *(theirs.get(key) or [""] * more))
        for key in dict.fromkeys([*mine, *theirs])
    ]
