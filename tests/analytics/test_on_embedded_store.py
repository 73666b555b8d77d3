"""The service on the embedded store and the real records: the same rows as on dictionaries."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from analytics.kpis import compute_kpi_rows
from analytics.service import AnalyticsConfig, AnalyticsService
from core.clock import FakeClock
from core.ledger import CommitOutcome, DirtySpan
from core.periods import Period
from core.samples import ReadingBlock
from core.sites import SiteRegistry
from storage.embedded.store import EmbeddedStore
from storage.records.store import Records
from tests.analytics.memory_store import MemoryRecords, MemoryStore
from tests.analytics.series_builders import START, START_MS, key_of, make_device, make_site

HOUR_MS = 3_600_000
FEED = make_device("grid-a", "grid_feed", 60.0, accuracy_class=0.5)
PDU = make_device("pdu-1", "pdu_output", 60.0, accuracy_class=1.0)
MAINS = make_device("mains-1", "mains_supply", 300.0)
SITE = make_site(FEED, PDU, MAINS)
DEVICES = {FEED.id: FEED, PDU.id: PDU, MAINS.id: MAINS}


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[EmbeddedStore, Records]]:
    store = EmbeddedStore(tmp_path / "timeseries", 0, role="all")
    records = Records.open(f"sqlite:///{tmp_path / 'records.sqlite'}")
    yield store, records
    records.close()
    store.close()


def blocks() -> list[ReadingBlock]:
    """Thirty hours with an hour of silence and a reset; later batches fill half of the silence."""
    found = []
    for device, cadence_s in ((FEED, 60), (PDU, 60), (MAINS, 300)):
        times = START_MS + 1000 * np.arange(0, 30 * 3600, cadence_s, dtype=np.int64)
        hours = (times - START_MS) / HOUR_MS
        level = {"grid-a": 130.0, "pdu-1": 100.0, "mains-1": 3.0}[device.id]
        total = level * np.where(hours < 20.0, hours, hours - 20.0)
        values = {("volume_m3" if device is MAINS else "active_energy_kwh"): total}
        if device is not MAINS:
            values["active_power_kw"] = np.full(len(times), level)
        silent = (hours >= 8.0) & (hours < 9.0)
        late = silent & (hours >= 8.5)
        for rows in (~silent, late):
            found.append(
                ReadingBlock(
                    SITE.id,
                    device.family,
                    (device.id,),
                    np.zeros(int(rows.sum()), dtype=np.int32),
                    times[rows],
                    np.zeros(int(rows.sum()), dtype=np.int8),
                    {name: column[rows] for name, column in values.items()},
                )
            )
    return found


def test_both_stores_hold_the_same(stores: tuple[EmbeddedStore, Records]) -> None:
    store, records = stores
    memory, notes = MemoryStore(), MemoryRecords()
    clock = FakeClock(START + timedelta(hours=31))
    services = [
        AnalyticsService(
            SiteRegistry([SITE]), store, records, AnalyticsConfig(raw_days=0, forecasts=None), clock
        ),
        AnalyticsService(
            SiteRegistry([SITE]),
            memory,  # type: ignore[arg-type]
            notes,
            AnalyticsConfig(raw_days=0, forecasts=None),
            clock,
        ),
    ]
    every = blocks()
    for number, batch in enumerate((every[0::2], every[1::2])):
        store.write_readings(batch)
        spans = []
        for block in batch:
            device = block.devices[0]
            spans.append(
                DirtySpan(
                    SITE.id,
                    block.family,
                    device,
                    int(block.time_ms[0]),
                    int(block.time_ms[-1]),
                )
            )
            for metric, values in block.values.items():
                rows = zip(block.time_ms.tolist(), values.tolist(), strict=True)
                memory.add(key_of(DEVICES[device], metric), rows)
        records.apply_commit(CommitOutcome(0, number + 1, dirty=tuple(spans)))
        notes.add_dirty(*spans)
        for _ in range(12):
            for service in services:
                service.run_pass()
            clock.advance(timedelta(seconds=5))
    assert not records.read_dirty(10)
    assert services[0].status().error == ""

    period = Period(START, START + timedelta(hours=30))
    mine = {block.key: block for block in store.read_intervals(SITE.id, period)}
    theirs = {block.key: block for block in memory.read_intervals(SITE.id, period)}
    assert mine.keys() == theirs.keys()
    for key, block in mine.items():
        for column in ("start_ms", "count", "amount", "covered_s", "estimated_s", "mean"):
            np.testing.assert_array_equal(
                getattr(block, column), getattr(theirs[key], column), err_msg=f"{key} {column}"
            )
    events = records.read_events(SITE.id, period)
    assert sorted(events, key=str) == sorted(notes.read_events(SITE.id, period), key=str)
    assert {event.kind for event in events} == {"counter_gap", "counter_reset"}

    asked = [
        compute_kpi_rows(
            reader,  # type: ignore[arg-type]
            events_of,
            SITE,
            Period(START, START + timedelta(hours=24)),
            resolution="day",
            now=clock.now(),
        )
        for reader, events_of in ((store, records), (memory, notes))
    ]
    assert asked[0] == asked[1]
    pue = next(value for value in asked[0] if value.kpi == "pue")
    assert pue.value == pytest.approx(1.3)
    assert pue.uncertainty is not None
    rows = store.read_results(SITE.id, "kpi", period, names=["pue"], resolution="day")
    assert rows[0].value == pue.value
