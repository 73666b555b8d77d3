"""What analytics really answers, on real stores, as the board reads and says it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from analytics.kpis import compute_kpi_rows
from core.periods import INTERVAL_MS, to_ms
from core.quality import Verdict
from core.sites import SiteRegistry
from dashboard.evidence_words import reason_words
from dashboard.formula_words import formula_words
from dashboard.today import SiteDay, compute_site_day
from dashboard.words import load_words
from storage.embedded.store import EmbeddedStore
from storage.records.store import Records
from tests.browser.board_data import board_registry, write_history
from tests.dashboard.fakes import REPOSITORY

# 14:32 in Seoul.
NOW = datetime(2026, 11, 20, 5, 32, tzinfo=UTC)


class Stores:
    """Empty stores in a folder."""

    def __init__(self, folder: Path) -> None:
        self.store = EmbeddedStore(folder / "timeseries", 400, role="all")
        self.records = Records.open(f"sqlite:///{folder / 'records.sqlite'}")

    def day(self, registry: SiteRegistry, now: datetime) -> SiteDay:
        site = registry.site("kakao-ansan")
        return compute_site_day(site, self.store, self.records, to_ms(now), compute_kpi_rows)

    def close(self) -> None:
        self.records.close()
        self.store.close()


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    made = Stores(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def sites() -> SiteRegistry:
    return board_registry(REPOSITORY / "config" / "sites", NOW)


def test_an_empty_store_refuses_every_figure_in_words_that_we_know(
    stores: Stores, sites: SiteRegistry
) -> None:
    day = stores.day(sites, NOW)
    assert len(day.kpis) >= 10
    words = load_words()["ko"]
    for row in day.kpis.values():
        assert row.verdict is Verdict.REFUSED
        said = reason_words(row, words)
        assert said
        assert not said.startswith(words("reason.other")), row.reason
    assert day.power is not None
    assert {point.kw for point in (*day.power.facility, *day.power.it)} == {None}


def test_figures_and_powers_of_a_known_history(stores: Stores, sites: SiteRegistry) -> None:
    gap = (NOW - timedelta(hours=3), NOW - timedelta(hours=2))
    write_history(stores.store, stores.records, sites, NOW, gap=gap)
    day = stores.day(sites, NOW)
    pue = day.site_kpi("pue")
    assert pue is not None
    # 2 feeds of 12,800 and 3 arrays of 86 over 6 PDUs of 3,400, all of one shape.
    assert pue.value == pytest.approx((2 * 12_800 + 3 * 86) / (6 * 3_400), rel=1e-9)
    assert pue.verdict is Verdict.FINAL
    assert " kWh ÷ IT " in formula_words(pue, load_words()["ko"])
    assert day.power is not None
    missing = [
        start
        for start, point in zip(day.power.start_ms, day.power.it, strict=True)
        if point.kw is None
    ]
    # The counters know the hole's total, its quarters they do not.
    assert 3 <= len(missing) <= 6
    assert min(missing) >= to_ms(gap[0]) - INTERVAL_MS
    assert max(missing) <= to_ms(gap[1])
    for start, facility, it in zip(
        day.power.start_ms, day.power.facility, day.power.it, strict=True
    ):
        if start in missing:
            continue
        assert facility.kw is not None
        assert it.kw is not None
        assert facility.kw / it.kw == pytest.approx(pue.value, rel=1e-9)
        assert 19_000 < it.kw < 22_000
    assert {subject for kpi, subject in day.kpis if kpi == "pv_energy"} == {
        "site",
        "pv-roof-south",
        "pv-facade-south",
        "pv-facade-west",
    }
    for kpi in ("wue", "wue_potable", "ref", "rain_reuse_ratio", "pv_energy"):
        row = day.site_kpi(kpi)
        assert row is not None
        assert row.value is not None, row.reason
