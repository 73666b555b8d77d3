"""The content of a month: every figure that a report prints, as one document.

The document is plain data for `core.canonical`: the same stored intervals, site file, factors and
formulas give the same bytes anywhere and at any time. It holds no time of its making.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from analytics import water
from analytics.boundary import WATER_SUPPLIES, generators, grid_feeds, it_meters, pv_arrays
from analytics.electricity import facility_side, it_side, pv_terms
from analytics.energy import FlowReader
from analytics.factors import Factors
from analytics.figures import Question
from analytics.kpis import FORMULAS, answer
from analytics.month.amounts import amount_rows
from analytics.month.completeness import (
    completeness,
    day_labels,
    event_rows,
    has_any_data,
    silences,
)
from analytics.month.forecasts import forecast_rows
from analytics.month.inputs import ReadInputs
from analytics.month.kpi_rows import kpi_row, kpi_rows, text_json
from analytics.month.tables import accelerator_table, energy_table, solar_table, water_table
from analytics.sides import Side, Term
from analytics.tiling import Tiling
from core.canonical import sha256_of
from core.errors import InsufficientDataError
from core.kpi_methods import METHODS
from core.kpis import KPIS, KpiValue
from core.number_text import format_kpi, format_share
from core.periods import Period, format_time, local_midnight, local_month
from core.ports import RollupRecords, TimeSeriesStore
from core.quality import Verdict
from core.sites import Site

SCHEMA = "greendc.month/1"
_MONTH = re.compile(r"\A(\d{4})-(0[1-9]|1[0-2])\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class MonthContent:
    """A month's document; nothing in it is changed afterwards.

    Attributes:
        month: `YYYY-MM`, a local calendar month of the site.
        document: What `core.canonical` writes.
    """

    site: str
    month: str
    document: Mapping[str, Any]

    @property
    def sha256(self) -> str:
        """Hash of the content: two months of one hash say the same."""
        return sha256_of(self.document)


def parse_month(text: str) -> tuple[int, int]:
    """Year and month of `YYYY-MM`.

    Raises:
        ValueError: Another form.
    """
    match = _MONTH.match(text)
    if match is None or match[1] == "0000":
        raise ValueError(f"{text!r} is no month like 2026-10")
    return int(match[1]), int(match[2])


def build_month(
    store: TimeSeriesStore,
    records: RollupRecords,
    site: Site,
    month: str,
    *,
    now: datetime,
    factors: Factors | None = None,
) -> MonthContent:
    """The content of a month that has ended.

    Args:
        month: `YYYY-MM`.
        factors: Dated emission factors by name.

    Raises:
        InsufficientDataError: The site is only planned, the month has not ended, or there are no
            data of it.
        ValueError: `month` is not of the form.
        StoreError: The store does not answer.
    """
    period = local_month(*parse_month(month), site.zone)
    if site.status == "planned":
        raise InsufficientDataError(f"site {site.id} is planned and sends no data yet")
    if period.end > now:
        raise InsufficientDataError(
            f"{month} has not ended at site {site.id}: it ends at {format_time(period.end)} "
            f"({site.zone.key}); a report holds whole months"
        )
    inputs = ReadInputs(store, records)
    question = _question(inputs, site, period, now, factors or {})
    # So that meters of an hour's silence at a border and those of a whole month read alike.
    if not has_any_data(site, question.reader):
        raise InsufficientDataError(
            f"the store holds no data of site {site.id} in {month}; import or replay them first"
        )
    tiling = Tiling.of(period, site.zone, "day")
    daily = Question(
        site, tiling, now, site.pue_category, question.reader.retiled(tiling), factors or {}
    )
    values = answer(question, report_kpis(site))
    first_day = period.start.astimezone(site.zone).date()
    rows = kpi_rows(site, values, first_day)
    events = event_rows(site, inputs.read_events(site.id, period))
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "month": month,
        "period": _period_json(period, site, len(tiling.periods)),
        "site": _site_json(site),
        "simulated": site.is_simulated,
        "pue_category": site.pue_category,
        "gate": _gate_json(site),
        "boundary": _boundary_json(site),
        "completeness": completeness(site, question.reader, daily.reader),
        "kpis": rows,
        "refused": [
            {"kpi": row["kpi"], "subject": row["subject"], "reason": row["reason"]}
            for row in rows
            if row["verdict"] == Verdict.REFUSED.value
        ],
        "trailing_12_months": _trailing(inputs, site, period, now),
        "energy": energy_table(question),
        "water": water_table(question, _row_of(values, "rain_unexplained")),
        "solar": solar_table(question, values),
        "accelerators": accelerator_table(question, values),
        "daily": _daily(daily, site),
        "events": events,
        "silences": silences(site, question.reader),
        "targets": _targets(site, first_day),
        "forecasts": forecast_rows(store, site, period),
        "methods": _methods(rows),
        "factors": _factors(rows),
        "facts": [
            {"text": text_json(f.text), "source": f.source, "date": f.date.isoformat()}
            for f in site.facts
        ],
    }
    document["fingerprints"] = {
        "inputs": inputs.fingerprint(),
        "configuration": {"sha256": sha256_of(_plain(site))},
    }
    return MonthContent(site.id, month, document)


def report_kpis(site: Site) -> list[str]:
    """Every KPI that the site's devices allow to ask for, also those that are always refused."""
    return [
        name
        for name in KPIS
        if name in FORMULAS and all(need(site, site.pue_category) for need in FORMULAS[name].needs)
    ]


