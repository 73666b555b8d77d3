"""`greendc report`: build a month's report, list the revisions, show one."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.clock import SystemClock
from core.errors import ConfigurationError, Problem
from core.periods import format_time
from core.reports import ReportRevision
from greendc.commands.answers import add_json, print_json, print_table, settings_of
from greendc.settings import Settings
from greendc.wiring import (
    open_factors,
    open_records,
    open_registry,
    open_report_archive,
    open_report_desk,
)

_AUTHOR = "system"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `greendc report`."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    build = commands.add_parser("build", help="the report of a month that has ended")
    build.add_argument("--site", required=True)
    build.add_argument("--month", required=True, metavar="YYYY-MM", help="a local month")
    build.add_argument("--out", type=Path, metavar="DIR", help="also copy the files there")
    build.add_argument("--as", dest="author", default=_AUTHOR, metavar="NAME", help="who builds it")
    add_json(build)
    listing = commands.add_parser("list", help="all revisions, the newest month first")
    listing.add_argument("--site")
    add_json(listing)
    show = commands.add_parser("show", help="one revision by its id")
    show.add_argument("id")
    add_json(show)


def run(arguments: argparse.Namespace) -> int:
    """Build, list or show."""
    settings = settings_of(arguments)
    if arguments.action == "build":
        return _build(settings, arguments)
    if arguments.action == "list":
        return _list(settings, arguments)
    return _show(settings, arguments)


def build_month_report(
    settings: Settings, site_id: str, month: str, *, author: str = _AUTHOR
) -> ReportRevision:
    """The report of a site's month, as `greendc report build` makes it.

    Args:
        month: `YYYY-MM`.

    Raises:
        InsufficientDataError: The month has not ended or has no data; the site is only planned.
        ConfigurationError: Fonts are missing, or the folder cannot be written.
        NotFoundError: No such site.
        StoreError: A store does not answer.
    """
    from reports.revisions import build_report

    site = open_registry(settings).site(site_id)
    with open_report_desk(settings) as desk:
        return build_report(
            desk,
            site,
            month,
            author=author,
            now=SystemClock().now(),
            factors=open_factors(settings),
        )


def _build(settings: Settings, arguments: argparse.Namespace) -> int:
    from analytics.month.content import parse_month
    from reports.archive import copy_files

    try:
        parse_month(arguments.month)
    except ValueError as error:
        raise ConfigurationError(
            [Problem("arguments", "--month", str(error), "write the month as YYYY-MM")]
        ) from None
    revision = build_month_report(
        settings, arguments.site, arguments.month, author=arguments.author
    )
    archive = open_report_archive(settings)
    if arguments.out is not None:
        copied = copy_files(archive, revision.files, arguments.out.absolute())
        revision = replace(revision, files=copied)
    _answer(settings, revision, arguments)
    return 0


def _list(settings: Settings, arguments: argparse.Namespace) -> int:
    sites = [arguments.site] if arguments.site else None
    if sites:
        open_registry(settings).site(arguments.site)
    records = open_records(settings)
    try:
        revisions = records.read_report_revisions(sites=sites)
    finally:
        records.close()
    if arguments.json:
        print_json([_as_json(settings, revision) for revision in revisions])
        return 0
    print_table(
        ["id", "site", "month", "revision", "state", "PUE", "refused", "created", "author"],
        [
            (
                r.id,
                r.site,
                r.month,
                r.revision,
                r.state,
                str(r.summary.get("pue", "")),
                int(r.summary.get("refused", 0)),
                format_time(r.created_at),
                r.author,
            )
            for r in revisions
        ],
    )
    return 0


def _show(settings: Settings, arguments: argparse.Namespace) -> int:
    records = open_records(settings)
    try:
        revision = records.read_report_revision(arguments.id)
    finally:
        records.close()
    _answer(settings, revision, arguments)
    return 0


def _answer(settings: Settings, revision: ReportRevision, arguments: argparse.Namespace) -> None:
    document = _as_json(settings, revision)
    if arguments.json:
        print_json(document)
        return
    print(f"{revision.id}: revision {revision.revision}, {revision.state}")
    print_table(
        ["kind", "lang", "sha256", "path"],
        [(f["kind"], f["lang"], f["sha256"], f["path"]) for f in document["files"]],
    )
    if revision.summary.get("simulated"):
        print("simulated: these are no operating figures of a real site")


def _as_json(settings: Settings, revision: ReportRevision) -> dict[str, Any]:
    folder = settings.reports_dir.absolute()
    return {
        "id": revision.id,
        "site": revision.site,
        "month": revision.month,
        "revision": revision.revision,
        "state": revision.state,
        "created": format_time(revision.created_at),
        "author": revision.author,
        "content_sha256": revision.content_sha256,
        "files": [
            {
                # A copy's path is absolute already, which `/` keeps.
                "path": str(folder / file.path),
                "kind": file.kind,
                "lang": file.lang,
                "sha256": file.sha256,
            }
            for file in revision.files
        ],
        "summary": dict(revision.summary),
    }
