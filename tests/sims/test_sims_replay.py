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
from core.periods import to_ms
from core.sites import SiteRegistry
from sims.replay import count_names, read_readings, run_replay
from sims.replay_maps import ReplayMap, parse_replay_map
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
