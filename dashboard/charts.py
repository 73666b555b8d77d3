"""The board's Dash application: the charts of a site's page, inside the page that we render.

Dash draws what plotly draws and nothing else; cards, menus and words stand in the page before it
starts. Every callback finds its visitor and asks for permission by itself.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any
from zoneinfo import ZoneInfo

from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update
from dash.backends._fastapi import reset_current_request, set_current_request
from fastapi import FastAPI
from starlette.requests import Request

from core.periods import from_ms
from core.sites import SiteRegistry
from core.text import LANGUAGES, Language
from dashboard import formats
from dashboard.figures.power import HEIGHT, PowerChart, power_chart
from dashboard.graphs import graph
from dashboard.permissions import ForbiddenError, NoSuchSiteError, authorize
from dashboard.today import SiteDay, SiteDays
from dashboard.visitors import current_visitor
from dashboard.words import Words, load_words

_LOG = logging.getLogger(__name__)
REFRESH_MS = 60_000
_OUTPUTS = 11
_LABELLED_LATER: dict[str, Any] = {"aria-label": ""}
_TITLED: dict[str, Any] = {"aria-labelledby": "power-title"}
_RENDER: ContextVar[Callable[[dict[str, str]], str] | None] = ContextVar(
    "greendc_render", default=None
)


class PageDash(Dash):
    """Dash whose index page is whatever the request's own renderer makes of the pieces."""

    def interpolate_index(self, **pieces: str) -> str:  # type: ignore[override]
        """The page of the current request with Dash's entry, configuration and scripts."""
        render = _RENDER.get()
        if render is None:
            raise RuntimeError("Dash's own index page is not served; pages render themselves")
        return render(
            {
                # Dash's "Loading..." in English is not for our pages: a skeleton stands there.
                "app_entry": '<div id="react-entry-point"></div>',
                "dash_config": _without_websocket(pieces["config"]),
                "dash_scripts": pieces["scripts"],
                "dash_renderer": pieces["renderer"],
            }
        )


def _without_websocket(config: str) -> str:
    # Every page would open one, though no callback uses it, and the gate takes none.
    head, rest = config.split(">", 1)
    body, tail = rest.rsplit("<", 1)
    settings = json.loads(body)
    settings.pop("websocket", None)
    text = json.dumps(settings, ensure_ascii=False).replace("<", "\\u003c")
    return f"{head}>{text}<{tail}"


def mount_charts(server: FastAPI, registry: SiteRegistry, days: SiteDays) -> PageDash:
    """Put Dash onto the server, with its layout and callbacks.

    Nothing of Dash but its files and its callback endpoint is used: no pages, no assets folder, no
    index of its own, no websockets, no MCP server, no developer tools.
    """
    dash = PageDash(
        __name__,
        server=server,  # type: ignore[arg-type]
        assets_folder="none",
        include_assets_files=False,
        serve_locally=True,
        enable_mcp=False,
        websocket_callbacks=False,
        websocket_allowed_origins=[],
        update_title=None,  # type: ignore[arg-type]
        add_log_handler=False,
        suppress_callback_exceptions=False,
        on_error=_log_fault,
    )
    dash.layout = _layout()
    _add_callbacks(dash, registry, days)
    return dash


def render_with_charts(
    dash: PageDash, request: Request, render: Callable[[dict[str, str]], str]
) -> str:
    """A page with Dash's pieces in it."""
    token = set_current_request(request)
    chosen = _RENDER.set(render)
    try:
        return str(dash.index())
    finally:
        _RENDER.reset(chosen)
        reset_current_request(token)


def _log_fault(fault: Exception) -> None:
    _LOG.error("a chart could not be drawn", exc_info=fault)
    raise fault


def _layout() -> html.Div:
    # Words come with the first answer, in the language of the page.
    return html.Div(
        [
            dcc.Store(id="page"),
            dcc.Store(id="page-theme"),
            dcc.Store(id="page-back"),
            dcc.Store(id="power-chart"),
            dcc.Store(id="power-labels"),
            dcc.Interval(id="power-refresh", interval=REFRESH_MS),
            html.Section(
                [
                    html.Div(
                        [
                            html.H2(id="power-title"),
                            html.Span(id="power-subtitle", className="sub"),
                            html.Span(className="spread"),
                            html.Button(id="power-view", className="quiet", n_clicks=0),
                            html.A(id="power-csv", className="quiet", href=""),
                        ],
                        className="ch",
                    ),
                    html.Div(id="power-fault", className="alert", role="status", hidden=True),
                    graph("power-graph", HEIGHT),
                    html.Div(
                        id="power-table",
                        className="charttable",
                        hidden=True,
                        tabIndex=0,
                        role="region",
                        **_LABELLED_LATER,
                    ),
                ],
                id="power-card",
                className="card c8",
                **_TITLED,
            ),
        ],
        className="charts",
    )


