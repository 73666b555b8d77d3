"""Lines over time: the one builder of every chart of a quantity against the clock.

From series to figure, narrow variant, table and CSV, so that picture, table and file hold the same
numbers. Gaps break a line and are hatched; doubtful points are hollow; labels stand at the lines'
ends; the comparison is dashed and lies on the same weekdays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from core.periods import Period, from_ms
from dashboard import formats
from dashboard.figures import frame as f
from dashboard.figures.line_data import (
    DAY_MS,
    HOUR_MS,
    Line,
    LinesAsk,
    Series,
    Style,
    missing_spans,
)
from dashboard.figures.line_tables import (
    CsvRow,
    build_csv_rows,
    build_rows,
    cells_of,
    column_of,
    csv_columns_of,
    line_sentence,
)
from dashboard.words import Words

MOST_POINTS = 2_000
_STYLES: dict[Style, tuple[str, float, str]] = {
    "measured": ("data", 1.75, "solid"),
    "second": ("g2", 1.75, "solid"),
    "compare": ("g2", 1.2, "5px,3px"),
}
# A hatched span narrower than this share of the window carries no words.
_LABELLED_SHARE = 0.035
_NARROW_PLOT_PX = 230


@dataclass(frozen=True, slots=True)
class LinesDrawn:
    """A drawn chart of lines; `dashboard.chart_spec.Chart` without subtitle and facts."""

    figure: dict[str, Any]
    narrow: dict[str, Any]
    axis: f.Axis
    summary: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    csv_columns: tuple[str, ...]
    csv_rows: Callable[[], Sequence[CsvRow]]


def draw_lines(
    ask: LinesAsk,
    words: Words,
    *,
    traces: Sequence[dict[str, Any]] = (),
    annotations: Sequence[dict[str, Any]] = (),
    shapes: Sequence[dict[str, Any]] = (),
    margin_labels: Sequence[tuple[float, str, bool]] = (),
) -> LinesDrawn:
    """Build figure, table, file and summary.

    Args:
        traces, annotations, shapes: Put behind the lines, in front of the hatching.
        margin_labels: (value, text, strong) beside the lines' own labels.

    Raises:
        ValueError: A series has more points than a chart may carry.
    """
    for line in ask.lines:
        if len(line.series.values) > MOST_POINTS:
            raise ValueError(f"{line.name} has {len(line.series.values)} points; thin it first")
    values = [v for line in ask.lines for v in line.series.values if v is not None]
    values += list(ask.extra_values)
    if ask.target is not None and values:
        values.append(ask.target[0])
    axis = f.nice_axis(values, most_lines=ask.most_lines)
    has_any = bool(values)
    drawn: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    drawn_gaps, gap_notes = _gaps(ask, axis, words)
    drawn += drawn_gaps
    drawn += list(traces)
    cells = [cells_of(line.series, ask.decimals, words) for line in ask.lines]
    for line, texts in zip(ask.lines, cells, strict=True):
        drawn += _line_traces(line, texts, ask, words)
    lines_shapes = list(shapes)
    labels = [*_end_labels(ask), *margin_labels]
    if ask.target is not None and has_any:
        lines_shapes.append(f.target_line(ask.target[0]))
        labels.append((ask.target[0], ask.target[1], False))
    notes += margin_annotations(labels, axis, ask.height)
    if ask.window.start_ms < ask.now_ms < ask.window.end_ms and not ask.small:
        now = f.local_iso(ask.now_ms, ask.zone)
        clock = formats.format_clock(from_ms(ask.now_ms), ask.zone)
        notes.append(now_label(ask, words("chart.now", time=clock), now))
        lines_shapes.append(f.vertical_line(now))
    notes += list(annotations)
    wide = window_axis(ask.window, ask.zone, words, small=ask.small, narrow=False)
    figure = f.frame(
        drawn,
        time=wide,
        axis=axis,
        tick_texts=f.tick_texts(axis) if has_any else [""] * len(axis.ticks),
        zone=ask.zone,
        height=ask.height,
        annotations=[*gap_notes, *notes],
        shapes=lines_shapes,
        margin=f.with_room(f.SMALL_MARGIN if ask.small else f.MARGIN, [axis]),
    )
    return LinesDrawn(
        figure=figure,
        narrow=_narrow(ask, words, labels, axis, notes),
        axis=axis,
        summary=" ".join(line_sentence(line, ask, words) for line in ask.lines),
        columns=(words("table.time"), *(column_of(line, ask) for line in ask.lines)),
        rows=tuple(build_rows(ask, cells)),
        csv_columns=csv_columns_of(ask),
        csv_rows=partial(build_csv_rows, ask),
    )


def shifted(series: Series, later: Callable[[int], int]) -> Series:
    """The same values at later times: a comparison on the days that it is compared with."""
    return replace(series, start_ms=tuple(later(start) for start in series.start_ms))


def axis_words(axis: f.Axis, unit: str, words: Words) -> str:
    """Where the vertical axis starts, in words; empty at zero."""
    if axis.starts_at_zero:
        return ""
    return words("chart.axis_from", value=f"{f.tick_texts(axis)[0]} {unit}".strip())


def joined(*parts: str) -> str:
    """The parts of a subtitle that there are."""
    return " · ".join(part for part in parts if part)


# ------------------------------------------------------------ pieces


def _line_traces(
    line: Line, texts: Sequence[str], ask: LinesAsk, words: Words
) -> list[dict[str, Any]]:
    series, zone = line.series, ask.zone
    colour, width, dash = _STYLES[line.style]
    x = [f.local_iso(start, zone) for start in series.start_ms]
    y = list(series.values)
    hover = [f"{line.name} {text} {ask.unit}".rstrip() for text in texts]
    made = [
        f.line_trace(
            line.name, x, y, hover, colour=colour, width=width, dash=dash, step_ms=series.step_ms
        )
    ]
    if line.style == "compare":
        return made
    lonely = {place for place in range(len(y)) if _is_lonely(y, place)}
    doubtful = {place for place in range(len(y)) if series.is_doubtful(place)}
    # Where nearly all is doubtful, a line of hollow points would say no more than its tag.
    if len(doubtful) > len(y) // 2:
        doubtful = set()
    for chosen, hollow in ((lonely - doubtful, False), (doubtful, True)):
        places = sorted(chosen)
        heights = [value for place in places if (value := y[place]) is not None]
        if places:
            made.append(
                f.point_trace(
                    line.name,
                    [x[place] for place in places],
                    heights,
                    hollow=hollow,
                    colour=colour,
                    step_ms=series.step_ms,
                )
            )
    return made


def _is_lonely(y: Sequence[float | None], place: int) -> bool:
    return (
        y[place] is not None
        and (place == 0 or y[place - 1] is None)
        and (place == len(y) - 1 or y[place + 1] is None)
    )


def _gaps(
    ask: LinesAsk, axis: f.Axis, words: Words
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    own = [line for line in ask.lines if line.style != "compare"]
    spans = [missing_spans(line.series, ask.settled_ms) for line in own]
    if not any(line.series.known() for line in own):
        whole = [(ask.window.start_ms, ask.window.end_ms, words("chart.no_data"))]
        return _hatched(ask, axis, whole)
    if all(mine == spans[0] for mine in spans):
        return _hatched(ask, axis, [(*span, words("chart.gap")) for span in spans[0]])
    return _hatched(
        ask,
        axis,
        [
            (*span, words("chart.gap_of", name=line.name))
            for line, mine in zip(own, spans, strict=True)
            for span in mine
        ],
    )


def _hatched(
    ask: LinesAsk, axis: f.Axis, spans: Sequence[tuple[int, int, str]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    zone = ask.zone
    traces = [
        f.gap_trace(f.local_iso(start, zone), f.local_iso(end, zone), axis, text)
        for start, end, text in spans
    ]
    length = ask.window.end_ms - ask.window.start_ms
    notes = [
        f.span_label(text, f.local_iso((start + end) // 2, zone))
        for start, end, text in spans
        if end - start >= _LABELLED_SHARE * length and not ask.small
    ]
    return traces, notes


def _end_labels(ask: LinesAsk) -> list[tuple[float, str, bool]]:
    labels = []
    for line in ask.lines:
        value = line.series.last()
        if value is None or not line.label:
            continue
        text = line.label
        if ask.values_at_end:
            text = f"{text} {formats.format_number(value, ask.decimals)}"
        labels.append((value, text, line.style == "measured"))
    return labels


def margin_annotations(
    labels: Sequence[tuple[float, str, bool]],
    axis: f.Axis,
    height: int,
    *,
    gap_px: float = f.LABEL_GAP_PX,
) -> list[dict[str, Any]]:
    """Labels in the right margin at their values, moved apart where they would touch."""
    shifts = f.end_label_shifts(
        [v for v, _, _ in labels], axis, f.plot_height(height), gap_px=gap_px
    )
    return [
        f.end_label(f"<b>{text}</b>" if strong else text, value, shift, strong=strong)
        for (value, text, strong), shift in zip(labels, shifts, strict=True)
    ]


def now_label(ask: LinesAsk, text: str, now_iso: str) -> dict[str, Any]:
    """The word of the present, on the side of its line that has room."""
    share = ask.now_share
    side = "left" if share < 0.12 else "right" if share > 0.9 else "center"
    return {**f.span_label(text, now_iso, strong=True), "xanchor": side}


def window_axis(
    window: Period, zone: ZoneInfo, words: Words, *, small: bool, narrow: bool
) -> f.TimeAxis:
    """Ticks for a window of any length: hours, days in their middle, or dates.

    Few enough that two never touch.
    """

    def day_text(moment: datetime) -> str:
        weekday = words(formats.WEEKDAYS[moment.weekday()])
        return f.local_midnight_text(moment, weekday)

    def short(moment: datetime) -> str:
        return f"{moment:%d} {words(formats.WEEKDAYS[moment.weekday()])}"

    tight = small or narrow
    days = (window.end_ms - window.start_ms) / DAY_MS
    if days <= 3.3:
        step = next(step for most, step in ((1.6, 3), (3.3, 12)) if days <= most)
        return f.time_axis(
            window.start_ms,
            window.end_ms,
            zone,
            step_h=min(step * 2, 24) if tight else step,
            hour_text=words("chart.hour"),
            day_text=day_text if not (tight and days > 1.6) else lambda day: f"{day:%m-%d}",
        )
    days_axis = f.time_axis(
        window.start_ms, window.end_ms, zone, step_h=24, hour_text="", day_text=day_text
    )
    midnights = list(days_axis.days)
    if days <= 10.0:
        middles = [
            (start + 12 * HOUR_MS, from_ms(start).astimezone(zone))
            for start in midnights
            if start + 12 * HOUR_MS < window.end_ms
        ]
        # The month stands where it begins; seven whole dates in half a page would touch.
        ticks = [
            (at, f"{day:%d}" if tight else day_text(day) if not nth or day.day == 1 else short(day))
            for nth, (at, day) in enumerate(middles)
        ]
        return f.TimeAxis(window.start_ms, window.end_ms, tuple(ticks), tuple(midnights))
    every = max(1, -(-len(midnights) // (4 if tight else 8)))
    kept = midnights[::every]
    ticks = [(at, f"{from_ms(at).astimezone(zone):%m-%d}") for at in kept]
    return f.TimeAxis(window.start_ms, window.end_ms, tuple(ticks), tuple(kept))


def _narrow(
    ask: LinesAsk,
    words: Words,
    labels: Sequence[tuple[float, str, bool]],
    axis: f.Axis,
    notes: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    # On a phone: fewer ticks, the labels' values below their names, no words over gaps.
    time = window_axis(ask.window, ask.zone, words, small=ask.small, narrow=True)
    broken = [(value, _broken(text), strong) for value, text, strong in labels]
    lines_high = 2 if any("<br>" in text for _, text, _ in broken) else 1
    kept = [
        {**note, "xshift": 4}
        for note in margin_annotations(broken, axis, ask.height, gap_px=lines_high * f.LABEL_GAP_PX)
    ]
    kept += [note for note in notes if note["xref"] == "x"]
    return {
        "margin": f.with_room(f.SMALL_MARGIN if ask.small else f.NARROW_MARGIN, [axis]),
        "annotations": kept,
        "xaxis": {
            "tickvals": [f.local_iso(moment, ask.zone) for moment, _ in time.ticks],
            "ticktext": [text for _, text in time.ticks],
        },
    }


def _broken(text: str) -> str:
    head, _, tail = text.rpartition(" ")
    return f"{head}<br>{tail}" if head else tail
