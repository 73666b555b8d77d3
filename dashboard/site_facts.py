"""A site's public facts, equipment and targets, out of the registry: pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from core.ids import FAMILIES
from core.kpis import KPIS
from core.roles import ROLES
from core.sites import DeviceState, Site
from dashboard import formats
from dashboard.words import Words


@dataclass(frozen=True, slots=True)
class FactView:
    """A public statement with its source and day."""

    text: str
    source: str
    date: str


@dataclass(frozen=True, slots=True)
class EquipmentRow:
    """Devices of one role.

    Attributes:
        rated: Their rated power together; empty where one has none declared.
        cadence: Seconds between two readings.
        accuracy: Accuracy classes of their meters.
    """

    family: str
    role: str
    count: str
    rated: str
    cadence: str
    accuracy: str


@dataclass(frozen=True, slots=True)
class SiteFacts:
    """What the page shows.

    Attributes:
        lines: (name, value) of the site itself.
        basis: What is public, what is simulated, what is measured.
    """

    lines: tuple[tuple[str, str], ...]
    basis: str
    facts: tuple[FactView, ...]
    equipment: tuple[EquipmentRow, ...]
    targets: tuple[tuple[str, str, str], ...]


def site_facts(site: Site, now: datetime, words: Words) -> SiteFacts:
    """Everything about a site that is not a reading."""
    today = now.astimezone(site.zone).date()
    return SiteFacts(
        lines=_lines(site, words),
        basis=words(_basis(site)),
        facts=tuple(
            FactView(fact.text.get(words.language), fact.source, fact.date.isoformat())
            for fact in sorted(site.facts, key=lambda fact: fact.date, reverse=True)
        ),
        equipment=_equipment(site, now, words),
        targets=_targets(site, today, words),
    )


def _basis(site: Site) -> str:
    if site.status == "planned":
        return "about.basis_planned"
    return "about.basis_simulated" if site.is_simulated else "about.basis_measured"


def _lines(site: Site, words: Words) -> tuple[tuple[str, str], ...]:
    number = formats.format_number
    lines = [
        (words("about.operator"), site.operator),
        (words("about.place"), site.place.get(words.language) if site.place else ""),
        (words("about.location"), f"{number(site.latitude, 2)}, {number(site.longitude, 2)}"),
        (
            words("about.status"),
            words("state.planned" if site.status == "planned" else "about.operating"),
        ),
        (words("about.zone"), site.zone.key),
    ]
    if site.status == "planned":
        return tuple(line for line in lines if line[1])
    lines.append((words("about.category"), words(_CATEGORY_WORDS[site.pue_category])))
    lines.append(
        (
            words("about.gate"),
            words(
                "about.gate_value",
                final=formats.format_share(site.gate.final, 0),
                provisional=formats.format_share(site.gate.provisional, 0),
            ),
        )
    )
    if site.contract_power_kw is not None:
        lines.append((words("about.contract"), f"{number(site.contract_power_kw / 1000, 1)} MW"))
    if site.daily_water_limit_m3 is not None:
        lines.append((words("about.water_limit"), f"{number(site.daily_water_limit_m3, 0)} m³"))
    if site.rain is not None:
        text = words(
            "about.rain_value",
            catchment=number(site.rain.catchment_m2, 0),
            tank=number(site.rain.tank_volume_m3, 0),
        )
        lines.append((words("about.rain"), text))
    return tuple(line for line in lines if line[1])


def _equipment(site: Site, now: datetime, words: Words) -> tuple[EquipmentRow, ...]:
    groups: dict[tuple[str, str, str], list[DeviceState]] = {}
    for device in site.devices.values():
        state = device.state_at(now) or device.latest
        groups.setdefault((state.family, state.role, state.kind), []).append(state)
    ordered = sorted(groups.items(), key=lambda group: FAMILIES.index(group[0][0]))
    return tuple(
        EquipmentRow(
            family=words(_FAMILY_WORDS[family]),
            role=f"{ROLES[role].text.get(words.language)} {kind.upper()}".strip(),
            count=formats.format_number(sum(state.count or 1 for state in states), 0),
            rated=_rated(states),
            cadence=_range([state.cadence_s for state in states], "s"),
            accuracy=_range([s.accuracy_class for s in states if s.accuracy_class is not None], ""),
        )
        for (family, role, kind), states in ordered
    )


_CATEGORY_WORDS = {1: "category.1", 2: "category.2", 3: "category.3"}
_FAMILY_WORDS = {
    "energy": "family.energy",
    "water": "family.water",
    "solar": "family.solar",
    "accelerator": "family.accelerator",
    "weather": "family.weather",
}


def _rated(states: list[DeviceState]) -> str:
    peaks = [state.rated_kwp for state in states]
    if all(peak is not None for peak in peaks):
        return f"{formats.format_number(sum(peak or 0.0 for peak in peaks), 0)} kWp"
    watts = [None if state.rated_w is None else state.rated_w / 1000.0 for state in states]
    powers = [
        state.rated_kw if state.rated_kw is not None else watt
        for state, watt in zip(states, watts, strict=True)
    ]
    if any(power is None for power in powers):
        return ""
    return f"{formats.format_number(sum(power or 0.0 for power in powers), 0)} kW"


def _range(values: list[float], unit: str) -> str:
    if not values:
        return ""
    low, high = min(values), max(values)
    text = f"{low:g}" if low == high else f"{low:g}–{high:g}"
    return f"{text} {unit}".rstrip()


def _targets(site: Site, today: date, words: Words) -> tuple[tuple[str, str, str], ...]:
    found = []
    for kpi in dict.fromkeys(target.kpi for target in site.targets):
        target = site.target(kpi, today)
        if target is None:
            continue
        value, unit = formats.format_kpi(kpi, target.value)
        found.append(
            (
                KPIS[kpi].text.get(words.language),
                f"{value} {unit}".strip(),
                target.valid_from.isoformat(),
            )
        )
    return tuple(found)
