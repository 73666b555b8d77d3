"""SenML: the examples of the RFC, round trips in JSON and CBOR, and what has to be refused."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import RefusedReadingError
from core.periods import parse_rfc3339, to_ms
from core.samples import Quality
from core.site_files import build_registry
from core.units import UNITS
from ingest.cbor import parse_cbor
from ingest.intake import Intake
from ingest.mapping_files import build_mappings
from ingest.messages import RawMessage
from ingest.senml_pack import BadRecord, Record, parse_pack
from ingest.senml_units import UNITS_OF_SENML, UNITS_OF_SUMS
from tests.ingest.registry import REGISTRY_FILE, SENML_MAPPING
from tests.ingest.test_golden_decode import readings_of

NOW_MS = to_ms(parse_rfc3339("2026-11-20T00:15:10Z"))
NOW_S = NOW_MS // 1000
TOPIC = "senml/test-dc/gw-1"
CBOR_LABELS = {
    **dict(zip(("bver", "bn", "bt", "bu", "bv", "bs"), range(-1, -7, -1), strict=True)),
    **dict(zip(("n", "u", "v", "vs", "vb", "s", "t", "ut", "vd"), range(9), strict=True)),
}


def as_cbor(pack: list[dict[str, Any]]) -> bytes:
    """The pack in CBOR, by another implementation's encoder."""
    return cbor2.dumps(
        [{CBOR_LABELS.get(label, label): value for label, value in r.items()} for r in pack]
    )


def records(payload: bytes) -> list[Record]:
    found = parse_pack(payload, 4)
    assert not [record for record in found if isinstance(record, BadRecord)]
    return [record for record in found if isinstance(record, Record)]


def refusal(pack: Any) -> str:
    """Why a pack, or the one record of it that is bad, is refused; the same in both forms."""
    reasons = []
    for payload in (json.dumps(pack).encode(), as_cbor(pack) if _is_pack(pack) else b""):
        if not payload:
            continue
        try:
            (bad,) = [r for r in parse_pack(payload, 4) if isinstance(r, BadRecord)]
            reasons.append(bad.error.reason)
        except RefusedReadingError as error:
            reasons.append(error.reason)
    assert len(set(reasons)) == 1, reasons
    return reasons[0]


def _is_pack(pack: Any) -> bool:
    return isinstance(pack, list) and all(isinstance(record, dict) for record in pack)


# ---------------------------------------------------------------- the RFC's examples


@pytest.mark.parametrize("form", ["json", "cbor"])
@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_an_example_of_the_rfc_and_its_resolved_form(
    test_data: Path, number: int, form: str
) -> None:
    folder = test_data / "senml-rfc8428-examples"
    sent = (folder / f"ex{number}.gen.json").read_bytes()
    wanted = json.loads((folder / f"ex{number}.gen.resolved.json").read_bytes())
    found = records(sent if form == "json" else as_cbor(json.loads(sent)))
    assert [(r.name, r.unit, r.value) for r in found] == [
        (r["n"], r["u"], float(r["v"])) for r in wanted
    ]
    if any("bt" in record for record in json.loads(sent)):
        assert [r.time_ms for r in found] == [int(Decimal(str(r["t"])) * 1000) for r in wanted]
        assert not any(record.is_relative for record in found)
    else:
        # The resolved form was made at some instant; the pack itself says "now".
        assert [(record.time_ms, record.is_relative) for record in found] == [(0, True)] * len(
            found
        )


