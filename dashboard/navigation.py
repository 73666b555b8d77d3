"""The menu: every page that it lists, declared once."""

from __future__ import annotations

from dataclasses import dataclass

from dashboard.permissions import Action


@dataclass(frozen=True, slots=True)
class MenuEntry:
    """One line of the menu.

    Attributes:
        page: The page's name; the page itself says it as `here`.
        path: Address; `{site}` is the site at hand.
        word: Id of its text.
        action: What a person must be allowed to do to see the line.
    """

    page: str
    path: str
    word: str
    action: Action


EVERYWHERE = (MenuEntry("sites", "/", "nav.sites", "know"),)
OF_A_SITE = (
    MenuEntry("overview", "/s/{site}", "nav.overview", "live"),
    MenuEntry("energy", "/s/{site}/energy", "nav.energy", "live"),
    MenuEntry("water", "/s/{site}/water", "nav.water", "live"),
    MenuEntry("solar", "/s/{site}/solar", "nav.solar", "live"),
    MenuEntry("accelerators", "/s/{site}/accelerators", "nav.accelerators", "live"),
    MenuEntry("intake", "/s/{site}/intake", "nav.intake", "quarantine"),
    MenuEntry("about", "/s/{site}/about", "nav.about", "know"),
)
DOCUMENTS = (MenuEntry("reports", "/reports", "nav.reports", "report"),)
