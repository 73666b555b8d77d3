"""The charts of a month, from its document: nothing is computed but where a mark stands.

Every number beside a mark is a string of the document; only the ticks of an axis are its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from core.number_text import format_number
from reports.svg import BLACK, GREY, HATCH, LIGHT, WHITE, Drawing, text_width
from reports.words import Words

WIDTH = 690.0
_BAR = 24.0
_ROW = 16.0
_TICK_STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)

Document = Mapping[str, Any]


def daily_pue(document: Document, words: Words) -> str:
    """PUE of each day as a line with the target; days without a figure are hatched gaps."""
    days = document["daily"]
    values = [day["pue"]["value"] if "pue" in day else None for day in days]
    target = _target(document, "pue")
    ticks = _pue_ticks(document)
    drawing = Drawing(WIDTH, 150.0)
    left, right, top, bottom = 34.0, 596.0, 10.0, 130.0
    step = (right - left) / len(days)
    low, high = ticks[0], ticks[-1]

    def x(at: int) -> float:
        return left + (at + 0.5) * step

    def y(value: Any) -> Any:
        return bottom - (value - low) / (high - low) * (bottom - top)

    for tick in ticks[1:]:
        drawing.line([(left, y(tick)), (right, y(tick))], stroke=LIGHT, width=0.7)
    for tick in ticks:
        drawing.text(left - 6, y(tick) + 4, _tick_text(tick, ticks), anchor="end")
    gaps = _runs([value is None for value in values])
    for first, last in gaps:
        drawing.gap(left + first * step, top, (last - first) * step, bottom - top)
    if target:
        at = y(target["value"])
        drawing.line([(left, at), (right, at)], width=1.0, dash="10 3")
    for first, last in _runs([value is not None for value in values]):
        points = [(x(at), y(values[at])) for at in range(first, last)]
        if len(points) > 1:
            drawing.line(points, width=1.6)
        for point in points:
            drawing.dot(*point)
    for first, last in gaps[:1]:
        drawing.text(
            min(left + last * step + 3, right - 150),
            bottom - 5,
            _gap_words(days, gaps, first, words),
            halo=True,
        )
    _right_labels(drawing, days, values, target, y, right, words)
    for at in range(len(days)):
        if at % 5 == 0:
            text = words("chart.day", day=1) if at == 0 else str(at + 1)
            drawing.text(x(at), 146, text, anchor="middle")
    drawing.line([(left, bottom), (right, bottom)])
    return drawing.finish()


def pue_axis_start(document: Document) -> str:
    """Where the vertical axis of the daily PUE begins, for the words beside the picture."""
    ticks = _pue_ticks(document)
    return _tick_text(ticks[0], ticks)


def _pue_ticks(document: Document) -> list[float]:
    target = _target(document, "pue")
    known = [day["pue"]["value"] for day in document["daily"] if "pue" in day]
    values = [value for value in known if value is not None]
    return _ticks([*values, *([target["value"]] if target else [])])


def _tick_text(tick: float, ticks: Sequence[float]) -> str:
    return format_number(tick, 3 if ticks[1] - ticks[0] < 0.0099 else 2)


def _gap_words(
    days: Sequence[Document], gaps: Sequence[tuple[int, int]], first: int, words: Words
) -> str:
    missing = sum(last - start for start, last in gaps)
    if missing == 1:
        coverage = days[first]["pue"]["coverage_shown"] if "pue" in days[first] else ""
        return words("chart.day_missing", day=first + 1, coverage=coverage)
    return words("chart.days_missing", days=missing)


def _right_labels(
    drawing: Drawing,
    days: Sequence[Document],
    values: Sequence[float | None],
    target: Document | None,
    y: Any,
    right: float,
    words: Words,
) -> None:
    places: list[list[Any]] = []
    if target:
        text = words("chart.target", value=target["shown"])
        places.append([y(target["value"]) + 4, text, False])
    known = [at for at, value in enumerate(values) if value is not None]
    if known:
        at = known[-1]
        text = words("chart.last_day", day=at + 1, value=days[at]["pue"]["shown"])
        places.append([y(values[at]) + 4, text, True])
    places.sort(key=lambda place: place[0])
    if len(places) == 2 and places[1][0] - places[0][0] < 13:
        middle = (places[0][0] + places[1][0]) / 2
        places[0][0], places[1][0] = middle - 6.5, middle + 6.5
    for at_y, text, bold in places:
        drawing.text(right + 5, at_y, text, bold=bold)


def energy_parts(document: Document, words: Words) -> str:
    """Facility energy as one bar of true proportions: IT lightest, overhead darker."""
    parts = [p for p in document["energy"]["parts"] if p["value"] is not None and p["value"] > 0.0]
    order = {"it": 0}
    parts.sort(key=lambda part: (order.get(part["part"], 1), -part["value"]))
    fills = {"it": WHITE, "cooling": BLACK, "losses": HATCH}
    segments = [
        (
            part["value"],
            fills.get(part["part"], GREY),
            f"{words('part.' + part['part'])} {part['shown']} {part['shown_unit']} "
            f"· {part['share_shown']} %",
        )
        for part in parts
    ]
    drawing = Drawing(WIDTH, 0.0)
    whole = sum(segment[0] for segment in segments)
    drawing.height = _labelled_bar(drawing, 1.0, 2.0, WIDTH - 2, whole, segments)
    return drawing.finish()


def _labelled_bar(
    drawing: Drawing,
    x: float,
    y: float,
    width: float,
    whole: float,
    segments: Sequence[tuple[float, str, str]],
) -> float:
    """A bar of parts; what does not fit inside stands below, each label on a line of its own.

    A label ends at its part's middle, left ones higher: so no leader crosses a text.

    Returns:
        Where the labels end.
    """
    at, row = x, 0
    for value, fill, text in segments:
        length = value / whole * width if whole > 0.0 else 0.0
        drawing.bar(at, y, length, _BAR, fill=fill)
        if fill in (WHITE, GREY) and text_width(text) < length - 16:
            drawing.text(at + 8, y + 16, text, bold=fill == WHITE)
        else:
            middle, level = at + length / 2, y + _BAR + 13 + row * _ROW
            drawing.line([(middle, y + _BAR), (middle, level)], width=0.7)
            if text_width(text) < middle - 8:
                drawing.text(middle - 4, level, text, anchor="end")
            else:
                drawing.text(middle + 4, level, text)
            row += 1
        at += length
    return y + _BAR + row * _ROW + (6 if row else 2)


def rain_balance(document: Document, words: Words) -> str:
    """What came into the rain system over where it went, both bars at one scale."""
    entries = document["water"]["rain_balance"]["entries"]
    sides: dict[str, list[tuple[float, str, str]]] = {"in": [], "out": []}
    fills = {
        "collected_m3": GREY,
        "top_up_m3": HATCH,
        "used_m3": GREY,
        "overflow_m3": BLACK,
        "drained_m3": HATCH,
        "stored_m3": WHITE,
        "unexplained_m3": WHITE,
    }
    for entry in entries:
        value = entry["value"]
        if value == 0.0:
            continue
        # What is less than nothing on one side came in, or went out, on the other.
        side = entry["side"] if value > 0.0 else {"in": "out", "out": "in"}[entry["side"]]
        text = f"{words('rain.' + entry['name'])} {entry['shown']}"
        sides[side].append((abs(value), fills[entry["name"]], text))
    whole = max((sum(s[0] for s in sides[side]) for side in sides), default=0.0)
    left = 62.0
    width = WIDTH - left - 1
    drawing = Drawing(WIDTH, 0.0)
    top = 2.0
    for side in ("in", "out"):
        drawing.text(0, top + 16, words(f"rain.{side}"), bold=True)
        top = _labelled_bar(drawing, left, top, width, whole, sides[side]) + 8
    drawing.height = top - 6
    return drawing.finish()


def solar_arrays(document: Document, words: Words, names: Mapping[str, str]) -> str:
    """Energy of each array as a bar from zero, with its yield beside it."""
    arrays = [row for row in document["solar"] if row["subject"] != "site"]
    most = max((row["pv_energy"]["value"] or 0.0 for row in arrays), default=0.0)
    left, room = 190.0, 200.0
    drawing = Drawing(WIDTH, 22.0 * len(arrays) + 4)
    for at, row in enumerate(arrays):
        y = 3 + at * 22.0
        drawing.text(0, y + 12, names[row["subject"]])
        value = row["pv_energy"]["value"]
        length = (value or 0.0) / most * (WIDTH - left - room) if most > 0.0 else 0.0
        if value is None:
            drawing.bar(left, y, 60, 15, dash="3 2")
            drawing.text(left + 66, y + 12, words("verdict.refused"))
            continue
        drawing.bar(left, y, max(length, 0.0), 15, fill=BLACK)
        text = f"{row['pv_energy']['shown']} kWh · {row['pv_specific_yield']['shown']} kWh/kWp"
        drawing.text(left + max(length, 0.0) + 6, y + 12, text)
    drawing.line([(left, 0), (left, 22.0 * len(arrays) + 2)])
    return drawing.finish()


def completeness_strip(document: Document, words: Words) -> str:
    """Coverage of each family and day: grey complete, hatched partial, empty refused."""
    families = document["completeness"]["families"]
    gate = document["gate"]
    days = len(document["daily"])
    left, right = 92.0, WIDTH - 62.0
    step = (right - left) / days
    drawing = Drawing(WIDTH, 20.0 * len(families) + 42)
    for at, family in enumerate(families):
        y = 3 + at * 20.0
        drawing.text(0, y + 11.5, words(f"family.{family['family']}"))
        for day, share in enumerate(family["days"]):
            x = left + day * step
            if share is not None and share >= gate["final"] - 1e-9:
                drawing.bar(x, y, step - 1.5, 14, fill=GREY, stroke="")
            elif share is not None and share >= gate["provisional"] - 1e-9:
                drawing.bar(x, y, step - 1.5, 14, fill=HATCH)
            else:
                drawing.bar(x, y, step - 1.5, 14, fill=WHITE, dash="2 2")
        drawing.text(WIDTH, y + 11.5, family["shown"], anchor="end", bold=True)
    y = 20.0 * len(families) + 14
    for day in range(0, days, 5):
        text = words("chart.day", day=1) if day == 0 else str(day + 1)
        drawing.text(left + (day + 0.5) * step, y, text, anchor="middle")
    x = left
    for fill, dash, key in (
        (GREY, "", "strip.full"),
        (HATCH, "", "strip.partial"),
        (WHITE, "2 2", "strip.refused"),
    ):
        text = words(key, final=gate["final_shown"], provisional=gate["provisional_shown"])
        drawing.bar(x, y + 12, 14, 11, fill=fill, stroke="" if fill == GREY else BLACK, dash=dash)
        drawing.text(x + 19, y + 21, text)
        x += 19 + text_width(text) + 22
    return drawing.finish()


def _target(document: Document, kpi: str) -> Document | None:
    return next((target for target in document["targets"] if target["kpi"] == kpi), None)


def _ticks(values: Sequence[float]) -> list[float]:
    """Three to six round values around all of these; ratios that start where they are."""
    low, high = (min(values), max(values)) if values else (1.0, 2.0)
    for step in _TICK_STEPS:
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if last - first <= 4:
            last = max(last, first + 2)
            return [round(at * step, 6) for at in range(first, last + 1)]
    step = 10.0 ** math.ceil(math.log10(max(high - low, 1.0)))
    first = math.floor(low / step)
    return [(first + at) * step for at in range(3)]


def _runs(flags: Sequence[bool]) -> list[tuple[int, int]]:
    """Half-open runs of true flags."""
    runs: list[tuple[int, int]] = []
    for at, flag in enumerate(flags):
        if flag and runs and runs[-1][1] == at:
            runs[-1] = (runs[-1][0], at + 1)
        elif flag:
            runs.append((at, at + 1))
    return runs
