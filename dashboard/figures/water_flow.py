"""Where the water of the rain system came from and went: a balance as widths, pure geometry.

Every width is its volume times one factor. Mains water that was put into the tank stays apart from
rain on both sides, because only what was used beyond it counts as rain. Only the unexplained part
has a least width, and is outlined, so that it is seen and not taken for a measured flow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Style = Literal["mains", "rain", "used", "kept", "lost", "open"]
Key = Literal[
    "top_up",
    "collected",
    "drawn",
    "too_much",
    "used_mains",
    "kept_mains",
    "used_rain",
    "stored",
    "overflow",
    "drained",
    "unexplained",
]
LEAST_OPEN_PX = 2.0
# Below this a volume is the arithmetic's, not the plant's.
_NOTHING_M3 = 1e-6
_SHOWN_M3 = 0.05


@dataclass(frozen=True, slots=True)
class RainBalance:
    """The balance of the rain system over one period, in m3.

    collected + top-up = used + overflow + drained + stored + unexplained.

    Attributes:
        used: What the rain system delivered, top-up included.
        stored: Volume at the end less that at the start.
        top_up, overflow, drained: None where no meter of it is declared.
        unexplained: Above zero where water is missing, below where there is too much.
    """

    collected: float
    used: float
    stored: float
    unexplained: float
    top_up: float | None = None
    overflow: float | None = None
    drained: float | None = None

    @property
    def came_in(self) -> float:
        """Collected and topped up."""
        return self.collected + (self.top_up or 0.0)

    @property
    def closure(self) -> float | None:
        """Unexplained share of what came in; None where nothing did."""
        return abs(self.unexplained) / self.came_in if self.came_in > _NOTHING_M3 else None

    def sources(self) -> list[tuple[Key, float]]:
        """Where the water came from; both lists have the same sum."""
        sources: list[tuple[Key, float]] = []
        if self.top_up is not None:
            sources.append(("top_up", self.top_up))
        sources.append(("collected", self.collected))
        if (drawn := -self._rain_stored) > _NOTHING_M3:
            sources.append(("drawn", drawn))
        if (too_much := -self.unexplained) > _NOTHING_M3:
            sources.append(("too_much", too_much))
        return sources

    def targets(self) -> list[tuple[Key, float]]:
        """Where it went or stayed: mains water first, then rain."""
        targets: list[tuple[Key, float]] = []
        if self.top_up is not None:
            targets.append(("used_mains", self._mains_used))
            if self._mains_kept > _NOTHING_M3:
                targets.append(("kept_mains", self._mains_kept))
        targets.append(("used_rain", self.used - self._mains_used))
        targets.append(("stored", max(0.0, self._rain_stored)))
        if self.overflow is not None:
            targets.append(("overflow", self.overflow))
        if self.drained is not None:
            targets.append(("drained", self.drained))
        targets.append(("unexplained", max(0.0, self.unexplained)))
        return targets

    @property
    def _mains_used(self) -> float:
        return min(self.top_up or 0.0, self.used)

    @property
    def _mains_kept(self) -> float:
        # More mains water than was used: the rest lies in the tank.
        return (self.top_up or 0.0) - self._mains_used

    @property
    def _rain_stored(self) -> float:
        return self.stored - self._mains_kept


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large a picture is drawn, in pixels.

    Attributes:
        flow: Height of all water together.
        pitch: Least distance between the middles of two labels.
        gap: Least distance between two ends on the right.
    """

    flow: float
    pitch: float
    gap: float
    width: float


WIDE = Sizes(flow=210.0, pitch=19.0, gap=11.0, width=400.0)
NARROW = Sizes(flow=176.0, pitch=36.0, gap=11.0, width=130.0)
_LEFT_PITCH = 36.0
_TOP = 6.0


@dataclass(frozen=True, slots=True)
class FlowEnd:
    """One end of the water's way: a bar with its label.

    Attributes:
        height: Its volume times the factor; the unexplained at least `LEAST_OPEN_PX`.
        label: Middle of its label.
    """

    key: Key
    m3: float
    y: float
    height: float
    label: float
    style: Style

    @property
    def middle(self) -> float:
        """Middle of the bar."""
        return self.y + self.height / 2.0


@dataclass(frozen=True, slots=True)
class Ribbon:
    """Water from left to right."""

    key: Key
    left: float
    left_height: float
    right: float
    right_height: float
    style: Style

    def path(self, width: float) -> str:
        """The outline as an SVG path over a width."""
        half = width / 2.0
        left_foot, right_foot = self.left + self.left_height, self.right + self.right_height
        return (
            f"M0 {self.left:.2f}C{half:g} {self.left:.2f} {half:g} {self.right:.2f} "
            f"{width:g} {self.right:.2f}L{width:g} {right_foot:.2f}C{half:g} {right_foot:.2f} "
            f"{half:g} {left_foot:.2f} 0 {left_foot:.2f}Z"
        )


