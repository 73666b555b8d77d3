"""Colours of the board, in light and dark; `assets/board.css` declares the same.

Figures are built in the light ones; the page turns them into its own by this table when it draws,
so that one figure serves every listener and a change of brightness asks nothing of the server.
"""

from __future__ import annotations

LIGHT: dict[str, str] = {
    "bg": "#eceef0",
    "surface": "#f7f8f9",
    "sunk": "#e9ecee",
    "ink": "#1c252e",
    "ink-2": "#4a5763",
    "ink-3": "#5d6974",
    "line": "#d3d8dd",
    "line-2": "#aab3bc",
    "data": "#33414e",
    "forecast": "#7d8a97",
    "g2": "#657380",
    "g3": "#a3adb6",
    "g4": "#cfd5da",
    "stale": "#6b5a86",
}
DARK: dict[str, str] = {
    "bg": "#16191d",
    "surface": "#1d2126",
    "sunk": "#14171a",
    "ink": "#e4e8ec",
    "ink-2": "#b3bdc6",
    "ink-3": "#98a3ae",
    "line": "#343b43",
    "line-2": "#56616c",
    "data": "#c4ced8",
    "forecast": "#8391a0",
    "g2": "#8492a0",
    "g3": "#5a6672",
    "g4": "#3a434c",
    "stale": "#b7a4d6",
}
# The forecast's colour at 22 % on light, 26 % on dark.
BAND = "rgba(125,138,151,0.22)"
_DARK_BAND = "rgba(131,145,160,0.26)"


def dark_by_light() -> dict[str, str]:
    """Light colour -> dark colour, for the page's recolouring."""
    return {**{LIGHT[name]: DARK[name] for name in LIGHT}, BAND: _DARK_BAND}