def test_the_rfc_s_own_dump_in_cbor(test_data: Path) -> None:
    # RFC 8428, section 6: the dump of the example of section 5.1.2.
    dump = """
        87 a7 21 78 1b 75 72 6e 3a 64 65 76 3a 6f 77 3a 31 30 65 32 30 37 33 61 30 31 30 38 30 30
        36 3a 22 fb 41 d3 03 a1 5b 00 10 62 23 61 41 20 05 00 67 76 6f 6c 74 61 67 65 01 61 56 02
        fb 40 5e 06 66 66 66 66 66 a3 00 67 63 75 72 72 65 6e 74 06 24 02 fb 3f f3 33 33 33 33 33
        33 a3 00 67 63 75 72 72 65 6e 74 06 23 02 fb 3f f4 cc cc cc cc cc cd a3 00 67 63 75 72 72
        65 6e 74 06 22 02 fb 3f f6 66 66 66 66 66 66 a3 00 67 63 75 72 72 65 6e 74 06 21 02 f9 3e
        00 a3 00 67 63 75 72 72 65 6e 74 06 20 02 fb 3f f9 99 99 99 99 99 9a a3 00 67 63 75 72 72
        65 6e 74 06 00 02 fb 3f fb 33 33 33 33 33 33"""
    folder = test_data / "senml-rfc8428-examples"
    assert records(bytes.fromhex(dump)) == records((folder / "ex3.gen.json").read_bytes())


# ---------------------------------------------------------------- round trips

NAMES = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9:./_-]{0,20}\Z")
FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=64)
TENTHS = st.integers(-(10**9), 10**9).map(lambda number: Decimal(number) / 10)


@st.composite
def packs(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[tuple[Any, ...]]]:
    """A pack and what it resolves to, by a resolver of its own that counts in decimals."""
    base: dict[str, Any] = {"bn": "", "bu": "", "bt": Decimal(0), "bv": None, "bs": None}
    pack: list[dict[str, Any]] = []
    wanted: list[tuple[Any, ...]] = []
    for row in range(draw(st.integers(1, 6))):
        record: dict[str, Any] = {}
        if draw(st.booleans()):
            record["bn"] = draw(NAMES)
        if draw(st.booleans()):
            record["bu"] = draw(st.sampled_from(["W", "Cel", ""]))
        for label in ("bt", "bv", "bs"):
            if draw(st.integers(0, 3)) == 0:
                record[label] = draw(TENTHS)
        base.update(record)
        if draw(st.booleans()) or not base["bn"]:
            record["n"] = draw(NAMES)
        if draw(st.booleans()):
            record["u"] = draw(st.sampled_from(["V", "kW"]))
        for label in ("t", "v", "s"):
            if draw(st.booleans()):
                record[label] = draw(TENTHS)
        if "v" not in record and "s" not in record:
            record["v"] = draw(TENTHS)
        if draw(st.booleans()):
            record["x-note"] = "unknown labels are ignored"
        pack.append(record)
        value = None if "v" not in record and base["bv"] is None else record.get("v", 0)
        total = None if "s" not in record and base["bs"] is None else record.get("s", 0)
        seconds = base["bt"] + record.get("t", 0)
        wanted.append(
            (
                row,
                base["bn"] + record.get("n", ""),
                record.get("u", base["bu"]),
                None if value is None else float(value + (base["bv"] or 0)),
                None if total is None else float(total + (base["bs"] or 0)),
                math.floor(seconds * 1000),
                seconds < 2**28,
            )
        )
    return pack, wanted


@settings(max_examples=60)
@given(packs(), st.booleans())
def test_base_values_are_added_as_the_decimals_that_were_written(
    drawn: tuple[list[dict[str, Any]], list[tuple[Any, ...]]], in_cbor: bool
) -> None:
    pack, wanted = drawn
    plain = [
        {label: float(value) if isinstance(value, Decimal) else value for label, value in r.items()}
        for r in pack
    ]
    # In CBOR the decimals themselves travel, as decimal fractions.
    payload = as_cbor(pack) if in_cbor else json.dumps(plain).encode()
    assert [
        (r.row, r.name, r.unit, r.value, r.sum, r.time_ms, r.is_relative) for r in records(payload)
    ] == wanted


ITEMS = st.recursive(
    st.one_of(
        st.integers(-(2**64), 2**64 - 1),
        FLOATS,
        st.booleans(),
        st.none(),
        st.text(st.characters(exclude_categories=("Cs",))),
        st.binary(),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.dictionaries(st.one_of(st.integers(-9, 9), st.text(max_size=5)), inner, max_size=5),
    ),
    max_leaves=10,
)


