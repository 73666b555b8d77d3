"""`greendc mapping test FILE --topic T --payload FILE`: what a mapping makes of a payload."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.clock import SystemClock
from core.errors import ConfigurationError, Problem
from core.periods import format_time, parse_rfc3339, to_ms
from core.reasons import REASONS
from greendc.commands.answers import add_json, print_json, print_table, settings_of
from greendc.wiring import read_site_files

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingest.mapping_trial import TrialReading, TrialRefusal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `greendc mapping`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    test = actions.add_parser("test", help="try a mapping file on a payload; nothing is stored")
    test.add_argument("file", type=Path, metavar="FILE", help="the mapping file")
    test.add_argument("--topic", required=True, metavar="T", help="topic of the message")
    test.add_argument("--payload", required=True, type=Path, metavar="FILE", help="its bytes")
    test.add_argument(
        "--before",
        nargs=2,
        action="append",
        default=[],
        metavar=("T", "FILE"),
        help="a message that came before, such as a birth of Sparkplug; may be repeated, in order",
    )
    test.add_argument(
        "--site-dir", type=Path, metavar="DIR", help="site files; default: GREENDC_SITES_DIR"
    )
    test.add_argument(
        "--at",
        metavar="TIME",
        help="time of receipt (RFC 3339 with offset), to judge the time window too",
    )
    add_json(test)


def run(arguments: argparse.Namespace) -> int:
    """Print readings and refusals; exit 1 where there are refusals, 2 for a wrong file."""
    from core.site_files import build_registry
    from ingest.mapping_files import build_mappings
    from ingest.mapping_trial import try_mapping

    text = _read(arguments.file).decode("utf-8", "backslashreplace")
    mappings = build_mappings({str(arguments.file): text})
    payload = _read(arguments.payload)
    folder = arguments.site_dir or settings_of(arguments).sites_dir
    registry = build_registry(read_site_files(folder))
    readings, refusals = try_mapping(
        mappings,
        registry,
        arguments.topic,
        payload,
        now_ms=SystemClock().now_ms(),
        received_ms=_received_ms(arguments.at),
        before=[(topic, _read(Path(file))) for topic, file in arguments.before],
    )
    if arguments.json:
        print_json(
            {
                "readings": [_reading(reading) for reading in readings],
                "refusals": [_refusal(refusal) for refusal in refusals],
            }
        )
    else:
        _print_tables(readings, refusals)
    return 1 if refusals else 0


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        problem = f"cannot be read: {error.strerror or error}"
        raise ConfigurationError(
            [Problem(str(path), "", problem, "name a readable file")]
        ) from None


def _received_ms(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return to_ms(parse_rfc3339(text))
    except ValueError:
        hint = "like 2026-11-20T09:15:00+09:00"
        raise ConfigurationError(
            [Problem("arguments", "--at", f"{text!r} is no time with an offset", hint)]
        ) from None


def _reading(reading: TrialReading) -> dict[str, Any]:
    return {
        "site": reading.site,
        "device": reading.device,
        "family": reading.family,
        "ts": format_time(reading.time_ms),
        "quality": reading.quality,
        "values": reading.values,
        "line": reading.row + 1,
    }


def _refusal(refusal: TrialRefusal) -> dict[str, Any]:
    return {
        "reason": refusal.reason,
        "verdict": REASONS[refusal.reason].verdict,
        "detail": refusal.detail,
        "line": None if refusal.row is None else refusal.row + 1,
    }


def _print_tables(readings: Sequence[TrialReading], refusals: Sequence[TrialRefusal]) -> None:
    from core.metrics import CATALOGUE

    print_table(
        ["line", "site", "device", "time", "metric", "value", "unit"],
        [
            (
                *(reading.row + 1, reading.site, reading.device, format_time(reading.time_ms)),
                *(metric, value, CATALOGUE[reading.family, metric].unit),
            )
            for reading in readings
            for metric, value in reading.values.items()
        ],
    )
    if refusals:
        print()
        print_table(
            ["line", "refused", "why"],
            [
                (
                    "all" if refusal.row is None else str(refusal.row + 1),
                    refusal.reason,
                    refusal.detail,
                )
                for refusal in refusals
            ],
        )
