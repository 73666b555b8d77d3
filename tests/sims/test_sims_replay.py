"""Real files as readings: columns, units, time bases, counted names."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from core.connections import MqttConnection
from core.errors import ConfigurationError
from core.periods import from_ms, to_ms
from core.samples import Floats, Ints
from core.sites import SiteRegistry
from sims.registers import count_periods
from sims.replay import count_names, read_readings, read_replay, run_replay
from sims.replay_maps import ReplayMap, parse_replay_map
from sims.tables import ReadingTable
from tests.conftest import skip_loudly

NODE = r"r\d{1,2}n\d{1,2}"
MAP = """
schema = 1
site = "surf-lisa"
family = "accelerator"
device = "lisa-cpu-nodes"

[time]
column = "time"
unit = "s"
base = 2022-10-06T22:00:00Z

[[metrics]]
metric = "power_w"
column = "kw"
unit = "kW"

[[metrics]]
metric = "members_expected"
constant = 3
"""


@pytest.fixture
def replay_map(replay_registry: SiteRegistry) -> ReplayMap:
    return parse_replay_map(MAP, "map.toml", replay_registry)


def write_csv(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


# ---------------------------------------------------------------- the SURF week


@pytest.fixture(scope="module")
def surf_file(test_data: Path) -> Path:
    path = test_data / "surf-lisa-power-week" / "consumption.parquet"
    if not path.is_file():
        skip_loudly("no surf-lisa-power-week in the folder of real data")
    return path


@pytest.fixture(scope="module")
def surf_map(repository: Path, replay_registry: SiteRegistry) -> ReplayMap:
    path = repository / "config" / "replay" / "surf-lisa.toml"
    return parse_replay_map(path.read_text(encoding="utf-8"), str(path), replay_registry)


def test_the_surf_week_is_read_whole(surf_file: Path, surf_map: ReplayMap) -> None:
    table = read_readings(surf_file, surf_map)
    assert len(table) == 20_159
    assert (np.diff(table.time_ms) == 30_000).all()
    assert table.time_ms[0] == to_ms(datetime(2022, 10, 6, 22, 0, 30, tzinfo=UTC))
    source = pyarrow.parquet.read_table(surf_file)
    np.testing.assert_array_equal(table.values[:, 0], source["power_draw"].to_numpy())
    # The file's own energy: power x 30 s.
    joule = source["energy_usage"].to_numpy().sum()
    assert table.values[:, 0].sum() * 30 == pytest.approx(joule, rel=1e-12)


def test_the_surf_nodes_are_counted_exactly(surf_file: Path, surf_map: ReplayMap) -> None:
    table = read_readings(surf_file, surf_map)
    assert table.metrics == ("power_w", "members_reporting", "members_expected")
    # Counted another way: a name begins at each r.
    texts = pyarrow.parquet.read_table(surf_file, columns=["host"])["host"].to_pylist()
    by_hand = {text: len(set(text[1:].split("r"))) for text in set(texts)}
    np.testing.assert_array_equal(table.values[:, 1], [by_hand[text] for text in texts])
    assert len(by_hand) == 1857
    # Every row names the same nodes in another order.
    assert {frozenset(text[1:].split("r")) for text in by_hand} == {
        frozenset(texts[0][1:].split("r"))
    }
    assert set(table.values[:, 1].tolist()) == {277.0}
    assert set(table.values[:, 2].tolist()) == {277.0}


# ---------------------------------------------------------------- names


def test_names_are_counted_once_each() -> None:
    texts = pa.chunked_array([["r1n1r1n2r12n30", "r1n1r1n1", None], ["r1n1 r1n2, r1n3", ""]])
    np.testing.assert_array_equal(count_names(texts, NODE), [3, 1, np.nan, 3, 0])


@pytest.mark.parametrize("text", ["r1n1x", "node-7", "r1n1r2"])
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no name"):
        count_names(pa.chunked_array([[text]]), NODE)


# ---------------------------------------------------------------- files


def test_units_are_converted_and_rows_sorted(tmp_path: Path, replay_map: ReplayMap) -> None:
    path = write_csv(tmp_path / "a.csv", "time,kw,more\n60,2.5,x\n30,1.5,y\n90,,z\n")
    table = read_readings(path, replay_map)
    base = to_ms(datetime(2022, 10, 6, 22, tzinfo=UTC))
    assert table.time_ms.tolist() == [base + 30_000, base + 60_000]
    np.testing.assert_allclose(table.values, [[1500, 3], [2500, 3]])


def test_times_as_text_need_an_offset_or_a_zone(
    tmp_path: Path, replay_registry: SiteRegistry
) -> None:
    text = MAP.replace('unit = "s"\n', "").replace("base = 2022-10-06T22:00:00Z\n", "")
    with_offset = "2022-10-30T03:00:00+01:00"
    path = write_csv(tmp_path / "a.csv", f"time,kw\n'{with_offset}',1\n".replace("'", ""))
    table = read_readings(path, parse_replay_map(text, "m", replay_registry))
    assert table.time_ms.tolist() == [to_ms(datetime(2022, 10, 30, 2, tzinfo=UTC))]
    path = write_csv(tmp_path / "b.csv", "time,kw\n2022-07-01 12:00:00,1\n")
    with pytest.raises(ConfigurationError, match="zone"):
        read_readings(path, parse_replay_map(text, "m", replay_registry))
    zoned = text.replace("[time]", '[time]\nzone = "Europe/Amsterdam"')
    table = read_readings(path, parse_replay_map(zoned, "m", replay_registry))
    assert table.time_ms.tolist() == [to_ms(datetime(2022, 7, 1, 10, tzinfo=UTC))]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("when,kw\n1,1\n", "time"),
        ("time,kw\n1,much\n", "kw"),
        ("time,kw\n,1\n", "time"),
        ("", "cannot be read"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(
    tmp_path: Path, replay_map: ReplayMap, content: str, named: str
) -> None:
    path = write_csv(tmp_path / "a.csv", content)
    with pytest.raises(ConfigurationError, match=named):
        read_readings(path, replay_map)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('site = "surf-lisa"', 'site = "nowhere"', "nowhere"),
        ('device = "lisa-cpu-nodes"', 'device = "other"', "other"),
        ('metric = "power_w"', 'metric = "watts"', "watts"),
        ('metric = "power_w"', 'metric = "energy_kwh"', "energy_kwh"),
        ('unit = "kW"', 'unit = "kWh"', "kWh"),
        ('unit = "s"', 'unit = "minutes"', "time.unit"),
        ("constant = 3", 'constant = 3\ncolumn = "kw"', "either a column or a constant"),
        ("constant = 3", 'column = "kw"\ncount_pattern = "("', "no pattern"),
        ("2022-10-06T22:00:00Z", "2022-10-06T22:00:00", "no offset"),
        ("schema = 1", "schema = 1\nspeed = 2", "speed"),
        ("schema = 1", "schema = [", "not TOML"),
    ],
)
def test_a_wrong_map_says_what_is_wrong(
    replay_registry: SiteRegistry, old: str, new: str, named: str
) -> None:
    assert old in MAP
    with pytest.raises(ConfigurationError, match=named.replace("(", r"\(")):
        parse_replay_map(MAP.replace(old, new), "map.toml", replay_registry)


def test_readings_that_would_be_quarantined_are_not_sent(
    tmp_path: Path, site_files: dict[str, str], registry: SiteRegistry
) -> None:
    path = write_csv(tmp_path / "a.csv", "time,kw\n30,1\n")
    text = MAP.replace("surf-lisa", "kakao-ansan").replace("lisa-cpu-nodes", "gpu-001")
    text = text.replace('metric = "members_expected"', 'metric = "utilization_percent"')
    map_path = write_csv(tmp_path / "map.toml", text)

    def never(site: str) -> MqttConnection:
        raise AssertionError("nothing is sent")

    with pytest.raises(ConfigurationError, match="late window"):
        run_replay(
            path,
            map_path,
            never,
            speed=None,
            registry=registry,
            stop=threading.Event(),
            progress=lambda share, text: None,
        )


# ---------------------------------------------------------------- means of periods

HOURS = """
schema = 1
site = "cornell-biohpc"
family = "accelerator"
device = "cbsugpu05"

