"""Every word that a user of the board reads, from the catalogues in `dashboard/text/`.

`ko/*.po` and `en/*.po` are gettext catalogues, one file for each part of the board; ids are short
English names and unique over all files; placeholders are `{name}`. Names of metrics, roles and KPIs
come from the catalogues of `core`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from babel.messages.pofile import read_po

from core.text import LANGUAGES, Language

_FOLDER = Path(__file__).parent / "text"


class Words:
    """The catalogue of one language; call it with an id and the values of its placeholders."""

    def __init__(self, language: Language, texts: Mapping[str, str]) -> None:
        self.language: Language = language
        self._texts = texts

    def __call__(self, key: str, /, **values: object) -> str:
        """The text of this id.

        Raises:
            KeyError: No such id, or a placeholder without a value.
        """
        text = self._texts[key]
        return text.format(**values) if values else text

    @property
    def texts(self) -> Mapping[str, str]:
        """Id -> text with its placeholders."""
        return self._texts


@lru_cache(maxsize=1)
def load_words() -> dict[Language, Words]:
    """Read the catalogues of both languages, once per process."""
    return {language: Words(language, read_catalogue(language)) for language in LANGUAGES}


def read_catalogue(language: Language) -> dict[str, str]:
    """Id -> text of one language, from all of its files.

    Raises:
        ValueError: An id has no text, or stands in two files; they are part of the product and have
            to be mended.
    """
    texts: dict[str, str] = {}
    for path in sorted((_FOLDER / language).glob("*.po")):
        with path.open("rb") as file:
            catalogue = read_po(file, locale=language)
        found = {str(message.id): str(message.string) for message in catalogue if message.id}
        if empty := sorted(key for key, text in found.items() if not text.strip()):
            raise ValueError(f"{path}: no text for {', '.join(empty)}")
        if twice := sorted(found.keys() & texts.keys()):
            raise ValueError(f"{path}: {', '.join(twice)} stand in another file too")
        texts |= found
    return texts
