"""`greendc replay FILE --map FILE`: publish a real data file through MQTT."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from greendc.children import stop_on_signals
from greendc.commands.answers import add_json, print_json, settings_of
from greendc.logs import configure_logging
from greendc.wiring import connection_for_site, open_registry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `greendc replay`."""
    parser.add_argument("file", type=Path, metavar="FILE", help="CSV or Parquet")
    parser.add_argument("--map", type=Path, required=True, dest="map_file", metavar="FILE")
    speed = parser.add_mutually_exclusive_group()
    speed.add_argument("--speed", type=float, help="recorded seconds a second")
    speed.add_argument(
        "--fast", action="store_true", help="as fast as the broker takes it (default)"
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Publish every row and wait for the broker's acknowledgements."""
    settings = settings_of(arguments)
    configure_logging(settings.log.format, settings.log.level)
    registry = open_registry(settings)
    from sims.replay import run_replay

    stop = stop_on_signals()
    count = run_replay(
        arguments.file,
        arguments.map_file,
        lambda site_id: connection_for_site(settings, site_id),
        speed=arguments.speed,
        registry=registry,
        stop=stop,
        progress=lambda share, text: print(
            f"replay: {share:6.1%} {text}", file=sys.stderr, flush=True
        ),
    )
    if arguments.json:
        print_json({"published": count.published, "acknowledged": count.acknowledged})
    else:
        print(f"published {count.published} readings, {count.acknowledged} acknowledged")
    return 0 if count.published == count.acknowledged else 1
