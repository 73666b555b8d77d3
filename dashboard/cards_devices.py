"""Cards of devices: accelerators by kind, and which devices report at all."""

from __future__ import annotations

from dashboard import formats
from dashboard.card_builder import CardBuilder, percent, with_unit
from dashboard.card_views import AcceleratorRow, Bar, Card, ReceptionRow
from dashboard.card_words import join_names
from dashboard.live_values import AcceleratorPower, FamilyReception, ValueState

FAMILY_WORDS = {
    "energy": "family.energy",
    "water": "family.water",
    "solar": "family.solar",
    "accelerator": "family.accelerator",
    "weather": "family.weather",
}


def _silent_words(b: CardBuilder, family: FamilyReception) -> str:
    if not family.silent:
        return ""
    if not family.reporting:
        return b.t("reception.all_silent")
    return b.t("reception.silent", names=join_names(family.silent, b.t, named=1))


def accelerators(b: CardBuilder) -> Card:
    """Head of the accelerators card."""
    powers = [kind.power for kind in b.live.accelerators]
    times = [power.time_ms for power in powers if power.time_ms is not None]
    missing = [device for power in powers for device in power.missing]
    return Card(
        id="accelerators",
        title=b.t("accelerators.title"),
        subtitle=b.t("accelerators.subtitle"),
        freshness=b.words.freshness(
            min(times, default=None), max(power.cadence_s for power in powers)
        ),
        source=b.words.source,
        notes=b.words.missing(missing),
    )


def accelerator_row(b: CardBuilder, kind: AcceleratorPower) -> AcceleratorRow:
    """A line for one kind of accelerator."""
    kw, complete = kind.power.value, not kind.power.missing
    share = kw / kind.rated_kw if kw is not None and kind.rated_kw and complete else None
    used = kind.utilization_percent
    rated = ""
    if share is not None:
        rated = b.t(
            "accelerators.of_rated",
            rated=formats.format_number(kind.rated_kw, 1),
            share=formats.format_share(share, 0),
        )
    return AcceleratorRow(
        name=kind.kind.upper(),
        reporting=b.t(
            "accelerators.reporting",
            reporting=formats.format_number(kind.power.reporting, 0),
            expected=formats.format_number(kind.power.expected, 0),
        ),
        power=with_unit(formats.format_number(kw, 1), "kW", known=kw is not None),
        bar=Bar(percent(share)) if share is not None else None,
        rated=rated,
        utilization=formats.format_share(None if used is None else used / 100.0),
        is_dim=kind.power.state(b.live.now_ms) is not ValueState.NORMAL or not complete,
    )


def reception(b: CardBuilder) -> Card:
    """Head of the reception card."""
    cadence_s = min((family.cadence_s for family in b.live.families), default=60.0)
    return Card(
        id="reception",
        title=b.t("reception.title"),
        subtitle=b.t("reception.subtitle"),
        freshness=b.words.freshness(b.live.newest_ms, cadence_s),
        source=b.words.source,
    )


def reception_rows(b: CardBuilder) -> list[ReceptionRow]:
    """A line for each family of devices."""
    return [
        ReceptionRow(
            name=b.t(FAMILY_WORDS[family.family]),
            counts=" / ".join(
                formats.format_number(count, 0) for count in (family.reporting, family.expected)
            ),
            bar=Bar(percent(family.reporting / family.expected)),
            silent=_silent_words(b, family),
        )
        for family in b.live.families
    ]
