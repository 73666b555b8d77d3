"""Dirty spans on their way in: those of a device that lie close together become one row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from core.ledger import HOUR_MS, DirtySpan
from storage.records import tables as t

# Two waiting spans of a device this close are one: computing the hour between them twice is cheaper
# than keeping many rows.
TOUCH_MS = HOUR_MS
# Beyond so many devices of a commit every waiting span of its sites is looked at.
_DEVICES_PER_STATEMENT = 400


def merge_dirty(connection: Connection, spans: Sequence[DirtySpan]) -> None:
    """Add spans; those near a waiting one of the same device become part of it."""
    if not spans:
        return
    table = t.dirty_span
    wanted: dict[tuple[str, str, str], list[tuple[int, int]]] = defaultdict(list)
    for span in spans:
        wanted[span.site, span.family, span.device].append((span.start_ms, span.end_ms))
    waiting: dict[tuple[str, str, str], list[tuple[int, int, int]]] = defaultdict(list)
    names = (table.c.site, table.c.family, table.c.device)
    query = (
        select(table.c.id, *names, table.c.start_ms, table.c.end_ms)
        .where(table.c.taken.is_(False), table.c.site.in_({key[0] for key in wanted}))
        .with_for_update()
    )
    if len(wanted) <= _DEVICES_PER_STATEMENT:
        query = query.where(table.c.device.in_({key[2] for key in wanted}))
    for number, site, family, device, start_ms, end_ms in connection.execute(query):
        if (site, family, device) in wanted:
            waiting[site, family, device].append((start_ms, end_ms, number))
    new: list[dict[str, Any]] = []
    grown: list[dict[str, Any]] = []
    swallowed: list[int] = []
    for key, parts in wanted.items():
        held = waiting[key]
        for start_ms, end_ms, numbers in _merged(held, parts):
            if not numbers:
                place = dict(zip(("site", "family", "device"), key, strict=True))
                new.append({**place, "start_ms": start_ms, "end_ms": end_ms, "taken": False})
                continue
            first, *others = sorted(numbers)
            swallowed += others
            if (start_ms, end_ms, first) not in held:
                grown.append({"row": first, "start_ms": start_ms, "end_ms": end_ms})
    if swallowed:
        connection.execute(
            delete(table).where(table.c.id == bindparam("row")),
            [{"row": number} for number in swallowed],
        )
    if grown:
        connection.execute(
            update(table)
            .where(table.c.id == bindparam("row"))
            .values(start_ms=bindparam("start_ms"), end_ms=bindparam("end_ms")),
            grown,
        )
    if new:
        connection.execute(insert(table), new)


def _merged(
    held: Sequence[tuple[int, int, int]], parts: Sequence[tuple[int, int]]
) -> list[tuple[int, int, list[int]]]:
    """Spans joined where they overlap or lie within an hour: (start, end, numbers of held ones)."""
    pieces = sorted(
        [(start, end, [number]) for start, end, number in held]
        + [(start, end, []) for start, end in parts]
    )
    joined: list[tuple[int, int, list[int]]] = []
    for start, end, numbers in pieces:
        if joined and start <= joined[-1][1] + TOUCH_MS:
            first, last, before = joined[-1]
            joined[-1] = (first, max(last, end), before + numbers)
        else:
            joined.append((start, end, numbers))
    return joined
