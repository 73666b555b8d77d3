"""Names of what a figure is about, in the report's language."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from core.periods import parse_rfc3339
from reports.words import Words

Document = Mapping[str, Any]


def text_of(texts: Document, words: Words) -> str:
    """A text of the document in the report's language."""
    return str(texts[words.language])


def site_name(document: Document, words: Words) -> str:
    """The site's name."""
    return text_of(document["site"]["name"], words)


def month_name(document: Document, words: Words) -> str:
    """The month in words: `October 2026`."""
    year, month = str(document["month"]).split("-")
    return words("doc.month", year=year, month=int(month), name=words(f"month.{int(month)}"))


def array_names(document: Document, words: Words) -> dict[str, str]:
    """Solar array -> surface, direction and tilt; the same name twice gets its id beside it."""
    found: dict[str, str] = {"site": words("array.total")}
    for row in document["solar"]:
        if row["subject"] == "site":
            continue
        if row["azimuth_deg"] is None or row["tilt_deg"] is None:
            found[row["subject"]] = row["subject"]
            continue
        place = round(row["azimuth_deg"] / 45.0) % 8
        name = words(
            "array.name",
            surface=words(f"surface.{row['surface']}"),
            direction=words(f"direction.{place}"),
            tilt=f"{row['tilt_deg']:g}",
        )
        found[row["subject"]] = f"{name} ({row['subject']})" if name in found.values() else name
    return found


def subject_name(subject: str, arrays: Mapping[str, str]) -> str:
    """What a figure is about, empty for the site."""
    if subject == "site":
        return ""
    if subject in {"gpu", "npu"}:
        return subject.upper()
    return arrays.get(subject, subject)


def kpi_name(row: Document, words: Words, arrays: Mapping[str, str]) -> str:
    """A figure's name with its subject."""
    name = words("kpi.pue") if row["kpi"] == "pue" else text_of(row["name"], words)
    subject = subject_name(row["subject"], arrays)
    return f"{name} · {subject}" if subject else name


def local_time(text: str, document: Document) -> datetime:
    """A time of the document in the site's zone."""
    return parse_rfc3339(text).astimezone(ZoneInfo(document["period"]["zone"]))


def local_day(text: str, document: Document) -> date:
    """The local date of a time of the document."""
    return local_time(text, document).date()


def dated_factors(factors: Document) -> dict[str, list[Document]]:
    """The dated factors of a figure by name, without what else it says of its emissions."""
    found: dict[str, list[Document]] = {}
    for name, used in sorted(factors.items()):
        if isinstance(used, list):
            dated = [f for f in used if isinstance(f, Mapping) and {"value", "year"} <= f.keys()]
            if dated:
                found[name] = dated
    return found
