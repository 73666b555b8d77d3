"""What a person should know about the data of a site now: silent meters, figures not yet firm.

These are no alarms: nothing here asks for an action at the plant. Worst first, and worst of all a
ledger that does not balance.
"""

from __future__ import annotations

from core.kpis import KPIS
from core.quality import Verdict
from dashboard.card_builder import CardBuilder
from dashboard.card_views import Card
from dashboard.card_words import join_names
from dashboard.cards_devices import FAMILY_WORDS
from dashboard.condition_views import Condition, ConditionsView
from dashboard.evidence_words import reason_words
from dashboard.intake_views import imbalance_words

_MOST = 4
_NAMED = 2


def conditions(b: CardBuilder) -> ConditionsView:
    """Every condition of a site at this moment."""
    found = [
        Condition(
            "imbalanced", b.t("site_condition.imbalanced"), b.t("nav.intake"),
            imbalance_words(alarm, b.site, b.t),
        )
        for alarm in (b.day.imbalances[:1] if b.day else ())
    ]  # fmt: skip
    found += [
        Condition(
            "stale",
            b.t("condition.silent"),
            b.t(
                "condition.family",
                family=b.t(FAMILY_WORDS[family.family]),
                n=len(family.silent),
                of=family.expected,
            ),
            join_names(family.silent, b.t, named=_NAMED),
        )
        for family in b.live.families
        if family.silent
    ]
    rows = [row for row in (b.day.kpis.values() if b.day else ()) if row.subject == "site"]
    for verdict, kind, word in (
        (Verdict.REFUSED, "refused", "verdict.refused"),
        (Verdict.PROVISIONAL, "provisional", "verdict.provisional"),
    ):
        found += [
            Condition(kind, b.t(word), KPIS[row.kpi].text.get(b.t.language), reason_words(row, b.t))
            for row in rows
            if row.verdict is verdict
        ]
    more = b.t("condition.more", n=len(found) - _MOST) if len(found) > _MOST else ""
    return ConditionsView(tuple(found[:_MOST]), more)


def card(b: CardBuilder, view: ConditionsView) -> Card:
    """Head of the card."""
    cadence_s = min((family.cadence_s for family in b.live.families), default=60.0)
    count = len(view.lines)
    return Card(
        id="conditions",
        title=b.t("conditions.title"),
        subtitle=b.t("conditions.subtitle") if count else "",
        freshness=b.words.freshness(b.live.newest_ms, cadence_s),
        source="",
    )
