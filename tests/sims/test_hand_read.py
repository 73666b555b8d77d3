"""Sheets of hand-read meters: what is read, and what is refused with its row and column."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook

from core.errors import ConfigurationError
from core.periods import from_ms, to_ms
from core.site_files import build_registry
from core.sites import SiteRegistry
from sims.hand_read import HandReading, pack_hand_readings, read_hand_readings
from sims.import_maps import parse_import_map

NOW_MS = to_ms(datetime(2026, 6, 10, tzinfo=UTC))
SITE = """
schema = 1
id = "test-dc"
name = { ko = "시험", en = "Test" }
operator = "x"
status = "operating"
data = "measured"
zone = "ZONE"
location = { latitude = 37, longitude = 127 }
late_window_days = 0
pue_category = 2

[[devices]]
id = "grid-a"
family = "energy"
role = "grid_feed"
metrics = ["active_energy_kwh", "power_factor"]
cadence_s = 3600
valid_from = 2026-01-01
meter = "A"

[[devices]]
id = "grid-a"
family = "energy"
role = "grid_feed"
metrics = ["active_energy_kwh", "power_factor"]
cadence_s = 3600
valid_from = 2026-05-15
meter = "B"

[[devices]]
id = "mains-1"
family = "water"
role = "mains_supply"
metrics = ["volume_m3"]
cadence_s = 3600
valid_from = 2026-01-01

[[devices]]
id = "feed-ct"
family = "energy"
role = "distribution"
metrics = ["active_energy_kwh"]
cadence_s = 3600
valid_from = 2026-01-01
multiplier = 40
"""
READINGS = """
schema = 1
site = "test-dc"

[time]
column = "검침일시"
zone = "Asia/Seoul"

[[meters]]
column = "한전 수전 (kWh)"
device = "grid-a"
metric = "active_energy_kwh"
unit = "kWh"
kind = "reading"

[[meters]]
column = "상수도 (m³)"
device = "mains-1"
metric = "volume_m3"
unit = "m³"
kind = "reading"
"""
HEADER = "검침일시,한전 수전 (kWh),상수도 (m³)\n"
CONSUMPTION = """
schema = 1
site = "test-dc"

[time]
column = "월"
zone = "Asia/Seoul"
period = "month"

