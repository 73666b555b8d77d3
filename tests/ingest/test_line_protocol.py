"""Line protocol: the corpus of the reference implementation, round trips, and bad lines alone."""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from core.errors import RefusedReadingError
from ingest.line_protocol import BadLine, Line, decode_text, parse_head, parse_lines

NANOSECONDS = {"1ns": 1, "1µs": 1_000, "1ms": 1_000_000, "1s": 1_000_000_000}


def points(payload: bytes, unit: int, default_ns: int) -> list[dict[str, Any]]:
    """The lines of a payload in the corpus's own form; raises what the first bad line says."""
    found = []
    for line in parse_lines(decode_text(payload)):
        if isinstance(line, BadLine):
            raise line.error
        name, tags = parse_head(line.head)
        found.append(
            {
                "time": default_ns // unit * unit if line.time is None else line.time * unit,
                "name": name,
                "tags": [{"key": key, "value": tags[key]} for key in sorted(tags)],
                "fields": [
                    {"key": key, "value": {kind: value}} for key, kind, value in line.fields
                ],
            }
        )
    return found


def test_every_case_of_the_corpus(test_data: Path) -> None:
    file = test_data / "line-protocol-corpus" / "corpus.json"
    cases = json.loads(file.read_text(encoding="utf-8"))["decode"]
    wrong = []
    for name, case in cases.items():
        text = case["input"]["text"]
        payload = base64.b64decode(text["binary"]) if isinstance(text, dict) else text.encode()
        unit = NANOSECONDS[case["input"]["precision"]]
        try:
            said: Any = points(payload, unit, case["input"]["defaultTime"])
        except RefusedReadingError:
            said = None
        if said != case["output"].get("result"):
            wrong.append(name)
    assert len(cases) > 3000
    assert wrong == []


# ---------------------------------------------------------------- round trips

NAMES = st.text(
    st.characters(exclude_characters="\x7f", exclude_categories=("Cc", "Cs")), min_size=1
).filter(lambda name: not name.endswith("\\"))
MEASUREMENTS = NAMES.filter(lambda name: not name.startswith("#"))
VALUES = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.text(st.characters(exclude_categories=("Cs",))),
)
POINTS = st.tuples(
    MEASUREMENTS,
    st.dictionaries(NAMES, NAMES, max_size=3),
    st.dictionaries(NAMES, VALUES, min_size=1, max_size=4),
    st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
)


def escape(text: str, characters: str) -> str:
    return "".join(f"\\{c}" if c in characters else c for c in text)


def render(point: Any) -> str:
    """A line as another program would write it: never the parser's own tables."""
    name, tags, fields, time = point
    head = escape(name, ", ") + "".join(
        f",{escape(key, ',= ')}={escape(value, ',= ')}" for key, value in tags.items()
    )
    written = []
    for key, value in fields.items():
        if isinstance(value, bool):
            text = "true" if value else "F"
        elif isinstance(value, int):
            text = f"{value}i"
        elif isinstance(value, float):
            text = repr(value)
        else:
            text = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        written.append(f"{escape(key, ',= ')}={text}")
    return f"{head} {','.join(written)}" + (f" {time}" if time is not None else "")


def read(line: Line) -> Any:
    name, tags = parse_head(line.head)
    return name, tags, {key: value for key, _, value in line.fields}, line.time


@given(st.lists(POINTS, min_size=1, max_size=4), st.sampled_from(["\n", "\r\n", "\n\n# x\n  "]))
def test_what_is_written_is_read(written: list[Any], joint: str) -> None:
    lines = list(parse_lines(joint.join(map(render, written))))
    assert all(isinstance(line, Line) for line in lines), lines
    assert [read(line) for line in lines if isinstance(line, Line)] == written


@given(POINTS, POINTS, st.text(st.characters(exclude_characters="\n")))
def test_a_bad_line_takes_no_other_with_it(before: Any, after: Any, bad: str) -> None:
    alone = list(parse_lines(bad))
    lines = list(parse_lines(f"{render(before)}\n{bad}\n{render(after)}\n"))
    good = [read(line) for line in lines if isinstance(line, Line)]
    assert good[0] == before
    # A quote that stays open may close inside the next line; what follows is then read on its own.
    if '"' not in bad:
        assert good[-1] == after
        assert len(lines) == 2 + len(alone)


@given(st.binary(max_size=200))
def test_no_bytes_do_anything_but_be_read_or_refused(payload: bytes) -> None:
    for line in parse_lines(decode_text(payload)):
        if isinstance(line, BadLine):
            assert line.error.reason in {
                "malformed_line", "not_utf8", "duplicate_key", "not_a_number",
            }  # fmt: skip
        else:
            assert line.fields
            assert all(
                not isinstance(value, float) or math.isfinite(value) for _, _, value in line.fields
            )


def test_an_open_quote_ends_with_its_line() -> None:
    lines = list(parse_lines('a v="x 1\nb v=1 2\nc v="y" 3'))
    assert [type(line) for line in lines] == [BadLine, Line, Line]
    assert [line.row for line in lines] == [0, 1, 2]


def test_rows_count_the_lines_of_the_text() -> None:
    lines = list(parse_lines('# c\n\na v="x\ny\nz" 1\nb v=1 2\n'))
    assert [line.row for line in lines] == [2, 5]


def test_a_long_number_is_refused_quickly() -> None:
    (line,) = parse_lines(f"a v={'9' * 200_000}i 1")
    assert isinstance(line, BadLine)
    assert line.error.reason == "not_a_number"
    assert next(iter(parse_lines("a v=0000000000000000000000007i 1"))).fields == [  # type: ignore[union-attr]
        ("v", "int", 7)
    ]
