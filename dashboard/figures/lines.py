"""Lines over time: the one builder of every chart of a quantity against the clock.

From series to figure, narrow variant, table and CSV, so that picture, table and file hold the same
numbers. Gaps break a line and are hatched; doubtful points are hollow; labels stand at the lines'
ends; the comparison is dashed and lies on the same weekdays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal
from zoneinfo import ZoneInfo

from core.periods import INTERVAL_MS, Period, from_ms
from core.quality import Verdict
from dashboard import formats
from dashboard.figures import frame as f
from dashboard.words import Words

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
MOST_POINTS = 2_000
Style = Literal["measured", "second", "compare"]
_STYLES: dict[Style, tuple[str, float, str]] = {
    "measured": ("data", 1.75, "solid"),
    "second": ("g2", 1.75, "solid"),
    "compare": ("g2", 1.2, "5px,3px"),
}
# A hatched span narrower than this share of the window carries no words.
_LABELLED_SHARE = 0.035
_NARROW_PLOT_PX = 230


@dataclass(frozen=True, slots=True)
class Series:
    """Values on an unbroken grid.

    Attributes:
        start_ms: (n,) starts, UTC epoch milliseconds, ascending.
        values: (n,) None where there is none.
        step_ms: Length of one step (a local day may differ by an hour).
        verdicts, estimated: (n,) or empty where every value is final.
    """

    start_ms: tuple[int, ...]
    values: tuple[float | None, ...]
    step_ms: int = INTERVAL_MS
    verdicts: tuple[Verdict, ...] = ()
    estimated: tuple[bool, ...] = ()

    def mapped(self, change: Callable[[float], float]) -> Series:
        """The same with each value changed: another unit."""
        return replace(
            self, values=tuple(None if value is None else change(value) for value in self.values)
        )

    def is_doubtful(self, place: int) -> bool:
        """Whether a value is provisional or partly an estimate."""
        if self.values[place] is None:
            return False
        estimated = bool(self.estimated) and self.estimated[place]
        return estimated or self.verdict(place) is not Verdict.FINAL

    def verdict(self, place: int) -> Verdict:
        """The verdict of one value."""
        if self.verdicts:
            return self.verdicts[place]
        return Verdict.FINAL if self.values[place] is not None else Verdict.REFUSED

    def known(self) -> list[tuple[float, int]]:
        """(value, start) of every value that there is."""
        return [(v, s) for v, s in zip(self.values, self.start_ms, strict=True) if v is not None]

    def last(self) -> float | None:
        """The last value that there is."""
        return next((value for value in reversed(self.values) if value is not None), None)

    def mean(self) -> float | None:
        """Mean of the values; for powers on an even grid, the mean power."""
        known = self.known()
        return sum(value for value, _ in known) / len(known) if known else None


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart.

    Attributes:
        name: In the table, the hover and the summary.
        series: Where it is drawn; for a comparison, already on the later days.
        csv_name: Column of the file, with its unit: `facility_power_kw`.
        label: At its end; empty for none.
        mean: Of the window, where it is not the mean of the values: a ratio's comes from its sums.
        averages: Whether a mean is said at all.
    """

    name: str
    series: Series
    csv_name: str
    style: Style = "measured"
    label: str = ""
    mean: float | None = None
    averages: bool = True


@dataclass(frozen=True, slots=True)
class LinesAsk:
    """What a chart of lines is made of.

    Attributes:
        window: The x axis.
        settled_ms: Nothing is missing after this.
        decimals: Of values in tables and hovers.
        unit: As people write it; empty for a ratio.
        target: (value, its words) of a dashed line.
        values_at_end: Whether labels carry the last value.
        most_lines: Of the grid.
        small: A small multiple: no labels in the margin, no words in the plot.
        extra_values: Others that the axis has to hold.
    """

    lines: tuple[Line, ...]
    window: Period
    settled_ms: int
    now_ms: int
    zone: ZoneInfo
    height: int
    unit: str
    decimals: int
    data: str
    target: tuple[float, str] | None = None
    values_at_end: bool = True
    most_lines: int = 5
    small: bool = False
    extra_values: tuple[float, ...] = ()


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
    csv_rows: tuple[tuple[str | float | None, ...], ...]


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
    for line in ask.lines:
        drawn += _line_traces(line, ask, words)
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
        margin=f.SMALL_MARGIN if ask.small else f.MARGIN,
    )
    return LinesDrawn(
        figure=figure,
        narrow=_narrow(ask, words, labels, axis, notes),
        axis=axis,
        summary=" ".join(line_sentence(line, ask, words) for line in ask.lines),
        columns=(words("table.time"), *(_column(line, ask) for line in ask.lines)),
        rows=tuple(_rows(ask, words)),
        csv_columns=_csv_columns(ask),
        csv_rows=tuple(_csv_rows(ask)),
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


def _line_traces(line: Line, ask: LinesAsk, words: Words) -> list[dict[str, Any]]:
    series, zone = line.series, ask.zone
    colour, width, dash = _STYLES[line.style]
    x = [f.local_iso(start, zone) for start in series.start_ms]
    y = list(series.values)
    hover = [
        f"{line.name} {cell(series, place, ask.decimals, words)} {ask.unit}".rstrip()
        for place in range(len(y))
    ]
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


def missing_spans(series: Series, settled_ms: int) -> list[tuple[int, int]]:
    """Spans [from, to) without a value, up to what has settled."""
    spans: list[tuple[int, int]] = []
    for place, (start, value) in enumerate(zip(series.start_ms, series.values, strict=True)):
        after = series.start_ms[place + 1 : place + 2]
        end = after[0] if after else start + series.step_ms
        if value is not None or end > settled_ms:
            continue
        if spans and spans[-1][1] == start:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return spans


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
    length = ask.window.end_ms - ask.window.start_ms
    share = (ask.now_ms - ask.window.start_ms) / length
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
        "margin": dict(f.SMALL_MARGIN if ask.small else f.NARROW_MARGIN),
        "annotations": kept,
        "xaxis": {
            "tickvals": [f.local_iso(moment, ask.zone) for moment, _ in time.ticks],
            "ticktext": [text for _, text in time.ticks],
        },
    }


