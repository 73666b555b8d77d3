"""A built month, its desk, and the tools that look into a PDF."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reports.archive import ReportArchive
from reports.pdf import FONTS
from reports.revisions import ReportDesk
from storage.records.store import Records
from tests.reports.month_data import MonthData, read_site

REPOSITORY = Path(__file__).resolve().parents[2]
FONT_FOLDER = REPOSITORY / "dashboard" / "build" / "report-fonts"


def skip_loudly(reason: str) -> None:
    """As in `tests.conftest`: one line at the end of the run says what was not run."""
    pytest.skip(f"greendc-loud-skip: {reason}")


@pytest.fixture(scope="session")
def fonts() -> Path:
    if not all((FONT_FOLDER / name).is_file() for name in FONTS):
        skip_loudly("no fonts for reports: `make board-files` brings them")
    return FONT_FOLDER


@pytest.fixture(scope="session")
def poppler() -> Callable[..., str]:
    """Runs one of poppler's tools and gives what it printed."""
    if shutil.which("pdftotext") is None:
        skip_loudly("no pdftotext: apt-get install poppler-utils")

    def run(tool: str, *arguments: object) -> str:
        done = subprocess.run([tool, *map(str, arguments)], capture_output=True, check=True)
        return done.stdout.decode("utf-8", "replace")

    return run


@pytest.fixture
def month() -> MonthData:
    """October of Ansan with a lost meter for ten hours, a bridged gap and a reset."""
    return spoilt_month()


def spoilt_month() -> MonthData:
    data = MonthData(read_site())
    data.lose("pdu-1a", 20 * 96, 20 * 96 + 40)
    data.lose("weather-1", 0, 600)
    data.bridge("rain-used", "volume_m3", 200, 230)
    data.note("mains-1", "volume_m3", "counter_reset", 500)
    return data


@contextmanager
def report_desks(folder: Path, fonts: Path) -> Iterator[Callable[[MonthData], ReportDesk]]:
    """Makes desks that share the records and the archive of a folder."""
    records = Records.open(f"sqlite:///{folder / 'records.sqlite'}")

    def make(data: MonthData) -> ReportDesk:
        store, events = data.write()
        return ReportDesk(
            store=store,  # type: ignore[arg-type]
            rollup_records=events,
            records=records,
            archive=ReportArchive(folder / "reports"),
            fonts=fonts,
            software={"greendc": "0.1.0"},
        )

    try:
        yield make
    finally:
        records.close()


@pytest.fixture
def new_desk(tmp_path: Path, fonts: Path) -> Iterator[Callable[[MonthData], ReportDesk]]:
    """Makes a desk over a month; all of a test share the records and the archive."""
    with report_desks(tmp_path, fonts) as make:
        yield make