@given(ITEMS, st.booleans())
def test_cbor_is_read_as_another_implementation_writes_it(item: Any, indefinite: bool) -> None:
    payload = cbor2.dumps(item, indefinite_containers=indefinite)
    assert repr(parse_cbor(payload, 50)) == repr(item)
    assert repr(parse_cbor(b"\xd9\xd9\xf7" + payload, 50)) == repr(item)


@given(st.binary(max_size=60))
def test_no_bytes_do_anything_but_be_read_or_refused(payload: bytes) -> None:
    with suppress(RefusedReadingError):
        parse_pack(payload, 4)
    with suppress(RefusedReadingError):
        parse_cbor(payload, 4)
        cbor2.loads(payload)  # what we take, others take


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ("a10001ff", "not_cbor"),  # something behind the end
        ("9b7fffffffffffffff", "not_cbor"),  # a length that lies
        ("5b7fffffffffffffff41", "not_cbor"),
        ("8200", "not_cbor"),
        ("1c", "not_cbor"),  # reserved
        ("ff", "not_cbor"),  # a break where nothing was begun
        ("f0", "not_cbor"),  # a simple value without a meaning
        ("7f4161ff", "not_cbor"),  # bytes among the pieces of a text
        ("61ff", "not_utf8"),
        ("a201020103", "duplicate_key"),
        ("a1f501", "wrong_type"),  # a label that is neither number nor text
        ("c0744040", "wrong_type"),  # a tag (a date) of no use here
        ("d8236128", "wrong_type"),  # a regular expression
        ("c48103", "not_cbor"),  # a decimal fraction of one part
        ("8181818100", "too_deep"),
        ("c4" * 3000 + "00", "too_deep"),
        ("81" * 100_000 + "00", "too_deep"),
    ],
)
def test_cbor_that_is_refused(payload: str, reason: str) -> None:
    with pytest.raises(RefusedReadingError) as caught:
        parse_cbor(bytes.fromhex(payload), 3)
    assert caught.value.reason == reason


def test_decimal_fractions_are_exact_and_never_large() -> None:
    assert parse_cbor(bytes.fromhex("c4822003"), 4) == 0.3
    assert parse_cbor(cbor2.dumps(Decimal("-1e-999999")), 4) == 0.0
    assert parse_cbor(bytes.fromhex("c4821a7fffffff20"), 4) == -math.inf


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("pack", "reason"),
    [
        ([], "empty_message"),
        ({"n": "a", "v": 1}, "wrong_shape"),
        ([1], "wrong_shape"),
        ([{"n": "a", "v": 1}, []], "wrong_shape"),
        ([{"n": "a", "v": 1, "bver": 11}], "wrong_shape"),
        ([{"n": "a", "v": 1, "bver": 10}, {"bver": 5, "n": "b", "v": 1}], "wrong_shape"),
        ([{"n": "a", "v": 1, "bver": "10"}], "wrong_type"),
        ([{"n": "a", "v": 1, "bver": None}], "wrong_type"),
        ([{"n": "a", "v": 1, "mandatory_": 1}], "wrong_shape"),
        ([{"n": "a", "v": 1, "vs": "b"}], "wrong_shape"),
        ([{"n": "a b", "v": 1}], "wrong_shape"),
        ([{"n": "", "v": 1}], "wrong_shape"),
        ([{"n": "-a", "v": 1}], "wrong_shape"),
        ([{"n": "a"}], "missing_values"),
        ([{"n": "a", "v": "1"}], "wrong_type"),
        ([{"n": "a", "v": True}], "wrong_type"),
        ([{"n": "a", "v": None}], "wrong_type"),
        ([{"n": 7, "v": 1}], "wrong_type"),
        ([{"bt": "now", "n": "a", "v": 1}], "wrong_type"),
        ([{"n": "a", "v": 1, "t": 1e300}], "malformed_time"),
    ],
)  # fmt: skip
def test_what_is_refused(pack: Any, reason: str) -> None:
    assert refusal(pack) == reason


@pytest.mark.parametrize("version", [1, 5, 10, 26])
def test_known_versions_are_read(version: int) -> None:
    # 26 is 10 with the secondary units (RFC 9100), which the table of units holds.
    (found,) = records(json.dumps([{"bver": version, "n": "a", "u": "kWh", "v": 1}]).encode())
    assert (found.unit, found.value) == ("kWh", 1.0)
    assert refusal([{"bver": version, "n": "a", "v": 1}, {"bver": 3, "v": 1}]) == "wrong_shape"


