"""The pseudo-site of the ingester's own probe readings.

A probe goes the whole way of a reading: broker, spool, store, records. Its site has an id that no
site can have, so it is in no site's data, ledger, intervals or figures.
"""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from core.ids import NATIVE_PREFIX, PROBE_SITE
from core.quality import Gate
from core.sites import Device, DeviceState, Site, SiteRegistry
from core.text import Text

PROBE_FAMILY = "weather"
PROBE_METRIC = "temperature_c"
_CADENCE_S = 60.0


def probe_device(partition: int) -> str:
    """The device of a partition's probe."""
    return f"probe-{partition}"


def probe_topic(partition: int) -> str:
    """Where the probe of a partition is published."""
    return f"{NATIVE_PREFIX}/{PROBE_SITE}/{PROBE_FAMILY}/{probe_device(partition)}"


def with_probe_site(registry: SiteRegistry, partition: int) -> SiteRegistry:
    """The registry as a partition knows it: with the site of its probe."""
    device = probe_device(partition)
    state = DeviceState(
        valid_from=datetime(2026, 1, 1, tzinfo=UTC),
        family=PROBE_FAMILY,
        role="station",
        metrics=(PROBE_METRIC,),
        cadence_s=_CADENCE_S,
    )
    site = Site(
        id=PROBE_SITE,
        name=Text("수신 점검", "Ingest probe"),
        operator="greendc",
        status="operating",
        data="measured",
        zone=ZoneInfo("UTC"),
        latitude=0.0,
        longitude=0.0,
        place=None,
        late_window_days=1,
        pue_category=1,
        gate=Gate(0.95, 0.80),
        devices={device: Device(device, (state,))},
    )
    return SiteRegistry([*registry, site])
