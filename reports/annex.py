"""Methods, exclusions, changes, facts, fingerprints, and the annexes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.number_text import NO_VALUE, display_unit, format_number
from reports.layout import Block, Cell, cell, items, note, row, section, table
from reports.names import array_names, dated_factors, kpi_name, local_time, text_of
from reports.sections import amount_text
from reports.words import Words

Document = Mapping[str, Any]
_MOST_EVENTS = 20
_MOST_METERS = 6
_GLOSSARY = (
    "pue",
    "category",
    "wue",
    "ref",
    "cue",
    "ratio",
    "yield",
    "coverage",
    "provisional",
    "shares",
)


def annex_sections(document: Document, json_sha256: str, words: Words) -> list[dict[str, Any]]:
    """Everything behind the figures."""
    found = [
        _forecasts(document, words),
        _methods(document, words),
        _events(document, words),
    ]
    if document["revision"] > 1:
        found.append(_changes(document, words))
    if document["facts"]:
        found.append(_facts(document, words))
    found.append(_prints(document, json_sha256, words))
    annexes = [
        _daily(document, words),
        _formulas(document, words),
        section(words("head.glossary"), [items([words(f"glossary.{k}") for k in _GLOSSARY])]),
    ]
    return [*found, *({**annex, "annex": True} for annex in annexes)]


def _forecasts(document: Document, words: Words) -> dict[str, Any]:
    stored = document["forecasts"]
    if not stored:
        return section(words("head.forecast"), [note(words("note.no_forecasts"))])
    heads = [
        cell(words("col.kpi")),
        cell(words("col.step")),
        cell(words("col.issued"), right=True),
        cell(words("col.days"), right=True),
        cell(words("col.mae"), right=True),
        cell(words("col.hit"), right=True),
        cell(words("col.gain"), right=True),
        cell(words("col.model")),
    ]
    rows = [row(_forecast_cells(forecast, words)) for forecast in stored]
    widths = ["2fr", "auto", "1fr", "1fr", "1.4fr", "1.2fr", "1.4fr", "2fr"]
    return section(
        words("head.forecast"),
        [table(heads, rows, widths, dense=True), note(words("note.forecasts"))],
    )


def _forecast_cells(forecast: Document, words: Words) -> list[Cell]:
    record = forecast["record"]
    name = text_of(forecast["name"], words) if "name" in forecast else forecast["target"]
    unit = forecast.get("shown_unit", "")
    return [
        cell(name),
        cell(forecast["resolution"]),
        cell(forecast["issued_shown"], right=True),
        cell(str(record["days"]) if record else NO_VALUE, right=True),
        cell(f"{record['mae_shown']} {unit}".strip() if record else NO_VALUE, right=True),
        cell(record["coverage_80_shown"] if record else NO_VALUE, right=True),
        cell(f"{record['skill_shown']} %" if record else NO_VALUE, right=True),
        cell(", ".join(forecast["models"]) or "–"),
    ]


def _methods(document: Document, words: Words) -> dict[str, Any]:
    gate, boundary = document["gate"], document["boundary"]
    texts = [
        words("method.gate", final=gate["final_shown"], provisional=gate["provisional_shown"]),
        words("method.sum"),
        words("method.pm"),
        words("method.boundary", meters=_names(boundary["facility"], words)),
    ]
    texts += [
        words(f"method.{name}", meters=_names(boundary[name], words))
        for name in ("it", "water")
        if boundary[name]
    ]
    for name, used in dated_factors(document["factors"]).items():
        texts += [
            words(
                "method.factor",
                name=words.texts.get(f"factor.{name}", name),
                value=f"{factor['value']:g}",
                unit=factor["unit"],
                year=factor["year"],
                source=factor["source"],
            )
            for factor in used
        ]
    return section(words("head.methods"), [items(texts)], boxed=True)


def _names(meters: Sequence[str], words: Words) -> str:
    shown = ", ".join(meters[:_MOST_METERS])
    more = len(meters) - _MOST_METERS
    return words("method.more", names=shown, count=more) if more > 0 else shown or "–"


def _events(document: Document, words: Words) -> dict[str, Any]:
    events = [*document["events"], *document["silences"]]
    if not events:
        return section(words("head.events"), [note(words("note.no_events"))])

    def length(event: Document) -> float:
        start, end = (local_time(event[name], document) for name in ("start", "end"))
        return (end - start).total_seconds()

    # Changes of meters and resets are few and matter most; then the longest silences.
    changes = [e for e in events if e["kind"] not in {"missing_data", "counter_gap"}]
    rest = [e for e in events if e["kind"] in {"missing_data", "counter_gap"}]
    chosen = [*changes, *sorted(rest, key=length, reverse=True)][:_MOST_EVENTS]
    chosen.sort(key=lambda event: (event["start"], event["device"]))
    heads = [cell(words("col.when")), cell(words("col.what")), cell(words("col.effect"))]
    rows = [
        row(
            [
                cell(
                    f"{local_time(event['start'], document):%m-%d %H:%M} – "
                    f"{local_time(event['end'], document):%m-%d %H:%M}"
                ),
                cell(_event_text(event, words)),
                cell(words(f"effect.{event['kind']}")),
            ]
        )
        for event in chosen
    ]
    blocks: list[Block] = [table(heads, rows, ["auto", "1fr", "auto"], dense=True)]
    if len(events) > len(chosen):
        blocks.append(note(words("note.events_more", shown=len(chosen), count=len(events))))
    return section(words("head.events"), blocks)


def _event_text(event: Document, words: Words) -> str:
    unit = display_unit(event.get("amount_unit", ""))
    return words(
        f"event.{event['kind']}",
        device=event["device"],
        hours=event["hours_shown"],
        amount=f"{event['amount_shown']} {unit}".strip(),
    )


def _changes(document: Document, words: Words) -> dict[str, Any]:
    if not document["changes"]:
        return section(words("head.changes"), [note(words("note.no_changes"))])
    arrays = array_names(document, words)
    names = {(r["kpi"], r["subject"]): kpi_name(r, words, arrays) for r in document["kpis"]}
    heads = [
        cell(words("col.kpi")),
        cell(words("col.before"), right=True),
        cell(words("col.after"), right=True),
        cell(words("col.cause")),
        cell(words("col.author")),
    ]
    rows = [
        row(
            [
                cell(names.get((change["kpi"], change["subject"]), change["kpi"])),
                cell(change["before_shown"], right=True),
                cell(change["after_shown"], right=True, bold=True),
                cell(", ".join(words(f"cause.{cause}") for cause in change["cause"].split(", "))),
                cell(change["author"]),
            ]
        )
        for change in document["changes"]
    ]
    return section(words("head.changes"), [table(heads, rows, ["1fr", *["auto"] * 4], dense=True)])


def _facts(document: Document, words: Words) -> dict[str, Any]:
    heads = [cell(words("col.fact")), cell(words("col.standard")), cell(words("col.date"))]
    rows = [
        row([cell(text_of(fact["text"], words)), cell(fact["source"]), cell(fact["date"])])
        for fact in document["facts"]
    ]
    return section(words("head.facts"), [table(heads, rows, ["3fr", "2fr", "auto"], dense=True)])


def _prints(document: Document, json_sha256: str, words: Words) -> dict[str, Any]:
    inputs = document["fingerprints"]["inputs"]
    size = words(
        "print.inputs_size",
        series=format_number(inputs["series"], 0),
        intervals=format_number(inputs["intervals"], 0),
    )
    lines = [
        (words("print.json"), json_sha256),
        (f"{words('print.inputs')} ({size})", inputs["sha256"]),
        (words("print.configuration"), document["fingerprints"]["configuration"]["sha256"]),
    ]
    rows = [row([cell(name), {**cell(value), "mono": True}]) for name, value in lines]
    software = ", ".join(f"{n} {v}" for n, v in sorted(document["software"].items()))
    rows.append(row([cell(words("print.software")), cell(software)]))
    heads = [cell(words("col.item")), cell(words("col.hash"))]
    return section(
        words("head.prints"),
        [table(heads, rows, ["1fr", "auto"], dense=True), note(words("note.prints"))],
    )


def _daily(document: Document, words: Words) -> dict[str, Any]:
    days = document["daily"]
    columns = [
        (name, key)
        for name, key in (
            ("pue", ""),
            ("facility_energy", "col.facility"),
            ("it_energy", "col.it"),
            ("water", "col.water"),
            ("pv_energy", "col.pv"),
        )
        if name in days[0]
    ]
    heads = [cell(words("col.day"))]
    for _, key in columns:
        heads.append(cell(words(key) if key else "PUE", right=True))
        heads.append(cell(words("col.coverage"), right=True))
    rows = [
        row(
            [
                cell(local_label(day["day"])),
                *(
                    one
                    for name, _ in columns
                    for one in (
                        cell(amount_text(day[name], words), right=True, bold=name == "pue"),
                        cell(day[name]["coverage_shown"].removesuffix(" %"), right=True),
                    )
                ),
            ]
        )
        for day in days
    ]
    widths = ["auto", *["1fr", "auto"] * len(columns)]
    return section(words("head.daily"), [table(heads, rows, widths, dense=True)])


def local_label(day: str) -> str:
    """A date without its year: `10-21`."""
    return day[5:]


def _formulas(document: Document, words: Words) -> dict[str, Any]:
    heads = [
        cell(words("col.kpi")),
        cell(words("col.formula")),
        cell(words("col.version")),
        cell(words("col.standard")),
    ]
    rows = [
        row(
            [
                cell(text_of(method["name"], words)),
                cell(text_of(method["definition"], words)),
                cell(method["formula_version"].partition("/")[2] or method["formula_version"]),
                cell(method["source"]),
            ]
        )
        for method in document["methods"]
    ]
    return section(
        words("head.formulas"), [table(heads, rows, ["2fr", "4fr", "auto", "auto"], dense=True)]
    )
