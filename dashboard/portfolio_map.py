"""The map of Korea: projection, places of the labels, and the drawing's numbers. Pure.

Outline: Natural Earth, extracted at set-up (`deploy/setup/board_files.py`). Labels stand in two
columns beside the land, each at the height nearest to its site at which none touches another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, pairwise, product

Point = tuple[float, float]
Ring = tuple[Point, ...]

# (longitude, latitude). Natural Earth has Dokdo only as a speck: both islands are drawn as points.
ULLEUNGDO: Point = (130.87, 37.50)
DOKDO: Point = (131.87, 37.24)
JEJU_EAST_END: Point = (126.97, 33.36)
EAST_SEA: Point = (130.7, 36.4)
NORTH, WEST, EAST = 38.75, 124.5, 132.1
_SQUEEZE = math.cos(math.radians(36.0))
_TOP = 4.0

_LINE = 15.0
_ABOVE, _BELOW = 12.0, 19.0  # what two lines of text take above and below their first base line
_GAP = 33.0
_STEP = 3.0
_CROSSING, _PASSING = 400.0, 150.0
_NEAR = 9.0


@dataclass(frozen=True, slots=True)
class Frame:
    """A drawing of one width, in pixels.

    Attributes:
        scale: Pixels of a degree of latitude.
        left: Where the western edge of the map lies.
        column_left, column_right: Where the labels of each side end and begin.
        apart: Least distance of two marks.
    """

    width: int
    height: int
    scale: float
    left: float
    column_left: float
    column_right: float
    apart: float

    def project(self, place: Point) -> Point:
        """Longitude and latitude as pixels; true to scale at 36 degrees north."""
        longitude, latitude = place
        x = self.left + (longitude - WEST) * self.scale * _SQUEEZE
        return x, _TOP + (NORTH - latitude) * self.scale


WIDE = Frame(464, 268, 45.6, 71.0, 114.0, 276.0, 17.0)
NARROW = Frame(270, 232, 38.0, 17.0, 58.0, 188.0, 16.0)
FRAMES = {"wide": WIDE, "narrow": NARROW}


@dataclass(frozen=True, slots=True)
class Placed:
    """One site on the drawing and the place of its label."""

    x: float
    y: float
    label_x: float
    label_y: float
    is_left: bool
    has_label: bool = True

    @property
    def leader(self) -> str:
        """The line from the site to its label, as an SVG path."""
        end = self.label_x + (5.0 if self.is_left else -5.0)
        return f"M{self.x:.1f} {self.y:.1f}L{end:.1f} {self.label_y - 4.0:.1f}"


@lru_cache(maxsize=8)
def land_path(rings: tuple[Ring, ...], frame: Frame) -> str:
    """The outline as one SVG path; what lies outside the map's extent is left out."""
    parts = []
    for ring in rings:
        if all(not WEST <= longitude <= EAST for longitude, _ in ring):
            continue
        points = [frame.project(place) for place in ring]
        steps = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
        steps += [f"L{x:.1f} {y:.1f}" for x, y in points[1:-1]]
        parts.append("".join(steps) + "Z")
    return "".join(parts)


