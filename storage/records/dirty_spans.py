"""Dirty spans on their way in: those of a device that lie close together become one row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from core.ledger import HOUR_MS, DirtySpan
from storage.records import tables as t

# Two waiting spans of a device this close are one: computing the hour between them twice is cheaper
# than keeping many rows.
TOUCH_MS = HOUR_MS
_DEVICES_PER_STATEMENT = 400

Group: TypeAlias = tuple[str, str]
_Borders: TypeAlias = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is known to wait of one site and family.

    Attributes:
        rows: How many rows wait, and the sum of their ids. A row that is taken leaves both smaller,
            and a new one has a larger id than any before it, so that no change but the growth of a
            span leaves both as they were.
        spans: Device -> spans in those rows; of devices that are not in it nothing is known.
    """

    rows: tuple[int, int]
    spans: Mapping[str, _Borders]

    def covers(self, span: DirtySpan) -> bool:
        """Whether a waiting span holds this one."""
        for start_ms, end_ms in self.spans.get(span.device, ()):
            if start_ms <= span.start_ms and span.end_ms <= end_ms:
                return True
        return False


def merge_dirty(
    connection: Connection, spans: Sequence[DirtySpan], known: Mapping[Group, Waiting]
) -> dict[Group, Waiting]:
    """Add spans; those near a waiting one of the same device become part of it.

    What a waiting span covers already needs nothing: its readings are in the store, and whoever
    takes the span after this moment finds them there.

    Returns:
        What is known of the sites and families that were changed, once the transaction holds.
    """
    groups: dict[Group, list[DirtySpan]] = defaultdict(list)
    for span in spans:
        groups[span.site, span.family].append(span)
    learned: dict[Group, Waiting] = {}
    for group, members in groups.items():
        held = known.get(group)
        if held is not None and held.rows != _count_rows(connection, group):
            held = None
        new = members if held is None else [span for span in members if not held.covers(span)]
        if not new:
            continue
        changed = _merge_group(connection, group, new)
        before = held.spans if held is not None else {}
        learned[group] = Waiting(_count_rows(connection, group), {**before, **changed})
    return learned


def _of_group(group: Group) -> tuple[Any, ...]:
    table = t.dirty_span
    return table.c.site == group[0], table.c.family == group[1], table.c.taken.is_(False)


# Made once: making a statement takes longer than running it.
_COUNT = select(func.count(), func.coalesce(func.sum(t.dirty_span.c.id), 0)).where(
    t.dirty_span.c.site == bindparam("site"),
    t.dirty_span.c.family == bindparam("family"),
    t.dirty_span.c.taken.is_(False),
)


def _count_rows(connection: Connection, group: Group) -> tuple[int, int]:
    found = connection.execute(_COUNT, {"site": group[0], "family": group[1]}).one()
    return int(found[0]), int(found[1])


def _merge_group(
    connection: Connection, group: Group, spans: Iterable[DirtySpan]
) -> dict[str, _Borders]:
    """Merge spans of one site and family; the waiting ones of their devices afterwards."""
    table = t.dirty_span
    wanted: dict[str, _Borders] = defaultdict(list)
    for span in spans:
        wanted[span.device].append((span.start_ms, span.end_ms))
    waiting: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    query = select(table.c.id, table.c.device, table.c.start_ms, table.c.end_ms)
    names = sorted(wanted)
    for first in range(0, len(names), _DEVICES_PER_STATEMENT):
        some = names[first : first + _DEVICES_PER_STATEMENT]
        chosen = query.where(*_of_group(group), table.c.device.in_(some)).with_for_update()
        for number, device, start_ms, end_ms in connection.execute(chosen):
            waiting[device].append((start_ms, end_ms, number))
    new: list[dict[str, Any]] = []
    grown: list[dict[str, Any]] = []
    swallowed: list[int] = []
    changed: dict[str, _Borders] = {}
    for device, parts in wanted.items():
        held = waiting[device]
        merged = _merged(held, parts)
        changed[device] = [(start_ms, end_ms) for start_ms, end_ms, _ in merged]
        for start_ms, end_ms, numbers in merged:
            if not numbers:
                place = {"site": group[0], "family": group[1], "device": device}
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
    return changed


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
