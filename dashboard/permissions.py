"""Who may do what at which site: one table and one function.

Every page, callback and route asks `authorize` on the server; a link that is not shown is no
permission.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from core.errors import GreendcError
from core.ports import Account
from core.sites import Site, SiteRegistry

OPERATOR, AUTHOR, REVIEWER, ADMIN = "operator", "author", "reviewer", "admin"
ROLES = (OPERATOR, AUTHOR, REVIEWER, ADMIN)
ALL_SITES = "*"

# `know`: that the site exists, its public facts. `live`: live values, figures of the running day,
# history, evidence. A reviewer knows every site and sees no live value. `report`: months that were
# handed over; `draft_report`: those that are still in the making, too. `quarantine`: see what was
# refused, replay and discard it.
Action = Literal["know", "live", "report", "draft_report", "quarantine"]
_ROLES_OF_ACTION: dict[str, frozenset[str]] = {
    "know": frozenset(ROLES),
    "live": frozenset({OPERATOR, AUTHOR}),
    "report": frozenset({OPERATOR, AUTHOR, REVIEWER}),
    "draft_report": frozenset({OPERATOR, AUTHOR}),
    "quarantine": frozenset({OPERATOR, AUTHOR}),
}
_ROLES_AT_EVERY_SITE = frozenset({REVIEWER})


class NoSuchSiteError(GreendcError):
    """The site does not exist, or this person is not to know that it does."""


class ForbiddenError(GreendcError):
    """The person knows the site but may not do this there."""


def is_allowed(account: Account, action: Action, site: str) -> bool:
    """Whether one of the person's roles carries the action at this site."""
    wanted = _ROLES_OF_ACTION[action]
    for role, sites in account.roles.items():
        if role not in wanted:
            continue
        if role in _ROLES_AT_EVERY_SITE or ALL_SITES in sites or site in sites:
            return True
    return False


def authorize(account: Account, action: Action, site: str, registry: SiteRegistry) -> Site:
    """The site, if the person may do this there.

    Args:
        site: As the browser sent it: any text.

    Raises:
        NoSuchSiteError: No such site, or one that the person has nothing to do with: the answer
            is the same.
        ForbiddenError: The person may know the site, but not do this.
    """
    found = registry.find(site)
    if found is None or account.disabled or not is_allowed(account, "know", found.id):
        raise NoSuchSiteError("there is no such site, or it is not one of yours")
    if not is_allowed(account, action, found.id):
        raise ForbiddenError(f"{account.username} may not do this ({action}) at site {found.id}")
    return found


def allowed_sites(account: Account, action: Action, registry: SiteRegistry) -> list[Site]:
    """Sites at which the person may do this, in the registry's order."""
    return [site for site in _sites(registry, account) if is_allowed(account, action, site.id)]


def _sites(registry: SiteRegistry, account: Account) -> Iterable[Site]:
    return () if account.disabled else registry
