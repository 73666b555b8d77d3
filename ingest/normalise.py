"""Decoded readings to samples in the catalogue's units, judged against the site registry.

A reading is judged whole: the first reason found refuses it, in the order device, family, metric,
unit, range, time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.metrics import CATALOGUE, Metric
from core.samples import Floats, Ints, ReadingBlock
from core.sites import Device, Site
from core.units import UNITS, conversion
from ingest.messages import DecodedChunk, Refusals

FUTURE_MS = 5 * 60 * 1000
DAY_MS = 86_400_000
_SCALED_DIMENSIONS = frozenset({"power", "energy", "volume", "flow"})


@dataclass(frozen=True, slots=True, eq=False)
class NormalisedChunk:
    """Good readings of one chunk with their positions inside the message."""

    block: ReadingBlock
    rows: Ints


class Normaliser:
    """Judges and converts the readings of one site; holds look-up tables of its registry entry."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._ids = tuple(site.devices)
        self._index = {device_id: number for number, device_id in enumerate(self._ids)}
        self._devices: tuple[Device, ...] = tuple(site.devices.values())
        self._metrics = [device.metrics() for device in self._devices]
        self._families = [device.family for device in self._devices]
        self._scaled = [
            any(state.multiplier != 1.0 for state in device.states) for device in self._devices
        ]
        self._late_ms = site.late_window_days * DAY_MS

    def normalise(
        self,
        chunk: DecodedChunk,
        *,
        family: str,
        topic_device: str,
        received_ms: int,
        refusals: Refusals,
    ) -> NormalisedChunk | None:
        """Judge one chunk.

        Args:
            family: The topic's family.
            topic_device: The topic's device; empty on a gateway topic.
            received_ms: Time of receipt, against which the time window is judged.
            refusals: Refused rows are added here.

        Returns:
            The good readings, or None when there is none.
        """
        good = np.ones(len(chunk.rows), dtype=bool)
        index = self._device_index(chunk, family, topic_device, refusals, good)
        values = self._values(chunk, family, index, refusals, good)
        self._check_time(chunk, received_ms, refusals, good)
        if not good.any():
            return None
        kept = np.flatnonzero(good)
        kept_index = index[kept]
        used, positions = np.unique(kept_index, return_inverse=True)
        kept_values = {name: column[kept] for name, column in values.items()}
        self._multiply(used, kept_index, chunk.time_ms[kept], family, kept_values)
        block = ReadingBlock(
            site=self._site.id,
            family=family,
            devices=tuple(self._ids[number] for number in used),
            device_index=positions.astype(np.int32),
            time_ms=chunk.time_ms[kept],
            quality=chunk.quality[kept],
            values=kept_values,
        )
        return NormalisedChunk(block, chunk.rows[kept])

    def _device_index(
        self,
        chunk: DecodedChunk,
        family: str,
        topic_device: str,
        refusals: Refusals,
        good: NDArray[np.bool_],
    ) -> NDArray[np.int64]:
        names = chunk.devices if chunk.devices is not None else [topic_device] * len(chunk.rows)
        if chunk.devices is not None and topic_device:
            for position, name in enumerate(names):
                if name != topic_device:
                    detail = f"{name!r} on the topic of {topic_device!r}"
                    _refuse(position, chunk, "device_mismatch", detail, refusals, good)
        lookup = self._index
        index = np.fromiter((lookup.get(name, -1) for name in names), np.int64, len(names))
        for position in np.flatnonzero((index < 0) & good).tolist():
            detail = f"{names[position]!r} is not declared in the site file of {self._site.id}"
            _refuse(position, chunk, "unknown_device", detail, refusals, good)
        for number in np.unique(index[good]).tolist():
            if self._families[number] != family:
                rows = np.flatnonzero((index == number) & good)
                detail = f"{self._ids[number]} is of {self._families[number]}, not {family}"
                refusals.add_rows(chunk.rows[rows], "family_mismatch", detail)
                good[rows] = False
        return index

    def _values(
        self,
        chunk: DecodedChunk,
        family: str,
        index: NDArray[np.int64],
        refusals: Refusals,
        good: NDArray[np.bool_],
    ) -> dict[str, Floats]:
        values: dict[str, Floats] = {}
        for name, sent in chunk.values.items():
            present = ~np.isnan(sent)
            metric = CATALOGUE.get((family, name))
            undeclared = [
                number
                for number in np.unique(index[good & present])
                if metric is None or name not in self._metrics[number]
            ]
            for number in undeclared:
                rows = np.flatnonzero((index == number) & good & present)
                detail = f"{name!r} is not declared for {self._ids[number]}"
                refusals.add_rows(chunk.rows[rows], "unknown_metric", detail)
                good[rows] = False
            if metric is None:
                continue
            values[name] = self._convert(chunk, metric, sent, present, refusals, good)
        return values

    def _convert(
        self,
        chunk: DecodedChunk,
        metric: Metric,
        sent: Floats,
        present: NDArray[np.bool_],
        refusals: Refusals,
        good: NDArray[np.bool_],
    ) -> Floats:
        unit = chunk.units.get(metric.name)
        converted = sent
        if unit is not None and unit != metric.unit:
            try:
                scale, offset = conversion(unit, metric.unit)
            except (KeyError, ValueError):
                rows = np.flatnonzero(good & present)
                detail = f"{unit[:64]!r} is no unit of {metric.name} [{metric.unit}]"
                refusals.add_rows(chunk.rows[rows], "unknown_unit", detail)
                good[rows] = False
                return sent
            converted = sent * scale + offset
        outside = good & present & ~((converted >= metric.low) & (converted <= metric.high))
        if outside.any():
            rows = np.flatnonzero(outside)
            worst = float(converted[rows[0]])
            span = f"{metric.low:g} … {metric.high:g}"
            detail = f"{metric.name} {worst:g} {metric.unit} lies outside {span}"
            refusals.add_rows(chunk.rows[rows], "out_of_range", detail)
            good[rows] = False
        return converted

    def _check_time(
        self,
        chunk: DecodedChunk,
        received_ms: int,
        refusals: Refusals,
        good: NDArray[np.bool_],
    ) -> None:
        ahead = good & (chunk.time_ms > received_ms + FUTURE_MS)
        if ahead.any():
            rows = np.flatnonzero(ahead)
            seconds = (int(chunk.time_ms[rows[0]]) - received_ms) / 1000
            detail = f"{seconds:.0f} s ahead of the server, at most {FUTURE_MS // 1000} s"
            refusals.add_rows(chunk.rows[rows], "time_in_future", detail)
            good[rows] = False
        if not self._late_ms:
            return
        old = good & (chunk.time_ms < received_ms - self._late_ms)
        if old.any():
            rows = np.flatnonzero(old)
            days = (received_ms - int(chunk.time_ms[rows[0]])) / DAY_MS
            detail = f"{days:.1f} days old, at most {self._site.late_window_days} days"
            refusals.add_rows(chunk.rows[rows], "time_too_old", detail)
            good[rows] = False

    def _multiply(
        self,
        used: NDArray[np.int64],
        index: NDArray[np.int64],
        time_ms: Ints,
        family: str,
        values: dict[str, Floats],
    ) -> None:
        scaled = [number for number in used if self._scaled[number]]
        if not scaled:
            return
        factors = np.ones(len(index))
        for number in scaled:
            for state in self._devices[number].states:
                applies = (index == number) & (time_ms >= state.valid_from_ms)
                factors[applies] = state.multiplier
        for name, column in values.items():
            if UNITS[CATALOGUE[(family, name)].unit].dimension in _SCALED_DIMENSIONS:
                values[name] = column * factors


def _refuse(
    position: int,
    chunk: DecodedChunk,
    reason: str,
    detail: str,
    refusals: Refusals,
    good: NDArray[np.bool_],
) -> None:
    refusals.add(int(chunk.rows[position]), reason, detail)
    good[position] = False
