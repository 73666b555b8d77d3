"""Words in the two languages of the product."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Language = Literal["ko", "en"]
LANGUAGES: tuple[Language, Language] = ("ko", "en")


@dataclass(frozen=True, slots=True)
class Text:
    """One text in Korean and English; neither may be empty."""

    ko: str
    en: str

    def __post_init__(self) -> None:
        if not self.ko.strip() or not self.en.strip():
            raise ValueError(f"a text needs both languages: ko={self.ko!r} en={self.en!r}")

    def get(self, language: Language) -> str:
        """The text in `language`."""
        return self.ko if language == "ko" else self.en
