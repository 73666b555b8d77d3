"""Catalogues: complete in both languages, used, and the only place of Korean in the source."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter

import pytest
from babel.messages.pofile import read_po

from dashboard.words import load_words, read_catalogue

BOARD = Path(__file__).resolve().parents[2] / "dashboard"
HANGUL = re.compile(r"[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]")
# Ids are written out wherever they are used: as words("x"), t("x"), or in a table of ids.
_IN_PYTHON = re.compile(r"[\"']([a-z_]+(?:\.[a-z0-9_]+)*)[\"']")
_IN_TEMPLATE = re.compile(r'\bt\("([a-z0-9_.]+)"')
# A comment in the Korean catalogue at texts that are an abbreviation used in both languages.
SAME_WORD = "same word in both languages"
_IN_SCRIPT = re.compile(r"words\[['`]([a-z0-9_.]+)['`]\]")


def sources(*suffixes: str) -> list[Path]:
    return [
        path
        for path in sorted(BOARD.rglob("*"))
        if path.suffix in suffixes and "build" not in path.relative_to(BOARD).parts
    ]


def used_ids() -> set[str]:
    known = set(read_catalogue("en"))
    used: set[str] = set()
    for path in sources(".py"):
        used |= set(_IN_PYTHON.findall(path.read_text(encoding="utf-8"))) & known
    for path in sources(".html"):
        used |= set(_IN_TEMPLATE.findall(path.read_text(encoding="utf-8")))
    for path in sources(".js"):
        used |= set(_IN_SCRIPT.findall(path.read_text(encoding="utf-8")))
    return used


def marked_as_same_word() -> set[str]:
    marked = set()
    for path in sorted((BOARD / "text" / "ko").glob("*.po")):
        with path.open("rb") as file:
            marked |= {
                str(message.id)
                for message in read_po(file, locale="ko")
                if SAME_WORD in message.auto_comments
            }
    return marked


def test_both_languages_have_the_same_ids() -> None:
    assert read_catalogue("ko").keys() == read_catalogue("en").keys()


def test_every_id_is_used_and_every_used_id_exists() -> None:
    known = set(read_catalogue("en"))
    used = used_ids()
    assert known - used == set(), "ids that nothing uses"
    assert used - known == set(), "ids without a text"


def test_calls_with_a_literal_id_name_one_that_exists() -> None:
    known = set(read_catalogue("en"))
    call = re.compile(r"(?:\bwords|\bself\._t|\bself\.words|\bt)\(\s*\"([^\"]+)\"")
    for path in sources(".py", ".html"):
        for name in call.findall(path.read_text(encoding="utf-8")):
            assert name in known, (path.name, name)


@pytest.mark.parametrize("key", sorted(read_catalogue("en")))
def test_placeholders_agree(key: str) -> None:
    def fields(text: str) -> set[str]:
        return {name for _, name, _, _ in Formatter().parse(text) if name is not None}

    korean, english = (load_words()[language].texts[key] for language in ("ko", "en"))
    assert fields(korean) == fields(english)


def test_english_is_english_and_korean_is_korean() -> None:
    english, korean = load_words()["en"].texts, load_words()["ko"].texts
    foreign = [key for key, text in english.items() if HANGUL.search(text)]
    assert foreign == ["language.ko"]
    without = [key for key, text in korean.items() if not HANGUL.search(text)]
    assert set(without) == marked_as_same_word()


def test_there_is_no_korean_outside_the_catalogues() -> None:
    for path in sources(".py", ".html", ".js", ".css"):
        assert not HANGUL.search(path.read_text(encoding="utf-8")), path


def test_a_missing_id_or_value_is_an_error_not_a_gap() -> None:
    words = load_words()["ko"]
    with pytest.raises(KeyError):
        words("no.such.id")
    with pytest.raises(KeyError):
        words("age.late", other=1)
