"""Every way in which a message can be right or wrong: one folder a case, found by one loop.

A case holds `topic.txt`, `payload.*` (bytes), `expected.json`, and where the bytes are too many
to keep, `payload.recipe`: `pad N` fills with spaces to N bytes, `repeat N` repeats the payload.
Foreign dialects are read by the mappings of `tests.ingest.registry`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.periods import format_time, parse_rfc3339, to_ms
from core.reasons import REASONS
from core.samples import Quality
from core.site_files import build_registry
from ingest.commits import Commit, pack_commit, unpack_commit
from ingest.intake import Intake
from ingest.mapping_files import build_mappings
from ingest.messages import RawMessage
from tests.ingest.registry import MAPPING_FILES, REGISTRY_FILE

CASES = sorted((Path(__file__).parents[1] / "golden" / "decode").iterdir())
RECEIVED_MS = to_ms(parse_rfc3339("2026-11-20T00:15:10Z"))


def payload_of(case: Path) -> bytes:
    (file,) = [path for path in case.glob("payload.*") if path.suffix != ".recipe"]
    payload = file.read_bytes()
    recipe = case / "payload.recipe"
    if recipe.exists():
        verb, number = recipe.read_text().split()
        payload = payload.ljust(int(number)) if verb == "pad" else payload * int(number)
    return payload


def readings_of(commit: Commit) -> list[list[Any]]:
    rows = []
    for part in commit.blocks:
        block = part.block
        for row in range(len(block)):
            values = {
                name: float(column[row])
                for name, column in sorted(block.values.items())
                if column[row] == column[row]
            }
            rows.append(
                (
                    int(part.message[row]),
                    int(part.row[row]),
                    [
                        block.devices[block.device_index[row]],
                        format_time(int(block.time_ms[row])),
                        Quality(int(block.quality[row])).name.lower(),
                        values,
                    ],
                )
            )
    return [reading for _, _, reading in sorted(rows, key=lambda row: row[:2])]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Path) -> None:
    message = RawMessage(
        (case / "topic.txt").read_text().strip("\n"), payload_of(case), RECEIVED_MS
    )
    expected = json.loads((case / "expected.json").read_text(encoding="utf-8"))
    intake = Intake(
        build_registry({"test": REGISTRY_FILE}),
        site_readings_per_s=1000,
        mappings=build_mappings(MAPPING_FILES),
    )
    commit = intake.take([message])
    assert readings_of(commit) == expected["readings"]
    refusals = [
        {"reason": entry.reason, "count": entry.count, "rows": list(entry.rows)}
        for entry in commit.quarantined
    ]
    rejected = [{"reason": entry.reason, "count": entry.count} for entry in commit.rejected]
    wanted = expected["refusals"]
    if rejected:
        assert rejected == [{"reason": r["reason"], "count": r["count"]} for r in wanted]
        assert all(REASONS[r["reason"]].verdict == "rejected" for r in wanted)
    else:
        assert refusals == wanted
    counts = sum((hour.counts for hour in commit.hours[1:]), commit.hours[0].counts)
    assert counts.balanced
    assert counts.received == len(expected["readings"]) + sum(r["count"] for r in wanted)
    # The same after a life on disk.
    again = unpack_commit(pack_commit(commit), commit.hours)
    assert readings_of(again) == expected["readings"]
    assert again.quarantined == commit.quarantined
    assert again.rejected == commit.rejected
    # Typed, now that such a message is known, and many in one pass: nothing differs.
    second = intake.take([message, message])
    assert readings_of(second) == expected["readings"] * 2
    assert second.quarantined == commit.quarantined * 2
    assert second.rejected == commit.rejected * 2
    assert second.ignored == {name: 2 * seen for name, seen in commit.ignored.items()}


def test_a_case_for_every_reason_that_a_message_alone_can_have() -> None:
    assert len(CASES) > 80
    seen = {
        refusal["reason"]
        for case in CASES
        for refusal in json.loads((case / "expected.json").read_text("utf-8"))["refusals"]
    }
    by_history = {"conflicting_value", "refused_by_store", "rate_cap", "no_birth"}
    assert seen == set(REASONS) - by_history