def _broken(text: str) -> str:
    head, _, tail = text.rpartition(" ")
    return f"{head}<br>{tail}" if head else tail


# ------------------------------------------------------------ words and tables


def cell(series: Series, place: int, decimals: int, words: Words) -> str:
    """A value as a table shows it, with what is doubtful about it."""
    text = formats.format_number(series.values[place], decimals)
    if series.values[place] is None:
        return text
    if series.estimated and series.estimated[place]:
        return f"{text} ({words('source.estimated')})"
    if series.verdict(place) is Verdict.PROVISIONAL:
        return f"{text} ({words('verdict.provisional')})"
    return text


@lru_cache(maxsize=65_536)
def moment_text(time_ms: int, step_ms: int, zone: ZoneInfo) -> str:
    """The start of a step for people: a day, or a day with its hour."""
    local = from_ms(time_ms).astimezone(zone)
    return f"{local:%m-%d}" if step_ms >= DAY_MS else f"{local:%m-%d %H:%M}"


def line_sentence(line: Line, ask: LinesAsk, words: Words) -> str:
    """Mean, lowest and highest of a line, and what is missing in it."""
    known = line.series.known()
    if not known:
        return words("chart.summary_none", name=line.name)
    (low, low_at), (high, high_at) = min(known), max(known)
    unit = f" {ask.unit}" if ask.unit else ""

    def number(value: float) -> str:
        return formats.format_number(value, ask.decimals) + unit

    mean = line.mean if line.mean is not None else sum(value for value, _ in known) / len(known)
    said = words(
        "chart.summary" if line.averages or line.mean is not None else "chart.summary_range",
        name=line.name,
        mean=number(mean),
        low=number(low),
        low_time=moment_text(low_at, line.series.step_ms, ask.zone),
        high=number(high),
        high_time=moment_text(high_at, line.series.step_ms, ask.zone),
    )
    spans = missing_spans(line.series, ask.settled_ms)
    if spans and line.style != "compare":
        seconds = sum(end - start for start, end in spans) / 1000.0
        duration = formats.format_duration(seconds, words)
        said = f"{said} {words('chart.summary_gaps', n=len(spans), duration=duration)}"
    return said


def _column(line: Line, ask: LinesAsk) -> str:
    return f"{line.name} ({ask.unit})" if ask.unit else line.name


def _by_start(ask: LinesAsk) -> tuple[list[int], list[dict[int, int]]]:
    places = [
        {start: place for place, start in enumerate(line.series.start_ms)} for line in ask.lines
    ]
    return sorted(set().union(*places)) if places else [], places


def _rows(ask: LinesAsk, words: Words) -> list[tuple[str, ...]]:
    starts, places = _by_start(ask)
    step = ask.lines[0].series.step_ms if ask.lines else INTERVAL_MS
    return [
        (
            moment_text(start, step, ask.zone),
            *(
                cell(line.series, mine[start], ask.decimals, words)
                if start in mine
                else formats.NO_VALUE
                for line, mine in zip(ask.lines, places, strict=True)
            ),
        )
        for start in starts
        if start < ask.settled_ms
        or any(_has(line, mine, start) for line, mine in zip(ask.lines, places, strict=True))
    ]


def _has(line: Line, places: dict[int, int], start: int) -> bool:
    return start in places and line.series.values[places[start]] is not None


@lru_cache(maxsize=65_536)
def local_time(time_ms: int, zone: ZoneInfo) -> str:
    """RFC 3339 in the site's zone, for files."""
    return from_ms(time_ms).astimezone(zone).isoformat(timespec="seconds")


def _csv_columns(ask: LinesAsk) -> tuple[str, ...]:
    columns = ["start", "end"]
    for line in ask.lines:
        columns += [line.csv_name, f"{line.csv_name}_verdict"]
    return (*columns, "data")


def _csv_rows(ask: LinesAsk) -> list[tuple[str | float | None, ...]]:
    starts, places = _by_start(ask)
    step = ask.lines[0].series.step_ms if ask.lines else INTERVAL_MS
    rows = []
    for start in starts:
        if start >= ask.settled_ms and not any(
            _has(line, mine, start) for line, mine in zip(ask.lines, places, strict=True)
        ):
            continue
        cells: list[str | float | None] = [
            local_time(start, ask.zone),
            local_time(start + step, ask.zone),
        ]
        for line, mine in zip(ask.lines, places, strict=True):
            if start in mine:
                place = mine[start]
                cells += [line.series.values[place], line.series.verdict(place).value]
            else:
                cells += [None, ""]
        rows.append((*cells, ask.data))
    return rows
