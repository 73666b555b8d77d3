"""The second click of evidence: the stored 15-minute intervals of one series, as table and file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from anyio import to_thread
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from core.intervals import IntervalBlock
from core.metrics import CATALOGUE
from core.periods import INTERVAL_MS, INTERVAL_S, Period, from_ms
from core.ports import TimeSeriesStore
from core.sites import Device, Site, SiteRegistry
from dashboard import formats
from dashboard.api import write_csv
from dashboard.figures.line_tables import local_time
from dashboard.page_context import Pages, read_choices
from dashboard.permissions import ForbiddenError, NoSuchSiteError, authorize
from dashboard.problems import problem_response
from dashboard.visitors import current_visitor
from dashboard.words import Words, load_words

MOST_SHOWN = 96
MOST_DAYS = 62
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class PointsView:
    """The intervals of one series.

    Attributes:
        rows: The newest first, at most `MOST_SHOWN`.
        more: Words for those that only the file holds; empty where it holds no more.
        csv: Address of the file with all of them.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    more: str
    csv: str


@dataclass(frozen=True, slots=True)
class PointsAsk:
    """A series and a stretch that a person may see."""

    site: Site
    device: Device
    metric: str
    period: Period

    def query(self) -> str:
        """The question as a query string."""
        series = f"{self.device.id}/{self.metric}"
        return f"series={series}&from={self.period.start_ms}&to={self.period.end_ms}"


def parse_points(request: Request, site: Site) -> PointsAsk | None:
    """The question of an address; None where it names nothing that the site has."""
    device_id, _, metric = request.query_params.get("series", "").partition("/")
    device = site.devices.get(device_id)
    if device is None or metric not in device.metrics():
        return None
    edges = [request.query_params.get(name, "") for name in ("from", "to")]
    if not all(edge.isdigit() and len(edge) <= 14 for edge in edges):
        return None
    start, end = (int(edge) for edge in edges)
    if not start < end <= start + MOST_DAYS * DAY_MS:
        return None
    return PointsAsk(site, device, metric, Period.of_ms(start, end))


def read_block(store: TimeSeriesStore, ask: PointsAsk) -> IntervalBlock | None:
    """The stored intervals; None where there are none.

    Raises:
        StoreError: The store does not answer.
    """
    blocks = store.read_intervals(
        ask.site.id,
        ask.period,
        family=ask.device.family,
        devices=[ask.device.id],
        metrics=[ask.metric],
    )
    return blocks[0] if blocks else None


def points_view(block: IntervalBlock | None, ask: PointsAsk, words: Words) -> PointsView:
    """The newest intervals as a table."""
    metric = CATALOGUE[(ask.device.family, ask.metric)]
    unit = formats.display_unit(metric.unit)
    count = 0 if block is None else len(block)
    rows = []
    for at in range(count - 1, max(-1, count - 1 - MOST_SHOWN), -1):
        assert block is not None
        start = from_ms(int(block.start_ms[at])).astimezone(ask.site.zone)
        rows.append(
            (
                f"{start:%m-%d %H:%M}",
                formats.format_number(_finite(block.mean[at]), 2),
                formats.format_number(_finite(block.amount[at]), 2),
                formats.format_number(float(block.count[at]), 0),
                formats.format_share(float(block.covered_s[at]) / INTERVAL_S, 0),
            )
        )
    return PointsView(
        title=f"{ask.device.id}/{ask.metric}",
        columns=(
            words("table.time"),
            words("points.mean", unit=unit),
            words("points.amount"),
            words("points.count"),
            words("evidence.coverage"),
        ),
        rows=tuple(rows),
        more=words("points.more", n=count - len(rows)) if count > len(rows) else "",
        csv=f"/api/v1/sites/{ask.site.id}/intervals.csv?{ask.query()}",
    )


def _finite(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def points_routes(registry: SiteRegistry, store: TimeSeriesStore, pages: Pages) -> APIRouter:
    """`/_board/points` and `/api/v1/sites/{site}/intervals.csv`."""
    router = APIRouter()

    @router.get("/_board/points", include_in_schema=False)
    async def points(request: Request) -> Response:
        choices = read_choices(request, current_visitor())
        site = _permitted(request.query_params.get("site", ""))
        if isinstance(site, Response):
            return site
        ask = parse_points(request, site)
        if ask is None:
            return problem_response(404)
        block = await to_thread.run_sync(lambda: read_block(store, ask))
        view = points_view(block, ask, load_words()[choices.language])
        return pages.answer("points.html", choices, view=view)

    @router.get(
        "/api/v1/sites/{site_id}/intervals.csv",
        tags=["sites"],
        response_class=Response,
        summary="Stored 15-minute intervals of one series; from and to in epoch milliseconds",
        responses={200: {"content": {"text/csv": {}}}},
    )
    async def intervals_csv(request: Request, site_id: str) -> Response:
        site = _permitted(site_id)
        if isinstance(site, Response):
            return site
        ask = parse_points(request, site)
        if ask is None:
            return problem_response(404)
        block = await to_thread.run_sync(lambda: read_block(store, ask))
        rows = [] if block is None else _csv_rows(block, site)
        name = f"{site.id}-{ask.device.id}-{ask.metric}.csv"
        return Response(
            write_csv(_CSV_COLUMNS, rows),
            media_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    def _permitted(site_id: str) -> Site | Response:
        try:
            return authorize(current_visitor().account, "live", site_id, registry)
        except NoSuchSiteError:
            return problem_response(404)
        except ForbiddenError:
            return problem_response(403)

    return router


_CSV_COLUMNS = (
    "start",
    "end",
    "count",
    "min",
    "max",
    "mean",
    "amount",
    "covered_s",
    "estimated_s",
    "data",
)


def _csv_rows(block: IntervalBlock, site: Site) -> list[tuple[str, ...]]:
    def number(value: float) -> str:
        return "" if np.isnan(value) else repr(float(value))

    return [
        (
            local_time(int(block.start_ms[at]), site.zone),
            local_time(int(block.start_ms[at]) + INTERVAL_MS, site.zone),
            str(int(block.count[at])),
            number(block.low[at]),
            number(block.high[at]),
            number(block.mean[at]),
            number(block.amount[at]),
            number(block.covered_s[at]),
            number(block.estimated_s[at]),
            site.data,
        )
        for at in range(len(block))
    ]
