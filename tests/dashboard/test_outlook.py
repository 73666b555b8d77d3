"""The outlook: band, median, labels, table, record, and the states of a forecast."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import plotly.graph_objects as go
import pytest

from core.forecasts import BandSkill, Forecast, ForecastPoint, ForecastState, SkillRecord
from core.periods import INTERVAL_MS, to_ms
from dashboard.figures.line_data import HOUR_MS, Line, LinesAsk, Series
from dashboard.figures.lines import LinesDrawn
from dashboard.figures.outlook import (
    draw_outlook,
    issued_words,
    outlook_window,
    record_facts,
)
from dashboard.figures.palette import BAND, dark_by_light
from dashboard.words import load_words

SEOUL = ZoneInfo("Asia/Seoul")
WORDS = load_words()["en"]
NOW = to_ms(datetime(2026, 11, 20, 5, 32, tzinfo=UTC))
ORIGIN = to_ms(datetime(2026, 11, 20, 5, 15, tzinfo=UTC))


def forecast(
    *,
    state: ForecastState = ForecastState.BASELINE,
    record: SkillRecord | None = None,
    absent: tuple[int, ...] = (),
    unbanded: tuple[int, ...] = (),
) -> Forecast:
    points = []
    for at in range(192):
        if at in absent:
            continue
        low, high = (None, None) if at in unbanded else (1.25, 1.27)
        points.append(ForecastPoint(ORIGIN + at * INTERVAL_MS, low, low, 1.26, high, high))
    return Forecast(
        "kakao-ansan", "pue", "1", 900, ORIGIN, {}, state, 5, tuple(points), record, True
    )


def skill(value: float | None) -> SkillRecord:
    band = BandSkill("all", 100, 0.0061, 0.02, 0.814, 0.9, {}, "seasonal_24h", value)
    return SkillRecord(0, 1, 30, 120, 40, band, (), None)


def draw(one: Forecast | None) -> LinesDrawn:
    starts = tuple(range(ORIGIN - 24 * HOUR_MS, ORIGIN, INTERVAL_MS))
    measured = Line("PUE", Series(starts, (1.265,) * len(starts)), "pue", averages=False)
    ask = LinesAsk(
        lines=(),
        window=outlook_window(NOW),
        settled_ms=ORIGIN,
        now_ms=NOW,
        zone=SEOUL,
        height=240,
        unit="",
        decimals=3,
        data="simulated",
        target=(1.3, "target 1.300"),
    )
    return draw_outlook(measured, one, ask, WORDS)


def test_band_median_and_labels() -> None:
    drawn = draw(forecast())
    go.Figure(drawn.figure)
    (band,) = [trace for trace in drawn.figure["data"] if trace.get("fillcolor") == BAND]
    assert len(band["x"]) == 2 * 192
    # A point is the mean of its quarter hour: it stands in its middle.
    assert band["x"][0] == "2026-11-20T14:22:30"
    (median,) = [t for t in drawn.figure["data"] if t.get("name") == "forecast"]
    assert median["line"]["dash"] == "2px,2.5px"
    labels = [a["text"] for a in drawn.figure["layout"]["annotations"] if a["xref"] == "paper"]
    assert set(labels) == {"<b>forecast 1.260</b>", "1.270", "1.250", "target 1.300"}
    assert BAND in dark_by_light()


def test_table_and_file_hold_the_forecast() -> None:
    drawn = draw(forecast())
    assert drawn.columns[-3:] == ("forecast", "forecast, low (10 %)", "forecast, high (90 %)")
    assert len(drawn.rows) == 96 + 192
    assert drawn.rows[0][2:] == ("—", "—", "—")
    assert drawn.rows[-1][1:] == ("—", "1.260", "1.250", "1.270")
    assert len(drawn.csv_rows()) == len(drawn.rows)
    assert all(len(row) == len(drawn.csv_columns) for row in drawn.csv_rows())
    assert "The forecast at 11-22 14:00: 1.260 (1.250–1.270)." in drawn.summary


def test_what_no_rule_could_give_is_a_break() -> None:
    drawn = draw(forecast(absent=(10, 11), unbanded=(50,)))
    (median,) = [t for t in drawn.figure["data"] if t.get("name") == "forecast"]
    assert median["y"][10] is None
    bands = [trace for trace in drawn.figure["data"] if trace.get("fillcolor") == BAND]
    assert [len(trace["x"]) // 2 for trace in bands] == [10, 38, 141]


def test_without_a_forecast_the_measured_day_stands_alone() -> None:
    drawn = draw(None)
    assert [t for t in drawn.figure["data"] if t.get("fillcolor") == BAND] == []
    title, lines, notes = record_facts(None, 3, "", WORDS)
    assert (title, lines) == ("Record of this forecast", ())
    assert notes == ("No forecast has been issued yet.",)
    assert issued_words(None, SEOUL, NOW, WORDS) == ""


def test_the_record_in_words() -> None:
    _, lines, notes = record_facts(forecast(record=skill(0.18)), 3, "", WORDS)
    assert lines == (
        ("Within the 80 % band", "81.4 %"),
        ("Mean error", "0.006"),
        ("Against the simple rule", "18 % smaller"),
    )
    assert "Simple rule: Same time a day before" in notes
    _, worse, _ = record_facts(forecast(record=skill(-0.05)), 3, "", WORDS)
    assert worse[-1] == ("Against the simple rule", "5 % larger")
    _, none, said = record_facts(forecast(), 3, "", WORDS)
    assert none == ()
    assert "No forecast has been scored yet." in said


@pytest.mark.parametrize("state", list(ForecastState))
def test_every_state_is_said(state: ForecastState) -> None:
    for language in ("ko", "en"):
        words = load_words()[language]  # type: ignore[index]
        _, _, notes = record_facts(forecast(state=state), 3, "", words)
        assert notes[0]
    if state is ForecastState.LEARNING:
        _, _, notes = record_facts(forecast(state=state), 3, "", WORDS)
        assert notes[0].endswith("day 5 of 42")


def test_issue_time_with_its_date_where_it_is_another_day() -> None:
    assert issued_words(forecast(), SEOUL, NOW, WORDS) == "48 hours ahead · issued 14:15"
    later = issued_words(forecast(), SEOUL, NOW + 24 * HOUR_MS, WORDS)
    assert later == "48 hours ahead · issued 11-20 14:15"
