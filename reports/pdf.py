"""A month's PDF by Typst: PDF/A-3a and PDF/UA-1, the JSON attached, the same bytes every time."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import typst

from core.errors import ConfigurationError, Problem
from core.periods import parse_rfc3339
from reports import charts
from reports.names import array_names
from reports.view import build_view
from reports.words import Words

TEMPLATE = Path(__file__).with_name("month.typ")
FONTS = ("Pretendard-Regular.otf", "Pretendard-SemiBold.otf", "Pretendard-Bold.otf")


def check_fonts(folder: Path) -> None:
    """See that the fonts of a report are there.

    Raises:
        ConfigurationError: One is missing; another font would give other pages.
    """
    missing = [name for name in FONTS if not (folder / name).is_file()]
    if missing:
        hint = "`make board-files` brings the fonts"
        problem = f"no {', '.join(missing)} here: a report is set in these fonts and no others"
        raise ConfigurationError([Problem(str(folder), "", problem, hint)])


def render_pdf(
    document: Mapping[str, Any], json_bytes: bytes, json_sha256: str, words: Words, fonts: Path
) -> bytes:
    """The PDF of one language.

    Args:
        document: The month's document with its revision.
        json_bytes: The canonical JSON, attached as it is.
        fonts: Folder of `FONTS`.

    Raises:
        ConfigurationError: A font is missing.
    """
    check_fonts(fonts)
    view = build_view(document, json_sha256, words)
    pictures = draw_charts(document, words)
    with tempfile.TemporaryDirectory(prefix="greendc-report-") as name:
        folder = Path(name)
        shutil.copyfile(TEMPLATE, folder / "month.typ")
        (folder / "month.json").write_bytes(json_bytes)
        (folder / "view.json").write_text(
            json.dumps(view, ensure_ascii=False, sort_keys=True), encoding="utf-8"
        )
        for chart, picture in pictures.items():
            (folder / f"{chart}.svg").write_text(picture, encoding="utf-8")
        return typst.compile(
            folder / "month.typ",
            root=folder,
            font_paths=[fonts],
            ignore_system_fonts=True,
            format="pdf",
            pdf_standards=["a-3a", "ua-1"],
            timestamp=int(_stamp(document).timestamp()),
        )


def draw_charts(document: Mapping[str, Any], words: Words) -> dict[str, str]:
    """The pictures that the month has data for, by name."""
    found = {"completeness_strip": charts.completeness_strip(document, words)}
    if any("pue" in day for day in document["daily"]):
        found["daily_pue"] = charts.daily_pue(document, words)
    if document["energy"]:
        found["energy_parts"] = charts.energy_parts(document, words)
    if document["water"] and document["water"]["rain_balance"]:
        found["rain_balance"] = charts.rain_balance(document, words)
    if document["solar"]:
        names = array_names(document, words)
        found["solar_arrays"] = charts.solar_arrays(document, words, names)
    return found


def _stamp(document: Mapping[str, Any]) -> datetime:
    # Not the time of making: that would be another file each time.
    return parse_rfc3339(document["period"]["end"])
