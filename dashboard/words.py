"""Every word that a user of the board reads, from the catalogues in `dashboard/text/`.

`ko.po` and `en.po` are gettext catalogues whose ids are short English names; placeholders are
`{name}`. Names of metrics, roles and KPIs come from the catalogues of `core`.
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
    """Read both catalogues, once per process."""
    return {language: Words(language, read_catalogue(language)) for language in LANGUAGES}


def read_catalogue(language: Language) -> dict[str, str]:
    """Id -> text of one catalogue file.

    Raises:
        ValueError: An id has no text; the file is part of the product and has to be mended.
    """
    path = _FOLDER / f"{language}.po"
    with path.open("rb") as file:
        catalogue = read_po(file, locale=language)
    texts = {str(message.id): str(message.string) for message in catalogue if message.id}
    empty = sorted(key for key, text in texts.items() if not text.strip())
    if empty:
        raise ValueError(f"{path}: no text for {', '.join(empty)}")
    return texts
