"""The one way in which a figure reaches the page: `dcc.Graph` with everything external off."""

from __future__ import annotations

from typing import Any

from dash import dcc

# Plotly offers to send charts to its own service; here it offers nothing. All words in a chart are
# ours; the locale only keeps the library's own out.
GRAPH_CONFIG: Any = {
    "displayModeBar": False,
    "displaylogo": False,
    "showSendToCloud": False,
    "showEditInChartStudio": False,
    "plotlyServerURL": "",
    "sendData": False,
    "showLink": False,
    "scrollZoom": False,
    "doubleClick": False,
    "responsive": True,
    "locale": "ko",
}


# Until the first answer nothing is drawn, not even axes.
_EMPTY_LAYOUT: dict[str, Any] = {
    "xaxis": {"visible": False},
    "yaxis": {"visible": False},
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
}


def graph(graph_id: Any, height: int) -> dcc.Graph:
    """A chart with a fixed height; its figure is set by a callback.

    The picture is one image to a screen reader: whoever puts it into a card gives it a summary as
    its label and a table of its numbers beside it.
    """
    return dcc.Graph(
        id=graph_id,
        figure={"data": [], "layout": {**_EMPTY_LAYOUT, "height": height}},
        config=GRAPH_CONFIG,
        style={"height": f"{height}px"},
        responsive=True,
    )
