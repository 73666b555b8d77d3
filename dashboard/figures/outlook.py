"""A forecast as a picture: what was measured, the median, the 80 % band, and the record: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

from core.forecasts import LEARNING_DAYS, MODELS, STATES, Forecast, ForecastPoint, ForecastState
from core.periods import Period, from_ms
from dashboard import formats
from dashboard.figures import frame as f
from dashboard.figures.line_data import HOUR_MS, Line, LinesAsk
from dashboard.figures.line_tables import CsvRow, local_time, moment_text
from dashboard.figures.lines import LinesDrawn, draw_lines
from dashboard.figures.palette import BAND
from dashboard.words import Words

BACK_MS, AHEAD_MS = 24 * HOUR_MS, 48 * HOUR_MS


def outlook_window(now_ms: int) -> Period:
    """24 hours back and 48 ahead."""
    return Period.of_ms(now_ms - BACK_MS, now_ms + AHEAD_MS)


def draw_outlook(
    measured: Line,
    forecast: Forecast | None,
    ask: LinesAsk,
    words: Words,
) -> LinesDrawn:
    """Measured line, and behind the present the forecast as far as it reaches into the window.

    Args:
        ask: Window, target and the rest; its lines are put in here.
    """
    points = [p for p in (forecast.points if forecast else ()) if p.start_ms < ask.window.end_ms]
    step_ms = forecast.step_s * 1000 if forecast else 0
    edges = [v for p in points for v in (p.q10, p.q90) if v is not None]
    question = replace(
        ask, lines=(measured,), extra_values=(*edges, *(point.q50 for point in points))
    )
    traces = [*band_traces(points, step_ms, ask.zone), *median_trace(points, step_ms, ask, words)]
    drawn = draw_lines(
        question, words, traces=traces, margin_labels=end_labels(points, ask.decimals, words)
    )
    if not points:
        return drawn
    return _with_table(drawn, points, step_ms, ask, words)


def band_traces(
    points: Sequence[ForecastPoint], step_ms: int, zone: ZoneInfo
) -> list[dict[str, Any]]:
    """The 80 % band as areas, one for each run of points that have it."""
    runs: list[list[ForecastPoint]] = [[]]
    for point in points:
        is_next = runs[-1] and point.start_ms == runs[-1][-1].start_ms + step_ms
        if point.q10 is None or point.q90 is None or (runs[-1] and not is_next):
            runs.append([])
        if point.q10 is not None and point.q90 is not None:
            runs[-1].append(point)
    traces = []
    for run in runs:
        if len(run) < 2:
            continue
        x = [f.local_iso(point.start_ms + step_ms // 2, zone) for point in run]
        upper = [point.q90 for point in run]
        lower = [point.q10 for point in run]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": [*x, *reversed(x)],
                "y": [*upper, *reversed(lower)],
                "fill": "toself",
                "fillcolor": BAND,
                "line": {"width": 0},
                "hoverinfo": "skip",
                "showlegend": False,
            }
        )
    return traces


def median_trace(
    points: Sequence[ForecastPoint], step_ms: int, ask: LinesAsk, words: Words
) -> list[dict[str, Any]]:
    """The median as a dotted line; a point that no rule could give breaks it."""
    if not points:
        return []
    x: list[str] = []
    y: list[float | None] = []
    hover: list[str] = []
    last = None
    for point in points:
        if last is not None and point.start_ms != last + step_ms:
            x.append(f.local_iso(last + step_ms, ask.zone))
            y.append(None)
            hover.append("")
        last = point.start_ms
        x.append(f.local_iso(point.start_ms, ask.zone))
        y.append(point.q50)
        hover.append(f"{words('outlook.forecast')} {_band_text(point, ask.decimals)} {ask.unit}")
    trace = f.line_trace(
        words("outlook.forecast"),
        x,
        y,
        [text.rstrip() for text in hover],
        colour="forecast",
        width=2.0,
        dash="2px,2.5px",
        step_ms=step_ms,
    )
    return [trace]


def _band_text(point: ForecastPoint, decimals: int) -> str:
    text = formats.format_number(point.q50, decimals)
    if point.q10 is None or point.q90 is None:
        return text
    low, high = (formats.format_number(v, decimals) for v in (point.q10, point.q90))
    return f"{text} ({low}–{high})"


def end_labels(
    points: Sequence[ForecastPoint], decimals: int, words: Words
) -> list[tuple[float, str, bool]]:
    """Median and band at the window's end, for the right margin."""
    if not points:
        return []
    last = points[-1]
    value = formats.format_number(last.q50, decimals)
    labels = [(last.q50, f"{words('outlook.forecast')} {value}", True)]
    edges = [edge for edge in (last.q90, last.q10) if edge is not None]
    labels += [(edge, formats.format_number(edge, decimals), False) for edge in edges]
    return labels


