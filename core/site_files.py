"""Site files: TOML text in, `Site` out, with every problem of every file reported at once.

The shape is described in `docs/site-files.md`. An unknown key, a wrong type and an inconsistent
declaration are problems with file, key and hint; nothing is defaulted that is physical.
"""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from core.errors import ConfigurationError, Problem
from core.ids import is_id
from core.kpis import KPIS
from core.metrics import family_metrics
from core.periods import local_midnight
from core.quality import Gate
from core.roles import ROLES
from core.sites import Device, DeviceState, Fact, RainSystem, Site, SiteRegistry, Target
from core.supply_contracts import SupplyContractModel, overbooked_day
from core.text import Text

_GROUP = re.compile(r"\A([a-z0-9][a-z0-9_-]*)?\{(\d+)\.\.(\d+)\}([a-z0-9_-]*)\Z", re.ASCII)
MAX_GROUP = 100_000

Positive = Annotated[float, Field(gt=0)]
NonEmpty = Annotated[str, StringConstraints(min_length=1)]


class _Model(BaseModel):
    # Strict keys, but an integer literal is a number too: `tilt_deg = 90` is no mistake.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class _TextModel(_Model):
    ko: NonEmpty
    en: NonEmpty

    def text(self) -> Text:
        return Text(self.ko, self.en)


class _Location(_Model):
    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)


class _GateModel(_Model):
    final: float = Field(default=0.95, gt=0, le=1)
    provisional: float = Field(default=0.80, gt=0, le=1)


class _Rain(_Model):
    catchment_m2: Positive
    runoff: float = Field(gt=0, le=1)
    tank_volume_m3: Positive | None = None
    tank_depth_m: Positive | None = None
    tank_table: list[tuple[float, float]] = []


class _Target(_Model):
    kpi: NonEmpty
    value: float
    valid_from: date


class _Fact(_Model):
    text: _TextModel
    source: NonEmpty
    date: date


class _State(_Model):
    id: NonEmpty
    family: Literal["energy", "water", "solar", "accelerator", "weather"]
    role: NonEmpty
    metrics: list[str] = Field(min_length=1)
    cadence_s: Positive
    valid_from: datetime | date
    meter: str = ""
    hall: str = ""
    parent: str = ""
    multiplier: float = Field(default=1.0, gt=0)
    accuracy_class: float | None = Field(default=None, gt=0, le=10)
    wraps_at: float | None = Field(default=None, gt=0)
    rated_kw: Positive | None = None
    pue_category: Literal[1, 2, 3] | None = None
    rated_kwp: Positive | None = None
    tilt_deg: float | None = Field(default=None, ge=0, le=180)
    azimuth_deg: float | None = Field(default=None, ge=0, le=360)
    surface: Literal["", "roof", "facade"] = ""
    inverter_kw: Positive | None = None
    certificates: Literal["", "retained", "sold"] = ""
    kind: Literal["", "gpu", "npu"] = ""
    model: str = ""
    count: int | None = Field(default=None, ge=1)
    idle_w: float | None = Field(default=None, ge=0)
    rated_w: Positive | None = None
    fuel_l_per_kwh: float | None = Field(default=None, gt=0, le=2)


class _SiteModel(_Model):
    schema_: Literal[1] = Field(alias="schema")
    id: NonEmpty
    name: _TextModel
    operator: NonEmpty
    status: Literal["operating", "planned"]
    data: Literal["measured", "simulated"]
    zone: NonEmpty
    location: _Location
    place: _TextModel | None = None
    late_window_days: int = Field(default=35, ge=0)
    pue_category: Literal[1, 2, 3]
    contract_power_kw: Positive | None = None
    daily_water_limit_m3: Positive | None = None
    gate: _GateModel = _GateModel()
    rain: _Rain | None = None
    targets: list[_Target] = []
    facts: list[_Fact] = []
    supply_contracts: list[SupplyContractModel] = []
    gateways: list[str] = []
    devices: list[_State] = []
    device_groups: list[_State] = []


@dataclass(slots=True)
class _Findings:
    file: str
    problems: list[Problem]

    def add(self, key: str, problem: str, hint: str) -> None:
        self.problems.append(Problem(self.file, key, problem, hint))


def parse_site_files(files: Mapping[str, str]) -> tuple[SiteRegistry, list[Problem]]:
    """Parse all site files together.

    Args:
        files: File name (for messages) -> TOML text.

    Returns:
        A registry of the files without a problem, and every problem of the others.
    """
    sites: list[Site] = []
    problems: list[Problem] = []
    seen: dict[str, str] = {}
    for name, text in files.items():
        findings = _Findings(name, [])
        site = _parse_site(text, findings)
        if site is not None and site.id in seen:
            findings.add(
                "id",
                f"site {site.id!r} is already declared in {seen[site.id]}",
                "give each site its own id",
            )
        if site is not None:
            seen.setdefault(site.id, name)
        if findings.problems:
            problems.extend(findings.problems)
        elif site is not None:
            sites.append(site)
    return SiteRegistry(sites), problems


