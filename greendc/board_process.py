"""The board as a process."""

from __future__ import annotations

import logging
import os
import threading
from functools import partial
from pathlib import Path

from core.clock import Clock
from core.errors import ConfigurationError, Problem
from dashboard import server
from dashboard.accounts import FIRST_USERNAME, ensure_first_account
from dashboard.app import create_app
from dashboard.intake_desk import IntakeDesk
from dashboard.readiness import ReadinessReport
from dashboard.settings import BoardSettings
from greendc.broker_probe import probe_broker
from greendc.health import check_call, check_data_dir
from greendc.settings import Settings, mqtt_connection
from greendc.wiring import (
    open_factors,
    open_records,
    open_registry,
    open_report_archive,
    open_store,
    prepare_data_dir,
)

_LOG = logging.getLogger(__name__)


def run_board(settings: Settings, clock: Clock, stop: threading.Event) -> int:
    """Serve the board until `stop` is set; returns the exit code.

    Raises:
        ConfigurationError: The port is taken, or the configuration cannot be used.
    """
    registry, factors = open_registry(settings), open_factors(settings)
    prepare_data_dir(settings)
    from analytics.kpis import compute_kpi_rows
    from ingest.ledger import read_ledger

    # Before anything is made: a taken port must not cost the one showing of the first password.
    server.bind(settings.board.host, settings.board.port).close()
    store, records = open_store(settings, role="read"), open_records(settings)
    try:
        _announce(ensure_first_account(records, clock), settings.board.first_password_file)

        def ready() -> ReadinessReport:
            return ReadinessReport(
                [
                    check_call(
                        "broker",
                        lambda: probe_broker(mqtt_connection(settings.mqtt)),
                        "start the broker, or correct GREENDC_MQTT__URL and the account",
                    ),
                    check_call("store", store.check, "check GREENDC_TIMESERIES__URL"),
                    check_call("records", records.check, "check GREENDC_RECORDS__URL"),
                    check_data_dir(settings.data_dir),
                ]
            )

        app = create_app(
            registry=registry,
            store=store,
            records=records,
            rollup_records=records,
            ledger=records,
            read_silent=records.read_silent_devices,
            intake=IntakeDesk(partial(read_ledger, records, settings.spool_dir), records),
            settings=BoardSettings(public_url=settings.board.public_url),
            clock=clock,
            health=ready,
            compute_kpis=partial(compute_kpi_rows, factors=factors),
            report_records=records,
            report_archive=open_report_archive(settings),
        )
        _LOG.info("board at http://%s:%d/", settings.board.host, settings.board.port)
        server.run(app, settings.board.host, settings.board.port, stop)
    finally:
        records.close()
        store.close()
    return 0


def _announce(password: str | None, file: Path | None) -> None:
    if password is None:
        return
    # On the terminal, not in the log: a log is kept, this is shown once.
    print(f"first account: {FIRST_USERNAME}, password: {password}", flush=True)
    if file is not None:
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        except OSError as error:
            hint = "name a file in a folder that this account can write"
            problem = f"the first password cannot be written: {error.strerror or error}"
            raise ConfigurationError([Problem(str(file), "", problem, hint)]) from None
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            out.write(password + "\n")
