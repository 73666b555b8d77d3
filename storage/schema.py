"""What the time-series stores hold, and the rules that both apply before they write.

InfluxDB: three buckets (`<bucket>_raw`, `<bucket>_intervals`, `<bucket>_results`).

- raw: measurement = family; tags `site`, `device`; fields = metric names, always float64. A sample
  whose quality is not good has a second field `<metric>__quality` with its code.
- intervals: measurement = family; tags `site`, `device`, `metric`; fields = columns of an interval.
- results: measurement = kind; tags `site`, `name`, `subject`, `resolution`; fields `value` and
  `document`.

The embedded store keeps the same keys in tables.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from core.errors import StoreRejectedError
from core.intervals import FLOAT_COLUMNS, IntervalBlock
from core.periods import INTERVAL_MS
from core.ports import ResultRow
from core.samples import Floats, ReadingBlock

QUALITY_SUFFIX = "__quality"
DAY_MS = 86_400_000
# Both stores look back this far for live values where raw data are kept for ever.
LATEST_DAYS = 400
# InfluxDB counts nanoseconds in 64 bits; before 1970 nothing was measured.
LAST_TIME_MS = 9_223_372_036_000

# A backslash at the end of a tag would escape what follows it in line protocol; line ends and other
# control characters cannot be written there at all.
_UNFIT_TAG = re.compile(r"[\x00-\x1f\x7f\\]")
# A metric name becomes a field key, and fields beside it are told apart by a double underscore.
_METRIC = re.compile(r"\A[a-z0-9][a-z0-9_]*\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Buckets:
    """Names of the three buckets of one prefix."""

    raw: str
    intervals: str
    results: str

    @classmethod
    def of(cls, prefix: str) -> Buckets:
        """The buckets of a prefix."""
        return cls(f"{prefix}_raw", f"{prefix}_intervals", f"{prefix}_results")


def lookback_ms(raw_days: int) -> int:
    """How far `read_latest` looks back."""
    return (raw_days or LATEST_DAYS) * DAY_MS


@lru_cache(maxsize=65_536)
def _is_fit(text: str) -> bool:
    return bool(text) and _UNFIT_TAG.search(text) is None


def check_tags(tags: Mapping[str, str]) -> None:
    """Refuse texts that cannot identify anything: empty ones, control characters, backslashes.

    Raises:
        StoreRejectedError: With the name of the tag and its text.
    """
    for name, text in tags.items():
        if not _is_fit(text):
            problem = "holds a control character or a backslash" if text else "must not be empty"
            raise StoreRejectedError(f"{name} {text!r} {problem}")


@lru_cache(maxsize=1024)
def check_metric(metric: str) -> None:
    """Refuse a metric name that is no field key.

    Raises:
        StoreRejectedError: It is not `[a-z0-9][a-z0-9_]*`, or holds a double underscore.
    """
    if _METRIC.match(metric) is None or "__" in metric:
        raise StoreRejectedError(f"metric {metric!r} is no name of the catalogue's form")


def check_readings(block: ReadingBlock) -> None:
    """Refuse a block that a store could not give back as it is.

    Raises:
        StoreRejectedError: An infinite value, an impossible time, or an unfit name.
    """
    check_tags({"site": block.site, "family": block.family})
    # All names of a fleet in one pass; one by one only to say which is unfit.
    if "" in block.devices or _UNFIT_TAG.search("".join(block.devices)) is not None:
        for device in block.devices:
            check_tags({"device": device})
    if not len(block):
        return
    where = f"{block.site}/{block.family}"
    if int(block.time_ms.min()) < 0 or int(block.time_ms.max()) > LAST_TIME_MS:
        raise StoreRejectedError(f"{where}: a time lies before 1970 or after 2262")
    for metric, values in block.values.items():
        check_metric(metric)
        if np.isinf(values).any():
            row = int(np.flatnonzero(np.isinf(values))[0])
            device = block.devices[int(block.device_index[row])]
            raise StoreRejectedError(f"{where}/{device}: {metric} is infinite")


def interval_floats(block: IntervalBlock) -> dict[str, Floats]:
    """The float64 columns of a block by name."""
    return {name: getattr(block, name) for name in FLOAT_COLUMNS}


def check_intervals(block: IntervalBlock) -> None:
    """Refuse intervals that are off the grid, out of order, or infinite.

    Raises:
        StoreRejectedError: With the series and what is wrong.
    """
    key = block.key
    check_tags({"site": key.site, "family": key.family, "device": key.device})
    check_metric(key.metric)
    start = block.start_ms
    where = f"intervals of {key.site}/{key.family}/{key.device}/{key.metric}"
    if len(start) and (int(start[0]) < 0 or int(start[-1]) > LAST_TIME_MS):
        raise StoreRejectedError(f"{where}: a start lies before 1970 or after 2262")
    if (start % INTERVAL_MS != 0).any() or (np.diff(start) <= 0).any():
        raise StoreRejectedError(f"{where}: starts are not ascending quarters of an hour")
    for name, values in interval_floats(block).items():
        if len(values) != len(start) or np.isinf(values).any():
            raise StoreRejectedError(f"{where}: {name} is infinite or of another length")


def check_results(rows: Sequence[ResultRow]) -> None:
    """Refuse figures that a store could not give back as they are.

    Raises:
        StoreRejectedError: An unfit name, an impossible time, a value that is no finite number, or
            a document that is not UTF-8.
    """
    for row in rows:
        tags = {
            "site": row.site,
            "kind": row.kind,
            "name": row.name,
            "subject": row.subject,
            "resolution": row.resolution,
        }
        check_tags(tags)
        where = f"{row.kind} {row.name} of {row.site}"
        if not 0 <= row.start_ms <= LAST_TIME_MS:
            raise StoreRejectedError(f"{where}: the start lies before 1970 or after 2262")
        if row.value is not None and not np.isfinite(row.value):
            raise StoreRejectedError(f"{where}: {row.value} is no figure; a refused one is None")
        try:
            row.document.decode("utf-8")
        except UnicodeDecodeError as error:
            raise StoreRejectedError(f"{where}: the document is not UTF-8: {error}") from None
