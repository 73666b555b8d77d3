"""The city of a site, short enough for a map: taken out of its address."""

from __future__ import annotations

from core.sites import Site
from core.text import Language

# Provinces (`north` and `south` are those of Jeolla, Chungcheong and Gyeongsang), which an address
# names before the city; metropolitan cities stand first themselves.
_PROVINCES = frozenset(
    {
        "chungbuk",
        "chungnam",
        "gangwon",
        "gyeongbuk",
        "gyeonggi",
        "gyeongnam",
        "jeju",
        "jeonbuk",
        "jeonnam",
        "north",
        "south",
    }
)
# The syllables si (city) and gun (county) at the end of a Korean name.
_ENDINGS = ("\uc2dc", "\uad70")
_ENGLISH_ENDINGS = ("-si", "-gun")


def city_name(site: Site, language: Language) -> str:
    """The city or county of a site: `Ansan` of `Sangnok-gu, Ansan, Gyeonggi`.

    Korean addresses go from the largest place to the smallest, English ones the other way; both of
    a site name the same places. Where that does not hold, the whole address is given.
    """
    if site.place is None:
        return site.name.get(language)
    english = [part.strip() for part in site.place.en.split(",")][::-1]
    at = 1 if len(english) > 1 and _is_province(english[0]) else 0
    if language == "en":
        return _without(english[at], _ENGLISH_ENDINGS)
    korean = site.place.ko.split()
    return _without(korean[at], _ENDINGS) if at < len(korean) else site.place.ko


def _is_province(name: str) -> bool:
    word = name.lower().removesuffix("-do").split()[0]
    return word in _PROVINCES


def _without(name: str, endings: tuple[str, ...]) -> str:
    for ending in endings:
        if name.endswith(ending) and len(name) > len(ending) + 1:
            return name.removesuffix(ending)
    return name
