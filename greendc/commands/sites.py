"""`greendc sites check [DIR]`."""

from __future__ import annotations

import argparse
from pathlib import Path

from core.errors import ConfigurationError
from core.site_files import parse_site_files
from greendc.commands.answers import add_json, print_json, print_table, settings_of
from greendc.wiring import read_site_files


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `greendc sites`."""
    parser.add_argument("action", choices=["check"])
    parser.add_argument("folder", nargs="?", metavar="DIR", help="default: GREENDC_SITES_DIR")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Parse every site file and list every problem; exit 1 where there is one."""
    folder = Path(arguments.folder) if arguments.folder else settings_of(arguments).sites_dir
    try:
        registry, problems = parse_site_files(read_site_files(folder))
        sites = list(registry)
    except ConfigurationError as error:
        sites, problems = [], error.problems
    if arguments.json:
        print_json(
            {
                "sites": len(sites),
                "devices": sum(len(site.devices) for site in sites),
                "problems": [
                    {"file": p.file, "key": p.key, "problem": p.problem, "hint": p.hint}
                    for p in problems
                ],
            }
        )
    else:
        rows = [
            (site.id, site.name.en, site.status, site.data, len(site.devices)) for site in sites
        ]
        print_table(["site", "name", "status", "data", "devices"], rows)
        for problem in problems:
            print(problem)
    return 1 if problems else 0
