"""Serves the board on a prepared folder; a process of its own, so that tests can kill it.

Usage: serve_board.py FOLDER PORT LIVE_FROM_MS
"""

from __future__ import annotations

import signal
import sys
import threading
from datetime import timedelta
from pathlib import Path

from core.clock import SystemClock
from core.periods import from_ms
from dashboard import server
from dashboard.app import create_app
from dashboard.intake_desk import IntakeDesk
from dashboard.readiness import ReadinessReport
from dashboard.settings import BoardSettings
from reports.archive import ReportArchive
from storage.embedded.store import EmbeddedStore
from storage.records.store import Records
from tests.browser.board_data import board_registry
from tests.services.calendar import by_day


def main() -> None:
    folder, port, live_from = Path(sys.argv[1]), int(sys.argv[2]), from_ms(int(sys.argv[3]))
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    registry = by_day(board_registry(Path("config/sites"), live_from), live_from)
    store = EmbeddedStore(folder / "timeseries", 400, role="read")
    records = Records.open(f"sqlite:///{folder / 'records.sqlite'}")
    app = create_app(
        registry=registry,
        store=store,
        records=records,
        rollup_records=records,
        settings=BoardSettings(
            live_tick=timedelta(milliseconds=500),
            heartbeat=timedelta(seconds=1),
            kpi_refresh=timedelta(seconds=5),
        ),
        clock=SystemClock(),
        health=lambda: ReadinessReport(()),
        ledger=records,
        intake=IntakeDesk(records.read_ledger, records),
        report_records=records,
        report_archive=ReportArchive(folder / "reports"),
    )
    try:
        server.run(app, "127.0.0.1", port, stop)
    finally:
        records.close()
        store.close()


if __name__ == "__main__":
    main()
