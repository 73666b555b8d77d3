"""Every way in which Sparkplug messages can be right or wrong: one file a case, found by one loop.

A case is a list of messages, given as payloads in the specification's JSON (`sparkplug_encoder`) or
as bytes in `hex`, and what becomes of them. All come in one batch, then one by one, then with a
restart of the ingester between any two of them: the same has to come of it.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from core.periods import parse_rfc3339, to_ms
from core.reasons import REASONS
from core.site_files import build_registry
from ingest.birth_book import BIRTH_TABLES, read_edges, read_spans, write_births
from ingest.commits import Commit
from ingest.intake import Intake
from ingest.mapping_files import build_mappings
from ingest.messages import RawMessage
from tests.ingest.registry import REGISTRY_FILE, SPARKPLUG_FILE
from tests.ingest.sparkplug_encoder import encode_payload
from tests.ingest.test_golden_decode import readings_of

CASES = sorted((Path(__file__).parents[1] / "golden" / "sparkplug").glob("*.json"))
RECEIVED_MS = to_ms(parse_rfc3339("2026-11-20T00:15:10Z"))
REGISTRY = build_registry({"test": REGISTRY_FILE})
MAPPINGS = build_mappings({"test": SPARKPLUG_FILE})


def messages_of(case: dict[str, Any]) -> list[RawMessage]:
    """Messages as they come, each ten milliseconds after the one before."""
    return [
        RawMessage(
            message["topic"],
            bytes.fromhex(message["hex"])
            if "hex" in message
            else encode_payload(message["payload"]),
            RECEIVED_MS + 10 * number,
        )
        for number, message in enumerate(case["messages"])
    ]


def new_intake(book: sqlite3.Connection) -> Intake:
    return Intake(
        REGISTRY,
        site_readings_per_s=1000,
        mappings=MAPPINGS,
        edges=read_edges(book),
        past_births=lambda edge, device: read_spans(book, edge, device),
    )


def new_book() -> sqlite3.Connection:
    book = sqlite3.connect(":memory:")
    book.executescript(BIRTH_TABLES)
    return book


def outcome_of(commits: list[tuple[int, Commit]]) -> dict[str, Any]:
    """What came of messages; the commits with the position of their first message."""
    outcome: dict[str, Any] = {
        "readings": [],
        "refusals": [],
        "rejected": [],
        "ignored": {},
        "silent": {},
        "rebirth": [],
    }
    positions = {}
    for first, commit in commits:
        assert all(hour.counts.balanced for hour in commit.hours)
        outcome["readings"] += readings_of(commit)
        for entry in commit.quarantined:
            positions[id(entry)] = first
            outcome["refusals"].append(
                {
                    "message": (entry.received_ms - RECEIVED_MS) // 10,
                    "reason": entry.reason,
                    "detail": entry.detail,
                    "count": entry.count,
                    "rows": list(entry.rows),
                }
            )
        outcome["rejected"] += [entry.reason for entry in commit.rejected]
        for name, seen in commit.ignored.items():
            outcome["ignored"][name] = outcome["ignored"].get(name, 0) + seen
        for (_, device), at_ms in commit.silent.items():
            outcome["silent"][device] = None if at_ms is None else at_ms - RECEIVED_MS
        for key in commit.sparkplug.born:
            outcome["rebirth"] = [other for other in outcome["rebirth"] if other != key]
        outcome["rebirth"] += [
            key for key in commit.sparkplug.unborn if key not in outcome["rebirth"]
        ]
    return outcome


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_case(path: Path) -> None:
    case = json.loads(path.read_text("utf-8"))
    messages = messages_of(case)
    together = outcome_of([(0, new_intake(new_book()).take(messages))])
    assert together == case["expected"]

    one_by_one = new_intake(new_book())
    assert outcome_of([(n, one_by_one.take([m])) for n, m in enumerate(messages)]) == together

    book = new_book()
    commits = []
    for number, message in enumerate(messages):
        commit = new_intake(book).take([message])
        write_births(book, commit.sparkplug)
        commits.append((number, commit))
    assert outcome_of(commits) == together


def test_both_reasons_of_the_dialect_have_a_case() -> None:
    assert len(CASES) >= 30
    seen = {
        refusal["reason"]
        for path in CASES
        for refusal in json.loads(path.read_text("utf-8"))["expected"]["refusals"]
    }
    assert {"malformed_protobuf", "no_birth"} <= seen <= set(REASONS)
