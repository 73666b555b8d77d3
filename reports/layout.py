"""What a page is made of: sections of tables, pictures and notes, as data for the template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Cell = dict[str, Any]
Block = dict[str, Any]


def cell(
    text: str, *, right: bool = False, bold: bool = False, span: int = 1, mark: str = ""
) -> Cell:
    """One cell of a table.

    Args:
        mark: `met` or `missed`: a drawn sign before the text.
    """
    return {"text": text, "right": right, "bold": bold, "span": span, "mark": mark}


def row(cells: Sequence[Cell], *, kind: str = "") -> dict[str, Any]:
    """One row; `kind` is `group` for a heading inside a table, `sum` for a total."""
    return {"cells": list(cells), "kind": kind}


def table(
    heads: Sequence[Cell], rows: Sequence[dict[str, Any]], widths: Sequence[str], *, dense: bool
) -> Block:
    """A table with its heading row; `widths` are `auto` or a number of fractions like `1fr`."""
    return {
        "kind": "table",
        "heads": list(heads),
        "rows": list(rows),
        "widths": list(widths),
        "dense": dense,
    }


def chart(name: str, alt: str) -> Block:
    """A picture by the name of its file."""
    return {"kind": "chart", "file": f"{name}.svg", "alt": alt}


def note(text: str) -> Block:
    """A small line under a table."""
    return {"kind": "note", "text": text}


def subheading(text: str, sub: str) -> Block:
    """A heading inside a section, with what it says about units."""
    return {"kind": "subheading", "text": text, "sub": sub}


def items(texts: Sequence[str]) -> Block:
    """Short paragraphs in two columns."""
    return {"kind": "items", "items": list(texts)}


def section(
    heading: str, blocks: Sequence[Block], *, sub: str = "", boxed: bool = False
) -> dict[str, Any]:
    """A section; `boxed` draws a frame around it."""
    return {"heading": heading, "sub": sub, "blocks": list(blocks), "boxed": boxed}
