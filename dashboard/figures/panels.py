"""Panels over one time axis: lines and stacked bars, each panel with its own honest scale.

Two quantities of different units never share a vertical axis; they stand one above the other over
the same days. Bars start at zero, lines say where they start, gaps are hatched in their panel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.periods import from_ms
from dashboard import formats
from dashboard.figures import frame as f
from dashboard.figures.line_data import Line, LinesAsk, Series, missing_spans
from dashboard.figures.line_tables import cell
from dashboard.figures.lines import window_axis
from dashboard.figures.palette import LIGHT
from dashboard.words import Words

# Shades of parts of a whole, the largest and most useful lightest.
SHADES = {"g1": "data", "g2": "g2", "g3": "g3", "g4": "g4"}
_GAP_PX = 30.0
_LONGEST_MARGIN = 9
_WIDEST_MARGIN = 92
# A chart on a phone of 390 px, within page and card.
_NARROWEST_PX = 326
_STYLES = {
    "measured": ("data", 1.75, "solid"),
    "second": ("g2", 1.2, "solid"),
    "compare": ("g2", 1.2, "5px,3px"),
}


@dataclass(frozen=True, slots=True)
class Bars:
    """One part of stacked bars; below zero it hangs.

    Attributes:
        label: In the margin, where its name is too long for that.
    """

    name: str
    series: Series
    shade: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel.

    Attributes:
        title: Quantity and unit, in its upper left corner.
        share: Of the height, against the other panels'.
        marks: (value, words, whether the axis has to hold it) of dashed lines.
        from_zero: The axis starts at zero or below, whatever the values.
    """

    title: str
    unit: str
    decimals: int
    lines: tuple[Line, ...] = ()
    bars: tuple[Bars, ...] = ()
    share: float = 1.0
    marks: tuple[tuple[float, str], ...] = ()
    from_zero: bool = False
    most_lines: int = 4


@dataclass(frozen=True, slots=True)
class PanelsDrawn:
    """A figure of panels; `axes` are their vertical axes from the top."""

    figure: dict[str, Any]
    narrow: dict[str, Any]
    axes: tuple[f.Axis, ...]


def draw_panels(panels: Sequence[Panel], ask: LinesAsk, words: Words) -> PanelsDrawn:
    """Draw the panels from the top down over the window of the question."""
    zone = ask.zone
    time = window_axis(ask.window, zone, words, small=False, narrow=False)
    axes = tuple(_axis(panel) for panel in panels)
    figure = f.frame(
        [], time=time, axis=axes[0], tick_texts=f.tick_texts(axes[0]), zone=zone, height=ask.height
    )
    layout = figure["layout"]
    layout["margin"] = f.with_room(f.MARGIN, axes)
    layout["barmode"] = "relative"
    layout["bargap"] = 0.25
    base = layout.pop("yaxis")
    notes: list[dict[str, Any]] = []
    seen: dict[tuple[int, ...], list[str]] = {}
    for place, ((low, high), panel, axis) in enumerate(
        zip(_domains(panels, ask.height), panels, axes, strict=True)
    ):
        name = "y" if place == 0 else f"y{place + 1}"
        has_any = any(_values(panel))
        layout["yaxis" if place == 0 else f"yaxis{place + 1}"] = {
            **base,
            "range": [axis.low, axis.high],
            "domain": [low, high],
            "anchor": "x",
            "tickvals": list(axis.ticks),
            "ticktext": f.tick_texts(axis) if has_any else [""] * len(axis.ticks),
        }
        drawn = [
            *_gaps(panel, axis, ask, words),
            *(_bar_trace(bars, panel, ask, words, seen) for bars in panel.bars),
            *(_line_trace(line, panel, ask, words, seen) for line in panel.lines),
        ]
        figure["data"] += [{**trace, "xaxis": "x", "yaxis": name} for trace in drawn]
        height = (high - low) * f.plot_height(ask.height)
        notes += _labels(panel, axis, height, name)
        notes.append(_title(panel.title, high))
        layout["shapes"] += [{**f.target_line(value), "yref": name} for value, _ in panel.marks]
    layout["xaxis"]["anchor"] = "y" if len(panels) == 1 else f"y{len(panels)}"
    if ask.window.start_ms < ask.now_ms < ask.window.end_ms:
        layout["shapes"].append(f.vertical_line(f.local_iso(ask.now_ms, zone)))
        notes.append(_now(ask, words))
    layout["annotations"] = notes
    return PanelsDrawn(figure, _narrow(panels, axes, ask, notes, words), axes)


