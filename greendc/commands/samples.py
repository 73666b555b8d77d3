"""`greendc samples`: what the store holds of one series, each stored row once, in time order."""

from __future__ import annotations

import argparse
import csv
import sys

from core.errors import NotFoundError
from core.metrics import CATALOGUE
from core.periods import format_time
from greendc.commands.answers import (
    add_json,
    add_period,
    period_of,
    print_json,
    print_table,
    settings_of,
)
from greendc.wiring import open_registry, open_store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `greendc samples`."""
    parser.add_argument("--site", required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--metric", required=True)
    add_period(parser)
    parser.add_argument("--format", choices=["table", "csv"], default="table")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Read one series and print it."""
    settings = settings_of(arguments)
    site = open_registry(settings).site(arguments.site)
    device = site.device(arguments.device)
    metric = CATALOGUE.get((device.family, arguments.metric))
    if metric is None:
        raise NotFoundError(f"{device.family} has no metric {arguments.metric!r}")
    period = period_of(arguments, site)
    store = open_store(settings, role="read")
    try:
        found = store.read_samples(
            site.id, device.family, period, devices=[device.id], metrics=[metric.name]
        )
    finally:
        store.close()
    pairs = [
        (format_time(int(time_ms)), float(value))
        for series in found
        for time_ms, value in zip(series.time_ms, series.value, strict=True)
    ]
    if arguments.json:
        print_json({"unit": metric.unit, "samples": pairs})
    elif arguments.format == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(["time", "value"])
        writer.writerows((time, repr(value)) for time, value in pairs)
    else:
        print_table(["time", f"{metric.name} [{metric.unit}]"], pairs)
    return 0
