"""Series and panels: what is hardly covered is a gap, the running step shows what it has."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from core.intervals import IntervalBlock
from core.periods import INTERVAL_MS, Period, from_ms
from core.samples import SeriesKey
from core.sites import Site, SiteRegistry
from dashboard.chart_spec import ChartAsk
from dashboard.figures.frame import MARGIN, NARROW_MARGIN, plot_height
from dashboard.figures.line_data import Line, LinesAsk, Series
from dashboard.figures.panels import Bars, Panel, draw_panels
from dashboard.history import HOUR_MS, parse_history
from dashboard.resource_series import bar_resolution, gauge_series, mean_power, summed_series
from dashboard.words import load_words
from tests.dashboard.conftest import NOW
from tests.dashboard.resource_kpis import ResourceKpis

# 00:00 in Seoul of the day of `NOW`.
MIDNIGHT_MS = round(datetime(2026, 11, 19, 15, tzinfo=UTC).timestamp() * 1000)


class OneSeries:
    """A store with the intervals of one series."""

    def __init__(self, block: IntervalBlock) -> None:
        self.block = block

    def read_intervals(self, site: str, period: Period, **_wanted: object) -> list[IntervalBlock]:
        return [self.block]


def block(mean: list[float], covered_s: list[float], amount: list[float]) -> IntervalBlock:
    count = len(mean)
    zero = np.zeros(count)
    return IntervalBlock(
        key=SeriesKey("kakao-ansan", "water", "rain-tank", "tank_level_m"),
        start_ms=MIDNIGHT_MS + np.arange(count, dtype=np.int64) * INTERVAL_MS,
        count=np.ones(count, dtype=np.int32),
        low=np.array(mean),
        high=np.array(mean),
        mean=np.array(mean),
        amount=np.array(amount),
        covered_s=np.array(covered_s),
        estimated_s=zero,
        estimated_amount=zero,
        estimated_quality_s=zero,
        manual_s=zero,
    )


@pytest.fixture
def ansan(registry: SiteRegistry) -> Site:
    return registry.site("kakao-ansan")


def ask(site: Site, store: Any, query: dict[str, str] | None = None, now: datetime = NOW) -> Any:
    history = parse_history(query or {"range": "week"}, site.zone, now)
    return ChartAsk(site, history, load_words()["en"], store, None)  # type: ignore[arg-type]


def values(series: Series) -> dict[int, float]:
    """Hour of the day of `NOW` -> value."""
    return {
        (start - MIDNIGHT_MS) // HOUR_MS: value
        for start, value in zip(series.start_ms, series.values, strict=True)
        if value is not None and start >= MIDNIGHT_MS
    }


def test_a_mean_is_weighted_by_time_and_missing_where_hardly_covered(ansan: Site) -> None:
    nan = float("nan")
    store = OneSeries(
        block(
            [1.0, 1.0, 1.0, 3.0, nan, nan, 2.0, 2.0],
            [900.0, 900.0, 900.0, 450.0, 0.0, 0.0, 900.0, 900.0],
            [nan] * 8,
        )
    )
    series = gauge_series(ask(ansan, store), "water", "rain-tank", "tank_level_m", "hour")
    assert values(series) == pytest.approx({0: (3 * 900 + 3 * 450) / 3_150})
    assert len(series.start_ms) == 7 * 24


def test_a_sum_of_the_running_hour_is_drawn_with_what_it_has(ansan: Site) -> None:
    # It is 14:32 in Seoul; the quarter from 14:15 has settled, that from 14:30 has not.
    count = 4 * 14 + 2
    store = OneSeries(block([0.0] * count, [900.0] * count, [0.5] * count))
    series = summed_series(ask(ansan, store), "weather", "weather-1", "rain_mm", "hour")
    found = values(series)
    assert found[13] == pytest.approx(2.0)
    assert found[14] == pytest.approx(1.0)
    assert 15 not in found


def test_the_running_hour_has_the_mean_power_of_the_time_that_has_passed(ansan: Site) -> None:
    start = from_ms(MIDNIGHT_MS)
    quarter = Period(start, from_ms(MIDNIGHT_MS + INTERVAL_MS))
    rows = ResourceKpis()(
        None, None, ansan, quarter, resolution="period", kpis=["pv_energy"], now=NOW
    )
    site = next(row for row in rows if row.subject == "site")
    assert mean_power(site) == pytest.approx(4 * 12_000.0)


def test_bars_are_hours_of_a_day_and_days_of_a_week(ansan: Site) -> None:
    def resolution(name: str) -> str:
        return bar_resolution(parse_history({"range": name}, ansan.zone, NOW))

    assert (resolution("day"), resolution("week"), resolution("month")) == ("hour", "day", "day")


# ------------------------------------------------------------ panels


def hours(*numbers: float | None) -> Series:
    starts = tuple(MIDNIGHT_MS + place * HOUR_MS for place in range(len(numbers)))
    return Series(starts, numbers, HOUR_MS)


def draw(site: Site, *panels: Panel, height: int = 300) -> Any:
    question = LinesAsk(
        lines=(),
        window=Period(from_ms(MIDNIGHT_MS), from_ms(MIDNIGHT_MS + 24 * HOUR_MS)),
        settled_ms=MIDNIGHT_MS + 4 * HOUR_MS,
        now_ms=MIDNIGHT_MS + 5 * HOUR_MS,
        zone=site.zone,
        height=height,
        unit="",
        decimals=0,
        data="simulated",
    )
    return draw_panels(panels, question, load_words()["en"])


def test_panels_share_the_days_and_nothing_else(ansan: Site) -> None:
    rain = Panel("Rain", "mm", 1, bars=(Bars("Rain", hours(1.0, 2.0, 0.0, 4.0), "g2"),))
    tank = Panel(
        "Tank", "m³", 1, lines=(Line("Tank", hours(90.0, 95.0, None, 99.0), "tank"),), share=2.0
    )
    drawn = draw(ansan, rain, tank)
    layout = drawn.figure["layout"]
    upper, lower = layout["yaxis"]["domain"], layout["yaxis2"]["domain"]
    assert upper[1] == 1.0
    assert lower[0] == pytest.approx(0.0, abs=1e-6)
    assert upper[0] - lower[1] == pytest.approx(30.0 / plot_height(300), abs=1e-6)
    assert (lower[1] - lower[0]) / (upper[1] - upper[0]) == pytest.approx(2.0, abs=1e-3)
    assert {trace["yaxis"] for trace in drawn.figure["data"]} == {"y", "y2"}
    assert all(trace["xaxis"] == "x" for trace in drawn.figure["data"])
    # Bars start at zero; a line says where it starts.
    assert drawn.axes[0].low == 0.0
    assert drawn.axes[1].low > 0.0
    hatched = [trace for trace in drawn.figure["data"] if trace.get("fill") == "toself"]
    assert [trace["yaxis"] for trace in hatched] == ["y2"]
    line = next(t for t in drawn.figure["data"] if t["name"] == "Tank")
    assert line["connectgaps"] is False
    assert line["y"] == [90.0, 95.0, None, 99.0]


def test_stacks_add_up_and_what_is_below_zero_hangs(ansan: Site) -> None:
    parts = (
        Bars("Mains", hours(10.0, 10.0), "g4"),
        Bars("Rain", hours(4.0, -2.0), "g1"),
    )
    drawn = draw(ansan, Panel("Water", "m³", 1, bars=parts))
    assert drawn.figure["layout"]["barmode"] == "relative"
    assert drawn.axes[0].high >= 14.0
    assert drawn.axes[0].low <= -2.0
    assert drawn.axes[0].high < 28.0
    named = [note["text"] for note in drawn.figure["layout"]["annotations"]]
    assert "Mains" in named
    assert "Rain" in named


def test_a_phone_gets_fewer_ticks_and_short_margins(ansan: Site) -> None:
    tank = Panel("Tank", "m³", 1, lines=(Line("Tank", hours(1.0, 2.0), "tank", label="27.4 m³"),))
    drawn = draw(ansan, tank)
    wide = drawn.figure["layout"]["xaxis"]["tickvals"]
    assert len(drawn.narrow["xaxis"]["tickvals"]) < len(wide)
    assert "<b>27.4 m³</b>" in [note["text"] for note in drawn.narrow["annotations"]]


def test_margins_hold_long_numbers_and_long_names(ansan: Site) -> None:
    def margins(high: float, name: str) -> tuple[int, int, int]:
        bars = (Bars("Stored", hours(high, high), "g1"), Bars(name, hours(1.0, 1.0), "g3"))
        drawn = draw(ansan, Panel("Taken", "", 0, bars=bars))
        narrow = drawn.narrow["margin"]
        return drawn.figure["layout"]["margin"]["l"], narrow["l"], narrow["r"]

    assert margins(900.0, "Rest") == (MARGIN["l"], NARROW_MARGIN["l"], NARROW_MARGIN["r"])
    wide, left, right = margins(4_450_000.0, "Quarantined")
    # "4,000,000" and "Quarantined", of 7 pixels a letter.
    assert wide == left >= 9 * 7
    assert right >= 11 * 7


@pytest.mark.parametrize(
    ("title", "anchor"), [("PV", "left"), ("Roof S 15° · 320 kWp of the building", None)]
)
def test_the_word_at_the_present_does_not_touch_a_title_on_a_phone(
    ansan: Site, title: str, anchor: str | None
) -> None:
    drawn = draw(ansan, Panel(title, "kW", 0, bars=(Bars("Stored", hours(1.0, 2.0), "g1"),)))
    said = [note for note in drawn.narrow["annotations"] if note["xref"] == "x"]
    assert [note["xanchor"] for note in said] == ([anchor] if anchor else [])
    # The wide chart has room for it.
    assert any(n["xref"] == "x" for n in drawn.figure["layout"]["annotations"])
