"""One quantity against another, this window filled and the earlier one hollow: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dashboard import formats
from dashboard.figures import frame as f
from dashboard.figures.palette import LIGHT
from dashboard.words import Words


@dataclass(frozen=True, slots=True)
class Cloud:
    """Points of one stretch.

    Attributes:
        points: (x, y, what the hover says).
    """

    name: str
    points: tuple[tuple[float, float, str], ...]
    is_hollow: bool = False


def draw_scatter(
    clouds: Sequence[Cloud], *, x_words: str, x_decimals: int, height: int, words: Words
) -> tuple[dict[str, Any], dict[str, Any], f.Axis]:
    """Figure, narrow variant and vertical axis."""
    every = [point for cloud in clouds for point in cloud.points]
    across = f.nice_axis([x for x, _, _ in every], most_lines=5)
    up = f.nice_axis([y for _, y, _ in every], most_lines=4)
    traces = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": cloud.name,
            "x": [x for x, _, _ in cloud.points],
            "y": [y for _, y, _ in cloud.points],
            "customdata": [text for _, _, text in cloud.points],
            "hovertemplate": "%{customdata}<extra></extra>",
            "marker": {
                "size": 6,
                "opacity": 0.75,
                "color": LIGHT["surface" if cloud.is_hollow else "data"],
                "line": {"width": 1.2, "color": LIGHT["g2" if cloud.is_hollow else "data"]},
            },
            "showlegend": False,
        }
        for cloud in clouds
    ]
    notes = [
        {
            "xref": "paper",
            "yref": "paper",
            "x": 1.0,
            "y": 0.0,
            "xanchor": "right",
            "yanchor": "top",
            "yshift": -20,
            "text": x_words,
            "showarrow": False,
            "font": {"size": f.TEXT_PX, "color": LIGHT["ink-2"]},
        }
    ]
    if not every:
        notes.append(f.centre_note(words("chart.no_data")))
    figure = {
        "data": traces,
        "layout": {
            **f.base_layout(height, {"l": 48, "r": 14, "t": 12, "b": 44}),
            "hovermode": "closest",
            "xaxis": {
                "range": [across.low, across.high],
                "fixedrange": True,
                "showgrid": False,
                "zeroline": False,
                "tickmode": "array",
                "tickvals": list(across.ticks),
                "ticktext": [formats.format_number(tick, x_decimals) for tick in across.ticks]
                if every
                else [],
                "ticks": "outside",
                "ticklen": 4,
                "tickcolor": LIGHT["line-2"],
            },
            "yaxis": f.value_axis(up, f.tick_texts(up) if every else [""] * len(up.ticks)),
            "annotations": notes,
            "shapes": [],
        },
    }
    return figure, {"xaxis": {}}, up
