"""Lines that are all alike, read by one pattern over the whole message.

A pattern is made from a message that was read line by line, and takes only what that way would take
in the same manner: the same fields in the same order, each a number of the same kind; no escapes,
no blank lines, no comments.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.errors import RefusedReadingError
from core.samples import Floats, Ints
from ingest.line_protocol import FLOAT, Line
from ingest.mappings import PRECISIONS, Assignment, MappingFile, Rule
from ingest.native_exact import TIME_LIMIT

# Digits that cannot leave 64 bits: no range check is needed after the match.
_MAPPED = {"float": f"({FLOAT})", "int": r"(-?[0-9]{1,18})i", "uint": r"([0-9]{1,18})u"}
_IGNORED = {
    "float": r"-?[0-9]{1,18}(?:\.[0-9]{0,18})?",
    "int": r"-?[0-9]{1,18}i",
    "uint": r"[0-9]{1,18}u",
    "bool": r"(?:[tT]|true|True|TRUE|[fF]|false|False|FALSE)",
    "string": r'"[^"\\\n]*+"',
}
_HEAD = r"[^#, \\\x00-\x1f\x7f][^ \\\x00-\x1f\x7f]*+"
_TIME = r"(-?[0-9]{1,19})"
_PLAIN = re.compile(r"[A-Za-z0-9_.:/-]+", re.ASCII)
_INT64 = 2**63 - 1

Key = tuple[tuple[tuple[str, str], ...], int]


@dataclass(frozen=True, slots=True)
class AlikeLines:
    """The lines of one message, in columns.

    Attributes:
        time_ms: (n,) array.
        values: (metrics, n) array, in the mapping's units.
    """

    heads: list[str]
    time_ms: Ints
    values: Floats


class LinePattern:
    """One kind of line of one rule.

    Attributes:
        key: What tells it from others.
        metrics, units: Sorted by metric.
    """

    def __init__(self, key: Key, rule: Rule, file: MappingFile) -> None:
        self.key = key
        self.rule = rule
        self._factor, self._divisor = PRECISIONS[file.precision]
        # Beyond it the exact way says what is wrong.
        self._latest = min(TIME_LIMIT, _INT64 * self._factor // self._divisor)
        parts, targets = [], []
        for name, kind in key[0]:
            target = rule.fields.get(name)
            parts.append(f"{re.escape(name)}={(_MAPPED if target else _IGNORED)[kind]}")
            if target:
                targets.append(target)
        self._pattern = re.compile(
            rf"^({_HEAD}) {','.join(parts)} {_TIME}$", re.MULTILINE | re.ASCII
        )
        order = sorted(range(len(targets)), key=lambda place: targets[place].metric)
        self._picks = [(1 + place, targets[place].scale) for place in order]
        self.metrics = tuple(targets[place].metric for place in order)
        self.units = tuple(targets[place].unit for place in order)

    def read(self, text: str) -> AlikeLines | None:
        """The lines in columns; None where one of them is not of this kind."""
        if not text.isascii():
            return None
        found = self._pattern.findall(text)
        if not found or len(found) != text.count("\n") + (not text.endswith("\n")):
            return None
        columns = list(zip(*found, strict=True))
        factor, divisor = self._factor, self._divisor
        # A gateway sends many lines of one instant.
        instants = {sent: int(sent) * factor // divisor for sent in set(columns[-1])}
        if max(instants.values()) > self._latest or min(instants.values()) < -self._latest:
            return None
        values = np.empty((len(self._picks), len(found)))
        for row, (place, scale) in enumerate(self._picks):
            values[row] = list(map(float, columns[place]))
            if scale != 1.0:
                with np.errstate(over="ignore"):
                    values[row] *= scale
        if not np.isfinite(values).all():
            # A number beyond float64: the exact way tells.
            return None
        time_ms = np.array(list(map(instants.__getitem__, columns[-1])), np.int64)
        return AlikeLines(list(columns[0]), time_ms, values)


def learn_pattern(
    lines: Sequence[Line], heads: Mapping[str, Assignment | RefusedReadingError]
) -> LinePattern | None:
    """The pattern of well-formed, mapped lines; None where they are not all alike."""
    first = lines[0]
    found = heads[first.head]
    if isinstance(found, RefusedReadingError) or found.rule is None:
        return None
    shape = tuple((name, kind) for name, kind, _ in first.fields)
    plain = all(_PLAIN.fullmatch(name) for name, _ in shape)
    if not plain:
        return None
    for line in lines[1:]:
        other = heads[line.head]
        if isinstance(other, RefusedReadingError) or other.rule is not found.rule:
            return None
        if tuple((name, kind) for name, kind, _ in line.fields) != shape:
            return None
    return LinePattern((shape, id(found.rule)), found.rule, found.file)
