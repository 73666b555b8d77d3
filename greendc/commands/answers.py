"""How commands answer: a table for people, or exactly one JSON document on standard output."""

from __future__ import annotations

import argparse
import json
import sys
import unicodedata
from collections.abc import Sequence
from typing import Any

from core.errors import ConfigurationError, Problem
from core.periods import INTERVAL_MS, Period, parse_moment
from core.sites import Site
from greendc.settings import Settings, load_settings


def settings_of(arguments: argparse.Namespace) -> Settings:
    """The settings for a command, from `--config`, `GREENDC_CONFIG` and the environment."""
    return load_settings(arguments.config).settings


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")


def add_period(parser: argparse.ArgumentParser) -> None:
    """Add `--from` and `--to`."""
    form = "RFC 3339 with offset, or a local date of the site (2026-11-01)"
    parser.add_argument("--from", dest="start", required=True, metavar="TIME", help=form)
    parser.add_argument(
        "--to", dest="end", required=True, metavar="TIME", help=f"{form}; exclusive"
    )


def period_of(arguments: argparse.Namespace, site: Site, *, aligned: bool = False) -> Period:
    """The period asked for, in the site's zone.

    Args:
        aligned: Whether both ends have to lie on the 15-minute grid.

    Raises:
        ConfigurationError: A time cannot be read, the end is not after the start, or the grid.
    """
    moments = []
    for option, text in (("--from", arguments.start), ("--to", arguments.end)):
        try:
            moments.append(parse_moment(text, site.zone))
        except ValueError:
            hint = "like 2026-11-01T00:00:00+09:00, or a local date like 2026-11-01"
            raise ConfigurationError(
                [Problem("arguments", option, f"{text!r} is no time with an offset", hint)]
            ) from None
    try:
        period = Period(moments[0], moments[1])
    except ValueError as error:
        raise ConfigurationError(
            [Problem("arguments", "--to", str(error), "choose an end after the start")]
        ) from None
    if aligned and (period.start_ms % INTERVAL_MS or period.end_ms % INTERVAL_MS):
        raise ConfigurationError(
            [
                Problem(
                    "arguments",
                    "--from/--to",
                    "KPIs and intervals stand on the 15-minute grid",
                    "use times at :00, :15, :30 or :45",
                )
            ]
        )
    return period


def print_json(document: Any) -> None:
    """Write one JSON document and nothing else."""
    json.dump(document, sys.stdout, ensure_ascii=False, allow_nan=False)
    sys.stdout.write("\n")


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def print_table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows under headings; numbers to the right, wide characters counted as two."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [
        max([_width(heading), *(_width(row[column]) for row in cells)])
        for column, heading in enumerate(headings)
    ]
    right = [
        any(isinstance(row[column], int | float) for row in rows) for column in range(len(headings))
    ]
    for line in [list(headings), *cells]:
        parts = []
        for text, width, to_right in zip(line, widths, right, strict=True):
            padding = " " * (width - _width(text))
            parts.append(padding + text if to_right else text + padding)
        print("  ".join(parts).rstrip())


def _cell(value: Any) -> str:
    if value is None:
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.3f}".rstrip("0").rstrip(".")
    text = str(value)
    return "".join(c if c.isprintable() else "·" for c in text)
