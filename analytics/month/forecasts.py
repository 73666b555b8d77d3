"""Stored forecasts of a month: how many were issued, by what, and what they were worth.

They are inputs: nothing is forecast again. Scored are the days of issue whose whole week ahead lies
in the month, so that a report of the next day and one of the next year say the same.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from analytics.forecasting.documents import ISSUED, KIND
from analytics.forecasting.scores import ISSUED_SCORE, build_record, parse_score
from core.forecasts import TARGETS
from core.number_text import display_unit, format_number, format_share, format_signed
from core.periods import Period, format_time
from core.ports import TimeSeriesStore
from core.sites import Site

# The longest horizon is a week; the last origin of a day lies at its end.
_SETTLED = timedelta(days=8)


def forecast_rows(store: TimeSeriesStore, site: Site, period: Period) -> list[dict[str, Any]]:
    """One row for each target and step of which forecasts were issued in the month."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in store.read_results(site.id, KIND, period, subject=ISSUED):
        entry = found.setdefault(
            (row.name, row.resolution),
            {
                "target": row.name,
                "resolution": row.resolution,
                "models": set(),
                "issued": 0,
                "first": format_time(row.start_ms),
                "last": "",
            },
        )
        entry["issued"] += 1
        entry["last"] = format_time(row.start_ms)
        entry["models"] |= _models(json.loads(row.document))
    rows = []
    for (target, resolution), entry in sorted(found.items()):
        entry["models"] = sorted(entry["models"])
        entry["issued_shown"] = format_number(float(entry["issued"]), 0)
        entry["record"] = _record(store, site, period, target, resolution)
        if target in TARGETS:
            text = TARGETS[target].text
            entry["name"] = {"ko": text.ko, "en": text.en}
            entry["unit"] = TARGETS[target].unit
            entry["shown_unit"] = display_unit(TARGETS[target].unit)
        rows.append(entry)
    return rows


def _record(
    store: TimeSeriesStore, site: Site, period: Period, target: str, resolution: str
) -> dict[str, Any] | None:
    last = period.end - _SETTLED
    if target not in TARGETS or last <= period.start:
        return None
    rows = store.read_results(
        site.id,
        KIND,
        Period(period.start, last),
        names=[target],
        resolution=resolution,
        subject=ISSUED_SCORE,
    )
    record = build_record([parse_score(row) for row in rows], site.zone)
    if record is None:
        return None
    overall = record.overall
    return {
        "days": record.days,
        "mae": overall.mae,
        "mae_shown": format_number(overall.mae, TARGETS[target].decimals),
        "coverage_80": overall.coverage_80,
        "coverage_80_shown": format_share(overall.coverage_80),
        "best_naive": overall.best_naive,
        "skill": overall.skill,
        "skill_shown": format_signed(None if overall.skill is None else overall.skill * 100.0, 1),
    }


def _models(document: Any) -> set[str]:
    """Names of the rules or models of one issued forecast."""
    if not isinstance(document, dict):
        return set()
    named = document.get("models", "")
    values = named.values() if isinstance(named, dict) else [named]
    return {str(value) for value in values if value}
