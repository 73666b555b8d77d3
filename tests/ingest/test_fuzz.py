"""No payload of any dialect makes a decoder raise, lose count, or think for long.

Short here, long under `make acceptance`. Where atheris has no wheel, only the blind mutations run.
"""

from __future__ import annotations

import importlib.util
import os
import random
import subprocess
import sys
from collections import deque
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, skip_loudly
from tests.ingest.fuzz_target import LONGEST, build_target

# Bytes that the syntaxes turn on.
_TELLING = [
    *(b"{", b"}", b"[", b"]", b'"', b"\\", b",", b"=", b":", b" ", b"\n", b"\r\n", b"#", b"\x00"),
    *(b"null", b"NaN", b"-", b"1e999", b"9" * 30, b"\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80"),
    *(b"\x9f", b"\xbf", b"\xc4\x82", b"\xfb", b"\x1b", b"_", b"# EOF\n", b"\\u0000"),
]


def mutated(random_: random.Random, seeds: list[bytes]) -> bytes:
    """A seed with a few bytes changed, moved, doubled or taken from another seed."""
    data = bytearray(random_.choice(seeds))
    for _ in range(random_.choice([1, 1, 2, 3, 8])):
        at = random_.randrange(len(data) + 1)
        end = min(len(data), at + random_.choice([1, 1, 2, 8, 64]))
        match random_.randrange(6):
            case 0:
                data[at:at] = random_.choice(_TELLING)
            case 1:
                data[at:end] = random_.randbytes(end - at)
            case 2:
                del data[at:end]
            case 3:
                data[at:at] = data[at:end] * random_.choice([1, 2, 20])
            case 4:
                other = random_.choice(seeds)
                start = random_.randrange(len(other))
                data[at:at] = other[start : start + random_.choice([4, 16, 64])]
            case _:
                data[at:end] = random_.choice(_TELLING)
    return bytes(data[:LONGEST])


def test_blind_mutations_of_the_golden_cases() -> None:
    target, seeds = build_target()
    random_ = random.Random(20261120)
    for seed in seeds:
        target(seed)
    for _ in range(4_000):
        data = mutated(random_, seeds)
        try:
            target(data)
        except Exception as error:
            raise AssertionError(f"on {data!r}") from error


def test_a_decoder_that_raises_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    # The harness itself: a fault in a corner of one dialect does not stay hidden.
    target, seeds = build_target()
    monkeypatch.setattr("ingest.cbor._broken", KeyError)
    random_ = random.Random(1)
    inputs = (mutated(random_, seeds) for _ in range(4_000))
    with pytest.raises(KeyError):
        deque(map(target, inputs), maxlen=0)


def fuzz(folder: Path, runs: int, seconds: int) -> str:
    """Fuzz with atheris; the last lines that libFuzzer printed.

    Args:
        runs: As many inputs,
        seconds: ... and no longer than this.
    """
    if importlib.util.find_spec("atheris") is None:
        skip_loudly("no atheris for this Python: decoders are only tried by blind mutations")
    corpus = folder / "corpus"
    corpus.mkdir()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.ingest.fuzz_target", str(corpus)),
            *(f"-runs={runs}", f"-max_total_time={seconds}", "-seed=20261120"),
            *(f"-max_len={LONGEST}", "-timeout=10", "-rss_limit_mb=2048"),
            *("-print_final_stats=1", f"-artifact_prefix={folder}/"),
        ],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        errors="backslashreplace",
        timeout=seconds + 300,
        check=False,
    )
    said = f"{done.stdout}\n{done.stderr}"[-4000:]
    assert done.returncode == 0, said
    assert "stat::number_of_executed_units" in said, said
    return said


def test_fuzzing_guided_by_coverage(tmp_path: Path) -> None:
    print(fuzz(tmp_path, 2_000, 10))


@pytest.mark.acceptance
@pytest.mark.timeout(3600)
def test_fuzzing_guided_by_coverage_for_long(tmp_path: Path) -> None:
    print(fuzz(tmp_path, 10_000_000, 1_800))
