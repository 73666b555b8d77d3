"""`greendc demo`: the whole service on this machine, with simulated sites and their history.

Broker, embedded store, ingester, analytics and board, all on loopback; the simulated sites run in
this process. Everything lies in one folder and continues there at the next start.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import threading
import time
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from core.clock import SystemClock
from core.errors import GreendcError
from core.ledger import LedgerCounts
from core.periods import Period, format_time, local_month, parse_rfc3339, to_ms
from core.sites import SiteRegistry
from greendc.children import ChildProcesses, stop_on_signals
from greendc.commands.answers import settings_of
from greendc.commands.sims import DEFAULT_SEED, simulated_sites
from greendc.local_broker import LocalBroker, start_local_broker
from greendc.logs import configure_logging
from greendc.settings import Settings, load_settings
from greendc.wiring import open_records, open_registry, prepare_data_dir, read_site_files

if TYPE_CHECKING:
    from greendc.demo_world import DemoWorld

HISTORY_CADENCE_S = 300.0
ACCELERATOR_CADENCE_S = 900.0
LIVE_CADENCE_S = 10.0
_PROGRESS_S = 5.0
_LIVE_BACKLOG = 1_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `greendc demo`."""
    parser.add_argument(
        "--days",
        type=float,
        help="exactly so many days of history (default: all of last month, and at least 60)",
    )
    parser.add_argument("--folder", type=Path, help="default: demo/ in the data folder")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)


@dataclass(frozen=True, slots=True)
class _Begin:
    """When this demo's live readings began, and the history before it.

    Attributes:
        complete: Whether all of the history is stored and rolled up.
    """

    moment: datetime
    days: float
    complete: bool


def run(arguments: argparse.Namespace) -> int:
    """Start everything, publish the history, and serve until told to stop."""
    configured = settings_of(arguments)
    configure_logging(configured.log.format, "warning")
    folder = (arguments.folder or configured.data_dir / "demo").absolute()
    prepare_data_dir(configured.model_copy(update={"data_dir": folder}))
    begin = _begin(configured, folder, arguments.days)
    _write_sites(configured, folder, begin)
    stop = stop_on_signals()
    registry = open_registry(_settings_in(folder, {}))
    broker = start_local_broker(registry, folder / "broker")
    children = ChildProcesses()
    world = None
    try:
        environment = _environment(folder, broker)
        settings = _settings_in(folder, environment)
        open_records(settings).close()
        children.start("ingest", ["ingest"], environment)
        children.start("analytics", ["analytics"], environment)
        children.start("dashboard", ["dashboard"], environment)
        _wait_for_board(settings, stop)
        _say_where(settings, folder, broker)
        world = _start_world(settings, registry, stop, arguments.seed, begin)
        history = threading.Thread(
            target=_watch_history,
            args=(settings, registry, begin, world, stop, folder),
            name="progress",
            daemon=True,
        )
        history.start()
        children.watch(stop)
    finally:
        stop.set()
        if world is not None:
            world.join()
        children.stop()
        broker.stop()
    return 2 if children.failed else 0


def _begin(configured: Settings, folder: Path, days: float | None) -> _Begin:
    """What the folder says of an earlier start, or a new beginning."""
    from sims.demo_sites import HISTORY_DAYS, history_days

    marker = folder / "demo.json"
    if marker.exists():
        state = json.loads(marker.read_text(encoding="utf-8"))
        return _Begin(
            parse_rfc3339(state["begun"]),
            state.get("history_days", HISTORY_DAYS),
            state["history_complete"],
        )
    now = SystemClock().now()
    begun = now - timedelta(seconds=now.timestamp() % HISTORY_CADENCE_S)
    begun = begun.replace(microsecond=0)
    if days is None:
        days = history_days(begun, [site.zone for site in open_registry(configured)])
    begin = _Begin(begun, days, complete=False)
    _mark(folder, begin)
    return begin


def _mark(folder: Path, begin: _Begin) -> None:
    state = {
        "begun": format_time(begin.moment),
        "history_days": begin.days,
        "history_complete": begin.complete,
    }
    part = folder / ".demo.json"
    part.write_text(json.dumps(state) + "\n", encoding="utf-8")
    part.replace(folder / "demo.json")


