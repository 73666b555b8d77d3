"""The declaration of a chart, what it is asked, and what it answers.

A chart is one row of a page's table in `dashboard.chart_pages`: adding one there gives it a card, a
callback, a table view, a CSV address and its tests. Its `build` reads through `ChartAsk` and hands
the numbers to a pure function of `dashboard.figures`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.forecasts import Forecast
from core.kpis import KpiValue
from core.ports import RollupRecords, TimeSeriesStore
from core.sites import Site
from dashboard.held_reads import HeldReads
from dashboard.history import HistoryQuestion, RangeName
from dashboard.intake_desk import IntakeDesk
from dashboard.permissions import Action
from dashboard.today import ComputeKpis, ReadSystems, SiteDay
from dashboard.words import Words

# As `analytics.forecasting.reading.read_forecast`.
ReadForecast = Callable[..., Forecast | None]
# Cells of a CSV as they are: text, full-precision number, or nothing. Its rows are made when the
# file is asked for: no picture waits for them.
CsvCell = str | float | None
CsvRows = Callable[[], Sequence[tuple[CsvCell, ...]]]


def no_rows() -> Sequence[tuple[CsvCell, ...]]:
    """The rows of a chart that has no file."""
    return ()


@dataclass(frozen=True, slots=True)
class Chart:
    """Everything that a page shows of one chart.

    Attributes:
        figure: Plotly document for wide screens, in light colours.
        narrow: Layout members to put in place of the figure's on a narrow screen.
        subtitle: Window, resolution, where the axis starts.
        summary: One sentence that says what the picture shows.
        columns: Table head.
        rows: Table rows as people read them, of the numbers that are drawn.
        csv_columns: Names with units, for machines.
        csv_rows: Makes the same numbers in full precision; times as RFC 3339 in the site's zone.
        facts: (name, value) lines that stand beside the picture.
        facts_title: Head of these lines.
        facts_notes: Lines below them.
    """

    figure: dict[str, Any]
    narrow: dict[str, Any]
    subtitle: str
    summary: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    csv_columns: tuple[str, ...] = ()
    csv_rows: CsvRows = no_rows
    facts: tuple[tuple[str, str], ...] = ()
    facts_title: str = ""
    facts_notes: tuple[str, ...] = ()


def _no_forecast(*_question: object) -> None:
    return None


def _no_systems(*_question: object) -> None:
    return None


def _no_figures(*_question: object, **_members: object) -> list[KpiValue]:
    return []


@dataclass(frozen=True, slots=True)
class ChartAsk:
    """What a chart is asked, and where it may read.

    Attributes:
        day: Figures of today and the last 24 hours, held; None while the store has never answered.
        held: Reads that several charts or listeners share for a while.
        read_forecast, read_systems, compute_kpis: Of analytics.
        height: Of the picture, in pixels, as the chart's declaration says.
        intake: Ledger and quarantine; None where they are not known.
    """

    site: Site
    history: HistoryQuestion
    words: Words
    store: TimeSeriesStore
    records: RollupRecords
    day: SiteDay | None = None
    held: HeldReads = field(default_factory=HeldReads)
    read_forecast: ReadForecast = _no_forecast
    read_systems: ReadSystems = _no_systems
    compute_kpis: ComputeKpis = _no_figures
    height: int = 240
    intake: IntakeDesk | None = None


def always(_site: Site) -> bool:
    """Every site has this chart."""
    return True


@dataclass(frozen=True, slots=True)
class ChartSpec:
    """One chart of a page.

    Attributes:
        id: Part of its addresses; unique over all pages.
        title: Id of its title's text.
        size: Class of its card in the grid of 12 columns: `c3`, `c4`, `c8`, `c12`, …
        height: Of the picture, in pixels.
        build: Reads and draws; runs off the event loop. `StoreError` is told as a fault, the last
            picture stays.
        applies: Whether a site has this chart at all: its meters exist.
        evidence: Id for the evidence panel; empty where there is none.
        has_facts: Whether lines stand beside the picture (`Chart.facts`).
        action: What a person must be allowed to do at the site.
    """

    id: str
    title: str
    size: str
    height: int
    build: Callable[[ChartAsk], Chart]
    applies: Callable[[Site], bool] = always
    evidence: str = ""
    has_facts: bool = False
    action: Action = "live"


@dataclass(frozen=True, slots=True)
class ChartPage:
    """The charts of one page, in reading order.

    Attributes:
        name: The page's name in `dashboard.navigation`.
        default: Range where the address names none.
    """

    name: str
    charts: tuple[ChartSpec, ...]
    default: RangeName = "week"

    def charts_of(self, site: Site) -> tuple[ChartSpec, ...]:
        """Those that the site has."""
        return tuple(spec for spec in self.charts if spec.applies(site))
