"""The page of accelerators: energy by kind and group, and what the IT meters say of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from analytics.boundary import accelerators as accelerators_of
from core.kpis import KpiValue
from core.sites import Device, Site
from dashboard import formats
from dashboard.card_builder import percent
from dashboard.card_views import Bar, Card
from dashboard.evidence_words import least_coverage, reason_words
from dashboard.formula_words import format_amount
from dashboard.history import HistoryQuestion
from dashboard.resource_cards import Magnified, ResourceCards, magnified_slice, parts_of
from dashboard.resource_reads import FigureAsk, Figures
from dashboard.words import Words

ASK = FigureAsk("accelerators", ("accelerator_energy", "accelerator_reconciliation", "it_energy"))
LEVEL_WORDS = {
    "accelerator": "accelerators.level_accelerator",
    "node": "accelerators.level_node",
    "cluster_total": "accelerators.level_cluster",
}
KINDS = ("gpu", "npu")


@dataclass(frozen=True, slots=True)
class KindFigures:
    """One kind over the stretch.

    Attributes:
        method: How its energy is known: counted, or integrated power.
        mean_power: Energy over the hours of the stretch.
        bar: Mean power on the scale of the rated power.
    """

    name: str
    devices: str
    energy: str
    energy_tag: str
    mean_power: str
    rated: str
    bar: Bar | None
    share_of_it: str
    coverage: str
    method: str
    why: str


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """One device group or model over the stretch."""

    name: str
    model: str
    kind: str
    hall: str
    devices: str
    energy: str
    energy_tag: str
    coverage: str


@dataclass(frozen=True, slots=True)
class SideFigures:
    """One hall's reconciliation: both sides and the difference in words."""

    name: str
    accelerators: str
    it: str
    ratio: str
    ratio_tag: str
    coverage: str
    words: str


@dataclass(frozen=True, slots=True)
class AcceleratorView:
    """Everything of the page but live cards and charts."""

    energy: Card | None
    reconciliation: Card | None
    share: Card | None
    magnified: Magnified | None
    kinds_card: Card | None
    kinds: tuple[KindFigures, ...]
    groups_card: Card | None
    groups: tuple[GroupFigures, ...]
    sides: tuple[SideFigures, ...]
    facts: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]
    as_of: str = ""


def has_accelerators(site: Site) -> bool:
    """Whether the site has accelerators, nodes or a cluster's total."""
    return bool(accelerators_of(site)[1])


def accelerator_view(
    site: Site, history: HistoryQuestion, figures: Figures, words: Words
) -> AcceleratorView:
    """The page for one stretch in the words of one language."""
    b = ResourceCards(site, history, figures, words)
    role, devices = accelerators_of(site)
    if not devices:
        missing = (words("accelerators.none"),)
        return AcceleratorView(None, None, None, None, None, (), None, (), (), (), missing)
    kinds = [kind for kind in KINDS if any(d.latest.kind == kind for d in devices)]
    return AcceleratorView(
        energy=b.card(
            "accelerator_energy",
            words("accelerators.energy_title"),
            b.figure("accelerator_energy", note=_share_note(b)),
            evidence="accelerator_energy",
        ),
        reconciliation=b.card(
            "accelerator_reconciliation",
            words("accelerators.reconciliation_title"),
            b.figure("accelerator_reconciliation", label=words("accelerators.of_it_meters")),
            evidence="accelerator_reconciliation",
        ),
        share=b.card(
            "accelerator_share",
            words("accelerators.share_title"),
            b.figure("accelerator_energy"),
            evidence="accelerator_energy",
        ),
        magnified=_magnified(b, kinds),
        kinds_card=b.card(
            "accelerator_kinds",
            words("accelerators.kinds_title"),
            subtitle=words("accelerators.own"),
            evidence="accelerator_energy",
        ),
        kinds=tuple(_kind(b, kind, devices) for kind in kinds),
        groups_card=b.card(
            "accelerator_groups",
            words("accelerators.groups_title"),
            subtitle=words(LEVEL_WORDS[role]),
        ),
        groups=tuple(_groups(b, devices)),
        sides=tuple(_sides(b)),
        facts=(
            (words("accelerators.level"), words(LEVEL_WORDS[role])),
            (words("accelerators.col_method"), _method(devices, words)),
            (words("accelerators.kind_of_figure"), words("accelerators.own")),
        ),
        missing=(),
        as_of=b.as_of(),
    )


def _count(devices: list[Device]) -> int:
    return sum(device.latest.count or 1 for device in devices)


def _share_note(b: ResourceCards) -> str:
    energy, it = b.figures.row("accelerator_energy"), b.figures.row("it_energy")
    if energy is None or it is None or energy.value is None or not it.value:
        return ""
    return b.t(
        "accelerators.share_of_it",
        share=formats.format_share(energy.value / it.value),
        it=formats.format_number(it.value / 1000.0, 1),
    )


