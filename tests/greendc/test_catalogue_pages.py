"""Generated documentation is current."""

from pathlib import Path

import pytest

from core.reasons import REASONS
from greendc.catalogue_pages import PAGE, PAGES, render_reasons
from greendc.settings import known_variables


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_generated_page_is_current(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == PAGES[path](), "run make docs"


def test_every_reason_stands_once_on_its_page() -> None:
    text = render_reasons()
    assert [text.count(f"| `{code}` |") for code in REASONS] == [1] * len(REASONS)


def test_every_setting_is_documented() -> None:
    text = (PAGE.parent / "settings.md").read_text(encoding="utf-8")
    missing = [
        name
        for name in known_variables()
        if name not in text and f"`__{name.rpartition('__')[2]}`" not in text
    ]
    assert not missing
