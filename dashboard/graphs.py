"""The one way in which a figure reaches the page: `dcc.Graph` with everything external off."""

from __future__ import annotations

from typing import Any

from dash import dcc, html

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
_NO_LABEL_YET: dict[str, Any] = {"aria-label": ""}


def graph(graph_id: str, height: int) -> html.Div:
    """A chart with a fixed height; figure and summary are set by callbacks.

    The picture is one image to a screen reader: its summary is the label, its numbers are in the
    table beside it.
    """
    return html.Div(
        dcc.Graph(
            id=graph_id,
            figure={"data": [], "layout": {**_EMPTY_LAYOUT, "height": height}},
            config=GRAPH_CONFIG,
            style={"height": f"{height}px"},
            responsive=True,
        ),
        id=f"{graph_id}-picture",
        className="chart",
        role="img",
        **_NO_LABEL_YET,
    )
