"""Who may speak as which Sparkplug edge node: lines of the access list, from the mappings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.ids import SPARKPLUG_PREFIX

if TYPE_CHECKING:
    from ingest.mappings import Mappings

_OF_NODE = ("NBIRTH", "NDATA", "NDEATH")
_OF_DEVICES = ("DBIRTH", "DDATA", "DDEATH")


def sparkplug_access(mappings: Mappings, *, host: str) -> list[str]:
    """The lines of every account that edge nodes have.

    An account writes what its own edge nodes say (their last will, too), and reads the commands to
    them and the state of the host. Nothing of another edge node is either.

    Args:
        host: Account of the ingester, whose state edge nodes may wait for.
    """
    from ingest.sparkplug_mapping import sparkplug_files

    by_account: dict[str, list[str]] = {}
    for file in sparkplug_files(mappings):
        lines = by_account.setdefault(file.account, [])
        group = f"{SPARKPLUG_PREFIX}/{file.group}"
        lines += [f"topic write {group}/{kind}/{file.edge}" for kind in _OF_NODE]
        lines += [f"topic write {group}/{kind}/{file.edge}/+" for kind in _OF_DEVICES]
        lines += [f"topic read {group}/NCMD/{file.edge}", f"topic read {group}/DCMD/{file.edge}/+"]
    found: list[str] = []
    for account, lines in sorted(by_account.items()):
        found.append(f"user {account}")
        found += dict.fromkeys(lines)
        found += [f"topic read {SPARKPLUG_PREFIX}/STATE/{host}", ""]
    if found:
        found.insert(0, "# Sparkplug edge nodes, by the mapping files.")
    return found
