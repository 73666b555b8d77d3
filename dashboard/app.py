"""The application: every part put together behind the gate."""

from __future__ import annotations

import logging
from collections.abc import Callable

import plotly
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from plotly.offline import get_plotlyjs_version
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.clock import Clock
from core.ports import AccountRecords, ReportRecords, RollupRecords, TimeSeriesStore
from core.sites import SiteRegistry
from dashboard.about_page import about_routes
from dashboard.api import api_routes
from dashboard.callback_guard import CallbackGuard
from dashboard.chart_api import chart_routes
from dashboard.chart_page import ChartPages
from dashboard.chart_reader import ChartReader
from dashboard.chart_spec import ReadForecast
from dashboard.charts import mount_charts, render_with_charts
from dashboard.gate import Gate, content_security_policy, is_for_machines
from dashboard.health import health_routes
from dashboard.intake_desk import IntakeDesk
from dashboard.intake_pages import IntakePages
from dashboard.live_feed import LiveCards, LiveFeed
from dashboard.live_hub import LiveHub, ReadSilent
from dashboard.login import login_routes
from dashboard.page_context import Pages
from dashboard.points import points_routes
from dashboard.portfolio_feed import PortfolioFeed
from dashboard.portfolio_outline import read_outline
from dashboard.portfolio_pages import PortfolioPages
from dashboard.portfolio_source import PortfolioSource
from dashboard.portfolio_spans import SpanFigures
from dashboard.problems import problem_response
from dashboard.readiness import ReadinessReport
from dashboard.report_pages import ReportPages
from dashboard.resource_pages import ResourcePages
from dashboard.resource_reads import FigureReads
from dashboard.sessions import Sessions
from dashboard.settings import BoardSettings
from dashboard.shell import Shell
from dashboard.site_pages import SitePages
from dashboard.static_files import StaticFiles
from dashboard.today import ComputeKpis, Ledger, ReadSystems, SiteDays
from reports.archive import ReportArchive

_LOG = logging.getLogger(__name__)
_SMALLEST_PACKED = 1024


