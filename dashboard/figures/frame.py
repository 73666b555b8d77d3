"""The one frame of every chart: type, margins, axes, gaps, the present, labels at the line's end.

Rules that stand here and nowhere else: x is a naive ISO string in the site's zone, because plotly
knows no zones; series are lists, because binary arrays cannot be appended to; height is set in the
layout and in the style; tick texts are ours, so that no language of the library shows; bars and
areas start at zero, lines say where they start.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from core.periods import INTERVAL_MS, from_ms
from dashboard.figures.palette import LIGHT
from dashboard.formats import format_number

FONT = (
    '"Pretendard Variable", Pretendard, "Noto Sans KR", "Noto Sans CJK KR", '
    '"Apple SD Gothic Neo", "Malgun Gothic", sans-serif'
)
TEXT_PX = 12
MARGIN = {"l": 52, "r": 104, "t": 22, "b": 28}
NARROW_MARGIN = {"l": 48, "r": 62, "t": 22, "b": 28}
# A small multiple: no labels at its lines' ends.
SMALL_MARGIN = {"l": 44, "r": 10, "t": 8, "b": 24}
LABEL_GAP_PX = 15
# Below this share of the values themselves a difference is the arithmetic's, not the plant's.
_LEAST_SPAN = 1e-6
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@lru_cache(maxsize=65_536)
def local_iso(time_ms: int, zone: ZoneInfo) -> str:
    """A time for plotly: naive ISO in the zone, to the second."""
    return from_ms(time_ms).astimezone(zone).replace(tzinfo=None).isoformat(timespec="seconds")


@dataclass(frozen=True, slots=True)
class Axis:
    """A vertical axis: its ends and the values of its lines."""

    low: float
    high: float
    ticks: tuple[float, ...]

    @property
    def starts_at_zero(self) -> bool:
        """Whether its foot is zero."""
        return self.low == 0.0


def nice_axis(values: Sequence[float], *, most_lines: int = 5) -> Axis:
    """An axis with three to five round lines around the values.

    It starts at zero where the values reach below half of their largest; else at a round number
    below them. Without a value it runs from 0 to 1.
    """
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return Axis(0.0, 1.0, (0.0, 0.5, 1.0))
    low, high = min(finite), max(finite)
    if 0.0 <= low < high / 2.0 or low == high == 0.0:
        low = 0.0
    if high - low < _LEAST_SPAN * max(1.0, abs(low)):
        high = low + max(1.0, abs(low) * 0.1)
    raw = (high - low) / (most_lines - 1)
    power = 10.0 ** math.floor(math.log10(raw))
    for step in (factor * power for factor in _STEPS):
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if last - first <= most_lines - 1:
            break
    ticks = tuple(round(step * number, 10) for number in range(first, last + 1))
    return Axis(ticks[0], ticks[-1], ticks)


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """A horizontal axis over [start_ms, end_ms) with ticks at local hours.

    Attributes:
        ticks: (time, text) of the labels.
        days: Local midnights inside, for the hairlines.
    """

    start_ms: int
    end_ms: int
    ticks: tuple[tuple[int, str], ...]
    days: tuple[int, ...]


def time_axis(
    start_ms: int, end_ms: int, zone: ZoneInfo, *, step_h: int, hour_text: str, day_text: Any
) -> TimeAxis:
    """Ticks at every `step_h` local hours; midnights carry the date.

    Args:
        hour_text: Pattern with `{h}`.
        day_text: From an aware local midnight to the words of its day.
    """
    ticks: list[tuple[int, str]] = []
    days: list[int] = []
    local = from_ms(start_ms).astimezone(zone).replace(minute=0, second=0, microsecond=0)
    moment = local.replace(tzinfo=None)
    while True:
        if moment.hour % step_h == 0:
            aware = moment.replace(tzinfo=zone)
            time_ms = round(aware.timestamp() * 1000)
            if time_ms >= end_ms:
                break
            if time_ms >= start_ms:
                if moment.hour == 0:
                    days.append(time_ms)
                    ticks.append((time_ms, day_text(aware)))
                else:
                    ticks.append((time_ms, hour_text.format(h=moment.hour)))
        moment += timedelta(hours=1)
    return TimeAxis(start_ms, end_ms, tuple(ticks), tuple(days))


def line_trace(
    name: str,
    x: Sequence[str],
    y: Sequence[float | None],
    hover: Sequence[str],
    *,
    colour: str = "data",
    width: float = 1.75,
    dash: str = "solid",
    step_ms: int = INTERVAL_MS,
) -> dict[str, Any]:
    """A measured line; None breaks it. A value stands in the middle of its step."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": list(x),
        "y": list(y),
        "xperiod": step_ms,
        "xperiodalignment": "middle",
        "connectgaps": False,
        "line": {"color": LIGHT[colour], "width": width, "dash": dash},
        "customdata": list(hover),
        "hovertemplate": "%{customdata}<extra></extra>",
        "showlegend": False,
    }


