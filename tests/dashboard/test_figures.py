"""Figures as documents: the measured traps of the library, gaps, axes, words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.periods import INTERVAL_MS, Period, from_ms, to_ms
from core.quality import Verdict
from core.text import Language
from dashboard.figures import frame, palette
from dashboard.figures.line_data import Line, LinesAsk, Series, missing_spans
from dashboard.figures.lines import MOST_POINTS, LinesDrawn, draw_lines, window_axis
from dashboard.words import load_words

SEOUL = ZoneInfo("Asia/Seoul")
NOW = to_ms(datetime(2026, 11, 20, 5, 32, tzinfo=UTC))
END = to_ms(datetime(2026, 11, 20, 5, 30, tzinfo=UTC))


DAY_MS = 86_400_000
HEIGHT = 280


def make_series(base: float, missing: tuple[int, ...] = (), estimated: int = -1) -> Series:
    starts = tuple(range(END - DAY_MS, END, INTERVAL_MS))
    values = tuple(None if at in missing else base + at for at in range(len(starts)))
    return Series(
        starts,
        values,
        INTERVAL_MS,
        tuple(Verdict.REFUSED if at in missing else Verdict.FINAL for at in range(len(starts))),
        tuple(at == estimated for at in range(len(starts))),
    )


def make_day(
    *, gaps: tuple[int, ...] = (), it_gaps: tuple[int, ...] | None = None, estimated: int = -1
) -> tuple[Series, Series]:
    it = make_series(20_000.0, gaps if it_gaps is None else it_gaps, estimated)
    return make_series(25_000.0, gaps, estimated), it


def draw(day: tuple[Series, Series], language: Language = "ko") -> LinesDrawn:
    words = load_words()[language]
    names = (words("power.facility"), words("power.it"))
    lines = (
        Line(names[0], day[0], "facility_power_kw", "measured", names[0]),
        Line(names[1], day[1], "it_power_kw", "second", names[1]),
    )
    return draw_lines(ask_of(*lines), words)


def ask_of(*lines: Line, days: int = 1) -> LinesAsk:
    return LinesAsk(
        lines=lines,
        window=Period.of_ms(END - days * DAY_MS, NOW + 12 * 60_000),
        settled_ms=END,
        now_ms=NOW,
        zone=SEOUL,
        height=HEIGHT,
        unit="kW",
        decimals=0,
        data="simulated",
    )


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for part in value.values():
            yield from leaves(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from leaves(part)
    else:
        yield value


def lines(chart: LinesDrawn) -> list[dict[str, Any]]:
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
    assert chart.summary.startswith("Facility: mean")
    assert chart.summary.count("without data") == 1


def test_no_data_at_all_keeps_the_axis() -> None:
    chart = draw(make_day(gaps=tuple(range(96))))
    (hatch,) = [trace for trace in chart.figure["data"] if "fillpattern" in trace]
    assert hatch["name"] == "이 기간에는 자료가 없습니다"
    assert set(chart.figure["layout"]["yaxis"]["ticktext"]) == {""}
    assert chart.summary.count("이 기간에는 자료가 없습니다") == 2


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
    assert chart.rows[0][0] == "11-19 14:30"
    assert chart.rows[38][0] == "11-20 00:00"
    assert [row[2] for row in chart.csv_rows()] == list(lines(chart)[0]["y"])
    assert chart.csv_rows()[0][:2] == ("2026-11-19T14:30:00+09:00", "2026-11-19T14:45:00+09:00")


def test_the_subtitle_says_where_the_axis_starts() -> None:
    from dashboard.figures.lines import axis_words

    chart = draw(make_day())
    low = chart.figure["layout"]["yaxis"]["range"][0]
    assert low > 0
    assert axis_words(chart.axis, "kW", load_words()["ko"]) == f"세로축은 {low:,.0f} kW부터"
    assert axis_words(frame.nice_axis([1.0, 9.0]), "kW", load_words()["ko"]) == ""


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
    first = day[0].start_ms[0]
    assert missing_spans(day[0], END) == [
        (first, first + 2 * step),
        (first + 5 * step, first + 6 * step),
        (first + 95 * step, first + 96 * step),
    ]


def test_the_answer_is_small() -> None:
    import gzip

    chart = draw(make_day())
    body = json.dumps({"figure": chart.figure, "narrow": chart.narrow}).encode()
    assert len(gzip.compress(body)) < 15_000


# ------------------------------------------------------------ comparison, targets, long windows


def test_a_comparison_is_dashed_and_lies_on_the_days_it_is_compared_with() -> None:
    words = load_words()["en"]
    mine = make_series(25_000.0)
    before = Line("before", make_series(24_000.0, (5,)), "facility_before", "compare", "before")
    chart = draw_lines(ask_of(Line("now", mine, "facility"), before), words)
    now, then = lines(chart)
    assert then["x"] == now["x"]
    assert then["line"]["dash"] == "5px,3px"
    # What is missing in the comparison is a break, not this window's gap.
    assert not [trace for trace in chart.figure["data"] if "fillpattern" in trace]
    assert chart.columns == ("Time", "now (kW)", "before (kW)")
    assert chart.rows[5][2] == "—"


def test_a_target_is_a_long_dash_with_its_words_in_the_margin() -> None:
    words = load_words()["en"]
    ask = replace(ask_of(Line("PUE", make_series(1.0), "pue")), target=(90.0, "target 90"))
    chart = draw_lines(ask, words)
    (line,) = [one for one in chart.figure["layout"]["shapes"] if one["yref"] == "y"]
    assert (line["y0"], line["y1"], line["line"]["dash"]) == (90.0, 90.0, "10px,3px")
    labels = {a["text"]: a for a in chart.figure["layout"]["annotations"]}
    assert labels["target 90"]["xref"] == "paper"
    assert labels["target 90"]["x"] == 1.0
    assert chart.figure["layout"]["yaxis"]["range"][1] >= 90.0


@pytest.mark.parametrize("days", [1, 2, 3, 7, 10, 30, 62, 400])
@pytest.mark.parametrize("narrow", [False, True])
def test_ticks_of_any_window_are_few_and_in_order(days: int, narrow: bool) -> None:
    axis = window_axis(
        Period.of_ms(NOW - days * DAY_MS, NOW),
        SEOUL,
        load_words()["ko"],
        small=False,
        narrow=narrow,
    )
    assert 2 <= len(axis.ticks) <= (6 if narrow and days != 7 and days != 10 else 10)
    moments = [moment for moment, _ in axis.ticks]
    assert moments == sorted(set(moments))
    assert all(axis.start_ms <= moment < axis.end_ms for moment in moments)


def test_nothing_is_missing_after_what_has_settled() -> None:
    series = make_series(25_000.0, tuple(range(90, 96)))
    assert missing_spans(series, series.start_ms[90]) == []
    assert missing_spans(series, series.start_ms[92]) == [
        (series.start_ms[90], series.start_ms[92])
    ]


def test_a_ratio_has_the_mean_of_its_sums() -> None:
    words = load_words()["en"]
    line = Line("PUE", make_series(1.0), "pue", averages=False)
    assert "mean" not in draw_lines(ask_of(line), words).summary
    weighted = draw_lines(ask_of(replace(line, mean=7.0)), words).summary
    assert "mean 7 kW" in weighted


def test_more_points_than_a_chart_may_carry_are_refused() -> None:
    count = MOST_POINTS + 1
    series = Series(tuple(range(count)), (1.0,) * count)
    with pytest.raises(ValueError, match="2001 points"):
        draw_lines(ask_of(Line("x", series, "x")), load_words()["en"])