@dataclass(frozen=True, slots=True)
class Flow:
    """A whole picture; `px_per_m3` is the one factor of all its widths."""

    left: tuple[FlowEnd, ...]
    right: tuple[FlowEnd, ...]
    ribbons: tuple[Ribbon, ...]
    px_per_m3: float
    width: float
    height: float


_STYLES: dict[Key, Style] = {
    "top_up": "mains",
    "used_mains": "mains",
    "kept_mains": "mains",
    "collected": "rain",
    "drawn": "kept",
    "too_much": "open",
    "used_rain": "used",
    "stored": "kept",
    "overflow": "lost",
    "drained": "lost",
    "unexplained": "open",
}
_MAINS: frozenset[Key] = frozenset(("top_up", "used_mains", "kept_mains"))


def build_flow(balance: RainBalance, sizes: Sizes = WIDE) -> Flow | None:
    """Lay the balance out; None where no water moved."""
    sources, targets = balance.sources(), balance.targets()
    total = sum(m3 for _, m3 in sources)
    if total <= _NOTHING_M3 or any(m3 < -_NOTHING_M3 for _, m3 in (*sources, *targets)):
        return None
    factor = sizes.flow / total
    right = _spread(targets, factor, sizes)
    left = _stack(sources, right, factor)
    ends = [*left, *right]
    foot = max(max(end.y + end.height, end.label + sizes.pitch / 2.0) for end in ends)
    return Flow(left, right, _ribbons(left, right, factor), factor, sizes.width, foot + _TOP)


def _height(key: Key, m3: float, factor: float) -> float:
    # What is printed as 0.0 is no part that has to be seen.
    least = LEAST_OPEN_PX if _STYLES[key] == "open" and m3 >= _SHOWN_M3 else 0.0
    return max(least, m3 * factor)


def _spread(
    targets: Sequence[tuple[Key, float]], factor: float, sizes: Sizes
) -> tuple[FlowEnd, ...]:
    """Ends on the right, apart from each other so that no label touches the next."""
    placed: list[FlowEnd] = []
    for key, m3 in targets:
        height = _height(key, m3, factor)
        y = _TOP + max(0.0, sizes.pitch / 2.0 - height / 2.0 - _TOP)
        if placed:
            above = placed[-1]
            y = max(above.y + above.height + sizes.gap, above.middle + sizes.pitch - height / 2.0)
        placed.append(FlowEnd(key, m3, y, height, y + height / 2.0, _STYLES[key]))
    return tuple(placed)


def _stack(
    sources: Sequence[tuple[Key, float]], right: Sequence[FlowEnd], factor: float
) -> tuple[FlowEnd, ...]:
    """Ends on the left: mains water level with its use, the rain's sources on one trunk below."""
    first_rain = next(end for end in right if end.key not in _MAINS)
    y, placed, lowest_label = first_rain.y, [], -_LEFT_PITCH
    for key, m3 in sources:
        height = _height(key, m3, factor)
        if key in _MAINS:
            top = right[0].y
            end = FlowEnd(key, m3, top, height, max(top + height / 2.0, 16.0), _STYLES[key])
            y = max(
                y,
                end.y + end.height + 16.0,
                end.label
                + _LEFT_PITCH
                - sum(v * factor for k, v in sources if k not in _MAINS) / 2.0,
            )
        else:
            label = max(y + height / 2.0, lowest_label + _LEFT_PITCH)
            end = FlowEnd(key, m3, y, height, label, _STYLES[key])
            y += height
        lowest_label = end.label
        placed.append(end)
    return tuple(placed)


def _ribbons(
    left: Sequence[FlowEnd], right: Sequence[FlowEnd], factor: float
) -> tuple[Ribbon, ...]:
    """From each trunk to its ends, in their order; widths on the left add up to the trunk."""
    starts = {
        True: next((end.y for end in left if end.key in _MAINS), 0.0),
        False: next(end.y for end in left if end.key not in _MAINS),
    }
    ribbons = []
    for end in right:
        if end.m3 <= _NOTHING_M3:
            continue
        is_mains = end.key in _MAINS
        width = end.m3 * factor
        ribbons.append(Ribbon(end.key, starts[is_mains], width, end.y, end.height, end.style))
        starts[is_mains] += width
    return tuple(ribbons)