@lru_cache(maxsize=64)
def place_labels(places: tuple[Point, ...], frame: Frame) -> tuple[Placed, ...]:
    """Where each site and its label stand, in the order of `places` (longitude, latitude).

    Labels begin on the side where their site lies; as long as moving one to the other side makes
    the lines shorter, or keeps them off each other and off other sites, it is moved. Where there is
    no room for all, no label is drawn: the marks still tell their names.
    """
    marks = _apart([frame.project(place) for place in places], frame.apart)
    middle = sorted(x for x, _ in marks)[len(marks) // 2] if marks else 0.0
    way = tuple(x < middle for x, _ in marks)
    cost, placed = _divide(marks, way, frame)
    while True:
        others = [(*way[:at], not way[at], *way[at + 1 :]) for at in range(len(way))]
        tried = [(*_divide(marks, other, frame), other) for other in others]
        best = min(tried, key=lambda found: found[0], default=None)
        if best is None or best[0] >= cost:
            break
        cost, placed, way = best
    if math.isinf(cost):
        return tuple(Placed(x, y, x, y, is_left=True, has_label=False) for x, y in marks)
    return placed


def _divide(
    marks: Sequence[Point], way: Sequence[bool], frame: Frame
) -> tuple[float, tuple[Placed, ...]]:
    cost = 0.0
    found: dict[int, Placed] = {}
    for is_left in (True, False):
        mine = sorted(
            (at for at, side in enumerate(way) if side is is_left), key=lambda at: marks[at][1]
        )
        lines = _stack([marks[at][1] for at in mine], _blocked(frame, is_left=is_left), frame)
        if lines is None:
            return math.inf, ()
        label_x = frame.column_left if is_left else frame.column_right
        for at, line in zip(mine, lines, strict=True):
            found[at] = Placed(*marks[at], label_x, line, is_left)
            cost += abs(line - 4.0 - marks[at][1]) + 0.6 * abs(label_x - marks[at][0])
    placed = tuple(found[at] for at in range(len(marks)))
    cost += sum(_CROSSING for one, two in combinations(placed, 2) if _cross(one, two))
    cost += sum(
        _PASSING
        for one, two in product(placed, placed)
        if one is not two and _distance((two.x, two.y), _leader(one)) < _NEAR
    )
    return cost, placed


def _blocked(frame: Frame, *, is_left: bool) -> list[tuple[float, float]]:
    # Names of islands and of the sea stand on the right, Baengnyeongdo lies on the left.
    if is_left:
        y = frame.project((WEST, 37.95))[1]
        return [(y - 6.0, y + 6.0)]
    top = frame.project(ULLEUNGDO)[1] - 10.0
    return [(top, frame.project(EAST_SEA)[1] + 4.0)]


def _stack(
    wanted: Sequence[float], blocked: Sequence[tuple[float, float]], frame: Frame
) -> list[float] | None:
    """Base lines, in order and apart, as near as can be to the wanted heights; None: no room."""
    count = int((frame.height - _BELOW - _ABOVE) / _STEP) + 1
    lines = [
        line
        for line in (_ABOVE + _STEP * step for step in range(count))
        if all(line + _BELOW < low or line - _ABOVE > high for low, high in blocked)
    ]
    if not wanted:
        return []
    # Least cost of the labels so far with the last of them on each line, and the line before.
    costs = [abs(line - 4.0 - wanted[0]) for line in lines]
    steps: list[list[int]] = []
    for height in wanted[1:]:
        least, least_at, behind = math.inf, -1, 0
        row, came = [], []
        for line in lines:
            while lines[behind] <= line - _GAP:
                if costs[behind] < least:
                    least, least_at = costs[behind], behind
                behind += 1
            row.append(least + abs(line - 4.0 - height))
            came.append(least_at)
        costs, steps = row, [*steps, came]
    if not costs or math.isinf(min(costs)):
        return None
    at = costs.index(min(costs))
    found = [lines[at]]
    for came in reversed(steps):
        at = came[at]
        found.append(lines[at])
    return found[::-1]


def _apart(marks: list[Point], least: float) -> list[Point]:
    # Sites a few kilometres apart would lie on each other: they are pushed off along their line.
    moved = list(marks)
    for _ in range(40):
        is_settled = True
        for one, two in combinations(range(len(moved)), 2):
            (x0, y0), (x1, y1) = moved[one], moved[two]
            distance = math.hypot(x1 - x0, y1 - y0)
            if distance >= least - 1e-6:
                continue
            is_settled = False
            ux, uy = ((x1 - x0) / distance, (y1 - y0) / distance) if distance else (0.0, 1.0)
            push = (least - distance) / 2.0
            moved[one] = (x0 - ux * push, y0 - uy * push)
            moved[two] = (x1 + ux * push, y1 + uy * push)
        if is_settled:
            break
    return moved


_Segment = tuple[Point, Point]


def _leader(placed: Placed) -> _Segment:
    end = placed.label_x + (5.0 if placed.is_left else -5.0)
    return (placed.x, placed.y), (end, placed.label_y - 4.0)


def _cross(one: Placed, two: Placed) -> bool:
    (a, b), (c, d) = _leader(one), _leader(two)
    return _turn(a, b, c) * _turn(a, b, d) < 0.0 and _turn(c, d, a) * _turn(c, d, b) < 0.0


def _turn(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _distance(point: Point, segment: _Segment) -> float:
    (x0, y0), (x1, y1) = segment
    dx, dy = x1 - x0, y1 - y0
    length = dx * dx + dy * dy
    along = ((point[0] - x0) * dx + (point[1] - y0) * dy) / length if length else 0.0
    along = min(1.0, max(0.0, along))
    return math.hypot(point[0] - x0 - along * dx, point[1] - y0 - along * dy)


def are_apart(placed: Sequence[Placed]) -> bool:
    """Whether no two labels of one side touch."""
    for is_left in (True, False):
        lines = sorted(one.label_y for one in placed if one.is_left is is_left)
        if any(low + _GAP > high + 1e-9 for low, high in pairwise(lines)):
            return False
    return True


def text_width(text: str, *, is_bold: bool = False) -> float:
    """About how wide a text of 12 px is: Hangul takes its square, Latin letters half of it."""
    wide = sum(12.0 if ord(letter) > 0x2E80 else 6.9 for letter in text)
    return wide * (1.04 if is_bold else 1.0)