def _domains(panels: Sequence[Panel], height: int) -> list[tuple[float, float]]:
    """(low, high) of each panel in shares of the plot, the first one on top."""
    gap = _GAP_PX / f.plot_height(height)
    room = 1.0 - gap * (len(panels) - 1)
    whole = sum(panel.share for panel in panels)
    domains, high = [], 1.0
    for panel in panels:
        low = high - room * panel.share / whole
        domains.append((max(0.0, round(low, 6)), round(high, 6)))
        high = low - gap
    return domains


def _values(panel: Panel) -> list[float]:
    values = [v for line in panel.lines for v in line.series.values if v is not None]
    if panel.bars:
        up, down = _stacked(panel.bars)
        values += [*up, *down]
    return values


def _stacked(bars: Sequence[Bars]) -> tuple[list[float], list[float]]:
    """Heights of the stacks above and below zero."""
    up: dict[int, float] = {}
    down: dict[int, float] = {}
    for one in bars:
        for start, value in zip(one.series.start_ms, one.series.values, strict=True):
            if value is not None:
                side = up if value >= 0.0 else down
                side[start] = side.get(start, 0.0) + value
    return list(up.values()), list(down.values())


def _axis(panel: Panel) -> f.Axis:
    values = _values(panel)
    if values:
        values += [value for value, _ in panel.marks]
    if panel.bars or panel.from_zero:
        values.append(0.0)
    return f.nice_axis(values, most_lines=panel.most_lines)


def _gaps(panel: Panel, axis: f.Axis, ask: LinesAsk, words: Words) -> list[dict[str, Any]]:
    series = [line.series for line in panel.lines if line.style == "measured"]
    series += [one.series for one in panel.bars[:1]]
    spans = sorted({span for one in series for span in missing_spans(one, ask.settled_ms)})
    return [
        f.gap_trace(
            f.local_iso(start, ask.zone), f.local_iso(end, ask.zone), axis, words("chart.gap")
        )
        for start, end in spans
    ]


def _hover(name: str, series: Series, panel: Panel, words: Words) -> list[str]:
    return [
        f"{name} {cell(series, place, panel.decimals, words)} {panel.unit}".rstrip()
        for place in range(len(series.values))
    ]


def _x(series: Series, ask: LinesAsk, seen: dict[tuple[int, ...], list[str]]) -> list[str]:
    """The starts as plotly takes them; series on one grid share them."""
    if series.start_ms not in seen:
        seen[series.start_ms] = [f.local_iso(start, ask.zone) for start in series.start_ms]
    return seen[series.start_ms]


def _line_trace(
    line: Line, panel: Panel, ask: LinesAsk, words: Words, seen: dict[tuple[int, ...], list[str]]
) -> dict[str, Any]:
    colour, width, dash = _STYLES[line.style]
    return f.line_trace(
        line.name,
        _x(line.series, ask, seen),
        list(line.series.values),
        _hover(line.name, line.series, panel, words),
        colour=colour,
        width=width,
        dash=dash,
        step_ms=line.series.step_ms,
    )


def _bar_trace(
    bars: Bars, panel: Panel, ask: LinesAsk, words: Words, seen: dict[tuple[int, ...], list[str]]
) -> dict[str, Any]:
    series = bars.series
    doubtful = [series.is_doubtful(place) for place in range(len(series.values))]
    return {
        "type": "bar",
        "name": bars.name,
        "x": list(_x(series, ask, seen)),
        "y": list(series.values),
        "xperiod": series.step_ms,
        "xperiodalignment": "middle",
        "marker": {
            "color": LIGHT[SHADES[bars.shade]],
            # A doubtful figure is lighter; its words stand in the table.
            "opacity": [0.55 if one else 1.0 for one in doubtful],
            "line": {"width": 0.5, "color": LIGHT["surface"]},
        },
        "customdata": _hover(bars.name, series, panel, words),
        "hovertemplate": "%{customdata}<extra></extra>",
        "showlegend": False,
    }


