"""A chart of lines in words, as a table and as a file: the same numbers as its picture."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from zoneinfo import ZoneInfo

from core.periods import INTERVAL_MS, from_ms
from core.quality import Verdict
from dashboard import formats
from dashboard.figures.line_data import DAY_MS, Line, LinesAsk, Series, missing_spans
from dashboard.words import Words

CsvRow = tuple[str | float | None, ...]


def cell(series: Series, place: int, decimals: int, words: Words) -> str:
    """A value as a table shows it, with what is doubtful about it."""
    text = formats.format_number(series.values[place], decimals)
    if series.values[place] is None:
        return text
    if series.estimated and series.estimated[place]:
        return f"{text} ({words('source.estimated')})"
    if series.verdict(place) is Verdict.PROVISIONAL:
        return f"{text} ({words('verdict.provisional')})"
    return text


def cells_of(series: Series, decimals: int, words: Words) -> list[str]:
    """All values of a series as a table shows them."""
    return [cell(series, place, decimals, words) for place in range(len(series.values))]


@lru_cache(maxsize=65_536)
def moment_text(time_ms: int, step_ms: int, zone: ZoneInfo) -> str:
    """The start of a step for people: a day, or a day with its hour."""
    local = from_ms(time_ms).astimezone(zone)
    return f"{local:%m-%d}" if step_ms >= DAY_MS else f"{local:%m-%d %H:%M}"


def line_sentence(line: Line, ask: LinesAsk, words: Words) -> str:
    """Mean, lowest and highest of a line, and what is missing in it."""
    known = line.series.known()
    if not known:
        return words("chart.summary_none", name=line.name)
    (low, low_at), (high, high_at) = min(known), max(known)
    unit = f" {ask.unit}" if ask.unit else ""

    def number(value: float) -> str:
        return formats.format_number(value, ask.decimals) + unit

    mean = line.mean if line.mean is not None else sum(value for value, _ in known) / len(known)
    said = words(
        "chart.summary" if line.averages or line.mean is not None else "chart.summary_range",
        name=line.name,
        mean=number(mean),
        low=number(low),
        low_time=moment_text(low_at, line.series.step_ms, ask.zone),
        high=number(high),
        high_time=moment_text(high_at, line.series.step_ms, ask.zone),
    )
    spans = missing_spans(line.series, ask.settled_ms)
    if spans and line.style != "compare":
        seconds = sum(end - start for start, end in spans) / 1000.0
        duration = formats.format_duration(seconds, words)
        said = f"{said} {words('chart.summary_gaps', n=len(spans), duration=duration)}"
    return said


def column_of(line: Line, ask: LinesAsk) -> str:
    """Head of a line's column: its name with the unit."""
    return f"{line.name} ({ask.unit})" if ask.unit else line.name


def _steps(ask: LinesAsk) -> tuple[list[int], list[dict[int, int]]]:
    """Starts of the steps that have settled or that a line has a value for; places by line."""
    places = [
        {start: place for place, start in enumerate(line.series.start_ms)} for line in ask.lines
    ]
    starts = [
        start
        for start in sorted(set().union(*places))
        if start < ask.settled_ms
        or any(_has(line, mine, start) for line, mine in zip(ask.lines, places, strict=True))
    ]
    return starts, places


def build_rows(ask: LinesAsk, cells: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """The table: a row for each step that has settled or that a line has a value for.

    Args:
        cells: The texts of each line's values (`cells_of`).
    """
    starts, places = _steps(ask)
    step = ask.lines[0].series.step_ms if ask.lines else INTERVAL_MS
    return [
        (
            moment_text(start, step, ask.zone),
            *(
                texts[mine[start]] if start in mine else formats.NO_VALUE
                for texts, mine in zip(cells, places, strict=True)
            ),
        )
        for start in starts
    ]


def _has(line: Line, places: dict[int, int], start: int) -> bool:
    return start in places and line.series.values[places[start]] is not None


@lru_cache(maxsize=65_536)
def local_time(time_ms: int, zone: ZoneInfo) -> str:
    """RFC 3339 in the site's zone, for files."""
    return from_ms(time_ms).astimezone(zone).isoformat(timespec="seconds")


def csv_columns_of(ask: LinesAsk) -> tuple[str, ...]:
    """Columns of the file: times, each line with its verdict, where the data come from."""
    columns = ["start", "end"]
    for line in ask.lines:
        columns += [line.csv_name, f"{line.csv_name}_verdict"]
    return (*columns, "data")


def build_csv_rows(ask: LinesAsk) -> list[CsvRow]:
    """Rows of the file in full precision, of the steps that the table shows."""
    starts, places = _steps(ask)
    step = ask.lines[0].series.step_ms if ask.lines else INTERVAL_MS
    rows = []
    for start in starts:
        cells: list[str | float | None] = [
            local_time(start, ask.zone),
            local_time(start + step, ask.zone),
        ]
        for line, mine in zip(ask.lines, places, strict=True):
            if start in mine:
                place = mine[start]
                cells += [line.series.values[place], line.series.verdict(place).value]
            else:
                cells += [None, ""]
        rows.append((*cells, ask.data))
    return rows
