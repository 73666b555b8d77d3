"""`greendc serve | ingest | analytics | dashboard`: the long-running processes.

SIGTERM ends each within ten seconds with nothing lost and exit code 0.
"""

from __future__ import annotations

import argparse
import gc
import logging
import signal
from collections.abc import Callable

from core.clock import SystemClock
from greendc.children import ChildProcesses, call_on_hangup, stop_on_signals
from greendc.commands.answers import settings_of
from greendc.logs import configure_logging
from greendc.settings import Settings

_LOG = logging.getLogger(__name__)
# About one large commit's worth.
_OBJECTS_A_COLLECTION = 50_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The processes take everything from the settings."""


def run(arguments: argparse.Namespace) -> int:
    """Run the process that was named until SIGTERM."""
    settings = settings_of(arguments)
    configure_logging(settings.log.format, settings.log.level)
    running: dict[str, Callable[[], int]] = {
        "ingest": lambda: run_ingest(settings),
        "analytics": lambda: run_analytics(settings),
        "dashboard": lambda: run_dashboard(settings),
        "serve": lambda: run_serve(settings, arguments.config),
    }
    return running[arguments.command]()


def run_ingest(settings: Settings) -> int:
    """MQTT to the store."""
    from greendc.ingest_process import IngestProcess

    # First of all: a process that is told to end while it starts ends in order, too.
    stop = stop_on_signals()
    with IngestProcess(settings, SystemClock()) as process:
        call_on_hangup(process.reload)
        # What was made until now stays: it is not looked through again for every few messages.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_OBJECTS_A_COLLECTION, 20, 20)
        process.run_until(stop)
    return 0


def run_analytics(settings: Settings) -> int:
    """Intervals and KPIs on schedule."""
    from greendc.analytics_process import AnalyticsProcess

    stop = stop_on_signals()
    with AnalyticsProcess(settings, SystemClock()) as process:
        process.run_until(stop)
    return 0


def run_dashboard(settings: Settings) -> int:
    """The board."""
    from greendc.board_process import run_board

    return run_board(settings, SystemClock(), stop_on_signals())


def run_serve(settings: Settings, config: str | None) -> int:
    """Ingest, analytics and board as children of one process."""
    from greendc.wiring import open_mappings, open_records, open_registry, prepare_data_dir

    # Whatever is wrong is said once here, before any child starts.
    open_registry(settings)
    open_mappings(settings)
    prepare_data_dir(settings)
    open_records(settings).close()
    stop = stop_on_signals()
    children = ChildProcesses()
    base = ["--config", config] if config else []
    try:
        children.start("ingest", [*base, "ingest"], {})
        call_on_hangup(lambda: children.send("ingest", signal.SIGHUP))
        # One configured health port serves the ingester; the analytics take any free one.
        children.start("analytics", [*base, "analytics"], {"GREENDC_HEALTH__PORT": "0"})
        children.start("dashboard", [*base, "dashboard"], {})
        children.watch(stop)
    finally:
        children.stop()
    return 2 if children.failed else 0
