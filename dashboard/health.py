"""`/healthz` and `/readyz` of the board, open to whoever watches over it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from anyio import to_thread
from fastapi import APIRouter
from starlette.responses import JSONResponse, PlainTextResponse, Response

from dashboard.readiness import ReadinessReport

_LOG = logging.getLogger(__name__)
# Whoever asks more often than this gets the same answer: the checks ask the stores.
_HOLD_S = 2.0


def health_routes(check: Callable[[], ReadinessReport]) -> APIRouter:
    """The two routes; the report's checks run when asked, at most every two seconds."""
    router = APIRouter(include_in_schema=False)
    lock = asyncio.Lock()
    held: list[tuple[float, ReadinessReport]] = []

    @router.get("/healthz")
    async def healthz() -> Response:
        return PlainTextResponse("ok\n")

    @router.get("/readyz")
    async def readyz() -> Response:
        loop = asyncio.get_running_loop()
        async with lock:
            if not held or loop.time() - held[0][0] >= _HOLD_S:
                report = await to_thread.run_sync(check)
                held[:] = [(loop.time(), report)]
                for failed in (one for one in report.checks if not one.ok):
                    _LOG.warning("not ready: %s: %s", failed.name, failed.detail)
            report = held[0][1]
        # Details may name hosts and folders; they are in the log, not in an open answer.
        rows = [{"check": one.name, "ok": one.ok} for one in report.checks]
        return JSONResponse(rows, status_code=200 if report.is_ready else 503)

    return router