def _write_sites(configured: Settings, folder: Path, begin: _Begin) -> None:
    from sims.demo_sites import render_demo_site

    sites = folder / "sites"
    sites.mkdir(exist_ok=True)
    for name, text in read_site_files(configured.sites_dir).items():
        rendered = render_demo_site(
            text,
            history_cadence_s=HISTORY_CADENCE_S,
            demo_start=begin.moment,
            live_cadence_s=LIVE_CADENCE_S,
            history_days=begin.days,
            accelerator_cadence_s=ACCELERATOR_CADENCE_S,
        )
        (sites / Path(name).name).write_text(rendered, encoding="utf-8")


def _start_world(
    settings: Settings, registry: SiteRegistry, stop: threading.Event, seed: int, begin: _Begin
) -> DemoWorld:
    from greendc.demo_world import DemoWorld

    world = DemoWorld(
        settings,
        registry,
        simulated_sites(registry, None),
        stop,
        seed=seed,
        begun=begin.moment,
        days=begin.days,
        with_history=not begin.complete,
    )
    world.start()
    return world


def _environment(folder: Path, broker: LocalBroker) -> dict[str, str]:
    connection = broker.connection()
    variables = {
        "GREENDC_DATA_DIR": str(folder),
        "GREENDC_SITES_DIR": str(folder / "sites"),
        "GREENDC_MQTT__URL": connection.url,
        "GREENDC_MQTT__VERSION": str(connection.version),
        "GREENDC_MQTT__USERNAME": connection.username,
        "GREENDC_HEALTH__PORT": "0",
        # Our own broker lets us publish it.
        "GREENDC_INGEST__PROBE_S": "60",
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


def _watch_history(
    settings: Settings,
    registry: SiteRegistry,
    begin: _Begin,
    world: DemoWorld,
    stop: threading.Event,
    folder: Path,
) -> None:
    """Tell how far the history is until it is complete: published, stored, rolled up."""
    if begin.complete:
        _on_history_complete(settings, registry, begin, stop)
        return
    started = time.monotonic()
    records = open_records(settings)
    try:
        while not stop.wait(_PROGRESS_S):
            has_ended = world.has_ended
            stored, waiting = _stored(settings, registry, begin.moment)
            dirty = records.count_dirty(before_ms=to_ms(begin.moment))
            print(
                f"  history   {time.monotonic() - started:5.0f} s: "
                f"published {world.published:6.1%}, "
                f"{stored:,} readings stored, {waiting:,} in the spool, "
                f"{dirty:,} spans to be rolled up",
                flush=True,
            )
            # Live readings always wait a moment; only what belongs to the history counts.
            if has_ended and waiting < _LIVE_BACKLOG and not dirty:
                break
    finally:
        records.close()
    if world.has_ended and world.published >= 1.0 and not stop.is_set():
        _mark(folder, replace(begin, complete=True))
        print(f"  history   complete after {time.monotonic() - started:.0f} s", flush=True)
        _on_history_complete(settings, registry, begin, stop)


def _on_history_complete(
    settings: Settings, registry: SiteRegistry, begin: _Begin, stop: threading.Event
) -> None:
    """Called at every start of a demo whose history is stored and rolled up.

    What needs a whole month begins here: last month's report of every site that has all of it,
    where it was not built before.
    """
    for site in registry:
        last_day = begin.moment.astimezone(site.zone).date().replace(day=1) - timedelta(days=1)
        month = local_month(last_day.year, last_day.month, site.zone)
        held_from = begin.moment - timedelta(days=begin.days)
        if site.status == "operating" and held_from <= month.start and not stop.is_set():
            _build_report_once(settings, site.id, f"{last_day:%Y-%m}")


def _build_report_once(settings: Settings, site_id: str, month: str) -> None:
    from greendc.commands.report import build_month_report

    records = open_records(settings)
    try:
        if records.read_report_revisions(sites=[site_id], month=month):
            return
    finally:
        records.close()
    try:
        revision = build_month_report(settings, site_id, month, author="demo")
    except GreendcError as error:
        print(f"  report    {site_id} {month}: {error}", flush=True)
        return
    print(f"  report    {revision.id} is on /reports", flush=True)


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
