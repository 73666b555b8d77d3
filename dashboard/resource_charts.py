"""From panels to a chart: table, file and summary of the same numbers as the picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from dashboard import formats
from dashboard.chart_spec import Chart, ChartAsk, CsvCell
from dashboard.figures.line_data import Line, LinesAsk
from dashboard.figures.line_tables import cells_of, line_sentence, local_time, moment_text
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
    csv_columns = ["start", "end"]
    for one in told:
        csv_columns += [one.line.csv_name, f"{one.line.csv_name}_verdict"]
    return Chart(
        figure=drawn.figure,
        narrow=drawn.narrow,
        subtitle=joined(subtitle, *dict.fromkeys(starts)),
        summary=" ".join(
            line_sentence(one.line, _question(ask, height, one.unit, one.decimals), words)
            for one in told
        ),
        columns=(words("table.time"), *(f"{one.line.name} ({one.unit})" for one in told)),
        rows=_rows(ask, told),
        csv_columns=(*csv_columns, "data"),
        csv_rows=partial(_csv_rows, ask, told),
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


_Places = list[dict[int, int]]


def _steps(ask: ChartAsk, told: Sequence[Told]) -> tuple[list[int], _Places]:
    """Starts of the steps to be told, those to come left out, and the places of each line's."""
    places = [
        {start: place for place, start in enumerate(one.line.series.start_ms)} for one in told
    ]
    starts = [
        start
        for start in sorted(set().union(*places))
        if start < ask.history.settled_ms
        or any(
            start in mine and one.line.series.values[mine[start]] is not None
            for one, mine in zip(told, places, strict=True)
        )
    ]
    return starts, places


def _rows(ask: ChartAsk, told: Sequence[Told]) -> tuple[tuple[str, ...], ...]:
    """Rows for people."""
    starts, places = _steps(ask, told)
    step_ms = told[0].line.series.step_ms if told else 0
    texts = [cells_of(one.line.series, one.decimals, ask.words) for one in told]
    return tuple(
        (
            moment_text(start, step_ms, ask.site.zone),
            *(
                cells[mine[start]] if start in mine else formats.NO_VALUE
                for cells, mine in zip(texts, places, strict=True)
            ),
        )
        for start in starts
    )


def _csv_rows(ask: ChartAsk, told: Sequence[Told]) -> list[tuple[CsvCell, ...]]:
    """Rows for machines."""
    starts, places = _steps(ask, told)
    zone = ask.site.zone
    files: list[tuple[CsvCell, ...]] = []
    step_ms = told[0].line.series.step_ms if told else 0
    for start in starts:
        kept: list[CsvCell] = [local_time(start, zone), local_time(start + step_ms, zone)]
        for one, mine in zip(told, places, strict=True):
            series, place = one.line.series, mine.get(start)
            kept += (
                [None, ""] if place is None else [series.values[place], series.verdict(place).value]
            )
        files.append((*kept, ask.site.data))
    return files
