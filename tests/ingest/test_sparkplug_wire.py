"""Bytes of Sparkplug B: what another encoder writes is read, what is broken is refused."""

from __future__ import annotations

import json
import math
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import RefusedReadingError
from ingest.rebirths import render_rebirth
from ingest.sparkplug_wire import WireMetric, number_of, parse_payload
from tests.ingest.sparkplug_encoder import TYPES, encode_message, encode_payload, varint

UINT64 = st.integers(0, 2**64 - 1)
NAMES = st.sampled_from(["Power", "Meters/a/Energy", "전력/합계", "x" * 200])
RANGES = {
    "Int8": (-(2**7), 2**7 - 1),
    "Int16": (-(2**15), 2**15 - 1),
    "Int32": (-(2**31), 2**31 - 1),
    "Int64": (-(2**63), 2**63 - 1),
    "UInt8": (0, 2**8 - 1),
    "UInt16": (0, 2**16 - 1),
    "UInt32": (0, 2**32 - 1),
    "UInt64": (0, 2**64 - 1),
}
INTEGERS = st.sampled_from(sorted(RANGES)).flatmap(
    lambda kind: st.tuples(st.just(kind), st.integers(*RANGES[kind]))
)
REALS = st.one_of(
    st.tuples(st.just("Float"), st.floats(width=32, allow_nan=False, allow_infinity=False)),
    st.tuples(st.just("Double"), st.floats(allow_nan=False, allow_infinity=False)),
)
OTHERS = st.one_of(
    st.tuples(st.just("Boolean"), st.booleans()),
    st.tuples(st.sampled_from(["String", "Text", "UUID"]), st.text(max_size=20)),
    st.tuples(st.just("Bytes"), st.binary(max_size=20)),
    st.tuples(st.sampled_from(["DataSet", "Template"]), st.just(None)),
)


VALUES = st.one_of(INTEGERS, REALS, OTHERS)
METRICS = st.builds(
    lambda members, value: {**members, "dataType": value[0], "value": value[1]},
    st.fixed_dictionaries(
        {},
        optional={
            "name": NAMES,
            "alias": UINT64,
            "timestamp": UINT64,
            "isHistorical": st.booleans(),
            "isTransient": st.booleans(),
            "isNull": st.booleans(),
            "quality": st.sampled_from([0, 192, 500, 7]),
        },
    ),
    VALUES,
)


@settings(max_examples=60)
@given(
    st.lists(METRICS, max_size=4),
    st.one_of(st.none(), UINT64),
    st.one_of(st.none(), st.integers(0, 255)),
)
def test_what_another_encoder_writes_is_read_as_it_was(
    sent: list[dict[str, Any]], time_ms: int | None, seq: int | None
) -> None:
    document: dict[str, Any] = {"metrics": sent}
    if time_ms is not None:
        document["timestamp"] = time_ms
    if seq is not None:
        document["seq"] = seq
    data = encode_payload(document)
    if not data:
        return
    payload = parse_payload(data)
    assert (payload.time_ms, payload.seq, payload.has_body) == (time_ms, seq, False)
    assert len(payload.metrics) == len(sent)
    for metric, wanted in zip(payload.metrics, sent, strict=True):
        assert metric.name == wanted.get("name", "")
        assert metric.alias == wanted.get("alias")
        assert metric.time_ms == wanted.get("timestamp")
        assert metric.is_historical is wanted.get("isHistorical", False)
        assert metric.is_transient is wanted.get("isTransient", False)
        assert metric.is_null is wanted.get("isNull", False)
        assert metric.quality == wanted.get("quality")
        code, _ = TYPES[wanted["dataType"]]
        assert metric.datatype == code
        if wanted["dataType"] in RANGES or wanted["dataType"] in ("Float", "Double"):
            assert number_of(metric, code) == float(wanted["value"])
        else:
            with pytest.raises(RefusedReadingError) as caught:
                number_of(metric, code)
            assert caught.value.reason == "wrong_type"


@settings(max_examples=100)
@given(st.lists(METRICS, min_size=1, max_size=2), st.data())
def test_broken_bytes_are_read_or_refused_and_nothing_else(
    sent: list[dict[str, Any]], data: st.DataObject
) -> None:
    whole = bytearray(encode_payload({"timestamp": 1, "metrics": sent, "seq": 3}))
    if data.draw(st.booleans()):
        del whole[data.draw(st.integers(0, len(whole) - 1)) :]
    else:
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at] = data.draw(st.integers(0, 255))
    with suppress(RefusedReadingError):
        parse_payload(bytes(whole))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with suppress(RefusedReadingError):
        parse_payload(data)


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b"\x12\x05\x0a", "byte 3: a metric of 5 bytes where 1 are left"),
        (b"\x08\xff", "byte 3: breaks off in a number"),
        (b"\x08" + b"\xff" * 11, "byte 2: a number of more than ten bytes"),
        (b"\x12\x03\x0a\x01\xff", "byte 5: a name that is no UTF-8"),
        (b"\x0b\x08\x01", "byte 1: a field of the unknown wire type 3"),
        (b"\x02\x00", "byte 1: a field without a number"),
        (b"\x12\x04\x69\x00\x00\x00", "byte 4: 8 bytes where 3 are left"),
        (b"\x22\x09ab", "byte 3: 9 bytes where 2 are left"),
    ],
)
def test_a_refusal_names_the_byte(data: bytes, detail: str) -> None:
    with pytest.raises(RefusedReadingError) as caught:
        parse_payload(data)
    assert (caught.value.reason, caught.value.detail) == ("malformed_protobuf", detail)


