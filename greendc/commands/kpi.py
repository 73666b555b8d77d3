"""`greendc kpi`: KPIs of a site for a period, computed from the stored intervals."""

from __future__ import annotations

import argparse

from core.clock import SystemClock
from core.errors import NotFoundError
from core.kpis import KPIS
from core.periods import RESOLUTIONS, format_time
from greendc.commands.answers import (
    add_json,
    add_period,
    period_of,
    print_json,
    print_table,
    settings_of,
)
from greendc.wiring import open_factors, open_records, open_registry, open_store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `greendc kpi`."""
    parser.add_argument("--site", required=True)
    parser.add_argument("--kpi", metavar="ID,…", help="default: every KPI that the site can have")
    parser.add_argument("--category", type=int, choices=[1, 2, 3], help="another metered category")
    add_period(parser)
    parser.add_argument("--resolution", choices=RESOLUTIONS, default="period")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print one row per KPI, subject and period."""
    settings = settings_of(arguments)
    site = open_registry(settings).site(arguments.site)
    wanted = None
    if arguments.kpi:
        wanted = [name.strip() for name in arguments.kpi.split(",") if name.strip()]
        unknown = [name for name in wanted if name not in KPIS]
        if unknown:
            raise NotFoundError(f"no KPI {unknown[0]!r}; one of {', '.join(KPIS)}")
    period = period_of(arguments, site, aligned=True)
    from analytics.kpis import compute_kpi_rows

    factors = open_factors(settings)

    store, records = open_store(settings, role="read"), open_records(settings)
    try:
        values = compute_kpi_rows(
            store,
            records,
            site,
            period,
            resolution=arguments.resolution,
            kpis=wanted,
            category=arguments.category,
            now=SystemClock().now(),
            factors=factors,
        )
    finally:
        store.close()
        records.close()
    if arguments.json:
        print_json([value.as_json() for value in values])
        return 0
    print_table(
        ["kpi", "subject", "start", "end", "value", "unit", "verdict", "coverage", "reason"],
        [
            (
                value.kpi if value.category is None else f"{value.kpi} (category {value.category})",
                value.subject,
                format_time(value.start),
                format_time(value.end),
                value.value,
                value.unit,
                value.verdict.value,
                " / ".join(
                    f"{share:.1%}"
                    for share in (value.coverage.numerator, value.coverage.denominator)
                    if share is not None
                ),
                value.reason,
            )
            for value in values
        ],
    )
    if site.is_simulated:
        print("simulated: these are no operating figures of a real site")
    return 0
