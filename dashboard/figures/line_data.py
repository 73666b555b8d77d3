"""What a chart of lines is made of: series on a grid, lines, the question."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal
from zoneinfo import ZoneInfo

from core.periods import INTERVAL_MS, Period
from core.quality import Verdict

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
Style = Literal["measured", "second", "compare"]


@dataclass(frozen=True, slots=True)
class Series:
    """Values on an unbroken grid.

    Attributes:
        start_ms: (n,) starts, UTC epoch milliseconds, ascending.
        values: (n,) None where there is none.
        step_ms: Length of one step (a local day may differ by an hour).
        verdicts, estimated: (n,) or empty where every value is final.
    """

    start_ms: tuple[int, ...]
    values: tuple[float | None, ...]
    step_ms: int = INTERVAL_MS
    verdicts: tuple[Verdict, ...] = ()
    estimated: tuple[bool, ...] = ()

    def mapped(self, change: Callable[[float], float]) -> Series:
        """The same with each value changed: another unit."""
        return replace(
            self, values=tuple(None if value is None else change(value) for value in self.values)
        )

    def is_doubtful(self, place: int) -> bool:
        """Whether a value is provisional or partly an estimate."""
        if self.values[place] is None:
            return False
        estimated = bool(self.estimated) and self.estimated[place]
        return estimated or self.verdict(place) is not Verdict.FINAL

    def verdict(self, place: int) -> Verdict:
        """The verdict of one value."""
        if self.verdicts:
            return self.verdicts[place]
        return Verdict.FINAL if self.values[place] is not None else Verdict.REFUSED

    def known(self) -> list[tuple[float, int]]:
        """(value, start) of every value that there is."""
        return [(v, s) for v, s in zip(self.values, self.start_ms, strict=True) if v is not None]

    def last(self) -> float | None:
        """The last value that there is."""
        return next((value for value in reversed(self.values) if value is not None), None)

    def mean(self) -> float | None:
        """Mean of the values; for powers on an even grid, the mean power."""
        known = self.known()
        return sum(value for value, _ in known) / len(known) if known else None


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart.

    Attributes:
        name: In the table, the hover and the summary.
        series: Where it is drawn; for a comparison, already on the later days.
        csv_name: Column of the file, with its unit: `facility_power_kw`.
        label: At its end; empty for none.
        mean: Of the window, where it is not the mean of the values: a ratio's comes from its sums.
        averages: Whether a mean is said at all.
    """

    name: str
    series: Series
    csv_name: str
    style: Style = "measured"
    label: str = ""
    mean: float | None = None
    averages: bool = True


@dataclass(frozen=True, slots=True)
class LinesAsk:
    """What a chart of lines is made of.

    Attributes:
        window: The x axis.
        settled_ms: Nothing is missing after this.
        decimals: Of values in tables and hovers.
        unit: As people write it; empty for a ratio.
        target: (value, its words) of a dashed line.
        values_at_end: Whether labels carry the last value.
        most_lines: Of the grid.
        small: A small multiple: no labels in the margin, no words in the plot.
        extra_values: Others that the axis has to hold.
    """

    lines: tuple[Line, ...]
    window: Period
    settled_ms: int
    now_ms: int
    zone: ZoneInfo
    height: int
    unit: str
    decimals: int
    data: str
    target: tuple[float, str] | None = None
    values_at_end: bool = True
    most_lines: int = 5
    small: bool = False
    extra_values: tuple[float, ...] = ()

    @property
    def now_share(self) -> float:
        """Where in the window the present is: 0 at its beginning, 1 at its end."""
        length = self.window.end_ms - self.window.start_ms
        return (self.now_ms - self.window.start_ms) / length


def missing_spans(series: Series, settled_ms: int) -> list[tuple[int, int]]:
    """Spans [from, to) without a value, up to what has settled."""
    spans: list[tuple[int, int]] = []
    for place, (start, value) in enumerate(zip(series.start_ms, series.values, strict=True)):
        after = series.start_ms[place + 1 : place + 2]
        end = after[0] if after else start + series.step_ms
        if value is not None or end > settled_ms:
            continue
        if spans and spans[-1][1] == start:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return spans
