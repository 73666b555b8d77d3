"""The numbers of a chart as a file, for the same question as its picture."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from core.sites import SiteRegistry
from core.text import LANGUAGES
from dashboard.api import write_csv
from dashboard.chart_pages import CHARTS
from dashboard.chart_reader import ChartReader
from dashboard.history import HistoryError
from dashboard.permissions import ForbiddenError, NoSuchSiteError, authorize
from dashboard.problems import problem_response
from dashboard.visitors import current_visitor
from dashboard.words import load_words


def chart_routes(registry: SiteRegistry, reader: ChartReader) -> APIRouter:
    """`/api/v1/sites/{site}/charts/{chart}.csv`."""
    router = APIRouter(prefix="/api/v1", tags=["charts"])

    @router.get(
        "/sites/{site_id}/charts/{chart_id}.csv",
        response_class=Response,
        summary="The numbers of a chart; range, from, to and cmp as in the page's address",
        responses={200: {"content": {"text/csv": {}}}},
    )
    async def chart_csv(request: Request, site_id: str, chart_id: str) -> Response:
        spec = CHARTS.get(chart_id)
        if spec is None:
            return problem_response(404)
        try:
            site = authorize(current_visitor().account, spec.action, site_id, registry)
        except NoSuchSiteError:
            return problem_response(404)
        except ForbiddenError:
            return problem_response(403)
        if not spec.applies(site):
            return problem_response(404)
        try:
            # Names of columns are for machines: the language changes nothing but names of lines.
            asked, chart = await reader.read(
                spec, site, dict(request.query_params), load_words()[LANGUAGES[-1]]
            )
        except HistoryError as error:
            return problem_response(400, str(error))
        rows = [
            tuple("" if c is None else c if isinstance(c, str) else repr(c) for c in row)
            for row in await asyncio.to_thread(chart.csv_rows)
        ]
        period = asked.history.period
        days = "-".join(
            f"{moment.astimezone(site.zone):%Y%m%dT%H%M}" for moment in (period.start, period.end)
        )
        name = f"{site.id}-{spec.id}-{days}.csv"
        return Response(
            write_csv(chart.csv_columns, rows),
            media_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    return router