[file]
delimiter = "\\t"
footer = '\\(\\d+ rows affected\\)|Completion time: .*'

[time]
column = "time"
zone = "America/New_York"
period = "hour"
unplaceable = "leave_out"

[[metrics]]
metric = "energy_kwh"
column = "watt"
unit = "W"
times = 2
accumulate = true

[[metrics]]
metric = "temperature_c"
column = "degree"
"""


def read_hours(
    folder: Path, registry: SiteRegistry, rows: str, text: str = HOURS
) -> tuple[ReadingTable, dict[str, int]]:
    path = folder / "hours.txt"
    path.write_bytes(b"\xef\xbb\xbf" + f"time\twatt\tdegree\n{rows}".encode())
    return read_replay(path, parse_replay_map(text, "m", registry))


def column_of(table: ReadingTable, metric: str) -> list[tuple[str, float]]:
    values = table.values[:, table.metrics.index(metric)]
    return [
        (f"{from_ms(time_ms):%m-%dT%H:%M}", value)
        for time_ms, value in zip(table.time_ms.tolist(), values.tolist(), strict=True)
        if value == value
    ]


def test_means_of_hours_become_a_register_read_at_their_borders(
    tmp_path: Path, replay_registry: SiteRegistry
) -> None:
    rows = (
        "2025-07-01 02:00:00.000\t300\t41\n2025-07-01 01:00:00.000\t100\t40\n\n"
        "(2 rows affected)\n\n\nCompletion time: 2025-10-31T10:35:47.0119102-04:00\n"
    )
    table, left_out = read_hours(tmp_path, replay_registry, rows)
    assert left_out == {}
    # 100 W and 300 W for an hour, times two GPUs; Eastern summer time is four hours behind.
    assert column_of(table, "energy_kwh") == [
        ("07-01T05:00", 0.0),
        ("07-01T06:00", 0.2),
        ("07-01T07:00", pytest.approx(0.8)),
    ]
    # A mean temperature stands in the middle of its hour.
    assert column_of(table, "temperature_c") == [("07-01T05:30", 40.0), ("07-01T06:30", 41.0)]


def test_the_hour_that_clocks_show_twice_is_left_out(
    tmp_path: Path, replay_registry: SiteRegistry
) -> None:
    rows = "".join(f"2024-11-03 {hour:02}:00:00.000\t1000\t40\n" for hour in range(12))
    table, left_out = read_hours(tmp_path, replay_registry, rows)
    assert left_out == {
        "local times that clocks of America/New_York show twice or never": 1,
        "runs too short for the register that counts them": 1,
    }
    # 0:00 alone stands before the gap; from 2:00 EST on, ten hours.
    energy = column_of(table, "energy_kwh")
    assert energy[0] == ("11-03T07:00", 0.0)
    assert energy[-1] == ("11-03T17:00", pytest.approx(20.0))
    with pytest.raises(ConfigurationError, match="show 2024-11-03 01:00:00 twice"):
        read_hours(
            tmp_path, replay_registry, rows, HOURS.replace('unplaceable = "leave_out"\n', "")
        )
    with pytest.raises(ConfigurationError, match="show 2025-03-09 02:30:00 never"):
        read_hours(
            tmp_path,
            replay_registry,
            "2025-03-09 02:30:00\t1\t1\n",
            HOURS.replace('unplaceable = "leave_out"\n', ""),
        )


def test_a_row_that_is_neither_row_nor_footer_is_an_error(
    tmp_path: Path, replay_registry: SiteRegistry
) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_hours(tmp_path, replay_registry, "2025-07-01 01:00:00\t1\t1\nthe end\n")


def test_two_rows_of_one_hour_are_an_error(tmp_path: Path, replay_registry: SiteRegistry) -> None:
    row = "2025-07-01 01:00:00.000\t100\t40\n"
    with pytest.raises(ConfigurationError, match="two rows for 2025-07-01T05:00Z"):
        read_hours(tmp_path, replay_registry, row + row)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('period = "hour"\n', "", "needs time.period"),
        ('zone = "America/New_York"\nperiod = "hour"', 'period = "day"', "need a zone"),
        ('unit = "W"\n', "", "needs the unit"),
        ('metric = "energy_kwh"', 'metric = "power_w"', "no counter of energy"),
        ('unit = "W"', 'unit = "kWh"', "no unit of energy_kwh"),
        ('column = "watt"', 'columns = ["a"]\ncolumn = "watt"', "either a column or a constant"),
        ('device = "cbsugpu05"\n', "", "a device at each metric"),
        ("footer = '", "footer = '(", "no pattern"),
    ],
)
def test_a_wrong_map_of_periods_says_what_is_wrong(
    replay_registry: SiteRegistry, old: str, new: str, named: str
) -> None:
    assert old in HOURS
    with pytest.raises(ConfigurationError, match=named):
        parse_replay_map(HOURS.replace(old, new), "m", replay_registry)


def periods(*amounts: float | None) -> tuple[Ints, Ints, Floats]:
    known = [(at, amount) for at, amount in enumerate(amounts) if amount is not None]
    start = np.array([at * 1000 for at, _ in known], dtype=np.int64)
    return start, start + 1000, np.array([amount for _, amount in known], dtype=np.float64)


def test_a_register_starts_again_where_a_period_is_missing() -> None:
    found = count_periods(*periods(5.0, 6.0, 7.0, None, 3.0, 4.0))
    assert found.time_ms.tolist() == [0, 1000, 2000, 3000, 4000, 5000, 6000]
    assert found.value.tolist() == [0.0, 5.0, 11.0, 18.0, 0.0, 3.0, 7.0]
    assert found.left_out == 0


def test_a_run_that_the_next_start_would_hide_is_left_out() -> None:
    # 5 kWh, a gap, 3 + 4 kWh: two low readings and a recovery look like a dip of the meter.
    found = count_periods(*periods(5.0, None, 3.0, 4.0, 5.0))
    assert found.value.tolist() == [0.0, 3.0, 7.0, 12.0]
    assert found.left_out == 1
    assert count_periods(*periods()).left_out == 0


@pytest.mark.parametrize(("number", "gpus", "rows"), [("05", 2, 23_371), ("07", 1, 15_493)])
def test_a_cornell_server_is_read_whole(
    test_data: Path,
    repository: Path,
    replay_registry: SiteRegistry,
    number: str,
    gpus: int,
    rows: int,
) -> None:
    path = test_data / "cornell-biohpc-gpu-hourly" / f"cbsugpu{number}_usage_stats.txt"
    if not path.is_file():
        skip_loudly("no cornell-biohpc-gpu-hourly in the folder of real data")
    text = (repository / "config" / "replay" / f"cornell-biohpc-{number}.toml").read_text("utf-8")
    table, left_out = read_replay(path, parse_replay_map(text, "m", replay_registry))
    lines = path.read_text("utf-8-sig").splitlines()[1:]
    watts = {cells[1]: float(cells[2]) for line in lines if len(cells := line.split("\t")) == 14}
    assert len(watts) == rows
    twice = [time for time in watts if "-11-0" in time and " 01:" in time and is_sunday(time)]
    assert left_out["local times that clocks of America/New_York show twice or never"] == len(twice)
    short = left_out.get("runs too short for the register that counts them", 0)
    assert short < 0.01 * rows
    energy = np.array([value for _, value in column_of(table, "energy_kwh")])
    counted = float(np.maximum(np.diff(energy), 0.0).sum())
    expected = (sum(watts.values()) - sum(watts[time] for time in twice)) * gpus / 1000
    assert counted == pytest.approx(expected, rel=0.002)
    assert counted <= expected
    degrees = column_of(table, "temperature_c")
    assert len(degrees) == rows - len(twice)


def is_sunday(text: str) -> bool:
    day = datetime.fromisoformat(text)
    return day.weekday() == 6 and day.day <= 7
