"""The sections with pictures: PUE by day, energy, water, solar power, completeness."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.number_text import NO_VALUE
from reports import charts
from reports.layout import Block, cell, chart, note, row, section, table
from reports.names import array_names, month_name
from reports.words import Words

Document = Mapping[str, Any]


def figure_sections(document: Document, words: Words) -> list[dict[str, Any]]:
    """Those that the site has data for."""
    found = []
    if any("pue" in day for day in document["daily"]):
        found.append(_pue(document, words))
    if document["energy"]:
        found.append(_energy(document, words))
    if document["water"]:
        found.append(_water(document, words))
    if document["solar"]:
        found.append(_solar(document, words))
    if document["accelerators"]:
        found.append(_accelerators(document, words))
    if document["completeness"]["families"]:
        found.append(_completeness(document, words))
    return found


def amount_text(amount: Document, words: Words) -> str:
    """An amount as it is printed, with its verdict where that is not final."""
    if amount["verdict"] == "provisional":
        return f"{words('verdict.provisional')} {amount['shown']}"
    return str(amount["shown"])


def _percent(amount: Document) -> str:
    # The heading of the column holds the sign.
    return str(amount["coverage_shown"]).removesuffix(" %")


def _pue(document: Document, words: Words) -> dict[str, Any]:
    days = document["daily"]
    missing = sum(1 for day in days if "pue" not in day or day["pue"]["value"] is None)
    target = next((t for t in document["targets"] if t["kpi"] == "pue"), None)
    alt = words(
        "alt.pue",
        month=month_name(document, words),
        target=words("alt.pue_target", value=target["shown"]) if target else "",
        missing=missing,
    )
    return section(
        words("head.pue"),
        [chart("daily_pue", alt)],
        sub=words(
            "sub.pue", category=document["pue_category"], low=charts.pue_axis_start(document)
        ),
    )


def _energy(document: Document, words: Words) -> dict[str, Any]:
    energy = document["energy"]
    parts = energy["parts"]
    rows = [
        row(
            [
                cell(words(f"part.{part['part']}")),
                cell(amount_text(part, words), right=True, bold=True),
                cell(part["share_shown"], right=True),
                cell(_percent(part), right=True),
            ]
        )
        for part in parts
    ]
    facility = energy["facility"]
    rows.append(
        row(
            [
                cell(words("part.facility"), bold=True),
                cell(amount_text(facility, words), right=True, bold=True),
                cell(""),
                cell(_percent(facility), right=True),
            ],
            kind="sum",
        )
    )
    heads = [
        cell(words("col.part")),
        cell(words("col.energy"), right=True),
        cell(words("col.share"), right=True),
        cell(words("col.coverage"), right=True),
    ]
    blocks: list[Block] = []
    drawn = [part for part in parts if part["value"]]
    if drawn and facility["value"] is not None:
        said = ", ".join(
            f"{words('part.' + p['part'])} {p['shown']} kWh ({p['share_shown']} %)" for p in drawn
        )
        blocks.append(chart("energy_parts", words("alt.energy", parts=said)))
    blocks.append(table(heads, rows, ["1fr", "1fr", "1fr", "1fr"], dense=True))
    blocks.append(note(words("note.losses" if energy["adds_up"] else "note.overlap")))
    return section(words("head.energy"), blocks, sub=words("sub.energy", total=facility["shown"]))


def _water(document: Document, words: Words) -> dict[str, Any]:
    water = document["water"]
    heads = [
        cell(words("col.source")),
        cell("m³", right=True),
        cell(words("col.share"), right=True),
        cell(words("col.coverage"), right=True),
    ]
    rows = [
        row(
            [
                cell(words(f"source.{source['source']}")),
                cell(amount_text(source, words), right=True, bold=True),
                cell(source["share_shown"], right=True),
                cell(_percent(source), right=True),
            ]
        )
        for source in water["sources"]
    ]
    total = water["total"]
    rows.append(
        row(
            [
                cell(words("source.total"), bold=True),
                cell(amount_text(total, words), right=True, bold=True),
                cell(""),
                cell(_percent(total), right=True),
            ],
            kind="sum",
        )
    )
    blocks = [table(heads, rows, ["1fr", "1fr", "1fr", "1fr"], dense=True)]
    balance = water["rain_balance"]
    has_rain = any(r["kpi"] == "rain_unexplained" for r in document["kpis"])
    if balance:
        said = ", ".join(
            f"{words('rain.' + e['name'])} {e['shown']} m³" for e in balance["entries"]
        )
        blocks.append(
            {"kind": "subheading", "text": words("head.balance"), "sub": words("sub.balance")}
        )
        blocks.append(chart("rain_balance", words("alt.rain", parts=said)))
        blocks.append(note(words("note.top_up")))
    elif has_rain:
        blocks.append(note(words("note.balance_refused")))
    return section(words("head.water"), blocks, sub=words("sub.water", total=total["shown"]))


def _solar(document: Document, words: Words) -> dict[str, Any]:
    names = array_names(document, words)
    heads = [
        cell(words("col.array")),
        cell(words("col.rated"), right=True),
        cell(words("col.energy"), right=True),
        cell(words("col.yield"), right=True),
        cell(words("col.ratio"), right=True),
    ]
    rows = [
        row(
            [
                cell(names[array["subject"]]),
                cell(array["rated_shown"], right=True),
                cell(amount_text(array["pv_energy"], words), right=True, bold=True),
                cell(amount_text(array["pv_specific_yield"], words), right=True),
                cell(amount_text(array["pv_performance_ratio"], words), right=True),
            ],
            kind="sum" if array["subject"] == "site" else "",
        )
        for array in document["solar"]
    ]
    said = ", ".join(
        f"{names[a['subject']]} {a['pv_energy']['shown']} kWh"
        for a in document["solar"]
        if a["subject"] != "site"
    )
    return section(
        words("head.solar"),
        [
            chart("solar_arrays", words("alt.solar", parts=said)),
            table(heads, rows, ["2fr", "1fr", "1fr", "1fr", "1fr"], dense=True),
        ],
    )


def _accelerators(document: Document, words: Words) -> dict[str, Any]:
    heads = [
        cell(words("col.kind")),
        cell(words("col.count"), right=True),
        cell(words("col.energy"), right=True),
        cell(words("col.coverage"), right=True),
        cell(words("col.models")),
    ]
    rows = [
        row(
            [
                cell(kind["kind"].upper()),
                cell(kind["count_shown"], right=True),
                cell(amount_text(kind["energy"], words), right=True, bold=True),
                cell(_percent(kind["energy"]), right=True),
                cell(", ".join(kind["models"]) or NO_VALUE),
            ]
        )
        for kind in document["accelerators"]
    ]
    return section(
        words("head.accelerators"),
        [
            table(heads, rows, ["1fr", "1fr", "1fr", "1fr", "2fr"], dense=True),
            note(words("note.accelerators")),
        ],
    )


def _completeness(document: Document, words: Words) -> dict[str, Any]:
    families = document["completeness"]["families"]
    heads = [
        cell(words("col.family")),
        cell(words("col.devices"), right=True),
        cell(words("col.coverage"), right=True),
        cell(words("col.worst")),
    ]
    rows = [
        row(
            [
                cell(words(f"family.{family['family']}")),
                cell(family["devices_shown"], right=True),
                cell(family["shown"].removesuffix(" %"), right=True, bold=True),
                cell(", ".join(f"{w['series']} {w['shown']}" for w in family["worst"][:3]) or "–"),
            ]
        )
        for family in families
    ]
    said = ", ".join(f"{words('family.' + f['family'])} {f['shown']}" for f in families)
    return section(
        words("head.completeness"),
        [
            chart("completeness_strip", words("alt.strip", parts=said)),
            table(heads, rows, ["auto", "auto", "auto", "1fr"], dense=True),
        ],
        sub=words("sub.completeness"),
    )
