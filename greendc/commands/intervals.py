"""`greendc intervals`: 15-minute intervals of one series, or their sums."""

from __future__ import annotations

import argparse

from core.errors import NotFoundError
from core.metrics import CATALOGUE
from greendc.commands.answers import (
    add_json,
    add_period,
    period_of,
    print_json,
    print_table,
    settings_of,
)
from greendc.wiring import open_records, open_registry, open_store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `greendc intervals`."""
    parser.add_argument("--site", required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--metric", required=True)
    add_period(parser)
    parser.add_argument("--resolution", choices=["15m", "hour", "day", "month"], default="15m")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print start, end, seconds, count, min, max, mean, increase, coverage, source."""
    settings = settings_of(arguments)
    site = open_registry(settings).site(arguments.site)
    device = site.device(arguments.device)
    if (device.family, arguments.metric) not in CATALOGUE:
        raise NotFoundError(f"{device.family} has no metric {arguments.metric!r}")
    period = period_of(arguments, site, aligned=True)
    from analytics.intervals import read_interval_rows

    store, records = open_store(settings, role="read"), open_records(settings)
    try:
        rows = read_interval_rows(
            store, records, site, device, arguments.metric, period, arguments.resolution
        )
    finally:
        store.close()
        records.close()
    if arguments.json:
        print_json(rows)
        return 0
    headings = list(rows[0]) if rows else ["start"]
    print_table(headings, [[row[name] for name in headings] for row in rows])
    return 0