def build_registry(files: Mapping[str, str]) -> SiteRegistry:
    """Parse all site files, accepting none with a problem.

    Raises:
        ConfigurationError: With every problem of every file.
    """
    registry, problems = parse_site_files(files)
    if problems:
        raise ConfigurationError(problems)
    return registry


def _parse_site(text: str, findings: _Findings) -> Site | None:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        findings.add("", f"is not TOML: {error}", "mend the syntax at that line")
        return None
    try:
        model = _SiteModel.model_validate(document)
    except ValidationError as error:
        for item in error.errors():
            findings.add(_key(item["loc"]), item["msg"], _hint(item["type"]))
        return None
    zone = _zone(model.zone, findings)
    if not is_id(model.id):
        findings.add("id", f"{model.id!r} is no id", "use [a-z0-9][a-z0-9_-]{0,63}")
    for number, gateway in enumerate(model.gateways):
        if not is_id(gateway) or gateway in model.gateways[:number]:
            findings.add(
                f"gateways.{number}",
                f"{gateway!r} is no name, or stands twice",
                "use [a-z0-9][a-z0-9_-]{0,63}, each once",
            )
    for number, target in enumerate(model.targets):
        if target.kpi not in KPIS:
            findings.add(
                f"targets.{number}.kpi", f"unknown KPI {target.kpi!r}", f"one of {', '.join(KPIS)}"
            )
    contracts = tuple(item.contract() for item in model.supply_contracts)
    overbooked = overbooked_day(contracts)
    if overbooked is not None:
        findings.add(
            "supply_contracts",
            f"the shares add up to more than 1 on {overbooked}",
            "end one with valid_to, or lower a share",
        )
    gate = _gate(model.gate, findings)
    if zone is None or gate is None:
        return None
    devices = _devices(model, zone, findings)
    rain = _rain(model.rain, findings)
    return Site(
        id=model.id,
        name=model.name.text(),
        operator=model.operator,
        status=model.status,
        data=model.data,
        zone=zone,
        latitude=model.location.latitude,
        longitude=model.location.longitude,
        place=model.place.text() if model.place else None,
        late_window_days=model.late_window_days,
        pue_category=model.pue_category,
        gate=gate,
        contract_power_kw=model.contract_power_kw,
        daily_water_limit_m3=model.daily_water_limit_m3,
        rain=rain,
        targets=tuple(Target(t.kpi, t.value, t.valid_from) for t in model.targets),
        facts=tuple(Fact(f.text.text(), f.source, f.date) for f in model.facts),
        supply_contracts=contracts,
        gateways=tuple(model.gateways),
        devices=devices,
    )


def _key(location: Iterable[str | int]) -> str:
    return ".".join(str(part) for part in location)


def _hint(kind: str) -> str:
    if kind == "extra_forbidden":
        return "remove the key or correct its spelling"
    if kind == "missing":
        return "add the key"
    return "see docs/site-files.md"


def _zone(name: str, findings: _Findings) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        findings.add("zone", f"unknown time zone {name!r}", "an IANA name such as Asia/Seoul")
        return None


def _gate(model: _GateModel, findings: _Findings) -> Gate | None:
    try:
        return Gate(model.final, model.provisional)
    except ValueError as error:
        findings.add("gate", str(error), "for example final = 0.95, provisional = 0.80")
        return None


def _rain(model: _Rain | None, findings: _Findings) -> RainSystem | None:
    if model is None:
        return None
    table = [(float(level), float(volume)) for level, volume in model.tank_table]
    if model.tank_depth_m is not None and model.tank_volume_m3 is not None and not table:
        table = [(0.0, 0.0), (model.tank_depth_m, model.tank_volume_m3)]
    rising = all(a[0] < b[0] and a[1] <= b[1] for a, b in pairwise(table))
    if table and (len(table) < 2 or not rising):
        findings.add(
            "rain.tank_table",
            "needs two or more rows of rising level and volume",
            "[[0.0, 0.0], [3.0, 300.0]]",
        )
        return None
    volume = (
        model.tank_volume_m3
        if model.tank_volume_m3 is not None
        else (table[-1][1] if table else None)
    )
    if volume is None:
        findings.add("rain", "neither tank_volume_m3 nor tank_table", "declare one of them")
        return None
    return RainSystem(model.catchment_m2, model.runoff, volume, tuple(table))


