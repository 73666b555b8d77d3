"""The exact figures of a simulated site, from its physics and not from readings.

One JSON object a line for every full 15-minute interval, hour and local day of the published span:

    {"site", "resolution", "start", "end", "kpis": {...}, "devices": {"grid-a": {...}}}

`devices` has the increase of every counter of the physics, also of counters that the device does
not send (an NPU's energy) and never of a fault. `kpis` has the KPIs by their definitions in
`docs/kpis.md`, with IT energy and PUE for all three categories.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import msgspec
import numpy as np

from core.periods import Period, Resolution, calendar_periods, format_time
from core.samples import Floats
from core.sites import Site
from sims.draft import SITE, Key
from sims.world import SimulatedSite

RESOLUTIONS: tuple[Resolution, ...] = ("15m", "hour", "day")


def exact_rows(
    world: SimulatedSite, period: Period, resolution: Resolution
) -> Iterator[dict[str, Any]]:
    """Exact figures of every full calendar piece inside the period, in time order."""
    pieces = _full_pieces(period, world.site, resolution)
    if not pieces:
        return
    keys = world.counter_keys()
    starts = np.array([piece.start_ms for piece in pieces], dtype=np.int64)
    ends = np.array([piece.end_ms for piece in pieces], dtype=np.int64)
    grown = world.counters_at(ends, keys) - world.counters_at(starts, keys)
    for piece, row in zip(pieces, grown, strict=True):
        yield {
            "site": world.site.id,
            "resolution": resolution,
            "start": format_time(piece.start),
            "end": format_time(piece.end),
            **_figures(world.site, keys, row),
        }


class TruthFile:
    """Writes exact figures as time goes on; a context manager.

    Args:
        path: The file, written anew.
        from_ms: Start of the published span, UTC epoch milliseconds.
    """

    def __init__(self, path: Path, worlds: list[SimulatedSite], from_ms: Mapping[str, int]) -> None:
        self._path = path
        self._worlds = worlds
        self._done = {
            (world.site.id, resolution): from_ms[world.site.id]
            for world in worlds
            for resolution in RESOLUTIONS
        }
        self._file: TextIO | None = None

    def __enter__(self) -> TruthFile:
        self._file = self._path.open("w", encoding="utf-8")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    def advance(self, to_ms: int) -> None:
        """Write everything that is complete by then and was not written yet."""
        assert self._file is not None  # used inside `with` only
        for world in self._worlds:
            for resolution in RESOLUTIONS:
                done = self._done[world.site.id, resolution]
                if to_ms <= done:
                    continue
                for row in exact_rows(world, Period.of_ms(done, to_ms), resolution):
                    self._file.write(msgspec.json.encode(row).decode() + "\n")
                    self._done[world.site.id, resolution] = _epoch_ms(row["end"])
        self._file.flush()


def _epoch_ms(text: str) -> int:
    return int(np.datetime64(text.removesuffix("Z"), "ms").astype(np.int64))


def _full_pieces(period: Period, site: Site, resolution: Resolution) -> list[Period]:
    # Cut a span that begins before and ends behind: a piece is full if its ends are boundaries.
    wider = Period.of_ms(period.start_ms - 2 * 86_400_000, period.end_ms + 1)
    return [
        piece
        for piece in calendar_periods(wider, site.zone, resolution)
        if piece.start >= period.start and piece.end <= period.end
    ]


def _figures(site: Site, keys: list[Key], row: Floats) -> dict[str, Any]:
    devices: dict[str, dict[str, float]] = {}
    whole: dict[str, float] = {}
    for (device, metric), value in zip(keys, row.tolist(), strict=True):
        if device == SITE:
            whole[metric] = value
        else:
            devices.setdefault(device, {})[metric] = round(value, 9)
    return {"kpis": _kpis(site, whole, devices), "devices": devices}


def _kpis(
    site: Site, whole: dict[str, float], devices: dict[str, dict[str, float]]
) -> dict[str, Any]:
    facility = whole["facility_energy_kwh"]
    it_energy = {category: whole[f"it_energy_kwh/{category}"] for category in "123"}
    declared = it_energy[str(site.pue_category)]
    potable = whole["mains_m3"]
    reused = whole["rain_reused_m3"]
    total = potable + whole["reclaimed_m3"] + whole["groundwater_m3"] + reused
    pv = {d.id: devices[d.id]["ac_energy_kwh"] for d in site.with_role("pv_array")}
    # What was exported is no use on site; it falls on all arrays alike.
    generated = sum(pv.values())
    kept = 1.0 - min(whole["export_kwh"] / generated, 1.0) if generated > 0 else 0.0
    return {
        "facility_energy_kwh": facility,
        "it_energy_kwh": it_energy,
        "pue": {category: facility / energy for category, energy in it_energy.items()},
        "water_total_m3": total,
        "water_potable_m3": potable,
        "rain_reused_m3": reused,
        "wue": 1000 * total / declared,
        "wue_potable": 1000 * potable / declared,
        "ref": min(whole.get("pv_retained_kwh", 0.0) * kept / facility, 1.0),
        "rain_reuse_ratio": reused / total if total > 0 else None,
        "pv_energy_kwh": pv,
        "pv_specific_yield": {
            array: energy / (site.device(array).latest.rated_kwp or 1.0)
            for array, energy in pv.items()
        },
        "accelerator_energy_kwh": _accelerators(site, devices),
    }


def _accelerators(site: Site, devices: dict[str, dict[str, float]]) -> dict[str, float]:
    """Energy by kind, of one level only: accelerators, else nodes, else a cluster's total."""
    for role in ("accelerator", "node", "cluster_total"):
        found = site.with_role(role)
        if found:
            energy: dict[str, float] = {}
            for device in found:
                kind = device.latest.kind or "unknown"
                energy[kind] = energy.get(kind, 0.0) + devices[device.id]["energy_kwh"]
            return energy
    return {}