def _labels(panel: Panel, axis: f.Axis, height: float, yref: str) -> list[dict[str, Any]]:
    labels = [
        (value, line.label, line.style == "measured")
        for line in panel.lines
        if line.label and (value := line.series.last()) is not None
    ]
    labels += [(value, text, False) for value, text in panel.marks if text]
    labels += _bar_labels(panel.bars)
    shifts = f.end_label_shifts([value for value, _, _ in labels], axis, height)
    return [
        {
            **f.end_label(f"<b>{text}</b>" if strong else text, value, shift, strong=strong),
            "yref": yref,
        }
        for (value, text, strong), shift in zip(labels, shifts, strict=True)
    ]


def _bar_labels(bars: Sequence[Bars]) -> list[tuple[float, str, bool]]:
    """Names of the parts beside the last whole stack, each at the height of its part."""
    starts = [
        start
        for place, start in enumerate(bars[0].series.start_ms if bars else ())
        if bars[0].series.values[place] is not None
    ]
    # A single part is named by its panel's title.
    if not starts or len(bars) < 2:
        return []
    foot, labels = 0.0, []
    for one in bars:
        value = dict(zip(one.series.start_ms, one.series.values, strict=True)).get(starts[-1])
        height = max(0.0, value or 0.0)
        labels.append((foot + height / 2.0, one.label or one.name, False))
        foot += height
    return labels


def _title(text: str, top: float) -> dict[str, Any]:
    return {
        "xref": "paper",
        "yref": "paper",
        "x": 0.0,
        "y": top,
        "xanchor": "left",
        "yanchor": "bottom",
        "xshift": 2,
        "yshift": 2,
        "text": text,
        "showarrow": False,
        "font": {"size": f.TEXT_PX, "color": LIGHT["ink-2"]},
        "bgcolor": LIGHT["surface"],
        "borderpad": 1,
    }


def _now(ask: LinesAsk, words: Words) -> dict[str, Any]:
    clock = formats.format_clock(from_ms(ask.now_ms), ask.zone)
    label = f.span_label(
        words("chart.now", time=clock), f.local_iso(ask.now_ms, ask.zone), strong=True
    )
    # Its own title stands in the upper left corner.
    return {**label, "xanchor": "left" if ask.now_share < 0.3 else "right", "xshift": 2}


def _narrow(
    panels: Sequence[Panel],
    axes: Sequence[f.Axis],
    ask: LinesAsk,
    notes: Sequence[dict[str, Any]],
    words: Words,
) -> dict[str, Any]:
    time = window_axis(ask.window, ask.zone, words, small=False, narrow=True)
    margin = f.with_room(f.NARROW_MARGIN, axes)
    words_beside = [
        word
        for note in notes
        if note["xref"] == "paper" and note["x"] == 1.0
        for word in note["text"].removeprefix("<b>").removesuffix("</b>").split()
    ]
    widest = max(map(f.text_px, words_beside), default=0.0)
    margin["r"] = max(margin["r"], min(_WIDEST_MARGIN, round(widest) + 8))
    width = _NARROWEST_PX - margin["l"] - margin["r"]
    titled = f.text_px(panels[0].title) + 10
    kept = []
    for note in notes:
        text = note["text"]
        if note["xref"] == "x":
            # On the side of the line where it does not touch the first panel's title; the clock
            # stands in the hover, too, so it may also be left out.
            at, needed = ask.now_share * width, f.text_px(text) + 6
            if at - needed >= titled:
                kept.append({**note, "xanchor": "right"})
            elif at >= titled and at + needed <= width + margin["r"]:
                kept.append({**note, "xanchor": "left"})
            continue
        is_margin = note["xref"] == "paper" and note["x"] == 1.0
        # The margin of a phone holds two short words, not a sentence.
        if is_margin and len(text.removeprefix("<b>").removesuffix("</b>")) > _LONGEST_MARGIN:
            text = text.replace(" ", "<br>")
        kept.append({**note, "text": text, "xshift": 4} if is_margin else note)
    return {
        "margin": margin,
        "annotations": kept,
        "xaxis": {
            "tickvals": [f.local_iso(moment, ask.zone) for moment, _ in time.ticks],
            "ticktext": [text for _, text in time.ticks],
        },
    }
