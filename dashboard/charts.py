"""The board's Dash application: the charts of a page, inside the page that we render.

Dash draws what plotly draws and nothing else; cards, menus and words stand in the page before it
starts. The page carries the layout of exactly its own charts, in its language; one callback,
matched by the chart's id, answers for every chart, finds its visitor and asks for permission by
itself.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, TypedDict
from urllib.parse import parse_qsl

from dash import MATCH, ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update
from dash.backends._fastapi import reset_current_request, set_current_request
from fastapi import FastAPI
from plotly.utils import PlotlyJSONEncoder
from starlette.requests import Request

from core.errors import StoreError
from core.sites import Site, SiteRegistry
from core.text import LANGUAGES, Language
from dashboard import formats
from dashboard.chart_pages import CHARTS, PAGES
from dashboard.chart_reader import ChartReader
from dashboard.chart_spec import Chart, ChartSpec
from dashboard.graphs import graph
from dashboard.history import HistoryError
from dashboard.permissions import ForbiddenError, NoSuchSiteError, authorize
from dashboard.visitors import current_visitor
from dashboard.words import Words, load_words

_LOG = logging.getLogger(__name__)
REFRESH_MS = 60_000
_LONGEST_QUERY = 500
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


def mount_charts(server: FastAPI, registry: SiteRegistry, reader: ChartReader) -> PageDash:
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
    dash.layout = html.Div(
        [
            dcc.Store(id="page"),
            dcc.Store(id="page-theme"),
            dcc.Store(id="page-back"),
            dcc.Interval(id="page-refresh", interval=REFRESH_MS),
            # Filled by the page with the layout that it carries.
            html.Div(id="charts", className="charts"),
        ],
        className="charts",
    )
    _add_callbacks(dash, registry, reader)
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


# ------------------------------------------------------------ layout of a page


class ChartShell(TypedDict):
    """What a page's template knows of a chart before it is drawn."""

    id: str
    title: str
    size: str
    height: int


def chart_shells(page: str, site: Site, words: Words) -> list[ChartShell]:
    """The cards in which a page's charts will stand, for its skeleton."""
    return [
        {"id": spec.id, "title": words(spec.title), "size": spec.size, "height": spec.height}
        for spec in PAGES[page].charts_of(site)
    ]


def page_layout(page: str, site: Site, words: Words) -> str:
    """The layout of a page's charts as JSON for the page to carry."""
    cards = [chart_card(spec, site, words) for spec in PAGES[page].charts_of(site)]
    text = json.dumps(cards, cls=PlotlyJSONEncoder, ensure_ascii=False)
    return text.replace("<", "\\u003c")


def part_id(chart: str, part: str) -> dict[str, str]:
    """The id of one part of a chart's card."""
    return {"chart": chart, "part": part}


def _named(names: dict[str, str]) -> dict[str, Any]:
    # Names with a dash are no keywords; the components take them all the same.
    return dict(names)


def chart_card(spec: ChartSpec, site: Site, words: Words) -> html.Section:
    """The card of a chart, in its final size, with nothing drawn in it yet."""
    title = f"chart-{spec.id}-title"
    buttons: list[Any] = [
        html.Button(
            words("chart.as_table"),
            id=part_id(spec.id, "view"),
            className="quiet view",
            n_clicks=0,
        ),
        html.A(
            "CSV",
            id=part_id(spec.id, "csv"),
            className="quiet csv",
            href=f"/api/v1/sites/{site.id}/charts/{spec.id}.csv",
        ),
    ]
    if spec.evidence:
        buttons.append(
            html.Button(
                [words("evidence.open"), html.Span(f" {words(spec.title)}", className="vh")],
                className="quiet",
                **_named({"data-evidence": spec.evidence, "aria-haspopup": "dialog"}),
            )
        )
    fault = html.Div(
        [
            html.Span(id=part_id(spec.id, "fault")),
            html.Button(
                words("chart.retry"),
                id=part_id(spec.id, "retry"),
                className="button",
                n_clicks=0,
            ),
        ],
        id=part_id(spec.id, "fault-bar"),
        className="alert",
        role="status",
        hidden=True,
    )
    table = html.Div(
        id=part_id(spec.id, "table"),
        className="charttable",
        style={"height": f"{spec.height}px"},
        hidden=True,
        tabIndex=0,
        role="region",
        **_named({"aria-label": words("chart.table_of", name=words(spec.title))}),
    )
    picture = html.Div(
        graph(part_id(spec.id, "graph"), spec.height),
        id=part_id(spec.id, "picture"),
        className="chart",
        role="img",
        **_named({"aria-label": words("chart.loading", name=words(spec.title))}),
    )
    facts = html.Div(
        id=part_id(spec.id, "facts"), className="chartfacts", hidden=not spec.has_facts
    )
    body = html.Div(
        [html.Div([picture, table], className="chartbody"), facts],
        className="withfacts" if spec.has_facts else "",
    )
    return html.Section(
        [
            dcc.Store(id=part_id(spec.id, "answer")),
            html.Div(
                [
                    html.H2(words(spec.title), id=title),
                    html.Span(id=part_id(spec.id, "subtitle"), className="sub"),
                    html.Span(className="spread"),
                    *buttons,
                ],
                className="ch",
            ),
            fault,
            body,
        ],
        id=f"chart-{spec.id}",
        className=f"card chartcard {spec.size}",
        **_named({"aria-labelledby": title}),
    )


