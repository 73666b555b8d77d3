"""What is decoded by type is what the exact decoder says, whatever the payload."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.periods import parse_rfc3339, to_ms
from core.site_files import build_registry
from ingest import native
from ingest.decode import parse_topic
from ingest.intake import Intake
from ingest.limits import IngestLimits
from ingest.messages import Decoded, RawMessage
from ingest.native import NativeDecoder
from ingest.native_exact import decode_exactly
from ingest.times import parse_time, parse_times
from tests.ingest.registry import REGISTRY_FILE
from tests.ingest.test_golden_decode import readings_of

NOW_MS = to_ms(parse_rfc3339("2026-11-20T00:15:10Z"))
REGISTRY = build_registry({"test": REGISTRY_FILE})
LIMITS = IngestLimits()
DEVICE = parse_topic("greendc/v1/test-dc/energy/grid-a")
GATEWAY = parse_topic("greendc/v1/test-dc/energy")

GOOD_NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(10**20), 10**20),
    st.sampled_from([0, -0.0, 1e308, 5e-324]),
)
GOOD_TEXTS = st.sampled_from(
    ["2026-11-20T09:15:00+09:00", "2026-11-20T00:15:00Z", "2026-11-20T00:15:00.123456Z"]
)
MEMBERS = {
    "seq": st.sampled_from([0, 1, 2**32 - 1]),
    "quality": st.sampled_from(["good", "manual", "uncertain", "estimated"]),
    "units": st.sampled_from([{"active_power_kw": "W"}, {"active_power_kw": "kW"}, {}]),
    "site": st.just("test-dc"),
    "note": st.sampled_from(["", "x", 7, None, True, "a:b"]),
    "firmware.version": st.sampled_from([1.5, "2"]),
}
BAD = {
    "ts": st.sampled_from(
        ["2026-11-20T00:15:00", "x", 1.5, None, True, -1, 2**70, "2026-02-30T00:00:00Z", []]
    ),
    "seq": st.sampled_from([2**32, -1, 1.5, "1", True, None]),
    "quality": st.sampled_from(["fine", None, 1]),
    "units": st.sampled_from([{"active_power_kw": 1}, [], {"active_power_kw": "furlong"}, None]),
    "site": st.sampled_from(["other", 1, None]),
    "device": st.sampled_from(["nobody", "", "d" * 65, 7, None, "mains"]),
    "note": st.sampled_from([[], {}, {"ts": 1}, [1, 2]]),
    "values": st.sampled_from([{}, [], None, 1, {"m" * 65: 1}, {"volume_m3": 1}]),
}


@st.composite
def messages(draw: st.DrawFn) -> list[Any]:
    """A few documents of one form and mostly one shape, as one device or gateway sends them."""
    gateway = draw(st.booleans())
    form = draw(st.sampled_from(["one", "array", "readings", "columns"]))
    names = draw(st.lists(st.sampled_from(["active_power_kw", "active_energy_kwh"]), min_size=1,
                          unique=True))  # fmt: skip
    members = draw(st.lists(st.sampled_from(sorted(MEMBERS)), max_size=2, unique=True))
    times = draw(st.sampled_from([st.integers(NOW_MS - 10**9, NOW_MS), GOOD_TEXTS]))
    devices = st.sampled_from(["grid-a", "grid-b"]) if gateway else st.just("grid-a")

    def reading() -> dict[str, Any]:
        made: dict[str, Any] = {"ts": draw(times)}
        made["values"] = {name: draw(GOOD_NUMBERS) for name in names}
        if gateway:
            made["device"] = draw(devices)
        if draw(st.integers(0, 9)) == 0 and len(names) > 1:
            del made["values"][names[0]]
        for member in members:
            made[member] = draw(MEMBERS[member])
        if draw(st.integers(0, 9)) == 0:
            member = draw(st.sampled_from(sorted(BAD)))
            made[member] = draw(BAD[member])
        return made

    def columns() -> dict[str, Any]:
        rows = draw(st.integers(1, 4))
        made: dict[str, Any] = {"ts": [draw(times) for _ in range(rows)]}
        if draw(st.booleans()):
            made["ts"] = draw(times)
        if gateway:
            made["device"] = [draw(devices) for _ in range(rows)]
        cell = st.one_of(GOOD_NUMBERS, st.none()) if draw(st.booleans()) else GOOD_NUMBERS
        made["values"] = {name: [draw(cell) for _ in range(rows)] for name in names}
        for member in members:
            made[member] = draw(MEMBERS[member])
        if draw(st.integers(0, 4)) == 0:
            made["values"][names[0]][0] = draw(st.sampled_from(["1", True, 1e400, []]))
        return made

    documents = []
    for _ in range(draw(st.integers(1, 5))):
        if form == "columns":
            documents.append({"columns": columns()})
        elif form == "one":
            documents.append(reading())
        else:
            rows = [reading() for _ in range(draw(st.integers(1, 4)))]
            documents.append(rows if form == "array" else {"readings": rows})
    return [GATEWAY if gateway else DEVICE, documents]


def said(decoded: Decoded) -> Any:
    """Readings by message and row, refusals, ignored names: whatever the way they are grouped."""
    readings = {}
    for columns in decoded.columns.values():
        message, row = columns.positions()
        quality = columns.quality or [0] * len(columns)
        for at in range(len(columns)):
            sent = {
                (name, columns.units[place]): column[at]
                for place, (name, column) in enumerate(
                    zip(columns.metrics, columns.values, strict=True)
                )
                if column[at] == column[at]
            }
            readings[int(message[at]), int(row[at])] = (
                columns.devices[at],
                int(columns.times[at]),
                quality[at],
                sorted(sent.items()),
            )
    refusals = sorted((r.message, r.reason, r.detail, r.count, r.rows) for r in decoded.refusals)
    return readings, refusals, {name: n for name, n in decoded.ignored.items() if n}


def exactly(topic: Any, payloads: Sequence[bytes]) -> Any:
    decoded = Decoded()
    for index, payload in enumerate(payloads):
        decode_exactly(index, topic, payload, LIMITS, decoded)
    return said(decoded)


def by_type(decoder: NativeDecoder, topic: Any, payloads: Sequence[bytes]) -> Any:
    decoded = Decoded()
    decoder.decode([(index, topic, payload) for index, payload in enumerate(payloads)], decoded)
    return said(decoded)


def check(topic: Any, payloads: Sequence[bytes]) -> None:
    wanted = exactly(topic, payloads)
    decoder = NativeDecoder(LIMITS)
    # The first time by the exact decoder, which learns; then by what it has learnt.
    for _ in range(3):
        assert by_type(decoder, topic, payloads) == wanted


@settings(max_examples=500, deadline=None)
@given(messages())
def test_generated_messages(case: Any) -> None:
    topic, documents = case
    check(topic, [json.dumps(document).encode() for document in documents])
    compact = [json.dumps(document, separators=(",", ":")).encode() for document in documents]
    check(topic, compact)


@settings(max_examples=500, deadline=None)
@given(messages(), st.randoms(use_true_random=False))
def test_mutated_messages(case: Any, chance: Any) -> None:
    topic, documents = case
    payloads = [json.dumps(document).encode() for document in documents]
    decoder = NativeDecoder(LIMITS)
    by_type(decoder, topic, payloads)
    for at, payload in enumerate(payloads):
        mutated = bytearray(payload)
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(mutated))
            mutated[place : place + chance.randint(0, 1)] = bytes(
                [chance.choice(b'{}[]":,0e.-tn \\\n\xff')]
            )
        spoiled = [*payloads[:at], bytes(mutated), *payloads[at + 1 :]]
        assert by_type(decoder, topic, spoiled) == exactly(topic, spoiled)


@settings(max_examples=300, deadline=None)
@given(messages(), st.randoms(use_true_random=False))
def test_a_key_that_stands_twice_is_always_seen(case: Any, chance: Any) -> None:
    topic, documents = case
    payloads = [json.dumps(document).encode() for document in documents]
    decoder = NativeDecoder(LIMITS)
    by_type(decoder, topic, payloads)
    name = chance.choice([b"ts", b"values", b"active_power_kw", b"device", b"columns"])
    value = chance.choice([b"1", b'"a:b"', b"{}", b'{"x":1}', b"[1]"])
    space = chance.choice([b"", b" ", b"\n"])
    spoiled = []
    for payload in payloads:
        places = [at for at in range(len(payload)) if payload[at : at + 1] == b"{"]
        at = chance.choice(places) + 1
        # With a space before its colon, or before the other's.
        changed = payload.replace(b'":', b'"' + chance.choice([b"", b" "]) + b":", 1)
        pair = b'"' + name + b'"' + space + b":" + value + b","
        spoiled.append(changed[:at] + pair + changed[at:])
    assert by_type(decoder, topic, spoiled) == exactly(topic, spoiled)


ONE = b'{"ts": 1795133700000, "values": {"active_power_kw": 1.5}}'


@pytest.mark.parametrize(
    "payloads",
    [
        [ONE + ONE, b"", ONE],
        [ONE + ONE, b" ", ONE],
        [ONE + b"\n" + ONE, b"", ONE],
        [ONE[:-1], b"}", ONE + ONE],
        [b'{"ts": 1795133700000,', b'"values": {"active_power_kw": 1.5}}', ONE + ONE],
        [ONE, b"{}" + ONE, b"{" + ONE],
        [b'{"ts" :1,"ts":2,"values":{"active_power_kw":1}}', ONE],
        [b'{"ts":1,"ts" :2,"values":{"active_power_kw":1}}', ONE],
        [b'{"ts":1795133700000,"values":{"active_power_kw":1,"active_power_kw" :2}}', ONE],
    ],
)
def test_no_reading_is_smuggled_into_a_neighbours_message(payloads: list[bytes]) -> None:
    decoder = NativeDecoder(LIMITS)
    by_type(decoder, DEVICE, [ONE])
    assert by_type(decoder, DEVICE, payloads) == exactly(DEVICE, payloads)


ROW = b'{"ts": 1795133700000, "device": "grid-a", "values": {"active_power_kw": 1.5}}'
ROWS = b"[" + ROW + b", " + ROW.replace(b"1.5", b"2.5") + b"]"


@pytest.mark.parametrize(
    "payloads",
    [
        [ROWS, ROWS],
        [ROWS + ROWS, b"", ROWS],
        [ROWS + b"\n" + ROWS, b"", ROWS],
        [ROWS + b"\n" + ROWS, ROWS],
        [ROWS + b"\n", ROWS],
        [b"\n" + ROWS, ROWS],
        [ROWS, b"[]", ROWS],
        [b"[]", ROWS],
        [b"[" + ROWS, ROWS + b"]"],
        [b"[" + ROW, b"," + ROW + b"]", ROWS],
        [b"[" + ROW + b"]", b"[" + ROW + b",]"],
        [b'[{"ts": 1, "device": "x}]', b'[{y", "values": {"active_power_kw": 1}}]', ROWS],
        [b"[" + ROW + b"," + ROW + b"," + ROW + b"]", ROWS],
        [ROWS, ROW, ROWS],
        [ROWS, b"\xff" + ROWS],
    ],
)
def test_no_reading_is_smuggled_into_a_neighbours_array(payloads: list[bytes]) -> None:
    limits = IngestLimits(readings=2)
    decoder = NativeDecoder(limits)
    by_type(decoder, GATEWAY, [ROWS])
    decoded = Decoded()
    for index, payload in enumerate(payloads):
        decode_exactly(index, GATEWAY, payload, limits, decoded)
    assert by_type(decoder, GATEWAY, payloads) == said(decoded)


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        (DEVICE, ONE),
        (DEVICE, b'{"ts":"2026-11-20T09:15:00+09:00","seq":1,"values":{"active_power_kw":1}}'),
        (DEVICE, b'{"ts":1,"note":"x","quality":"manual","values":{"active_power_kw":1}}'),
        (GATEWAY, b'[{"ts":1,"device":"grid-a","values":{"active_power_kw":1}}]'),
        (
            GATEWAY,
            b'{"readings":[{"ts":1,"device":"grid-a","values":{"active_power_kw":1}},'
            b'{"ts":1,"device":"grid-b","values":{"active_energy_kwh":1}}]}',
        ),
        (
            GATEWAY,
            b'{"columns":{"ts":[1,1],"device":["grid-a","grid-b"],'
            b'"values":{"active_power_kw":[1,2],"active_energy_kwh":[3,null]}}}',
        ),
    ],
)
def test_the_typed_way_is_really_taken(
    topic: Any, payload: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = NativeDecoder(LIMITS)
    wanted = by_type(decoder, topic, [payload, payload])

    def fail(*_: Any) -> None:
        raise AssertionError("the exact decoder was asked")

    monkeypatch.setattr(native, "decode_exactly", fail)
    assert by_type(decoder, topic, [payload, payload]) == wanted


@settings(max_examples=100, deadline=None)
@given(messages())
def test_a_batch_is_judged_as_if_each_message_came_alone(case: Any) -> None:
    topic, documents = case
    batch = [RawMessage(topic.text, json.dumps(d).encode(), NOW_MS) for d in documents]

    def verdicts(groups: list[list[RawMessage]]) -> Any:
        readings, refusals = [], []
        for group in groups:
            commit = Intake(REGISTRY, site_readings_per_s=1000).take(group)
            readings += readings_of(commit)
            refusals += [(e.reason, e.count, e.payload) for e in commit.quarantined]
            refusals += [(e.reason, e.count, e.head) for e in commit.rejected]
            assert all(hour.counts.balanced for hour in commit.hours)
        return sorted(map(repr, readings)), sorted(map(repr, refusals))

    assert verdicts([batch]) == verdicts([[message] for message in batch])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(NOW_MS - 10**6, NOW_MS),
            st.sampled_from(["grid-a", "grid-b", "nobody"]),
            st.one_of(st.none(), st.floats(-1e6, 1e6)),
            st.one_of(st.none(), st.floats(-1, 1e12)),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_columns_and_rows_say_the_same(
    rows: list[tuple[int, str, float | None, float | None]],
) -> None:
    names = ("active_power_kw", "active_energy_kwh")
    columns = {
        "ts": [row[0] for row in rows],
        "device": [row[1] for row in rows],
        "values": {name: [row[2 + place] for row in rows] for place, name in enumerate(names)},
    }
    readings = [
        {
            "ts": row[0],
            "device": row[1],
            "values": {n: row[2 + p] for p, n in enumerate(names) if row[2 + p] is not None},
        }
        for row in rows
        if row[2] is not None or row[3] is not None
    ]

    def take(document: Any) -> Any:
        message = RawMessage(GATEWAY.text, json.dumps(document).encode(), NOW_MS)
        commit = Intake(REGISTRY, site_readings_per_s=1000).take([message])
        refused: dict[str, int] = {}
        for entry in commit.quarantined:
            refused[entry.reason] = refused.get(entry.reason, 0) + entry.count
        return sorted(map(repr, readings_of(commit))), refused

    if readings:
        assert take({"columns": columns}) == take(readings)
    else:
        assert take({"columns": columns}) == ([], {"empty_message": 1})


def test_a_column_may_be_called_as_a_member_is() -> None:
    body = {"ts": [1, 2], "device": ["a", "b"], "values": {"ts": [1], "device": [1]}}
    _, refusals, _ = exactly(GATEWAY, [json.dumps({"columns": body}).encode()])
    assert [reason for _, reason, *_ in refusals] == ["wrong_shape"]


DIGITS = st.text("0123456789", min_size=2, max_size=2)
STAMPS = st.builds(
    lambda y, mo, d, h, mi, s, f, z: f"{y}-{mo}-{d}T{h}:{mi}:{s}{f}{z}",
    st.sampled_from(["0000", "0001", "1600", "1969", "1970", "2026", "9999"]),
    DIGITS,
    DIGITS,
    DIGITS,
    DIGITS,
    DIGITS,
    st.sampled_from(["", ".5", ".123", ".123999", ".x"]),
    st.sampled_from(["Z", "+09:00", "-00:30", "+23:59", "+24:00", "+09:60", "z", ""]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(STAMPS, min_size=1, max_size=3), st.lists(GOOD_TEXTS, min_size=1))
@example(["2026-02-29T00:00:00Z"], ["2026-11-20T00:15:00Z"])
@example(["2024-02-29T23:59:59Z"], ["2026-11-20T00:15:00Z"])
def test_times_in_columns_are_the_times_one_by_one(odd: list[str], good: list[str]) -> None:
    def one(text: str) -> Any:
        try:
            return parse_time(text)
        except Exception as error:
            return type(error)

    for texts in (odd * 30, good * 30, [*good * 30, *odd]):
        single = [one(text) for text in texts]
        wanted = single if all(isinstance(value, int) for value in single) else None
        found = parse_times(texts)
        assert (None if found is None else found.tolist()) == wanted
