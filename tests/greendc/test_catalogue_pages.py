"""Generated documentation is current."""

from greendc.catalogue_pages import PAGE, render_metric_catalogue
from greendc.settings import known_variables


def test_the_metric_catalogue_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == render_metric_catalogue(), "run make docs"


def test_every_setting_is_documented() -> None:
    text = (PAGE.parent / "settings.md").read_text(encoding="utf-8")
    missing = [
        name
        for name in known_variables()
        if name not in text and f"`__{name.rpartition('__')[2]}`" not in text
    ]
    assert not missing
