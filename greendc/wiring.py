"""Builds registry, stores and connections from the settings; every process starts here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from core.connections import MqttConnection
from core.errors import ConfigurationError, Problem
from core.sites import SiteRegistry
from greendc.settings import Settings, mqtt_connection

if TYPE_CHECKING:
    from analytics.factors import Factors
    from core.ports import TimeSeriesStore
    from ingest.mappings import Mappings
    from reports.archive import ReportArchive
    from reports.revisions import ReportDesk
    from storage.records.store import Records


def read_site_files(folder: Path) -> dict[str, str]:
    """Text of every `*.toml` in a folder, by path, in name order.

    Raises:
        ConfigurationError: The folder or a file cannot be read, or there is no site file.
    """
    texts = read_toml_files(folder)
    if not texts:
        hint = "set GREENDC_SITES_DIR to the folder that holds them"
        raise ConfigurationError([Problem(str(folder), "", "holds no site files (*.toml)", hint)])
    return texts


def read_toml_files(folder: Path) -> dict[str, str]:
    """Text of every `*.toml` in a folder, by path, in name order; none where there is no folder.

    Raises:
        ConfigurationError: The folder or a file cannot be read.
    """
    try:
        paths = sorted(folder.glob("*.toml")) if folder.is_dir() else []
    except OSError as error:
        raise ConfigurationError(
            [Problem(str(folder), "", f"cannot be listed: {error}", "check its permissions")]
        ) from None
    texts, problems = {}, []
    for path in paths:
        try:
            texts[str(path)] = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            problems.append(Problem(str(path), "", f"cannot be read: {error}", "a UTF-8 file"))
    if problems:
        raise ConfigurationError(problems)
    return texts


def open_registry(settings: Settings) -> SiteRegistry:
    """The site registry of the configured folder.

    Raises:
        ConfigurationError: With every problem of every file, or where the raw data would be dropped
            before a late reading may still come.
    """
    from core.site_files import build_registry

    registry = build_registry(read_site_files(settings.sites_dir))
    raw_days = settings.timeseries.raw_days
    problems = [
        Problem(
            "settings",
            "timeseries.raw_days",
            f"{raw_days} days of raw data are less than the late window of site {site.id} "
            f"({f'{site.late_window_days} days' if site.late_window_days else 'no limit'})",
            "keep raw data longer than the largest late window, or for ever with 0",
        )
        for site in registry
        if raw_days and not 0 < site.late_window_days < raw_days
    ]
    if problems:
        raise ConfigurationError(problems)
    return registry


def open_mappings(settings: Settings) -> Mappings:
    """The mappings of foreign dialects in the configured folder.

    Raises:
        ConfigurationError: With every problem of every file.
    """
    from ingest.mapping_files import build_mappings

    return build_mappings(read_toml_files(settings.mappings_dir))


def open_factors(settings: Settings) -> Factors:
    """The dated emission factors of the configured file, by name.

    Raises:
        ConfigurationError: The file cannot be read, or has problems: all of them.
    """
    from analytics.factors import parse_factors

    path = settings.factors_file
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        hint = "set GREENDC_FACTORS_FILE to the file of dated factors (config/factors.toml)"
        raise ConfigurationError(
            [Problem(str(path), "", f"cannot be read: {error}", hint)]
        ) from None
    return parse_factors(text, str(path))


def prepare_data_dir(settings: Settings) -> Path:
    """Make the data folder and see that it can be written.

    Raises:
        ConfigurationError: It cannot.
    """
    folder = settings.data_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.write_bytes(b"greendc")
        probe.unlink()
    except OSError as error:
        hint = "make it writable for this account, or name another with GREENDC_DATA_DIR"
        problem = f"the data folder cannot be written: {error.strerror or error}"
        raise ConfigurationError([Problem(str(folder), "data_dir", problem, hint)]) from None
    return folder


def open_store(settings: Settings, *, role: str) -> TimeSeriesStore:
    """The time-series store of the settings.

    Args:
        role: `read` for questions; `ingest` writes samples; `analytics` writes intervals and
            results; `all` does both. Of the embedded store, one process at a time may hold each
            writing role.

    Raises:
        ConfigurationError: The embedded store is held by another process or has a newer schema.
        StoreMisconfiguredError: InfluxDB refuses us.
        StoreUnavailableError: InfluxDB does not answer (only where a bucket has to be made).
    """
    url = settings.timeseries.url
    if url == "embedded:":
        from storage.embedded.store import EmbeddedStore

        return EmbeddedStore(
            settings.data_dir / "timeseries", settings.timeseries.raw_days, role=role
        )
    from storage.influx.store import InfluxStore

    return InfluxStore(
        url=url,
        org=settings.timeseries.org,
        bucket=settings.timeseries.bucket,
        token=settings.timeseries.token.get_secret_value(),
        raw_days=settings.timeseries.raw_days,
    )


def open_records(settings: Settings) -> Records:
    """The records, their schema brought up to date first."""
    from storage.records.store import Records

    return Records.open(settings.records_url)


def open_report_archive(settings: Settings) -> ReportArchive:
    """The folder of reports."""
    from reports.archive import ReportArchive

    return ReportArchive(settings.reports_dir)


@contextmanager
def open_report_desk(settings: Settings) -> Iterator[ReportDesk]:
    """What building a report needs, closed at the end."""
    from importlib.metadata import version

    from dashboard.settings import BUILD_FOLDER
    from reports.revisions import ReportDesk

    prepare_data_dir(settings)
    store, records = open_store(settings, role="read"), open_records(settings)
    try:
        yield ReportDesk(
            store=store,
            rollup_records=records,
            records=records,
            archive=open_report_archive(settings),
            fonts=BUILD_FOLDER / "report-fonts",
            software={"greendc": version("greendc"), "typst": version("typst")},
        )
    finally:
        store.close()
        records.close()


def connection_for_site(settings: Settings, site_id: str) -> MqttConnection:
    """The connection under which a simulated or replayed site publishes.

    With an accounts file, the site's own account; else the configured account; else none.
    """
    base = mqtt_connection(settings.mqtt)
    path = settings.sims.accounts_file
    if path is None:
        return base
    return with_account(base, site_id, read_accounts(path))


def read_accounts(path: Path) -> dict[str, str]:
    """Account -> password of a file with one `account:password` a line.

    Raises:
        ConfigurationError: The file cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        hint = "name a readable file with one account:password a line"
        raise ConfigurationError(
            [Problem(str(path), "", f"cannot be read: {error}", hint)]
        ) from None
    pairs = (line.partition(":") for line in lines if line.strip() and not line.startswith("#"))
    return {name.strip(): password for name, _, password in pairs}


def with_account(base: MqttConnection, account: str, accounts: dict[str, str]) -> MqttConnection:
    """The connection under one account.

    Raises:
        ConfigurationError: The account is not in the file.
    """
    from dataclasses import replace

    if account not in accounts:
        hint = f"add a line {account}:<password>"
        raise ConfigurationError(
            [Problem("sims.accounts_file", account, "the account is not in the file", hint)]
        )
    return replace(base, username=account, password=accounts[account])
