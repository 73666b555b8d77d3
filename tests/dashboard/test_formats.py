"""One formatter: decimals from the catalogue, a true minus, commas, no invented zeros."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from core.kpis import KPIS
from core.text import Language
from dashboard import formats
from dashboard.words import load_words

SEOUL = ZoneInfo("Asia/Seoul")


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (28_420.4, 0, "28,420"),
        (1.2683, 3, "1.268"),
        (1.28, 3, "1.280"),
        (-104.9, 1, "−104.9"),
        (-0.04, 1, "0.0"),
        (0.0, 1, "0.0"),
        (None, 3, "—"),
        (float("nan"), 3, "—"),
        (float("inf"), 0, "—"),
        (1_234_567.0, 1, "1,234,567.0"),
    ],
)
def test_numbers(value: float | None, decimals: int, text: str) -> None:
    assert formats.format_number(value, decimals) == text


def test_signs_are_written_out() -> None:
    assert formats.format_signed(0.012, 3) == "+0.012"
    assert formats.format_signed(-0.012, 3) == "−0.012"
    assert formats.format_signed(0.0001, 3) == "0.000"
    assert formats.format_signed(None, 3) == "—"


@pytest.mark.parametrize(
    ("kpi", "value", "shown"),
    [
        ("pue", 1.2683, ("1.268", "")),
        ("ref", 0.0108, ("1.1", "%")),
        ("wue", 0.41274, ("0.413", "L/kWh")),
        ("potable_water_avoided", 104.94, ("104.9", "m³")),
        ("facility_energy", 410_800.4, ("410,800", "kWh")),
        ("pue", None, ("—", "")),
    ],
)
def test_figures_have_the_decimals_of_their_definition(
    kpi: str, value: float | None, shown: tuple[str, str]
) -> None:
    assert formats.format_kpi(kpi, value) == shown


def test_every_figure_of_the_catalogue_can_be_shown() -> None:
    for kpi in KPIS:
        text, unit = formats.format_kpi(kpi, 1.0)
        assert text
        assert "m3" not in unit


def test_the_day_ends_at_24() -> None:
    start = datetime(2026, 11, 19, 15, 0, tzinfo=UTC)
    assert formats.format_span(start, datetime(2026, 11, 20, 5, 30, tzinfo=UTC), SEOUL) == (
        "00:00–14:30"
    )
    assert formats.format_span(start, datetime(2026, 11, 20, 15, 0, tzinfo=UTC), SEOUL) == (
        "00:00–24:00"
    )


@pytest.mark.parametrize(
    ("language", "text"), [("ko", "2026-11-20 (금)"), ("en", "2026-11-20 (Fri)")]
)
def test_days(language: Language, text: str) -> None:
    moment = datetime(2026, 11, 20, 5, 32, tzinfo=UTC)
    assert formats.format_day(moment, SEOUL, load_words()[language]) == text
    assert formats.zone_name(moment, SEOUL) == "KST"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0초"),
        (8.9, "8초"),
        (59.9, "59초"),
        (60, "1분"),
        (3_599, "59분"),
        (3_600, "1시간 0분"),
        (23_520, "6시간 32분"),
        (86_400 * 2 + 3_600 * 3, "2일 3시간"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert formats.format_duration(seconds, load_words()["ko"]) == text
