"""Energy by system on a real store: known answers, a gap, a silent meter."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from analytics.recompute import recompute_period
from analytics.systems import SystemEnergies, read_systems
from core.periods import Period, from_ms, to_ms
from core.quality import Verdict
from core.samples import ReadingBlock
from core.site_files import build_registry
from core.sites import Site
from storage.embedded.store import EmbeddedStore
from storage.records.store import Records

START = datetime(2026, 11, 1, tzinfo=UTC)
END = START + timedelta(hours=6)
# Mean powers in kW: 1,000 of facility = 800 IT + 120 cooling + 30 losses + 20 lighting + 30 rest.
POWERS = {
    "grid": 1_000.0,
    "ups-in": 830.0,
    "pdu": 800.0,
    "chiller": 90.0,
    "pump": 30.0,
    "light": 20.0,
}
ROLES = {
    "grid": "grid_feed",
    "ups-in": "ups_input",
    "pdu": "pdu_output",
    "chiller": "chiller",
    "pump": "pump",
    "light": "lighting",
}
SITE_FILE = """
schema = 1
id = "test-site"
name = { ko = "s", en = "s" }
operator = "o"
status = "operating"
data = "measured"
zone = "Asia/Seoul"
location = { latitude = 37.0, longitude = 127.0 }
late_window_days = 35
pue_category = 2
gate = { final = 0.95, provisional = 0.80 }
"""


def one_meter_each() -> Site:
    """A site with one meter of each role."""
    devices = "".join(
        f"""
[[devices]]
id = "{name}"
family = "energy"
role = "{role}"
metrics = ["active_energy_kwh"]
cadence_s = 300
valid_from = 2026-01-01
"""
        for name, role in ROLES.items()
    )
    return build_registry({"test-site.toml": SITE_FILE + devices}).site("test-site")


SITE = one_meter_each()


class World:
    """A store with six hours of readings, some of them left out."""

    def __init__(self, folder: Path) -> None:
        self.store = EmbeddedStore(folder / "timeseries", 400, role="all")
        self.records = Records.open(f"sqlite:///{folder / 'records.sqlite'}")

    def write(self, *, without: dict[str, tuple[int, int]] | None = None) -> SystemEnergies:
        """Write counters; `without` leaves out the minutes [from, to) of a device."""
        for name, power in POWERS.items():
            times = np.arange(to_ms(START), to_ms(END) + 1, 300_000, dtype=np.int64)
            first, last = (without or {}).get(name, (0, 0))
            minutes = (times - to_ms(START)) // 60_000
            times = times[~((minutes >= first) & (minutes < last))]
            hours = (times - to_ms(START)) / 3_600_000.0
            block = ReadingBlock(
                site=SITE.id,
                family="energy",
                devices=(name,),
                device_index=np.zeros(len(times), dtype=np.int32),
                time_ms=times,
                quality=np.zeros(len(times), dtype=np.int8),
                values={"active_energy_kwh": 5_000.0 + hours * power},
            )
            self.store.write_readings([block])
        recompute_period(self.store, self.records, SITE, Period(START, END))
        found = read_systems(self.store, self.records, SITE, Period(START, END), END)
        assert found is not None
        return found


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.records.close()
    made.store.close()


def test_known_powers_come_back_as_energies(world: World) -> None:
    totals = world.write().totals(to_ms(START), to_ms(END))
    assert totals is not None
    kwh = {part.name: part.kwh for part in totals.parts}
    wanted = {"it": 4_800.0, "cooling": 720.0, "losses": 180.0, "lighting": 120.0, "rest": 180.0}
    assert kwh == pytest.approx(wanted)
    assert totals.facility_kwh == pytest.approx(6_000.0)
    assert totals.pue == pytest.approx(1.25)
    assert totals.verdict is Verdict.FINAL
    assert {p.name: p.devices for p in totals.parts}["cooling"] == ("chiller", "pump")


def test_a_gap_is_in_the_sum_and_no_figure_of_its_own(world: World) -> None:
    energies = world.write(without={"chiller": (60, 150)})
    totals = energies.totals(to_ms(START), to_ms(END))
    assert totals is not None
    assert {part.name: part.kwh for part in totals.parts}["cooling"] == pytest.approx(720.0)
    alone = energies.alone("cooling")
    inside = (energies.start_ms >= to_ms(START) + 75 * 60_000) & (
        energies.start_ms < to_ms(START) + 135 * 60_000
    )
    assert np.isnan(alone[inside]).all()
    assert not np.isnan(alone[~inside][:3]).any()
    assert not np.isnan(energies.alone("it")).any()


def test_a_meter_that_is_silent_at_the_end_takes_its_part_away(world: World) -> None:
    totals = world.write(without={"pump": (180, 400)}).totals(to_ms(START), to_ms(END))
    assert totals is not None
    parts = {part.name: part for part in totals.parts}
    assert parts["cooling"].kwh is None
    assert parts["cooling"].verdict is Verdict.REFUSED
    assert parts["rest"].kwh == pytest.approx(180.0 + 720.0)
    assert parts["rest"].verdict is Verdict.PROVISIONAL
    assert totals.pue == pytest.approx(1.25)


def test_a_site_without_it_meters_has_no_systems(tmp_path: Path) -> None:
    text = SITE_FILE + (
        '\n[[devices]]\nid = "grid"\nfamily = "energy"\nrole = "grid_feed"\n'
        'metrics = ["active_energy_kwh"]\ncadence_s = 300\nvalid_from = 2026-01-01\n'
    )
    site = build_registry({"test-site.toml": text}).site("test-site")
    made = World(tmp_path)
    assert read_systems(made.store, made.records, site, Period(START, END), END) is None
    assert from_ms(to_ms(START)) == START
    made.records.close()
    made.store.close()
