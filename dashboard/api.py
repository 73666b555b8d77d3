"""The REST API under `/api/v1`: sites, and the last day's power as a file."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from core.periods import INTERVAL_MS, from_ms
from core.sites import Site, SiteRegistry
from core.text import LANGUAGES, Text
from dashboard.permissions import ForbiddenError, NoSuchSiteError, allowed_sites, authorize
from dashboard.problems import problem_response
from dashboard.today import SiteDays
from dashboard.visitors import current_visitor

# Spreadsheets in Korea take a CSV for another encoding without it.
_BYTE_ORDER_MARK = "\ufeff"


def api_routes(registry: SiteRegistry, days: SiteDays) -> APIRouter:
    """The routes that answer questions about sites."""
    router = APIRouter(prefix="/api/v1", tags=["sites"])

    @router.get("/sites", response_class=JSONResponse, summary="The sites that you may know")
    async def sites() -> Response:
        account = current_visitor().account
        return JSONResponse([describe_site(s) for s in allowed_sites(account, "know", registry)])

    @router.get("/sites/{site_id}", response_class=JSONResponse, summary="One site")
    async def site(site_id: str) -> Response:
        try:
            found = authorize(current_visitor().account, "know", site_id, registry)
        except (NoSuchSiteError, ForbiddenError):
            return problem_response(404)
        return JSONResponse(describe_site(found, in_full=True))

    @router.get(
        "/sites/{site_id}/power.csv",
        response_class=Response,
        summary="Facility and IT power of the last 24 hours, means of 15 minutes",
        responses={200: {"content": {"text/csv": {}}}},
    )
    async def power(site_id: str) -> Response:
        try:
            found = authorize(current_visitor().account, "live", site_id, registry)
        except NoSuchSiteError:
            return problem_response(404)
        except ForbiddenError:
            return problem_response(403)
        day = await days.get(found)
        if day is None:
            return problem_response(503)
        if day.power is None:
            return problem_response(404)
        rows = [
            (
                _local(start, found),
                _local(start + INTERVAL_MS, found),
                "" if facility.kw is None else repr(facility.kw),
                facility.verdict.value,
                "" if it.kw is None else repr(it.kw),
                it.verdict.value,
                found.data,
            )
            for start, facility, it in zip(
                day.power.start_ms, day.power.facility, day.power.it, strict=True
            )
        ]
        end = from_ms(day.power.end_ms).astimezone(found.zone)
        name = f"{found.id}-power-{end:%Y%m%dT%H%M}.csv"
        return Response(
            write_csv(_POWER_COLUMNS, rows),
            media_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    return router


_POWER_COLUMNS = (
    "start",
    "end",
    "facility_power_kw",
    "facility_verdict",
    "it_power_kw",
    "it_verdict",
    "data",
)


def write_csv(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """CSV with a byte-order mark; a cell that a spreadsheet would run as a formula is quoted."""
    text = io.StringIO()
    text.write(_BYTE_ORDER_MARK)
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([_harmless(cell) for cell in row] for row in rows)
    return text.getvalue()


def _harmless(cell: str) -> str:
    if not cell.startswith(("=", "+", "-", "@", "\t", "\r")):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell


def describe_site(site: Site, *, in_full: bool = False) -> dict[str, Any]:
    """A site as the API gives it; in full with its public facts, targets and devices."""
    described: dict[str, Any] = {
        "id": site.id,
        "name": _text(site.name),
        "operator": site.operator,
        "place": None if site.place is None else _text(site.place),
        "status": site.status,
        "data": site.data,
        "zone": site.zone.key,
        "location": {"latitude": site.latitude, "longitude": site.longitude},
        "pue_category": site.pue_category,
    }
    if not in_full:
        return described
    described["gate"] = {"final": site.gate.final, "provisional": site.gate.provisional}
    described["targets"] = [
        {"kpi": target.kpi, "value": target.value, "valid_from": target.valid_from.isoformat()}
        for target in site.targets
    ]
    described["facts"] = [
        {"text": _text(fact.text), "source": fact.source, "date": fact.date.isoformat()}
        for fact in site.facts
    ]
    described["devices"] = [
        {
            "id": device.id,
            "family": device.family,
            "role": device.latest.role,
            "metrics": list(device.latest.metrics),
            "cadence_s": device.latest.cadence_s,
        }
        for device in site.devices.values()
    ]
    return described


def _text(text: Text) -> dict[str, str]:
    return {language: text.get(language) for language in LANGUAGES}


def _local(time_ms: int, site: Site) -> str:
    return from_ms(time_ms).astimezone(site.zone).isoformat(timespec="seconds")
