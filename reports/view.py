"""A month's document as the pages of one language. No figure is worked out here.

Every number that is printed is a `shown` string of the document; what is put together are words.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from reports.annex import annex_sections
from reports.kpi_table import kpi_section
from reports.names import dated_factors, local_day, local_time, month_name, site_name
from reports.sections import figure_sections
from reports.words import Words

Document = Mapping[str, Any]
_SHORT_HASH = 16


def build_view(document: Document, json_sha256: str, words: Words) -> dict[str, Any]:
    """The view of one language.

    Args:
        document: The month's document with its `revision`.
        json_sha256: Hash of the JSON file that the report belongs to.
    """
    revision = document["revision"]
    site, month = site_name(document, words), month_name(document, words)
    sections = [
        kpi_section(document, words),
        *figure_sections(document, words),
        *annex_sections(document, json_sha256, words),
    ]
    return {
        "lang": words.language,
        "title": words("doc.title", site=site, month=month),
        "kicker": words("doc.kicker"),
        "site": site,
        "month": month,
        "sign": [words(f"sign.{who}") for who in ("author", "review", "approve")],
        "facts": _facts(document, json_sha256, words),
        "summary": _summary(document, words),
        "footer": [
            words("simulated.footer") if document["simulated"] else "",
            words("footer.page", site=site, month=document["month"], revision=revision),
        ],
        "watermark": [words("simulated.mark"), words("simulated.mark_second")]
        if document["simulated"]
        else [],
        "sections": _numbered(sections),
        "attachment": file_name(document, "json"),
        "attachment_text": words("doc.description"),
    }


def file_name(document: Document, ending: str, language: str = "") -> str:
    """Name of a file of the report: `kakao-ansan_2026-10_r1_ko.pdf`."""
    tail = f"_{language}" if language else ""
    return f"{document['site']['id']}_{document['month']}_r{document['revision']}{tail}.{ending}"


def _numbered(sections: list[dict[str, Any]]) -> list[dict[str, Any]]:
    # Annexes carry their letters.
    number = 0
    for one in sections:
        if not one.get("annex"):
            number += 1
            one["heading"] = f"{number}. {one['heading']}"
    return sections


def _facts(document: Document, json_sha256: str, words: Words) -> list[dict[str, Any]]:
    period = document["period"]
    boundary = {name: len(meters) for name, meters in document["boundary"].items()}
    last = local_time(period["end"], document) - timedelta(seconds=1)
    energy = next(
        (f for f in document["completeness"]["families"] if f["family"] == "energy"), None
    )
    data = "simulated" if document["simulated"] else "measured"
    pairs = [
        (
            "period",
            words(
                "fact.period_value",
                start=local_day(period["start"], document).isoformat(),
                end=f"{last:%m-%d}",
                zone=period["zone_name"],
            ),
        ),
        ("data", words(f"data.{data}")),
        ("boundary", words("fact.boundary_value", **boundary)),
        ("category", words(f"category.{document['pue_category']}")),
        (
            "coverage",
            words(
                "fact.coverage_value",
                coverage=energy["shown"] if energy else "—",
                gate=document["gate"]["final_shown"],
            ),
        ),
        ("factor", _factor(document, words)),
        ("revision", words("fact.revision_value", revision=document["revision"])),
        ("hash", f"{json_sha256[:_SHORT_HASH]}…{json_sha256[-_SHORT_HASH:]}"),
    ]
    return [
        {"label": words(f"fact.{name}"), "value": value, "mono": name == "hash"}
        for name, value in pairs
    ]


def _factor(document: Document, words: Words) -> str:
    used = dated_factors(document["factors"]).get("grid_location")
    if not used:
        return words("fact.no_factor")
    return " · ".join(f"{f['value']:g} {f['unit']} ({f['year']})" for f in used)


def _summary(document: Document, words: Words) -> str:
    rows = {(row["kpi"], row["subject"]): row for row in document["kpis"]}
    sentences = []
    for key, kpis in (
        ("summary.pue", ("pue",)),
        ("summary.wue", ("wue", "rain_reuse_ratio")),
        ("summary.pv", ("pv_energy", "self_sufficiency")),
    ):
        parts = []
        for name, kpi in zip(
            (key, {"wue": "summary.rain", "pv_energy": "summary.sufficiency"}.get(kpis[0], "")),
            kpis,
            strict=False,
        ):
            row = rows.get((kpi, "site"))
            if row is None or row["verdict"] == "refused":
                continue
            value = row["shown"]
            if row["verdict"] == "provisional":
                value = f"{words('verdict.provisional')} {value}"
            text = words(name, value=value)
            target = row["target"]
            if target and target["met"] is not None:
                met = words("verdict.met" if target["met"] else "verdict.missed")
                text += f" ({words('summary.target', value=target['shown'], met=met)})"
            parts.append(text)
        if parts:
            sentences.append(", ".join(parts) + ".")
    if document["refused"]:
        sentences.append(words("summary.refused", count=len(document["refused"])))
    return " ".join(text[:1].upper() + text[1:] for text in sentences)
