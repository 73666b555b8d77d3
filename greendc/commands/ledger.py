"""`greendc ledger`: received = stored + duplicate + quarantined + rejected + still spooled."""

from __future__ import annotations

import argparse
from typing import Any

from core.ledger import LedgerCounts
from core.periods import format_time
from greendc.commands.answers import (
    add_json,
    add_period,
    period_of,
    print_json,
    print_table,
    settings_of,
)
from greendc.wiring import open_records, open_registry

_COLUMNS = (
    "received",
    "stored",
    "duplicate",
    "quarantined",
    "rejected",
    "spooled",
    "balanced",
    "late",
    "discarded",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `greendc ledger`."""
    parser.add_argument("--site", required=True)
    add_period(parser)
    add_json(parser)


def _row(counts: LedgerCounts) -> dict[str, Any]:
    return {name: getattr(counts, name) for name in _COLUMNS}


def run(arguments: argparse.Namespace) -> int:
    """Print the sums and the hours of receipt that begin in the period."""
    settings = settings_of(arguments)
    site = open_registry(settings).site(arguments.site)
    period = period_of(arguments, site)
    from ingest.ledger import read_ledger

    records = open_records(settings)
    try:
        hours = read_ledger(records, settings.spool_dir, site.id, period)
    finally:
        records.close()
    total = sum((hour.counts for hour in hours), LedgerCounts())
    rows = [{"start": format_time(hour.hour_ms), **_row(hour.counts)} for hour in hours]
    if arguments.json:
        print_json({**_row(total), "hours": rows})
        return 0
    lines = [(row["start"], *[row[name] for name in _COLUMNS]) for row in rows]
    lines.append(("sum", *_row(total).values()))
    print_table(["hour of receipt", *_COLUMNS], lines)
    return 0