def _expand(group_id: str) -> list[str] | None:
    match = _GROUP.match(group_id)
    if match is None:
        return None
    before, first, last, after = match.groups()
    low, high = int(first), int(last)
    if len(first) != len(last) or low > high or high - low >= MAX_GROUP:
        return None
    width = len(first)
    return [f"{before or ''}{number:0{width}d}{after}" for number in range(low, high + 1)]


def _devices(model: _SiteModel, zone: ZoneInfo, findings: _Findings) -> dict[str, Device]:
    states: dict[str, list[DeviceState]] = defaultdict(list)
    groups: dict[str, str] = {}
    for section, entries in (("devices", model.devices), ("device_groups", model.device_groups)):
        for number, entry in enumerate(entries):
            key = f"{section}.{number} ({entry.id})"
            state = _state(entry, zone, key, findings)
            ids = [entry.id] if section == "devices" else _expand(entry.id)
            if ids is None:
                findings.add(
                    f"{key}.id",
                    f"{entry.id!r} is no device group",
                    "write gpu-{0001..1600}: same width, ascending",
                )
                continue
            for device_id in ids:
                if not is_id(device_id):
                    findings.add(
                        f"{key}.id", f"{device_id!r} is no id", "use [a-z0-9][a-z0-9_-]{0,63}"
                    )
                    break
                group = "" if section == "devices" else entry.id
                if groups.setdefault(device_id, group) != group:
                    findings.add(
                        f"{key}.id",
                        f"device {device_id!r} is declared elsewhere too",
                        "one device belongs to one declaration",
                    )
                    break
                states[device_id].append(state)
    return {
        device_id: _device(device_id, groups[device_id], of_device, states, findings)
        for device_id, of_device in states.items()
    }


def _state(entry: _State, zone: ZoneInfo, key: str, findings: _Findings) -> DeviceState:
    role = ROLES.get(entry.role)
    if role is None:
        findings.add(f"{key}.role", f"unknown role {entry.role!r}", f"one of {', '.join(ROLES)}")
    elif role.family != entry.family:
        findings.add(
            f"{key}.role",
            f"{entry.role} is a role of {role.family}, not {entry.family}",
            "correct family or role",
        )
    known = family_metrics(entry.family)
    for metric in entry.metrics:
        if metric not in known:
            findings.add(
                f"{key}.metrics",
                f"unknown metric {metric!r} of {entry.family}",
                f"one of {', '.join(known)}",
            )
    if entry.role == "pv_array":
        for name in ("rated_kwp", "tilt_deg", "azimuth_deg"):
            if getattr(entry, name) is None:
                findings.add(f"{key}.{name}", "a PV array needs it", f"add {name}")
        if not entry.certificates:
            findings.add(
                f"{key}.certificates",
                "a PV array needs it for REF",
                'certificates = "retained" or "sold"',
            )
    if entry.family == "accelerator" and not entry.kind and entry.role != "cluster_total":
        findings.add(f"{key}.kind", "an accelerator or node needs its kind", '"gpu" or "npu"')
    fields: dict[str, Any] = entry.model_dump(exclude={"id", "valid_from", "metrics"})
    return DeviceState(
        valid_from=_valid_from(entry.valid_from, zone, key, findings),
        metrics=tuple(entry.metrics),
        **fields,
    )


def _valid_from(value: datetime | date, zone: ZoneInfo, key: str, findings: _Findings) -> datetime:
    if not isinstance(value, datetime):
        return local_midnight(value, zone)
    if value.tzinfo is None:
        findings.add(
            f"{key}.valid_from",
            f"{value.isoformat()} has no offset",
            "write a date, or a time with offset like 2026-11-01T09:00:00+09:00",
        )
        return value.replace(tzinfo=UTC)
    return value.astimezone(UTC)


def _device(
    device_id: str,
    group: str,
    states: list[DeviceState],
    declared: Mapping[str, list[DeviceState]],
    findings: _Findings,
) -> Device:
    ordered = sorted(states, key=lambda state: state.valid_from)
    if len({state.valid_from for state in ordered}) < len(ordered):
        findings.add(
            f"devices ({device_id})",
            "two states begin at the same time",
            "give each state its own valid_from",
        )
    if len({state.family for state in ordered}) > 1:
        findings.add(
            f"devices ({device_id})",
            "the family changes between states",
            "a device of another family is another device",
        )
    for state in ordered:
        if state.parent and state.parent not in declared:
            findings.add(
                f"devices ({device_id}).parent",
                f"no device {state.parent!r}",
                "name a device of this site",
            )
    return Device(device_id, tuple(ordered), group)
