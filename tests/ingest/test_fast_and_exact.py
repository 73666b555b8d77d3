"""The fast decoder and the exact one never disagree, whatever the payload."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import RefusedReadingError
from core.periods import parse_rfc3339, to_ms
from core.site_files import build_registry
from ingest import native
from ingest.exact_json import parse_exact
from ingest.intake import Intake
from ingest.messages import DecodedMessage, RawMessage
from tests.ingest.registry import REGISTRY_FILE
from tests.ingest.test_golden_decode import readings_of

NOW_MS = to_ms(parse_rfc3339("2026-11-20T00:15:10Z"))
REGISTRY = build_registry({"test": REGISTRY_FILE})

TIMES = st.one_of(
    st.integers(NOW_MS - 10**9, NOW_MS),
    st.sampled_from(
        ["2026-11-20T09:15:00+09:00", "2026-11-20T00:15:00Z", "2026-11-20T00:15:00", "x", 1.5, None]
    ),
)
NUMBERS = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.integers(-(10**20), 10**20),
    st.sampled_from([True, None, "1", [], 0, -0.0]),
)
NAMES = st.sampled_from(["active_power_kw", "active_energy_kwh", "volume_m3", "", 'a":', "m" * 65])
READING = st.fixed_dictionaries(
    {"ts": TIMES, "values": st.dictionaries(NAMES, NUMBERS, max_size=3)},
    optional={
        "device": st.sampled_from(["grid-a", "grid-b", "nobody", "", "d" * 65, 7]),
        "seq": st.sampled_from([0, 1, 2**32 - 1, 2**32, -1, 1.5, "1", True]),
        "quality": st.sampled_from(["good", "manual", "fine", None, 1]),
        "units": st.sampled_from([{}, {"active_power_kw": "W"}, {"active_power_kw": 1}, []]),
        "site": st.sampled_from(["test-dc", "other", 1]),
        "note": st.text(max_size=5),
    },
)
DOCUMENTS = st.one_of(READING, st.lists(READING, max_size=4))


def outcome(decoded: DecodedMessage) -> Any:
    good = sorted(
        (
            int(row),
            None if chunk.devices is None else chunk.devices[place],
            int(chunk.time_ms[place]),
            int(chunk.quality[place]),
            tuple(sorted(chunk.units.items())),
            tuple(sorted((name, float(c[place])) for name, c in chunk.values.items())),
        )
        for chunk in decoded.chunks
        for place, row in enumerate(chunk.rows)
    )
    refused = {reason: sorted(rows) for reason, rows in decoded.refusals.by_reason.items()}
    return decoded.count, good, refused, dict(decoded.ignored)


def judged(payload: bytes, *, gateway: bool, exact: bool) -> Any:
    try:
        if exact:
            return outcome(
                native._decode_document(
                    parse_exact(payload), gateway=gateway, site="test-dc", max_readings=100
                )
            )
        return outcome(
            native.decode_native(payload, gateway=gateway, site="test-dc", max_readings=100)
        )
    except RefusedReadingError as refusal:
        return refusal.reason


@settings(max_examples=400, deadline=None)
@given(DOCUMENTS, st.booleans(), st.randoms(use_true_random=False))
def test_on_generated_and_mutated_payloads(document: Any, gateway: bool, chance: Any) -> None:
    payload = json.dumps(document).encode()
    assert judged(payload, gateway=gateway, exact=False) == judged(
        payload, gateway=gateway, exact=True
    )
    mutated = bytearray(payload)
    for _ in range(chance.randint(1, 3)):
        place = chance.randrange(len(mutated))
        mutated[place : place + chance.randint(0, 1)] = bytes(
            [chance.choice(b'{}[]":,0e.-tn \xff')]
        )
    spoiled = bytes(mutated)
    assert judged(spoiled, gateway=gateway, exact=False) == judged(
        spoiled, gateway=gateway, exact=True
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(READING, min_size=1, max_size=8))
def test_messages_of_one_reading_are_judged_as_if_each_came_alone(documents: list[Any]) -> None:
    topic = "greendc/v1/test-dc/energy/grid-a"
    messages = [RawMessage(topic, json.dumps(d).encode(), NOW_MS) for d in documents]

    def verdicts(groups: list[list[RawMessage]]) -> Any:
        readings, refusals = [], []
        for group in groups:
            commit = Intake(REGISTRY, site_readings_per_s=1000).take(group)
            readings += readings_of(commit)
            refusals += [(e.reason, e.count, e.payload) for e in commit.quarantined]
            refusals += [(e.reason, e.count, e.head) for e in commit.rejected]
            assert all(hour.counts.balanced for hour in commit.hours)
        return sorted(map(repr, readings)), sorted(map(repr, refusals))

    assert verdicts([messages]) == verdicts([[message] for message in messages])


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
    topic = "greendc/v1/test-dc/energy"

    def take(document: Any) -> Any:
        message = RawMessage(topic, json.dumps(document).encode(), NOW_MS)
        commit = Intake(REGISTRY, site_readings_per_s=1000).take([message])
        refused: dict[str, int] = {}
        for entry in commit.quarantined:
            refused[entry.reason] = refused.get(entry.reason, 0) + entry.count
        return sorted(map(repr, readings_of(commit))), refused

    if readings:
        assert take({"columns": columns}) == take(readings)
    else:
        assert take({"columns": columns}) == ([], {"empty_message": 1})


def test_a_fast_path_is_really_taken() -> None:
    payload = b'[{"ts": 1795133700000, "values": {"active_power_kw": 1.5}, "device": "grid-a"}]'
    rows = native._decode_fast(payload)
    assert rows is not None
    assert native._from_rows(rows, payload, gateway=True) is not None
    assert np.isfinite(rows[0].values["active_power_kw"])
