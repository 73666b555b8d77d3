"""What is not in order at a site, worst first: pure, out of states that exist.

No alarm is derived here: silence, sums that miss a meter, figures that coverage holds back, a
target, and readings that were put aside.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from core.kpis import KpiValue
from core.quality import Verdict
from core.sites import Site, Target
from dashboard import formats
from dashboard.card_words import CardWords, join_names
from dashboard.evidence_words import reason_words
from dashboard.intake_views import imbalance_words
from dashboard.live_values import LiveSnapshot, ValueState
from dashboard.place_names import city_name
from dashboard.portfolio_views import AttentionView, Condition, Finding, SiteNow
from dashboard.words import Words

CONDITION_WORDS = {
    Condition.UNREAD: "site_condition.unread",
    Condition.IMBALANCED: "site_condition.imbalanced",
    Condition.STALE: "state.stale",
    Condition.NO_DATA: "state.no_data",
    Condition.LATE: "state.late",
    Condition.INCOMPLETE: "state.incomplete",
    Condition.REFUSED: "verdict.refused",
    Condition.SILENT: "site_condition.silent",
    Condition.PROVISIONAL: "verdict.provisional",
    Condition.ABOVE_TARGET: "site_condition.above_target",
    Condition.QUARANTINED: "site_condition.quarantined",
    Condition.NORMAL: "state.normal",
    Condition.PLANNED: "state.planned",
    Condition.HIDDEN: "site_condition.hidden",
}
_FALLBACK_CADENCE_S = 60.0
_PUE_DECIMALS = 3


def fastest_cadence_s(live: LiveSnapshot | None) -> float:
    """The cadence of the device that speaks most often: how soon silence can be told."""
    families = live.families if live is not None else ()
    return min((family.cadence_s for family in families), default=_FALLBACK_CADENCE_S)


def find_conditions(now: SiteNow, words: Words) -> list[Finding]:
    """Everything that is not in order at a site, worst first; empty where all is."""
    site = now.site
    if not now.is_operating:
        return []
    if now.live is None:
        return [_finding(Condition.UNREAD, words("finding.unread"), words)]
    found = _reception(now, now.live, words)
    if not found or found[0].condition is Condition.LATE:
        found += _sums(now.live, words)
    if now.state is not None and now.state.is_faulty:
        found.append(_finding(Condition.UNREAD, words("finding.unread"), words))
    if now.spans is not None:
        found += _figures(site, now.spans.pue.get("today"), words)
        if now.spans.imbalances:
            # The newest hour; the page of data intake has them all.
            alarm = imbalance_words(now.spans.imbalances[0], site, words)
            text = words("finding.imbalanced", alarm=alarm)
            found.append(_finding(Condition.IMBALANCED, text, words))
        count = now.spans.quarantined_today
        if count:
            text = words("finding.quarantined", n=formats.format_number(count, 0))
            found.append(_finding(Condition.QUARANTINED, text, words))
    return sorted(found, key=lambda finding: finding.condition.rank)


def condition_of(now: SiteNow, findings: Sequence[Finding]) -> Condition:
    """The worst condition of a site."""
    if now.site.status == "planned":
        return Condition.PLANNED
    if not now.is_operating:
        return Condition.HIDDEN
    return findings[0].condition if findings else Condition.NORMAL


def attention_line(now: SiteNow, findings: Sequence[Finding], words: Words) -> AttentionView:
    """The line of a site with findings."""
    worst, *rest = findings
    site, language = now.site, words.language
    since = ""
    if worst.since_ms is not None:
        clock = CardWords(site, now.now_ms, words).clock(worst.since_ms)
        duration = formats.format_duration((now.now_ms - worst.since_ms) / 1000.0, words)
        since = words("attention.since", time=clock, duration=duration)
    others = ", ".join(dict.fromkeys(words(CONDITION_WORDS[one.condition]) for one in rest))
    return AttentionView(
        condition=worst.condition,
        words=words(CONDITION_WORDS[worst.condition]),
        site_name=site.name.get(language),
        place=city_name(site, language),
        address=f"/s/{site.id}",
        since=since,
        cause=worst.cause,
        action=worst.action,
        others=words("attention.others", names=others) if others else "",
    )


_ACTIONS = {
    Condition.UNREAD: "action.unread",
    Condition.IMBALANCED: "action.imbalanced",
    Condition.STALE: "action.stale",
    Condition.NO_DATA: "action.no_data",
    Condition.LATE: "action.late",
    Condition.INCOMPLETE: "action.incomplete",
    Condition.REFUSED: "action.refused",
    Condition.SILENT: "action.silent",
    Condition.PROVISIONAL: "action.provisional",
    Condition.ABOVE_TARGET: "action.above_target",
    Condition.QUARANTINED: "action.quarantined",
}


def _finding(
    condition: Condition, cause: str, words: Words, *, since_ms: int | None = None
) -> Finding:
    return Finding(condition, cause, words(_ACTIONS[condition]), since_ms)


def _reception(now: SiteNow, live: LiveSnapshot, words: Words) -> list[Finding]:
    freshness = CardWords(now.site, now.now_ms, words).freshness(
        live.newest_ms, fastest_cadence_s(live)
    )
    if freshness.state is ValueState.NO_DATA:
        return [_finding(Condition.NO_DATA, words("finding.no_data"), words)]
    conditions = {ValueState.STALE: Condition.STALE, ValueState.LATE: Condition.LATE}
    condition = conditions.get(freshness.state)
    if condition is None:
        return []
    text = words("finding.stale" if condition is Condition.STALE else "finding.late")
    return [_finding(condition, text, words, since_ms=live.newest_ms)]


def _sums(live: LiveSnapshot, words: Words) -> list[Finding]:
    in_sums = dict.fromkeys((*live.facility.missing, *live.it.missing))
    found = []
    if in_sums:
        text = words("finding.incomplete", names=join_names(list(in_sums), words))
        found.append(_finding(Condition.INCOMPLETE, text, words))
    silent = [name for family in live.families for name in family.silent if name not in in_sums]
    if silent:
        text = words("finding.silent", n=len(silent), names=join_names(silent, words))
        found.append(_finding(Condition.SILENT, text, words))
    return found


def _figures(site: Site, pue: KpiValue | None, words: Words) -> list[Finding]:
    if pue is None:
        return []
    if pue.verdict is not Verdict.FINAL:
        refused = pue.verdict is Verdict.REFUSED
        reason = reason_words(pue, words) or words("reason.other")
        text = words("finding.refused" if refused else "finding.provisional", reason=reason)
        condition = Condition.REFUSED if refused else Condition.PROVISIONAL
        found = [_finding(condition, text, words)]
    else:
        found = []
    excess = above_target(site, pue)
    if excess is not None:
        target = target_of(site, pue)
        text = words(
            "finding.above_target",
            value=formats.format_kpi("pue", pue.value)[0],
            target=formats.format_number(target.value if target else None, 2),
            excess=formats.format_signed(excess, _PUE_DECIMALS),
        )
        found.append(_finding(Condition.ABOVE_TARGET, text, words))
    return found


def above_target(site: Site, pue: KpiValue) -> float | None:
    """By how much a PUE is above the site's target, as printed; None where it is not."""
    target = target_of(site, pue)
    if target is None or pue.value is None:
        return None
    excess = round(pue.value, _PUE_DECIMALS) - target.value
    return excess if round(excess, _PUE_DECIMALS) > 0.0 else None


def target_of(site: Site, pue: KpiValue) -> Target | None:
    """The target in force on the last day of a figure."""
    last = pue.end - timedelta(milliseconds=1)
    return site.target("pue", last.astimezone(site.zone).date())