def _add_callbacks(dash: PageDash, registry: SiteRegistry, days: SiteDays) -> None:
    dash.clientside_callback(
        ClientsideFunction("board", "page"), Output("page", "data"), Input("page", "id")
    )
    dash.clientside_callback(
        ClientsideFunction("board", "dress"),
        Output("power-graph", "figure"),
        Input("power-chart", "data"),
        Input("page-theme", "data"),
        Input("page", "data"),
    )
    dash.clientside_callback(
        ClientsideFunction("board", "view"),
        Output("power-graph-picture", "hidden"),
        Output("power-table", "hidden"),
        Output("power-view", "children"),
        Input("power-view", "n_clicks"),
        Input("power-labels", "data"),
    )

    @dash.callback(
        Output("power-chart", "data"),
        Output("power-labels", "data"),
        Output("power-title", "children"),
        Output("power-subtitle", "children"),
        Output("power-graph-picture", "aria-label"),
        Output("power-table", "children"),
        Output("power-table", "aria-label"),
        Output("power-csv", "children"),
        Output("power-csv", "href"),
        Output("power-fault", "children"),
        Output("power-fault", "hidden"),
        Input("page", "data"),
        Input("power-refresh", "n_intervals"),
        Input("page-back", "data"),
        State("power-subtitle", "children"),
        prevent_initial_call=True,
    )
    async def draw_power(
        page: object, _refresh: object, _back: object, _subtitle: object
    ) -> tuple[Any, ...]:
        site_id, language = read_page(page)
        try:
            site = authorize(current_visitor().account, "live", site_id, registry)
        except (NoSuchSiteError, ForbiddenError):
            return (no_update,) * _OUTPUTS
        words = load_words()[language]
        day = await days.get(site)
        head = (words("power.title"),)
        if day is None or day.power is None:
            fault = words("chart.fault")
            labels = _labels(words)
            return (no_update, labels, *head, *(no_update,) * (_OUTPUTS - 5), fault, False)
        chart = await asyncio.to_thread(power_chart, day.power, site.zone, words)
        fault, is_whole = "", not days.is_faulty(site)
        if not is_whole:
            fault = words("chart.fault_at", time=_time_of(day, site.zone))
        return (
            {"figure": chart.figure, "narrow": chart.narrow},
            _labels(words),
            *head,
            chart.subtitle,
            chart.summary,
            _table(chart, words),
            words("chart.table_of", name=words("power.title")),
            "CSV",
            f"/api/v1/sites/{site.id}/power.csv?lang={language}",
            fault,
            is_whole,
        )


def read_page(page: object) -> tuple[str, Language]:
    """Site and language that the page names; whatever else a browser sends names no site."""
    if not isinstance(page, dict):
        return "", LANGUAGES[0]
    site, language = page.get("site"), page.get("language")
    known: Language = next((name for name in LANGUAGES if name == language), LANGUAGES[0])
    return (site if isinstance(site, str) else ""), known


def _labels(words: Words) -> dict[str, str]:
    return {"table": words("chart.as_table"), "picture": words("chart.as_picture")}


def _time_of(day: SiteDay, zone: ZoneInfo) -> str:
    return formats.format_clock(from_ms(day.now_ms), zone)


def _table(chart: PowerChart, words: Words) -> html.Table:
    head = [
        html.Th(column, scope="col", className="r" if index else "")
        for index, column in enumerate(chart.columns)
    ]
    body = [
        html.Tr(
            [html.Td(cell, className="r num" if index else "num") for index, cell in enumerate(row)]
        )
        for row in chart.rows
    ]
    return html.Table(
        [
            html.Caption(words("power.title"), className="vh"),
            html.Thead(html.Tr(head)),
            html.Tbody(body),
        ]
    )
