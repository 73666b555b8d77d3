r"""Map files of a replay: which column of a data file is which metric.

schema = 1
site = "surf-lisa"                      # a site of the registry
family = "accelerator"
device = "lisa-cpu-nodes"               # or device_column = "…", a column with device ids, or
                                        # device = "…" at each metric

[file]                                  # of a CSV; all of it optional
delimiter = "\t"
footer = '\(\d+ rows affected\)'        # lines that are no rows: a pattern for the whole line

[time]
column = "timestamp"
unit = "ms"                             # s, ms, us, ns or rfc3339
base = 2022-10-06T22:00:00Z             # added to a number; without it, the Unix epoch
zone = "Europe/Amsterdam"               # of a text without offset, which is refused otherwise
first_day = 2016-06-13                  # local; earlier rows are left out
period = "day"                          # a row is the mean of the local day (hour) that begins then
unplaceable = "leave_out"               # local times that clocks show twice or never; else refused

[[metrics]]
metric = "power_w"
column = "power_draw"
unit = "W"                              # converted into the catalogue's unit
# or count_pattern = '…'                # counts the distinct names in a text
# or, instead of a column, constant = 277; or columns = ["…", "…"], whose sum it is
# times = 2                             # a mean of so many alike stands for all of them
# accumulate = true                     # mean powers of periods as a counter of energy, see
                                        # sims.registers
"""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, date, datetime
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from core.errors import ConfigurationError, Problem
from core.metrics import CATALOGUE, MetricKind
from core.sites import SiteRegistry
from core.units import conversion


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileForm(_Model):
    """How a CSV is written."""

    delimiter: str = Field(default=",", min_length=1, max_length=1)
    footer: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> FileForm:
        try:
            re.compile(self.footer)
        except re.error as error:
            raise ValueError(f"footer is no pattern: {error}") from error
        return self


class TimeColumn(_Model):
    """Where a row's time stands, and what it is the time of."""

    column: str
    unit: Literal["s", "ms", "us", "ns", "rfc3339"] = "rfc3339"
    base: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    zone: str = ""
    first_day: date | None = None
    period: Literal["", "hour", "day"] = ""
    unplaceable: Literal["refuse", "leave_out"] = "refuse"

    @model_validator(mode="after")
    def _consistent(self) -> TimeColumn:
        if self.base.tzinfo is None:
            raise ValueError("base has no offset; write 2022-10-06T22:00:00Z")
        if self.zone:
            try:
                ZoneInfo(self.zone)
            except (ZoneInfoNotFoundError, ValueError) as error:
                raise ValueError(f"unknown time zone {self.zone!r}") from error
        if (self.first_day is not None or self.period == "day") and not self.zone:
            raise ValueError("days are local days: they need a zone")
        return self


class MetricColumn(_Model):
    """Where one metric stands: in a column, in the names of a text, or nowhere (a constant)."""

    metric: str
    device: str = ""
    column: str = ""
    columns: list[str] = []
    unit: str = ""
    times: float = Field(default=1.0, gt=0)
    accumulate: bool = False
    count_pattern: str = ""
    constant: float | None = None

    @property
    def sources(self) -> list[str]:
        """The columns that it is read from."""
        return self.columns or ([self.column] if self.column else [])

    @model_validator(mode="after")
    def _consistent(self) -> MetricColumn:
        given = (bool(self.column), bool(self.columns), self.constant is not None)
        if sum(given) != 1:
            raise ValueError("give either a column or a constant (or columns, to be added up)")
        if self.accumulate and (self.constant is not None or self.count_pattern):
            raise ValueError("accumulate needs columns of mean power")
        if self.accumulate and not self.unit:
            raise ValueError("accumulate needs the unit of the mean power")
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
    file: FileForm = FileForm()
    time: TimeColumn
    metrics: list[MetricColumn] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> ReplayMap:
        own = [bool(column.device) for column in self.metrics]
        if (bool(self.device), bool(self.device_column), any(own)).count(True) != 1:
            raise ValueError("give either device or device_column, or a device at each metric")
        if any(own) and not all(own):
            raise ValueError("a metric lacks its device")
        accumulates = any(column.accumulate for column in self.metrics)
        if accumulates and not self.time.period:
            raise ValueError("accumulate needs time.period: what the mean is the mean of")
        if self.device_column and (accumulates or self.time.period):
            raise ValueError("device_column goes with single instants, not with periods")
        return self

    def device_of(self, column: MetricColumn) -> str:
        """The device of one metric; empty where a column names it."""
        return column.device or self.device

    def columns(self) -> list[str]:
        """Every column of the file that is needed."""
        named = [
            self.time.column,
            self.device_column,
            *(n for m in self.metrics for n in m.sources),
        ]
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
    for number, column in enumerate(replay_map.metrics):
        key = f"metrics.{number}"
        metric = CATALOGUE.get((replay_map.family, column.metric))
        if metric is None:
            problem = f"{replay_map.family} has no metric {column.metric!r}"
            problems.append(Problem(file, key, problem, "see docs/metrics.md"))
            continue
        name = replay_map.device_of(column)
        device = site.devices.get(name)
        if name and (device is None or device.family != replay_map.family):
            problem = f"site {site.id} has no {replay_map.family} device {name!r}"
            problems.append(Problem(file, f"{key}.device", problem, "declare it in the site file"))
        elif device is not None and column.metric not in device.metrics():
            problem = f"{name} does not declare {column.metric}"
            problems.append(Problem(file, key, problem, "add it to the device's metrics"))
        if column.accumulate and (metric.kind is not MetricKind.COUNTER or metric.unit != "kWh"):
            problem = f"{column.metric} is no counter of energy"
            problems.append(Problem(file, key, problem, "accumulate into active_energy_kwh"))
        elif column.unit:
            wanted = "kW" if column.accumulate else metric.unit
            try:
                conversion(column.unit, wanted)
            except (KeyError, ValueError) as error:
                problem = f"{column.unit!r} is no unit of {column.metric}: {error}"
                problems.append(Problem(file, f"{key}.unit", problem, f"for example {wanted}"))
    return problems
