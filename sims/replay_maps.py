"""Map files of a replay: which column of a data file is which metric.

schema = 1
site = "surf-lisa"                      # a site of the registry
family = "accelerator"
device = "lisa-cpu-nodes"               # or device_column = "…", a column with device ids

[time]
column = "timestamp"
unit = "ms"                             # s, ms, us, ns or rfc3339
base = 2022-10-06T22:00:00Z             # added to a number; without it, the Unix epoch
zone = "Europe/Amsterdam"               # of a text without offset, which is refused otherwise

[[metrics]]
metric = "power_w"
column = "power_draw"
unit = "W"                              # converted into the catalogue's unit
# or count_pattern = '…'                # counts the distinct names in a text
# or, instead of a column, constant = 277
"""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from core.errors import ConfigurationError, Problem
from core.metrics import CATALOGUE
from core.sites import SiteRegistry
from core.units import conversion


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TimeColumn(_Model):
    """Where a row's time stands."""

    column: str
    unit: Literal["s", "ms", "us", "ns", "rfc3339"] = "rfc3339"
    base: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    zone: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> TimeColumn:
        if self.base.tzinfo is None:
            raise ValueError("base has no offset; write 2022-10-06T22:00:00Z")
        if self.zone:
            try:
                ZoneInfo(self.zone)
            except (ZoneInfoNotFoundError, ValueError) as error:
                raise ValueError(f"unknown time zone {self.zone!r}") from error
        return self


class MetricColumn(_Model):
    """Where one metric stands: in a column, in the names of a text, or nowhere (a constant)."""

    metric: str
    column: str = ""
    unit: str = ""
    count_pattern: str = ""
    constant: float | None = None

    @model_validator(mode="after")
    def _consistent(self) -> MetricColumn:
        if bool(self.column) == (self.constant is not None):
            raise ValueError("give either a column or a constant")
        if self.count_pattern:
            if not self.column:
                raise ValueError("count_pattern needs a column")
            try:
                re.compile(self.count_pattern)
            except re.error as error:
                raise ValueError(f"count_pattern is no pattern: {error}") from error
        return self


class ReplayMap(_Model):
    """A whole map file."""

    schema_: Literal[1] = Field(alias="schema")
    site: str
    family: str
    device: str = ""
    device_column: str = ""
    time: TimeColumn
    metrics: list[MetricColumn] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> ReplayMap:
        if bool(self.device) == bool(self.device_column):
            raise ValueError("give either device or device_column")
        return self

    def columns(self) -> list[str]:
        """Every column of the file that is needed."""
        named = [self.time.column, self.device_column, *(m.column for m in self.metrics)]
        return list(dict.fromkeys(name for name in named if name))


def parse_replay_map(text: str, file: str, registry: SiteRegistry) -> ReplayMap:
    """Parse a map file and check it against the registry.

    Raises:
        ConfigurationError: With every problem of the file.
    """
    try:
        replay_map = ReplayMap.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(
            [Problem(file, "", f"is not TOML: {error}", "mend the syntax at that line")]
        ) from None
    except ValidationError as error:
        raise ConfigurationError(
            [
                Problem(
                    file,
                    ".".join(str(part) for part in item["loc"]),
                    item["msg"],
                    "see config/replay/surf-lisa.toml",
                )
                for item in error.errors()
            ]
        ) from None
    problems = _check(replay_map, file, registry)
    if problems:
        raise ConfigurationError(problems)
    return replay_map


def _check(replay_map: ReplayMap, file: str, registry: SiteRegistry) -> list[Problem]:
    site = registry.find(replay_map.site)
    if site is None:
        known = ", ".join(s.id for s in registry) or "none"
        hint = f"known sites: {known}; GREENDC_SITES_DIR names the folder with its site file"
        return [Problem(file, "site", f"no site {replay_map.site!r} in the registry", hint)]
    problems = []
    if site.status != "operating":
        hint = "replay into an operating site"
        problems.append(Problem(file, "site", f"site {site.id} is {site.status}", hint))
    declared: frozenset[str] | None = None
    if replay_map.device:
        device = site.devices.get(replay_map.device)
        if device is None or device.family != replay_map.family:
            problem = f"site {site.id} has no {replay_map.family} device {replay_map.device!r}"
            problems.append(Problem(file, "device", problem, "declare it in the site file"))
        else:
            declared = device.metrics()
    for number, column in enumerate(replay_map.metrics):
        key = f"metrics.{number}"
        metric = CATALOGUE.get((replay_map.family, column.metric))
        if metric is None:
            problem = f"{replay_map.family} has no metric {column.metric!r}"
            problems.append(Problem(file, key, problem, "see docs/metrics.md"))
            continue
        if declared is not None and column.metric not in declared:
            problem = f"{replay_map.device} does not declare {column.metric}"
            problems.append(Problem(file, key, problem, "add it to the device's metrics"))
        if column.unit:
            try:
                conversion(column.unit, metric.unit)
            except (KeyError, ValueError) as error:
                problem = f"{column.unit!r} is no unit of {column.metric}: {error}"
                problems.append(Problem(file, f"{key}.unit", problem, f"for example {metric.unit}"))
    return problems
