"""Lines to readings: the pattern says what line by line says, and replays lose nothing."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.periods import parse_rfc3339, to_ms
from core.site_files import build_registry
from ingest import line_decoder
from ingest.decode import Decoders, parse_topic, subscription_filters
from ingest.intake import Intake
from ingest.limits import IngestLimits
from ingest.mapping_files import build_mappings
from ingest.messages import Decoded, RawMessage
from tests.ingest.registry import MAPPING_FILE, REGISTRY_FILE
from tests.ingest.test_golden_decode import readings_of

NOW_MS = to_ms(parse_rfc3339("2026-11-20T00:15:10Z"))
NOW_NS = NOW_MS * 1_000_000
REGISTRY = build_registry({"test": REGISTRY_FILE})
MAPPINGS = build_mappings({"test": MAPPING_FILE})
LIMITS = IngestLimits()
TEXT = "telegraf/test-dc/meters/gw-1"
TOPIC = parse_topic(TEXT)
HEAD = "modbus,slave_id={},type=holding_register"


def intake(mapping: str = MAPPING_FILE) -> Intake:
    return Intake(REGISTRY, site_readings_per_s=10_000, mappings=build_mappings({"test": mapping}))


def said(decoded: Decoded) -> Any:
    readings = {}
    for columns in decoded.columns.values():
        message, row = columns.positions()
        for at in range(len(columns)):
            values = dict(zip(columns.metrics, [v[at] for v in columns.values], strict=True))
            units = dict(zip(columns.metrics, columns.units, strict=True))
            told = (columns.family, columns.devices[at], columns.times[at], values, units)
            readings[int(message[at]), int(row[at])] = told
    return readings, decoded.refusals, decoded.ignored, decoded.joined


NUMBERS = {
    "float": st.floats(allow_nan=False, allow_infinity=False).map(repr),
    "int": st.integers(-(2**63), 2**63 - 1).map("{}i".format),
    "uint": st.integers(0, 2**64 - 1).map("{}u".format),
    "odd": st.sampled_from(["1.", ".5", "-0", "1e400", "1_0", "nan", "inf", "+1", "0x1", "", "1 "]),
}
ODD_LINES = st.sampled_from(
    ["", " ", "# c", "modbus", "modbus,a power=1 1", "modbus,slave_id=1,slave_id=2 power=1 1",
     f"{HEAD.format(1)} power=1", f"{HEAD.format(1)} power=1 1 1", "internal x=1i 5",
     f'{HEAD.format(2)} state="a b",power=1 {NOW_NS}', f"{HEAD.format(2)} power=1 {NOW_NS}\r",
     f"{HEAD.format(2)}\\,x=1 power=1 {NOW_NS}", f"{HEAD.format(2)},판교=1 power=1 {NOW_NS}"]
)  # fmt: skip


@st.composite
def payloads(draw: st.DrawFn) -> bytes:
    """A few lines of one shape, as a gateway sends them, and now and then something else."""
    names = draw(st.lists(st.sampled_from(["power", "energy", "voltage_l1", "state"]), min_size=1,
                          max_size=3, unique=True))  # fmt: skip
    kinds = [draw(st.sampled_from(["float", "float", "int", "uint"])) for _ in names]
    texts = st.sampled_from(['"on"', '"a,b"', "true", "F"])
    lines = []
    for _ in range(draw(st.integers(3, 7))):
        if draw(st.integers(0, 24)) == 0:
            lines.append(draw(ODD_LINES))
            continue
        head = HEAD.format(draw(st.sampled_from(["1", "1", "2", "2", "7"])))
        parts = []
        for name, kind in zip(names, kinds, strict=True):
            odd = draw(st.integers(0, 49)) == 0
            values = texts if name == "state" else NUMBERS["odd" if odd else kind]
            parts.append(f"{name}={draw(values)}")
        time = draw(st.one_of(st.integers(NOW_NS - 10**13, NOW_NS), st.integers(-(2**63), 2**64)))
        lines.append(f"{head} {','.join(parts)} {time}")
    return ("\n".join(lines) + draw(st.sampled_from(["", "\n"]))).encode()


@settings(max_examples=100)
@given(st.lists(payloads(), min_size=1, max_size=4))
def test_the_pattern_says_what_line_by_line_says(batch: list[bytes]) -> None:
    messages = [(index, TOPIC, payload) for index, payload in enumerate(batch)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_decoder, "learn_pattern", lambda *_: None)
        exact = said(Decoders(LIMITS, MAPPINGS).decode(messages))
    decoders = Decoders(LIMITS, MAPPINGS)
    decoders.decode(messages)
    assert repr(said(decoders.decode(messages))) == repr(exact)


def test_a_batch_of_like_lines_is_read_by_its_pattern(monkeypatch: pytest.MonkeyPatch) -> None:
    payload = "".join(
        f"{HEAD.format(1 + number % 2)} power={number}.5,energy={number}i "
        f"{NOW_NS - number * 1_000_000}\n"
        for number in range(100)
    ).encode()
    decoders = Decoders(LIMITS, MAPPINGS)
    first = said(decoders.decode([(0, TOPIC, payload)]))

    def never(*_: object) -> None:
        raise AssertionError("line by line")

    monkeypatch.setattr(line_decoder, "parse_lines", never)
    assert said(decoders.decode([(0, TOPIC, payload)])) == first
    assert len(first[0]) == 100


def test_topics_of_no_mapping_are_subscribed_to_all_the_same() -> None:
    everything = {"greendc/v1/#", "telegraf/#", "senml/#", "prometheus/#"}
    assert everything <= {*subscription_filters(None)}
    of_a_site = {text.replace("/#", "/a/#") for text in everything}
    assert of_a_site <= {*subscription_filters(["a"])}


def test_a_site_s_own_mapping_goes_before_the_shared_one() -> None:
    own = MAPPING_FILE.replace("telegraf/+/", "telegraf/test-dc/").replace('"ct-{number}"', '"x"')
    mappings = build_mappings({"a-shared": MAPPING_FILE, "b-own": own})
    assert [file.name for file in mappings.covering(TEXT)] == ["b-own", "a-shared"]
    assert [file.name for file in mappings.covering("telegraf/other/meters")] == ["a-shared"]
    assert mappings.covering("telegraf/test-dc/gpu") == ()


@pytest.mark.parametrize(
    ("precision", "sent"), [("s", 10**9), ("ms", 10**6), ("us", 10**3), ("ns", 1)]
)
def test_precision_is_the_file_s(precision: str, sent: int) -> None:
    mapping = MAPPING_FILE.replace("schema = 1", f'schema = 1\nprecision = "{precision}"')
    taken = intake(mapping)
    payload = "".join(
        f"{HEAD.format(number)} power=1 {NOW_NS // 10**9 * 10**9 // sent}\n" for number in (1, 2)
    ).encode()
    for _ in range(2):
        readings = readings_of(taken.take([RawMessage(TEXT, payload, NOW_MS)]))
        assert [reading[1] for reading in readings] == ["2026-11-20T00:15:10.000Z"] * 2


# ---------------------------------------------------------------- replays


def test_a_mended_field_is_stored_and_its_neighbours_are_not_asked_again() -> None:
    payload = f"{HEAD.format(1)} power=1000 {NOW_NS}\n{HEAD.format(2)} watts=2000 {NOW_NS}\n"
    commit = intake().take([RawMessage(TEXT, payload.encode(), NOW_MS)])
    (refused,) = commit.quarantined
    assert (refused.reason, refused.rows) == ("unknown_metric", (1,))
    mended = MAPPING_FILE.replace(
        "[rules.fields]\npower", '[rules.fields]\nwatts = { metric = "power_factor", unit = "1" }'
        "\npower", 1,
    )  # fmt: skip
    again, refusals = intake(mended).take_again(refused, correction=False)
    assert not again.blocks
    assert refusals[0].reason == "unknown_metric"  # mended to a metric that grid-b does not have
    mended = MAPPING_FILE.replace("power = {", "watts = {", 1)
    again, refusals = intake(mended).take_again(refused, correction=False)
    assert refusals == []
    assert readings_of(again) == [
        ["grid-b", "2026-11-20T00:15:10.000Z", "good", {"active_power_kw": 2.0}]
    ]


def test_a_mended_line_of_a_joined_reading_brings_its_metric() -> None:
    payload = f"{HEAD.format(1)} power=1000 {NOW_NS}\nextra,slave_id=1 energy=5i {NOW_NS}\n"
    commit = intake().take([RawMessage(TEXT, payload.encode(), NOW_MS)])
    (refused,) = commit.quarantined
    mended = MAPPING_FILE + (
        '[[rules]]\nmeasurement = "extra"\nfamily = "energy"\ndevice = "grid-a"\n'
        '[rules.fields]\nenergy = { metric = "active_energy_kwh", unit = "kWh" }\n'
    )
    again, refusals = intake(mended).take_again(refused, correction=False)
    assert refusals == []
    # The line that is held already comes again with the same value, which is no contradiction.
    assert [reading[3] for reading in readings_of(again)] == [
        {"active_energy_kwh": 5.0, "active_power_kw": 1.0}
    ]


def test_a_joined_reading_that_was_refused_is_replayed_whole() -> None:
    payload = (
        f"{HEAD.format(1)} power=1e12 {NOW_NS}\n{HEAD.format(2)} power=1 {NOW_NS}\n"
        f"{HEAD.format(1)} energy=1i {NOW_NS}\n"
    )
    commit = intake().take([RawMessage(TEXT, payload.encode(), NOW_MS)])
    (refused,) = commit.quarantined
    assert (refused.count, refused.rows) == (1, (0, 2))
    again, refusals = intake().take_again(refused, correction=False)
    assert (len(again.blocks), sum(refusal.count for refusal in refusals)) == (0, 1)
    mended = MAPPING_FILE.replace('unit = "W" }', 'unit = "W", scale = 1e-6 }', 1)
    again, refusals = intake(mended).take_again(refused, correction=False)
    assert refusals == []
    assert [reading[3] for reading in readings_of(again)] == [
        {"active_energy_kwh": 0.01, "active_power_kw": 1000.0}
    ]


def test_every_line_has_one_verdict() -> None:
    lines = [
        f"{HEAD.format(1)} power=1 {NOW_NS}", "# comment", "", f"{HEAD.format(7)} power=1 {NOW_NS}",
        "bad", f"{HEAD.format(2)},site=x power=1 {NOW_NS}", f"internal x=1 {NOW_NS}",
        f"{HEAD.format(2)} power=9e99 {NOW_NS}",
    ]  # fmt: skip
    taken = intake()
    for order in itertools.islice(itertools.permutations(lines), 50):
        commit = taken.take([RawMessage(TEXT, "\n".join(order).encode(), NOW_MS)])
        counts = sum((hour.counts for hour in commit.hours[1:]), commit.hours[0].counts)
        assert counts.balanced
        assert (counts.received, counts.spooled, counts.quarantined, counts.rejected) == (
            5,
            1,
            3,
            1,
        )


def test_a_message_of_ignored_lines_only_is_acknowledged_and_no_reading() -> None:
    commit = intake().take([RawMessage(TEXT, f"internal x=1 {NOW_NS}".encode(), NOW_MS)])
    assert (commit.hours, commit.blocks, commit.quarantined) == ([], [], [])
    assert commit.ignored == {"telegraf: internal": 1}
    assert commit.last_message_ms == {"test-dc": NOW_MS}


def test_random_heads_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_decoder, "_MOST_HEADS", 50)
    decoder = line_decoder.LineDecoder(LIMITS, MAPPINGS)
    for number in range(200):
        payload = f"modbus,slave_id=1,type=holding_register,n={number} power=1 {NOW_NS}".encode()
        decoder.decode([(0, TOPIC, payload)], Decoded())
    assert sum(map(len, decoder._heads.values())) <= 51