def _with_table(
    drawn: LinesDrawn,
    points: Sequence[ForecastPoint],
    step_ms: int,
    ask: LinesAsk,
    words: Words,
) -> LinesDrawn:
    def number(value: float | None) -> str:
        return formats.format_number(value, ask.decimals)

    head = words("outlook.forecast")
    columns = (
        *drawn.columns,
        head,
        words("outlook.low", share="10 %"),
        words("outlook.high", share="90 %"),
    )
    empty = (formats.NO_VALUE,) * 3
    rows = [(*row, *empty) for row in drawn.rows]
    rows += [
        (
            moment_text(point.start_ms, step_ms, ask.zone),
            formats.NO_VALUE,
            number(point.q50),
            number(point.q10),
            number(point.q90),
        )
        for point in points
    ]
    csv_columns = (*drawn.csv_columns[:-1], "q10", "q50", "q90", "data")

    def build_csv_rows() -> list[CsvRow]:
        rows: list[CsvRow] = [(*row[:-1], None, None, None, row[-1]) for row in drawn.csv_rows()]
        for point in points:
            times = (local_time(at, ask.zone) for at in (point.start_ms, point.start_ms + step_ms))
            rows.append((*times, None, "", point.q10, point.q50, point.q90, ask.data))
        return rows

    last = points[-1]
    said = words(
        "outlook.summary",
        time=moment_text(last.start_ms, step_ms, ask.zone),
        value=_band_text(last, ask.decimals),
    )
    return replace(
        drawn,
        columns=columns,
        rows=tuple(rows),
        csv_columns=csv_columns,
        csv_rows=build_csv_rows,
        summary=f"{drawn.summary} {said}",
    )


# ------------------------------------------------------------ the record


def record_facts(
    forecast: Forecast | None, decimals: int, unit: str, words: Words
) -> tuple[str, tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Title, lines and notes beside a forecast: what its rules have been worth."""
    title = words("outlook.record")
    if forecast is None:
        return title, (), (words("outlook.none"),)
    notes = [_state_words(forecast, words)]
    record = forecast.record
    if record is None:
        return title, (), (*notes, words("outlook.no_record"))
    overall = record.overall
    lines = []
    if overall.coverage_80 is not None:
        lines.append((words("outlook.hits"), formats.format_share(overall.coverage_80)))
    if overall.mae is not None:
        error = f"{formats.format_number(overall.mae, decimals)} {unit}".rstrip()
        lines.append((words("outlook.mae"), error))
    if overall.skill is not None:
        key = "outlook.smaller" if overall.skill >= 0.0 else "outlook.larger"
        share = formats.format_share(abs(overall.skill), 0)
        lines.append((words("outlook.gain"), words(key, share=share)))
    if overall.best_naive is not None and overall.best_naive in MODELS:
        rule = MODELS[overall.best_naive].get(words.language)
        notes.append(words("outlook.rule", rule=rule))
    notes.append(
        words(
            "outlook.days",
            n=record.days,
            issued=record.origins_issued,
            all=record.origins_issued + record.origins_hindcast,
        )
    )
    return title, tuple(lines), tuple(notes)


def _state_words(forecast: Forecast, words: Words) -> str:
    text = STATES[forecast.state].get(words.language)
    if forecast.state is ForecastState.LEARNING:
        day = words("outlook.learning_day", n=forecast.learning_day, of=LEARNING_DAYS)
        return f"{text} · {day}"
    return text


def issued_words(forecast: Forecast | None, zone: ZoneInfo, now_ms: int, words: Words) -> str:
    """`48 h ahead · issued 14:15`, with the date where it was another day."""
    if forecast is None:
        return ""
    issued = from_ms(forecast.issued_at_ms).astimezone(zone)
    is_today = issued.date() == from_ms(now_ms).astimezone(zone).date()
    clock = f"{issued:%H:%M}" if is_today else f"{issued:%m-%d %H:%M}"
    return words("outlook.issued", time=clock)
