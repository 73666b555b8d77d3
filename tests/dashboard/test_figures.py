"""Figures as documents: the measured traps of the library, gaps, axes, words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.periods import INTERVAL_MS, from_ms, to_ms
from core.quality import Verdict
from core.text import Language
from dashboard.figures import frame, palette
from dashboard.figures.power import HEIGHT, PowerChart, power_chart
from dashboard.power_day import DAY_MS, PowerDay, PowerPoint, missing_spans
from dashboard.words import load_words

SEOUL = ZoneInfo("Asia/Seoul")
NOW = to_ms(datetime(2026, 11, 20, 5, 32, tzinfo=UTC))
END = to_ms(datetime(2026, 11, 20, 5, 30, tzinfo=UTC))


def make_day(
    *, gaps: tuple[int, ...] = (), it_gaps: tuple[int, ...] | None = None, estimated: int = -1
) -> PowerDay:
    starts = tuple(range(END - DAY_MS, END, INTERVAL_MS))

    def points(base: float, missing: tuple[int, ...]) -> tuple[PowerPoint, ...]:
        return tuple(
            PowerPoint(None, Verdict.REFUSED)
            if index in missing
            else PowerPoint(base + index, Verdict.FINAL, is_estimated=index == estimated)
            for index in range(len(starts))
        )

    return PowerDay(
        starts, points(25_000.0, gaps), points(20_000.0, gaps if it_gaps is None else it_gaps), NOW
    )


def draw(day: PowerDay, language: Language = "ko") -> PowerChart:
    return power_chart(day, SEOUL, load_words()[language])


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for part in value.values():
            yield from leaves(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from leaves(part)
    else:
        yield value


def lines(chart: PowerChart) -> list[dict[str, Any]]:
    return [t for t in chart.figure["data"] if t["mode"] == "lines" and "fill" not in t]


def test_the_library_accepts_the_document() -> None:
    go.Figure(draw(make_day(gaps=(3, 4, 40), estimated=60)).figure)


def test_series_are_lists_so_that_they_can_be_appended_to() -> None:
    text = json.dumps(draw(make_day()).figure)
    assert "bdata" not in text
    for trace in lines(draw(make_day())):
        assert isinstance(trace["x"], list)
        assert isinstance(trace["y"], list)
        assert len(trace["y"]) == 96


def test_every_time_is_naive_and_local() -> None:
    chart = draw(make_day(gaps=(10, 11, 12, 13, 14)))
    figure = chart.figure
    axis = figure["layout"]["xaxis"]
    times = [*axis["range"], *axis["tickvals"]]
    times += [x for trace in figure["data"] for x in trace["x"]]
    times += [shape[key] for shape in figure["layout"]["shapes"] for key in ("x0", "x1")]
    times += [a["x"] for a in figure["layout"]["annotations"] if a["xref"] == "x"]
    for time in times:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", time), time
    # 14:32 in Seoul is 05:32 UTC: the line of the present stands in Seoul.
    assert figure["layout"]["shapes"][-1]["x0"] == "2026-11-20T14:32:00"
    assert lines(chart)[0]["x"][0] == "2026-11-19T14:30:00"


@given(st.integers(946_684_800_000, 2_208_988_800_000))
def test_local_iso_is_the_clock_on_the_wall(time_ms: int) -> None:
    moment = from_ms(time_ms).replace(microsecond=0)
    for name in ("Asia/Seoul", "Europe/Amsterdam", "Asia/Kolkata"):
        zone = ZoneInfo(name)
        wall = datetime.fromisoformat(frame.local_iso(to_ms(moment), zone))
        assert wall.tzinfo is None
        assert wall == moment.astimezone(zone).replace(tzinfo=None)


def test_height_stands_in_the_layout() -> None:
    chart = draw(make_day())
    assert chart.figure["layout"]["height"] == HEIGHT
    assert frame.plot_height(HEIGHT) > 200


def test_tick_texts_are_ours_in_both_languages() -> None:
    for language, midnight in (("ko", "11-20 금"), ("en", "11-20 Fri")):
        axis = draw(make_day(), language).figure["layout"]["xaxis"]
        assert axis["tickmode"] == "array"
        assert midnight in axis["ticktext"]
        assert len(axis["ticktext"]) == len(axis["tickvals"]) == 8
        assert axis["tickangle"] == 0
    assert draw(make_day()).figure["layout"]["margin"]["b"] >= 28
    narrow = draw(make_day()).narrow["xaxis"]
    assert len(narrow["ticktext"]) == 4


def test_a_gap_breaks_the_line_and_is_hatched() -> None:
    chart = draw(make_day(gaps=(20, 21, 22, 23)))
    for trace in lines(chart):
        assert trace["y"][20:24] == [None] * 4
        assert trace["connectgaps"] is False
        assert 0 not in trace["y"]
    (hatch,) = [trace for trace in chart.figure["data"] if "fillpattern" in trace]
    assert hatch["x"][0] == "2026-11-19T19:30:00"
    assert hatch["x"][2] == "2026-11-19T20:30:00"
    words = [a["text"] for a in chart.figure["layout"]["annotations"]]
    assert "수신 없음" in words
    assert "수신이 없는 구간 1곳, 모두 1시간 0분" in chart.summary
    assert chart.rows[20][1:] == ("—", "—")


def test_a_gap_of_one_side_names_it() -> None:
    chart = draw(make_day(it_gaps=(20, 21, 22, 23)), "en")
    (hatch,) = [trace for trace in chart.figure["data"] if "fillpattern" in trace]
    assert hatch["name"] == "IT: no data"
    assert "Facility power" in chart.summary
    assert chart.summary.count("without data") == 1


def test_no_data_at_all_keeps_the_axis() -> None:
    chart = draw(make_day(gaps=tuple(range(96))))
    (hatch,) = [trace for trace in chart.figure["data"] if "fillpattern" in trace]
    assert hatch["name"] == "이 기간에는 자료가 없습니다"
    assert set(chart.figure["layout"]["yaxis"]["ticktext"]) == {""}
    assert "최근 24시간 자료가 없습니다" in chart.summary


def test_a_lonely_interval_is_a_point_and_a_doubtful_one_is_hollow() -> None:
    chart = draw(make_day(gaps=(20, 22), estimated=50))
    points = [trace for trace in chart.figure["data"] if trace["mode"] == "markers"]
    solid = [t for t in points if t["marker"]["color"] != palette.LIGHT["surface"]]
    hollow = [t for t in points if t["marker"]["color"] == palette.LIGHT["surface"]]
    assert [len(trace["x"]) for trace in solid] == [1, 1]
    assert [len(trace["x"]) for trace in hollow] == [1, 1]
    assert chart.rows[50][1].endswith("(추정)")


def test_table_and_picture_hold_the_same_numbers() -> None:
    chart = draw(make_day(gaps=(3,)))
    for column, trace in enumerate(lines(chart), 1):
        shown = [
            None if row[column] == "—" else float(row[column].replace(",", ""))
            for row in chart.rows
        ]
        assert shown == trace["y"]
    assert chart.rows[0][0] == "11-19 14:30–14:45"
    assert chart.rows[38][0].endswith("00:00–00:15")
    assert chart.rows[37][0].endswith("23:45–24:00")


def test_the_subtitle_says_where_the_axis_starts() -> None:
    chart = draw(make_day())
    low = chart.figure["layout"]["yaxis"]["range"][0]
    assert low > 0
    assert f"세로축은 {low:,.0f} kW부터" in chart.subtitle


def test_labels_stand_in_the_margin_and_do_not_touch() -> None:
    labels = [a for a in draw(make_day()).figure["layout"]["annotations"] if a["xref"] == "paper"]
    assert [label["x"] for label in labels] == [1.0, 1.0]
    axis = frame.Axis(0.0, 100.0, (0.0, 50.0, 100.0))
    shifts = frame.end_label_shifts([50.0, 51.0], axis, 200.0)
    assert (51.0 - 50.0) * 2 + shifts[1] - shifts[0] == pytest.approx(frame.LABEL_GAP_PX)
    assert frame.end_label_shifts([10.0, 90.0], axis, 200.0) == [0.0, 0.0]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_an_axis_holds_its_values_with_few_round_lines(values: list[float]) -> None:
    axis = frame.nice_axis(values)
    hair = 1e-6 * max(1.0, *(abs(value) for value in values))
    assert axis.low <= min(values) + hair
    assert axis.high >= max(values) - hair
    assert 2 <= len(axis.ticks) <= 6
    assert list(axis.ticks) == sorted(set(axis.ticks))


def test_an_axis_starts_at_zero_where_the_values_span_half_of_it() -> None:
    assert frame.nice_axis([100.0, 900.0]).low == 0.0
    assert frame.nice_axis([24_000.0, 27_000.0]).low > 0.0
    assert frame.nice_axis([0.0, 0.0]).low == 0.0
    assert frame.nice_axis([]).ticks == (0.0, 0.5, 1.0)


def test_colours_are_tokens_and_every_token_has_a_dark_twin() -> None:
    chart = draw(make_day(gaps=(20, 21, 22, 23, 24), estimated=50))
    colours = {
        leaf for leaf in leaves(chart.figure) if isinstance(leaf, str) and leaf.startswith("#")
    }
    assert colours <= set(palette.LIGHT.values())
    assert palette.LIGHT.keys() == palette.DARK.keys()
    # Two tokens of one light colour would need the same dark one.
    for name, light in palette.LIGHT.items():
        assert palette.dark_by_light()[light] == palette.DARK[name]


def test_missing_spans_join_neighbours() -> None:
    day = make_day(gaps=(0, 1, 5, 95))
    step = INTERVAL_MS
    first = day.start_ms[0]
    assert missing_spans(day.start_ms, day.facility) == [
        (first, first + 2 * step),
        (first + 5 * step, first + 6 * step),
        (first + 95 * step, first + 96 * step),
    ]


def test_the_answer_is_small() -> None:
    import gzip

    chart = draw(make_day())
    body = json.dumps({"figure": chart.figure, "narrow": chart.narrow}).encode()
    assert len(gzip.compress(body)) < 15_000
