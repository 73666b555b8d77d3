"""`greendc sims` and `greendc sims backfill`: simulated sites, live or with history."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core.clock import SystemClock
from core.errors import ConfigurationError, Problem
from core.sites import SiteRegistry
from greendc.children import stop_on_signals
from greendc.commands.answers import settings_of
from greendc.logs import configure_logging
from greendc.settings import Settings
from greendc.wiring import connection_for_site, open_registry

if TYPE_CHECKING:
    from sims.faults import Fault

DEFAULT_SEED = 20_260_101


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `greendc sims`."""
    parser.add_argument("action", nargs="?", choices=["live", "backfill"], default="live")
    parser.add_argument(
        "--site", action="append", metavar="S", help="repeatable; default: every simulated site"
    )
    parser.add_argument("--speed", type=float, default=1.0, help="live: simulated seconds a second")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    parser.add_argument("--faults", type=Path, metavar="FILE", help="faults to inject (TOML)")
    parser.add_argument("--truth", type=Path, metavar="FILE", help="write the exact figures here")
    parser.add_argument("--days", type=float, help="backfill: days of history up to now")
    parser.add_argument("--cadence", type=float, help="backfill: seconds between two readings")


def simulated_sites(registry: SiteRegistry, wanted: list[str] | None) -> list[str]:
    """Ids of the sites to simulate.

    Raises:
        NotFoundError: A named site does not exist.
        ConfigurationError: A named site is planned or measured, or there is none to simulate.
    """
    if wanted:
        for site_id in wanted:
            site = registry.site(site_id)
            if site.status != "operating" or not site.is_simulated:
                hint = 'only an operating site with data = "simulated" can be simulated'
                problem = f"site {site_id} is {site.status} with {site.data} data"
                raise ConfigurationError([Problem("arguments", "--site", problem, hint)])
        return wanted
    found = [s.id for s in registry if s.status == "operating" and s.is_simulated]
    if not found:
        hint = 'declare data = "simulated" in a site file'
        raise ConfigurationError([Problem("registry", "", "no simulated site", hint)])
    return found


def run(arguments: argparse.Namespace) -> int:
    """Publish until told to stop (live) or until all of the history is acknowledged (backfill)."""
    settings = settings_of(arguments)
    configure_logging(settings.log.format, settings.log.level)
    registry = open_registry(settings)
    sites = simulated_sites(registry, arguments.site)
    if arguments.action == "backfill":
        return _backfill(arguments, settings, registry, sites)
    from sims.live import run_live

    run_live(
        registry,
        sites,
        lambda site_id: connection_for_site(settings, site_id),
        seed=arguments.seed,
        speed=arguments.speed,
        clock=SystemClock(),
        stop=stop_on_signals(),
        faults=_faults(arguments.faults),
        truth_path=arguments.truth,
    )
    return 0


def _backfill(
    arguments: argparse.Namespace, settings: Settings, registry: SiteRegistry, sites: list[str]
) -> int:
    problems = [
        Problem(
            "arguments", f"--{name}", "is needed for a backfill", f"for example --{name} {hint}"
        )
        for name, hint in (("days", "60"), ("cadence", "300"))
        if not getattr(arguments, name)
    ]
    if problems:
        raise ConfigurationError(problems)
    from sims.backfill import run_backfill

    def progress(share: float, text: str) -> None:
        print(f"backfill: {share:6.1%} {text}", file=sys.stderr, flush=True)

    stop = stop_on_signals()
    count = run_backfill(
        registry,
        sites,
        lambda site_id: connection_for_site(settings, site_id),
        seed=arguments.seed,
        days=arguments.days,
        cadence_s=arguments.cadence,
        now=SystemClock().now(),
        stop=stop,
        progress=progress,
        faults=_faults(arguments.faults),
        truth_path=arguments.truth,
    )
    print(f"published {count.published} readings, {count.acknowledged} acknowledged")
    return 0 if count.published == count.acknowledged and not stop.is_set() else 1


def _faults(path: Path | None) -> Sequence[Fault] | None:
    if path is None:
        return None
    from sims.faults import parse_faults

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            [Problem(str(path), "", f"cannot be read: {error}", "name a readable TOML file")]
        ) from None
    return parse_faults(text)
