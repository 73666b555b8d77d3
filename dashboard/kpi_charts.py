"""Charts of stored KPI figures over the asked window, with the earlier weeks beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from core.periods import Period
from dashboard import formats
from dashboard.chart_spec import Chart, ChartAsk
from dashboard.figures.line_data import HOUR_MS, Line, LinesAsk, Series, Style
from dashboard.figures.lines import LinesDrawn, axis_words, draw_lines, joined, shifted
from dashboard.history import HistoryQuestion
from dashboard.kpi_series import read_kpi_series
from dashboard.words import Words

# From a stored figure and the hours of its step to what is drawn.
Convert = Callable[[float, float], float]
_RESOLUTION_WORDS = {"15m": "chart.by_quarter", "hour": "chart.by_hour", "day": "chart.by_day"}


def mean_power(kwh: float, hours: float) -> float:
    """Energy of a step as its mean power."""
    return kwh / hours


def as_it_is(value: float, _hours: float) -> float:
    """The figure itself."""
    return value


def in_percent(share: float, _hours: float) -> float:
    """A share as people read it."""
    return share * 100.0


@dataclass(frozen=True, slots=True)
class KpiLine:
    """One KPI as a line.

    Attributes:
        word: Id of its name's text.
        csv_name: Column of the file, with its unit.
        ratio_of: KPIs whose sums make the mean of a ratio; empty where values average.
    """

    kpi: str
    word: str
    csv_name: str
    convert: Convert = as_it_is
    style: Style = "measured"
    ratio_of: tuple[str, str] | None = None
    averages: bool = True


def kpi_lines_chart(
    ask: ChartAsk,
    lines: Sequence[KpiLine],
    *,
    unit: str,
    decimals: int,
    target_kpi: str = "",
    small: bool = False,
    subject: str = "site",
) -> Chart:
    """Read, convert and draw; the subtitle says resolution, comparison and where the axis starts.

    Raises:
        StoreError: The store does not answer.
    """
    history = ask.history
    kpis = list(dict.fromkeys(k for line in lines for k in (line.kpi, *(line.ratio_of or ()))))
    now = read_kpi_series(ask, kpis, history.period, history.resolution, subject=subject)
    drawn = [_line(line, now, ask.words) for line in lines]
    if history.compares:
        before = read_kpi_series(ask, kpis, history.before, history.resolution, subject=subject)
        drawn += [_compared(line, before, history, ask.words) for line in lines]
    return lines_chart(ask, drawn, unit=unit, decimals=decimals, target_kpi=target_kpi, small=small)


def lines_chart(
    ask: ChartAsk,
    lines: Sequence[Line],
    *,
    unit: str,
    decimals: int,
    target_kpi: str = "",
    small: bool = False,
) -> Chart:
    """A chart of lines that were read some other way."""
    history, words = ask.history, ask.words
    question = LinesAsk(
        lines=tuple(lines),
        window=history.period,
        settled_ms=history.settled_ms,
        now_ms=history.now_ms,
        zone=ask.site.zone,
        height=ask.height,
        unit=unit,
        decimals=decimals,
        data=ask.site.data,
        target=_target(ask, target_kpi) if target_kpi else None,
        values_at_end=not history.compares,
        most_lines=4 if small else 5,
        small=small,
    )
    drawn = draw_lines(question, words)
    return chart_of(
        drawn,
        joined(
            words(_RESOLUTION_WORDS[history.resolution]) if not small else unit,
            compare_words(history, words) if not small else "",
            axis_words(drawn.axis, "" if small else unit, words),
        ),
    )


def chart_of(drawn: LinesDrawn, subtitle: str) -> Chart:
    """A drawn chart of lines under its subtitle."""
    return Chart(
        figure=drawn.figure,
        narrow=drawn.narrow,
        subtitle=subtitle,
        summary=drawn.summary,
        columns=drawn.columns,
        rows=drawn.rows,
        csv_columns=drawn.csv_columns,
        csv_rows=drawn.csv_rows,
    )


def compare_words(history: HistoryQuestion, words: Words) -> str:
    """Which earlier stretch the dashed line is; empty where nothing is compared."""
    if not history.compares:
        return ""
    return words("chart.compared", dates=dates_words(history.before, history))


def dates_words(period: Period, history: HistoryQuestion) -> str:
    """A stretch by its local days: `11-13` or `11-13–11-19`."""
    first = period.start.astimezone(history.zone)
    last = (period.end - (period.end - period.start) / 1_000_000).astimezone(history.zone)
    if first.date() == last.date():
        return f"{first:%m-%d}"
    return f"{first:%m-%d}–{last:%m-%d}"


def converted(series: Series, convert: Convert) -> Series:
    """A series in what is drawn."""
    hours = series.step_ms / HOUR_MS
    return series.mapped(lambda value: convert(value, hours))


def weighted_mean(above: Series, below: Series) -> float | None:
    """Sum over sum, of the steps in which both are known."""
    pairs = [
        (a, b)
        for a, b in zip(above.values, below.values, strict=True)
        if a is not None and b is not None
    ]
    total = sum(b for _, b in pairs)
    return sum(a for a, _ in pairs) / total if total > 0.0 else None


def _mean(line: KpiLine, found: dict[str, Series]) -> float | None:
    if line.ratio_of is None:
        return None
    return weighted_mean(found[line.ratio_of[0]], found[line.ratio_of[1]])


def _line(line: KpiLine, found: dict[str, Series], words: Words) -> Line:
    name = words(line.word)
    return Line(
        name=name,
        series=converted(found[line.kpi], line.convert),
        csv_name=line.csv_name,
        style=line.style,
        label=name,
        mean=_mean(line, found),
        averages=line.averages and line.ratio_of is None,
    )


def _compared(
    line: KpiLine, found: dict[str, Series], history: HistoryQuestion, words: Words
) -> Line:
    name = words("chart.compared_line", name=words(line.word))
    return Line(
        name=name,
        series=shifted(converted(found[line.kpi], line.convert), history.later_ms),
        csv_name=f"{line.csv_name}_before",
        style="compare",
        label=words("chart.compared_label") if line.style == "measured" else "",
        mean=_mean(line, found),
        averages=line.averages and line.ratio_of is None,
    )


def _target(ask: ChartAsk, kpi: str) -> tuple[float, str] | None:
    day = ask.history.period.start.astimezone(ask.site.zone).date()
    target = ask.site.target(kpi, day)
    if target is None:
        return None
    text, _ = formats.format_kpi(kpi, target.value)
    return target.value, ask.words("target", value=text)
