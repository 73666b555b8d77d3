"""`greendc quarantine`: see, replay and discard what could not be stored.

Replay and discard are requests: the ingester that owns the site carries them out. The command waits
for the outcome while an ingester is running, and says so when none answers.
"""

from __future__ import annotations

import argparse
import base64
import getpass
import time
from typing import TYPE_CHECKING, Any

from core.clock import SystemClock
from core.errors import ConfigurationError, Problem
from core.ledger import QuarantineEntry, sum_counts
from core.periods import calendar_periods, format_time
from core.reasons import REASONS
from core.sites import Site
from greendc.commands.answers import (
    add_json,
    add_period,
    period_of,
    print_json,
    print_table,
    settings_of,
)
from greendc.wiring import open_records, open_registry

if TYPE_CHECKING:
    from storage.records.store import Records

_WAIT_S = 30.0
_WAIT_S_EACH = 0.02
_POLL_S = 0.2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `greendc quarantine`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="open entries, newest first")
    listing.add_argument("--site")
    listing.add_argument("--reason", choices=sorted(REASONS))
    listing.add_argument("--limit", type=int, metavar="N")
    add_json(listing)
    show = actions.add_parser("show", help="one entry with its payload")
    show.add_argument("id")
    add_json(show)
    replay = actions.add_parser("replay", help="decode again and store what can be stored now")
    replay.add_argument("ids", nargs="*", metavar="ID")
    replay.add_argument("--all", action="store_true", help="every open entry")
    replay.add_argument("--site", help="with --all: of this site")
    replay.add_argument(
        "--reason", choices=sorted(REASONS), help="with --all: refused for this reason"
    )
    replay.add_argument(
        "--as-correction", action="store_true", help="a held value may be replaced by the entry's"
    )
    replay.add_argument(
        "--as", dest="person", metavar="NAME", help="who asks; default: this account"
    )
    add_json(replay)
    discard = actions.add_parser("discard", help="give an entry up; it stays counted and shown")
    discard.add_argument("ids", nargs="+", metavar="ID")
    discard.add_argument("--reason", required=True, dest="note")
    discard.add_argument("--as", dest="person", metavar="NAME", help="who asks")
    add_json(discard)
    counts = actions.add_parser("counts", help="readings refused by reason over time of receipt")
    counts.add_argument("--site", required=True)
    add_period(counts)
    counts.add_argument("--by", choices=("hour", "day"), default="hour", help="default: hour")
    add_json(counts)
    reasons = actions.add_parser("reasons", help="the table of reason codes")
    add_json(reasons)


def run(arguments: argparse.Namespace) -> int:
    """Carry out one action."""
    if arguments.action == "reasons":
        return _print_reasons(as_json=arguments.json)
    settings = settings_of(arguments)
    records = open_records(settings)
    try:
        if arguments.action == "counts":
            site = open_registry(settings).site(arguments.site)
            return _print_counts(records, site, arguments)
        if arguments.action == "list":
            entries = records.read_quarantine(
                sites=[arguments.site] if arguments.site else None,
                reason=arguments.reason,
                limit=arguments.limit,
            )
            return _print_entries(entries, as_json=arguments.json)
        if arguments.action == "show":
            return _print_entry(records.read_quarantine_entry(arguments.id), arguments.json)
        return _request(records, arguments)
    finally:
        records.close()


def _print_reasons(*, as_json: bool) -> int:
    if as_json:
        print_json(
            [
                {
                    "reason": reason.code,
                    "verdict": reason.verdict,
                    "text": {"ko": reason.text.ko, "en": reason.text.en},
                }
                for reason in REASONS.values()
            ]
        )
    else:
        print_table(
            ["reason", "verdict", "meaning"],
            [(reason.code, reason.verdict, reason.text.en) for reason in REASONS.values()],
        )
    return 0


def _document(entry: QuarantineEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "time": format_time(entry.received_ms),
        "site": entry.site,
        "topic": entry.topic,
        "reason": entry.reason,
        "count": entry.count,
        "payload_base64": base64.b64encode(entry.payload).decode(),
        "detail": entry.detail,
        "state": entry.state,
    }


