"""The `greendc` command line: a table of commands, each imported when it runs.

Exit codes: 0 done; 1 the answer is no (problems found, not everything acknowledged); 2 the question
or the configuration is wrong, nothing was started; 3 a service that is needed cannot be reached; 4
what was asked for does not exist or may not be used; 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from core.errors import (
    BrokerUnavailableError,
    ConfigurationError,
    GreendcError,
    InsufficientDataError,
    NotFoundError,
    StoreMisconfiguredError,
    StoreUnavailableError,
)


@dataclass(frozen=True, slots=True)
class Command:
    """One command of the first level.

    Attributes:
        module: Module of `greendc.commands` with `add_arguments(parser)` and `run(arguments)`.
        summary: One line for `greendc --help`.
    """

    module: str
    summary: str


COMMANDS: dict[str, Command] = {
    "serve": Command("processes", "run everything in one process tree"),
    "ingest": Command("processes", "MQTT to the store, nothing lost"),
    "analytics": Command("processes", "intervals, energy and KPIs on schedule"),
    "dashboard": Command("processes", "the board"),
    "sims": Command("sims", "simulated sites publish as real ones would"),
    "demo": Command(
        "demo", "broker, store, simulated sites with history, board: all on this machine"
    ),
    "config": Command("config", "show: every setting, its value and where it came from"),
    "sites": Command("sites", "check: every problem of every site file"),
    "samples": Command("samples", "what the store holds of one series"),
    "intervals": Command("intervals", "15-minute intervals and their sums"),
    "kpi": Command("kpi", "KPIs with coverage, category and sources"),
    "forecast": Command("forecast", "what is expected, with measured bands and their record"),
    "report": Command("report", "build, list, show: a month's report as PDF and JSON"),
    "ledger": Command("ledger", "what became of every reading received"),
    "quarantine": Command("quarantine", "list, show, replay, discard; counts, reasons"),
    "audit": Command("audit", "list, verify: who did what, as an unbroken chain"),
    "replay": Command("replay", "publish a real data file through MQTT"),
    "mapping": Command("mapping", "test: what a mapping file makes of a payload"),
    "import": Command("import_sheet", "publish hand-read meters from a CSV or XLSX sheet"),
    "broker": Command("broker", "acl, config, secrets, certificates: for the Mosquitto in front"),
    "doctor": Command("doctor", "check settings, folders, broker, stores, clock, ports"),
}


_EXIT_CODES: tuple[tuple[tuple[type[GreendcError], ...], int], ...] = (
    ((StoreUnavailableError, BrokerUnavailableError), 3),
    ((StoreMisconfiguredError,), 2),
    ((NotFoundError, InsufficientDataError), 4),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser, chosen = _parser(arguments)
    parsed = parser.parse_args(arguments)
    if not chosen:
        parser.print_help()
        return 2
    run: Callable[[argparse.Namespace], int] = parsed.run
    try:
        return run(parsed)
    except ConfigurationError as error:
        print("greendc: the configuration cannot be used:", file=sys.stderr)
        for problem in error.problems:
            print(f"  {problem}", file=sys.stderr)
        return 2
    except GreendcError as error:
        print(f"greendc: {error}", file=sys.stderr)
        return _exit_code(error)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of a pipe has gone (`| head`): say nothing more, also at interpreter exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _exit_code(error: GreendcError) -> int:
    for kinds, code in _EXIT_CODES:
        if isinstance(error, kinds):
            return code
    return 1


def _parser(arguments: Sequence[str]) -> tuple[argparse.ArgumentParser, str]:
    parser = argparse.ArgumentParser(
        prog="greendc",
        description="From a data centre's meters over MQTT to numbers that can be checked.",
    )
    parser.add_argument(
        "--config", metavar="FILE", help="settings file (TOML); see docs/settings.md"
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    chosen = _chosen(arguments)
    for name, command in COMMANDS.items():
        sub = commands.add_parser(name, help=command.summary, description=command.summary)
        if name == chosen:
            module = importlib.import_module(f"greendc.commands.{command.module}")
            module.add_arguments(sub)
            sub.set_defaults(run=module.run)
    return parser, chosen


def _chosen(arguments: Sequence[str]) -> str:
    # Only the chosen command's module is imported: the others' arguments are never needed.
    skip = False
    for argument in arguments:
        if skip:
            skip = False
        elif argument == "--config":
            skip = True
        elif not argument.startswith("-"):
            return argument if argument in COMMANDS else ""
    return ""
