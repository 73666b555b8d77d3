"""Tables of a month: energy by system, water and rain, solar by array, accelerators by kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from analytics.boundary import (
    accelerators,
    devices_that,
    has_role,
    it_meters,
    pv_arrays,
)
from analytics.electricity import facility_side, it_side
from analytics.energy import ENERGY
from analytics.figures import Question
from analytics.month.amounts import Row, amount_of_kpi, derived, month_amount, share_shown
from analytics.sides import Side, term_of
from analytics.water import rain_terms, total_water_side, volume_terms
from core.kpis import KpiValue
from core.number_text import NO_VALUE, display_unit, format_kpi, format_number
from core.quality import Verdict

COOLING = ("cooling", "chiller", "pump", "air_handling", "tower_fan")
_KINDS = ("gpu", "npu")
_BALANCE_IN = ("collected_m3", "top_up_m3")
_BALANCE_OUT = ("used_m3", "overflow_m3", "drained_m3", "stored_m3")


def energy_table(question: Question) -> dict[str, Any] | None:
    """Facility energy and its parts; what no meter tells apart is `other`.

    `losses` are what the UPS inputs took above the IT energy. None without a supply.
    """
    facility = month_amount(question, facility_side(question), "kWh")
    if facility is None:
        return None
    it = month_amount(question, it_side(question), "kWh")
    ups = month_amount(question, _role_side(question, "ups_input"), "kWh")
    parts: dict[str, Row | None] = {
        "it": it,
        "losses": _less(ups, [it], "kWh") if ups is not None and it is not None else None,
        "distribution": month_amount(question, _role_side(question, "distribution"), "kWh"),
        "cooling": month_amount(question, _role_side(question, *COOLING), "kWh"),
        "lighting": month_amount(question, _role_side(question, "lighting"), "kWh"),
    }
    metered = {name: part for name, part in parts.items() if part is not None}
    rest = _less(facility, list(metered.values()), "kWh")
    # Less than nothing left over means that the parts overlap: then no part is said to be the rest.
    if rest["value"] is None or rest["value"] >= 0.0:
        metered["other"] = rest
    return {
        "facility": facility,
        "parts": [
            {"part": name, **part, "share_shown": share_shown(part, facility)}
            for name, part in metered.items()
        ],
        "adds_up": "other" in metered,
    }


def _role_side(question: Question, *roles: str) -> Side:
    belongs = has_role(*roles)
    # A device that is also a meter of IT energy is in that sum already.
    it = {device.id for device in it_meters(question.site, question.category)}
    devices = [d for d in devices_that(question.site, belongs) if d.id not in it]
    flows = question.reader.flows(devices, ENERGY)
    return Side("_".join(roles), question.tiling, [term_of(flow, belongs) for flow in flows])


def _less(whole: Row, parts: Sequence[Row | None], unit: str) -> Row:
    known = [part["value"] for part in (whole, *parts) if part is not None]
    value = None if None in known else known[0] - sum(known[1:])
    return derived(value, unit, [whole, *parts])


def water_table(question: Question, balance: KpiValue | None) -> dict[str, Any] | None:
    """Water by source, and the balance of the rain system from its KPI; None without water."""
    total = month_amount(question, total_water_side(question), "m3")
    sources: dict[str, Row | None] = {
        name: month_amount(question, Side(name, question.tiling, terms), "m3")
        for name, terms in (
            ("mains", volume_terms(question, "mains_supply")),
            ("reclaimed", volume_terms(question, "reclaimed_supply")),
            ("groundwater", volume_terms(question, "groundwater_supply")),
            ("rain_reused", rain_terms(question)),
        )
    }
    if total is None:
        return None
    return {
        "total": total,
        "sources": [
            {"source": name, **row, "share_shown": share_shown(row, total)}
            for name, row in sources.items()
            if row is not None
        ],
        "rain_balance": _rain_balance(balance),
    }


def _rain_balance(row: KpiValue | None) -> dict[str, Any] | None:
    if row is None or row.verdict is Verdict.REFUSED:
        return None
    value = row.value or 0.0
    parts = {name: float(row.parts.get(name) or 0.0) for name in (*_BALANCE_IN, *_BALANCE_OUT)}
    entries = [
        *(_entry("in", name, parts[name]) for name in _BALANCE_IN),
        *(_entry("out", name, parts[name]) for name in _BALANCE_OUT),
        _entry("out", "unexplained_m3", value),
    ]
    incoming = sum(parts[name] for name in _BALANCE_IN)
    return {
        "entries": entries,
        "incoming": _entry("in", "incoming_m3", incoming),
        "verdict": row.verdict.value,
        "unit": "m3",
        "shown_unit": display_unit("m3"),
    }


def _entry(side: str, name: str, value: float) -> Row:
    return {"side": side, "name": name, "value": value, "shown": format_number(value, 1)}


def solar_table(question: Question, rows: Sequence[KpiValue]) -> list[Row]:
    """Each array with its rating, place and figures, and the site's sum at the end."""
    arrays = pv_arrays(question.site)
    found = []
    for array in arrays:
        state = array.latest
        found.append(
            {
                "subject": array.id,
                "surface": state.surface,
                "tilt_deg": state.tilt_deg,
                "azimuth_deg": state.azimuth_deg,
                "certificates": state.certificates,
                "rated_kwp": state.rated_kwp,
                "rated_shown": format_number(state.rated_kwp, 0),
                **_solar_figures(array.id, rows),
            }
        )
    if found:
        ratings = [row["rated_kwp"] for row in found]
        total = None if None in ratings else sum(ratings)
        found.append(
            {
                "subject": "site",
                "rated_kwp": total,
                "rated_shown": format_number(total, 0),
                **_solar_figures("site", rows),
            }
        )
    return found


def _solar_figures(subject: str, rows: Sequence[KpiValue]) -> Row:
    figures: Row = {}
    for kpi in ("pv_energy", "pv_specific_yield", "pv_performance_ratio"):
        row = next((r for r in rows if r.kpi == kpi and r.subject == subject), None)
        value = row.value if row is not None else None
        figures[kpi] = {
            "value": value,
            "shown": format_kpi(kpi, value)[0] if row is not None else NO_VALUE,
            "verdict": row.verdict.value if row is not None else Verdict.REFUSED.value,
        }
    return figures


def accelerator_table(question: Question, rows: Sequence[KpiValue]) -> list[Row]:
    """Each kind of accelerator: how many there are, their models and energy."""
    role, devices = accelerators(question.site)
    found = []
    for row in rows:
        if row.kpi != "accelerator_energy" or row.subject not in _KINDS:
            continue
        kind = row.subject
        mine = [d for d in devices if any(s.kind == kind and s.role == role for s in d.states)]
        count = sum(device.latest.count or 1 for device in mine)
        found.append(
            {
                "kind": kind,
                "level": role,
                "count": count,
                "count_shown": format_number(float(count), 0),
                "models": sorted({d.latest.model for d in mine if d.latest.model}),
                "energy": {
                    **amount_of_kpi(row),
                    "shown": format_kpi(row.kpi, row.value)[0],
                },
            }
        )
    return found
