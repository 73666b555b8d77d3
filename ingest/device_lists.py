"""Lists of device names that gateways send again and again, each kept as one object.

What follows (positions in the site's tables) is looked up once a list and not once a name.
"""

from __future__ import annotations

from collections.abc import Sequence
from sys import intern
from typing import Annotated, Any

import msgspec

from ingest.messages import DeviceList

# All lists together, about: those of every gateway of a country fit, and whoever makes up names
# without end fills no more.
_MOST_BYTES = 64 * 1024 * 1024
# A name of a known device costs its place in the list; text and list are counted with reserve.
_COST = 5


class DeviceLists:
    """The lists of one decoder."""

    def __init__(self, name_chars: int) -> None:
        name: Any = Annotated[str, msgspec.Meta(max_length=name_chars)]
        self._names: Any = msgspec.json.Decoder(list[name])
        self._of_text: dict[bytes, DeviceList] = {}
        # First name -> the names of the last such message, and their list once they came again.
        self._of_turn: dict[str, tuple[list[str], DeviceList | None]] = {}
        self._bytes = 0

    def of_text(self, text: bytes) -> DeviceList:
        """The names in a JSON list.

        Raises:
            msgspec.DecodeError: It is no list of names.
        """
        found = self._of_text.get(text)
        if found is None:
            found = _kept(self._names.decode(text))
            self._make_room(_COST * len(text))
            self._of_text[text] = found
        return found

    def in_turn(self, names: list[str]) -> Sequence[str]:
        """The names of a message's rows: one object where a gateway repeats them in turn."""
        known = self._of_turn.get(names[0])
        if known is not None and known[0] == names:
            found = known[1]
            if found is None:
                found = _kept(names)
                self._of_turn[names[0]] = (list(found), found)
            return found
        self._make_room(_COST * sum(map(len, names)))
        self._of_turn[names[0]] = (names, None)
        return names

    def _make_room(self, size: int) -> None:
        if self._bytes + size > _MOST_BYTES:
            self._of_text.clear()
            self._of_turn.clear()
            self._bytes = 0
        self._bytes += size


def _kept(names: Sequence[str]) -> DeviceList:
    # The names of the site's tables, where they are in them: one text for each device.
    return DeviceList(map(intern, names))
