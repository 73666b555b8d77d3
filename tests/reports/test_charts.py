"""Charts on paper: marks where the values are, strings as they stand, gaps never joined."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from analytics.month.content import build_month
from core.canonical import canonical_json
from reports import charts
from reports.names import array_names
from reports.svg import Drawing, text_width
from reports.words import load_words
from tests.reports.conftest import spoilt_month
from tests.reports.month_data import MONTH, NOW

SVG = "{http://www.w3.org/2000/svg}"
KO = load_words()["ko"]
COLOURS = {"#000", "#fff", "#b4b4b4", "#d0d0d0", "#8a8a8a", "none", "url(#hatch)", "url(#gap)"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    data = spoilt_month()
    store, records = data.write()
    content = build_month(store, records, data.site, MONTH, now=NOW)  # type: ignore[arg-type]
    loaded = json.loads(canonical_json(content.document))
    assert isinstance(loaded, dict)
    return loaded


def texts(picture: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(picture).iter(f"{SVG}text")]


def test_the_line_of_the_pue_is_broken_at_the_gap(document: dict[str, Any]) -> None:
    picture = charts.daily_pue(document, KO)
    root = ET.fromstring(picture)
    lines = [
        path.get("d", "") for path in root.iter(f"{SVG}path") if path.get("stroke-width") == "1.6"
    ]
    points = [line.count("L") + 1 for line in lines]
    assert points == [20, 10]
    assert len(list(root.iter(f"{SVG}circle"))) == 30
    words = texts(picture)
    assert "목표 1.300" in words
    assert f"31일 {document['daily'][30]['pue']['shown']}" in words
    assert any("21일 값 없음 (수집률 58.3 %)" in text for text in words)


def test_bars_are_in_true_proportion(document: dict[str, Any]) -> None:
    root = ET.fromstring(charts.energy_parts(document, KO))
    widths = sorted(float(r.get("width", 0)) for r in root.iter(f"{SVG}rect") if r.get("x"))
    parts = sorted(p["value"] for p in document["energy"]["parts"] if p["value"])
    whole = document["energy"]["facility"]["value"]
    drawn = widths[-len(parts) :]
    for width, value in zip(drawn, parts, strict=True):
        assert width == pytest.approx(688.0 * value / whole, abs=0.1)


def test_both_sides_of_the_rain_are_equally_long(document: dict[str, Any]) -> None:
    root = ET.fromstring(charts.rain_balance(document, KO))
    ends: dict[float, float] = {}
    for rect in root.iter(f"{SVG}rect"):
        if rect.get("x") is None:
            continue
        y = float(rect.get("y", 0))
        end = float(rect.get("x", 0)) + float(rect.get("width", 0))
        ends[y] = max(ends.get(y, 0.0), end)
    assert len(ends) == 2
    first, second = ends.values()
    assert first == pytest.approx(second, abs=0.2)


@pytest.mark.parametrize("lang", ["ko", "en"])
def test_only_black_white_grey_and_hatch_and_nothing_outside(
    document: dict[str, Any], lang: str
) -> None:
    words = load_words()["ko" if lang == "ko" else "en"]
    pictures = [
        charts.daily_pue(document, words),
        charts.energy_parts(document, words),
        charts.rain_balance(document, words),
        charts.solar_arrays(document, words, array_names(document, words)),
        charts.completeness_strip(document, words),
    ]
    for picture in pictures:
        assert set(re.findall(r'(?:fill|stroke)="([^"]+)"', picture)) <= COLOURS
        root = ET.fromstring(picture)
        width, height = float(root.get("width", 0)), float(root.get("height", 0))
        for element in root.iter(f"{SVG}text"):
            x, y = float(element.get("x", 0)), float(element.get("y", 0))
            length = text_width(element.text or "")
            anchor = element.get("text-anchor")
            left = x - {"end": length, "middle": length / 2}.get(anchor or "", 0.0)
            assert left > -4, element.text
            assert left + length < width + 4, element.text
            assert 0 < y <= height, element.text


def test_months_without_any_figure_have_a_picture_too(document: dict[str, Any]) -> None:
    days = [
        {**day, "pue": {**day["pue"], "value": None, "shown": "—"}} for day in document["daily"]
    ]
    picture = charts.daily_pue({**document, "daily": days, "targets": []}, KO)
    assert "값 없음 31일" in "".join(texts(picture))


def test_text_is_escaped() -> None:
    drawing = Drawing(10, 10)
    drawing.text(1, 1, "<a> & b")
    assert texts(drawing.finish()) == ["<a> & b"]
