"""Fields of NVIDIA's DCGM by number: the number stays, the names change from version to version.

A mapping may name a field by its number; it then means every name that an exporter gives it. From
`dcgm_fields.h` of DCGM 3 and 4 (Apache-2.0), its renamed symbols of DCGM 4.6, and the names of
dcgm-exporter 1.x in `etc/1.x-compatibility-metrics.csv` (Apache-2.0). Names that mean another field
with another unit (`_RATIO`, `_HERTZ`) are not among them.
"""

from __future__ import annotations

from collections.abc import Mapping

DCGM_FIELDS: Mapping[int, tuple[str, ...]] = {
    100: ("DCGM_FI_DEV_SM_CLOCK", "dcgm_sm_clock"),
    101: ("DCGM_FI_DEV_MEM_CLOCK", "dcgm_memory_clock"),
    140: ("DCGM_FI_DEV_MEMORY_TEMP", "DCGM_FI_DEV_MEMORY_TEMP_CELSIUS", "dcgm_memory_temp"),
    150: ("DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_GPU_TEMP_CELSIUS", "dcgm_gpu_temp"),
    155: ("DCGM_FI_DEV_POWER_USAGE", "DCGM_FI_DEV_BOARD_POWER_WATTS", "dcgm_power_usage"),
    156: ("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "dcgm_total_energy_consumption"),
    157: ("DCGM_FI_DEV_POWER_USAGE_INSTANT",),
    203: ("DCGM_FI_DEV_GPU_UTIL", "dcgm_gpu_utilization"),
    240: ("DCGM_FI_DEV_POWER_VIOLATION", "dcgm_power_violation"),
    241: ("DCGM_FI_DEV_THERMAL_VIOLATION", "dcgm_thermal_violation"),
    252: ("DCGM_FI_DEV_FB_USED", "dcgm_fb_used"),
}


def names_of_field(text: str) -> tuple[str, ...]:
    """The names that a number means; the text itself where it is no number; none if unknown."""
    if not (text.isascii() and text.isdigit()):
        return (text,)
    return DCGM_FIELDS.get(int(text), ()) if len(text) < 6 else ()
