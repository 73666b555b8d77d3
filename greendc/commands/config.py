"""`greendc config show`."""

from __future__ import annotations

import argparse

from greendc.commands.answers import add_json, print_json, print_table
from greendc.settings import describe, load_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `greendc config`."""
    parser.add_argument("action", choices=["show"])
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print every setting, masked where secret, with its variable and origin."""
    rows = describe(load_settings(arguments.config))
    if arguments.json:
        print_json(rows)
    else:
        print_table(
            ["setting", "value", "from", "variable"],
            [(row["key"], row["value"], row["origin"], row["variable"]) for row in rows],
        )
    return 0
