"""Reads the wire format by its documentation, strictly, for the tests of what is sent."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from core.metrics import CATALOGUE
from core.sites import Site

TOPIC = re.compile(r"greendc/v1/([a-z0-9][a-z0-9_-]{0,63})/(\w+)(?:/([a-z0-9][a-z0-9_-]{0,63}))?")
Reading = tuple[str, int, dict[str, float]]


def check_message(topic: str, payload: bytes, site: Site) -> list[Reading]:
    """Readings (device, epoch milliseconds, values) of a native message of a site.

    Raises:
        AssertionError: Something in it is not what the wire format says.
    """
    match = TOPIC.fullmatch(topic)
    assert match, topic
    site_id, family, device = match.groups()
    assert site_id == site.id
    assert 0 < len(payload) <= 256 * 1024
    document = json.loads(
        payload.decode("utf-8", "strict"),
        object_pairs_hook=_unique,
        parse_constant=lambda name: _fail(f"{name} is no JSON"),
    )
    readings = list(_readings(document, device))
    assert 0 < len(readings) <= 5000
    for name, time_ms, values in readings:
        declared = site.devices.get(name)
        assert declared is not None, name
        assert declared.family == family, name
        assert type(time_ms) is int
        assert values, f"{name} at {time_ms} has no value"
        for metric, value in values.items():
            known = CATALOGUE.get((family, metric))
            assert known is not None, metric
            assert metric in declared.metrics(), (name, metric)
            assert type(value) in (int, float)
            assert math.isfinite(value)
            assert known.low <= value <= known.high, (name, metric, value)
    return readings


def _readings(document: Any, topic_device: str | None) -> Any:
    if isinstance(document, dict) and "columns" in document:
        columns = document["columns"]
        values = columns["values"]
        counts = {len(column) for column in values.values()}
        assert len(counts) == 1, "lists of different lengths"
        count = counts.pop()
        devices = columns["device"] if topic_device is None else [topic_device] * count
        times = columns["ts"] if isinstance(columns["ts"], list) else [columns["ts"]] * count
        assert len(devices) == len(times) == count
        for row in range(count):
            present = {m: c[row] for m, c in values.items() if c[row] is not None}
            yield devices[row], times[row], present
        return
    entries = (
        document["readings"] if isinstance(document, dict) and "readings" in document else document
    )
    for entry in entries if isinstance(entries, list) else [entries]:
        yield entry.get("device", topic_device), entry["ts"], entry["values"]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    assert len(found) == len(pairs), "duplicate keys"
    return found


def _fail(message: str) -> Any:
    raise AssertionError(message)
