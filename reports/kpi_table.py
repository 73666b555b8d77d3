"""The table of key figures: value, target, verdict, coverage, ±, basis and sources of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.number_text import NO_VALUE
from reports.layout import cell, note, row, section, table
from reports.names import array_names, dated_factors, kpi_name
from reports.reasons import reason_words
from reports.words import Words

Document = Mapping[str, Any]
_NONE = "–"
_WIDTHS = ("2.75fr", "1.4fr", "0.95fr", "0.65fr", "0.95fr", "1.4fr", "1.05fr", "1.05fr", "1.65fr")
_COLUMNS = len(_WIDTHS)


def kpi_section(document: Document, words: Words) -> dict[str, Any]:
    """Section 1."""
    arrays = array_names(document, words)
    rows: list[dict[str, Any]] = []
    group = ""
    figures = list(document["kpis"])
    trailing = document["trailing_12_months"]
    for figure in figures:
        if figure["group"] != group:
            group = figure["group"]
            rows.append(
                row([cell(words(f"group.{group}"), bold=True, span=_COLUMNS)], kind="group")
            )
        rows.append(_figure_row(figure, kpi_name(figure, words, arrays), words))
        if figure["kpi"] == "pue" and trailing is not None:
            rows.append(_figure_row(trailing, words("kpi.trailing"), words))
    heads = [
        cell(words("col.kpi")),
        cell(words("col.value"), right=True),
        cell(words("col.unit")),
        cell(words("col.target"), right=True),
        cell(words("col.verdict")),
        cell(words("col.coverage"), right=True),
        cell(words("col.pm"), right=True),
        cell(words("col.basis")),
        cell(words("col.shares")),
    ]
    widths = list(_WIDTHS)
    kinds = {figure["kpi"] for figure in figures}
    notes = [words("note.interim")] if "pue" in kinds else []
    if "pue" in kinds and trailing is None:
        notes.append(words("note.trailing"))
    if any(figure["group"] == "accelerators" for figure in figures):
        notes.append(words("note.accelerators"))
    notes.append(words("note.annex"))
    blocks = [table(heads, rows, widths, dense=True)]
    if why := _provisional_reasons(figures, words, arrays):
        blocks.append(note(why))
    blocks.append(note(" ".join(notes)))
    return section(words("head.kpis"), blocks)


def _provisional_reasons(
    figures: Sequence[Document], words: Words, arrays: Mapping[str, str]
) -> str:
    """Why figures are provisional, those of one reason together; empty where none is."""
    by_reason: dict[str, list[str]] = {}
    for figure in figures:
        if figure["verdict"] == "provisional":
            name = kpi_name(figure, words, arrays)
            by_reason.setdefault(figure["reason"], []).append(name)
    return " ".join(
        words(
            "note.provisional",
            names=", ".join(names),
            reason=reason_words(reason, words),
        )
        for reason, names in by_reason.items()
    )


def _figure_row(figure: Document, name: str, words: Words) -> dict[str, Any]:
    if figure["verdict"] == "refused":
        why = f"{words('verdict.refused')}: {reason_words(figure['reason'], words)}"
        return row(
            [
                cell(name),
                cell(figure["shown"], right=True, bold=True),
                cell(""),
                cell(""),
                cell(why, span=5),
            ]
        )
    target = figure["target"]
    verdict, mark = _NONE, ""
    if target and target["met"] is not None:
        mark = "met" if target["met"] else "missed"
        verdict = words(f"verdict.{mark}")
    value = figure["shown"]
    if figure["verdict"] == "provisional":
        value = f"{words('verdict.provisional')} {value}"
    shares = " · ".join(
        f"{words('share.' + share['source'])} {share['shown']}" for share in figure["shares_shown"]
    )
    return row(
        [
            cell(name),
            cell(value, right=True, bold=True),
            cell(figure["shown_unit"] or _NONE),
            cell(target["shown"] if target else _NONE, right=True),
            cell(verdict, mark=mark),
            cell(figure["coverage_shown"], right=True),
            cell(figure["uncertainty_shown"] or _NONE, right=True),
            cell(_basis(figure, words)),
            cell(shares or NO_VALUE),
        ]
    )


def _basis(figure: Document, words: Words) -> str:
    parts = []
    if figure["category"] is not None:
        parts.append(words("basis.category", category=figure["category"]))
    years = dict.fromkeys(
        str(factor["year"]) for used in dated_factors(figure["factors"]).values() for factor in used
    )
    if years:
        parts.append(words("basis.factor", year=", ".join(years)))
    return " · ".join(parts) or _NONE
