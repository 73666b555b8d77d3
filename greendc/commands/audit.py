"""`greendc audit`: who did what, as a chain in which nothing can be changed unseen."""

from __future__ import annotations

import argparse
from typing import Any

from core.periods import format_time
from greendc.commands.answers import add_json, print_json, print_table, settings_of
from greendc.wiring import open_records

_COLUMNS = ("number", "time", "actor", "address", "action", "target", "outcome")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `greendc audit`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="entries, newest first")
    listing.add_argument("--limit", type=int, default=100, metavar="N", help="default: 100")
    listing.add_argument("--before", type=int, metavar="NUMBER", help="only older ones, to page on")
    add_json(listing)
    verify = actions.add_parser("verify", help="compute the chain again; exit 1 where it is broken")
    add_json(verify)


def run(arguments: argparse.Namespace) -> int:
    """Print the entries, or whether the chain is whole."""
    records = open_records(settings_of(arguments))
    try:
        if arguments.action == "list":
            rows = [
                {
                    "number": entry.number,
                    "time": format_time(entry.at),
                    "actor": entry.actor,
                    "address": entry.address,
                    "action": entry.action,
                    "target": entry.target,
                    "outcome": entry.outcome,
                    "sha256": entry.sha256,
                }
                for entry in records.read_audit(limit=arguments.limit, before=arguments.before)
            ]
            _print_rows(rows, as_json=arguments.json)
            return 0
        broken = records.verify_audit()
        newest = next(iter(records.read_audit(limit=1)), None)
    finally:
        records.close()
    verdict: dict[str, Any] = {
        "whole": broken is None,
        "first_broken": broken,
        "entries": 0 if newest is None else newest.number,
        "last_sha256": None if newest is None else newest.sha256,
    }
    if arguments.json:
        print_json(verdict)
    elif broken is None:
        print(f"whole: {verdict['entries']} entries, the last one {verdict['last_sha256']}")
    else:
        print(f"broken at entry {broken}: it is missing or has been changed")
    return 0 if broken is None else 1


def _print_rows(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json(rows)
    else:
        print_table(_COLUMNS, [[row[name] for name in _COLUMNS] for row in rows])