def _kind(b: ResourceCards, kind: str, devices: list[Device]) -> KindFigures:
    mine = [device for device in devices if device.latest.kind == kind]
    row = b.figures.row("accelerator_energy", kind)
    it = b.figures.row("it_energy")
    energy = _energy(row)
    kwh = None if row is None else row.value
    hours = b.figures.period.seconds / 3600.0 if b.figures.period is not None else 0.0
    mean_kw = kwh / hours if kwh is not None and hours > 0.0 else None
    rated = _rated_kw(mine)
    bar = None
    rated_words = ""
    if rated is not None:
        rated_words = b.t("accelerators.rated_at", rated=formats.format_number(rated, 1))
        if mean_kw is not None:
            bar = Bar(percent(mean_kw / rated))
            rated_words = b.t(
                "accelerators.of_rated",
                rated=formats.format_number(rated, 1),
                share=formats.format_share(mean_kw / rated, 0),
            )
    share = None if kwh is None or it is None or not it.value else kwh / it.value
    coverage = least_coverage(row) if row is not None else None
    return KindFigures(
        name=kind.upper(),
        devices=b.t("accelerators.count", n=formats.format_number(_count(mine), 0)),
        energy=energy,
        energy_tag=b.cell(row)[1] if row is not None else "",
        mean_power=f"{formats.format_number(mean_kw, 1)} kW"
        if mean_kw is not None
        else formats.NO_VALUE,
        rated=rated_words,
        bar=bar,
        share_of_it=formats.format_share(share, 2),
        coverage=formats.format_share(coverage),
        method=_method(mine, b.t),
        why=reason_words(row, b.t) if row is not None else "",
    )


def _energy(row: KpiValue | None) -> str:
    if row is None or row.value is None:
        return formats.NO_VALUE
    return format_amount("accelerator_energy_kwh", row.value)


def _method(devices: list[Device], words: Words) -> str:
    """How their energy is known."""
    counters = sum(1 for device in devices if "energy_kwh" in device.metrics())
    if counters == len(devices):
        return words("accelerators.counted")
    return words("accelerators.mixed" if counters else "accelerators.integrated")


def _rated_kw(devices: list[Device]) -> float | None:
    """Rated power of all of them; None where one does not declare it."""
    known = [device.latest.rated_w for device in devices if device.latest.rated_w is not None]
    return sum(known) / 1000.0 if devices and len(known) == len(devices) else None


def _magnified(b: ResourceCards, kinds: list[str]) -> Magnified | None:
    it, total = b.figures.row("it_energy"), b.figures.row("accelerator_energy")
    if it is None or total is None or not it.value or not total.value:
        return None
    amounts = []
    for kind in kinds:
        row = b.figures.row("accelerator_energy", kind)
        if row is not None and row.value is not None and row.value > 0.0:
            amounts.append((kind.upper(), row.value, _mwh(row.value)))
    complete = abs(sum(kwh for _, kwh, _ in amounts) - total.value) <= 0.01 * total.value
    share = formats.format_share(total.value / it.value, 2)
    whole_words = b.t("accelerators.whole", amount=_mwh(it.value))
    slice_words = b.t("accelerators.slice", amount=_mwh(total.value), share=share)
    return magnified_slice(
        whole=it.value,
        slice_=total.value,
        whole_words=whole_words,
        slice_words=slice_words,
        label=f"{whole_words}, {slice_words}",
        factor_words=b.t.texts["resource.magnified"],
        parts=parts_of(amounts, total.value, ("g1", "g3")) if complete else (),
    )


def _mwh(kwh: float) -> str:
    return f"{formats.format_number(kwh / 1000.0, 1)} MWh"


def _groups(b: ResourceCards, devices: list[Device]) -> list[GroupFigures]:
    """A line for each device group; single devices are groups of their own."""
    groups: dict[str, list[Device]] = {}
    for device in devices:
        groups.setdefault(device.group or device.id, []).append(device)
    rows = []
    for name, members in groups.items():
        state = members[0].latest
        only_one = len(groups) == 1 and not members[0].group
        row = b.figures.row("accelerator_energy", "site" if only_one else name)
        coverage = least_coverage(row) if row is not None else None
        rows.append(
            GroupFigures(
                name=name,
                model=state.model or formats.NO_VALUE,
                kind=state.kind.upper(),
                hall=state.hall or formats.NO_VALUE,
                devices=b.t("accelerators.count", n=formats.format_number(_count(members), 0)),
                energy=_energy(row),
                energy_tag=b.cell(row)[1] if row is not None else "",
                coverage=formats.format_share(coverage),
            )
        )
    return rows


def _sides(b: ResourceCards) -> list[SideFigures]:
    found = []
    for (kpi, subject), row in b.figures.rows.items():
        if kpi != "accelerator_reconciliation":
            continue
        above, below = (row.parts.get(name) for name in ("accelerator_energy_kwh", "it_energy_kwh"))
        ratio, tag = b.cell(row)
        told = reason_words(row, b.t)
        if row.value is not None and above is not None and below is not None:
            word = "accelerators.above" if above > below else "accelerators.below"
            told = b.t(word, amount=format_amount("difference_kwh", abs(below - above)))
        found.append(
            SideFigures(
                name=b.t("accelerators.all_halls") if subject == "site" else subject,
                accelerators=format_amount("accelerator_energy_kwh", above),
                it=format_amount("it_energy_kwh", below),
                ratio=ratio,
                ratio_tag=tag,
                coverage=formats.format_share(least_coverage(row)),
                words=told,
            )
        )
    # One hall says the same as the site.
    return found[:1] if len(found) == 2 else found
