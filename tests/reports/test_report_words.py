"""Words of the reports: complete in both languages, used, and the only Korean of the room."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter

import pytest

from reports.reasons import reason_words
from reports.words import load_words

ROOM = Path(__file__).resolve().parents[2] / "reports"
HANGUL = re.compile(r"[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]")
KO, EN = load_words()["ko"], load_words()["en"]


def test_both_languages_say_the_same() -> None:
    assert KO.texts.keys() == EN.texts.keys()
    for key, text in KO.texts.items():
        names = [
            {name for _, name, _, _ in Formatter().parse(one) if name}
            for one in (text, EN.texts[key])
        ]
        if not key.startswith(("reason.", "doc.month")):
            assert names[0] == names[1], key
    assert [key for key, text in EN.texts.items() if HANGUL.search(text)] == []


def test_every_word_is_used() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in ROOM.glob("*.py"))
    prefixes = set(re.findall(r"[\"']([a-z_]+\.)(?:\{|[\"'] \+)", source))
    unused = [
        key
        for key in KO.texts
        if f'"{key}"' not in source
        and f"'{key}'" not in source
        and not any(key.startswith(prefix) for prefix in prefixes)
    ]
    assert unused == []


def test_there_is_no_korean_outside_the_catalogues() -> None:
    for path in [*ROOM.glob("*.py")]:
        assert not HANGUL.search(path.read_text(encoding="utf-8")), path


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (
            "pdu-1a/active_energy_kwh is covered for 71.2 % of the period; any figure needs 80%",
            "pdu-1a/active_energy_kwh 수집률 71.2 %",
        ),
        (
            "gpu-001/energy_kwh and 3 more together is covered for 90.0 % of the period; a final "
            "figure needs 95%",
            "gpu-001/energy_kwh 외 3개의 수집률 90.0 %",
        ),
        (
            "no factor 'grid_location' is in force for all of the period (config/factors.toml)",
            "기간 전체에 유효한 계수가 없습니다: grid_location",
        ),
        ("something that nobody has said before", "something that nobody has said before"),
    ],
)
def test_reasons_in_korean(reason: str, expected: str) -> None:
    assert reason_words(reason, KO) == expected
    assert reason_words(reason, EN) == reason
