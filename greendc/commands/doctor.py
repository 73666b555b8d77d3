"""`greendc doctor`: checks everything that a running service needs and says how to mend it."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import ConfigurationError, GreendcError
from core.periods import format_time
from greendc.commands.answers import add_json, print_json, print_table
from greendc.health import Check, check_call, check_data_dir
from greendc.settings import Settings, load_settings, mqtt_connection

if TYPE_CHECKING:
    from storage.records.store import Records

# The figures that a stock broker gets wrong for us; see docs/decisions on the broker.
_LEAST_QUEUE = 100_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `greendc doctor`."""
    parser.add_argument(
        "--broker-config",
        type=Path,
        metavar="FILE",
        help="the broker's mosquitto.conf: queue limits and persistence are read there",
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run every check; exit 1 where one fails."""
    checks = list(_checks(arguments))
    if arguments.json:
        print_json(
            [{"check": c.name, "ok": c.ok, "detail": c.detail, "hint": c.hint} for c in checks]
        )
    else:
        print_table(
            ["check", "", "found", "how to mend it"],
            [(c.name, "ok" if c.ok else "FAIL", c.detail, "" if c.ok else c.hint) for c in checks],
        )
    return 0 if all(check.ok for check in checks) else 1


def _checks(arguments: argparse.Namespace) -> Iterator[Check]:
    try:
        loaded = load_settings(arguments.config)
    except ConfigurationError as error:
        detail = "; ".join(str(problem) for problem in error.problems)
        yield Check("settings", False, detail, "greendc config show lists every setting")
        return
    settings = loaded.settings
    yield Check("settings", True, f"{len(loaded.origins)} set, the others are defaults")
    yield _check_sites(settings)
    yield _check_mappings(settings)
    yield _check_factors(settings)
    if settings.data_dir.is_dir():
        yield check_data_dir(settings.data_dir)
    else:
        hint = "it is made at the first start; or set GREENDC_DATA_DIR"
        yield Check("data_dir", False, f"{settings.data_dir} does not exist", hint)
    yield _check_broker(settings)
    yield from _check_certificates(settings)
    if arguments.broker_config is not None:
        yield _check_broker_config(arguments.broker_config)
        yield from _check_broker_certificates(arguments.broker_config)
    yield _check_store(settings)
    yield from _check_records(settings)
    yield _check_clock()
    yield _check_fonts()
    yield _check_port("board", settings.board.host, settings.board.port)
    yield _check_port("health", settings.health.host, settings.health.port)


def _check_sites(settings: Settings) -> Check:
    from greendc.wiring import open_registry

    def count() -> str:
        registry = open_registry(settings)
        devices = sum(len(site.devices) for site in registry)
        return f"{len(registry)} sites, {devices} devices in {settings.sites_dir}"

    return check_call("sites", count, "greendc sites check lists every problem")


def _check_mappings(settings: Settings) -> Check:
    from greendc.wiring import open_registry, read_toml_files
    from ingest.mapping_files import check_against_sites, parse_mapping_files

    hint = "see docs/mappings.md; greendc mapping test tries a file on a payload"
    try:
        mappings, problems = parse_mapping_files(read_toml_files(settings.mappings_dir))
        with contextlib.suppress(ConfigurationError):  # said by the check of the sites
            problems += check_against_sites(mappings, open_registry(settings))
    except ConfigurationError as error:
        return Check("mappings", False, str(error).replace("\n", "; "), hint)
    if problems:
        return Check("mappings", False, "; ".join(str(problem) for problem in problems), hint)
    names = ", ".join(sorted({file.dialect for file in mappings})) or "no foreign dialect is mapped"
    return Check("mappings", True, f"{len(mappings)} files in {settings.mappings_dir}: {names}")


def _check_factors(settings: Settings) -> Check:
    from greendc.wiring import open_factors

    def count() -> str:
        factors = open_factors(settings)
        return f"{sum(map(len, factors.values()))} dated factors in {settings.factors_file}"

    return check_call("factors", count, "docs/factors.md describes the file")


def _check_broker(settings: Settings) -> Check:
    from greendc.broker_probe import probe_broker

    connection = mqtt_connection(settings.mqtt)
    hint = "start the broker, or correct GREENDC_MQTT__URL and the account"
    return check_call(f"broker {connection.url}", lambda: probe_broker(connection), hint)


_RENEW = (
    "greendc broker certificates (clients) or greendc broker secrets (broker) makes another before "
    "the end; then restart the broker and hand it out"
)


def _check_certificates(settings: Settings) -> Iterator[Check]:
    """What the ingester shows and trusts, and what the broker shows."""
    import time

    from greendc.broker_probe import read_broker_certificate_end_s
    from greendc.certificates import certificate_files, check_certificate, check_end

    for path in certificate_files(settings.mqtt):
        name = f"certificate {path.name}"
        try:
            ok, detail = check_certificate(path, time.time())
        except ConfigurationError as error:
            ok, detail = False, str(error)
        yield Check(name, ok, detail, _RENEW)
    connection = mqtt_connection(settings.mqtt)
    if connection.tls:
        with contextlib.suppress(GreendcError):  # said by the check of the broker
            end_s = read_broker_certificate_end_s(connection)
            ok, detail = check_end("the broker's certificate", end_s, time.time())
            yield Check("broker certificate", ok, detail, _RENEW)


def _check_broker_certificates(config: Path) -> Iterator[Check]:
    """The certificates that a configuration names; a container's lie beside it here."""
    import time

    from greendc.certificates import check_certificate

    for _, value in _broker_options(config, "certfile", "cafile"):
        beside = config.parent / Path(value).name
        path = Path(value) if Path(value).exists() else beside
        try:
            ok, detail = check_certificate(path, time.time())
        except ConfigurationError as error:
            ok, detail = False, str(error)
        yield Check(f"broker's {path.name}", ok, detail, _RENEW)


def _broker_options(config: Path, *names: str) -> list[tuple[str, str]]:
    """Options of these names with their values, each pair once; none of a file that is none."""
    try:
        lines = config.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    pairs = (line.strip().split(None, 1) for line in lines if not line.startswith("#"))
    found = [(p[0], p[1].strip()) for p in pairs if len(p) == 2 and (not names or p[0] in names)]
    return list(dict.fromkeys(found))


def _check_broker_config(path: Path) -> Check:
    hint = "greendc broker config prints one that keeps what an absent ingester has not read"
    try:
        path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return Check("broker configuration", False, f"{path}: {error}", "name a readable file")
    values = dict(_broker_options(path))
    faults = []
    queued = values.get("max_queued_messages", "1000")
    if not queued.isdigit() or 0 < int(queued) < _LEAST_QUEUE:
        faults.append(f"max_queued_messages {queued}: the broker drops what is beyond, silently")
    if values.get("persistence", "false") != "true":
        faults.append("persistence is off: a restart of the broker loses what is queued")
    if values.get("allow_anonymous", "false") == "true":
        faults.append("allow_anonymous true: anybody may publish for any site")
    detail = "; ".join(faults) or "queue limits, persistence and accounts are as they should be"
    return Check("broker configuration", not faults, detail, hint)


def _check_store(settings: Settings) -> Check:
    from greendc.wiring import open_store

    def ask() -> str:
        store = open_store(settings, role="read")
        try:
            return store.check()
        finally:
            store.close()

    hint = "check GREENDC_TIMESERIES__URL, __ORG, __BUCKET and the token"
    return check_call(f"store {settings.timeseries.url}", ask, hint)


def _check_records(settings: Settings) -> Iterator[Check]:
    from greendc.wiring import open_records

    try:
        records = open_records(settings)
    except GreendcError as error:
        yield Check("records", False, str(error), "check GREENDC_RECORDS__URL and the data folder")
        return
    try:
        yield Check("records", True, "schema is up to date")
        ignored = records.read_ignored_members()
        names = ", ".join(f"{name} ({times})" for name, times in sorted(ignored.items())[:20])
        yield Check("ignored members", True, names or "no unknown member was sent")
        yield _check_silent(records.read_silent_devices())
        waiting = records.read_quarantine(limit=1000)
        count = sum(entry.count for entry in waiting)
        hint = "greendc quarantine list shows them; mend and replay, or discard with a reason"
        yield Check("quarantine", not waiting, f"{count} readings in {len(waiting)} entries", hint)
        yield _check_ledger(settings, records)
        yield _check_set_aside(settings)
    finally:
        records.close()


def _check_silent(silent: Mapping[tuple[str, str], int]) -> Check:
    named = [
        f"{site}/{device} since {format_time(since_ms)}"
        for (site, device), since_ms in list(silent.items())[:20]
    ]
    more = f" and {len(silent) - 20} more" if len(silent) > 20 else ""
    detail = f"declared dead by their edge node or the broker: {', '.join(named)}{more}"
    hint = "start the device or its edge node again; it is born again by itself"
    return Check("silent devices", not silent, detail if silent else "none was declared dead", hint)


def _check_ledger(settings: Settings, records: Records) -> Check:
    """What the running ingester has found, and what stands in the records now."""
    from core.clock import SystemClock
    from greendc.health import ledger_check
    from ingest.ledger_watch import watched_period

    try:
        found = records.find_imbalances(watched_period(SystemClock().now_ms()))
        found += records.read_imbalances()
    except GreendcError as error:
        return Check("ledger", False, str(error), "check GREENDC_RECORDS__URL")
    return ledger_check(list(dict.fromkeys(found)))


def _check_set_aside(settings: Settings) -> Check:
    """Damaged commits that lie in the spools."""
    from ingest.spool_files import read_set_aside, spool_paths

    found = [
        f"commit {number} of partition {partition} ({readings} readings): {reason}"
        for partition, path in spool_paths(settings.spool_dir)
        for number, readings, reason in read_set_aside(path)
    ]
    hint = "docs/intake.md: damaged commits"
    return Check("spool", not found, "; ".join(found) or "no damaged commit", hint)


def _check_clock() -> Check:
    hint = "turn on time synchronisation (systemd-timesyncd or chrony)"
    program = shutil.which("timedatectl")
    if program is None:
        return Check("clock", True, "synchronisation cannot be read here (no timedatectl)")
    done = subprocess.run(
        [program, "show", "--property=NTPSynchronized", "--value"],
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    answer = done.stdout.strip()
    if answer not in {"yes", "no"}:
        return Check("clock", True, "synchronisation cannot be read here")
    return Check("clock", answer == "yes", f"synchronised: {answer}", hint)


def _check_fonts() -> Check:
    import dashboard

    folder = Path(dashboard.__file__).parent / "build"
    found = any(folder.rglob("*.woff2")) if folder.is_dir() else False
    detail = f"Pretendard in {folder.name}/" if found else "the board's font is not built"
    return Check("fonts", found, detail, "make board-files")


def _check_port(name: str, host: str, port: int) -> Check:
    variable = f"GREENDC_{name.upper()}__PORT"
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if _answers(host, port):
                return Check(f"{name} port", True, f"{host}:{port} is served by greendc")
            detail = f"{host}:{port}: {error.strerror or error}"
            return Check(f"{name} port", False, detail, f"free it, or set {variable}")
    return Check(f"{name} port", True, f"{host}:{port} is free")


def _answers(host: str, port: int) -> bool:
    import http.client

    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