def point_trace(
    name: str,
    x: Sequence[str],
    y: Sequence[float],
    *,
    hollow: bool,
    colour: str = "data",
    step_ms: int = INTERVAL_MS,
) -> dict[str, Any]:
    """Points that a line alone would not show: solitary ones, and hollow the doubtful ones."""
    fill = LIGHT["surface"] if hollow else LIGHT[colour]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": list(x),
        "y": list(y),
        "xperiod": step_ms,
        "xperiodalignment": "middle",
        "marker": {"size": 5, "color": fill, "line": {"width": 1.2, "color": LIGHT[colour]}},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def gap_trace(start: str, end: str, axis: Axis, words: str) -> dict[str, Any]:
    """Hatching over a span without data."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": words,
        "x": [start, start, end, end, start],
        "y": [axis.low, axis.high, axis.high, axis.low, axis.low],
        "fill": "toself",
        "fillcolor": "rgba(0,0,0,0)",
        "fillpattern": {
            "shape": "/",
            "fgcolor": LIGHT["line-2"],
            "bgcolor": "rgba(0,0,0,0)",
            "size": 6,
            "solidity": 0.16,
        },
        "line": {"width": 0},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def end_label_shifts(
    values: Sequence[float], axis: Axis, plot_px: float, *, gap_px: float = LABEL_GAP_PX
) -> list[float]:
    """Upward shifts in pixels that keep labels at the right margin from touching.

    Labels are moved apart evenly, the higher value's label staying above.
    """
    px = [(value - axis.low) / (axis.high - axis.low) * plot_px for value in values]
    order = sorted(range(len(px)), key=lambda index: px[index])
    placed = list(px)
    # Pushing one pair apart may push it into the next: as often as there are labels.
    for _ in order:
        for below, above in itertools.pairwise(order):
            lack = gap_px - (placed[above] - placed[below])
            if lack > 0:
                placed[below] -= lack / 2.0
                placed[above] += lack / 2.0
    return [after - before for after, before in zip(placed, px, strict=True)]


def end_label(text: str, y: float, shift_px: float, *, strong: bool) -> dict[str, Any]:
    """A label in the right margin at a line's last value."""
    return {
        "xref": "paper",
        "yref": "y",
        "x": 1.0,
        "y": y,
        "xanchor": "left",
        "xshift": 7,
        "yshift": shift_px,
        "text": text,
        "showarrow": False,
        "align": "left",
        "font": {"size": TEXT_PX, "color": LIGHT["ink" if strong else "ink-2"]},
    }


def span_label(text: str, x: str, *, strong: bool = False) -> dict[str, Any]:
    """Words above the plot at a time, with a halo in the card's colour."""
    return {
        "xref": "x",
        "yref": "paper",
        "x": x,
        "y": 1.0,
        "yanchor": "bottom",
        "text": text,
        "showarrow": False,
        "font": {"size": TEXT_PX, "color": LIGHT["ink" if strong else "ink-3"]},
        "bgcolor": LIGHT["surface"],
        "borderpad": 1,
    }


def vertical_line(x: str, *, colour: str = "ink-2", width: float = 1.0) -> dict[str, Any]:
    """A vertical line over the plot."""
    return {
        "type": "line",
        "xref": "x",
        "yref": "paper",
        "x0": x,
        "x1": x,
        "y0": 0.0,
        "y1": 1.0,
        "line": {"color": LIGHT[colour], "width": width},
        "layer": "below",
    }


def target_line(value: float) -> dict[str, Any]:
    """A target: a horizontal line of long dashes over the whole plot."""
    return {
        "type": "line",
        "xref": "paper",
        "yref": "y",
        "x0": 0.0,
        "x1": 1.0,
        "y0": value,
        "y1": value,
        "line": {"color": LIGHT["ink-2"], "width": 1.0, "dash": "10px,3px"},
        "layer": "below",
    }


