"""`greendc import FILE --map FILE`: publish the readings of hand-read meters through MQTT."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from core.clock import SystemClock
from greendc.children import stop_on_signals
from greendc.commands.answers import add_json, print_json, settings_of
from greendc.logs import configure_logging
from greendc.wiring import connection_for_site, open_registry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `greendc import`."""
    parser.add_argument("file", type=Path, metavar="FILE", help="CSV or XLSX")
    parser.add_argument("--map", type=Path, required=True, dest="map_file", metavar="FILE")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Publish every reading and wait for the broker's acknowledgements."""
    settings = settings_of(arguments)
    configure_logging(settings.log.format, settings.log.level)
    registry = open_registry(settings)
    from sims.hand_read import run_import

    count = run_import(
        arguments.file,
        arguments.map_file,
        lambda site_id: connection_for_site(settings, site_id),
        registry=registry,
        clock=SystemClock(),
        stop=stop_on_signals(),
        progress=lambda _share, text: print(f"import: {text}", file=sys.stderr, flush=True),
    )
    if arguments.json:
        print_json({"published": count.published, "acknowledged": count.acknowledged})
    else:
        print(f"published {count.published} readings, {count.acknowledged} acknowledged")
    return 0 if count.published == count.acknowledged else 1