# ------------------------------------------------------------ callbacks


def _add_callbacks(dash: PageDash, registry: SiteRegistry, reader: ChartReader) -> None:
    def part(name: str) -> dict[str, Any]:
        return {"chart": MATCH, "part": name}

    dash.clientside_callback(
        ClientsideFunction("board", "page"),
        Output("page", "data"),
        Output("charts", "children"),
        Input("page", "id"),
    )
    dash.clientside_callback(
        ClientsideFunction("board", "dress"),
        Output(part("graph"), "figure"),
        Output(part("picture"), "hidden"),
        Output(part("picture"), "aria-label"),
        Output(part("table"), "hidden"),
        Output(part("view"), "children"),
        Output(part("subtitle"), "children"),
        Output(part("csv"), "href"),
        Output(part("fault"), "children"),
        Output(part("fault-bar"), "hidden"),
        Input(part("answer"), "data"),
        Input(part("view"), "n_clicks"),
        Input("page-theme", "data"),
        Input("page", "data"),
        State(part("answer"), "id"),
    )
    dash.clientside_callback(
        ClientsideFunction("board", "facts"),
        Output(part("facts"), "children"),
        Input(part("answer"), "data"),
        prevent_initial_call=True,
    )

    @dash.callback(
        Output(part("answer"), "data"),
        Input("page", "data"),
        Input("page-refresh", "n_intervals"),
        Input("page-back", "data"),
        Input(part("retry"), "n_clicks"),
        State(part("answer"), "id"),
    )
    async def draw(
        page: object, _refresh: object, _back: object, _retry: object, answer_id: object
    ) -> Any:
        site_id, language, query = read_page(page)
        chart_id = answer_id.get("chart") if isinstance(answer_id, Mapping) else None
        spec = CHARTS.get(chart_id) if isinstance(chart_id, str) else None
        if spec is None:
            return no_update
        try:
            site = authorize(current_visitor().account, spec.action, site_id, registry)
        except (NoSuchSiteError, ForbiddenError):
            return no_update
        if not spec.applies(site):
            return no_update
        words = load_words()[language]
        try:
            asked, chart = await reader.read(spec, site, query, words)
        except (StoreError, HistoryError) as error:
            _LOG.warning("chart %s of %s: %s", spec.id, site.id, error)
            return {"fault": True}
        return {
            **encode_chart(chart),
            "time": formats.format_clock(asked.now, site.zone),
            "fault": asked.is_faulty,
        }


def encode_chart(chart: Chart) -> dict[str, Any]:
    """A chart as its page's script takes it."""
    return {
        "figure": chart.figure,
        "narrow": chart.narrow,
        "subtitle": chart.subtitle,
        "summary": chart.summary,
        "columns": list(chart.columns),
        "rows": [list(row) for row in chart.rows],
        "facts": [list(fact) for fact in chart.facts],
        "factsTitle": chart.facts_title,
        "factsNotes": list(chart.facts_notes),
    }


def read_page(page: object) -> tuple[str, Language, dict[str, str]]:
    """Site, language and query that the page names; whatever else a browser sends names no site."""
    if not isinstance(page, dict):
        return "", LANGUAGES[0], {}
    site, language, query = (page.get(name) for name in ("site", "language", "query"))
    known: Language = next((name for name in LANGUAGES if name == language), LANGUAGES[0])
    members: dict[str, str] = {}
    if isinstance(query, str) and len(query) <= _LONGEST_QUERY:
        members = dict(parse_qsl(query.removeprefix("?"), max_num_fields=None))
    return (site if isinstance(site, str) else ""), known, members
