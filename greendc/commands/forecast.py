"""`greendc forecast`: the newest forecast of a site's target, with the record of past ones."""

from __future__ import annotations

import argparse
import sys

from core.clock import SystemClock
from core.forecasts import LEARNING_DAYS, STATES, STEPS, TARGETS, Forecast, ForecastState
from core.periods import format_time, from_ms
from greendc.commands.answers import add_json, print_json, print_table, settings_of
from greendc.wiring import open_registry, open_store

NO_FORECAST = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `greendc forecast`."""
    parser.add_argument("--site", required=True)
    parser.add_argument("--target", required=True, metavar="T", help=", ".join(TARGETS))
    parser.add_argument(
        "--step",
        choices=list(STEPS),
        default="15m",
        help="15m: quarters, 48 hours ahead (default); hour: hours, 7 days ahead",
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the quantiles by time, and the record; 4 where there is no forecast."""
    settings = settings_of(arguments)
    site = open_registry(settings).site(arguments.site)
    from analytics.forecasting.reading import read_forecast
    from analytics.forecasting.truth import targets_of

    target = TARGETS.get(arguments.target)
    if target is None:
        return _none(f"no target {arguments.target!r}; one of {', '.join(TARGETS)}")
    if target.id not in targets_of(site):
        return _none(f"site {site.id} has no {target.id}: it declares no {target.needs.en}")
    store = open_store(settings, role="read")
    try:
        found = read_forecast(
            store, site, target.id, SystemClock().now(), resolution=arguments.step
        )
    finally:
        store.close()
    if found is None:
        return _none(
            f"no forecast of {target.id} of site {site.id} in the last three days: one is issued "
            "every quarter of an hour once readings have come and no history is being filled in, "
            "by `greendc analytics`"
        )
    if arguments.json:
        print_json(found.as_json())
    else:
        _print(found, target.text.en)
    return 0


def _none(reason: str) -> int:
    print(f"greendc: {reason}", file=sys.stderr)
    return NO_FORECAST


def _print(found: Forecast, name: str) -> None:
    decimals = TARGETS[found.target].decimals
    unit = "" if found.unit == "1" else f" in {found.unit}"
    print(f"{name}{unit}, {found.site}, issued {found.issued_at}")
    state = STATES[found.state].en
    if found.state is ForecastState.LEARNING:
        state += f" (day {found.learning_day} of {LEARNING_DAYS})"
    print(f"model: {found.model}\nstate: {state}\n")

    def shown(value: float | None) -> str:
        return "-" if value is None else f"{value:.{decimals}f}"

    print_table(
        ["time", "q05", "q10", "q50", "q90", "q95"],
        [
            (
                format_time(from_ms(point.start_ms)),
                *map(shown, (point.q05, point.q10, point.q50, point.q90, point.q95)),
            )
            for point in found.points
        ],
    )
    if found.record is None:
        print("\nno forecast of this target has been scored yet")
    else:
        _print_record(found)
    if found.is_simulated:
        print("simulated: these are no operating figures of a real site")


def _print_record(found: Forecast) -> None:
    record = found.record
    assert record is not None
    print(
        f"\nrecord of {record.days} days: {record.origins_issued} issued and "
        f"{record.origins_hindcast} hindcast origins"
    )

    def percent(share: float | None) -> str:
        return "-" if share is None else f"{share:.1%}"

    print_table(
        ["lead", "points", "mae", "wape", "in 80 %", "in 90 %", "best naive", "its mae", "skill"],
        [
            (
                band.horizon,
                band.points,
                "-" if band.mae is None else f"{band.mae:.4g}",
                percent(band.wape),
                percent(band.coverage_80),
                percent(band.coverage_90),
                band.best_naive or "-",
                "-" if band.best_naive is None else f"{band.naive[band.best_naive]:.4g}",
                "-" if band.skill is None else f"{band.skill:+.3f}",
            )
            for band in (*record.bands, record.overall)
        ],
    )
    if record.worst_30d_coverage_80 is not None:
        print(f"worst 30 days: {record.worst_30d_coverage_80:.1%} within the 80 % band")
