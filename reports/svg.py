"""A small writer of SVG for paper: black, white, one grey and a hatch; text stays text."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

BLACK, WHITE, GREY, LIGHT = "#000", "#fff", "#b4b4b4", "#d0d0d0"
HATCH = "url(#hatch)"
FONT_PX = 11.5
_HATCH = (
    '<defs><pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)"><rect width="5" height="5" fill="#fff"/>'
    '<path d="M0 0V5" stroke="#000" stroke-width="1.3"/></pattern>'
    '<pattern id="gap" width="6" height="6" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)"><path d="M0 0V6" stroke="#8a8a8a" stroke-width=".8"/>'
    "</pattern></defs>"
)


def number(value: float) -> str:
    """A coordinate: one decimal, no minus before zero."""
    text = f"{value:.1f}"
    return "0" if text in {"0.0", "-0.0"} else text.removesuffix(".0")


class Drawing:
    """Pieces of one picture, written in the order in which they were drawn.

    Args:
        width, height: In CSS pixels; the width is that of the page's text.
    """

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self._pieces: list[str] = []

    def line(
        self,
        points: Sequence[tuple[float, float]],
        *,
        stroke: str = BLACK,
        width: float = 1.0,
        dash: str = "",
    ) -> None:
        """A line through points."""
        path = "L".join(f"{number(x)} {number(y)}" for x, y in points)
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        self._pieces.append(
            f'<path d="M{path}" fill="none" stroke="{stroke}" stroke-width="{width:g}"{dashes} '
            'stroke-linejoin="round"/>'
        )

    def bar(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        *,
        fill: str = WHITE,
        stroke: str = BLACK,
        dash: str = "",
    ) -> None:
        """A rectangle."""
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        edge = f' stroke="{stroke}" stroke-width=".8"{dashes}' if stroke else ""
        self._pieces.append(
            f'<rect x="{number(x)}" y="{number(y)}" width="{number(max(width, 0.0))}" '
            f'height="{number(height)}" fill="{fill}"{edge}/>'
        )

    def gap(self, x: float, y: float, width: float, height: float) -> None:
        """A hatched span without values."""
        self._pieces.append(
            f'<rect x="{number(x)}" y="{number(y)}" width="{number(width)}" '
            f'height="{number(height)}" fill="url(#gap)"/>'
        )

    def dot(self, x: float, y: float) -> None:
        """A small mark of a value."""
        self._pieces.append(f'<circle cx="{number(x)}" cy="{number(y)}" r="1.8" fill="#000"/>')

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        anchor: str = "start",
        bold: bool = False,
        fill: str = BLACK,
        halo: bool = False,
    ) -> None:
        """A line of text; with a white edge where it stands over data."""
        weight = ' font-weight="600"' if bold else ""
        place = f'x="{number(x)}" y="{number(y)}" text-anchor="{anchor}"{weight}'
        words = escape(text)
        if halo:
            self._pieces.append(
                f'<text {place} fill="#fff" stroke="#fff" stroke-width="4" '
                f'stroke-linejoin="round" aria-hidden="true">{words}</text>'
            )
        self._pieces.append(f'<text {place} fill="{fill}">{words}</text>')

    def finish(self) -> str:
        """The whole picture."""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{number(self.width)}" '
            f'height="{number(self.height)}" viewBox="0 0 {number(self.width)} '
            f'{number(self.height)}" font-family="Pretendard" font-size="{FONT_PX}">'
            f"{_HATCH}{''.join(self._pieces)}</svg>\n"
        )


def text_width(text: str) -> float:
    """About how wide a text is: a Hangul syllable is as wide as the letters are high."""
    return sum(FONT_PX * (0.9 if ord(c) > 0x2E80 else 0.58) for c in text)
