"""The chart of facility and IT power: figure, summary sentence and table out of one `PowerDay`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from core.periods import INTERVAL_MS, from_ms
from dashboard import formats
from dashboard.figures import frame as f
from dashboard.power_day import PowerDay, PowerPoint, missing_spans
from dashboard.words import Words

HEIGHT = 280
_STEP_H = 3
_NARROW_STEP_H = 6
# A hatched span narrower than this many minutes carries no words.
_LABELLED_GAP_MIN = 60
# The plot runs a little past the present, so that its line and the last point stand free.
_BEYOND_MS = 12 * 60_000


@dataclass(frozen=True, slots=True)
class PowerChart:
    """Everything that the page shows of one `PowerDay`.

    Attributes:
        figure: Plotly document for wide screens, in light colours.
        narrow: Layout members to put in place of the figure's on a narrow screen.
        subtitle: Window, resolution and where the axis starts.
        summary: One sentence that says what the picture shows.
        columns: Table head.
        rows: Table rows as people read them.
    """

    figure: dict[str, Any]
    narrow: dict[str, Any]
    subtitle: str
    summary: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def power_chart(day: PowerDay, zone: ZoneInfo, words: Words) -> PowerChart:
    """Build figure, summary and table in the words of one language."""
    names = (words("power.facility"), words("power.it"))
    series = (day.facility, day.it)
    axis = f.nice_axis([p.kw for points in series for p in points if p.kw is not None])
    gaps = _gaps(day, names, words)
    traces = [
        f.gap_trace(f.local_iso(start, zone), f.local_iso(end, zone), axis, text)
        for start, end, text in gaps
    ]
    for name, points, colour in zip(names, series, ("data", "g2"), strict=True):
        traces += _side_traces(name, day.start_ms, points, colour, zone, words)
    ends = [point for points in series for point in [_last(points)] if point is not None]
    shifts = f.end_label_shifts(ends, axis, f.plot_height(HEIGHT))
    labels = iter(zip(ends, shifts, strict=True))
    annotations = []
    for name, points, strong in zip(names, series, (True, False), strict=True):
        if _last(points) is not None:
            value, shift = next(labels)
            text = f"{name} {formats.format_number(value, 0)}"
            marked = f"<b>{text}</b>" if strong else text
            annotations.append(f.end_label(marked, value, shift, strong=strong))
    now = f.local_iso(day.now_ms, zone)
    now_words = words("chart.now", time=formats.format_clock(from_ms(day.now_ms), zone))
    annotations += [{**f.span_label(now_words, now, strong=True), "xanchor": "right", "xshift": 18}]
    annotations += [
        f.span_label(text, f.local_iso((start + end) // 2, zone))
        for start, end, text in gaps
        if end - start >= _LABELLED_GAP_MIN * 60_000
    ]
    time = _time(day, zone, words, _STEP_H)
    figure = f.frame(
        traces,
        time=time,
        axis=axis,
        tick_texts=[formats.format_number(tick, 0) if ends else "" for tick in axis.ticks],
        zone=zone,
        height=HEIGHT,
        annotations=annotations,
        shapes=[f.vertical_line(now)],
    )
    return PowerChart(
        figure=figure,
        narrow=_narrow(day, zone, words, annotations, series),
        subtitle=_subtitle(axis, words),
        summary=_summary(day, names, series, zone, words),
        columns=(words("table.time"), f"{names[0]} (kW)", f"{names[1]} (kW)"),
        rows=tuple(_rows(day, zone, words)),
    )


def _side_traces(
    name: str,
    starts: Sequence[int],
    points: Sequence[PowerPoint],
    colour: str,
    zone: ZoneInfo,
    words: Words,
) -> list[dict[str, Any]]:
    x = [f.local_iso(start, zone) for start in starts]
    y = [point.kw for point in points]
    hover = [
        f"{name} {_value(point, words)} kW" for start, point in zip(starts, points, strict=True)
    ]
    traces = [f.line_trace(name, x, y, hover, colour=colour)]
    solitary = [
        index
        for index, value in enumerate(y)
        if value is not None
        and (index == 0 or y[index - 1] is None)
        and (index == len(y) - 1 or y[index + 1] is None)
    ]
    doubtful = [index for index, point in enumerate(points) if point.is_doubtful]
    for chosen, hollow in ((sorted(set(solitary) - set(doubtful)), False), (doubtful, True)):
        values = [(x[index], y[index]) for index in chosen]
        known = [(moment, value) for moment, value in values if value is not None]
        if known:
            moments, heights = zip(*known, strict=True)
            traces.append(f.point_trace(name, moments, heights, hollow=hollow, colour=colour))
    return traces


def _gaps(day: PowerDay, names: tuple[str, str], words: Words) -> list[tuple[int, int, str]]:
    facility = missing_spans(day.start_ms, day.facility)
    it = missing_spans(day.start_ms, day.it)
    if facility == it:
        if len(facility) == 1 and facility[0] == (day.start_ms[0], day.end_ms):
            return [(*facility[0], words("chart.no_data"))]
        return [(*span, words("chart.gap")) for span in facility]
    return [
        (*span, words("chart.gap_of", name=name))
        for name, spans in zip(names, (facility, it), strict=True)
        for span in spans
    ]


def _last(points: Sequence[PowerPoint]) -> float | None:
    return next((point.kw for point in reversed(points) if point.kw is not None), None)


def _time(day: PowerDay, zone: ZoneInfo, words: Words, step_h: int) -> f.TimeAxis:
    def day_text(moment: datetime) -> str:
        weekday = words(formats.WEEKDAYS[moment.weekday()])
        return f.local_midnight_text(moment, weekday)

    return f.time_axis(
        day.start_ms[0],
        day.now_ms + _BEYOND_MS,
        zone,
        step_h=step_h,
        hour_text=words("chart.hour"),
        day_text=day_text,
    )


def _narrow(
    day: PowerDay,
    zone: ZoneInfo,
    words: Words,
    annotations: Sequence[dict[str, Any]],
    series: Sequence[Sequence[PowerPoint]],
) -> dict[str, Any]:
    # On a phone: fewer ticks, labels of two lines at the end, no words over gaps.
    time = _time(day, zone, words, _NARROW_STEP_H)
    kept = []
    for annotation in annotations:
        if annotation["xref"] == "paper":
            head, _, tail = annotation["text"].removesuffix("</b>").rpartition(" ")
            mark = "</b>" if annotation["text"].endswith("</b>") else ""
            kept.append({**annotation, "text": f"{head}<br>{tail}{mark}", "xshift": 4})
    ends = [value for points in series if (value := _last(points)) is not None]
    if len(ends) == 2 and len(kept) == 2:
        axis = f.nice_axis([p.kw for points in series for p in points if p.kw is not None])
        shifts = f.end_label_shifts(ends, axis, f.plot_height(HEIGHT), gap_px=2 * f.LABEL_GAP_PX)
        for annotation, shift in zip(kept, shifts, strict=True):
            annotation["yshift"] = shift
    present = [a for a in annotations if a["xref"] == "x" and a.get("xanchor") == "right"]
    # Ends at its line: to the right of it stand the labels.
    kept += [{**annotation, "xshift": 2} for annotation in present]
    return {
        "margin": dict(f.NARROW_MARGIN),
        "annotations": kept,
        "xaxis": {
            "tickvals": [f.local_iso(moment, zone) for moment, _ in time.ticks],
            "ticktext": [text for _, text in time.ticks],
        },
    }


def _subtitle(axis: f.Axis, words: Words) -> str:
    base = words("power.subtitle")
    if axis.starts_at_zero:
        return base
    foot = words("chart.axis_from", value=formats.format_number(axis.low, 0), unit="kW")
    return f"{base} · {foot}"


def _summary(
    day: PowerDay,
    names: Sequence[str],
    series: Sequence[Sequence[PowerPoint]],
    zone: ZoneInfo,
    words: Words,
) -> str:
    sentences = []
    for name, points in zip(names, series, strict=True):
        known = [
            (point.kw, start)
            for start, point in zip(day.start_ms, points, strict=True)
            if point.kw is not None
        ]
        if not known:
            sentences.append(words("power.summary_none", name=name))
            continue
        (low, low_at), (high, high_at) = min(known), max(known)
        sentences.append(
            words(
                "power.summary",
                name=name,
                mean=formats.format_number(sum(kw for kw, _ in known) / len(known), 0),
                low=formats.format_number(low, 0),
                low_time=formats.format_clock(from_ms(low_at), zone),
                high=formats.format_number(high, 0),
                high_time=formats.format_clock(from_ms(high_at), zone),
            )
        )
        spans = missing_spans(day.start_ms, points)
        if spans:
            minutes = sum(end - start for start, end in spans) // 60_000
            sentences.append(
                words(
                    "power.summary_gaps",
                    n=len(spans),
                    duration=formats.format_duration(minutes * 60, words),
                )
            )
    return " ".join(sentences)


def _rows(day: PowerDay, zone: ZoneInfo, words: Words) -> list[tuple[str, ...]]:
    return [
        (
            f"{from_ms(start).astimezone(zone):%m-%d} {_span(start, zone)}",
            _value(facility, words),
            _value(it, words),
        )
        for start, facility, it in zip(day.start_ms, day.facility, day.it, strict=True)
    ]


def _span(start_ms: int, zone: ZoneInfo) -> str:
    return formats.format_span(from_ms(start_ms), from_ms(start_ms + INTERVAL_MS), zone)


def _value(point: PowerPoint, words: Words) -> str:
    text = formats.format_number(point.kw, 0)
    if point.is_estimated:
        return f"{text} ({words('source.estimated')})"
    if point.is_doubtful:
        return f"{text} ({words('verdict.provisional')})"
    return text
