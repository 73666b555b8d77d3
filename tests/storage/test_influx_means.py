"""Means made by a real InfluxDB are those of the samples."""

from __future__ import annotations

import uuid

import numpy as np
import pytest

from core.periods import Period
from storage.influx.store import InfluxStore
from tests.services.influxd import InfluxdServer
from tests.storage.readings import ALL_TIME, many_devices, one_device

QUARTER = 900_000
BEGIN = 1_795_000_500_123 // QUARTER * QUARTER


def test_means_of_quarters_are_those_of_their_samples(influxd: InfluxdServer) -> None:
    prefix = f"means_{uuid.uuid4().hex}"
    store = InfluxStore(influxd.url, influxd.org, prefix, influxd.token, 0)
    try:
        store.write_readings(
            [
                many_devices(3, 200, start_ms=BEGIN + 5_000),
                # A mark of quality is no value, and a window without samples is none.
                one_device([BEGIN + 8 * QUARTER], [7.0], device="d000", quality=2),
            ]
        )
        period = Period.of_ms(BEGIN, BEGIN + 9 * QUARTER)
        found = store.read_means("s1", "energy", period, QUARTER)
        series = store.read_samples("s1", "energy", ALL_TIME)
        assert list(found) == [one.key for one in series]
        for one in series:
            window = one.time_ms // QUARTER * QUARTER
            starts = np.unique(window)
            means = [one.value[window == start].mean() for start in starts]
            assert found[one.key][0].tolist() == starts.tolist()
            assert found[one.key][1] == pytest.approx(means, rel=1e-12)
        some = store.read_means(
            "s1", "energy", period, QUARTER, devices=["d001"], metrics=["power_kw"]
        )
        assert [(key.device, key.metric) for key in some] == [("d001", "power_kw")]
        with pytest.raises(ValueError, match="whole windows"):
            store.read_means("s1", "energy", Period.of_ms(BEGIN + 1, BEGIN + 2), QUARTER)
    finally:
        store.close()
        influxd.remove_buckets(prefix)
