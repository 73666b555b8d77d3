"""`greendc demo`: the whole service on this machine, with simulated sites and their history.

Broker, embedded store, ingester, analytics, board and simulators, all on loopback. Everything lies
in one folder and continues there at the next start.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import secrets
import threading
import time
from datetime import datetime, timedelta
from pathlib import Path

from core.clock import SystemClock
from core.errors import GreendcError
from core.ledger import LedgerCounts
from core.periods import Period, format_time, parse_rfc3339, to_ms
from core.sites import SiteRegistry
from greendc.children import ChildProcesses, stop_on_signals
from greendc.commands.answers import settings_of
from greendc.commands.sims import DEFAULT_SEED, simulated_sites
from greendc.local_broker import LocalBroker, start_local_broker
from greendc.logs import configure_logging
from greendc.settings import Settings, load_settings
from greendc.wiring import (
    connection_for_site,
    open_records,
    open_registry,
    prepare_data_dir,
    read_site_files,
)

_LOG = logging.getLogger(__name__)
HISTORY_CADENCE_S = 300.0
LIVE_CADENCE_S = 10.0
_PROGRESS_S = 5.0
_LIVE_BACKLOG = 1_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `greendc demo`."""
    parser.add_argument("--days", type=float, default=60.0, help="days of history (default 60)")
    parser.add_argument("--folder", type=Path, help="default: demo/ in the data folder")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)


def run(arguments: argparse.Namespace) -> int:
    """Start everything, publish the history, and serve until told to stop."""
    configured = settings_of(arguments)
    configure_logging(configured.log.format, "warning")
    folder = (arguments.folder or configured.data_dir / "demo").absolute()
    prepare_data_dir(configured.model_copy(update={"data_dir": folder}))
    begun, fresh = _begin(folder)
    _write_sites(configured, folder, begun, arguments.days)
    stop = stop_on_signals()
    registry = open_registry(_settings_in(folder, {}))
    broker = start_local_broker(registry, folder / "broker")
    children = ChildProcesses()
    try:
        environment = _environment(folder, broker)
        settings = _settings_in(folder, environment)
        open_records(settings).close()
        children.start("ingest", ["ingest"], environment)
        children.start("analytics", ["analytics"], environment)
        children.start("dashboard", ["dashboard"], environment)
        _wait_for_board(settings, stop)
        _say_where(settings, folder, broker)
        children.start("sims", ["sims", "--seed", str(arguments.seed)], environment)
        history = threading.Thread(
            target=_history,
            args=(settings, registry, begun, arguments, stop, folder, fresh),
            name="history",
            daemon=True,
        )
        history.start()
        children.watch(stop)
    finally:
        stop.set()
        children.stop()
        broker.stop()
    return 2 if children.failed else 0


def _begin(folder: Path) -> tuple[datetime, bool]:
    """When this demo's live readings began, and whether its history is still to be published."""
    marker = folder / "demo.json"
    if marker.exists():
        state = json.loads(marker.read_text(encoding="utf-8"))
        return parse_rfc3339(state["begun"]), not state["history_complete"]
    now = SystemClock().now()
    begun = now - timedelta(seconds=now.timestamp() % HISTORY_CADENCE_S)
    begun = begun.replace(microsecond=0)
    _mark(folder, begun, complete=False)
    return begun, True


def _mark(folder: Path, begun: datetime, *, complete: bool) -> None:
    state = {"begun": format_time(begun), "history_complete": complete}
    part = folder / ".demo.json"
    part.write_text(json.dumps(state) + "\n", encoding="utf-8")
    part.replace(folder / "demo.json")


def _write_sites(configured: Settings, folder: Path, begun: datetime, days: float) -> None:
    from sims.demo_sites import render_demo_site

    sites = folder / "sites"
    sites.mkdir(exist_ok=True)
    for name, text in read_site_files(configured.sites_dir).items():
        rendered = render_demo_site(
            text,
            history_cadence_s=HISTORY_CADENCE_S,
            demo_start=begun,
            live_cadence_s=LIVE_CADENCE_S,
            history_days=days,
        )
        (sites / Path(name).name).write_text(rendered, encoding="utf-8")


