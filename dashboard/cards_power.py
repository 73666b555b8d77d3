"""Cards of power and of the figures that rest on it: facility, IT, PUE, WUE, REF."""

from __future__ import annotations

from dataclasses import replace

from analytics.boundary import CATEGORY_OF_ROLE
from core.kpis import KpiValue
from core.roles import ROLES
from dashboard import formats
from dashboard.card_builder import CardBuilder, percent
from dashboard.card_views import Bar, Card

_PUE_SCALE_START = 1.0
_PUE_SCALE_ENDS = (1.5, 2.0, 3.0, 5.0)
_ROLE_OF_CATEGORY = {category: role for role, category in CATEGORY_OF_ROLE.items()}


def facility(b: CardBuilder) -> Card:
    """Facility power now, and the room below the contract."""
    value, contract = b.live.facility, b.site.contract_power_kw
    notes: tuple[str, ...] = ()
    bar = None
    if contract and value.value is not None and not value.is_incomplete:
        room = contract - value.value
        words = b.t(
            "facility.headroom" if room >= 0 else "facility.above_contract",
            room=formats.format_number(abs(room), 0),
            share=formats.format_share(abs(room) / contract, 0),
        )
        end = b.t("facility.contract", contract=formats.format_number(contract, 0))
        notes, bar = (words,), Bar(percent(value.value / contract), start="0", end=end)
    figure = b.live_figure(value, 0, notes=notes, bar=bar)
    return b.live_card("facility", b.t("facility.title"), value, figure)


def it(b: CardBuilder) -> Card:
    """IT power now and its share of the facility."""
    value = b.live.it
    share = b.share_of_facility(value)
    notes: tuple[str, ...] = ()
    bar = None
    if share is not None:
        notes = (b.t("it.share", share=formats.format_share(share)),)
        bar = Bar(percent(share))
    role = ROLES[_ROLE_OF_CATEGORY[b.site.pue_category]].text.get(b.t.language)
    figure = b.live_figure(value, 0, notes=notes, bar=bar)
    return b.live_card("it", b.t("it.title"), value, replace(figure, facts=(role,)))


def pue(b: CardBuilder) -> Card:
    """Today's PUE with its target."""
    row = b.day.site_kpi("pue") if b.day else None
    figure = b.kpi_figure("pue", b.t("pue.label"), bar=_pue_bar(b, row))
    category = b.t("pue.category", category=b.site.pue_category)
    return b.today_card("pue", b.t("pue.title"), category, figure)


def _pue_bar(b: CardBuilder, row: KpiValue | None) -> Bar:
    target = b.site.target("pue", b.words.local_now.date())
    value = row.value if row is not None else None
    largest = max(value or 0.0, target.value if target else 0.0)
    end = next((end for end in _PUE_SCALE_ENDS if largest <= end), _PUE_SCALE_ENDS[-1])

    def place(pue: float) -> float:
        return percent((pue - _PUE_SCALE_START) / (end - _PUE_SCALE_START))

    words = ""
    if target is not None:
        words = b.t("target", value=formats.format_number(target.value, 2))
    return Bar(
        filled=place(value) if value is not None else 0.0,
        mark=place(target.value) if target is not None else None,
        start=formats.format_number(_PUE_SCALE_START, 1),
        end=formats.format_number(end, 1),
        target=words,
    )


def wue(b: CardBuilder) -> Card:
    """Today's WUE: total water and, where it is metered, potable water."""
    figures = [b.kpi_figure("wue", b.t("wue.total_label"))]
    if b.site.with_role("mains_supply"):
        figures.append(b.kpi_figure("wue_potable", b.t("wue.potable_label")))
    return b.today_card("wue", b.t("wue.title"), "", *figures)


def ref(b: CardBuilder) -> Card:
    """Today's renewable energy factor."""
    figure = b.kpi_figure("ref", b.t("ref.label"))
    return b.today_card("ref", b.t("ref.title"), "", figure)
