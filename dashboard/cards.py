"""All cards of a site's page out of live values and today's figures: pure.

The same views make the first paint and every live update, so a page says one thing only.
"""

from __future__ import annotations

from analytics.boundary import WATER_SUPPLIES
from analytics.systems import SystemTotals
from core.sites import Site
from dashboard import cards_devices, cards_power, cards_resources, conditions
from dashboard.anatomy import anatomy_view
from dashboard.card_builder import CardBuilder
from dashboard.card_views import SiteView
from dashboard.live_values import LiveSnapshot
from dashboard.system_rows import system_rows
from dashboard.today import SiteDay
from dashboard.words import Words


def _totals(day: SiteDay | None) -> SystemTotals | None:
    if day is None or day.systems is None or day.window is None:
        return None
    return day.systems.totals(day.window.start_ms, day.window.end_ms)


def site_view(site: Site, live: LiveSnapshot, day: SiteDay | None, words: Words) -> SiteView:
    """Every card of a site at one moment, in the words of one language."""
    builder = CardBuilder(site, live, day, words)
    has_supply = bool(site.with_role("grid_feed", "generator"))
    has_it = live.it.expected > 0
    has_water = bool(site.with_role(*WATER_SUPPLIES))
    found = conditions.conditions(builder)
    return SiteView(
        pue=cards_power.pue(builder) if has_supply and has_it else None,
        anatomy=anatomy_view(_totals(day), words),
        conditions=conditions.card(builder, found),
        condition_list=found,
        systems=system_rows(day.systems if day else None, words),
        facility=cards_power.facility(builder) if has_supply else None,
        it=cards_power.it(builder) if has_it else None,
        wue=cards_power.wue(builder) if has_water and has_it else None,
        ref=cards_power.ref(builder) if has_supply else None,
        rain=cards_resources.rain(builder),
        tank=cards_resources.tank(builder),
        solar=cards_resources.solar(builder) if live.arrays else None,
        arrays=tuple(cards_resources.array_rows(builder)),
        accelerators=cards_devices.accelerators(builder) if live.accelerators else None,
        accelerator_rows=tuple(
            cards_devices.accelerator_row(builder, kind) for kind in live.accelerators
        ),
        reception=cards_devices.reception(builder),
        reception_rows=tuple(cards_devices.reception_rows(builder)),
    )