def _question(
    inputs: ReadInputs,
    site: Site,
    period: Period,
    now: datetime,
    factors: Factors,
) -> Question:
    tiling = Tiling.of(period, site.zone, "period")
    # ReadInputs has the two reading methods that a question uses, not the whole of the ports.
    reader = FlowReader(inputs, inputs, site, tiling)  # type: ignore[arg-type]
    return Question(site, tiling, now, site.pue_category, reader, factors)


def _row_of(values: Sequence[KpiValue], kpi: str) -> KpiValue | None:
    return next((v for v in values if v.kpi == kpi and v.subject == "site"), None)


def _period_json(period: Period, site: Site, days: int) -> dict[str, Any]:
    return {
        "start": format_time(period.start),
        "end": format_time(period.end),
        "zone": site.zone.key,
        "zone_name": period.start.astimezone(site.zone).tzname() or site.zone.key,
        "days": days,
    }


def _site_json(site: Site) -> dict[str, Any]:
    return {
        "id": site.id,
        "name": text_json(site.name),
        "operator": site.operator,
        "place": text_json(site.place) if site.place else None,
        "data": site.data,
        "contract_power_kw": site.contract_power_kw,
    }


def _gate_json(site: Site) -> dict[str, Any]:
    return {
        "final": site.gate.final,
        "provisional": site.gate.provisional,
        "final_shown": format_share(site.gate.final, 0),
        "provisional_shown": format_share(site.gate.provisional, 0),
    }


def _boundary_json(site: Site) -> dict[str, list[str]]:
    """Meters on the boundary of each sum, by name."""
    category = site.pue_category
    groups = {
        "facility": [*grid_feeds(site), *generators(site), *pv_arrays(site)],
        "it": it_meters(site, category),
        "water": [d for d in site.in_family("water") if d.latest.role in WATER_SUPPLIES],
    }
    return {name: [device.id for device in devices] for name, devices in groups.items()}


def _trailing(inputs: ReadInputs, site: Site, period: Period, now: datetime) -> Any:
    """PUE of the twelve months that end with this one; None while the meters are younger."""
    last = period.end.astimezone(site.zone).date()
    start = local_midnight(date(last.year - 1, last.month, 1), site.zone)
    meters = [*grid_feeds(site), *generators(site), *it_meters(site, site.pue_category)]
    if not meters or min(d.states[0].valid_from for d in meters) > start:
        return None
    question = _question(inputs, site, Period(start, period.end), now, {})
    values = answer(question, ["pue"])
    return kpi_row(site, values[0], start.astimezone(site.zone).date()) if values else None


def _daily(question: Question, site: Site) -> list[dict[str, Any]]:
    """The daily annex: PUE, energies, water and solar power of each local day."""
    columns: dict[str, list[Any]] = {}
    facility, it = facility_side(question), it_side(question)
    total_water = water.total_water_side(question)
    solar = Side("pv", question.tiling, _anchored_pv(question))
    for name, side, unit in (
        ("facility_energy", facility, "kWh"),
        ("it_energy", it, "kWh"),
        ("water", total_water, "m3"),
        ("pv_energy", solar, "kWh"),
    ):
        if side.terms:
            columns[name] = list(amount_rows(question, side, unit))
    if facility.terms and it.terms:
        columns["pue"] = [
            {
                "value": v.value,
                "shown": format_kpi("pue", v.value)[0],
                "verdict": v.verdict.value,
                "reason": v.reason,
                "coverage": {
                    "numerator": v.coverage.numerator,
                    "denominator": v.coverage.denominator,
                },
                "coverage_shown": format_share(
                    min(v.coverage.numerator or 0.0, v.coverage.denominator or 0.0)
                ),
            }
            for v in answer(question, ["pue"])
        ]
    return [
        {"day": day, **{name: rows[at] for name, rows in columns.items()}}
        for at, day in enumerate(day_labels(question.tiling, site))
    ]


def _anchored_pv(question: Question) -> list[Term]:
    terms = pv_terms(question, lambda state: state.role == "pv_array")
    return [Term(term.flow, term.weight, term.expected) for term in terms]


def _targets(site: Site, day: date) -> list[dict[str, Any]]:
    found = []
    for kpi in dict.fromkeys(target.kpi for target in site.targets):
        target = site.target(kpi, day)
        if target is not None:
            shown, unit = format_kpi(kpi, target.value)
            found.append(
                {
                    "kpi": kpi,
                    "value": target.value,
                    "shown": shown,
                    "shown_unit": unit,
                    "valid_from": target.valid_from.isoformat(),
                }
            )
    return found


def _methods(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        kpi = row["kpi"]
        found[kpi] = {
            "kpi": kpi,
            "name": row["name"],
            "formula_version": row["formula_version"],
            "source": row["source"],
            "definition": text_json(METHODS.get(kpi, KPIS[kpi].text)),
        }
    return list(found.values())


def _factors(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Every dated factor that a figure of the month used, by name."""
    found: dict[str, Any] = {}
    for row in rows:
        for name, used in row["factors"].items():
            found.setdefault(name, used)
    return found


def _plain(value: Any) -> Any:
    """A site as plain data, for its fingerprint."""
    if is_dataclass(value) and not isinstance(value, type):
        return {name: _plain(part) for name, part in _members(value).items()}
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, ZoneInfo):
        return value.key
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, date):
        return value.isoformat()
    return value


def _members(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in fields(value)}