def create_app(
    *,
    registry: SiteRegistry,
    store: TimeSeriesStore,
    records: AccountRecords,
    rollup_records: RollupRecords,
    settings: BoardSettings,
    clock: Clock,
    health: Callable[[], ReadinessReport],
    compute_kpis: ComputeKpis | None = None,
    ledger: Ledger | None = None,
    intake: IntakeDesk | None = None,
    report_records: ReportRecords | None = None,
    report_archive: ReportArchive | None = None,
    read_systems: ReadSystems | None = None,
    read_forecast: ReadForecast | None = None,
    read_silent: ReadSilent | None = None,
) -> FastAPI:
    """The board as one ASGI application; `app.state.live_hub.close()` ends its open feeds.

    Args:
        compute_kpis: Computes KPI rows; by default `analytics.kpis.compute_kpi_rows`.
        read_systems: Reads energies by system; by default `analytics.systems.read_systems`.
        read_forecast: Reads the newest forecast; by default that of `analytics.forecasting`.
        read_silent: Reads the devices of a site that were declared dead.
        health: What `/readyz` answers; called off the event loop.
        ledger: Tells the readings of today that were put aside; without it that is not said.
        intake: Ledger and quarantine for the page of data intake.
        report_records, report_archive: Revisions of the reports and their files.
    """
    if compute_kpis is None:
        from analytics.kpis import compute_kpi_rows

        compute_kpis = compute_kpi_rows
    if read_systems is None:
        from analytics import systems

        read_systems = systems.read_systems
    if read_forecast is None:
        from analytics.forecasting import reading

        read_forecast = reading.read_forecast
    app = FastAPI(
        title="greendc",
        version="1",
        openapi_url="/api/v1/openapi.json",
        # Both pages fetch their scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
    )
    static = StaticFiles(settings.build_folder)
    pages = Pages(static, settings)
    sessions = Sessions(records, settings, clock)
    hub = LiveHub(store, settings, clock, read_silent)
    days = SiteDays(store, rollup_records, settings, clock, compute_kpis, read_systems, ledger)
    reader = ChartReader(
        store, rollup_records, days, clock, read_forecast, read_systems, compute_kpis, intake
    )
    feed = LiveFeed(
        registry=registry,
        hub=hub,
        days=days,
        cards=LiveCards(pages),
        sessions=sessions,
        settings=settings,
        clock=clock,
    )
    shell = Shell(registry=registry, pages=pages, static=static, clock=clock)
    charted = ChartPages(
        registry=registry,
        pages=pages,
        shell=shell,
        static=static,
        hub=hub,
        days=days,
        reader=reader,
        clock=clock,
        render_charts=lambda request, render: render_with_charts(dash, request, render),
    )
    rings = read_outline(settings.build_folder)
    figures = SpanFigures(store, rollup_records, settings, clock, compute_kpis, ledger)
    source = PortfolioSource(registry=registry, hub=hub, figures=figures, clock=clock)
    portfolio = PortfolioPages(source=source, pages=pages, shell=shell, rings=rings, clock=clock)
    portfolio_feed = PortfolioFeed(
        source=source,
        hub=hub,
        pages=pages,
        rings=rings,
        sessions=sessions,
        settings=settings,
        clock=clock,
    )
    report_pages = ReportPages(
        registry=registry, shell=shell, records=report_records, archive=report_archive
    )
    site_pages = SitePages(
        registry=registry,
        pages=pages,
        shell=shell,
        hub=hub,
        days=days,
        charted=charted,
        reader=reader,
        clock=clock,
    )
    resource_pages = ResourcePages(
        registry=registry,
        pages=pages,
        charted=charted,
        charts=reader,
        reads=FigureReads(store, rollup_records, settings, clock, compute_kpis),
    )
    intake_pages = IntakePages(
        registry=registry, shell=shell, charted=charted, desk=intake, clock=clock
    )
    app.state.live_hub = hub
    # Ours come first: what Dash adds behind them never answers for a page.
    app.include_router(health_routes(health))
    app.include_router(login_routes(sessions, pages, settings))
    app.include_router(portfolio.routes())
    app.include_router(portfolio.api_routes())
    app.include_router(portfolio_feed.routes())
    app.include_router(about_routes(registry, shell, clock))
    app.include_router(site_pages.routes())
    app.include_router(report_pages.routes())
    app.include_router(resource_pages.routes())
    app.include_router(intake_pages.routes())
    app.include_router(feed.board_routes())
    app.include_router(feed.api_routes())
    app.include_router(api_routes(registry, days))
    app.include_router(chart_routes(registry, reader))
    app.include_router(points_routes(registry, store, pages))
    _add_static(app, static)
    dash = mount_charts(app, registry, reader)
    _add_not_found(app, shell)
    app.add_middleware(CallbackGuard, outputs=dash.callback_map)
    app.add_middleware(GZipMiddleware, minimum_size=_SMALLEST_PACKED, compresslevel=6)
    policy = content_security_policy(list(dash.csp_hashes()))
    app.add_middleware(Gate, sessions=sessions, settings=settings, policy=policy)
    if "plotly/plotly-cartesian.min.js" not in static:
        _LOG.warning(
            "no browser files in %s: the page uses the larger ones of dash %s (plotly %s) and the "
            "system's fonts; `make board-files` brings them",
            settings.build_folder,
            plotly.__version__,
            get_plotlyjs_version(),
        )
    return app


def _add_static(app: FastAPI, static: StaticFiles) -> None:
    @app.get("/static/{fingerprint}/{path:path}", include_in_schema=False)
    def static_file(request: Request, fingerprint: str, path: str) -> Response:
        return static.answer(request, fingerprint, path)

    @app.get("/favicon.ico", include_in_schema=False)
    def icon() -> Response:
        return RedirectResponse(static.url("icon.svg"), 301)


def _add_not_found(app: FastAPI, shell: Shell) -> None:
    # Dash would answer every unknown path with its own page.
    @app.get("/{path:path}", include_in_schema=False)
    async def unknown(request: Request) -> Response:
        if is_for_machines(request.url.path):
            return problem_response(404)
        return shell.message(request, 404)

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> Response:
        places = ", ".join(".".join(str(part) for part in one["loc"]) for one in error.errors())
        return problem_response(400, places)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        known = {404: 404, 405: 405, 413: 413}
        return problem_response(known.get(error.status_code, 400))
