"""What differs between two revisions of a month, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.number_text import NO_VALUE

Document = Mapping[str, Any]
_Key = tuple[str, str, int | None]


def list_changes(before: Document, after: Document, author: str) -> list[dict[str, Any]]:
    """One entry for each figure whose value or verdict differs, in the order of `after`."""
    old, new = _rows(before), _rows(after)
    general = [
        name
        for name in ("inputs", "configuration")
        if before["fingerprints"][name]["sha256"] != after["fingerprints"][name]["sha256"]
    ]
    found = []
    for key in dict.fromkeys([*new, *old]):
        a, b = old.get(key), new.get(key)
        if _said(a) == _said(b):
            continue
        kpi, subject, category = key
        found.append(
            {
                "kpi": kpi,
                "subject": subject,
                "category": category,
                "before": a["value"] if a else None,
                "after": b["value"] if b else None,
                "before_shown": a["shown"] if a else NO_VALUE,
                "after_shown": b["shown"] if b else NO_VALUE,
                "cause": ", ".join([*_own_causes(a, b), *general] or ["inputs"]),
                "author": author,
            }
        )
    return found


def _rows(document: Document) -> dict[_Key, Document]:
    return {(row["kpi"], row["subject"], row["category"]): row for row in document["kpis"]}


def _said(row: Document | None) -> tuple[Any, ...] | None:
    # Six decimals, as the document is written.
    if row is None:
        return None
    value = row["value"]
    return (None if value is None else f"{value:.6f}", row["verdict"])


def _own_causes(a: Document | None, b: Document | None) -> list[str]:
    if a is None or b is None:
        return []
    causes = []
    if a["formula_version"] != b["formula_version"]:
        causes.append("formula")
    if a["factors"] != b["factors"]:
        causes.append("factors")
    return causes