@pytest.mark.parametrize("value", ["1e999", "-1e999", "9" * 500])
def test_a_number_beyond_any_float_is_refused(value: str) -> None:
    (bad,) = parse_pack(f'[{{"n":"a","v":{value}}}]'.encode(), 4)
    assert isinstance(bad, BadRecord)
    assert bad.error.reason == "not_a_number"
    with pytest.raises(RefusedReadingError) as caught:
        parse_pack(f'[{{"bv":{value}}}]'.encode(), 4)
    assert caught.value.reason == "not_a_number"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("label", [2, 5, 6, -3, -5])
def test_what_is_no_number_in_cbor_is_refused(label: int, value: float) -> None:
    payload = cbor2.dumps([{0: "a", 2: 1.0, label: value}])
    try:
        (found,) = parse_pack(payload, 4)
        assert isinstance(found, BadRecord)
        reason = found.error.reason
    except RefusedReadingError as error:
        reason = error.reason
    assert reason == "not_a_number"


def test_a_record_of_base_values_only_is_none() -> None:
    pack = [{"bn": "a", "bt": 10**9, "bv": 20}, {"v": 0.1}, {"bu": "W"}, {"n": "b", "v": 1}]
    found = records(json.dumps(pack).encode())
    assert [(r.row, r.name, r.unit, r.value) for r in found] == [
        (1, "a", "", 20.1),
        (3, "ab", "W", 21.0),
    ]


def test_every_unit_is_one_of_the_catalogue() -> None:
    assert {*UNITS_OF_SENML.values(), *UNITS_OF_SUMS.values()} <= {*UNITS}
    # A unit times a second: the sum of 1 over an hour is 3600 of it.
    assert UNITS[UNITS_OF_SUMS["W"]].scale * 3600 == pytest.approx(UNITS["Wh"].scale)
    assert UNITS[UNITS_OF_SUMS["kW"]].scale * 3600 == pytest.approx(UNITS["kWh"].scale)
    assert (UNITS_OF_SUMS["m3/s"], UNITS_OF_SUMS["l/s"]) == ("m3", "L")


# ---------------------------------------------------------------- through the mapping


def intake(mapping: str = SENML_MAPPING) -> Intake:
    return Intake(
        build_registry({"test": REGISTRY_FILE}),
        site_readings_per_s=10_000,
        mappings=build_mappings({"senml": mapping}),
    )


def taken(pack: Any, mapping: str = SENML_MAPPING, *, repeated: bool = False) -> Any:
    payload = json.dumps(pack).encode()
    message = RawMessage(TOPIC, payload, NOW_MS, repeated=repeated)
    commit = intake(mapping).take([message])
    counts = sum((hour.counts for hour in commit.hours[1:]), commit.hours[0].counts)
    assert counts.balanced
    return commit


def reasons(commit: Any) -> list[tuple[str, tuple[int, ...]]]:
    return [(entry.reason, entry.rows) for entry in commit.quarantined]


def test_names_units_and_sums_become_readings() -> None:
    commit = taken(
        [
            {"bn": "urn:dev:ow:01:", "bt": NOW_S, "n": "power", "u": "kW", "v": 812.4, "s": 7200},
            {"n": "voltage", "u": "V", "v": 229.8},
            {"n": "power", "t": -10, "v": 811_900},
            {"bn": "weather/roof", "u": "K", "v": 283.15},
            {"u": "lat", "v": 37.4},
        ]
    )
    assert reasons(commit) == []
    assert sorted(readings_of(commit)) == [
        ["grid-a", "2026-11-20T00:15:00.000Z", "good", {"active_power_kw": 811.9}],
        [
            "grid-a",
            "2026-11-20T00:15:10.000Z",
            "good",
            {"active_energy_kwh": 2.0, "active_power_kw": 812.4},
        ],
        ["roof", "2026-11-20T00:15:10.000Z", "good", {"temperature_c": 10.0}],
    ]
    assert commit.ignored == {
        "senml: urn:dev:ow:01:voltage": 1,
        "senml: weather/roof": 1,
    }


