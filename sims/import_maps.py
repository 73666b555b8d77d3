"""Map files of hand-read meters: which column of a sheet is which meter, and how it is written.

schema = 1
site = "kakao-ansan"

[file]
sheet = "검침"                  # of a workbook; a CSV has none
encoding = "cp949"              # of a CSV: utf-8 (the default, with or without a mark) or cp949
header_row = 1

[numbers]                       # of numbers written as text
decimal = "."
thousands = ","                 # without it, a number with a separator is refused

[time]
column = "검침일"
zone = "Asia/Seoul"             # of local times; it is the site's own
at = "09:00"                    # where the cells hold dates only: when the meters are read
format = "%Y.%m.%d"             # of times written as text, where they are not ISO 8601
# period = "month"              # of consumption: the cell names the month (or day) it is of

[[meters]]
column = "한전 A (kWh)"
device = "grid-a"
metric = "active_energy_kwh"
unit = "kWh"
kind = "reading"                # what the register shows; or "consumption", of the period
# begins = 2026-01-01           # of consumption: the first day of the sheet's first period
"""

from __future__ import annotations

import tomllib
from datetime import date, time
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from core.errors import ConfigurationError, Problem
from core.metrics import CATALOGUE, MetricKind
from core.sites import Site, SiteRegistry
from core.units import conversion


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileSection(_Model):
    """How the file is written."""

    sheet: str = ""
    encoding: Literal["utf-8", "cp949"] = "utf-8"
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    header_row: int = Field(default=1, ge=1)


class NumberSection(_Model):
    """How numbers are written where a cell holds text."""

    decimal: Literal[".", ","] = "."
    thousands: Literal["", ",", ".", " "] = ""

    @model_validator(mode="after")
    def _consistent(self) -> NumberSection:
        if self.decimal == self.thousands:
            raise ValueError("decimal and thousands are the same sign")
        return self


class TimeSection(_Model):
    """Where a row's time stands, and what it is the time of."""

    column: str = Field(min_length=1)
    zone: str
    at: time | None = None
    format: str = ""
    period: Literal["", "day", "month"] = ""

    @field_validator("at", mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        return time.fromisoformat(value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _consistent(self) -> TimeSection:
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"unknown time zone {self.zone!r}") from error
        if self.period and self.at is not None:
            raise ValueError("a period has no time of day: remove at")
        return self


class MeterColumn(_Model):
    """One meter's column."""

    column: str = Field(min_length=1)
    device: str
    metric: str
    unit: str
    kind: Literal["reading", "consumption"]
    begins: date | None = None


class ImportMap(_Model):
    """A whole map file."""

    schema_: Literal[1] = Field(alias="schema")
    site: str
    file: FileSection = FileSection()
    numbers: NumberSection = NumberSection()
    time: TimeSection
    meters: list[MeterColumn] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> ImportMap:
        for meter in self.meters:
            if meter.kind == "consumption" and not self.time.period:
                raise ValueError('consumption needs time.period = "month" or "day"')
            if meter.kind == "reading" and self.time.period:
                raise ValueError("a reading stands at an instant: remove time.period")
            if (meter.begins is None) == (meter.kind == "consumption"):
                raise ValueError("begins goes with consumption, and consumption needs it")
        return self


def parse_import_map(text: str, file: str, registry: SiteRegistry) -> ImportMap:
    """Parse a map file and check it against the registry.

    Raises:
        ConfigurationError: With every problem of the file.
    """
    try:
        import_map = ImportMap.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        hint = "mend the syntax at that line"
        raise ConfigurationError([Problem(file, "", f"is not TOML: {error}", hint)]) from None
    except ValidationError as error:
        raise ConfigurationError(
            [
                Problem(file, ".".join(map(str, item["loc"])), item["msg"], "see docs/import.md")
                for item in error.errors()
            ]
        ) from None
    site = registry.find(import_map.site)
    if site is None:
        known = ", ".join(s.id for s in registry) or "none"
        problem = f"no site {import_map.site!r} in the registry"
        raise ConfigurationError([Problem(file, "site", problem, f"known sites: {known}")])
    problems = _site_problems(import_map, site, file)
    for number, meter in enumerate(import_map.meters):
        problems += _meter_problems(meter, site, file, f"meters.{number} ({meter.column})")
    if problems:
        raise ConfigurationError(problems)
    return import_map


def _site_problems(import_map: ImportMap, site: Site, file: str) -> list[Problem]:
    problems = []
    if site.status != "operating":
        hint = "import into an operating site"
        problems.append(Problem(file, "site", f"site {site.id} is {site.status}", hint))
    if import_map.time.zone != site.zone.key:
        problem = f"{import_map.time.zone} is not the zone of site {site.id}"
        problems.append(Problem(file, "time.zone", problem, f"it is {site.zone.key}"))
    series = [(meter.device, meter.metric) for meter in import_map.meters]
    if len(set(series)) < len(series):
        hint = "one column for each series"
        problems.append(Problem(file, "meters", "a series stands twice", hint))
    return problems


def _meter_problems(meter: MeterColumn, site: Site, file: str, key: str) -> list[Problem]:
    device = site.devices.get(meter.device)
    if device is None or meter.metric not in device.metrics():
        problem = f"site {site.id} has no device {meter.device!r} that declares {meter.metric}"
        return [Problem(file, key, problem, "declare it in the site file")]
    problems = []
    metric = CATALOGUE[device.family, meter.metric]
    if meter.kind == "consumption" and metric.kind is not MetricKind.COUNTER:
        problem = f"{meter.metric} is no counter: nothing is consumed by it"
        problems.append(Problem(file, key, problem, "name the counter of this device"))
    if meter.kind == "consumption" and any(state.multiplier != 1.0 for state in device.states):
        problem = f"{meter.device} declares a multiplier, and a consumption has it already"
        problems.append(Problem(file, key, problem, "declare a device of its own for the bill"))
    try:
        conversion(meter.unit, metric.unit)
    except (KeyError, ValueError) as error:
        problem = f"{meter.unit!r} is no unit of {meter.metric}: {error}"
        problems.append(Problem(file, f"{key}.unit", problem, f"for example {metric.unit}"))
    return problems
