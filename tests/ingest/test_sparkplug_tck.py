"""The table of the specification's assertions in the documentation names what exists."""

from __future__ import annotations

import csv
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "sparkplug.md"


def rows() -> list[tuple[list[str], str]]:
    """Ids of each row of the table and the case or test beside them."""
    table = PAGE.read_text("utf-8").partition("| id | shown by |")[2].partition("\n\n")[0]
    found = []
    for line in table.splitlines()[2:]:
        ids, _, shown = line.strip("|").partition(" | ")
        found.append((re.findall(r"`([a-z0-9A-Z-]+)`", ids), shown.strip()))
    return found


def test_every_id_is_one_of_the_specification_s(test_data: Path) -> None:
    file = test_data / "sparkplug-spec-3.0-examples" / "tck_assertions.csv"
    with file.open(encoding="utf-8", newline="") as lines:
        known = {row["tck_id"].removeprefix("tck-id-") for row in csv.DictReader(lines)}
    named = [name for ids, _ in rows() for name in ids]
    assert len(known) == 299
    assert len(named) >= 60
    assert len(named) == len(set(named))
    assert set(named) <= known


def test_every_case_and_test_exists() -> None:
    tests = "".join(
        path.read_text("utf-8")
        for folder in ("ingest", "integration")
        for path in (ROOT / "tests" / folder).glob("test_sparkplug_*.py")
    )
    for _, shown in rows():
        kind, name = re.fullmatch(r"(case|test) `(\w+)`", shown).groups()  # type: ignore[union-attr]
        if kind == "case":
            assert (ROOT / "tests" / "golden" / "sparkplug" / f"{name}.json").exists(), name
        else:
            assert f"def {name}(" in tests, name