[[meters]]
column = "MWh"
device = "grid-a"
metric = "active_energy_kwh"
unit = "MWh"
kind = "consumption"
begins = 2026-01-01
"""


def registry_of(zone: str = "Asia/Seoul") -> SiteRegistry:
    return build_registry({"test-dc.toml": SITE.replace("ZONE", zone)})


def read(path: Path, text: str = READINGS, zone: str = "Asia/Seoul") -> list[HandReading]:
    registry = registry_of(zone)
    import_map = parse_import_map(text, "map.toml", registry)
    return read_hand_readings(path, import_map, registry.site("test-dc"), NOW_MS)


def csv_of(folder: Path, rows: str, header: str = HEADER, encoding: str = "utf-8") -> Path:
    path = folder / "sheet.csv"
    path.write_bytes((header + rows).encode(encoding))
    return path


def book_of(folder: Path, rows: Sequence[Sequence[Any]], sheet: str = "검침") -> Path:
    book = Workbook()
    page = book.create_sheet(sheet)
    for row in rows:
        page.append(list(row))
    path = folder / "sheet.xlsx"
    book.save(path)
    return path


def simple(readings: Sequence[HandReading]) -> list[tuple[str, str, float]]:
    return [(r.device, f"{from_ms(r.time_ms):%m-%dT%H:%M}", r.value) for r in readings]


TWO_ROWS = "2026-05-01 09:00,1000.5,20\n2026-05-02 09:30,1100,\n"
EXPECTED = [
    ("grid-a", "05-01T00:00", 1000.5),
    ("mains-1", "05-01T00:00", 20.0),
    ("grid-a", "05-02T00:30", 1100.0),
]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949"])
def test_a_csv_as_excel_in_korea_writes_it(tmp_path: Path, encoding: str) -> None:
    path = csv_of(tmp_path, TWO_ROWS.replace("\n", "\r\n"), encoding=encoding)
    text = READINGS
    if encoding == "cp949":
        with pytest.raises(ConfigurationError, match='encoding = "cp949"'):
            read(path, text)
        text = text.replace("[time]", '[file]\nencoding = "cp949"\n[time]')
    assert simple(read(path, text)) == EXPECTED


def test_a_workbook_with_dates_and_numbers(tmp_path: Path) -> None:
    rows = [
        ["2026년 검침표"],
        ["검침일시", "비고", "한전 수전 (kWh)", "상수도 (m³)"],
        [datetime(2026, 5, 2, 9, 30), "", 1100, None],  # noqa: DTZ001 - as a workbook holds it
        [datetime(2026, 5, 1, 9, 0), "first", 1000.5, "20"],  # noqa: DTZ001
        [None, "signed", None, None],
    ]
    form = '[file]\nsheet = "검침"\nheader_row = 2\n[time]'
    assert simple(read(book_of(tmp_path, rows), READINGS.replace("[time]", form))) == EXPECTED
    with pytest.raises(ConfigurationError, match="no sheet '검침표'"):
        read(book_of(tmp_path, rows), READINGS.replace("[time]", form.replace("검침", "검침표")))
    with pytest.raises(ConfigurationError, match="which one"):
        read(book_of(tmp_path, rows))


def test_dates_without_a_time_of_day_need_the_declared_one(tmp_path: Path) -> None:
    path = csv_of(tmp_path, "2026-05-01,1000.5,20\n")
    with pytest.raises(
        ConfigurationError, match="row 2, '검침일시': 2026-05-01 has no time of day"
    ):
        read(path)
    text = READINGS.replace("[time]", '[time]\nat = "18:00"')
    assert simple(read(path, text))[0] == ("grid-a", "05-01T09:00", 1000.5)
    book = book_of(tmp_path, [HEADER.strip().split(","), [date(2026, 5, 1), 1000.5, 20]])
    sheet = text.replace("[time]", '[file]\nsheet = "검침"\n[time]')
    assert simple(read(book, sheet))[0] == ("grid-a", "05-01T09:00", 1000.5)


def test_separators_are_taken_only_as_declared(tmp_path: Path) -> None:
    path = csv_of(tmp_path, '2026-05-01 09:00,"1,234.5",20\n')
    with pytest.raises(
        ConfigurationError, match=r"row 2, '한전 수전.*other separators than declared"
    ):
        read(path)
    declared = READINGS.replace("[time]", '[numbers]\nthousands = ","\n[time]')
    assert simple(read(path, declared))[0][2] == 1234.5
    continental = '[numbers]\ndecimal = ","\nthousands = "."\n[time]'
    path = csv_of(tmp_path, '2026-05-01 09:00,"1.234,5",20\n')
    assert simple(read(path, READINGS.replace("[time]", continental)))[0][2] == 1234.5


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ("2026-05-01 09:00,about 5,1\n", "row 2, '한전 수전 .kWh.'.*'about 5' is no number"),
        ("2026-05-01 09:00,nan,1\n", "'nan' is no number"),
        ("2026-05-01 09:00,1e3,1\n", "'1e3' is no number"),
        (",5,1\n", "row 2, '검침일시': a row without a time"),
        ("May 1st,5,1\n", "'May 1st' is no time"),
        ("2026-05-01T09:00:00Z,5,1\n2026-05-01 18:00,6,1\n", "another row has the same time"),
        ("2026-05-01 09:00,5,1\n2026-05-02 09:00,4,1\n", "row 3.*4 is less than 5 before it"),
        ("2025-05-01 09:00,5,1\n", "grid-a is declared from 2025-12-31"),
        ("2026-07-01 09:00,5,1\n", "has not come yet"),
        ("2026-05-01 09:00,-5,1\n", "not plausible"),
    ],
)
def test_what_is_not_clear_is_named_by_row_and_column(
    tmp_path: Path, rows: str, named: str
) -> None:
    with pytest.raises(ConfigurationError, match=named):
        read(csv_of(tmp_path, rows))


def test_all_that_is_not_clear_comes_in_one_list(tmp_path: Path) -> None:
    rows = "2026-05-01 09:00,x,y\n2026-05-02,5,1\n2026-05-03 09:00,6,z\n"
    with pytest.raises(ConfigurationError) as caught:
        read(csv_of(tmp_path, rows))
    assert [problem.key for problem in caught.value.problems] == [
        "row 3, '검침일시'",
        "row 2, '한전 수전 (kWh)'",
        "row 2, '상수도 (m³)'",
        "row 4, '상수도 (m³)'",
    ]


def test_a_declared_meter_change_may_begin_lower(tmp_path: Path) -> None:
    rows = "2026-05-10 09:00,5000,1\n2026-05-20 09:00,12,2\n"
    assert len(read(csv_of(tmp_path, rows))) == 4


def test_a_time_that_clocks_show_twice_is_refused(tmp_path: Path) -> None:
    zone = "America/New_York"
    text = READINGS.replace("Asia/Seoul", zone)
    path = csv_of(tmp_path, "2026-03-08 02:30,5,1\n")
    with pytest.raises(ConfigurationError, match="show 2026-03-08 02:30:00 never"):
        read(path, text, zone)
    path = csv_of(tmp_path, "2026-03-08T03:30:00-04:00,5,1\n")
    assert simple(read(path, text, zone))[0][1] == "03-08T07:30"


def test_columns_are_named_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is not in the header"):
        read(csv_of(tmp_path, "", header="검침일시,상수도 (m³)\n"))
    with pytest.raises(ConfigurationError, match="stands twice"):
        read(csv_of(tmp_path, "", header="검침일시," + HEADER))


# ------------------------------------------------------------------ consumption


def test_consumption_of_months_becomes_a_register_at_their_borders(tmp_path: Path) -> None:
    text = CONSUMPTION.replace('period = "month"', 'period = "month"\nformat = "%Y년 %m월"')
    rows = "2026년 02월,80\n2026년 01월,100.5\n2026년 03월,90\n2026년 04월,\n"
    found = simple(read(csv_of(tmp_path, rows, header="월,MWh\n"), text))
    assert found == [
        ("grid-a", "12-31T15:00", 0.0),
        ("grid-a", "01-31T15:00", 100_500.0),
        ("grid-a", "02-28T15:00", 180_500.0),
        ("grid-a", "03-31T15:00", 270_500.0),
    ]


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ("2026-01-01,100\n2026-03-01,90\n", "row 3, 'MWh': a period before this one is missing"),
        ("2026-02-01,100\n", "row 2.*not the one that begins on 2026-01-01"),
        ("2026-01-01,100\n2026-02-01,-1\n", "row 3.*not negative"),
        ("2026-01-15,100\n", "not the first day of a month"),
        ("2026-01-01 09:00,100\n", "a time of day, not a month"),
        (
            "2026-01-01,1\n2026-02-01,1\n2026-03-01,1\n2026-04-01,1\n2026-05-01,1\n2026-06-01,1\n",
            "row 7.*has not come yet",
        ),
    ],
)
def test_consumption_is_refused_where_the_total_would_be_wrong(
    tmp_path: Path, rows: str, named: str
) -> None:
    with pytest.raises(ConfigurationError, match=named):
        read(csv_of(tmp_path, rows, header="월,MWh\n"), CONSUMPTION)


# ------------------------------------------------------------------ maps and messages


@pytest.mark.parametrize(
    ("text", "old", "new", "named"),
    [
        (READINGS, 'site = "test-dc"', 'site = "other"', "no site 'other'"),
        (READINGS, 'zone = "Asia/Seoul"', 'zone = "Asia/Tokyo"', "it is Asia/Seoul"),
        (READINGS, 'zone = "Asia/Seoul"', "", "Field required"),
        (READINGS, 'device = "grid-a"', 'device = "grid-z"', "no device 'grid-z'"),
        (READINGS, 'unit = "kWh"', 'unit = "kW"', "no unit of active_energy_kwh"),
        (READINGS, 'unit = "kWh"', "", "Field required"),
        (READINGS, 'kind = "reading"', 'kind = "consumption"', "needs time.period"),
        (READINGS, 'device = "mains-1"', 'device = "grid-a"', "declares volume_m3"),
        (READINGS, "[time]", '[numbers]\nthousands = "."\n[time]', "the same sign"),
        (READINGS, "[time]", "[speed]\n[time]", "speed"),
        (CONSUMPTION, "begins = 2026-01-01\n", "", "consumption needs it"),
        (CONSUMPTION, '"consumption"', '"reading"', "remove time.period"),
        (CONSUMPTION, 'device = "grid-a"', 'device = "feed-ct"', "has it already"),
        (
            CONSUMPTION,
            '"active_energy_kwh"\nunit = "MWh"',
            '"power_factor"\nunit = "1"',
            "no counter",
        ),
    ],
)
def test_a_wrong_map_says_what_is_wrong(text: str, old: str, new: str, named: str) -> None:
    assert old in text
    with pytest.raises(ConfigurationError, match=named):
        parse_import_map(text.replace(old, new), "map.toml", registry_of())


def test_messages_are_native_json_of_quality_manual() -> None:
    readings = [
        HandReading("grid-a", "active_energy_kwh", 1000, 5.0),
        HandReading("grid-a", "power_factor", 1000, 0.9),
        HandReading("mains-1", "volume_m3", 1000, 2.0),
    ]
    found = list(pack_hand_readings(registry_of().site("test-dc"), readings))
    assert [(message.topic, message.readings) for message in found] == [
        ("greendc/v1/test-dc/energy", 1),
        ("greendc/v1/test-dc/water", 1),
    ]
    assert json.loads(found[0].payload) == {
        "readings": [
            {
                "device": "grid-a",
                "ts": 1000,
                "quality": "manual",
                "values": {"active_energy_kwh": 5.0, "power_factor": 0.9},
            }
        ]
    }