def _print_entries(entries: list[QuarantineEntry], *, as_json: bool) -> int:
    if as_json:
        print_json([_document(entry) for entry in entries])
    else:
        print_table(
            ["id", "received", "site", "reason", "count", "topic", "detail"],
            [
                (e.id, format_time(e.received_ms), e.site, e.reason, e.count, e.topic, e.detail)
                for e in entries
            ],
        )
    return 0


def _print_entry(entry: QuarantineEntry, as_json: bool) -> int:
    if as_json:
        print_json(_document(entry))
        return 0
    text = REASONS[entry.reason].text.en if entry.reason in REASONS else entry.reason
    print_table(
        ["", ""],
        [
            ("id", entry.id),
            ("received", format_time(entry.received_ms)),
            ("topic", entry.topic),
            ("reason", f"{entry.reason}: {text}"),
            ("detail", entry.detail),
            ("readings", entry.count),
            ("state", entry.state),
        ],
    )
    print(ascii(entry.payload.decode("utf-8", "backslashreplace")))
    return 0


def _print_counts(records: Records, site: Site, arguments: argparse.Namespace) -> int:
    period = period_of(arguments, site)
    pieces = list(calendar_periods(period, site.zone, arguments.by))
    counts = sum_counts(records.count_quarantine(site.id, period), pieces)
    names = ("entries", "quarantined", "open", "replayed", "discarded")
    rows = [
        {
            "start": format_time(count.start_ms),
            "end": format_time(count.end_ms),
            "reason": count.reason,
            **{name: getattr(count, name) for name in names},
        }
        for count in counts
    ]
    if arguments.json:
        print_json(rows)
    else:
        lines = [(row["start"], row["reason"], *[row[name] for name in names]) for row in rows]
        print_table(["from", "reason", *names], lines)
    return 0


def _request(records: Records, arguments: argparse.Namespace) -> int:
    outcome: dict[str, str] = {}
    # One request a site: each site has an ingester of its own that carries it out.
    filed = [
        (
            records.request_quarantine_work(
                arguments.action,
                ids,
                as_correction=getattr(arguments, "as_correction", False),
                requested_by=arguments.person or getpass.getuser(),
                note=getattr(arguments, "note", ""),
                now=SystemClock().now(),
            ),
            ids,
        )
        for ids in _ids_by_site(records, arguments)
    ]
    deadline = time.monotonic() + _WAIT_S + _WAIT_S_EACH * sum(len(ids) for _, ids in filed)
    for request_id, ids in filed:
        outcome.update(_wait(records, request_id, ids, deadline))
    if arguments.json:
        print_json([{"id": entry_id, "outcome": text} for entry_id, text in outcome.items()])
    else:
        print_table(["id", "outcome"], list(outcome.items()))
    return 0


def _ids_by_site(records: Records, arguments: argparse.Namespace) -> list[list[str]]:
    by_site: dict[str, list[str]] = {}
    if arguments.action == "replay" and arguments.all:
        chosen = [arguments.site] if arguments.site else None
        for site in records.read_quarantine_sites():
            if chosen is None or site in chosen:
                found = records.read_quarantine_ids(sites=[site], reason=arguments.reason)
                by_site[site] = found
        return [ids for ids in by_site.values() if ids]
    if not arguments.ids:
        raise ConfigurationError(
            [Problem("arguments", "ID", "no entry named", "name entries, or use --all")]
        )
    for entry_id in dict.fromkeys(arguments.ids):
        by_site.setdefault(records.read_quarantine_entry(entry_id).site, []).append(entry_id)
    return list(by_site.values())


def _wait(records: Records, request_id: int, ids: list[str], deadline: float) -> dict[str, str]:
    while time.monotonic() < deadline:
        request = records.read_quarantine_request(request_id)
        if request.state == "done":
            return request.outcome
        time.sleep(_POLL_S)
    return dict.fromkeys(ids, f"waiting: no ingester has taken request {request_id} yet")
