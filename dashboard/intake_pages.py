"""`/s/{site}/intake`: ledger and quarantine of a site, one entry, and the work on them.

A replay or a discard is a request in the records, which the ingester of the site carries out; the
page waits a moment for it and shows what became of it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import Any
from urllib.parse import urlencode

from anyio import to_thread
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.clock import Clock
from core.errors import NotFoundError
from core.ledger import QuarantineEntry, QuarantineRequest
from core.reasons import REASONS
from core.sites import Site, SiteRegistry
from dashboard.chart_page import ChartPages, PageAsk
from dashboard.intake_charts import intake_resolution, pieces_of, read_hours, sum_hours
from dashboard.intake_desk import IntakeDesk
from dashboard.intake_views import (
    MOST_ENTRIES,
    entry_view,
    ledger_view,
    outcome_view,
    quarantine_view,
)
from dashboard.login import is_equal, read_fields
from dashboard.page_context import read_choices
from dashboard.permissions import ForbiddenError, NoSuchSiteError, authorize
from dashboard.problems import problem_response
from dashboard.shell import Shell
from dashboard.visitors import current_visitor
from dashboard.words import load_words

_LOG = logging.getLogger(__name__)
_WAIT_S = 4.0
_POLL_S = 0.2
_LONGEST_NOTE = 500
# Button of the form -> (action of the request, whether held values may be replaced).
_WORK = {
    "replay": ("replay", False),
    "correct": ("replay", True),
    "discard": ("discard", False),
}


class IntakePages:
    """Renders the pages and files the requests, for the visitor of the request."""

    def __init__(
        self,
        *,
        registry: SiteRegistry,
        shell: Shell,
        charted: ChartPages,
        desk: IntakeDesk | None,
        clock: Clock,
    ) -> None:
        """Take the parts; without a desk the page says that there is no ledger here."""
        self._registry = registry
        self._shell = shell
        self._charted = charted
        self._desk = desk
        self._clock = clock

    def routes(self) -> APIRouter:
        """`/s/{site}/intake` and what is below it."""
        router = APIRouter(include_in_schema=False)
        router.get("/s/{site_id}/intake")(self.overview)
        router.post("/s/{site_id}/intake")(self.work)
        router.get("/s/{site_id}/intake/{entry_id}")(self.entry)
        router.get("/s/{site_id}/intake/{entry_id}/payload")(self.payload)
        return router

    async def overview(self, request: Request, site_id: str) -> Response:
        """Ledger, charts, quarantine; with `?request=` what became of it."""
        asked = request.query_params.get("request", "")
        done = await self._settled(asked, site_id) if asked else None
        reason = request.query_params.get("reason", "")
        window = {
            name: request.query_params[name]
            for name in ("range", "from", "to")
            if request.query_params.get(name, "")
        }
        values = partial(
            self._values,
            reason=reason if reason in REASONS else "",
            query=urlencode(window),
            done=done,
            fault=request.query_params.get("fault", ""),
        )
        return await self._charted.answer(request, site_id, "intake", "intake.html", values)

    def _values(
        self,
        ask: PageAsk,
        *,
        reason: str,
        query: str,
        done: QuarantineRequest | None,
        fault: str,
    ) -> dict[str, Any]:
        site, words = ask.site, ask.words
        path = f"/s/{site.id}/intake"
        outcome = outcome_view(done, words) if done is not None else None
        fault_words = {
            "none": "intake.fault_none",
            "note": "intake.fault_note",
            "form": "login.expired_form",
        }
        told = words(fault_words[fault]) if fault in fault_words else ""
        shared = {"path": path, "outcome": outcome, "fault_words": told}
        if self._desk is None:
            return {**shared, "ledger": None, "quarantine": None}
        records = self._desk.records
        pieces = pieces_of(ask.chart)
        sums = sum_hours(read_hours(ask.chart), pieces)
        by_day = intake_resolution(ask.chart.history) == "day"
        alarms = records.read_imbalances(site.id)
        entries = records.read_quarantine(
            sites=[site.id], reason=reason or None, limit=MOST_ENTRIES
        )
        return {
            **shared,
            "ledger": ledger_view(pieces, sums, alarms, site, words, by_day=by_day),
            "quarantine": quarantine_view(
                entries,
                records.count_open_reasons(site.id),
                site,
                words,
                reason=reason,
                path=path,
                query=query,
            ),
        }

    async def _settled(self, asked: str, site_id: str) -> QuarantineRequest | None:
        """The request, waited for a moment; None where it is none of this site."""
        desk = self._desk
        if desk is None or not asked.isdigit() or len(asked) > 12:
            return None
        deadline = time.monotonic() + _WAIT_S
        while True:
            try:
                request = await to_thread.run_sync(desk.records.read_quarantine_request, int(asked))
            except NotFoundError:
                return None
            if request.state == "done" or time.monotonic() >= deadline:
                break
            await asyncio.sleep(_POLL_S)
        first = list(request.entry_ids[:1])
        held = await to_thread.run_sync(desk.records.read_quarantine_entries, first)
        return request if any(entry.site == site_id for entry in held.values()) else None

    # ------------------------------------------------------------ one entry

    async def entry(self, request: Request, site_id: str, entry_id: str) -> Response:
        """One entry: why, and its bytes."""
        choices = read_choices(request, current_visitor())
        found = await self._find(request, site_id, entry_id)
        if isinstance(found, Response):
            return found
        site, entry = found
        view = entry_view(entry, site, load_words()[choices.language])
        return self._shell.answer(
            request,
            "intake_entry.html",
            choices,
            site,
            here="intake",
            is_live=False,
            view=view,
            path=f"/s/{site.id}/intake",
        )

    async def payload(self, request: Request, site_id: str, entry_id: str) -> Response:
        """The bytes of an entry as a download that no browser will open."""
        found = await self._find(request, site_id, entry_id)
        if isinstance(found, Response):
            return found
        _, entry = found
        return Response(
            entry.payload,
            media_type="application/octet-stream",
            headers={
                "Content-Disposition": f'attachment; filename="{entry.id}.bin"',
                "X-Content-Type-Options": "nosniff",
                "Content-Security-Policy": "sandbox; default-src 'none'",
            },
        )

    async def _find(
        self, request: Request, site_id: str, entry_id: str
    ) -> tuple[Site, QuarantineEntry] | Response:
        """The entry, if the person may see it; one of another site is none."""
        try:
            site = authorize(current_visitor().account, "quarantine", site_id, self._registry)
        except NoSuchSiteError:
            return self._shell.message(request, 404)
        except ForbiddenError:
            return self._shell.message(request, 403)
        if self._desk is None:
            return self._shell.message(request, 404)
        held = await to_thread.run_sync(self._desk.records.read_quarantine_entries, [entry_id])
        entry = held.get(entry_id)
        if entry is None or entry.site != site.id:
            return self._shell.message(request, 404)
        return site, entry

    # ------------------------------------------------------------ work

    async def work(self, request: Request, site_id: str) -> Response:
        """File a replay or a discard of chosen entries, or of all of a reason."""
        visitor = current_visitor()
        try:
            site = authorize(visitor.account, "quarantine", site_id, self._registry)
        except NoSuchSiteError:
            return self._shell.message(request, 404)
        except ForbiddenError:
            return self._shell.message(request, 403)
        fields = await read_fields(request)
        if fields is None or self._desk is None:
            return problem_response(400)
        back = f"/s/{site.id}/intake"

        def first(name: str) -> str:
            return fields.get(name, [""])[0]

        if not is_equal(first("csrf"), visitor.session.csrf):
            return RedirectResponse(f"{back}?fault=form", 303)
        if first("work") not in _WORK:
            return problem_response(400, "work is replay, correct or discard")
        action, as_correction = _WORK[first("work")]
        note = first("note").strip()[:_LONGEST_NOTE]
        if not note and (action == "discard" or as_correction):
            # Both are decisions about data that somebody has to answer for.
            return RedirectResponse(f"{back}?fault=note#quarantine", 303)
        chosen = await to_thread.run_sync(
            self._chosen, site.id, fields.get("entry", []), first("all"), first("reason")
        )
        if not chosen:
            return RedirectResponse(f"{back}?fault=none#quarantine", 303)
        number = await to_thread.run_sync(
            partial(
                self._desk.records.request_quarantine_work,
                action,
                chosen,
                as_correction=as_correction,
                requested_by=visitor.account.username,
                note=note,
                now=self._clock.now(),
            )
        )
        _LOG.info(
            "%s asks for %s of %d entries of %s",
            visitor.account.username, action, len(chosen), site.id,
        )  # fmt: skip
        return RedirectResponse(f"{back}?request={number}", 303)

    def _chosen(self, site_id: str, ids: list[str], everything: str, reason: str) -> list[str]:
        """Open entries of this site and of no other, whatever the form names."""
        assert self._desk is not None
        records = self._desk.records
        if everything:
            return records.read_quarantine_ids(
                sites=[site_id], reason=reason if reason in REASONS else None
            )
        held = records.read_quarantine_entries(ids)
        return [
            entry_id
            for entry_id in dict.fromkeys(ids)
            if entry_id in held
            and held[entry_id].site == site_id
            and held[entry_id].state == "open"
        ]
