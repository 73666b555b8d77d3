"""What fuzzing runs: one message of any dialect through decoding, judging and the spool's format.

`python -m tests.ingest.fuzz_target CORPUS [libFuzzer options]` fuzzes with atheris: the decoders
are instrumented, and an input that reaches new code is kept and changed further. The first byte of
an input chooses the topic, the rest is the payload; topics and first inputs are those of the golden
folder, so that a dialect of the table is fuzzed as soon as it has cases there.

Whatever the payload, `Intake.take` must come back with every reading accounted for: stored, or
refused for a reason of the table. It may raise nothing, and take no more than a moment.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

GOLDEN = Path(__file__).parents[1] / "golden" / "decode"
# Beyond it inputs are slow and hold nothing that shorter ones do not.
LONGEST = 4096


def build_target() -> tuple[Callable[[bytes], None], list[bytes]]:
    """The function to be fuzzed, and inputs to begin with."""
    from core.site_files import build_registry
    from ingest.commits import pack_commit, unpack_commit
    from ingest.decode import DECODERS, parse_topic
    from ingest.intake import Intake
    from ingest.mapping_files import build_mappings
    from ingest.messages import RawMessage
    from tests.ingest.registry import MAPPING_FILES, REGISTRY_FILE
    from tests.ingest.test_golden_decode import RECEIVED_MS, payload_of

    intake = Intake(
        build_registry({"test": REGISTRY_FILE}),
        site_readings_per_s=1e9,
        mappings=build_mappings(MAPPING_FILES),
    )
    cases = [
        (
            parse_topic((case / "topic.txt").read_text(encoding="utf-8").strip("\n")),
            payload_of(case),
        )
        for case in sorted(GOLDEN.iterdir())
    ]
    topics = sorted({topic.text for topic, _ in cases if not topic.problem})
    missing = {*DECODERS} - {parse_topic(text).prefix for text in topics}
    assert not missing, f"no golden case for {missing}"
    assert len(topics) < 256
    seeds = [
        bytes([topics.index(topic.text)]) + payload
        for topic, payload in cases
        if topic.text in topics and len(payload) < LONGEST
    ]

    def target(data: bytes) -> None:
        if not data:
            return
        message = RawMessage(topics[data[0] % len(topics)], data[1:], RECEIVED_MS)
        commit = intake.take([message])
        counts = (
            sum((hour.counts for hour in commit.hours[1:]), commit.hours[0].counts)
            if (commit.hours)
            else None
        )
        if counts is not None and not counts.balanced:
            raise AssertionError(f"the ledger does not add up: {counts}")
        stored = sum(len(part.block) for part in commit.blocks)
        refused = sum(entry.count for entry in (*commit.quarantined, *commit.rejected))
        if counts is not None and counts.received != stored + refused:
            raise AssertionError(f"{counts.received} received, {stored} and {refused} found")
        again = unpack_commit(pack_commit(commit), commit.hours)
        if again.quarantined != commit.quarantined or again.rejected != commit.rejected:
            raise AssertionError("the refusals are others after a life on disk")

    return target, seeds


def main() -> None:
    """Fuzz with atheris until the options say that it is enough."""
    import atheris

    with atheris.instrument_imports(include=["ingest", "core"]):
        target, seeds = build_target()
    corpus = Path(sys.argv[1])
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number:03}").write_bytes(seed)
    atheris.Setup(sys.argv, target)
    with contextlib.suppress(KeyboardInterrupt):
        atheris.Fuzz()


if __name__ == "__main__":
    main()
