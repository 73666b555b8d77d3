"""Real days: the PUE that analytics computes from the parts against the published one.

NREL ESIF, 2016-06-13 to 2021: daily mean powers become counters read at midnight, as `greendc
replay` sends them. What is published is a mean of ratios over the day, so it does not have to agree
to the last digit; on 95 % of the days since 2017 it does within 0.002.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from analytics.kpis import compute_kpi_rows
from analytics.recompute import recompute_period
from core.kpis import KpiValue
from core.periods import Period, from_ms, local_day, local_month
from core.quality import Verdict
from core.samples import SeriesKey
from core.site_files import build_registry
from core.sites import Site, SiteRegistry
from sims.replay import read_replay
from sims.replay_maps import parse_replay_map
from tests.analytics.memory_store import MemoryRecords, MemoryStore
from tests.conftest import skip_loudly

PARTS = ["cooling_kw", "hvac_kw", "it_power_kw", "plug_and_light_kw", "pump_kw"]
YEAR = Period(
    local_month(2018, 1, ZoneInfo("America/Denver")).start,
    local_month(2018, 12, ZoneInfo("America/Denver")).end,
)
# Days that the file does not have between its first usable day and its last.
MISSING = [
    *("2016-08-20", "2017-01-14", "2018-02-24", "2018-02-25", "2018-09-01"),
    *("2020-11-07", "2020-11-08", "2021-01-06", "2021-08-08"),
]


@pytest.fixture(scope="module")
def file(test_data: Path) -> Path:
    path = test_data / "nrel-esif-pue-daily" / "esif_daily_2015_2021.csv"
    if not path.is_file():
        skip_loudly(f"no real data: {path.parent.name} is not in GREENDC_TEST_DATA")
    return path


@pytest.fixture(scope="module")
def registry(repository: Path) -> SiteRegistry:
    text = (repository / "config" / "replay-sites" / "nrel-esif.toml").read_text("utf-8")
    return build_registry({"nrel-esif.toml": text})


class Esif:
    """The series in a store, rolled up: the year 2018, or all of it."""

    def __init__(
        self, file: Path, repository: Path, registry: SiteRegistry, *, whole: bool = False
    ) -> None:
        self.site: Site = registry.site("nrel-esif")
        text = (repository / "config" / "replay" / "nrel-esif.toml").read_text("utf-8")
        table, self.left_out = read_replay(file, parse_replay_map(text, "map", registry))
        self.store, self.records = MemoryStore(), MemoryRecords()
        for number, device in enumerate(table.devices):
            mine = table.device_index == number
            key = SeriesKey("nrel-esif", "energy", device, "active_energy_kwh")
            self.store.add(key, zip(table.time_ms[mine], table.values[mine, 0], strict=True))
        first, last = int(table.time_ms.min()), int(table.time_ms.max())
        self.period = Period(from_ms(first), from_ms(last)) if whole else YEAR
        recompute_period(self.store, self.records, self.site, self.period)  # type: ignore[arg-type]
        self.file = pd.read_csv(file, parse_dates=["date"]).set_index("date")
        self._days: dict[str, list[KpiValue]] = {}

    def rows(self, kpi: str, period: Period, resolution: str = "period") -> list[KpiValue]:
        return compute_kpi_rows(
            self.store,  # type: ignore[arg-type]
            self.records,
            self.site,
            period,
            resolution=resolution,  # type: ignore[arg-type]
            kpis=[kpi],
            now=self.period.end,
        )

    def of_days(self, kpi: str) -> list[KpiValue]:
        """The figure of every day."""
        if kpi not in self._days:
            self._days[kpi] = self.rows(kpi, self.period, "day")
        return self._days[kpi]

    def days(self, kpi: str) -> pd.Series:
        """Value by local day; NaN where refused."""
        rows = self.of_days(kpi)
        named = [pd.Timestamp(row.start.astimezone(self.site.zone).date()) for row in rows]
        return pd.Series([row.value for row in rows], index=named, dtype=float)


@pytest.fixture(scope="module")
def esif(file: Path, repository: Path, registry: SiteRegistry) -> Esif:
    return Esif(file, repository, registry)


def test_the_pue_of_the_parts_is_the_published_one(esif: Esif) -> None:
    computed = esif.days("pue").dropna()
    error = (computed - esif.file["pue"].reindex(computed.index)).abs()
    assert len(error) == 362
    assert (error <= 2e-3).mean() >= 0.95
    assert error.median() < 1e-4
    # Days on which a mean of ratios is not the ratio of the sums.
    apart = [day.date().isoformat() for day in error[error > 5e-3].index]
    assert apart == ["2018-02-27", "2018-02-28", "2018-08-27"]


@pytest.mark.acceptance
def test_the_whole_series(file: Path, repository: Path, registry: SiteRegistry) -> None:
    esif = Esif(file, repository, registry, whole=True)
    computed = esif.days("pue").dropna()
    published = esif.file["pue"].reindex(computed.index)
    since = computed.index >= "2017-01-01"
    assert since.sum() == 1818
    error = (computed - published).abs()[since]
    assert (error <= 2e-3).mean() >= 0.95
    assert error.median() < 1e-4
    apart = error[error > 5e-3]
    assert len(apart) == 27
    assert apart.index[0] == pd.Timestamp("2017-03-03")
    assert_missing(esif, MISSING)


def test_energy_of_a_day_is_its_mean_power_times_its_length(esif: Esif) -> None:
    for kpi, columns in (("it_energy", ["it_power_kw"]), ("facility_energy", PARTS)):
        days = esif.days(kpi).dropna()
        mean_kw = esif.file[columns].sum(axis=1).reindex(days.index)
        hours = [
            local_day(day.date(), esif.site.zone).seconds / 3600 for day in days.index.to_list()
        ]
        np.testing.assert_allclose(days, mean_kw * hours, rtol=1e-9)
    # The days on which clocks were put forward and back are 23 and 25 hours long.
    days = esif.days("it_energy")
    for day, length in ((date(2018, 3, 11), 23), (date(2018, 11, 4), 25)):
        mean_kw = esif.file["it_power_kw"][pd.Timestamp(day)]
        assert days[pd.Timestamp(day)] == pytest.approx(length * mean_kw)


def test_days_that_are_not_in_the_file_have_no_figure(esif: Esif) -> None:
    assert_missing(esif, [day for day in MISSING if day.startswith("2018")])


def assert_missing(esif: Esif, missing: list[str]) -> None:
    rows = esif.of_days("pue")
    refused = [row for row in rows if row.verdict is Verdict.REFUSED]
    days = [row.start.astimezone(esif.site.zone).date().isoformat() for row in refused]
    assert days == missing
    assert all("facility-sum/active_energy_kwh" in row.reason for row in refused)
    assert len(rows) == (esif.period.seconds + 1) // 86_400


def test_the_faulty_days_of_the_file_are_left_out(esif: Esif) -> None:
    # 2015-11-09 to 2016-06-12, with the published -40.8, -42.6, 0.96 and 0.71 among them.
    assert esif.left_out == {"before 2016-06-13, the first day of the map": 217}
    early = esif.file[esif.file.index < "2016-06-13"]
    assert len(early) == 217
    assert (early["pue"] < 1.0).sum() == 4
    (value,) = esif.rows("pue", local_month(2016, 1, esif.site.zone))
    assert value.verdict is Verdict.REFUSED


def test_nothing_inside_a_day_is_claimed(esif: Esif) -> None:
    day = local_day(date(2018, 7, 1), esif.site.zone)
    hours = esif.rows("pue", day, "hour")
    assert {row.verdict for row in hours} == {Verdict.REFUSED}
    assert {row.coverage.numerator for row in hours} == {0.0}
    (whole,) = esif.rows("pue", day)
    assert whole.verdict is Verdict.FINAL
    assert whole.shares.counted == 1.0


def test_a_year_is_the_ratio_of_its_sums(esif: Esif) -> None:
    (value,) = esif.rows("pue", esif.period)
    file = esif.file["2018":"2018"]  # type: ignore[misc]
    hours = np.array([local_day(d.date(), esif.site.zone).seconds / 3600 for d in file.index])
    energy = file[PARTS].mul(hours, axis=0).sum()
    # Three days are missing on both sides: 99.2 % of the year.
    assert value.value == pytest.approx(energy.sum() / energy["it_power_kw"])
    assert value.coverage.numerator == pytest.approx(362 / 365, abs=1e-4)
    assert not value.interim
    assert value.verdict is Verdict.FINAL


def test_a_published_impossible_day_is_refused_and_names_the_meter(
    esif: Esif, registry: SiteRegistry
) -> None:
    """2016-01: 0.71 was published. With such a pair of meters there is no figure."""
    site = registry.site("nrel-esif")
    store, records = MemoryStore(), MemoryRecords()
    day = local_day(date(2018, 7, 1), site.zone)
    for device, kwh in (("facility-sum", 710.0), ("it", 1000.0)):
        key = SeriesKey(site.id, "energy", device, "active_energy_kwh")
        store.add(key, [(day.start_ms, 0.0), (day.end_ms, kwh)])
    recompute_period(store, records, site, day)  # type: ignore[arg-type]
    (value,) = compute_kpi_rows(
        store,  # type: ignore[arg-type]
        records,
        site,
        day,
        kpis=["pue"],
        now=day.end,
    )
    assert value.verdict is Verdict.REFUSED
    assert "exceeds facility energy" in value.reason
    assert "it/active_energy_kwh" in value.reason
