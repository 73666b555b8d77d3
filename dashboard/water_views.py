"""The page of water and rain: cards, the flow to scale, the share, the balance table. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from analytics.boundary import WATER_SUPPLIES
from core.kpis import KpiValue
from core.quality import Verdict
from core.roles import ROLES
from core.sites import Site
from dashboard import formats
from dashboard.card_builder import VERDICT_WORDS, percent
from dashboard.card_views import Bar, Card
from dashboard.evidence_words import least_coverage, reason_words
from dashboard.figures.water_flow import (
    NARROW,
    WIDE,
    Flow,
    FlowEnd,
    Key,
    RainBalance,
    Sizes,
    build_flow,
)
from dashboard.formula_words import format_amount
from dashboard.history import HistoryQuestion
from dashboard.resource_cards import Magnified, Part, ResourceCards, magnified_slice, parts_of
from dashboard.resource_reads import FigureAsk, Figures
from dashboard.words import Words

ASK = FigureAsk(
    "water",
    (
        "total_water",
        "wue",
        "wue_potable",
        "rain_reuse_ratio",
        "potable_water_avoided",
        "rain_collection_efficiency",
        "rain_unexplained",
    ),
    daily=("total_water",),
)
_NAMES: dict[Key, str] = {
    "top_up": "water.top_up",
    "collected": "water.collected",
    "drawn": "water.drawn",
    "too_much": "water.too_much",
    "used_mains": "water.used_mains",
    "kept_mains": "water.kept_mains",
    "used_rain": "water.used_rain",
    "stored": "water.stored_more",
    "overflow": "water.overflow",
    "drained": "water.drained",
    "unexplained": "water.unexplained",
}
_ROLE_OF = {
    "collected": "rain_collected",
    "top_up": "tank_top_up",
    "used": "rain_used",
    "overflow": "rain_overflow",
    "drained": "rain_drain",
    "stored": "rain_tank",
}
_SOURCES = ("mains_m3", "reclaimed_m3", "groundwater_m3")
# The same in the bars of the chart.
SOURCE_SHADES = {
    "mains_m3": "g4",
    "reclaimed_m3": "g3",
    "groundwater_m3": "g2",
    "rain_reused_m3": "g1",
}
_SOURCE_WORDS = {
    "mains_m3": "part.mains_m3",
    "reclaimed_m3": "part.reclaimed_m3",
    "groundwater_m3": "part.groundwater_m3",
    "rain_reused_m3": "part.rain_reused_m3",
}


@dataclass(frozen=True, slots=True)
class FlowLabel:
    """Words at one end of the flow.

    Attributes:
        y: Middle, in pixels from the picture's top.
    """

    name: str
    amount: str
    share: str
    y: float


@dataclass(frozen=True, slots=True)
class FlowDrawing:
    """The flow at one size: bars, ribbons as SVG paths, labels as text beside them."""

    flow: Flow
    ribbons: tuple[tuple[str, str], ...]
    left: tuple[FlowLabel, ...]
    right: tuple[FlowLabel, ...]
    height: int


@dataclass(frozen=True, slots=True)
class BalanceRow:
    """One line of the balance table.

    Attributes:
        side: in, out, kept or open.
        meters: Devices that measure it.
        mark: Source mark of a measured line; empty where it is worked out.
    """

    side: str
    name: str
    amount: str
    meters: str
    mark: str


@dataclass(frozen=True, slots=True)
class BalanceView:
    """The balance of the rain system.

    Attributes:
        drawings: Wide and narrow; empty where no water moved or the balance is refused.
        label: The whole picture in one sentence.
        why_not: Why there is no picture.
        closure: Unexplained share of what came in, in words.
    """

    card: Card
    wide: FlowDrawing | None
    narrow: FlowDrawing | None
    came_in: str
    went_out: str
    label: str
    why_not: str
    closure: str
    rows: tuple[BalanceRow, ...]


@dataclass(frozen=True, slots=True)
class ShareView:
    """Rain in all water, to scale and magnified."""

    card: Card
    magnified: Magnified | None
    parts: tuple[Part, ...]
    facts: tuple[tuple[str, str], ...]
    note: str


@dataclass(frozen=True, slots=True)
class LimitView:
    """Water taken from outside on each day against the declared daily limit."""

    card: Card
    today: tuple[str, str]  # day, m3 in words
    bar: Bar | None
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class WaterView:
    """Everything of the page but live cards and charts; what the site does not have is None."""

    total: Card | None
    reused: Card | None
    share_card: Card | None
    wue: Card | None
    balance: BalanceView | None
    share: ShareView | None
    limit: LimitView | None
    missing: tuple[str, ...]
    as_of: str = ""


def has_water(site: Site) -> bool:
    """Whether the site meters a water supply."""
    return bool(site.with_role(*WATER_SUPPLIES))


def has_rain(site: Site) -> bool:
    """Whether the site has a rain system with meters of what comes in and what is used."""
    needed = ("rain_collected", "rain_used")
    return site.rain is not None and all(site.with_role(role) for role in needed)


def water_view(site: Site, history: HistoryQuestion, figures: Figures, words: Words) -> WaterView:
    """The page for one stretch in the words of one language."""
    b = ResourceCards(site, history, figures, words)
    water, rain = has_water(site), has_rain(site)
    missing = []
    if not water:
        missing.append(words("water.no_meters"))
    if not rain:
        missing.append(words("water.no_rain"))
    return WaterView(
        total=_total(b) if water else None,
        reused=_reused(b) if rain else None,
        share_card=_share_card(b) if rain and water else None,
        wue=_wue(b) if water else None,
        balance=_balance_view(b) if rain else None,
        share=_share_view(b) if rain and water else None,
        limit=_limit(b) if water else None,
        missing=tuple(missing),
        as_of=b.as_of(),
    )


# ------------------------------------------------------------ figures


def _total(b: ResourceCards) -> Card:
    row = b.figures.row("total_water")
    note = ""
    if row is not None and row.value is not None:
        known = [
            f"{b.t(_SOURCE_WORDS[name])} {formats.format_number(amount, 1)}"
            for name in (*_SOURCES, "rain_reused_m3")
            if (amount := row.parts.get(name)) is not None and abs(amount) > 0.0
        ]
        note = " + ".join(known)
    figure = b.figure("total_water", note=note)
    return b.card("water_total", b.t("water.total_title"), figure, evidence="water_total")


def _reused(b: ResourceCards) -> Card:
    row = b.figures.row("potable_water_avoided")
    note = ""
    if row is not None and row.value is not None:
        used, top_up = (row.parts.get(name) for name in ("rain_used_m3", "top_up_m3"))
        note = b.t(
            "water.reused_note",
            used=formats.format_number(used, 1),
            top_up=formats.format_number(top_up, 1),
        )
    figure = b.figure("potable_water_avoided", note=note)
    return b.card("water_reused", b.t("water.reused_title"), figure, evidence="water_reused")


def _share_card(b: ResourceCards) -> Card:
    target, missed = b.target_tag("rain_reuse_ratio")
    note = " · ".join(text for text in (b.t("water.share_note"), target) if text)
    figure = b.figure("rain_reuse_ratio", note=note)
    if missed:
        figure = replace(figure, tags=(*figure.tags, missed))
    return b.card("water_share", b.t("water.share_title"), figure, evidence="water_share")


def _wue(b: ResourceCards) -> Card:
    target, missed = b.target_tag("wue")
    total = b.figure("wue", label=b.t("water.wue_total"))
    if missed:
        total = replace(total, tags=(*total.tags, missed))
    it_kwh = b.figures.part("wue", "it_energy_kwh")
    notes = [target] if target else []
    if it_kwh is not None:
        notes.append(b.t("water.wue_it", energy=formats.format_number(it_kwh / 1000.0, 1)))
    potable = b.figure("wue_potable", label=b.t("water.wue_potable"))
    return b.card(
        "water_wue",
        b.t("water.wue_title"),
        total,
        potable,
        evidence="water_wue",
        notes=(" · ".join(notes),) if notes else (),
    )


# ------------------------------------------------------------ balance


def rain_balance(site: Site, row: KpiValue | None) -> RainBalance | None:
    """The sums of a balance figure; None where it is refused."""
    if row is None or row.value is None:
        return None

    def metered(name: str) -> float | None:
        return row.parts.get(f"{name}_m3") if site.with_role(_ROLE_OF[name]) else None

    return RainBalance(
        collected=row.parts.get("collected_m3") or 0.0,
        used=row.parts.get("used_m3") or 0.0,
        stored=row.parts.get("stored_m3") or 0.0,
        unexplained=row.value,
        top_up=metered("top_up"),
        overflow=metered("overflow"),
        drained=metered("drained"),
    )


def _balance_view(b: ResourceCards) -> BalanceView:
    row = b.figures.row("rain_unexplained")
    balance = rain_balance(b.site, row)
    facts: list[str] = []
    if row is not None:
        facts.append(b.t(VERDICT_WORDS[row.verdict]))
        coverage = least_coverage(row)
        if coverage is not None:
            facts.append(b.t("coverage", share=formats.format_share(coverage)))
    figure = replace(b.figure("rain_unexplained"), facts=tuple(facts))
    card = b.card(
        "water_balance",
        b.t("water.balance_title"),
        figure,
        subtitle=b.t("water.balance_subtitle"),
        evidence="water_balance",
    )
    why_not = ""
    wide = narrow = None
    came_in = went_out = label = closure = ""
    if balance is None:
        why_not = figure.notes[0] if figure.notes else b.t("today.none")
    else:
        wide, narrow = (_drawing(b, balance, sizes) for sizes in (WIDE, NARROW))
        sum_in = sum(m3 for _, m3 in balance.sources())
        came_in = b.t("water.came_in", amount=_m3(sum_in))
        went_out = b.t("water.went_out", amount=_m3(sum(m3 for _, m3 in balance.targets())))
        if wide is None:
            why_not = b.t("water.nothing_flowed")
        told = ", ".join(
            f"{b.t(_NAMES[key])} {_m3(m3)}" for key, m3 in (*balance.sources(), *balance.targets())
        )
        label = b.t("water.balance_label", parts=told)
        if balance.closure is not None:
            closure = b.t(
                "water.closure",
                amount=formats.format_signed(balance.unexplained, 1),
                share=formats.format_share(balance.closure),
            )
    return BalanceView(
        card, wide, narrow, came_in, went_out, label, why_not, closure, _rows(b, balance)
    )


def _drawing(b: ResourceCards, balance: RainBalance, sizes: Sizes) -> FlowDrawing | None:
    flow = build_flow(balance, sizes)
    if flow is None:
        return None
    total = sum(end.m3 for end in flow.left)

    def label(end: FlowEnd) -> FlowLabel:
        share = formats.format_share(end.m3 / total)
        amount = formats.format_number(end.m3, 1)
        return FlowLabel(b.t(_NAMES[end.key]), amount, share, round(end.label, 1))

    return FlowDrawing(
        flow=flow,
        ribbons=tuple((ribbon.style, ribbon.path(flow.width)) for ribbon in flow.ribbons),
        left=tuple(label(end) for end in flow.left),
        right=tuple(label(end) for end in flow.right),
        height=round(flow.height),
    )


def _rows(b: ResourceCards, balance: RainBalance | None) -> tuple[BalanceRow, ...]:
    def row(side: str, key: str, name: str, value: float | None) -> BalanceRow:
        devices = b.site.with_role(_ROLE_OF[key])
        if devices:
            amount = formats.format_number(value, 1)
            return BalanceRow(
                b.t(side), name, amount, ", ".join(d.id for d in devices), b.words.source
            )
        return BalanceRow(b.t(side), name, formats.NO_VALUE, b.t("water.not_metered"), "")

    language = b.t.language
    names = {key: ROLES[role].text.get(language) for key, role in _ROLE_OF.items()}
    known = balance
    return (
        row("water.in", "collected", names["collected"], known.collected if known else None),
        row("water.in", "top_up", names["top_up"], known.top_up if known else None),
        row("water.out", "used", names["used"], known.used if known else None),
        row("water.out", "overflow", names["overflow"], known.overflow if known else None),
        row("water.out", "drained", names["drained"], known.drained if known else None),
        row("water.kept", "stored", b.t("water.stored_change"), known.stored if known else None),
        BalanceRow(
            b.t("water.open"),
            b.t("water.unexplained"),
            formats.format_number(known.unexplained if known else None, 1),
            b.t("water.open_rule"),
            "",
        ),
    )


def _m3(amount: float | None) -> str:
    return f"{formats.format_number(amount, 1)} m³"


# ------------------------------------------------------------ share


def _share_view(b: ResourceCards) -> ShareView:
    row = b.figures.row("rain_reuse_ratio")
    total_row = b.figures.row("total_water")
    magnified: Magnified | None = None
    parts: tuple[Part, ...] = ()
    if row is not None and row.value is not None:
        whole, rain = row.parts.get("total_water_m3"), row.parts.get("rain_reused_m3")
        if whole and rain:
            share = formats.format_share(row.value)
            whole_words = b.t("water.whole", amount=_m3(whole))
            slice_words = b.t("water.slice", amount=_m3(rain), share=share)
            magnified = magnified_slice(
                whole=whole,
                slice_=rain,
                whole_words=whole_words,
                slice_words=slice_words,
                label=f"{whole_words}, {slice_words}",
                factor_words=b.t.texts["resource.magnified"],
            )
    if total_row is not None and total_row.value:
        known = [
            (name, amount)
            for name in (*_SOURCES, "rain_reused_m3")
            if (amount := total_row.parts.get(name) or 0.0) > 0.0
        ]
        parts = parts_of(
            [(b.t(_SOURCE_WORDS[name]), amount, _m3(amount)) for name, amount in known],
            total_row.value,
            tuple(SOURCE_SHADES[name] for name, _ in known),
        )
    card = b.card(
        "water_slice",
        b.t("water.slice_title"),
        b.figure("rain_reuse_ratio"),
        evidence="water_share",
    )
    return ShareView(card, magnified, parts, _collection_facts(b), _reuse_note(b))


def _reuse_note(b: ResourceCards) -> str:
    top_up = b.figures.part("potable_water_avoided", "top_up_m3")
    if top_up is None:
        return b.t("water.reuse_meaning")
    return b.t("water.reuse_meaning_amount", amount=format_amount("top_up_m3", top_up))


def _collection_facts(b: ResourceCards) -> tuple[tuple[str, str], ...]:
    rain = b.site.rain
    row = b.figures.row("rain_collection_efficiency")
    facts = []
    value, tag = b.cell(row)
    text = f"{value} ({tag})" if tag else value
    facts.append((b.t("water.efficiency"), text))
    if rain is not None:
        facts.append((b.t("water.runoff"), formats.format_number(rain.runoff, 2)))
        fallen = row.parts.get("rain_on_catchment_m3") if row is not None else None
        catchment = f"{formats.format_number(rain.catchment_m2, 0)} m²"
        if fallen is not None and rain.catchment_m2 > 0.0:
            depth = formats.format_number(fallen * 1000.0 / rain.catchment_m2, 1)
            facts.append((b.t("water.fallen"), f"{depth} mm × {catchment}"))
        else:
            facts.append((b.t("water.catchment"), catchment))
    if row is not None and row.verdict is not Verdict.FINAL and (why := reason_words(row, b.t)):
        facts.append((b.t("water.efficiency_why"), why))
    return tuple(facts)


# ------------------------------------------------------------ daily limit


def _limit(b: ResourceCards) -> LimitView:
    limit = b.site.daily_water_limit_m3
    days = [
        (row, taken)
        for row in b.figures.days.get("total_water", ())
        if row.value is not None and (taken := _taken(row)) is not None
    ]
    facts: list[tuple[str, str]] = []
    if days:
        top_row, top = max(days, key=lambda pair: pair[1])
        local = top_row.start.astimezone(b.site.zone)
        facts.append((b.t("water.highest_day", day=f"{local:%m-%d}"), _m3(top)))
        if limit:
            over = sum(1 for _, taken in days if taken > limit)
            facts.append((b.t("water.days_over"), b.t("water.day_count", n=over, of=len(days))))
    last_row, last = days[-1] if days else (None, None)
    is_today = last_row is not None and b.history.is_running
    day_name = ""
    if last_row is not None:
        local = last_row.start.astimezone(b.site.zone)
        day_name = b.t("water.today") if is_today else f"{local:%m-%d}"
    bar = None
    subtitle = b.t("water.limit_none")
    if limit:
        subtitle = b.t("water.limit", amount=formats.format_number(limit, 0))
        if last is not None:
            facts.insert(
                0,
                (
                    b.t("water.room"),
                    f"{_m3(limit - last)} ({formats.format_share((limit - last) / limit)})",
                ),
            )
            bar = Bar(percent(last / limit))
    card = b.card("water_limit", b.t("water.limit_title"), subtitle=subtitle)
    return LimitView(card, (day_name, formats.format_number(last, 1)), bar, tuple(facts))


def _taken(row: KpiValue) -> float | None:
    """Water from outside: rain that fell on the roof is under nobody's limit."""
    known = [row.parts.get(name) for name in _SOURCES]
    amounts = [amount for amount in known if amount is not None]
    return sum(amounts) if amounts else None
