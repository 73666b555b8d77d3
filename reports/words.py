"""Every word that a report prints beside its figures, from the catalogues in `reports/text/`."""

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
        self.texts = texts

    def __call__(self, key: str, /, **values: object) -> str:
        """The text of this id.

        Raises:
            KeyError: No such id, or a placeholder without a value.
        """
        text = self.texts[key]
        return text.format(**values) if values else text


@lru_cache(maxsize=1)
def load_words() -> dict[Language, Words]:
    """Read the catalogues of both languages, once per process."""
    found = {}
    for language in LANGUAGES:
        with (_FOLDER / f"{language}.po").open("rb") as file:
            catalogue = read_po(file, locale=language)
        texts = {str(message.id): str(message.string) for message in catalogue if message.id}
        if empty := sorted(key for key, text in texts.items() if not text.strip()):
            raise ValueError(f"reports/text/{language}.po: no text for {', '.join(empty)}")
        found[language] = Words(language, texts)
    return found