def test_every_refused_record_is_refused_alone() -> None:
    commit = taken(
        [
            {"bn": "urn:dev:ow:01:", "bt": NOW_S, "n": "power", "v": 1000},
            {"n": "watts", "v": 1},
            {"n": "power", "u": "lx", "v": 1},
            {"n": "power", "u": "Cel", "v": 1},
            {"n": "power", "vs": "high"},
            {"n": "power", "t": 600, "v": 1},
            {"bn": "urn:dev:ow:77:", "n": "power", "v": 1},
            {"bn": "other", "v": 1},
        ]
    )
    assert len(readings_of(commit)) == 1
    assert sorted(reasons(commit)) == [
        ("time_in_future", (5,)),
        ("unknown_device", (6,)),
        ("unknown_metric", (1, 7)),
        ("unknown_unit", (2, 3)),
        ("wrong_type", (4,)),
    ]
    (entry,) = [entry for entry in commit.quarantined if entry.reason == "wrong_type"]
    assert entry.detail.startswith("record 5: ")


def test_now_is_the_time_of_receipt_only_where_the_mapping_says_so() -> None:
    pack = [{"bn": "urn:dev:ow:01:", "n": "power", "v": 1000}, {"n": "power", "t": -2.5, "v": 2000}]
    assert reasons(taken(pack)) == [("missing_time", (0, 1))]
    receipt = SENML_MAPPING.replace("schema = 1", 'schema = 1\ntime = "receipt"')
    commit = taken(pack, receipt)
    assert [reading[1] for reading in readings_of(commit)] == [
        "2026-11-20T00:15:10.000Z",
        "2026-11-20T00:15:07.500Z",
    ]
    # Retained or sent again, it says nothing about now.
    assert reasons(taken(pack, receipt, repeated=True)) == [("missing_time", (0, 1))]
    # What names its time is as good as ever.
    absolute = [{"bn": "urn:dev:ow:01:", "bt": NOW_S, "n": "power", "v": 1000}]
    assert reasons(taken(absolute, receipt, repeated=True)) == []


def test_a_pack_that_waited_in_quarantine_counts_from_its_own_receipt() -> None:
    pack = [{"bn": "urn:dev:ow:01:", "n": "power", "v": 1000}]
    (entry,) = taken(pack).quarantined
    receipt = SENML_MAPPING.replace("schema = 1", 'schema = 1\ntime = "receipt"')
    again, refusals = intake(receipt).take_again(entry, correction=False)
    assert refusals == []
    assert [reading[1] for reading in readings_of(again)] == ["2026-11-20T00:15:10.000Z"]


def test_several_values_of_one_instant_are_combined_where_the_mapping_says_so() -> None:
    pack = [
        {"bn": "urn:dev:ow:01:", "bt": NOW_S, "n": "power", "v": 1000},
        {"n": "power", "v": 4000},
    ]
    commit = taken(pack)
    assert [reading[3] for reading in readings_of(commit)] == [
        {"active_power_kw": 1.0},
        {"active_power_kw": 4.0},
    ]
    for how, value in (("mean", 2.5), ("max", 4.0)):
        mapping = SENML_MAPPING.replace('unit = "W" }', f'unit = "W", combine = "{how}" }}')
        assert [reading[3] for reading in readings_of(taken(pack, mapping))] == [
            {"active_power_kw": value}
        ]


@settings(max_examples=15)
@given(st.lists(st.sampled_from(["01", "02", "77"]), min_size=1, max_size=30))
def test_every_record_has_one_verdict(meters: list[str]) -> None:
    pack = [
        {"n": f"urn:dev:ow:{meter}:power", "t": NOW_S - row, "v": row}
        for row, meter in enumerate(meters)
    ]
    commit = taken(pack)
    refused = sum(entry.count for entry in commit.quarantined)
    assert (len(readings_of(commit)), refused) == (
        len(meters) - meters.count("77"),
        meters.count("77"),
    )
    assert all(reading[2] == Quality.GOOD.name.lower() for reading in readings_of(commit))