def tick_texts(axis: Axis) -> list[str]:
    """The axis's numbers with as many decimals as its steps need, a comma between thousands."""
    decimals = next(
        (n for n in range(6) if all(abs(round(t, n) - t) < 1e-9 for t in axis.ticks)), 6
    )
    return [format_number(tick, decimals) for tick in axis.ticks]


def text_px(text: str) -> float:
    """How wide a text of the charts' size is, about: Hangul is square, digits and Latin are not."""
    return sum(TEXT_PX if ord(letter) > 0x1100 else 0.56 * TEXT_PX for letter in text)


def with_room(margin: Mapping[str, int], axes: Sequence[Axis]) -> dict[str, int]:
    """The margin, wider where the numbers of the axes need it: 1,000,000 is seven digits."""
    widest = max(text_px(text) for axis in axes for text in tick_texts(axis))
    return {**margin, "l": max(margin["l"], math.ceil(widest) + 10)}


def frame(
    traces: Sequence[dict[str, Any]],
    *,
    time: TimeAxis,
    axis: Axis,
    tick_texts: Sequence[str],
    zone: ZoneInfo,
    height: int,
    annotations: Sequence[dict[str, Any]] = (),
    shapes: Sequence[dict[str, Any]] = (),
    margin: Mapping[str, int] = MARGIN,
) -> dict[str, Any]:
    """A whole figure: the traces in the frame that every chart shares."""
    boundaries = [vertical_line(local_iso(day, zone), colour="line") for day in time.days]
    return {
        "data": list(traces),
        "layout": {
            **base_layout(height, margin),
            # One box for all lines; its title is the moment in our own form.
            "hovermode": "x unified",
            "xaxis": {
                "type": "date",
                "range": [local_iso(time.start_ms, zone), local_iso(time.end_ms, zone)],
                "fixedrange": True,
                "showgrid": False,
                "zeroline": False,
                "tickmode": "array",
                "tickvals": [local_iso(moment, zone) for moment, _ in time.ticks],
                "ticktext": [text for _, text in time.ticks],
                "tickangle": 0,
                "ticks": "outside",
                "ticklen": 4,
                "tickcolor": LIGHT["line-2"],
                "unifiedhovertitle": {"text": "%{x|%m-%d %H:%M}"},
                "showspikes": True,
                "spikemode": "across",
                "spikethickness": 1,
                "spikedash": "solid",
                "spikecolor": LIGHT["line-2"],
            },
            "yaxis": value_axis(axis, tick_texts),
            "annotations": list(annotations),
            "shapes": [*boundaries, *shapes],
        },
    }


def base_layout(height: int, margin: Mapping[str, int]) -> dict[str, Any]:
    """What the layouts of all charts share: size, type, box of the hover."""
    return {
        "height": height,
        "autosize": True,
        "margin": dict(margin),
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "size": TEXT_PX, "color": LIGHT["ink-3"]},
        "showlegend": False,
        "hoverlabel": {
            "bgcolor": LIGHT["surface"],
            "bordercolor": LIGHT["line-2"],
            "font": {"family": FONT, "size": TEXT_PX, "color": LIGHT["ink"]},
            "align": "left",
        },
        "dragmode": False,
        "uirevision": "keep",
    }


def value_axis(axis: Axis, texts: Sequence[str]) -> dict[str, Any]:
    """The vertical axis: horizontal hairlines with our own numbers."""
    return {
        "range": [axis.low, axis.high],
        "fixedrange": True,
        "showgrid": True,
        "gridcolor": LIGHT["line"],
        "gridwidth": 1,
        "zeroline": False,
        "tickmode": "array",
        "tickvals": list(axis.ticks),
        "ticktext": list(texts),
        "ticks": "",
    }


def centre_note(text: str) -> dict[str, Any]:
    """Words in the middle of an empty plot."""
    return {
        "xref": "paper",
        "yref": "paper",
        "x": 0.5,
        "y": 0.5,
        "text": text,
        "showarrow": False,
        "font": {"size": TEXT_PX, "color": LIGHT["ink-2"]},
        "bgcolor": LIGHT["surface"],
        "borderpad": 2,
    }


def plot_height(height: int) -> float:
    """Height of the plotting area inside a figure of this height, in pixels."""
    return float(height - MARGIN["t"] - MARGIN["b"])


def local_midnight_text(moment: datetime, weekday: str) -> str:
    """The words of a day boundary: `11-20 Fri`."""
    return f"{moment:%m-%d} {weekday}"