def test_a_field_that_is_not_ours_is_stepped_over() -> None:
    more = varint(90 << 3) + varint(7) + varint(91 << 3 | 1) + bytes(8)
    more += varint(92 << 3 | 2) + b"\x02hi" + varint(93 << 3 | 5) + bytes(4)
    metric = encode_message("metric", {"name": "P", "datatype": 10, "double_value": 2.5}) + more
    data = more + b"\x12" + varint(len(metric)) + metric + b"\x18\x09"
    (found,) = parse_payload(data).metrics
    assert (found.name, number_of(found, 10), parse_payload(data).seq) == ("P", 2.5, 9)


@pytest.mark.parametrize(
    ("kind", "wire", "number"),
    [
        ("Int8", 0xFF, -1.0),  # two's complement of its own width
        ("Int8", 0xFFFFFFFF, -1.0),  # of 32 bits
        ("Int8", 0x80, -128.0),
        ("Int16", 0xFFFF8000, -32768.0),
        ("Int32", 0x80000000, -(2.0**31)),
        ("Int32", 0xFFFFFFFFFFFFFFFE, -2.0),  # of 64 bits, in a long
        ("Int64", 2**64 - 1, -1.0),
        ("UInt32", 2**32 - 1, 2.0**32 - 1),
    ],
)
def test_negative_integers_in_the_ways_that_they_are_sent(
    kind: str, wire: int, number: float
) -> None:
    metric = WireMetric(kind="integer", value=wire)
    assert number_of(metric, TYPES[kind][0]) == number


@pytest.mark.parametrize(
    ("kind", "metric", "reason"),
    [
        ("Int8", WireMetric(kind="integer", value=300), "wrong_type"),
        ("UInt8", WireMetric(kind="integer", value=256), "wrong_type"),
        ("UInt16", WireMetric(kind="real", value=1.0), "wrong_type"),
        ("Double", WireMetric(kind="integer", value=1), "wrong_type"),
        ("Float", WireMetric(), "wrong_type"),
        ("DateTime", WireMetric(kind="integer", value=1), "wrong_type"),
        ("Double", WireMetric(kind="real", value=math.nan), "not_a_number"),
        ("Double", WireMetric(kind="real", value=-math.inf), "not_a_number"),
    ],
)
def test_a_value_that_is_not_what_its_type_says(kind: str, metric: WireMetric, reason: str) -> None:
    with pytest.raises(RefusedReadingError) as caught:
        number_of(metric, TYPES[kind][0])
    assert caught.value.reason == reason


def test_a_float_is_the_number_that_was_sent_and_no_rounder_one() -> None:
    (metric,) = parse_payload(
        encode_payload({"metrics": [{"name": "V", "dataType": "Float", "value": 12.1}]})
    ).metrics
    assert number_of(metric, 9) == struct.unpack("<f", struct.pack("<f", 12.1))[0]


def test_a_rebirth_request_is_what_the_specification_asks_for() -> None:
    now_ms = 1_795_133_710_000
    wanted = {
        "timestamp": now_ms,
        "metrics": [
            {
                "name": "Node Control/Rebirth",
                "timestamp": now_ms,
                "dataType": "Boolean",
                "value": True,
            }
        ],
    }
    assert render_rebirth(now_ms) == encode_payload(wanted)


def test_the_payloads_that_the_specification_prints(test_data: Path) -> None:
    file = test_data / "sparkplug-spec-3.0-examples" / "payload_examples.json"
    examples = json.loads(file.read_text("utf-8"))
    read = 0
    for example in examples:
        document = example.get("payload")
        if document is None:
            # Printed with no-break spaces; one of them is no example but a pattern.
            text = example["payload_text_as_printed"].replace("\xa0", " ")
            if "<timestamp>" in text:
                continue
            document = json.loads(text)
        payload = parse_payload(encode_payload(document))
        assert payload.time_ms == document["timestamp"]
        assert payload.seq == document.get("seq")
        for metric, wanted in zip(payload.metrics, document.get("metrics", []), strict=True):
            assert (metric.name, metric.time_ms) == (wanted["name"], wanted.get("timestamp"))
        read += 1
    assert read == 9
