"""A real cluster's week: the roll-up against pandas on the file itself."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analytics.intervals import read_interval_rows
from analytics.kpis import compute_kpi_rows
from analytics.recompute import recompute_period
from core.periods import Period, from_ms, to_ms
from core.samples import SeriesKey
from core.site_files import build_registry
from core.sites import Device, Site
from tests.analytics.memory_store import MemoryRecords, MemoryStore
from tests.conftest import skip_loudly

NODES = 277
BEGIN_MS = to_ms(datetime(2022, 10, 6, 22, tzinfo=UTC))


@pytest.fixture(scope="module")
def week(test_data: Path) -> pd.DataFrame:
    path = test_data / "surf-lisa-power-week" / "consumption.parquet"
    if not path.is_file():
        skip_loudly(f"no real data: {path.parent.name} is not in GREENDC_TEST_DATA")
    raw = pd.read_parquet(path)
    return pd.DataFrame(
        {
            "time_ms": BEGIN_MS + raw["timestamp"],
            "power_w": raw["power_draw"],
            "reporting": raw["host"].str.count(r"r\d+n\d+"),
        }
    )


@pytest.fixture(scope="module")
def site(repository: Path) -> Site:
    text = (repository / "config" / "replay-sites" / "surf-lisa.toml").read_text("utf-8")
    return next(iter(build_registry({"surf-lisa.toml": text})))


class Rolled:
    def __init__(self, site: Site, frame: pd.DataFrame) -> None:
        self.site, self.frame = site, frame
        self.device: Device = site.devices["lisa-cpu-nodes"]
        self.store, self.records = MemoryStore(), MemoryRecords()
        for metric, values in (
            ("power_w", frame["power_w"]),
            ("members_reporting", frame["reporting"]),
            ("members_expected", pd.Series(NODES, index=frame.index)),
        ):
            key = SeriesKey(site.id, "accelerator", self.device.id, metric)
            self.store.add(key, zip(frame["time_ms"], values, strict=True))
        first, last = int(frame["time_ms"].iloc[0]), int(frame["time_ms"].iloc[-1])
        self.period = Period(from_ms(first - first % 900_000), from_ms(last - last % 900_000))
        recompute_period(self.store, self.records, site, self.period)  # type: ignore[arg-type]

    def rows(self, resolution: str) -> pd.DataFrame:
        found = read_interval_rows(
            self.store,  # type: ignore[arg-type]
            self.records,
            self.site,
            self.device,
            "power_w",
            self.period,
            resolution,  # type: ignore[arg-type]
        )
        return pd.DataFrame(found)

    def by_pandas(self) -> tuple[pd.Series, pd.Series]:
        """Energy (kWh) and covered seconds per quarter, from steps of one second."""
        frame = self.frame.set_index("time_ms")["power_w"]
        seconds = np.arange(self.period.start_ms, self.period.end_ms, 1000) + 500
        power = pd.Series(np.interp(seconds, frame.index, frame), index=seconds)
        before = np.searchsorted(frame.index, seconds, side="right") - 1
        after = np.minimum(before + 1, len(frame) - 1)
        span = frame.index.to_numpy()[after] - frame.index.to_numpy()[before]
        covered = (before >= 0) & (after > before) & (span <= 90_000)
        quarter = seconds // 900_000 * 900_000
        energy = power.where(covered, 0.0).groupby(quarter).sum() / 3600.0 / 1000.0
        return energy, pd.Series(covered, index=seconds).groupby(quarter).sum()


@pytest.fixture(scope="module")
def whole(site: Site, week: pd.DataFrame) -> Rolled:
    return Rolled(site, week)


@pytest.fixture(scope="module")
def broken(site: Site, week: pd.DataFrame) -> Rolled:
    """The same week with silences of 30 s to half a day and nodes that fail to report.

    In the file all 277 nodes report all the time; only the order of their names changes.
    """
    chance = np.random.default_rng(7)
    keep = np.ones(len(week), dtype=bool)
    for length in (1, 2, 3, 4, 10, 40, 400, 1440):
        for start in chance.integers(100, len(week) - 2000, 12 if length < 100 else 1):
            keep[start : start + length] = False
    lost = np.repeat(chance.integers(0, 60, len(week) // 100 + 1), 100)[: len(week)]
    frame = week.assign(reporting=week["reporting"] - lost)
    return Rolled(site, frame[keep].reset_index(drop=True))


@pytest.mark.parametrize("name", ["whole", "broken"])
def test_energy_is_that_of_the_file(name: str, request: pytest.FixtureRequest) -> None:
    rolled: Rolled = request.getfixturevalue(name)
    energy, covered = rolled.by_pandas()
    rows = rolled.rows("15m")
    assert len(rows) == len(energy)
    found = rows["energy_kwh"].fillna(0.0).astype(float)
    assert found.sum() == pytest.approx(energy.sum(), rel=1e-4)
    assert found.sum() > 3000.0
    np.testing.assert_allclose(found, energy, rtol=1e-4, atol=1e-6)
    assert rows["count"].sum() == len(rolled.frame[rolled.frame["time_ms"] < rolled.period.end_ms])
    # No second is covered that the readings do not cover.
    share = rows["coverage"].astype(float) * 900.0
    assert (share <= covered.to_numpy() + 1e-6).all()


@pytest.mark.parametrize("name", ["whole", "broken"])
def test_coverage_is_that_of_the_reporting_nodes(name: str, request: pytest.FixtureRequest) -> None:
    rolled: Rolled = request.getfixturevalue(name)
    _, covered = rolled.by_pandas()
    frame = rolled.frame
    quarter = frame["time_ms"] // 900_000 * 900_000
    reporting = frame["reporting"].groupby(quarter).mean().reindex(covered.index).fillna(0.0)
    expected = reporting / NODES * covered / 900.0
    rows = rolled.rows("15m")
    np.testing.assert_allclose(rows["coverage"].astype(float), expected, atol=0.02)
    weekly = read_coverage(rolled)
    assert weekly == pytest.approx(float(expected.mean()), abs=1e-3)
    if name == "whole":
        mean = float(frame["reporting"].mean()) / NODES
        assert weekly == pytest.approx(mean, abs=1e-3)
        assert mean == 1.0


def read_coverage(rolled: Rolled) -> float:
    (value,) = compute_kpi_rows(
        rolled.store,  # type: ignore[arg-type]
        rolled.records,
        rolled.site,
        rolled.period,
        now=rolled.period.end,
    )
    assert value.kpi == "accelerator_energy"
    assert value.subject == "site"
    total = rolled.rows("15m")["energy_kwh"].astype(float).sum()
    assert value.value is None or value.value == pytest.approx(total)
    assert value.coverage.numerator is not None
    return value.coverage.numerator