def _environment(folder: Path, broker: LocalBroker) -> dict[str, str]:
    connection = broker.connection()
    variables = {
        "GREENDC_DATA_DIR": str(folder),
        "GREENDC_SITES_DIR": str(folder / "sites"),
        "GREENDC_MQTT__URL": connection.url,
        "GREENDC_MQTT__VERSION": str(connection.version),
        "GREENDC_MQTT__USERNAME": connection.username,
        "GREENDC_HEALTH__PORT": "0",
        "GREENDC_LOG__LEVEL": "warning",
        "GREENDC_BOARD__FIRST_PASSWORD_FILE": str(folder / "first-password"),
    }
    if broker.accounts:
        accounts = folder / "broker" / "accounts"
        _write_private(accounts, "".join(f"{n}:{p}\n" for n, p in broker.accounts.items()))
        password = folder / "broker" / "ingest-password"
        _write_private(password, connection.password)
        variables["GREENDC_SIMS__ACCOUNTS_FILE"] = str(accounts)
        variables["GREENDC_MQTT__PASSWORD_FILE"] = str(password)
    else:
        # The built-in broker checks no password, but keeps no session for an unnamed client.
        variables["GREENDC_MQTT__PASSWORD"] = secrets.token_urlsafe(8)
    return variables


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _settings_in(folder: Path, variables: dict[str, str]) -> Settings:
    inherited = {**os.environ, "GREENDC_SITES_DIR": str(folder / "sites"), **variables}
    return load_settings(None, inherited).settings


def _wait_for_board(settings: Settings, stop: threading.Event) -> None:
    import http.client

    board = settings.board
    while not stop.wait(0.2):
        connection = http.client.HTTPConnection(board.host, board.port, timeout=2)
        try:
            connection.request("GET", "/healthz")
            if connection.getresponse().status == 200:
                return
        except (OSError, http.client.HTTPException):
            continue
        finally:
            connection.close()


def _say_where(settings: Settings, folder: Path, broker: LocalBroker) -> None:
    board = settings.board
    password_file = folder / "first-password"
    print(f"\n  board     http://{board.host}:{board.port}/")
    print("  account   admin")
    if password_file.exists():
        print(f"  password  {password_file.read_text(encoding='utf-8').strip()}")
    print(f"  data      {folder}")
    if not broker.durable:
        print("  broker    amqtt, built in, MQTT 3.1.1: NOT durable (apt-get install mosquitto)")
    print("  all values are simulated; Ctrl-C ends everything\n", flush=True)


def _history(
    settings: Settings,
    registry: SiteRegistry,
    begun: datetime,
    arguments: argparse.Namespace,
    stop: threading.Event,
    folder: Path,
    fresh: bool,
) -> None:
    if not fresh:
        return
    from sims.backfill import run_backfill

    published = [0.0]
    publishing = threading.Event()

    def progress(share: float, text: str) -> None:
        published[0] = share

    def publish() -> None:
        try:
            run_backfill(
                registry,
                simulated_sites(registry, None),
                lambda site_id: connection_for_site(settings, site_id),
                seed=arguments.seed,
                days=arguments.days,
                cadence_s=HISTORY_CADENCE_S,
                now=begun,
                stop=stop,
                progress=progress,
            )
        except GreendcError as error:
            _LOG.error("the history could not be published: %s", error)
        finally:
            publishing.set()

    started = time.monotonic()
    threading.Thread(target=publish, name="backfill", daemon=True).start()
    records = open_records(settings)
    try:
        while not stop.wait(_PROGRESS_S):
            stored, waiting = _stored(settings, registry, begun)
            dirty = records.count_dirty(before_ms=to_ms(begun))
            elapsed = time.monotonic() - started
            print(
                f"  history   {elapsed:5.0f} s: published {published[0]:6.1%}, "
                f"{stored:,} readings stored, {waiting:,} in the spool, "
                f"{dirty:,} spans to be rolled up",
                flush=True,
            )
            # Live readings always wait a moment; only what belongs to the history counts.
            if publishing.is_set() and waiting < _LIVE_BACKLOG and not dirty:
                break
        if publishing.is_set() and published[0] >= 1.0:
            _mark(folder, begun, complete=True)
            print(f"  history   complete after {time.monotonic() - started:.0f} s\n", flush=True)
    finally:
        records.close()


def _stored(settings: Settings, registry: SiteRegistry, begun: datetime) -> tuple[int, int]:
    from ingest.ledger import read_ledger

    period = Period(begun - timedelta(hours=1), SystemClock().now() + timedelta(hours=1))
    records = open_records(settings)
    try:
        total = LedgerCounts()
        for site in registry:
            for hour in read_ledger(records, settings.spool_dir, site.id, period):
                total = total + hour.counts
    finally:
        records.close()
    return total.stored, total.spooled
